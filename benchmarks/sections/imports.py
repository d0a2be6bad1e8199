"""What a breakpoint somewhere else costs a large import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.options import PEERS, WITHOUT, Side
from benchmarks.report import Row, ratio_row
from benchmarks.samples import Samples
from benchmarks.workloads import ELSEWHERE, IMPORT_PANDAS, cpu_s

if TYPE_CHECKING:
    from benchmarks.pool import Pool

BAR = 1.05
WHAT = "import pandas, breakpoint elsewhere"


def measure(pool: Pool) -> list[Row]:
    """A new kernel for each import; the byte code of pandas is in the cache before."""
    samples = Samples()
    pool.warm([Side.OFF], "import pandas")
    stock_reps = pool.options.size(pool.options.reps, 1)
    for rep in range(pool.options.reps):
        for side in samples.present((*WITHOUT, *PEERS), rep):
            if side is Side.STOCK and rep >= stock_reps:
                continue
            with samples.attempt(side), pool.group():
                client = pool.start_on(side)
                if side in PEERS:
                    client.set_breakpoints(ELSEWHERE, "HERE")
                client.kernel.execute(ELSEWHERE)
                samples.add(WHAT, side, cpu_s(client.kernel.execute(IMPORT_PANDAS)))
    return [ratio_row(WHAT, BAR, samples, WHAT)]
