"""Exact watches on an attribute of one object, reads too: its class becomes a one-off subclass.

Owns the one-off classes; must not know what a watch is for. For what dict watchers can't see:
`__slots__`, and reads. The subclass has a property of the attribute's name, whose functions are
ordinary Python: what `seen` does may take its time, and stop. Other instances are as they were.

What the guest can notice: `type(o)` is another class of the same name (`NOTICE` says it).
`o.__class__`, isinstance, copies and pickles are those of the true class. Not seen: what goes past
the attribute, as `vars(o)["a"] = 1` does. The object isn't kept alive.

Threads: a watch is opened and closed on any thread; `seen` is called on the one that reads or
writes, after it has. Source: Objects/typeobject.c (object_set_class), Doc/reference/datamodel.rst.
"""

import abc
import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal

from nbdebug import errors
from nbdebug.engine import physical

NOTICE: Final = (
    "While it is watched, the object's type() is a one-off subclass; its __class__, isinstance, "
    "copies and pickles are those of its own class."
)

Kind = Literal["read", "added", "modified", "deleted"]
Seen = Callable[[Kind, object, object], object]
"""Called with what happened, the value before and the one after; `ABSENT` stands for none."""


class _Absent:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<absent>"


ABSENT: Final = _Absent()

_set_class = object.__dict__["__class__"].__set__
_MISSING = object()


class AttributeWatch:
    """A watch on ``value.name`` until it is closed or the object is gone.

    Without ``reads`` only writes and deletions are told of, and a read costs less.
    Raises NotSupported with the reason where the object's class can't be changed, or changing it
    would run code of the user's.
    """

    def __init__(self, value: object, name: str, seen: Seen, *, reads: bool = True) -> None:
        cls = type(value)
        one_off = _one_offs.get(cls)
        if one_off is None:
            one_off = _OneOff(value)
        self._one_off = one_off
        self._name = name
        self._seen = seen
        one_off.add(name, seen, reads)

    @property
    def closed(self) -> bool:
        """True once it is closed, or its object has died."""
        return not self._one_off.has(self._name, self._seen) or self._one_off.value() is None

    def close(self) -> None:
        """End the watch; with the last one of the object, its class is its own again."""
        self._one_off.remove(self._name, self._seen)


def why_not(value: object) -> str | None:
    """Return why the class of this object can't be changed, as a sentence; None if it may be."""
    cls = type(value)
    if cls in _one_offs:
        return None
    name = physical.qualname_of(cls)
    if not physical.is_heap_type(cls):
        return f"A {name} is made in C: it has no class that could be changed."
    if isinstance(value, type):
        return f"{physical.qualname_of(value)} is a class, which isn't watched in this way."
    if type(cls) not in (type, abc.ABCMeta):
        return f"{name} has a metaclass of its own, which would run for each new subclass."
    found = physical.lookup(cls, "__init_subclass__")
    if found is not None and found[0] is not object:
        return f"{name} has an __init_subclass__, which would run for each new subclass."
    if getattr(cls, "__final__", False):
        return f"{name} is final: it is to have no subclass."
    return None


class _OneOff:
    """One object's class: its own, plus a property for each watched name."""

    def __init__(self, value: object) -> None:
        refusal = why_not(value)
        if refusal is not None:
            raise errors.NotSupported(refusal)
        self.cls = type(value)
        self._watchers: dict[str, list[tuple[Seen, bool]]] = {}
        try:
            self._type = _subclass(self.cls)
            _set_class(value, self._type)
        except TypeError as error:
            name = physical.qualname_of(self.cls)
            reason = f"The class of a {name} can't be changed: {error}."
            raise errors.NotSupported(reason) from error
        self._ref: weakref.ref[object] | None
        try:
            self._ref = weakref.ref(value)
        except TypeError:
            self._ref = None
        _one_offs[self._type] = self

    def value(self) -> object | None:
        """Return the object; None once it is dead, or has been given another class."""
        if self._ref is not None:
            found = self._ref()
            return found if type(found) is self._type else None
        # No one can refer weakly to it, but an object refers to its class.
        for found in gc.get_referrers(self._type):
            if type(found) is self._type:
                return found
        return None

    def has(self, name: str, seen: Seen) -> bool:
        return any(one is seen for one, _ in self._watchers.get(name, ()))

    def add(self, name: str, seen: Seen, reads: bool) -> None:
        self._watchers.setdefault(name, []).append((seen, reads))
        self._renew(name)

    def remove(self, name: str, seen: Seen) -> None:
        if not self.has(name, seen):
            return
        rest = self._watchers[name]
        del rest[next(i for i, (one, _) in enumerate(rest) if one is seen)]
        if rest:
            self._renew(name)
            return
        del self._watchers[name]
        if self._watchers:
            delattr(self._type, name)
            return
        value = self.value()
        if value is not None:
            _set_class(value, self.cls)
        _one_offs.pop(self._type, None)

    def _renew(self, name: str) -> None:
        seen = self._watchers[name]
        attribute = _Attribute(self.cls, name)
        readers = tuple(one for one, reads in seen if reads)
        setattr(self._type, name, _property(attribute, tuple(one for one, _ in seen), readers))


def _property(
    attribute: "_Attribute", watchers: tuple[Seen, ...], readers: tuple[Seen, ...]
) -> property:
    # Closed-over names instead of attributes: this runs at every access.
    read, write, remove = attribute.read, attribute.write, attribute.delete

    def get(value: object) -> object:
        found = read(value)
        for seen in readers:
            seen("read", found, found)
        return found

    def set_(value: object, new: object) -> None:
        try:
            old = read(value)
        except AttributeError:
            old = ABSENT
        write(value, new)
        kind: Kind = "added" if old is ABSENT else "modified"
        for seen in watchers:
            seen(kind, old, new)

    def delete(value: object) -> None:
        try:
            old = read(value)
        except AttributeError:
            old = ABSENT
        remove(value)
        for seen in watchers:
            seen("deleted", old, ABSENT)

    return property(get if readers else read, set_, delete)


_one_offs: "weakref.WeakKeyDictionary[type, _OneOff]" = weakref.WeakKeyDictionary()


class _Attribute:
    """An attribute as instances of a class have it by themselves: a slot, a property, an entry."""

    def __init__(self, cls: type, name: str) -> None:
        self._cls, self._name = cls, name
        found = physical.lookup(cls, name)
        raw: Any = found[1] if found is not None else _MISSING
        self.read: Callable[[Any], Any]
        self.write: Callable[[Any, Any], object]
        self.delete: Callable[[Any], object]
        if found is not None and hasattr(type(raw), "__set__"):
            self.read, self.write = raw.__get__, raw.__set__
            self.delete = partial(_delete_by, raw)  # which may have no __delete__
        else:
            self._raw = raw
            self._entries = _dict_getter(cls)
            self.read, self.write, self.delete = self._read, self._write, self._delete

    def _read(self, value: object) -> object:
        entries = self._entries(value)
        if entries is not None and self._name in entries:
            return entries[self._name]
        if self._raw is _MISSING:
            raise self._missing(value)
        is_method = hasattr(type(self._raw), "__get__")
        return self._raw.__get__(value, self._cls) if is_method else self._raw

    def _write(self, value: object, new: object) -> None:
        self._own(value)[self._name] = new

    def _delete(self, value: object) -> None:
        if self._own(value).pop(self._name, _MISSING) is _MISSING:
            raise self._missing(value)

    def _own(self, value: object) -> dict[str, Any]:
        entries = self._entries(value)
        if entries is None:
            raise self._missing(value)
        return entries

    def _missing(self, value: object) -> AttributeError:
        message = f"{physical.name_of(self._cls)!r} object has no attribute {self._name!r}"
        return AttributeError(message, name=self._name, obj=value)


def _delete_by(descriptor: Any, value: object) -> None:
    descriptor.__delete__(value)


def _dict_getter(cls: type) -> Callable[[Any], dict[str, Any] | None]:
    """Return what reads the dictionary of an instance, with the looking up done."""
    for owner in physical.mro(cls):
        entry: Any = physical.class_dict(owner).get("__dict__")
        if physical.is_descriptor(entry):
            getter: Callable[[Any], dict[str, Any] | None] = entry.__get__
            return getter
    return lambda value: None


def _subclass(cls: type) -> type:
    """Make a subclass of the same layout, that gives itself out as ``cls``."""

    def reduce(value: Any, protocol: Any) -> Any:
        one_off = type(value)
        _set_class(value, cls)
        try:
            return value.__reduce_ex__(protocol)
        finally:
            _set_class(value, one_off)

    namespace = {
        "__slots__": (),
        "__module__": physical.module_of(cls),
        "__qualname__": physical.qualname_of(cls),
        "__doc__": cls.__dict__.get("__doc__"),
        "__class__": property(lambda value: cls, _set_class),
        "__reduce_ex__": reduce,
    }
    # What a class loses by being made anew: one that defines __eq__ alone isn't hashable.
    if "__hash__" in cls.__dict__:
        namespace["__hash__"] = cls.__dict__["__hash__"]
    return type(cls)(physical.name_of(cls), (cls,), namespace)
