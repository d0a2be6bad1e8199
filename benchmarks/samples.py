"""Collects what is measured, rep after rep and side after side, and survives a side's failure."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import BenchmarkError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .options import Side


class Samples:
    """Values by what they measure and whose they are; and why some are missing."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, Side], list[float]] = defaultdict(list)
        self._lost: dict[tuple[str, Side], str] = {}
        self._out: dict[Side, str] = {}

    def add(self, what: str, side: Side, *values: float) -> None:
        """Keep values."""
        self._values[what, side].extend(values)

    def of(self, what: str, side: Side) -> list[float]:
        """The values kept, in order."""
        return list(self._values[what, side])

    def lost(self, what: str, side: Side) -> str:
        """Why there is no figure; empty if nothing failed."""
        return self._out.get(side, "") or self._lost.get((what, side), "")

    def present(self, sides: Iterable[Side], rep: int = 0) -> list[Side]:
        """The sides that still answer; each rep begins with another, so none is always first."""
        left = [side for side in sides if side not in self._out]
        turn = rep % len(left) if left else 0
        return left[turn:] + left[:turn]

    @contextmanager
    def attempt(self, side: Side, what: str = "") -> Iterator[None]:
        """A failure inside costs ``side`` this one figure if it only refused, else all to come."""
        try:
            yield
        except BenchmarkError as error:
            if what and isinstance(error, Refused):
                self._lost[what, side] = str(error)
            else:
                self._out[side] = str(error) or type(error).__name__
            print(f"   {side.value}: {what}: {error}", file=sys.stderr)


def paired(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratio of each pair that was measured in the same rep."""
    return [a / b for a, b in zip(above, below, strict=False)]


def median(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return statistics.median(values) if values else None


def half_spread(values: Sequence[float]) -> float:
    """Half of the distance between the quartiles; 0 of fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2


def noise_of(control: Sequence[float]) -> float:
    """How far a ratio that should be 1 went astray: its bias, or half of its spread if larger."""
    middle = median(control)
    return 0.0 if middle is None else max(abs(middle - 1), half_spread(control))
