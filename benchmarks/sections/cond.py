"""What one hit of a breakpoint costs whose condition is false, beside the interpreter's floor."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import PEERS, Side
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples, half_spread, median, paired
from benchmarks.workloads import CONDITION, cpu_s, timed

if TYPE_CHECKING:
    from benchmarks.pool import Pool

BAR_NS = 300.0
BAR_FLOORS = 2.0
REPEATS = 3
FLOOR = Path(__file__).parent.parent / "floor.py"
WHAT = "false condition, per hit in a function"


def measure(pool: Pool) -> list[Row]:
    """New kernels and a new floor process in each rep, one after the other."""
    samples = Samples()
    hits = pool.options.size(100_000, 20_000)
    cell = timed(CONDITION, f"loop({hits})")
    floors: list[float] = []
    for rep in range(pool.options.reps):
        floors.append(floor_ns(pool, hits))
        with pool.group():
            bare = best_s(pool, Side.OFF, cell)
            for side in samples.present(PEERS, rep):
                with samples.attempt(side):
                    seconds = best_s(pool, side, cell)
                    samples.add(WHAT, side, (seconds - bare) / hits * 1e9)
    floor = median(floors) or 1.0
    noise = half_spread(floors) / floor
    return [
        plain_row(WHAT, "ns", BAR_NS, samples, WHAT),
        Row(
            what="the same / eval floor",
            unit="x",
            bar=BAR_FLOORS,
            ours=tuple(paired(samples.of(WHAT, Side.OURS), floors)),
            stock=tuple(paired(samples.of(WHAT, Side.STOCK), floors)),
            control=f"floor {floor:.0f} ns, noise {noise:.3f}",
            noise=noise,
            ours_lost=samples.lost(WHAT, Side.OURS),
            stock_lost=samples.lost(WHAT, Side.STOCK),
        ),
    ]


def best_s(pool: Pool, side: Side, cell: str) -> float:
    """CPU seconds of the loop in a new kernel, the best of some (the stock debugger's only one)."""
    client = pool.start_on(side)
    if side in PEERS:
        client.set_breakpoints(cell, {"line": "HERE", "condition": "i == -1"})
    repeats = 1 if side is Side.STOCK else REPEATS
    return min(cpu_s(client.kernel.execute(cell)) for _ in range(repeats))


def floor_ns(pool: Pool, hits: int) -> float:
    """The floor, in a process of its own."""
    command = [pool.options.python, "-I", str(FLOOR), str(hits)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)
