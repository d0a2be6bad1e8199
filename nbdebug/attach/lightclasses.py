"""What the engine uses of `dataclasses`, in a small way, for a process that isn't ours.

The importer of the agent gives it to our modules in place of the real one, which brings inspect,
ast and tokenize along and compiles the methods of each class: a third of the time that the engine
takes to be loaded. Here the methods are closures. Only what our classes use is there, and only that
is as in the real one: no inheritance, no order, no pickling. What is missing is to be added here.
Imports nothing; any thread.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MISSING = object()
DEFAULTS = "__field_defaults__"
"""What lean code has in a class in place of annotations, beside ``__slots__``: name -> default."""


class FrozenInstanceError(AttributeError):
    """A field of a frozen instance was to be set or deleted."""


class Field:
    """A default that each instance makes for itself."""

    def __init__(self, make: "Callable[[], Any]") -> None:
        self.make = make


def field(*, default_factory: "Callable[[], Any]") -> "Any":
    """Return what stands for a field whose default is made for each instance."""
    return Field(default_factory)


def dataclass(*, slots: bool, frozen: bool = False) -> "Callable[[Any], Any]":
    """Return a decorator that gives a class its methods and slots, which all of ours have."""
    assert slots
    return lambda cls: _made(cls, frozen)


def replace(one: "Any", /, **changes: "Any") -> "Any":
    """Return another instance, with the fields of this one but for the changes."""
    for name in one.__match_args__:
        changes.setdefault(name, getattr(one, name))
    return type(one)(**changes)


def asdict(one: "Any") -> "dict[str, Any]":
    """Return the fields, by name. What they hold isn't copied."""
    return {name: getattr(one, name) for name in one.__match_args__}


def _made(cls: "Any", frozen: bool) -> "Any":
    body = dict(vars(cls))
    if DEFAULTS in body:  # lean code: a class made twice stays in memory until the next collection
        made, names, defaults = cls, cls.__slots__, body[DEFAULTS]
    else:
        names = tuple(cls.__annotations__)
        defaults = {name: body.pop(name) for name in names if name in body}
        for name in ("__dict__", "__weakref__"):
            body.pop(name, None)
        made = type(cls)(cls.__name__, cls.__bases__, {**body, "__slots__": names})
        made.__qualname__ = cls.__qualname__
    puts = [vars(made)[name].__set__ for name in names]
    added: dict[str, Any] = {"__match_args__": names, "__init__": _init(names, defaults, puts)}
    if "__repr__" not in body:
        added["__repr__"] = _repr
    if "__eq__" not in body:
        added |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    if frozen:
        added |= {"__setattr__": _refuse, "__delattr__": _refuse}
    for name, value in added.items():
        setattr(made, name, value)
    return made


def _init(names: "tuple[str, ...]", defaults: "dict[str, Any]", puts: "list[Any]") -> "Any":
    count = len(names)

    def init(self: "Any", *values: "Any", **named: "Any") -> None:
        if named or len(values) != count:
            values = _completed(type(self), names, defaults, values, named)
        for put, value in zip(puts, values):  # noqa: B905 (as many, and this is quicker)
            put(self, value)

    return init


def _completed(
    cls: type,
    names: "tuple[str, ...]",
    defaults: "dict[str, Any]",
    values: "tuple[Any, ...]",
    named: "dict[str, Any]",
) -> "tuple[Any, ...]":
    if len(values) > len(names):
        raise TypeError(f"{cls.__name__} takes {len(names)} values, and {len(values)} were given")
    found = list(values)
    for name in names[len(values) :]:
        value = named.pop(name, _MISSING)
        if value is _MISSING:
            value = defaults.get(name, _MISSING)
            if value is _MISSING:
                raise TypeError(f"{cls.__name__} needs {name!r}")
            if type(value) is Field:
                value = value.make()
        found.append(value)
    if named:
        raise TypeError(f"{cls.__name__} takes no {', '.join(named)}")
    return tuple(found)


def _values(one: "Any") -> "tuple[Any, ...]":
    return tuple([getattr(one, name) for name in one.__match_args__])


def _repr(self: "Any") -> str:
    fields = [f"{name}={getattr(self, name)!r}" for name in self.__match_args__]
    return f"{type(self).__qualname__}({', '.join(fields)})"


def _eq(self: "Any", other: "Any") -> "Any":
    if type(other) is not type(self):
        return NotImplemented
    return self is other or _values(self) == _values(other)


def _hash(self: "Any") -> int:
    return hash(_values(self))


def _refuse(self: "Any", name: str, value: "Any" = None) -> None:
    raise FrozenInstanceError(f"can't change {name!r}")
