"""Reads objects as they physically are: type, class dictionaries, instance dictionary, slots.

Owns no state. Nothing here runs code of the objects' classes or metaclasses: what Python code can
override (``__class__``, ``__getattribute__``, ``__dict__`` as a property, a metaclass's
``__name__``) is read through the descriptors of ``type`` and of the C types instead.

Threads: any that holds the objects still.
"""

import gc
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

_get_mro = type.__dict__["__mro__"].__get__
_get_dict = type.__dict__["__dict__"].__get__
_get_name = type.__dict__["__name__"].__get__
_get_qualname = type.__dict__["__qualname__"].__get__
_get_module = type.__dict__["__module__"].__get__
_get_flags = type.__dict__["__flags__"].__get__

_HEAP_TYPE = 1 << 9
_INLINE_VALUES = 1 << 2  # Py_TPFLAGS_INLINE_VALUES, since 3.13

# By id: to look a class up by itself would run its metaclass's __hash__.
_FUNCTION_TYPES = frozenset(
    map(
        id,
        (
            types.FunctionType,
            types.BuiltinFunctionType,
            types.MethodType,
            types.MethodDescriptorType,
            types.MethodWrapperType,
            types.WrapperDescriptorType,
            types.ClassMethodDescriptorType,
            classmethod,
            staticmethod,
        ),
    )
)


def is_function(value: object) -> bool:
    """True for functions and methods of any make, by exact type."""
    return id(type(value)) in _FUNCTION_TYPES


def is_descriptor(entry: object) -> bool:
    """True for an entry of a class through which C code reads a slot or computes a fact."""
    cls = type(entry)
    return cls is types.MemberDescriptorType or cls is types.GetSetDescriptorType


def mro(cls: type) -> tuple[type, ...]:
    """The method resolution order as the interpreter uses it."""
    found: tuple[type, ...] = _get_mro(cls)
    return found


def class_dict(cls: type) -> Mapping[str, Any]:
    """The class's own dictionary."""
    found: Mapping[str, Any] = _get_dict(cls)
    return found


def name_of(cls: type) -> str:
    """The class's ``__name__``."""
    found: str = _get_name(cls)
    return found


def module_of(cls: type) -> str:
    """The class's ``__module__``, "" where it isn't a string."""
    # For a class made in Python this reads the entry of its dictionary, and no property of it.
    module = _get_module(cls)
    return module if type(module) is str else ""


def qualname_of(cls: type) -> str:
    """The class's ``__qualname__``."""
    found: str = _get_qualname(cls)
    return found


def full_name_of(cls: type) -> str:
    """``module.QualifiedName``, without the module for builtins."""
    module, qualname = module_of(cls), qualname_of(cls)
    return qualname if module in ("", "builtins") else f"{module}.{qualname}"


def is_heap_type(cls: type) -> bool:
    """True for a class that is not static in C: every class made in Python is one."""
    return bool(_get_flags(cls) & _HEAP_TYPE)


def has_inline_values(cls: type) -> bool:
    """True on 3.13 and newer if instances keep their attributes' values inside of themselves."""
    return bool(_get_flags(cls) & _INLINE_VALUES)


def is_interpreter_type(cls: type) -> bool:
    """True for a static type of the interpreter itself."""
    return not is_heap_type(cls) and module_of(cls) == "builtins"


def address_text(value: object) -> str:
    """``<module.Class object at 0x...>``, as ``object.__repr__`` has it."""
    return f"<{full_name_of(type(value))} object at {id(value):#x}>"


def lookup(cls: type, name: str) -> tuple[type, Any] | None:
    """The first class of the MRO that has ``name``, with the raw entry; None where none has it."""
    for owner in mro(cls):
        entries = class_dict(owner)
        if name in entries:
            return owner, entries[name]
    return None


def instance_dict(value: object) -> dict[str, Any] | None:
    """The instance's own dictionary itself, None where it has none."""
    for owner in mro(type(value)):
        entry: Any = class_dict(owner).get("__dict__")
        # A property or the like called __dict__ is user code: the true one lies further up.
        if is_descriptor(entry):
            try:
                found = entry.__get__(value)
            except Exception:  # a C getter may refuse
                return None
            return found if type(found) is dict else None
    return None


def member(value: object, name: str, default: object = None) -> Any:
    """The value of a slot or of an entry of the instance's dictionary, ``default`` where absent."""
    found = lookup(type(value), name)
    if found is not None and is_descriptor(found[1]):
        try:
            return found[1].__get__(value)
        except Exception:  # an unset slot
            return default
    entries = instance_dict(value)
    return default if entries is None else entries.get(name, default)


def proxied_mapping(proxy: object) -> object:
    """The mapping behind a ``types.MappingProxyType``, which hides it from Python code."""
    behind = gc.get_referents(proxy)
    return behind[0] if behind else {}


def loaded(module: str, name: str) -> object:
    """What a module has under ``name`` if it is imported, else None; imports nothing."""
    found = sys.modules.get(module)
    entries = instance_dict(found) if found is not None else None
    return None if entries is None else entries.get(name)


def inherits(cls: type, base: object) -> bool:
    """True if ``base`` is in the MRO; no ``__subclasscheck__`` or metaclass ``__eq__`` is asked."""
    return any(each is base for each in mro(cls))


def is_special(name: str) -> bool:
    """True for ``__names__`` that the language owns."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def plain(text: Any) -> str:
    """An exact ``str`` of a string, "?" of anything else."""
    return str.__getitem__(text, slice(None)) if is_a(text, str) else "?"


def is_a(value: object, *classes: type) -> bool:
    """``isinstance`` by the true type, for builtin classes; ``__class__`` is not asked."""
    return issubclass(type(value), classes)


def between(
    iterate: Callable[[Any], Iterator[Any]], value: object, start: int, stop: int
) -> list[Any]:
    """The items ``start`` to ``stop`` of an iteration, walking no further than ``stop``.

    ``iterate`` is a builtin's own, such as ``set.__iter__``. Another thread may change the
    container meanwhile: then the items are those of one moment.
    """
    if stop <= start:
        return []
    try:
        return list(islice(iterate(value), start, stop))
    except RuntimeError:  # changed size during iteration
        return list(iterate(value))[start:stop]


def pairs(mapping: dict[Any, Any], start: int, stop: int) -> list[tuple[Any, Any]]:
    """The pairs ``start`` to ``stop`` of a dictionary or a subclass of it, in its order."""
    base = OrderedDict if is_a(mapping, OrderedDict) else dict
    return between(lambda m: iter(base.items(m)), mapping, start, stop)


def items(sequence: Any, start: int, stop: int) -> list[Any]:
    """The items ``start`` to ``stop`` of a list or tuple or a subclass of them."""
    base: Any = list if is_a(sequence, list) else tuple
    found: list[Any] = list(base.__getitem__(sequence, slice(start, stop)))
    return found
