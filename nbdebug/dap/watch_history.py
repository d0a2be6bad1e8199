"""The history of a watch as a sequence, a table, a plot and a data frame.

Owns how it is shown; needs pandas only where the user asks for a frame.
"""

import importlib
import time
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, overload

from nbdebug.engine.watch_model import WatchEvent

_COLUMNS = ("time", "kind", "place", "function", "thread", "task", "old", "new")
_ROWS = 50
_WIDTH, _HEIGHT, _EDGE = 560, 120, 8


class History(Sequence[WatchEvent]):
    """What a watch has seen, the oldest first. A notebook shows a table, and a plot of numbers."""

    def __init__(self, text: str, events: tuple[WatchEvent, ...]) -> None:
        self.text = text
        self._events = events

    @overload
    def __getitem__(self, index: int) -> WatchEvent: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[WatchEvent, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[WatchEvent]:
        return iter(self._events)

    def to_frame(self) -> Any:
        """Return the events as a pandas DataFrame. Raises ImportError without pandas."""
        pandas = importlib.import_module("pandas")
        frame = pandas.DataFrame(
            [
                {
                    "time": pandas.Timestamp(one.time, unit="s", tz="UTC"),
                    "kind": one.kind,
                    "place": one.place,
                    "path": one.path,
                    "line": one.line,
                    "function": one.function,
                    "thread": one.thread,
                    "task": one.task,
                    "old": one.old,
                    "new": one.new,
                }
                for one in self._events
            ]
        )
        frame.index = pandas.Index([one.number for one in self._events], name="event")
        return frame

    def __repr__(self) -> str:
        if not self._events:
            return f"{self.text}: nothing has been seen."
        lines = [f"{_clock(one.time)}  {one.text}" for one in self._events[-_ROWS:]]
        return "\n".join([*self._cut_note(), *lines])

    def _repr_html_(self) -> str:
        if not self._events:
            return f"<em>{escape(self.text)}: nothing has been seen.</em>"
        left = ' style="text-align: left"'
        head = "".join(f"<th{left}>{name}</th>" for name in _COLUMNS)
        rows = "".join(
            "<tr>" + "".join(f"<td{left}>{escape(cell)}</td>" for cell in _row(one)) + "</tr>"
            for one in self._events[-_ROWS:]
        )
        note = "".join(f"<em>{escape(line)}</em>" for line in self._cut_note())
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return f"{self.plot()}{note}{table}"

    def plot(self) -> str:
        """Return the numbers over time as SVG, "" where they aren't numbers."""
        points = [
            (one.time, float(one.new))
            for one in self._events
            if isinstance(one.new, (int, float)) and abs(one.new) < 1e300
        ]
        if len(points) < 2:
            return ""
        (first, _), (last, _) = points[0], points[-1]
        low, high = min(v for _, v in points), max(v for _, v in points)

        def x(at: float) -> float:
            return _EDGE + (at - first) / ((last - first) or 1) * (_WIDTH - 2 * _EDGE)

        def y(value: float) -> float:
            return _HEIGHT - _EDGE - (value - low) / ((high - low) or 1) * (_HEIGHT - 2 * _EDGE)

        path = f"M{x(first):.1f},{y(points[0][1]):.1f}"
        # A value holds until the next one is written.
        path += "".join(f"H{x(at):.1f}V{y(value):.1f}" for at, value in points[1:])
        label = f"{self.text}: {low:g} to {high:g} in {last - first:.3g} s, {len(points)} writes"
        return (
            f'<svg width="{_WIDTH}" height="{_HEIGHT + 18}" role="img" '
            f'aria-label="{escape(label, quote=True)}" font-family="sans-serif" font-size="12">'
            f'<path d="{path}" fill="none" stroke="#2a78d6" stroke-width="1.5"/>'
            f'<text x="{_EDGE}" y="{_HEIGHT + 12}" fill="currentColor">{escape(label)}</text></svg>'
        )

    def _cut_note(self) -> list[str]:
        hidden = len(self._events) - _ROWS
        return [f"{hidden} earlier events aren't shown."] if hidden > 0 else []


def _row(one: WatchEvent) -> list[str]:
    function = f"{one.function}()" if one.function and not one.function.startswith("<") else ""
    return [
        _clock(one.time),
        one.kind,
        one.place,
        function,
        one.thread,
        one.task,
        one.old_text,
        one.new_text,
    ]


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"
