"""How long the debugger takes to be ready, beside the kernel's own start; and what it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.kernels import now
from benchmarks.options import PEERS, Side
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples, half_spread, median
from benchmarks.workloads import ELSEWHERE

if TYPE_CHECKING:
    from benchmarks.pool import Pool

BAR = 0.1


def measure(pool: Pool) -> list[Row]:
    """A new kernel for each figure; the first rep only warms the byte-code cache."""
    samples = Samples()
    for rep in range(pool.options.reps + 1):
        for side in samples.present(PEERS, rep):
            with samples.attempt(side), pool.group():
                figures = enable_once(pool, side)
                if rep:
                    for what, value in figures.items():
                        samples.add(what, side, value)
    starts = [value for side in PEERS for value in samples.of("kernel", side)]
    control = f"kernel start {(median(starts) or 0) * 1e3:.0f} ms, noise {noise(starts):.3f}"
    return [
        Row(
            what="switch on, until ready / kernel start",
            unit="x",
            bar=BAR,
            ours=tuple(samples.of("ratio", Side.OURS)),
            stock=tuple(samples.of("ratio", Side.STOCK)),
            control=control,
            noise=noise(starts),
            ours_lost=samples.lost("ratio", Side.OURS),
            stock_lost=samples.lost("ratio", Side.STOCK),
        ),
        plain_row("switch on, until ready", "ms", None, samples, "on", scale=1e3),
        plain_row("the setup cell before it", "ms", None, samples, "setup", scale=1e3),
        plain_row("new processes", "", 0, samples, "processes"),
    ]


def enable_once(pool: Pool, side: Side) -> dict[str, float]:
    """Start a kernel, switch its debugger on, set a breakpoint."""
    client = pool.start(side)
    client.kernel.execute("pass")
    processes = client.kernel.process_count()
    setup = client.run_setup()
    begin = now()
    client.switch_on()
    client.set_breakpoints(ELSEWHERE, "HERE")
    seconds = now() - begin
    return {
        "kernel": client.kernel.start_s,
        "setup": setup,
        "on": seconds,
        "ratio": seconds / client.kernel.start_s,
        "processes": client.kernel.process_count() - processes,
    }


def noise(starts: list[float]) -> float:
    """The relative half spread of the kernel's start, which the ratio is taken to."""
    middle = median(starts)
    return half_spread(starts) / middle if middle else 0.0
