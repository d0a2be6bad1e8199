"""The fields that a class's generated ``__repr__`` would show.

Owns the knowledge of who generates reprs (dataclasses, attrs, pydantic, namedtuple) and how to
know such a function from one that the user wrote. Reading the fields runs no code.

Threads: any that holds the objects still.
"""

import collections
import reprlib
import sys
from types import FunctionType
from typing import Any

from nbdebug.engine import physical

Fields = tuple[str, list[tuple[object, object]]]
"""The head of the text, and the fields in order."""

_MISSING = object()


def _file_of(function: Any) -> str:
    return str(function.__code__.co_filename)


_REPR_FILE = _file_of(reprlib.recursive_repr)
_NAMEDTUPLE_FILE = _file_of(collections.namedtuple)  # noqa: PYI024 (its file is wanted, not a class)
_PYDANTIC_HOOKS = ("__repr__", "__repr_args__", "__repr_str__", "__repr_name__")


def generated_fields(value: object, owner: type, function: FunctionType) -> Fields | None:
    """What ``function``, the ``__repr__`` that ``owner`` has, would show; None if it's the user's.

    Raises nothing.
    """
    file = function.__code__.co_filename
    if file == _REPR_FILE or file == _dataclasses_file():
        return _dataclass_fields(value, owner, function)
    if file == _NAMEDTUPLE_FILE and issubclass(owner, tuple):
        return _namedtuple_fields(value)
    if file.startswith("<attrs generated"):
        return _attrs_fields(value, owner)
    if owner is physical.loaded("pydantic.main", "BaseModel"):
        return _pydantic_fields(value)
    return None


def namedtuple_names(cls: type) -> tuple[str, ...]:
    """The field names of a namedtuple class, () for any other."""
    if not issubclass(cls, tuple):
        return ()
    found = physical.lookup(cls, "_fields")
    names = found[1] if found is not None else ()
    if type(names) is not tuple or not all(type(name) is str for name in names):
        return ()
    return names


def _qualname(value: object) -> str:
    return physical.qualname_of(type(value))


def _read(value: object, names: list[str]) -> list[tuple[object, object]]:
    read = [(name, physical.member(value, name, _MISSING)) for name in names]
    return [(name, held) for name, held in read if held is not _MISSING]


def _dataclasses_file() -> str | None:
    # Not imported: in a program that has no dataclasses nothing is one.
    fields = physical.loaded("dataclasses", "fields")
    return _file_of(fields) if type(fields) is FunctionType else None


def _dataclass_fields(value: object, owner: type, function: FunctionType) -> Fields | None:
    made = physical.instance_dict(function) or {}
    wrapped = made.get("__wrapped__")
    fields = physical.class_dict(owner).get("__dataclass_fields__")
    if type(wrapped) is not FunctionType or type(fields) is not dict:
        return None
    if wrapped.__code__.co_filename != "<string>":  # the user's own, under @recursive_repr
        return None
    field_class = physical.loaded("dataclasses", "Field")
    is_field = physical.loaded("dataclasses", "_FIELD")  # not a ClassVar, nor an InitVar
    names = [
        name
        for name, field in fields.items()
        if type(field) is field_class and field.repr and field._field_type is is_field
    ]
    return _qualname(value), _read(value, names)


def _namedtuple_fields(value: object) -> Fields | None:
    names = namedtuple_names(type(value))
    held = physical.items(value, 0, len(names))
    return physical.name_of(type(value)), list(zip(names, held, strict=False))


def _attrs_fields(value: object, owner: type) -> Fields | None:
    attributes = physical.class_dict(owner).get("__attrs_attrs__")
    if not physical.is_a(attributes, tuple):
        return None
    names = []
    for attribute in physical.items(attributes, 0, sys.maxsize):
        if attribute.repr is True:
            names.append(attribute.name)
        elif attribute.repr is not False:  # a function of the user's writes this field
            return None
    return _qualname(value), _read(value, names)


def is_pydantic_model(cls: type) -> bool:
    """True for a model class of pydantic's second version."""
    base = physical.loaded("pydantic.main", "BaseModel")
    return base is not None and physical.inherits(cls, base)


def _pydantic_fields(value: object) -> Fields | None:
    for hook in _PYDANTIC_HOOKS:
        owner, _ = physical.lookup(type(value), hook) or (object, None)
        if not physical.module_of(owner).startswith("pydantic."):
            return None  # the user's own way to write it
    entries = physical.instance_dict(value) or {}
    known = physical.lookup(type(value), "__pydantic_fields__")
    fields = known[1] if known is not None and type(known[1]) is dict else {}
    shown: list[tuple[object, object]] = [
        (k, v) for k, v in entries.items() if getattr(fields.get(k), "repr", True) is True
    ]
    extra = physical.member(value, "__pydantic_extra__")
    if type(extra) is dict:
        shown += extra.items()
    return physical.name_of(type(value)), shown
