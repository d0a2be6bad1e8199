"""What a watched value was, without keeping it alive: plain values, and shadows of all others.

Owns when two values count as equal, and how much of a large one is compared. Runs none of the
user's code, save what pandas and numpy do to give their data. Called on the thread that watches.
"""

import sys
import weakref
import zlib
from collections import OrderedDict, defaultdict, deque
from itertools import islice
from typing import Any

from nbdebug.engine import physical
from nbdebug.engine.value_text import safe_text

TEXT_CHARS = 200
_ITEMS = 10_000
"""Items that a fingerprint looks at, with those of containers inside."""
_BYTES = 1 << 20
"""Bytes of an array that a fingerprint looks at: half from its beginning, half from its end."""
_DEPTH = 4
_SHOWN = 6
_PLAIN = {id(cls) for cls in (int, float, bool, str, bytes, complex, type(None), type(Ellipsis))}
_SEQUENCES = {id(cls) for cls in (list, tuple, deque)}
_MAPPINGS = {id(cls) for cls in (dict, OrderedDict, defaultdict)}
_SETS = {id(cls) for cls in (set, frozenset)}
_MUTABLE = {id(cls) for cls in (list, deque, set, dict, OrderedDict, defaultdict, bytearray)}
_FROZEN = ("number", "bool", "bool_", "datetime64", "character")
_LIBRARIES = ("numpy", "pandas", "polars", "torch", "array", "xarray", "collections")


class Missing:
    """The value of a name that isn't there."""

    def __repr__(self) -> str:
        return "<not there>"


MISSING = Missing()


def is_plain(value: object) -> bool:
    """True for a value that may be kept: it can't change, and refers to no other."""
    return id(type(value)) in _PLAIN or value is MISSING


def is_container(value: object) -> bool:
    """True for a value whose content may be changed in place, and is watched with its name."""
    cls = type(value)
    if id(cls) in _PLAIN:
        return False
    if id(cls) in _MUTABLE:
        return True
    if any(id(base) in _MUTABLE for base in physical.mro(cls)):
        return True
    return physical.module_of(cls).partition(".")[0] in _LIBRARIES and not _is_scalar(value)


class Shadow:
    """What is remembered of a value that isn't kept: its text, and enough to know it again."""

    __slots__ = ("mark", "ref", "text")

    def __init__(self, value: object) -> None:
        self.text = _text(value)
        self.mark = fingerprint(value)
        try:
            self.ref: Any = (lambda: value) if _is_frozen(value) else weakref.ref(value)
        except TypeError:
            self.ref = None

    def __repr__(self) -> str:
        return self.text


def remember(value: object) -> object:
    """Return what stands for ``value`` until it is compared: itself where it is plain."""
    return value if is_plain(value) else Shadow(value)


def is_same(before: object, value: object) -> bool:
    """True if ``value`` equals what `remember` returned. NaN equals NaN, and 1 isn't True."""
    if before is value:
        return True
    if type(before) is Shadow:
        if is_plain(value):
            return False
        mark = fingerprint(value)
        if mark[0] == "object" and before.ref is not None and before.ref() is None:
            return False  # another object at the same address
        return mark == before.mark
    if type(before) is not type(value) or not is_plain(value):
        return False
    return before == value or (_is_nan(before) and _is_nan(value))


def _is_nan(value: Any) -> bool:
    return bool(value != value)  # noqa: PLR0124  # only NaN does


def text_of(remembered: object) -> str:
    """Return the bounded text of what `remember` returned, or of any value."""
    if type(remembered) is Shadow:
        return remembered.text
    return _text(remembered) if remembered is not MISSING else repr(MISSING)


def _text(value: Any) -> str:
    """Return a bounded text; of arrays, series and frames the first items, or the shape."""
    cls = type(value)
    if physical.module_of(cls).partition(".")[0] not in ("numpy", "pandas"):
        return safe_text(value, TEXT_CHARS)
    name = physical.name_of(cls)
    try:
        shape = value.shape
        if len(shape) > 1:
            return f"{name} of {' x '.join(map(str, shape))}"
        items = value[:_SHOWN].tolist() if shape else [value.item()]
        inside = safe_text(items, TEXT_CHARS)[1:-1]
        if not shape:
            return inside
        more = f", ... {shape[0]:,} items" if shape[0] > _SHOWN else ""
        return f"{name}([{inside}{more}])"[:TEXT_CHARS]
    except Exception:  # a library's own failure
        return safe_text(value, TEXT_CHARS)


def fingerprint(value: object) -> tuple[object, ...]:
    """Return what is equal for equal contents, within the bounds above; it refers to no object."""
    try:
        return _Marks().of(value, 0)
    except Exception:  # another thread changes it meanwhile, or a library's own failure
        return ("object", id(value))


class _Marks:
    """One fingerprint in the making: how many items may still be looked at."""

    def __init__(self) -> None:
        self.left = _ITEMS

    def of(self, value: Any, depth: int) -> tuple[object, ...]:
        cls = type(value)
        if id(cls) in _PLAIN:
            return cls.__name__, repr(value) if _is_nan(value) else value
        if depth >= _DEPTH or self.left <= 0:
            return "object", id(value)
        bases = [id(base) for base in physical.mro(cls)]
        if any(base in _SEQUENCES for base in bases):
            return self._sequence(value, depth)
        if any(base in _MAPPINGS for base in bases):
            return self._mapping(value, depth)
        if any(base in _SETS for base in bases):
            base: Any = set if isinstance(value, set) else frozenset
            self.left -= base.__len__(value)
            return "set", frozenset(self.of(one, depth + 1) for one in base.__iter__(value))
        top = physical.module_of(cls).partition(".")[0]
        if top == "pandas":
            return self._pandas(value, depth)
        if top in _LIBRARIES or id(cls) in (id(bytearray), id(memoryview)):
            return self._buffer(value, depth)
        return "object", id(value)

    def _sequence(self, value: Any, depth: int) -> tuple[object, ...]:
        kind: Any = next(base for base in (list, tuple, deque) if physical.is_a(value, base))
        items = list(islice(kind.__iter__(value), self.left))
        self.left -= len(items)
        return "sequence", kind.__len__(value), tuple(self.of(one, depth + 1) for one in items)

    def _mapping(self, value: Any, depth: int) -> tuple[object, ...]:
        pairs = physical.pairs(value, 0, self.left)
        self.left -= len(pairs)
        marks = tuple((self.of(key, depth + 1), self.of(one, depth + 1)) for key, one in pairs)
        return "mapping", dict.__len__(value), marks

    def _buffer(self, value: Any, depth: int) -> tuple[object, ...]:
        if type(value).__name__ == "Tensor":
            value = value.detach().cpu().numpy()
        if getattr(value, "dtype", None) is not None and value.dtype.hasobject:
            return self._objects(value, depth)
        shape = getattr(value, "shape", None)
        kind = str(getattr(value, "dtype", ""))
        with memoryview(_sampled(value)) as view:
            return "buffer", shape, kind, view.nbytes, zlib.crc32(view)

    def _objects(self, value: Any, depth: int) -> tuple[object, ...]:
        items = list(islice(value.flat, self.left))
        self.left -= len(items)
        return "objects", value.shape, tuple(self.of(one, depth + 1) for one in items)

    def _pandas(self, value: Any, depth: int) -> tuple[object, ...]:
        columns = getattr(value, "columns", None)
        if columns is None:
            index = getattr(value, "index", None)
            own = self._array(value, depth)
            return "series", own, None if index is value or index is None else len(index)
        names = tuple(map(str, islice(columns, _ITEMS)))
        marks = tuple(self._array(value.iloc[:, at], depth) for at in range(len(names)))
        return "frame", value.shape, names, self._array(value.index, depth), marks

    def _array(self, value: Any, depth: int) -> tuple[object, ...]:
        return self._buffer(value.to_numpy(), depth)


def _sampled(value: Any) -> Any:
    """Return the bytes of an array, or of its two ends where it is long."""
    if hasattr(value, "tobytes") and hasattr(value, "nbytes"):
        if value.nbytes <= _BYTES or not hasattr(value, "ravel"):
            return value.tobytes()
        flat = value.ravel(order="K")
        half = _BYTES // 2 // max(1, value.itemsize)
        return flat[:half].tobytes() + flat[-half:].tobytes()
    return bytes(memoryview(value)[:_BYTES])


def _is_scalar(value: Any) -> bool:
    return (
        hasattr(value, "dtype") and getattr(value, "shape", None) == () and hasattr(value, "item")
    )


def _is_frozen(value: Any) -> bool:
    """True for a number or the like of numpy's, which may be kept: it can't change."""
    cls = type(value)
    return physical.module_of(cls) == "numpy" and any(
        physical.name_of(base) in _FROZEN for base in physical.mro(cls)
    )


class Owner:
    """An object that is watched: held weakly where its class allows, else as long as others do.

    Lists, dictionaries and the like can't be referred to weakly: they are held, and `is_gone` tells
    when nobody else does.
    """

    def __init__(self, value: object) -> None:
        try:
            self._ref: Any = weakref.ref(value)
            self._held: object = None
        except TypeError:
            self._ref = None
            self._held = value

    @property
    def is_held(self) -> bool:
        """True if the watch keeps the object alive between two looks."""
        return self._ref is None

    def get(self) -> Any:
        """Return the object, None when it has died."""
        return self._held if self._ref is None else self._ref()

    def is_gone(self) -> bool:
        """True if nothing but this refers to the object any more."""
        if self._ref is not None:
            return self._ref() is None
        return _references(self) <= _ALONE

    def let_go(self) -> None:
        """Refer to nothing from now on."""
        self._ref, self._held = _nothing, None


def _nothing() -> None:
    return None


def _references(owner: Owner) -> int:
    return sys.getrefcount(owner._held)


_ALONE = _references(Owner([]))
