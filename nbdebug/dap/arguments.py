"""The arguments of the Debug Adapter Protocol's requests.

Owns their shapes and the parsing: arguments become named tuples here, once, whose fields are DAP's
names in snake case. Does no I/O. Dataclasses would take six times as long to make, in each process
that is attached to.
"""

import re
import types
import typing
from typing import Any, Final, NamedTuple

from nbdebug import errors
from nbdebug.engine.model import (
    BreakpointSpec,
    FunctionTarget,
    LineTarget,
    ModuleTarget,
    Target,
)
from nbdebug.engine.watch_model import Access, Action, WatchSpec


class Nothing(NamedTuple):
    """No arguments."""


class AdapterData(NamedTuple):
    cell_id: str = ""


class SourceArg(NamedTuple):
    path: str | None = None
    name: str | None = None
    source_reference: int = 0
    adapter_data: AdapterData | None = None

    @property
    def cell(self) -> str:
        """The id of the cell that is meant, where the client tells cells of one text apart."""
        return self.adapter_data.cell_id if self.adapter_data is not None else ""


class InitializeArguments(NamedTuple):
    client_id: str = ""
    lines_start_at1: bool = True
    columns_start_at1: bool = True
    path_format: typing.Literal["path", "uri"] = "path"
    supports_start_debugging_request: bool = False
    supports_invalidated_event: bool = False


class RuleArg(NamedTuple):
    include: bool = False
    path: str = ""
    module: str = ""


class PathMappingArg(NamedTuple):
    local_root: str
    remote_root: str


class AttachArguments(NamedTuple):
    """Of `attach`, and of `launch`, which alone has a use for `no_debug`."""

    stop_on_entry: bool = False
    just_my_code: bool | None = None
    rules: tuple[RuleArg, ...] | None = None
    stop_other_threads: bool | None = None
    condition_errors: typing.Literal["stop", "output"] | None = None
    path_mappings: tuple[PathMappingArg, ...] | None = None
    token: str = ""
    redirect_output: bool | None = None
    sub_process: bool | None = None
    debug_options: tuple[str, ...] = ()
    no_debug: bool = False

    @property
    def wants_output(self) -> bool:
        """True if the client asks for what the program writes."""
        return self._option(self.redirect_output, "RedirectOutput")

    @property
    def wants_children(self) -> bool:
        """True if the client asks for child processes, each as a session of its own."""
        return self._option(self.sub_process, "SubProcess")

    def _option(self, value: bool | None, name: str) -> bool:
        # VS Code says it in a list, which has its defaults too.
        return name in self.debug_options if value is None else value


class DisconnectArguments(NamedTuple):
    terminate_debuggee: bool = False
    restart: bool = False


class SourceBreakpoint(NamedTuple):
    line: int
    condition: str | None = None
    hit_condition: str | None = None
    log_message: str | None = None


class SetBreakpointsArguments(NamedTuple):
    source: SourceArg
    breakpoints: tuple[SourceBreakpoint, ...] = ()


class FunctionBreakpoint(NamedTuple):
    name: str
    condition: str | None = None
    hit_condition: str | None = None
    log_message: str | None = None


class SetFunctionBreakpointsArguments(NamedTuple):
    breakpoints: tuple[FunctionBreakpoint, ...]


class ExceptionFilterOptions(NamedTuple):
    filter_id: str
    condition: str | None = None


class SetExceptionBreakpointsArguments(NamedTuple):
    filters: tuple[str, ...] = ()
    filter_options: tuple[ExceptionFilterOptions, ...] = ()


class ExceptionInfoArguments(NamedTuple):
    thread_id: int


class DataBreakpointInfoArguments(NamedTuple):
    name: str
    variables_reference: int = 0
    frame_id: int | None = None
    bytes: int | None = None
    as_address: bool = False


class DataBreakpoint(NamedTuple):
    data_id: str
    access_type: typing.Literal["read", "write", "readWrite"] = "write"
    condition: str | None = None
    hit_condition: str | None = None


class SetDataBreakpointsArguments(NamedTuple):
    breakpoints: tuple[DataBreakpoint, ...]


class BreakpointLocationsArguments(NamedTuple):
    source: SourceArg
    line: int
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None


class ThreadArguments(NamedTuple):
    thread_id: int
    single_thread: bool = False


Granularity = typing.Literal["statement", "line", "instruction"]


class StepArguments(NamedTuple):
    thread_id: int
    single_thread: bool = False
    granularity: Granularity = "statement"


class StepInArguments(NamedTuple):
    thread_id: int
    single_thread: bool = False
    target_id: int | None = None
    granularity: Granularity = "statement"


class StepInTargetsArguments(NamedTuple):
    frame_id: int


class GotoTargetsArguments(NamedTuple):
    source: SourceArg
    line: int
    column: int | None = None


class GotoArguments(NamedTuple):
    thread_id: int
    target_id: int


class RunToArguments(NamedTuple):
    thread_id: int
    source: SourceArg
    line: int
    single_thread: bool = False


class StackTraceArguments(NamedTuple):
    thread_id: int
    start_frame: int = 0
    levels: int = 0


class ScopesArguments(NamedTuple):
    frame_id: int


class VariablesArguments(NamedTuple):
    variables_reference: int
    filter: typing.Literal["indexed", "named"] | None = None
    start: int = 0
    count: int = 0  # type: ignore[assignment]  # DAP's name goes before tuple's method


class SetVariableArguments(NamedTuple):
    variables_reference: int
    name: str
    value: str


class EvaluateArguments(NamedTuple):
    expression: str
    frame_id: int | None = None
    context: str = "repl"


class SetExpressionArguments(NamedTuple):
    expression: str
    value: str
    frame_id: int | None = None


class CompletionsArguments(NamedTuple):
    text: str
    column: int
    line: int = 1
    frame_id: int | None = None


class LocationsArguments(NamedTuple):
    location_reference: int


class CancelArguments(NamedTuple):
    request_id: int | None = None
    progress_id: str | None = None


class SourceArguments(NamedTuple):
    source: SourceArg | None = None
    source_reference: int = 0


class ModulesArguments(NamedTuple):
    start_module: int = 0
    module_count: int = 0


class OneBreakpointArguments(NamedTuple):
    breakpoint: SourceBreakpoint
    source: SourceArg | None = None
    module: str = ""
    function: str = ""


class ChangeBreakpointsArguments(NamedTuple):
    ids: tuple[int, ...]
    change: typing.Literal["remove", "enable", "disable"]


class SetWatchArguments(NamedTuple):
    expression: str
    frame_id: int | None = None
    pending: bool = False
    accesses: tuple[typing.Literal["change", "write", "delete", "read"], ...] = ("change",)
    action: typing.Literal["auto", "stop", "log", "raise"] = "auto"
    condition: str | None = None
    hit_condition: str | None = None
    once: bool = False
    thread: str | None = None
    keep: int = 1000
    with_stack: bool = False


class WatchIdsArguments(NamedTuple):
    ids: tuple[int, ...]


class WatchIdArguments(NamedTuple):
    id: int


def parse(shape: Any, raw: object, where: str = "arguments") -> Any:
    """Return ``raw`` as a ``shape``, one of the above.

    Unknown keys are ignored, as DAP asks. Raises BadArguments, naming the key that is wrong.
    """
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise errors.BadArguments(f"`{where}` must be an object, not {_json_type(raw)}.")
    values = {}
    for name, key, hint, is_required in _keys_of(shape):
        if raw.get(key) is not None:
            values[name] = _value(hint, raw[key], f"{where}.{key}")
        elif is_required:
            raise errors.BadArguments(f"`{where}.{key}` is missing.")
    return shape(**values)


def is_shape(hint: object) -> bool:
    """True for a class of arguments."""
    return isinstance(hint, type) and hasattr(hint, "_field_defaults")


_CAPITALS: Final = {"client_id": "clientID"}

_known_keys: dict[type[Any], list[tuple[str, str, Any, bool]]] = {}


def _keys_of(shape: Any) -> list[tuple[str, str, Any, bool]]:
    """Return (field, DAP's key, type, whether it is required) of each field."""
    if shape not in _known_keys:
        hints = typing.get_type_hints(shape)
        _known_keys[shape] = [
            (
                name,
                _CAPITALS.get(name) or _camel(name),
                hints[name],
                name not in shape._field_defaults,
            )
            for name in shape._fields
        ]
    return _known_keys[shape]


def _value(hint: Any, raw: object, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        if not isinstance(raw, list):
            raise errors.BadArguments(f"`{where}` must be a list, not {_json_type(raw)}.")
        item = typing.get_args(hint)[0]
        return tuple(_value(item, one, f"{where}[{i}]") for i, one in enumerate(raw))
    if typing.get_origin(hint) is typing.Union:
        return _value(typing.get_args(hint)[0], raw, where)
    if typing.get_origin(hint) is typing.Literal:
        if raw not in typing.get_args(hint):
            raise errors.BadArguments(
                f"`{where}` must be one of {', '.join(typing.get_args(hint))}."
            )
        return raw
    if is_shape(hint):
        return parse(hint, raw, where)
    if not isinstance(raw, hint) or (hint is int and isinstance(raw, bool)):
        raise errors.BadArguments(f"`{where}` must be {_NAMES[hint]}, not {_json_type(raw)}.")
    return raw


_NAMES = {int: "a whole number", str: "a string", bool: "true or false"}


def _json_type(raw: object) -> str:
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return kinds.get(type(raw), "a number")


def _camel(name: str) -> str:
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def line_spec(source: SourceArg, one: SourceBreakpoint) -> BreakpointSpec:
    """Return the engine's words for a source breakpoint; empty strings count as absent."""
    target = LineTarget(source.path or "", one.line, source.cell)
    return BreakpointSpec(
        target, one.condition or None, one.hit_condition or None, one.log_message or None
    )


def one_spec(asked: OneBreakpointArguments) -> BreakpointSpec:
    """Return the engine's words for one breakpoint, wherever it is. Raises BadArguments."""
    one, source = asked.breakpoint, asked.source
    if asked.function:
        target: Target = FunctionTarget(asked.function)
    elif asked.module:
        target = ModuleTarget(asked.module, one.line)
    elif source is not None and source.path:
        target = LineTarget(source.path, one.line, source.cell)
    else:
        raise errors.BadArguments("`arguments` name no `source.path`, `module` or `function`.")
    return BreakpointSpec(
        target, one.condition or None, one.hit_condition or None, one.log_message or None
    )


def function_spec(one: FunctionBreakpoint) -> BreakpointSpec:
    """Return the engine's words for a function breakpoint."""
    target = FunctionTarget(one.name)
    return BreakpointSpec(
        target, one.condition or None, one.hit_condition or None, one.log_message or None
    )


def watch_spec(one: DataBreakpoint) -> WatchSpec:
    """Return what a data breakpoint asks for; a write of an equal value is no change of a value."""
    accesses = {
        "write": (Access.CHANGE,),
        "read": (Access.READ,),
        "readWrite": (Access.CHANGE, Access.READ),
    }[one.access_type]
    return WatchSpec(accesses, condition=one.condition, hit_condition=one.hit_condition)


def asked_watch(asked: SetWatchArguments) -> WatchSpec:
    """Return what `nbdebug/setWatch` asks for."""
    return WatchSpec(
        accesses=tuple(Access(one) for one in asked.accesses),
        action=Action(asked.action),
        condition=asked.condition or None,
        hit_condition=asked.hit_condition or None,
        once=asked.once,
        thread=asked.thread or None,
        keep=max(asked.keep, 1),
        with_stack=asked.with_stack,
    )
