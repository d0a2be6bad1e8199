"""How long it takes to pause a loop that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import Refused
from benchmarks.kernels import now
from benchmarks.options import PEERS
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples
from benchmarks.workloads import SPIN, TOP_SPIN

if TYPE_CHECKING:
    from benchmarks.options import Side
    from benchmarks.pool import Pool

BAR_MS = 20.0
MAIN_THREAD = 1
"""The thread that JupyterLab names when none is stopped."""
LOOPS = {"pause a loop in a function": SPIN, "pause a top-level loop": TOP_SPIN}


def measure(pool: Pool) -> list[Row]:
    """A new kernel for each pause: the loop never ends by itself."""
    samples = Samples()
    loops = list(LOOPS)[: pool.options.size(len(LOOPS), 1)]
    for rep in range(pool.options.reps):
        for what in loops:
            for side in samples.present(PEERS, rep):
                with samples.attempt(side, what), pool.group():
                    samples.add(what, side, pause_s(pool, side, LOOPS[what]))
    return [plain_row(what, "ms", BAR_MS, samples, what, scale=1e3) for what in loops]


def pause_s(pool: Pool, side: Side, cell: str) -> float:
    """Seconds from the request to the event. Raises Refused if the stop shows no frame."""
    client = pool.start_on(side)
    kernel = client.kernel
    client.request("dumpCell", {"code": cell})
    running = kernel.submit(cell)
    kernel.wait(lambda: "running" in kernel.output(running))
    mark = len(kernel.events)
    start = now()
    client.send("pause", {"threadId": MAIN_THREAD})
    event = client.event("stopped", mark)
    if not client.frames(int(event.content["body"]["threadId"])):
        raise Refused("paused without a frame")
    return event.at - start
