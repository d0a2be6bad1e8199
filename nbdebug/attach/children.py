"""What can be opened inside a value of another process: its attributes, and its items by position.

Owns which children a value has, how they are called and said in Python; what they hold is read when
it is asked for, a page at a time. Must not know references.
Thread rule: one thread at a time.
"""

import keyword
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from nbdebug.engine.value_text import Text

from . import arrays
from .contents import Attribute
from .looking import Look, Name
from .memory import Unreadable
from .objects import DICT, EXCEPTION, INT, LIST, STR, TUPLE, TYPE

_KEY_CHARS = 100
_PLAIN_KEYS = INT | STR
_CLOSED = frozenset(
    {
        "int",
        "str",
        "bytes",
        "bytearray",
        "float",
        "complex",
        "bool",
        "NoneType",
        "ellipsis",
        "range",
        "slice",
        "function",
        "method",
        "builtin_function_or_method",
        "weakref",
        "generator",
        "coroutine",
        "async_generator",
    }
)
"""Exact types that can't be opened."""


@dataclass(frozen=True, slots=True)
class Child:
    """One thing inside a value: at an address, or a number that C keeps as one."""

    name: str
    value: Attribute
    evaluate: str | None = None

    def text(self, look: Look) -> Text:
        return look.texts.write(self.value)

    def type_name(self, look: Look) -> str:
        if self.value.number is not None:
            return type(self.value.number).__name__
        return look.type_name(self.value.address)


def variables(names: Iterable[Name]) -> list[Child]:
    """Return variables as children; those that Python made for itself are left out."""
    return [
        Child(one.name, Attribute(one.name, one.address), one.name)
        for one in names
        if not one.name.startswith("__")
    ]


class Value:
    """A value that can be opened. It must still be of the class that it had."""

    def __init__(self, look: Look, address: int, evaluate: str | None) -> None:
        self._look = look
        self._address = address
        self._evaluate = evaluate
        self._class = look.objects.type_of(address)
        self._names = {base.full_name for base in look.objects.mro(self._class)}

    def is_same(self) -> bool:
        """Whether what is there is still of that class; the process runs on."""
        try:
            return self._look.objects.type_of(self._address).address == self._class.address
        except Unreadable:
            return False

    def named(self) -> list[Child]:
        """Return the attributes."""
        look, cls = self._look, self._class
        if cls.is_a(TYPE):
            target = look.objects.type_at(self._address)
            return self._attributes(look.contents.class_items(target))
        if cls.full_name == "module":
            dictionary = look.contents.module_dict(self._address)
            return self._attributes(look.contents.named_items(dictionary))
        if cls.full_name in _CLOSED:
            return []
        found = self._fields() if cls.is_a(TUPLE) else []
        if cls.is_a(EXCEPTION):
            args = look.runtime.offsets["exception_object.args"]
            found.append(self._child("args", look.memory.word(self._address + args)))
        found += [
            Child(one.name, one, self._attribute(one.name))
            for one in look.contents.attributes(self._address)
        ]
        return found

    def count(self) -> int:
        """Return how many items it has."""
        look, cls = self._look, self._class
        if cls.is_a(DICT):
            return look.contents.dict_size(self._address)
        if cls.is_a(LIST) or cls.is_a(TUPLE) or "collections.deque" in self._names:
            return look.objects.size(self._address)
        if self._is_set:
            return look.contents.set_size(self._address)
        if arrays.CLASS in self._names:
            return arrays.head(look.objects, self._address).length
        return 0

    def items(self, start: int, stop: int) -> list[Child]:
        """Return the items at these positions."""
        contents, objects, cls = self._look.contents, self._look.objects, self._class
        if cls.is_a(DICT):
            pairs = islice(contents.pairs(self._address), start, stop)
            return [self._pair(key, value) for key, value in pairs]
        if arrays.CLASS in self._names:
            numbers = arrays.items(objects, self._address, start, stop)
            return [
                Child(str(at), Attribute(str(at), 0, number), self._item(str(at)))
                for at, number in enumerate(numbers, start)
            ]
        if cls.is_a(LIST):
            found: Iterable[int] = objects.list_items(self._address, start, stop)
        elif cls.is_a(TUPLE):
            found = objects.tuple_items(self._address, start, stop)
        elif self._is_set:
            found = islice(contents.items_of_set(self._address), start, stop)
            return [Child(str(at), Attribute("", one)) for at, one in enumerate(found, start)]
        else:
            found = islice(contents.items_of_deque(self._address), start, stop)
        return [
            Child(str(at), Attribute(str(at), one), self._item(str(at)))
            for at, one in enumerate(found, start)
        ]

    @property
    def _is_set(self) -> bool:
        return not self._names.isdisjoint(("set", "frozenset"))

    def _fields(self) -> list[Child]:
        names = self._look.texts.field_names(self._class)
        items = self._look.objects.tuple_items(self._address, 0, len(names))
        return [self._child(name, one) for name, one in zip(names, items, strict=False)]

    def _attributes(self, items: Iterable[tuple[str, int]]) -> list[Child]:
        return [self._child(name, one) for name, one in items if not name.startswith("__")]

    def _child(self, name: str, address: int) -> Child:
        return Child(name, Attribute(name, address), self._attribute(name))

    def _attribute(self, name: str) -> str | None:
        fits = name.isidentifier() and not keyword.iskeyword(name)
        return f"{self._evaluate}.{name}" if self._evaluate and fits else None

    def _item(self, key: str) -> str | None:
        return f"{self._evaluate}[{key}]" if self._evaluate else None

    def _pair(self, key: int, value: int) -> Child:
        text = self._look.text(key, _KEY_CHARS)
        try:
            is_plain = self._look.objects.type_of(key).is_a(_PLAIN_KEYS) and not text.cut
        except Unreadable:
            is_plain = False
        return Child(text.text, Attribute("", value), self._item(text.text) if is_plain else None)


def has_children(look: Look, address: int) -> bool:
    """Whether a value can be opened, as far as that is known without opening it."""
    try:
        cls = look.objects.type_of(address)
        if cls.full_name in _CLOSED:
            return False
        if cls.is_a(TYPE) or cls.full_name == "module":
            return True
        value = Value(look, address, None)
        return bool(value.count() or value.named())
    except Unreadable:
        return False
