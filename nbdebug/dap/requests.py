"""The requests that a session answers: command -> arguments, action, capability.

Owns the table; each action turns parsed arguments into calls of the engine and its answers into a
body. What a client is told of our capabilities is gathered from here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbdebug import errors
from nbdebug.dap import arguments as a
from nbdebug.dap import listings
from nbdebug.dap import messages as m
from nbdebug.dap.messages import Json
from nbdebug.dap.paths import Edge, Mapping
from nbdebug.engine import modules as loaded_modules
from nbdebug.engine.evaluate import is_place
from nbdebug.engine.model import BreakpointInfo, ExceptionFilter, Granularity, StepKind
from nbdebug.engine.usercode import Rule
from nbdebug.engine.watch import Watch
from nbdebug.engine.watch_model import Access, WatchSpec
from nbdebug.engine.watches import check_spec

if TYPE_CHECKING:
    from nbdebug.dap.session import Session
    from nbdebug.engine.watch_targets import Target


@dataclass(frozen=True, slots=True)
class Request[A]:
    """How one command is answered."""

    arguments: type[A]
    run: Callable[[Any, A], Json | None]
    capabilities: Json = field(default_factory=dict)
    needs_start: bool = True
    may_wait: bool = False
    """True if it may run or wait for user code: it is then answered on the session's worker."""
    is_brief: bool = False
    """True if it runs none, and so needs the worker only while the stopped thread is busy."""


def initialize(session: "Session", arguments: a.InitializeArguments) -> Json:
    session.takes_start_debugging = arguments.supports_start_debugging_request
    session.takes_invalidated = arguments.supports_invalidated_event
    session.initialize(arguments.client_id)
    session.edge = Edge(
        session.path_mappings(),
        uses_uris=arguments.path_format == "uri",
        first_line=int(arguments.lines_start_at1),
        first_column=int(arguments.columns_start_at1),
    )
    return session.capabilities()


def attach(session: "Session", arguments: a.AttachArguments) -> None:
    rules = None
    if arguments.rules is not None:
        rules = tuple(Rule(rule.include, rule.path, rule.module) for rule in arguments.rules)
    session.engine.user_code.configure(just_my_code=arguments.just_my_code, rules=rules)
    if arguments.stop_other_threads is not None:
        session.engine.stops.stop_other_threads = arguments.stop_other_threads
    if arguments.condition_errors is not None:
        reports = session.engine.breakpoints.reports
        reports.stop_on_condition_error = arguments.condition_errors == "stop"
    if arguments.path_mappings is not None:
        found = (Mapping(one.local_root, one.remote_root) for one in arguments.path_mappings)
        session.edge = replace(session.edge, mappings=tuple(found))
    session.attach(arguments.stop_on_entry)


def configuration_done(session: "Session", arguments: a.Nothing) -> None:
    session.configuration_done()


def disconnect(session: "Session", arguments: a.DisconnectArguments) -> None:
    session.disconnect(arguments.terminate_debuggee)


def terminate(session: "Session", arguments: a.Nothing) -> None:
    session.terminate()


def set_breakpoints(session: "Session", arguments: a.SetBreakpointsArguments) -> Json:
    path = _path(arguments.source)
    specs = [a.line_spec(arguments.source, one) for one in arguments.breakpoints]
    infos = session.engine.breakpoints.set_lines(
        path, specs, keep_extras=session.sends_lines_only, cell=arguments.source.cell
    )
    source_ = m.source_body(path, session.reference_of(path), arguments.source.cell)
    return {"breakpoints": [m.breakpoint_body(info, source_) for info in infos]}


def set_function_breakpoints(
    session: "Session", arguments: a.SetFunctionBreakpointsArguments
) -> Json:
    specs = [a.function_spec(one) for one in arguments.breakpoints]
    infos = session.engine.breakpoints.set_functions(specs)
    return {"breakpoints": [m.breakpoint_body(info) for info in infos]}


def set_exception_breakpoints(
    session: "Session", arguments: a.SetExceptionBreakpointsArguments
) -> Json:
    specs = [ExceptionFilter(name) for name in arguments.filters]
    specs += [ExceptionFilter(one.filter_id, one.condition) for one in arguments.filter_options]
    failures = session.engine.exceptions.set(specs)
    return {"breakpoints": [m.filter_body(failure) for failure in failures]}


def exception_info(session: "Session", arguments: a.ExceptionInfoArguments) -> Json:
    mode, details = session.engine.inspector.exception(session.thread(arguments.thread_id))
    return m.exception_body(mode, details)


def data_breakpoint_info(session: "Session", arguments: a.DataBreakpointInfoArguments) -> Json:
    name, length = arguments.name, arguments.bytes
    try:
        if arguments.as_address:
            from nbdebug.engine.memory_targets import at_address  # loads ctypes: most do without

            target = at_address(name, 1 if length is None else length)
        else:
            reference, frame_id = arguments.variables_reference, arguments.frame_id
            target = session.target(name, reference, frame_id, length)
    except (errors.NotWatchable, errors.UnknownVariable, errors.NoAddressWatch) as error:
        return {"dataId": None, "description": m.sendable(f"{error} {error.advice}".strip())}
    accesses = session.engine.watches.accesses(target)
    reads = ["read", "readWrite"] if Access.READ in accesses else []
    return {
        "dataId": session.remember_target(target),
        "description": m.sendable(target.text),
        "accessTypes": ["write", *reads],
        "canPersist": False,
    }


def set_data_breakpoints(session: "Session", arguments: a.SetDataBreakpointsArguments) -> Json:
    wanted: list[tuple[Target, WatchSpec]] = []
    refused: dict[int, errors.NbdebugError] = {}
    for index, one in enumerate(arguments.breakpoints):
        try:
            target, spec = session.target_of(one.data_id), a.watch_spec(one)
            check_spec(target, spec)
        except errors.NbdebugError as error:
            refused[index] = error
        else:
            wanted.append((target, spec))
    found = iter(session.engine.watches.set_clients(wanted))
    all_ = (refused.get(index) or next(found) for index in range(len(arguments.breakpoints)))
    return {"breakpoints": [_data_breakpoint(one) for one in all_]}


def _data_breakpoint(one: Watch | errors.NbdebugError) -> Json:
    if isinstance(one, Watch):
        return m.watch_body(one.info())
    return {"verified": False, "message": m.sendable(f"{one} {one.advice}".strip())}


def breakpoint_locations(session: "Session", arguments: a.BreakpointLocationsArguments) -> Json:
    path = _path(arguments.source)
    try:
        columns = session.engine.sources.columns_of_text(path)
    except SyntaxError as error:
        raise errors.SourceUnavailable(f"{path} doesn't compile: {error.msg}.") from None
    first = arguments.line, arguments.column or 0
    last = arguments.end_line or arguments.line, arguments.end_column or float("inf")
    return {
        "breakpoints": [
            {"line": line, "column": column}
            for line, column in sorted(columns.items())
            if first <= (line, column) <= last
        ]
    }


def threads(session: "Session", arguments: a.Nothing) -> Json:
    return {"threads": [{"id": t.id, "name": t.name} for t in session.engine.inspector.threads()]}


def stack_trace(session: "Session", arguments: a.StackTraceArguments) -> Json:
    frames, depth = session.engine.inspector.stack(
        session.thread(arguments.thread_id), arguments.start_frame, arguments.levels
    )
    return {
        "stackFrames": [
            m.frame_body(frame, session.reference_of(frame.path), session.is_brief)
            for frame in frames
        ],
        "totalFrames": depth,
    }


def scopes(session: "Session", arguments: a.ScopesArguments) -> Json:
    return {
        "scopes": [
            m.scope_body(scope) for scope in session.engine.inspector.scopes(arguments.frame_id)
        ]
    }


def variables(session: "Session", arguments: a.VariablesArguments) -> Json:
    found = session.engine.inspector.variables(
        arguments.variables_reference, arguments.start, arguments.count, arguments.filter
    )
    return {"variables": [m.variable_body(v, session.is_brief) for v in found]}


def set_variable(session: "Session", arguments: a.SetVariableArguments) -> Json:
    new = session.engine.inspector.set_variable(
        arguments.variables_reference, arguments.name, arguments.value
    )
    session.invalidate_variables()
    return {"value": m.sendable(new.value), **m.value_body(new)}


def evaluate(session: "Session", arguments: a.EvaluateArguments) -> Json:
    found = session.engine.inspector.evaluate(
        arguments.expression, arguments.frame_id, arguments.context
    )
    if arguments.context == "repl" and not is_place(arguments.expression):
        session.invalidate_variables()
    return {"result": m.sendable(found.value), **m.value_body(found)}


def set_expression(session: "Session", arguments: a.SetExpressionArguments) -> Json:
    new = session.engine.inspector.set_expression(
        arguments.expression, arguments.value, arguments.frame_id
    )
    session.invalidate_variables()
    return {"value": m.sendable(new.value), **m.value_body(new)}


def completions(session: "Session", arguments: a.CompletionsArguments) -> Json:
    line = (arguments.text.splitlines() or [""])[arguments.line - 1 : arguments.line]
    text = (line[0] if line else "")[: max(arguments.column - 1, 0)]
    found = session.engine.inspector.completions(text, arguments.frame_id)
    return {"targets": [{"label": m.sendable(word), "type": kind} for word, kind in found]}


def continue_(session: "Session", arguments: a.ThreadArguments) -> Json:
    motion = session.engine.motion
    all_run = motion.resume(session.thread(arguments.thread_id), arguments.single_thread)
    return {"allThreadsContinued": all_run}


def _step(kind: StepKind) -> Callable[["Session", a.StepArguments | a.StepInArguments], None]:
    def step(session: "Session", arguments: a.StepArguments | a.StepInArguments) -> None:
        session.engine.motion.step(
            session.thread(arguments.thread_id),
            kind,
            Granularity(arguments.granularity),
            arguments.target_id if isinstance(arguments, a.StepInArguments) else None,
            arguments.single_thread,
        )

    return step


def step_in_targets(session: "Session", arguments: a.StepInTargetsArguments) -> Json:
    found = session.engine.motion.step_in_targets(arguments.frame_id)
    return {"targets": [m.call_body(id_, call) for id_, call in found]}


def goto_targets(session: "Session", arguments: a.GotoTargetsArguments) -> Json:
    found = session.engine.motion.goto_targets(_path(arguments.source), arguments.line)
    return {"targets": [{"id": id_, "label": f"Line {n}", "line": n} for id_, n in found]}


def goto(session: "Session", arguments: a.GotoArguments) -> None:
    session.engine.motion.go_to(session.thread(arguments.thread_id), arguments.target_id)


def run_to(session: "Session", arguments: a.RunToArguments) -> Json:
    session.engine.motion.run_to(
        session.thread(arguments.thread_id),
        _path(arguments.source),
        arguments.line,
        arguments.single_thread,
    )
    return {"allThreadsContinued": not arguments.single_thread}


def tasks(session: "Session", arguments: a.Nothing) -> Json:
    return {"tasks": [m.task_body(task) for task in session.engine.tasks.all()]}


def list_breakpoints(session: "Session", arguments: a.Nothing) -> Json:
    return _listed(session.engine.breakpoints.infos())


def set_breakpoint(session: "Session", arguments: a.OneBreakpointArguments) -> Json:
    info = session.engine.breakpoints.add(a.one_spec(arguments))
    return {"breakpoint": m.breakpoint_body(info), "inFull": listings.breakpoint_body(info)}


def change_breakpoints(session: "Session", arguments: a.ChangeBreakpointsArguments) -> Json:
    breakpoints = session.engine.breakpoints
    if arguments.change == "remove":
        return _listed(breakpoints.remove(arguments.ids))
    return _listed(breakpoints.enable(arguments.ids, arguments.change == "enable"))


def _listed(infos: list[BreakpointInfo]) -> Json:
    return {"breakpoints": [listings.breakpoint_body(info) for info in infos]}


def list_watches(session: "Session", arguments: a.Nothing) -> Json:
    watches = session.engine.watches
    watches.look("the listing of watches")
    return {"watches": [listings.watch_body(one.info()) for one in watches.every()]}


def set_watch(session: "Session", arguments: a.SetWatchArguments) -> Json:
    target = session.target(arguments.expression, 0, arguments.frame_id, pending=arguments.pending)
    watch = session.engine.watches.add(target, a.asked_watch(arguments))
    return {"watch": listings.watch_body(watch.info())}


def remove_watches(session: "Session", arguments: a.WatchIdsArguments) -> Json:
    found = [session.engine.watches.named(str(id_))[0] for id_ in arguments.ids]
    session.engine.watches.remove(found)
    return {"watches": [listings.watch_body(one.info()) for one in found]}


def watch_history(session: "Session", arguments: a.WatchIdArguments) -> Json:
    [watch] = session.engine.watches.named(str(arguments.id))
    return {
        "expression": m.sendable(watch.target.text),
        "events": listings.events_body(tuple(watch.history)),
    }


def pause(session: "Session", arguments: a.ThreadArguments) -> Json | None:
    said = session.engine.motion.pause(arguments.thread_id)
    return {"message": m.sendable(said)} if said else None


def locations(session: "Session", arguments: a.LocationsArguments) -> Json:
    found = session.engine.inspector.location(arguments.location_reference)
    return {"source": m.source_body(found.path), "line": found.line}


def cancel(session: "Session", arguments: a.CancelArguments) -> None:
    if arguments.request_id is not None:
        session.cancel(arguments.request_id)


def source(session: "Session", arguments: a.SourceArguments) -> Json:
    source_ = arguments.source or a.SourceArg()
    sources = session.engine.sources
    reference = source_.source_reference or arguments.source_reference
    path = sources.path_of(reference) if reference > 0 else _path(source_)
    return {
        "content": sources.text(path),
        "mimeType": "text/x-python",
    }


def modules(session: "Session", arguments: a.ModulesArguments) -> Json:
    files = sorted(loaded_modules.files())
    found = [{"id": n, "name": n, "path": file} for n, file in files if file.endswith(".py")]
    end = arguments.start_module + arguments.module_count if arguments.module_count else None
    return {"modules": found[arguments.start_module : end], "totalModules": len(found)}


def loaded_sources(session: "Session", arguments: a.Nothing) -> Json:
    session.watches_sources = True
    return {"sources": [session.source_body(path) for path in session.engine.loaded.look_again()]}


def _path(source_: a.SourceArg) -> str:
    if not source_.path:
        raise errors.BadArguments("`arguments.source.path` is missing.")
    return source_.path


REQUESTS: dict[str, Request[Any]] = {
    "initialize": Request(a.InitializeArguments, initialize, needs_start=False),
    "attach": Request(a.AttachArguments, attach),
    "launch": Request(a.AttachArguments, attach),
    "configurationDone": Request(
        a.Nothing, configuration_done, {"supportsConfigurationDoneRequest": True}
    ),
    "disconnect": Request(
        a.DisconnectArguments, disconnect, {"supportTerminateDebuggee": True}, needs_start=False
    ),
    "terminate": Request(a.Nothing, terminate, {"supportsTerminateRequest": True}),
    "setBreakpoints": Request(
        a.SetBreakpointsArguments,
        set_breakpoints,
        {
            "supportsConditionalBreakpoints": True,
            "supportsHitConditionalBreakpoints": True,
            "supportsLogPoints": True,
        },
    ),
    "setFunctionBreakpoints": Request(
        a.SetFunctionBreakpointsArguments,
        set_function_breakpoints,
        {"supportsFunctionBreakpoints": True},
    ),
    "setExceptionBreakpoints": Request(
        a.SetExceptionBreakpointsArguments,
        set_exception_breakpoints,
        {
            "exceptionBreakpointFilters": m.EXCEPTION_FILTERS,
            "supportsExceptionFilterOptions": True,
        },
    ),
    "exceptionInfo": Request(
        a.ExceptionInfoArguments,
        exception_info,
        {"supportsExceptionInfoRequest": True},
        may_wait=True,
    ),
    "dataBreakpointInfo": Request(
        a.DataBreakpointInfoArguments,
        data_breakpoint_info,
        {"supportsDataBreakpointBytes": True},
        may_wait=True,
    ),
    "setDataBreakpoints": Request(
        a.SetDataBreakpointsArguments,
        set_data_breakpoints,
        {"supportsDataBreakpoints": True},
        may_wait=True,
    ),
    "breakpointLocations": Request(
        a.BreakpointLocationsArguments,
        breakpoint_locations,
        {"supportsBreakpointLocationsRequest": True},
    ),
    "threads": Request(a.Nothing, threads),
    "stackTrace": Request(
        a.StackTraceArguments, stack_trace, {"supportsDelayedStackTraceLoading": True}
    ),
    "scopes": Request(a.ScopesArguments, scopes, may_wait=True, is_brief=True),
    "variables": Request(a.VariablesArguments, variables, may_wait=True),
    "setVariable": Request(
        a.SetVariableArguments, set_variable, {"supportsSetVariable": True}, may_wait=True
    ),
    "evaluate": Request(
        a.EvaluateArguments,
        evaluate,
        {"supportsEvaluateForHovers": True, "supportsClipboardContext": True},
        may_wait=True,
    ),
    "setExpression": Request(
        a.SetExpressionArguments, set_expression, {"supportsSetExpression": True}, may_wait=True
    ),
    "completions": Request(
        a.CompletionsArguments, completions, {"supportsCompletionsRequest": True}, may_wait=True
    ),
    "locations": Request(a.LocationsArguments, locations),
    "cancel": Request(a.CancelArguments, cancel, {"supportsCancelRequest": True}),
    "continue": Request(
        a.ThreadArguments, continue_, {"supportsSingleThreadExecutionRequests": True}
    ),
    "next": Request(a.StepArguments, _step(StepKind.OVER), {"supportsSteppingGranularity": True}),
    "stepIn": Request(a.StepInArguments, _step(StepKind.INTO)),
    "stepOut": Request(a.StepArguments, _step(StepKind.OUT)),
    "stepInTargets": Request(
        a.StepInTargetsArguments, step_in_targets, {"supportsStepInTargetsRequest": True}
    ),
    "gotoTargets": Request(a.GotoTargetsArguments, goto_targets),
    "goto": Request(a.GotoArguments, goto, {"supportsGotoTargetsRequest": True}),
    "pause": Request(a.ThreadArguments, pause),
    "source": Request(a.SourceArguments, source),
    "loadedSources": Request(a.Nothing, loaded_sources, {"supportsLoadedSourcesRequest": True}),
    "modules": Request(a.ModulesArguments, modules, {"supportsModulesRequest": True}),
    "nbdebug/runTo": Request(a.RunToArguments, run_to),
    "nbdebug/tasks": Request(a.Nothing, tasks),
    "nbdebug/breakpoints": Request(a.Nothing, list_breakpoints),
    "nbdebug/setBreakpoint": Request(a.OneBreakpointArguments, set_breakpoint),
    "nbdebug/changeBreakpoints": Request(a.ChangeBreakpointsArguments, change_breakpoints),
    "nbdebug/watches": Request(a.Nothing, list_watches, may_wait=True),
    "nbdebug/setWatch": Request(a.SetWatchArguments, set_watch, may_wait=True),
    "nbdebug/removeWatches": Request(a.WatchIdsArguments, remove_watches),
    "nbdebug/watchHistory": Request(a.WatchIdArguments, watch_history),
}

NOT_SUPPORTED = {
    "disassemble": "Python code has no machine instructions to show",
    "readMemory": "values are told as Python sees them, not as memory",
    "restart": "restart the kernel",
    "restartFrame": "Python can't run a frame again",
    "reverseContinue": "Python can't run backwards",
    "runInTerminal": "a client answers it, and nbdebug asks for none",
    "setInstructionBreakpoints": "breakpoints are set on lines and functions",
    "startDebugging": "a client answers it, and nbdebug asks for none",
    "stepBack": "Python can't run backwards",
    "terminateThreads": "Python can't end a thread from outside",
    "writeMemory": "values are told as Python sees them, not as memory",
}
"""The Debug Adapter Protocol's other requests, and why each isn't answered."""
