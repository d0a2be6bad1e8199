"""How each known type is written: the tables from a type to the function that writes its values.

Owns the texts of the standard library's objects, as their own ``__repr__`` has them, but read
physically. The size of a text is value_text's concern.

Threads: the one that holds the objects still.
"""

import datetime as dt
import enum
import functools
import re
import types
import weakref
from collections import (
    ChainMap,
    Counter,
    OrderedDict,
    UserDict,
    UserList,
    UserString,
    defaultdict,
    deque,
)
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbdebug.engine import physical, records

if TYPE_CHECKING:
    from nbdebug.engine.value_text import Work

type _Write = Callable[["Work", Any], str]

_GENERATORS = (
    (types.GeneratorType, "gi"),
    (types.CoroutineType, "cr"),
    (types.AsyncGeneratorType, "ag"),
)


def generator_prefix(value: object) -> str | None:
    """What the attributes of a generator or coroutine begin with, None for anything else."""
    return next((prefix for cls, prefix in _GENERATORS if type(value) is cls), None)


def generator_state(value: Any) -> str:
    """Where a generator, coroutine or asynchronous generator is."""
    prefix = generator_prefix(value)
    frame = getattr(value, f"{prefix}_frame")
    if getattr(value, f"{prefix}_running"):
        return "running"
    if frame is None:
        return "finished"
    if getattr(value, f"{prefix}_suspended"):
        return f"suspended at line {frame.f_lineno}"
    return "not started"


def generated(work: "Work", value: object, owner: type, entry: object) -> str | None:
    """The text of a value whose ``__repr__`` a library made, None where the user wrote it."""
    if type(entry) is not types.FunctionType:
        return None
    found = records.generated_fields(value, owner, entry)
    return None if found is None else work.fields(value, *found)


def _generator(work: "Work", value: Any) -> str:
    kind = physical.name_of(type(value))
    name = physical.plain(value.__qualname__)
    return work.short(f"<{kind} object {name} at {id(value):#x}, {generator_state(value)}>")


def _exception(work: "Work", value: Any) -> str:
    args = BaseException.__dict__["args"].__get__(value)
    name, text = physical.name_of(type(value)), work.tuple(args)
    return name + (f"{text[:-2]})" if text.endswith(",)") else text)


def _enum_member(work: "Work", value: Any) -> str:
    entries = physical.instance_dict(value) or {}
    name = entries.get("_name_")
    head = physical.name_of(type(value)) + (f".{physical.plain(name)}" if name else "")
    return f"<{head}: {work.write(entries.get('_value_'))}>"


def _function(work: "Work", value: Any) -> str:
    return work.short(f"<function {physical.plain(value.__qualname__)} at {id(value):#x}>")


def _method(work: "Work", value: Any) -> str:
    inner, bound = value.__func__, value.__self__
    plain = type(inner) is types.FunctionType
    name = physical.plain(inner.__qualname__) if plain else physical.name_of(type(inner))
    is_class = physical.is_a(bound, type)
    of = f"<class {physical.full_name_of(bound)!r}>" if is_class else physical.address_text(bound)
    return work.short(f"<bound method {name} of {of}>")


def _module(work: "Work", value: Any) -> str:
    entries = physical.instance_dict(value) or {}
    name, path = physical.plain(entries.get("__name__")), entries.get("__file__")
    return work.short(f"<module {name!r}" + (f" from {path!r}>" if type(path) is str else ">"))


def _weak_reference(work: "Work", value: Any) -> str:
    target = weakref.ref.__call__(value)
    to = "dead" if target is None else f"to {physical.address_text(target)}"
    return work.short(f"<weakref at {id(value):#x}; {to}>")


def _slice(work: "Work", value: Any) -> str:
    return "slice" + work.tuple((value.start, value.stop, value.step))


def _partial(work: "Work", value: Any) -> str:
    function, args, keywords = (
        physical.member(value, name) for name in ("func", "args", "keywords")
    )
    given: list[tuple[object, object]] = [(None, held) for held in (function, *args)]
    given += physical.pairs(keywords, 0, len(keywords))

    def write(part: tuple[object, object]) -> str:
        head = "" if part[0] is None else f"{physical.plain(part[0])}="
        return head + work.write(part[1])

    brackets = ("functools.partial(", ")")
    return work.container(value, brackets, len(given), lambda n: given[:n], write)


def _simple_namespace(work: "Work", value: Any) -> str:
    entries = physical.instance_dict(value) or {}
    plain = type(value) is types.SimpleNamespace
    head = "namespace" if plain else physical.name_of(type(value))
    return work.fields(value, head, list(entries.items()))


def _chain_map(work: "Work", value: Any) -> str:
    maps = physical.member(value, "maps")
    return f"{physical.name_of(type(value))}({work.write(maps)[1:-1]})"


def _aware(work: "Work", value: Any) -> str:
    # The repr of a time writes its zone's repr, which is the user's where the zone is.
    zone = value.tzinfo
    known = zone is None or type(zone) is dt.timezone or imported(type(zone)) is not None
    return work.own_repr(value) if known else work.bounded_repr(value)


def _array(work: "Work", value: Any) -> str:
    opening = f"array({value.typecode!r}, ["
    return work.container(value, (opening, "])"), len(value), lambda n: value[:n])


def _named(work: "Work", value: Any) -> str:
    return work.named_dict(value)


def _set(work: "Work", value: Any) -> str:
    return work.set(value)


def _own_repr(work: "Work", value: Any) -> str:
    return work.own_repr(value)


def _address(work: "Work", value: Any) -> str:
    return work.short(physical.address_text(value))


def _data(work: "Work", value: Any) -> str:
    return work.write(physical.member(value, "data"))


_EXACT: dict[type, _Write] = {
    int: lambda work, value: work.integer(value),
    str: lambda work, value: work.string(value),
    bytes: lambda work, value: work.bytes(value),
    bytearray: lambda work, value: work.bytes(value),
    float: lambda work, value: float.__repr__(value),
    complex: lambda work, value: complex.__repr__(value),
    list: lambda work, value: work.list(value),
    tuple: lambda work, value: work.tuple(value),
    set: _set,
    frozenset: _set,
    dict: lambda work, value: work.dict(value),
    deque: lambda work, value: work.deque(value),
    OrderedDict: _named,
    Counter: _named,
    defaultdict: lambda work, value: work.default_dict(value),
}
"""Types whose subclasses are written in the same way, if they inherit the repr."""

_OWN_REPR: tuple[type, ...] = (
    bool,
    type(None),
    type(...),
    type(NotImplemented),
    range,
    memoryview,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.CodeType,
    types.FrameType,
    types.TracebackType,
    types.CellType,
    re.Pattern,
    dt.date,
    dt.timedelta,
    dt.timezone,
)

_DICT_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def _by_identity(writers: dict[type, _Write]) -> dict[int, _Write]:
    # By id: to look a class up by itself would run its metaclass's __hash__.
    return {id(cls): write for cls, write in writers.items()}


PLAIN: dict[int, _Write] = _by_identity(
    dict.fromkeys(_OWN_REPR, _own_repr)
    | {cls: _generator for cls, _ in _GENERATORS}
    | {cls: lambda work, value: work.dict_view(value) for cls in _DICT_VIEWS}
    | {
        **_EXACT,
        dt.datetime: _aware,
        dt.time: _aware,
        types.FunctionType: _function,
        types.MethodType: _method,
        types.ModuleType: _module,
        types.SimpleNamespace: _simple_namespace,
        types.MappingProxyType: lambda work, value: (
            f"mappingproxy({work.write(physical.proxied_mapping(value))})"
        ),
        classmethod: lambda work, value: f"<classmethod({work.write(value.__func__)})>",
        staticmethod: lambda work, value: f"<staticmethod({work.write(value.__func__)})>",
        slice: _slice,
        functools.partial: _partial,
        weakref.ref: _weak_reference,
        weakref.ProxyType: _address,
        weakref.CallableProxyType: _address,
    }
)
"""``id`` of an exact type -> how its values are written. The types live for ever."""

INHERITED: dict[int, _Write] = _by_identity(
    {
        **_EXACT,
        BaseException: _exception,
        enum.Enum: _enum_member,
        enum.Flag: _enum_member,
        types.ModuleType: _module,
        types.SimpleNamespace: _simple_namespace,
        functools.partial: _partial,
        weakref.ref: _weak_reference,
        UserDict: _data,
        UserList: _data,
        UserString: _data,
        ChainMap: _chain_map,
    }
)
"""``id`` of the class that a ``__repr__`` is inherited from -> how the value is written."""

_IMPORTED: dict[str, tuple[str, _Write]] = {
    "array": ("array", _array),
    "Decimal": ("decimal", _own_repr),
    "Fraction": ("fractions", _own_repr),
    "UUID": ("uuid", _own_repr),
    "ZoneInfo": ("zoneinfo", _own_repr),
    "PosixPath": ("pathlib", _own_repr),
    "WindowsPath": ("pathlib", _own_repr),
    "PurePosixPath": ("pathlib", _own_repr),
    "PureWindowsPath": ("pathlib", _own_repr),
}


def imported(cls: type) -> _Write | None:
    """How values of exactly this type of the standard library are written, if it is known.

    For modules that needn't be imported to know their types.
    """
    module, write = _IMPORTED.get(physical.name_of(cls), ("", None))
    if write is None or physical.loaded(module, physical.name_of(cls)) is not cls:
        return None
    return write


def is_plain_value(cls: type) -> bool:
    """True for the types of ``imported`` whose text says all."""
    return imported(cls) is _own_repr
