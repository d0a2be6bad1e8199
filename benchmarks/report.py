"""Rows of figures against their bars, and the table that shows them; measures nothing."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .options import Side
from .samples import Samples, median, noise_of, paired

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOISE_LIMIT = 0.10
"""With more noise than this a ratio above its bar shows nothing, neither way."""


class Verdict(enum.Enum):
    """Whether a bar holds."""

    HOLDS = "yes"
    WITHIN_NOISE = "yes, within noise"
    UNCLEAR = "unclear: noise"
    FAILS = "NO"
    MISSING = "NO: not measured"
    NO_BAR = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both debuggers. ``noise`` is relative: 0.02 for 2 %."""

    what: str
    unit: str
    bar: float | None
    ours: tuple[float, ...]
    stock: tuple[float, ...]
    control: str = ""
    noise: float = 0.0
    ours_lost: str = ""
    stock_lost: str = ""

    @property
    def verdict(self) -> Verdict:
        """By the rule in docs/benchmarks.md."""
        ours = median(self.ours)
        if self.bar is None:
            return Verdict.NO_BAR
        if ours is None or self.ours_lost:
            return Verdict.MISSING
        if ours <= self.bar:
            return Verdict.HOLDS
        if ours > self.bar * (1 + self.noise):
            return Verdict.FAILS
        return Verdict.WITHIN_NOISE if self.noise <= NOISE_LIMIT else Verdict.UNCLEAR

    @property
    def good(self) -> bool:
        """Nothing to mend here."""
        return self.verdict in (Verdict.HOLDS, Verdict.WITHIN_NOISE, Verdict.NO_BAR)


def ratio_row(
    what: str, bar: float | None, samples: Samples, key: str, stock_base: str = ""
) -> Row:
    """Each debugger's ratio to a kernel without one, beside two such kernels' own ratio.

    ``key`` names the samples; ``stock_base`` those of OFF for the stock debugger, where it ran
    another size.
    """
    off = samples.of(key, Side.OFF)
    control = paired(samples.of(key, Side.CONTROL), off)
    noise = noise_of(control)
    stock_off = samples.of(stock_base, Side.OFF) if stock_base else off
    middle = median(control)
    return Row(
        what=what,
        unit="x",
        bar=bar,
        ours=tuple(paired(samples.of(key, Side.OURS), off)),
        stock=tuple(paired(samples.of(key, Side.STOCK), stock_off)),
        control=f"off/off {middle:.3f}, noise {noise:.3f}" if middle else "",
        noise=noise,
        ours_lost=samples.lost(key, Side.OURS),
        stock_lost=samples.lost(key, Side.STOCK),
    )


def plain_row(
    what: str,
    unit: str,
    bar: float | None,
    samples: Samples,
    key: str,
    *,
    scale: float = 1.0,
    control: str = "",
) -> Row:
    """Both debuggers' figures as they are, times ``scale``."""
    return Row(
        what=what,
        unit=unit,
        bar=bar,
        ours=tuple(value * scale for value in samples.of(key, Side.OURS)),
        stock=tuple(value * scale for value in samples.of(key, Side.STOCK)),
        control=control,
        ours_lost=samples.lost(key, Side.OURS),
        stock_lost=samples.lost(key, Side.STOCK),
    )


def figure(values: Sequence[float], unit: str, lost: str = "") -> str:
    """A median for reading; "(!)" where some of the repetitions failed."""
    middle = median(values)
    if middle is None:
        return "failed" if lost else "-"
    more = " (!)" if lost else ""
    digits = 3 if unit == "x" and middle < 10 else 2 if middle < 1 else 1 if middle < 100 else 0
    return f"{middle:.{digits}f} {unit}{more}"


def table(rows: Iterable[Row]) -> str:
    """The rows as aligned text, and below it why figures are missing."""
    lines = [("what", "bar", "nbdebug", "stock debugpy", "control / noise", "holds?")]
    reasons = []
    for row in rows:
        bar = "" if row.bar is None else f"<= {row.bar:g} {row.unit}"
        ours = figure(row.ours, row.unit, row.ours_lost)
        stock = figure(row.stock, row.unit, row.stock_lost)
        lines.append((row.what, bar, ours, stock, row.control, row.verdict.value))
        for name, lost in (("nbdebug", row.ours_lost), ("stock debugpy", row.stock_lost)):
            if lost:
                reasons.append(f"{row.what}: {name}: {lost}")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [" | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    text.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join([*(line.rstrip() for line in text), *reasons])


def as_json(row: Row) -> dict[str, object]:
    """The row with all its samples."""
    return {
        "what": row.what,
        "unit": row.unit,
        "bar": row.bar,
        "nbdebug": median(row.ours),
        "stock debugpy": median(row.stock),
        "control": row.control,
        "noise": row.noise,
        "holds": row.verdict.value,
        "failed": {"nbdebug": row.ours_lost, "stock debugpy": row.stock_lost},
        "samples": {"nbdebug": row.ours, "stock debugpy": row.stock},
    }
