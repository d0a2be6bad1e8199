"""What the engine uses of `typing`, in a small way, for a process that isn't ours.

The importer of the agent gives it to our modules in place of the real one, which would take half a
MiB there. Named tuples and the types of arguments work as with the real one; all else says
something to type checkers only. What is missing is to be added here. Any thread may call.
"""

from _collections import _tuplegetter  # type: ignore[import-not-found]  # as `namedtuple` has it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
else:

    class Any:
        """Says nothing, but can stand in a union."""


Final = Concatenate = TextIO = Any


class Protocol:
    """A base that adds nothing."""


class _Naming(type):
    """Gives the fields that are annotated in a class's body their places in its tuples."""

    _fields: "tuple[str, ...]"
    _field_defaults: "dict[str, Any]"

    def __init__(cls, name: str, bases: "tuple[Any, ...]", body: "dict[str, Any]") -> None:
        super().__init__(name, bases, body)
        cls._fields = tuple(cls.__annotations__)
        cls._field_defaults = {one: body[one] for one in cls._fields if one in body}
        for index, one in enumerate(cls._fields):
            setattr(cls, one, _tuplegetter(index, None))


class NamedTuple(tuple["Any", ...], metaclass=_Naming):
    """The base of tuples whose fields have names, and perhaps defaults."""

    __slots__ = ()

    def __new__(cls, *values: "Any", **named: "Any") -> "Any":
        if len(values) == len(cls._fields) and not named:
            return tuple.__new__(cls, values)
        rest = cls._fields[len(values) :]
        if len(values) > len(cls._fields) or named.keys() - set(rest):
            raise TypeError(f"{cls.__name__} has no such fields")
        missing = [one for one in rest if one not in named and one not in cls._field_defaults]
        if missing:
            raise TypeError(f"{cls.__name__} needs {', '.join(missing)}")
        found = [named[one] if one in named else cls._field_defaults[one] for one in rest]
        return tuple.__new__(cls, (*values, *found))

    def __repr__(self) -> str:
        fields = zip(type(self)._fields, self, strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in fields)})"


class Literal:
    """One of some values: ``Literal["a", "b"]``."""

    def __class_getitem__(cls, values: "Any") -> "Any":
        return _Literal(values if isinstance(values, tuple) else (values,))


class Union:
    """One of some types: what ``Literal["a"] | None`` makes."""

    def __init__(self, *types: "Any") -> None:
        self.__origin__ = Union
        self.__args__ = types


class _Literal:
    def __init__(self, values: "tuple[Any, ...]") -> None:
        self.__origin__ = Literal
        self.__args__ = values

    def __or__(self, other: "Any") -> Union:
        return Union(self, other)


def get_origin(hint: "Any") -> "Any":
    """Return what is subscripted in this type, None where nothing is."""
    return getattr(hint, "__origin__", None)


def get_args(hint: "Any") -> "tuple[Any, ...]":
    """Return the parts of a type."""
    found: tuple[Any, ...] = getattr(hint, "__args__", ())
    return found


def get_type_hints(of: "Any") -> "Mapping[str, Any]":
    """Return field -> type of a class."""
    found: Mapping[str, Any] = of.__annotations__
    return found


def cast(type_: object, value: "Any") -> "Any":
    """Return the value."""
    return value
