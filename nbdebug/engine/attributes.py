"""The named children of objects, classes, modules, functions and frames, read physically.

Owns which attributes a value has, in which order, and their grouping into "special variables",
"function variables" and "class variables". Properties and other descriptors are lazy children;
nothing here runs them. Must not know references.

Threads: the one that holds the objects still.
"""

import keyword
import types
import weakref
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from nbdebug.engine import physical, records
from nbdebug.engine.object_text import generator_prefix, generator_state
from nbdebug.engine.value_text import Text, safe_text
from nbdebug.engine.views import Child, View, item_expression

_MANY = 5_000
"""Beyond so many entries an instance's dictionary is one child, not its entries."""

# Entries of a class that say nothing about its instances, or whose reading runs code.
_UNTOLD = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotate__",
        "__annotations_cache__",
        "__abstractmethods__",
        "_abc_impl",
        "co_lnotab",  # deprecated: warns
    }
)


_HEADINGS = ("special variables", "function variables", "class variables")
_SPECIAL, _FUNCTIONS, _CLASSES, _ORDINARY = range(4)


def _heading_of(name: object, value: object) -> int:
    """The index of the group that a variable belongs to, ``_ORDINARY`` where to none."""
    if type(name) is str and physical.is_special(name):
        return _SPECIAL
    if physical.is_function(value):
        return _FUNCTIONS
    return _CLASSES if physical.is_a(value, type) else _ORDINARY


class Group(View):
    """A group of named children under a heading."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children

    def named(self) -> list[Child]:
        return self._children


def grouped(children: list[Child]) -> list[Child]:
    """The groups that aren't empty, then the ordinary children in their order."""
    groups: tuple[list[Child], ...] = ([], [], [], [])
    for child in children:
        heading = _ORDINARY if child.kind == "data" else _heading_of(child.name, child.value)
        if heading in (_FUNCTIONS, _CLASSES):
            child.kind = child.kind or ("method" if heading == _FUNCTIONS else "class")
        groups[heading].append(child)
    headed = [
        Child(name, view=Group(members), text=Text(""), type="", kind="virtual")
        for name, members in zip(_HEADINGS, groups, strict=False)
        if members
    ]
    return headed + groups[_ORDINARY]


class Namespace(View):
    """Variables by name: those of a scope or of a plain dictionary of variables.

    ``read`` gives the pairs anew each time; ``assign`` puts a value under a name.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[tuple[Any, Any]]],
        expression: Callable[[str], str | None],
        assign: Callable[[str, object], None],
        is_hidden: Callable[[str, object], bool] | None = None,
    ) -> None:
        self._read = read
        self._expression = expression
        self._assign = assign
        self._is_hidden = is_hidden

    def named(self) -> list[Child]:
        return grouped(
            [
                Child(name, value, self._expression(name), partial(self._assign, name))
                for name, value in self._shown()
            ]
        )

    def named_count(self) -> int:
        return _count(_heading_of(name, value) for name, value in self._shown())

    def _shown(self) -> list[tuple[str, Any]]:
        hidden = self._is_hidden
        return [
            (name, value)
            for name, value in self._read()
            if type(name) is str and (hidden is None or not hidden(name, value))
        ]


class _Entry(NamedTuple):
    """What a class gives its instances. ``heading`` is None where it depends on a slot's value."""

    name: str
    entry: Any
    heading: int | None


class Classes:
    """What classes give their instances, found once for each class until ``forget``."""

    def __init__(self) -> None:
        # By id, as a class's hash may be user code; the class is kept so that its id stays its.
        self._found: dict[int, tuple[type, list[_Entry]]] = {}

    def entries(self, cls: type) -> list[_Entry]:
        """The entries over the MRO, each name from the first class that has it."""
        known = self._found.get(id(cls))
        if known is None:
            first: dict[str, _Entry] = {}
            for owner in physical.mro(cls):
                for name, entry in _told(owner):
                    if name not in first:
                        heading = None if _is_read(entry) else _heading_of(name, entry)
                        first[name] = _Entry(name, entry, heading)
            known = self._found[id(cls)] = (cls, list(first.values()))
        return known[1]

    def forget(self) -> None:
        """Look anew from now on: classes change."""
        self._found.clear()


class Attributes(View):
    """The attributes of an object: its own, its slots, then what its classes give it."""

    def __init__(self, value: object, evaluate: str | None, classes: Classes) -> None:
        self._value = value
        self._evaluate = evaluate
        self._classes = classes

    def named(self) -> list[Child]:
        value, evaluate = self._value, self._evaluate
        found = {child.name: child for child in facts_about(value, evaluate)}
        found["__class__"] = Child("__class__", type(value), attribute(evaluate, "__class__"))
        own = self._own()
        if own is None:
            entries = physical.instance_dict(value)
            found["__dict__"] = fact("__dict__", entries, attribute(evaluate, "__dict__"))
        for name, held in own or ():
            if name not in found:
                found[name] = self._child(name, held)
        for child in _pydantic_facts(value, evaluate):
            found.setdefault(child.name, child)
        for name, entry, _ in self._classes.entries(type(value)):
            if name not in found:
                read = self._of_class(name, entry)
                if read is not None:
                    found[name] = read
        return grouped(list(found.values()))

    def named_count(self) -> int:
        value, own = self._value, self._own()
        if own is None or facts_about(value, None) or records.is_pydantic_model(type(value)):
            return len(self.named())
        headings = {name: _heading_of(name, held) for name, held in own}
        headings["__class__"] = _SPECIAL
        for name, entry, heading in self._classes.entries(type(value)):
            if name not in headings:
                if heading is None:
                    try:
                        heading = _heading_of(name, entry.__get__(value))  # noqa: PLW2901
                    except Exception:  # as in _of_class
                        continue
                headings[name] = heading
        return _count(headings.values())

    def _own(self) -> list[tuple[str, Any]] | None:
        """The instance's own entries, None where they are too many to be shown one by one."""
        own = physical.instance_dict(self._value)
        if own is None:
            return []
        if len(own) > _MANY:
            return None
        pairs = physical.pairs(own, 0, _MANY)
        if physical.is_a(self._value, Enum):
            return [pair for pair in pairs if not pair[0].startswith("_")]
        return [(n if type(n) is str else safe_text(n), held) for n, held in pairs]

    def _child(self, name: str, held: object) -> Child:
        return Child(
            name, held, attribute(self._evaluate, name), partial(setattr, self._value, name)
        )

    def _of_class(self, name: str, entry: Any) -> Child | None:
        """The child for an entry of a class's dictionary; None where it has no value now."""
        value, cls = self._value, type(entry)
        if _is_read(entry):
            try:
                return self._child(name, entry.__get__(value))
            except Exception:  # a slot that is not set, a fact that is not to be had now
                return None
        if cls is types.FunctionType:
            return self._child(name, types.MethodType(entry, value))
        if cls is classmethod and type(entry.__func__) is types.FunctionType:
            return self._child(name, types.MethodType(entry.__func__, type(value)))
        if cls is staticmethod and type(entry.__func__) is types.FunctionType:
            return self._child(name, entry.__func__)
        if _heading_of("", entry) == _ORDINARY and physical.lookup(cls, "__get__") is not None:
            child = lazy(name, attribute(self._evaluate, name), partial(getattr, value, name))
            if cls is property and entry.fset is not None:
                child.assign = partial(setattr, value, name)
            return child
        return self._child(name, entry)


def _is_read(entry: Any) -> bool:
    """True for a slot, and for a fact of a type of the interpreter's own, which is cheap to get.

    What other types made in C compute may be anything, and waits until it is asked for.
    """
    cls = type(entry)
    return cls is types.MemberDescriptorType or (
        cls is types.GetSetDescriptorType and physical.is_interpreter_type(entry.__objclass__)
    )


def _count(headings: Iterable[int]) -> int:
    """How many children ``grouped`` makes of variables with these headings."""
    found = list(headings)
    ordinary = found.count(_ORDINARY)
    return ordinary + len(set(found)) - (1 if ordinary else 0)


def _told(owner: type) -> Iterable[tuple[str, Any]]:
    """The entries of a class that its instances are shown to have."""
    if owner is object:
        return
    in_python = physical.is_heap_type(owner)
    if in_python and physical.module_of(owner).startswith("pydantic."):
        return
    is_enum = issubclass(owner, Enum)
    for name, entry in physical.class_dict(owner).items():
        if type(name) is not str or name in _UNTOLD:
            continue
        if is_enum and (type(entry) is owner or _is_machinery(name)):
            continue  # a sibling, or what enum keeps for itself
        if in_python or (physical.is_descriptor(entry) and not physical.is_special(name)):
            yield name, entry


def _is_machinery(name: str) -> bool:
    return name.startswith("_") and not physical.is_special(name)


def attribute(evaluate: str | None, name: str) -> str | None:
    """``evaluate.name``, None where that isn't an expression."""
    if evaluate is None or not name.isidentifier() or keyword.iskeyword(name):
        return None
    return f"{evaluate}.{name}"


def lazy(name: str, evaluate: str | None, compute: Callable[[], object]) -> Child:
    """A child whose value is had by running code, when it is expanded."""
    return Child(name, None, evaluate, compute=compute, kind="property")


def fact(name: str, value: object, evaluate: str | None = None) -> Child:
    """A child that can't be assigned, and is no special variable whatever its name."""
    return Child(name, value, evaluate, kind="data")


class ClassAttributes(View):
    """What a class itself defines, and its bases."""

    def __init__(self, cls: type, evaluate: str | None) -> None:
        self._cls = cls
        self._evaluate = evaluate

    def named(self) -> list[Child]:
        cls, evaluate = self._cls, self._evaluate
        found = [
            Child(name, value, attribute(evaluate, name))
            for name, value in (
                ("__name__", physical.name_of(cls)),
                ("__bases__", physical.class_dict(type)["__bases__"].__get__(cls)),
                ("__mro__", physical.mro(cls)),
            )
        ]
        members = physical.class_dict(cls).get("_member_map_")
        own = dict(physical.class_dict(cls).items())
        if issubclass(cls, Enum) and type(members) is dict:
            own = {k: v for k, v in own.items() if not _is_machinery(k)} | members
        for name, entry in own.items():
            if type(name) is str and name not in _UNTOLD:
                held = entry.__func__ if type(entry) is staticmethod else entry
                found.append(
                    Child(name, held, attribute(evaluate, name), partial(setattr, cls, name))
                )
        return grouped(found)


def facts_about(value: Any, evaluate: str | None) -> list[Child]:
    """What is known of a value of the language's own kinds, besides its attributes."""
    cls = type(value)
    if issubclass(cls, BaseException):
        names: tuple[str, ...] = ("args", "__cause__", "__context__", "__traceback__", "__notes__")
        if "__notes__" not in (physical.instance_dict(value) or {}):
            names = names[:-1]
        return [
            fact(name, physical.member(value, name), attribute(evaluate, name)) for name in names
        ]
    if issubclass(cls, Enum):
        return [
            fact(name, physical.member(value, f"_{name}_"), attribute(evaluate, name))
            for name in ("name", "value")
        ]
    if cls is types.FunctionType:
        return _function_facts(value, evaluate)
    if cls is types.MethodType:
        return [
            fact(name, getattr(value, name), attribute(evaluate, name))
            for name in ("__self__", "__func__")
        ]
    if issubclass(cls, weakref.ref):
        expression = None if evaluate is None else f"{evaluate}()"
        return [fact("()", weakref.ref.__call__(value), expression)]
    if issubclass(cls, tuple):
        names = records.namedtuple_names(cls)
        held = physical.items(value, 0, len(names))
        return [fact(n, h, attribute(evaluate, n)) for n, h in zip(names, held, strict=False)]
    if generator_prefix(value) is not None:
        return _generator_facts(value, evaluate)
    return []


_FUNCTION_FACTS = (
    "__name__",
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__code__",
    "__globals__",
)


def _function_facts(value: types.FunctionType, evaluate: str | None) -> list[Child]:
    facts = [
        Child(name, getattr(value, name), attribute(evaluate, name)) for name in _FUNCTION_FACTS
    ]
    for index, (name, cell) in enumerate(
        zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
    ):
        try:
            held = cell.cell_contents
        except ValueError:  # the variable has no value yet
            continue
        expression = None if evaluate is None else f"{evaluate}.__closure__[{index}].cell_contents"
        facts.append(Child(name, held, expression, partial(setattr, cell, "cell_contents")))
    return facts


def _generator_facts(value: Any, evaluate: str | None) -> list[Child]:
    prefix = generator_prefix(value)
    facts = [fact("state", generator_state(value))]
    frame = getattr(value, f"{prefix}_frame")
    if frame is not None:
        holder = None if evaluate is None else f"{evaluate}.{prefix}_frame.f_locals"
        facts += [
            fact(name, held, item_expression(holder, name))
            for name, held in list(frame.f_locals.items())
        ]
    return facts


def _pydantic_facts(value: object, evaluate: str | None) -> list[Child]:
    facts: list[Child] = []
    if not records.is_pydantic_model(type(value)):
        return facts
    for slot in ("__pydantic_extra__", "__pydantic_private__"):
        entries = physical.member(value, slot)
        if type(entries) is dict:
            facts += [
                Child(name, held, attribute(evaluate, name), partial(setattr, value, name))
                for name, held in physical.pairs(entries, 0, _MANY)
            ]
    return facts


def attribute_view(value: Any, evaluate: str | None, classes: Classes) -> View:
    """The view of a value's named children."""
    cls = type(value)
    if issubclass(cls, type):
        return ClassAttributes(value, evaluate)
    if issubclass(cls, types.ModuleType):
        entries = physical.instance_dict(value) or {}
        return Namespace(
            lambda: physical.pairs(entries, 0, len(entries)),
            partial(attribute, evaluate),
            partial(setattr, value),
        )
    return Attributes(value, evaluate, classes)
