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
from typing import Any

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
    }
)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)


class Group(View):
    """A group of named children under a heading."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children

    def named(self) -> list[Child]:
        return self._children


def grouped(children: list[Child]) -> list[Child]:
    """The groups that aren't empty, then the ordinary children in their order."""
    special: list[Child] = []
    functions: list[Child] = []
    classes: list[Child] = []
    ordinary: list[Child] = []
    for child in children:
        if physical.is_special(child.name) and child.kind != "data":
            special.append(child)
        elif child.compute is not None:
            ordinary.append(child)
        elif physical.is_function(child.value):
            child.kind = child.kind or "method"
            functions.append(child)
        elif physical.is_a(child.value, type):
            child.kind = child.kind or "class"
            classes.append(child)
        else:
            ordinary.append(child)
    headings = (
        ("special variables", special),
        ("function variables", functions),
        ("class variables", classes),
    )
    groups = [
        Child(name, view=Group(members), text=Text(""), type="", kind="virtual")
        for name, members in headings
        if members
    ]
    return groups + ordinary


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
        hidden = self._is_hidden
        children = [
            Child(name, value, self._expression(name), partial(self._assign, name))
            for name, value in self._read()
            if type(name) is str and (hidden is None or not hidden(name, value))
        ]
        return grouped(children)


class Attributes(View):
    """The attributes of an object: its own, its slots, then what its classes give it."""

    def __init__(self, value: object, evaluate: str | None) -> None:
        self._value = value
        self._evaluate = evaluate

    def named(self) -> list[Child]:
        value, evaluate = self._value, self._evaluate
        facts = facts_about(value, evaluate)
        found: dict[str, Child] = {child.name: child for child in facts}
        found["__class__"] = Child("__class__", type(value), attribute(evaluate, "__class__"))
        own = physical.instance_dict(value)
        if own is not None and len(own) <= _MANY:
            for name, held in physical.pairs(own, 0, _MANY):
                text = name if type(name) is str else safe_text(name)
                found[text] = self._child(text, held)
        elif own is not None:
            found["__dict__"] = Child("__dict__", own, attribute(evaluate, "__dict__"), kind="data")
        for owner in physical.mro(type(value)):
            for name, entry in _told(owner):
                if name not in found:
                    child = self._of_class(name, entry, owner)
                    if child is not None:
                        found[name] = child
        return grouped(list(found.values()))

    def _child(self, name: str, held: object) -> Child:
        return Child(
            name, held, attribute(self._evaluate, name), partial(setattr, self._value, name)
        )

    def _of_class(self, name: str, entry: Any, owner: type) -> Child | None:
        """The child for an entry of a class's dictionary; None where it has no value now."""
        value, cls = self._value, type(entry)
        if cls is types.FunctionType:
            return self._child(name, types.MethodType(entry, value))
        if cls is classmethod:
            inner = entry.__func__
            return self._child(name, types.MethodType(inner, type(value)) if inner else entry)
        if cls is staticmethod:
            return self._child(name, entry.__func__)
        if cls is types.MemberDescriptorType or (
            # What the interpreter's own types compute is cheap and theirs; others may do anything.
            cls is types.GetSetDescriptorType and physical.is_interpreter_type(owner)
        ):
            try:
                return self._child(name, entry.__get__(value))
            except Exception:  # a slot that is not set, a fact that is not to be had now
                return None
        if physical.is_function(entry) or physical.is_a(entry, type):
            return self._child(name, entry)
        if physical.lookup(cls, "__get__") is not None:
            child = lazy(name, attribute(self._evaluate, name), partial(getattr, value, name))
            if cls is property and entry.fset is not None:
                child.assign = partial(setattr, value, name)
            return child
        return self._child(name, entry)


def _told(owner: type) -> Iterable[tuple[str, Any]]:
    """The entries of a class that its instances are shown to have."""
    if owner is object:
        return
    in_python = physical.is_heap_type(owner)
    if in_python and physical.module_of(owner).startswith("pydantic."):
        return
    for name, entry in physical.class_dict(owner).items():
        if type(name) is not str or name in _UNTOLD or type(entry) is owner:
            continue  # the last: a member of an enum is no attribute of its siblings
        if in_python or (isinstance(entry, _SLOTS) and not physical.is_special(name)):
            yield name, entry


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
        if physical.inherits(cls, Enum) and type(members) is dict:
            own.update(members)
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
    if records.is_pydantic_model(cls):
        return _pydantic_facts(value, evaluate)
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
        holder = attribute(evaluate, f"{prefix}_frame.f_locals")
        facts += [
            fact(name, held, item_expression(holder, name))
            for name, held in list(frame.f_locals.items())
        ]
    return facts


def _pydantic_facts(value: object, evaluate: str | None) -> list[Child]:
    facts = []
    for slot in ("__pydantic_extra__", "__pydantic_private__"):
        entries = physical.member(value, slot)
        if type(entries) is dict:
            facts += [
                Child(name, held, attribute(evaluate, name), partial(setattr, value, name))
                for name, held in physical.pairs(entries, 0, _MANY)
            ]
    return facts


def attribute_view(value: Any, evaluate: str | None) -> View:
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
    return Attributes(value, evaluate)
