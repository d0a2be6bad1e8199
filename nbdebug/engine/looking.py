"""Looking at what names, attributes and items stand for, running no code: what a hover may do.

Owns the rules of static look-up: instance dictionaries and slots as they physically are, and the
items of builtin containers by the containers' own methods. What would need code says so.
Called on the stopped thread, or on one that holds the objects still.
"""

import ast
import builtins
import types
from collections import OrderedDict, defaultdict, deque
from typing import Any, cast

from nbdebug import compat, errors
from nbdebug.engine import physical

_MISSING = object()
# By id: to compare a class would run its metaclass's __eq__.
_SEQUENCES = {id(cls) for cls in (list, tuple, str, bytes, bytearray, range, deque)}
_MAPPINGS = {id(cls) for cls in (dict, OrderedDict, defaultdict)}
_PLAIN_KEYS = {id(cls) for cls in (str, int, float, complex, bool, bytes, type(None))}
_POSITIONS = {id(cls) for cls in (int, bool, type(None))}
_SAFE_LIBRARIES = ("builtins", "numpy")
"""Modules whose C getters compute nothing but what the object already is."""


def look(text: str, frame: Any) -> Any:
    """Return what ``text`` stands for in ``frame``: names, attributes, items, constants.

    Raises EvaluationFailed where that would run code, or doesn't exist.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise errors.EvaluationFailed(f"`{text}` isn't an expression.") from None
    return _look(node, frame)


def _look(node: ast.expr, frame: Any) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _named(name, frame)
        case ast.Attribute(value=owner, attr=name):
            return attribute(_look(owner, frame), name)
        case ast.Subscript(value=owner, slice=index):
            return _item(_look(owner, frame), _look(index, frame))
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*(None if n is None else _look(n, frame) for n in (lower, upper, step)))
        case ast.Tuple(elts=elements):
            return tuple(_look(element, frame) for element in elements)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    raise _would_run(ast.unparse(node))


def _named(name: str, frame: Any) -> Any:
    for namespace in (frame.f_locals, frame.f_globals, vars(builtins)):
        if type(namespace) is compat.FRAME_LOCALS_TYPE:
            found = cast(Any, namespace).get(name, _MISSING)
        elif physical.is_a(namespace, dict):
            found = dict.get(namespace, name, _MISSING)
        else:  # a class body whose metaclass prepared a mapping of its own
            raise _would_run(name)
        if found is not _MISSING:
            return found
    raise errors.EvaluationFailed(f"NameError: name '{name}' is not defined")


def attribute(owner: object, name: str) -> Any:
    """Return an attribute without running code. Raises EvaluationFailed."""
    cls = type(owner)
    if physical.is_a(owner, type):
        return _of_class(owner, name)  # type: ignore[arg-type]  # is_a has seen it
    if _overrides(cls, "__getattribute__", (object, types.ModuleType)):
        raise _would_run(f".{name}", f"{physical.name_of(cls)} has a __getattribute__")
    found = physical.lookup(cls, name)
    if found is not None and _is_data(found[1]):
        return _through(found, owner, name)
    entries = physical.instance_dict(owner)
    if entries is not None and name in entries:
        return entries[name]
    if found is not None:
        return _bound(found[1], owner, cls, name)
    if physical.lookup(cls, "__getattr__") or (entries and "__getattr__" in entries):
        raise _would_run(f".{name}", f"{physical.name_of(cls)} has a __getattr__")
    raise _no_attribute(cls, name)


def _of_class(owner: type, name: str) -> Any:
    meta = physical.lookup(type(owner), name)
    if meta is not None and _is_data(meta[1]):
        return _through(meta, owner, name)
    found = physical.lookup(owner, name)
    if found is not None:
        entry = found[1]
        if type(entry) is property or physical.is_descriptor(entry):
            return entry  # as Python has it, read from the class
        return _bound(entry, None, owner, name)
    if meta is not None:
        return _bound(meta[1], owner, type(owner), name)
    if physical.lookup(type(owner), "__getattr__"):
        raise _would_run(f".{name}", "its metaclass has a __getattr__")
    raise _no_attribute(owner, name)


def _is_data(entry: object) -> bool:
    return physical.is_descriptor(entry) or bool(
        physical.lookup(type(entry), "__set__") or physical.lookup(type(entry), "__delete__")
    )


def _through(found: tuple[type, Any], owner: object, name: str) -> Any:
    """Read through a data descriptor of a class, if that is C that only reads."""
    where, entry = found
    is_slot = type(entry) is types.MemberDescriptorType
    is_safe = physical.module_of(where).partition(".")[0] in _SAFE_LIBRARIES
    if not (is_slot or (physical.is_descriptor(entry) and is_safe)):
        kind = "property" if physical.is_a(entry, property) else "descriptor"
        raise _would_run(f".{name}", f"it is a {kind}")
    try:
        return entry.__get__(owner)
    except Exception as error:
        raise errors.EvaluationFailed(f"{type(error).__name__}: {name}") from None


def _bound(entry: Any, owner: object, cls: type, name: str) -> Any:
    """Return what a class's entry is on an instance, or on the class where ``owner`` is None."""
    match entry:
        case types.FunctionType():
            return entry if owner is None else types.MethodType(entry, owner)
        case staticmethod():
            return entry.__func__
        case classmethod() if type(entry.__func__) is types.FunctionType:
            return types.MethodType(entry.__func__, cls)
    if physical.is_function(entry) and not physical.is_heap_type(type(entry)):
        return entry.__get__(owner, cls)
    if physical.lookup(type(entry), "__get__"):
        raise _would_run(f".{name}", "it is a descriptor")
    return entry


def _item(owner: Any, index: Any) -> Any:
    found = physical.lookup(type(owner), "__getitem__")
    kind: Any = None if found is None else found[0]
    try:
        if id(kind) in _SEQUENCES and _is_position(index):
            return kind.__getitem__(owner, index)
        if id(kind) in _MAPPINGS and _is_plain(index):
            return _value_at(owner, index)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise errors.EvaluationFailed(f"{type(error).__name__}: {error}") from None
    raise _would_run(f"{physical.name_of(type(owner))}[...]")


def _value_at(owner: Any, key: object) -> Any:
    value = dict.get(owner, key, _MISSING)
    if value is _MISSING and physical.lookup(type(owner), "__missing__"):
        raise _would_run(f"[{key!r}]", "the key is missing, and would be made")
    if value is _MISSING:
        raise KeyError(key)
    return value


def _is_position(index: object) -> bool:
    if type(index) is slice:
        return all(id(type(n)) in _POSITIONS for n in (index.start, index.stop, index.step))
    return index is not None and id(type(index)) in _POSITIONS


def _is_plain(key: object) -> bool:
    if type(key) is tuple:
        return all(map(_is_plain, key))
    return id(type(key)) in _PLAIN_KEYS


def _overrides(cls: type, name: str, bases: tuple[type, ...]) -> bool:
    found = physical.lookup(cls, name)
    where = object if found is None else found[0]
    return physical.is_heap_type(where) and not any(where is base for base in bases)


def _no_attribute(cls: type, name: str) -> errors.EvaluationFailed:
    said = f"AttributeError: {physical.name_of(cls)} has no attribute '{name}'"
    return errors.EvaluationFailed(said)


def _would_run(what: str, why: str = "") -> errors.EvaluationFailed:
    reason = f": {why}" if why else ""
    return errors.EvaluationFailed(f"`{what}` isn't looked at on hover, it would run code{reason}.")
