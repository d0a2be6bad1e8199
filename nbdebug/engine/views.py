"""What can be found inside a value: children by name and by position, built for the part asked for.

Owns the shape of a view, the views of the builtin containers, and how a child is said in Python.
Must not know references. Listing a builtin container, or a subclass of one, runs no user code.

Threads: the one that holds the objects still.
"""

import cmath
import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any

from nbdebug.engine import physical
from nbdebug.engine.bounded import NotRun, UserCode
from nbdebug.engine.value_text import Text, Writer, error_text

_KEY_CHARS = 200
_LITERAL_CHARS = 500
_LONG_NUMBER = 20


class View:
    """The children of one value; this one has none. A view holds no children itself.

    Raises: whatever user code raises where a view has to run it.
    """

    def named(self) -> "list[Child]":
        """The children that have names: attributes, variables, facts about the value."""
        return []

    def named_count(self) -> int:
        """How many ``named`` gives."""
        return len(self.named())

    def indexed_count(self) -> int:
        """How many children have positions."""
        return 0

    def indexed(self, start: int, stop: int) -> "list[Child]":
        """The children at the positions ``start`` to ``stop``, fewer if the value has shrunk."""
        return []

    def position_of(self, name: str) -> int | None:
        """The position whose child may have this name, None if it can't be told."""
        return int(name) if name.isdecimal() and len(name) < _LONG_NUMBER else None


@dataclass(slots=True)
class Child:
    """One thing inside a value. ``evaluate`` is the expression for it, None where there is none.

    ``view`` replaces the view of ``value``, ``text`` and ``type`` what would be shown of it.
    ``compute`` marks a lazy child: it runs user code and has no value before. ``assign`` puts
    another value in this place. ``read`` gets the value anew where holding it would do harm.
    """

    name: str
    value: object = None
    evaluate: str | None = None
    assign: Callable[[object], None] | None = None
    compute: Callable[[], object] | None = None
    read: Callable[[], object] | None = None
    view: View | None = None
    text: Text | None = None
    type: str | None = None
    kind: str | None = None


class Part(View):
    """The positions ``start`` to ``stop`` of another view."""

    def __init__(self, whole: View, start: int, stop: int) -> None:
        self._whole = whole
        self._start = start
        self._stop = stop

    def indexed_count(self) -> int:
        return max(min(self._whole.indexed_count(), self._stop) - self._start, 0)

    def indexed(self, start: int, stop: int) -> list[Child]:
        return self._whole.indexed(self._start + start, min(self._start + stop, self._stop))

    def position_of(self, name: str) -> int | None:
        found = self._whole.position_of(name)
        return None if found is None else found - self._start


class Computed(View):
    """A lazy child, opened: its code runs now, and what it gives is the one child."""

    def __init__(self, child: Child, code: UserCode) -> None:
        self._child = child
        self._code = code

    def named(self) -> list[Child]:
        child = self._child
        if child.compute is None:
            return []
        try:
            value = self._code.run(child.compute)
        except Exception as error:
            return [failed(child.name, error, child.evaluate)]
        return [Child(child.name, value, child.evaluate, child.assign)]

    def named_count(self) -> int:
        return 1


class Both(View):
    """The named children of one view and the items of another."""

    def __init__(self, attributes: View, items: View) -> None:
        self._attributes = attributes
        self._items = items

    def named(self) -> list[Child]:
        return self._attributes.named()

    def named_count(self) -> int:
        return self._attributes.named_count()

    def indexed_count(self) -> int:
        return self._items.indexed_count()

    def indexed(self, start: int, stop: int) -> list[Child]:
        return self._items.indexed(start, stop)

    def position_of(self, name: str) -> int | None:
        return self._items.position_of(name)


class Items(View):
    """Items by position. ``count`` and ``read`` are builtin methods or bounded."""

    def __init__(
        self,
        count: Callable[[], int],
        read: Callable[[int, int], list[Any]],
        evaluate: str | None,
        assign: Callable[[int, object], None] | None,
    ) -> None:
        self._count = count
        self._read = read
        self._evaluate = evaluate
        self._assign = assign

    def indexed_count(self) -> int:
        return self._count()

    def indexed(self, start: int, stop: int) -> list[Child]:
        evaluate, assign = self._evaluate, self._assign
        return [
            Child(
                str(position),
                value,
                None if evaluate is None else f"{evaluate}[{position}]",
                None if assign is None else partial(assign, position),
            )
            for position, value in enumerate(self._read(start, stop), start)
        ]


class Pairs(View):
    """Keys and values by position; a child's name is its key's text."""

    def __init__(
        self,
        value: Any,
        count: Callable[[], int],
        read: Callable[[int, int], list[tuple[Any, Any]]],
        evaluate: str | None,
        writer: Writer,
        is_mutable: bool = True,
    ) -> None:
        self._value = value
        self._is_mutable = is_mutable
        self._count = count
        self._read = read
        self._evaluate = evaluate
        self._writer = writer

    def indexed_count(self) -> int:
        return self._count()

    def indexed(self, start: int, stop: int) -> list[Child]:
        return [
            Child(
                self._writer.write(key, _KEY_CHARS).text,
                value,
                item_expression(self._evaluate, key),
                partial(operator.setitem, self._value, key) if self._is_mutable else None,
            )
            for key, value in self._read(start, stop)
        ]

    def position_of(self, name: str) -> int | None:
        # Only asked for a child that was never listed: worth a walk, but not through everything.
        keys = [self._writer.write(key, _KEY_CHARS).text for key, _ in self._read(0, 10_000)]
        return keys.index(name) if name in keys else None


class Protocol(View):
    """Items of a Sequence or Mapping made in Python: each is got by its own code, bounded."""

    def __init__(self, value: Any, evaluate: str | None, writer: Writer, by_key: bool) -> None:
        self._value = value
        self._evaluate = evaluate
        self._writer = writer
        self._by_key = by_key

    def indexed_count(self) -> int:
        try:
            return max(self._run(lambda: len(self._value)), 0)
        except Exception:  # then it shows its attributes only
            return 0

    def indexed(self, start: int, stop: int) -> list[Child]:
        keys: list[Any] = list(range(start, stop))
        if self._by_key:
            keys = self._run(lambda: list(islice(iter(self._value), start, stop)))
        return [self._child(key) for key in keys]

    def _child(self, key: Any) -> Child:
        name = self._writer.write(key, _KEY_CHARS).text if self._by_key else str(key)
        evaluate = item_expression(self._evaluate, key)
        try:
            value = self._run(lambda: self._value[key])
        except Exception as error:  # the other items are still worth seeing
            return failed(name, error, evaluate)
        return Child(name, value, evaluate, partial(operator.setitem, self._value, key))

    def _run[T](self, fn: Callable[[], T]) -> T:
        if self._writer.code is None:
            raise NotRun("not run")
        return self._writer.code.run(fn)


def failed(name: str, error: Exception, evaluate: str | None = None) -> Child:
    """A child whose value couldn't be had. The error isn't kept: it holds frames."""
    text = Text(f"<{error_text(error)}>")
    return Child(name, None, evaluate, text=text, type=physical.name_of(type(error)))


_PLAIN_KEYS = frozenset(map(id, (str, bytes, int, float, complex, bool, type(None), type(...))))


def literal(key: Any, depth: int = 0) -> str | None:
    """The Python literal of a plain key, None where there is none or it is long."""
    cls = type(key)
    if cls is tuple and depth < 3:
        parts = [literal(part, depth + 1) for part in key]
        if None in parts:
            return None
        return f"({', '.join(map(str, parts))}{',' if len(parts) == 1 else ''})"
    if id(cls) not in _PLAIN_KEYS:
        return None
    if (cls is float or cls is complex) and not cmath.isfinite(key):
        return None
    if cls is int and int.bit_length(key) > _LITERAL_CHARS:
        return None
    if (cls is str or cls is bytes) and len(key) > _LITERAL_CHARS:
        return None
    return repr(key)


def item_expression(evaluate: str | None, key: object) -> str | None:
    """``evaluate[key]``, None where either has no expression."""
    text = None if evaluate is None else literal(key)
    return None if text is None else f"{evaluate}[{text}]"


def container_view(value: Any, evaluate: str | None, writer: Writer) -> View | None:
    """The view of the items of a builtin container or a subclass of one, else None."""
    cls: Any = type(value)
    setitem = partial(operator.setitem, value)
    if issubclass(cls, dict):
        count = partial(dict.__len__, value)
        return Pairs(value, count, partial(physical.pairs, value), evaluate, writer)
    if cls is MappingProxyType:
        behind: Any = physical.proxied_mapping(value)
        if not physical.is_a(behind, dict):
            return None
        count = partial(dict.__len__, behind)
        return Pairs(behind, count, partial(physical.pairs, behind), evaluate, writer, False)
    if issubclass(cls, (list, tuple)):
        assign = setitem if issubclass(cls, list) else None
        count = partial(list.__len__ if assign else tuple.__len__, value)
        return Items(count, partial(physical.items, value), evaluate, assign)
    if issubclass(cls, (set, frozenset)):
        base: Any = set if issubclass(cls, set) else frozenset
        read = partial(physical.between, base.__iter__, value)
        return Items(partial(base.__len__, value), read, None, None)
    if issubclass(cls, deque):
        count = partial(deque.__len__, value)
        return Items(count, partial(_deque_items, value), evaluate, setitem)
    if cls is range:
        return Items(partial(_range_length, value), partial(_slice, value), evaluate, None)
    if issubclass(cls, _DICT_VIEWS):
        read = partial(physical.between, cls.__iter__, value)
        return Items(partial(cls.__len__, value), read, None, None)
    if cls is physical.loaded("array", "array"):
        return Items(partial(len, value), partial(_slice, value), evaluate, setitem)
    return None


def protocol_view(value: object, evaluate: str | None, writer: Writer) -> View | None:
    """The view of the items of a Sequence or Mapping made in Python, where its code may run."""
    if writer.code is None or not writer.code.enabled:
        return None
    for base, by_key in ((Sequence, False), (Mapping, True)):
        if physical.inherits(type(value), base):
            return Protocol(value, evaluate, writer, by_key)
    return None


_DICT_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def _slice(value: Any, start: int, stop: int) -> list[Any]:
    return list(value[start:stop])


def _deque_items(value: "deque[Any]", start: int, stop: int) -> list[Any]:
    count = deque.__len__(value)
    if start <= count // 2:
        return physical.between(deque.__iter__, value, start, stop)
    stop = min(stop, count)
    return physical.between(deque.__reversed__, value, count - stop, count - start)[::-1]


def _range_length(value: range) -> int:
    # len() refuses more than sys.maxsize.
    return max(0, -((value.start - value.stop) // value.step))
