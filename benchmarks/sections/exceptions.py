"""What exceptions cost that are raised and caught while a filter looks for those that aren't."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.options import PEERS, WITHOUT, Side
from benchmarks.report import Row, ratio_row
from benchmarks.samples import Samples
from benchmarks.workloads import EXCEPTIONS, cpu_s, timed

if TYPE_CHECKING:
    from benchmarks.pool import Pool

BAR = 2.5
COUNT = 20_000
FILTERS = ("uncaught", "userUnhandled")
REPEATS = 3


def measure(pool: Pool) -> list[Row]:
    """New kernels in each rep; in each, first one filter, then the other."""
    samples = Samples()
    count = pool.options.size(COUNT, 5_000)
    cell = timed(EXCEPTIONS, f"catcher({count})")
    for rep in range(pool.options.reps):
        with pool.group():
            for side in samples.present((*WITHOUT, *PEERS), rep):
                with samples.attempt(side):
                    client = pool.start_on(side)
                    for name in FILTERS:
                        if side in PEERS:
                            client.request("setExceptionBreakpoints", {"filters": [name]})
                        repeats = 1 if side is Side.STOCK else REPEATS
                        seconds = [cpu_s(client.kernel.execute(cell)) for _ in range(repeats)]
                        samples.add(name, side, min(seconds))
    return [
        ratio_row(f"{count:,} exceptions caught, filter {name}", BAR, samples, name)
        for name in FILTERS
    ]
