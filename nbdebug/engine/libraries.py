"""Recognises values of numpy, pandas, polars and torch, and sums each up in a line.

Owns what is known of these libraries' types; imports none of them: a library that isn't in
``sys.modules`` has no values here. What runs is the libraries' own code, bounded; a subclass from
elsewhere, which may override anything, runs only where user code may.

Threads: the one that holds the objects still.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from nbdebug.engine import physical
from nbdebug.engine.bounded import NotRun, UserCode

_PREVIEW = 3
_SMALL_ARRAY = 10
_DTYPE_CHARS = 60


class Kind(Enum):
    """A type of a library: its module and its name there."""

    ARRAY = ("numpy", "ndarray")
    SCALAR = ("numpy", "generic")
    FRAME = ("pandas", "DataFrame")
    SERIES = ("pandas", "Series")
    INDEX = ("pandas", "Index")
    POLARS_FRAME = ("polars", "DataFrame")
    POLARS_SERIES = ("polars", "Series")
    TENSOR = ("torch", "Tensor")


def loaded_type(kind: Kind) -> type | None:
    """The library's type, None where the library isn't imported."""
    found = physical.loaded(*kind.value)
    return found if isinstance(found, type) else None


def kind_of(cls: type) -> Kind | None:
    """The library's type that ``cls`` is or inherits from."""
    for kind in Kind:
        known = loaded_type(kind)
        if known is not None and physical.inherits(cls, known):
            return kind
    return None


def run[T](value: object, kind: Kind, code: UserCode, fn: Callable[[], T]) -> T:
    """Return ``fn()``, which uses the library on ``value``.

    Raises: NotRun where the class is from elsewhere and user code may not run, TookTooLong, and
    whatever the library raises.
    """
    if code.enabled:
        return code.run(fn)
    if physical.module_of(type(value)).partition(".")[0] != kind.value[0]:
        raise NotRun("not run while the program runs")
    return fn()


def plain_array(value: Any) -> Any:
    """The array as a view of numpy's own type, whose indexing runs no subclass's code."""
    base: Any = loaded_type(Kind.ARRAY)
    return value if type(value) is base else base.view(value, base)


def summary(
    value: Any, kind: Kind, code: UserCode, write: Callable[[object], str]
) -> tuple[str, bool] | None:
    """A line about the value and whether items are missing in it; None where it isn't to be had.

    ``write`` writes one item. Raises nothing.
    """
    describe = _SUMMARIES.get(kind)
    if describe is None:
        return None
    try:
        text, items, count = run(value, kind, code, lambda: describe(value))
    except Exception:  # a subclass that behaves otherwise, or may not run
        return None
    head = f"{physical.name_of(type(value))} {text}"
    if not items:
        return head, False
    more = count - len(items)
    texts = [write(item) for item in items] + ([f"... {more:,} more"] if more else [])
    return f"{head} [{', '.join(texts)}]", bool(more)


def dtype_text(dtype: object) -> str:
    """The name of an element type, shortened."""
    text = physical.plain(str(dtype))
    return text if len(text) <= _DTYPE_CHARS else text[:_DTYPE_CHARS] + "..."


_Summary = tuple[str, list[Any], int]


def _array(value: Any) -> _Summary:
    array = plain_array(value)
    text = f"{array.shape} {dtype_text(array.dtype)}"
    if array.ndim == 1 and 0 < array.size <= _SMALL_ARRAY and array.dtype.kind in "biufcUS":
        return text, array.tolist(), array.size
    return text, [], array.size


def _frame(value: Any) -> _Summary:
    rows, columns = value.shape
    return f"({rows}, {columns})", [], columns


def _series(value: Any) -> _Summary:
    count = len(value)
    return f"({count},) {dtype_text(value.dtype)}", value.iloc[:_PREVIEW].tolist(), count


def _index(value: Any) -> _Summary:
    count = len(value)
    return f"({count},) {dtype_text(value.dtype)}", value[:_PREVIEW].tolist(), count


def _polars_series(value: Any) -> _Summary:
    count = value.len()
    return f"({count},) {dtype_text(value.dtype)}", value.head(_PREVIEW).to_list(), count


def _tensor(value: Any) -> _Summary:
    shape = tuple(int(size) for size in value.shape)
    grad = " requires_grad" if value.requires_grad else ""
    return f"{shape} {dtype_text(value.dtype)} {value.device}{grad}", [], 0


_SUMMARIES: dict[Kind, Callable[[Any], _Summary]] = {
    Kind.ARRAY: _array,
    Kind.FRAME: _frame,
    Kind.SERIES: _series,
    Kind.INDEX: _index,
    Kind.POLARS_FRAME: _frame,
    Kind.POLARS_SERIES: _polars_series,
    Kind.TENSOR: _tensor,
}
