"""What the debugger costs running code that doesn't stop.

Each rep has kernels of its own: where a process happens to lie in memory moves a Python loop by
some per cent, and one pair of kernels would show that instead of the debugger.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.options import PEERS, WITHOUT, Side
from benchmarks.report import Row, ratio_row
from benchmarks.samples import Samples
from benchmarks.workloads import WORKLOADS, Workload, cpu_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.dap import Client
    from benchmarks.pool import Pool

BAR = 1.02
REPEATS = 4
"""Runs in one kernel, of which the best counts; the first imports and warms."""
MIN_REPEATS = 2
SLOW_S = 0.5
"""What takes longer is run no more than ``MIN_REPEATS`` times in one kernel."""
SIDES = (*WITHOUT, *PEERS)


def measure(pool: Pool) -> list[Row]:
    """First every workload without a breakpoint, then every one with it, in the same kernels."""
    samples = Samples()
    workloads = [w for w in WORKLOADS if w.quick or not pool.options.quick]
    for rep in range(pool.options.reps):
        with pool.group():
            race = Race(samples, rep, pool.options.size(REPEATS, MIN_REPEATS))
            race.start(pool)
            for workload in workloads:
                race.run_plain(workload)
            for workload in workloads:
                race.run_unreached(workload)
        print(f"   overhead: rep {rep + 1}", file=sys.stderr, flush=True)
    return [
        *(ratio_row(f"no breakpoint: {w.name}", BAR, samples, w.name) for w in workloads),
        *(
            ratio_row(
                f"same function: {w.name}",
                BAR if w.runs_again else None,
                samples,
                unreached(w),
                small(w),
            )
            for w in workloads
        ),
    ]


def unreached(workload: Workload) -> str:
    """The key of the samples with a breakpoint in the function."""
    return f"{workload.name}, breakpoint"


def small(workload: Workload) -> str:
    """The key of the samples at the size that the stock debugger can bear."""
    return f"{workload.name}, small"


class Race:
    """One rep: a kernel of each side, that take turns."""

    def __init__(self, samples: Samples, rep: int, repeats: int) -> None:
        self._samples = samples
        self._rep = rep
        self._repeats = repeats
        self._clients: dict[Side, Client] = {}

    def start(self, pool: Pool) -> None:
        """Start the kernels, in another order in each rep."""
        for side in self._samples.present(SIDES, self._rep):
            with self._samples.attempt(side):
                self._clients[side] = pool.start_on(side)

    def run_plain(self, workload: Workload) -> None:
        """The workload with the debuggers on and no breakpoint."""
        self._compete(workload.name, workload.cell(workload.size), SIDES)

    def run_unreached(self, workload: Workload) -> None:
        """The same with a breakpoint on a line of the function that is never reached."""
        key = unreached(workload)
        cells = {
            Side.OURS: workload.cell(workload.size),
            Side.STOCK: workload.cell(workload.slow_size),
        }
        self._set(key, cells, "NEVER")
        self._compete(key, cells[Side.OURS], (*WITHOUT, Side.OURS))
        self._compete(small(workload), cells[Side.STOCK], (Side.OFF,))
        self._compete(key, cells[Side.STOCK], (Side.STOCK,))
        self._set(key, cells)

    def _set(self, key: str, cells: Mapping[Side, str], *marks: str) -> None:
        for side in self._samples.present(cells):
            with self._samples.attempt(side, key):
                self._clients[side].set_breakpoints(cells[side], *marks)

    def _compete(self, key: str, cell: str, sides: Iterable[Side]) -> None:
        """Keep each side's best CPU seconds; the sides take turns at every repeat."""
        best: dict[Side, float] = {}
        for repeat in range(self._repeats):
            for side in self._samples.present(sides, self._rep + repeat):
                if repeat >= MIN_REPEATS and best.get(side, 0.0) > SLOW_S:
                    continue
                with self._samples.attempt(side, key):
                    seconds = cpu_s(self._clients[side].kernel.execute(cell))
                    best[side] = min(seconds, best.get(side, seconds))
        for side, seconds in best.items():
            self._samples.add(key, side, seconds)
