"""What can be found inside values of numpy, pandas, polars and torch.

Owns these libraries' views. Nothing is copied but the page that is asked for, and nothing is
computed or fetched from a device before a child that says so is expanded.

Threads: the one that holds the objects still.
"""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from nbdebug.engine import libraries, physical
from nbdebug.engine.attributes import attribute, fact, lazy
from nbdebug.engine.bounded import UserCode
from nbdebug.engine.libraries import Kind
from nbdebug.engine.views import Child, View, item_expression, literal

_HEAD = 5
_MANY_COLUMNS = 1_000
_NUMBERS = 1_000
"""So many numbers of a tensor are fetched when they are asked for."""


class LibraryView(View):
    """A view of one value whose library code runs through ``_run``."""

    def __init__(self, value: Any, kind: Kind, evaluate: str | None, code: UserCode) -> None:
        self._value = value
        self._kind = kind
        self._evaluate = evaluate
        self._code = code

    def _run[T](self, fn: Callable[[], T]) -> T:
        return libraries.run(self._value, self._kind, self._code, fn)

    def _fact(self, name: str, value: object) -> Child:
        return fact(name, value, attribute(self._evaluate, name))

    def _call(self, name: str, compute: Callable[[], object]) -> Child:
        expression = attribute(self._evaluate, name)
        return lazy(name, None if expression is None else f"{expression}()", compute)

    def _values(
        self,
        values: list[Any],
        start: int,
        accessor: str,
        assign: Callable[[int, object], None] | None,
    ) -> list[Child]:
        evaluate = None if self._evaluate is None else self._evaluate + accessor
        return [
            Child(
                str(position),
                value,
                None if evaluate is None else f"{evaluate}[{position}]",
                None if assign is None else partial(assign, position),
            )
            for position, value in enumerate(values, start)
        ]


class ArrayView(LibraryView):
    """A numpy array: facts, its least and greatest value on demand, slices by first index."""

    def named(self) -> list[Child]:
        array = libraries.plain_array(self._value)
        facts = [
            self._fact(name, getattr(array, name))
            for name in ("shape", "dtype", "ndim", "size", "nbytes")
        ]
        if array.dtype.kind in "biuf" and array.size:
            facts += [self._call("min", array.min), self._call("max", array.max)]
        return facts

    def named_count(self) -> int:
        array = libraries.plain_array(self._value)
        return 7 if array.dtype.kind in "biuf" and array.size else 5

    def indexed_count(self) -> int:
        array = libraries.plain_array(self._value)
        return int(array.shape[0]) if array.ndim else 1

    def indexed(self, start: int, stop: int) -> list[Child]:
        array = libraries.plain_array(self._value)
        if not array.ndim:
            expression = None if self._evaluate is None else f"{self._evaluate}[()]"
            return [Child("()", array[()], expression)][start:stop]
        part = array[start:stop]
        # Python's own numbers for a page of numbers, which clients show by value; dates and
        # records keep numpy's types, which Python's would lose something of.
        plain = array.ndim == 1 and array.dtype.kind in "biufcUSO"
        values = part.tolist() if plain else list(part)
        return self._values(values, start, "", partial(operator.setitem, self._value))


class TableView(LibraryView):
    """A DataFrame of pandas or polars: shape, head on demand, its columns by position."""

    def named(self) -> list[Child]:
        table = self._value
        facts = [self._fact("shape", self._run(lambda: table.shape))]
        if self._kind is Kind.FRAME:
            facts.append(self._fact("index", self._run(lambda: table.index)))
        facts.append(self._call("head", lambda: table.head(_HEAD)))
        return facts

    def named_count(self) -> int:
        return 3 if self._kind is Kind.FRAME else 2

    def indexed_count(self) -> int:
        return int(self._run(lambda: self._value.shape[1]))

    def indexed(self, start: int, stop: int) -> list[Child]:
        stop = min(stop, self.indexed_count())
        return self._run(lambda: [self._column(position) for position in range(start, stop)])

    def position_of(self, name: str) -> int | None:
        names = [child.name for child in self.indexed(0, _MANY_COLUMNS)]
        return names.index(name) if name in names else None

    def _column(self, position: int) -> Child:
        table, evaluate = self._value, self._evaluate
        if self._kind is Kind.POLARS_FRAME:
            column = table.to_series(position)
            label = column.name
            return Child(
                label,
                column,
                item_expression(evaluate, label),
                type=_typed(column),
            )
        column = table.iloc[:, position]
        label, columns = column.name, table.columns
        expression = None if evaluate is None else f"{evaluate}.iloc[:, {position}]"
        if len(columns) <= _MANY_COLUMNS and columns.is_unique and literal(label) is not None:
            expression = item_expression(evaluate, label)
        view = ColumnView(table, position, expression, self._code)
        return Child(
            label if type(label) is str else literal(label) or f"column {position}",
            column,
            expression,
            view=view,
            read=view.column,
            type=_typed(column),
        )


class SeriesView(LibraryView):
    """A Series or an Index: its values by position, a page of them at a time."""

    def named(self) -> list[Child]:
        value = self._value
        names = ["dtype", "name"] + (["index"] if self._kind is Kind.SERIES else [])
        return [self._fact(name, self._run(partial(getattr, value, name))) for name in names]

    def named_count(self) -> int:
        return 3 if self._kind is Kind.SERIES else 2

    def indexed_count(self) -> int:
        return int(self._run(lambda: len(self._value)))

    def indexed(self, start: int, stop: int) -> list[Child]:
        value = self._value
        if self._kind is Kind.POLARS_SERIES:
            values = self._run(lambda: value.slice(start, stop - start).to_list())
            return self._values(values, start, "", None)
        if self._kind is Kind.INDEX:
            values = self._run(partial(_numbers, value, start, stop))
            return self._values(values, start, "", None)
        values = self._run(partial(_numbers, value.iloc, start, stop))
        return self._values(values, start, ".iloc", self._assign)

    def _assign(self, position: int, value: object) -> None:
        self._value.iloc[position] = value


class ColumnView(View):
    """A column of a pandas table, taken from the table anew for each look.

    A column that is held makes pandas copy the table's data when it is written to.
    """

    def __init__(self, table: Any, position: int, evaluate: str | None, code: UserCode) -> None:
        self._table = table
        self._position = position
        self._evaluate = evaluate
        self._code = code

    def column(self) -> Any:
        """The column as a Series."""
        take = partial(operator.getitem, self._table.iloc, (slice(None), self._position))
        return libraries.run(self._table, Kind.FRAME, self._code, take)

    def named(self) -> list[Child]:
        return self._series().named()

    def named_count(self) -> int:
        return self._series().named_count()

    def indexed_count(self) -> int:
        return self._series().indexed_count()

    def indexed(self, start: int, stop: int) -> list[Child]:
        children = self._series().indexed(start, stop)
        for row, child in enumerate(children, start):
            child.assign = partial(self._assign, row)
        return children

    def _series(self) -> SeriesView:
        return SeriesView(self.column(), Kind.SERIES, self._evaluate, self._code)

    def _assign(self, row: int, value: object) -> None:
        self._table.iloc[row, self._position] = value


class TensorView(LibraryView):
    """A torch tensor: facts, slices by first index as views, numbers only on demand."""

    def named(self) -> list[Child]:
        tensor = self._value

        def facts() -> list[Child]:
            read = [
                self._fact("shape", tuple(int(size) for size in tensor.shape)),
                self._fact("dtype", tensor.dtype),
                self._fact("device", tensor.device),
                self._fact("requires_grad", tensor.requires_grad),
            ]
            if tensor.ndim == 0:
                read.append(self._call("item", tensor.detach().item))
            elif tensor.ndim == 1:
                read.append(self._call("tolist", partial(_numbers, tensor.detach(), 0, _NUMBERS)))
            return read

        return self._run(facts)

    def indexed_count(self) -> int:
        return self._run(lambda: int(self._value.shape[0]) if self._value.ndim else 0)

    def indexed(self, start: int, stop: int) -> list[Child]:
        tensor = self._value
        stop = min(stop, self.indexed_count())
        values = self._run(lambda: [tensor.detach()[i] for i in range(start, stop)])
        return self._values(values, start, "", partial(operator.setitem, tensor))


def _typed(column: Any) -> str:
    return f"{physical.name_of(type(column))}[{libraries.dtype_text(column.dtype)}]"


def _numbers(rows: Any, start: int, stop: int) -> list[Any]:
    found: list[Any] = rows[start:stop].tolist()
    return found


def library_view(value: Any, kind: Kind, evaluate: str | None, code: UserCode) -> View | None:
    """The view of a library's value, None where it has nothing inside."""
    match kind:
        case Kind.ARRAY:
            return ArrayView(value, kind, evaluate, code)
        case Kind.FRAME | Kind.POLARS_FRAME:
            return TableView(value, kind, evaluate, code)
        case Kind.SERIES | Kind.INDEX | Kind.POLARS_SERIES:
            return SeriesView(value, kind, evaluate, code)
        case Kind.TENSOR:
            return TensorView(value, kind, evaluate, code)
        case Kind.SCALAR:
            return None
