"""What counting a hit and writing a log message cost, and how fast log messages arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import Refused
from benchmarks.kernels import now
from benchmarks.options import PEERS, Side
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples
from benchmarks.workloads import CONDITION, cpu_s, timed

if TYPE_CHECKING:
    from benchmarks.dap import Client
    from benchmarks.pool import Pool

HIT = "hit count, per hit in a function"
LOG = "log message, per hit in a function"
TIME = "50,000 log messages, until the last has arrived"
HIT_BAR_NS = 250.0
LOG_BAR_NS = 3000.0
DELIVERED = 50_000
TIME_BAR_S = 1.0
REPEATS = 3
NEVER = {"line": "HERE", "hitCondition": ">=1000000000"}
LOGGED = {"line": "HERE", "logMessage": "i={i}"}


def measure(pool: Pool) -> list[Row]:
    """New kernels in each rep. The stock debugger, which is slow here, logs fewer messages."""
    samples = Samples()
    for rep in range(pool.options.reps):
        for side in samples.present(PEERS, rep):
            hits = pool.options.size(200_000, 20_000) if side is Side.OURS else 10_000
            logs = pool.options.size(DELIVERED, 5_000) if side is Side.OURS else 2_000
            with samples.attempt(side), pool.group():
                client = pool.start_on(side)
                bare = best_s(client, hits)
                samples.add(HIT, side, (best_s(client, hits, NEVER) - bare) / hits * 1e9)
            with samples.attempt(side, LOG), pool.group():
                client = pool.start_on(side)
                bare = best_s(client, logs) * 1e9 / logs
                spent, arrived = delivered(client, logs)
                samples.add(LOG, side, spent / logs * 1e9 - bare)
                samples.add(TIME, side, arrived * DELIVERED / logs)
    return [
        plain_row(HIT, "ns", HIT_BAR_NS, samples, HIT),
        plain_row(LOG, "ns", LOG_BAR_NS, samples, LOG),
        plain_row(TIME, "s", TIME_BAR_S, samples, TIME),
    ]


def best_s(client: Client, hits: int, *breakpoints: dict[str, str]) -> float:
    """CPU seconds of the loop, the best of some."""
    cell = timed(CONDITION, f"loop({hits})")
    client.set_breakpoints(cell, *breakpoints)
    return min(cpu_s(client.kernel.execute(cell)) for _ in range(REPEATS))


def delivered(client: Client, logs: int) -> tuple[float, float]:
    """CPU seconds of the loop, and seconds until all messages are here. Raises Refused.

    They must all come, and in order.
    """
    cell = timed(CONDITION, f"loop({logs})")
    client.set_breakpoints(cell, LOGGED)
    mark, start = len(client.kernel.events), now()
    running = client.kernel.submit(cell)
    counted, index, last = 0, mark, start

    def all_here() -> bool:
        nonlocal counted, index, last
        for event in client.kernel.events[index:]:
            index += 1
            if event.content["event"] != "output":
                continue
            for line in str(event.content["body"]["output"]).splitlines():
                if line.startswith("i="):
                    if line != f"i={counted}":
                        raise Refused(f"{line} came where i={counted} was due")
                    counted, last = counted + 1, event.at
        return counted >= logs

    client.kernel.wait(all_here)
    # The cell's output has the same lines, where the debugger prints them.
    return cpu_s(client.kernel.finish(running)), last - start
