"""How long it takes to see the stacks of many threads at a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import Refused
from benchmarks.kernels import now
from benchmarks.options import PEERS, Side
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples, median
from benchmarks.workloads import START_THREADS, STOP, THREADS

if TYPE_CHECKING:
    from benchmarks.dap import Client
    from benchmarks.pool import Pool

BAR_MS = 100.0
STACKS = f"stacks of {THREADS} stopped threads"
STOPPED = f"execute -> stopped with {THREADS} threads"
TRANSPORT = "round trip"


def measure(pool: Pool) -> list[Row]:
    """The stacks are asked for one after the other, as a client does that shows each."""
    samples = Samples()
    with pool.group():
        clients: dict[Side, Client] = {}
        for side in PEERS:
            with samples.attempt(side):
                clients[side] = pool.start_on(side)
                clients[side].kernel.execute(START_THREADS)
                clients[side].set_breakpoints(STOP, "HERE")
        stock_reps = pool.options.size(pool.options.reps, 1)  # each takes it over four seconds
        for rep in range(pool.options.reps):
            for side in samples.present(PEERS, rep):
                if side is Side.OURS or rep < stock_reps:
                    with samples.attempt(side):
                        look_at_threads(clients[side], samples, side)
    trip_ms = (median(samples.of(TRANSPORT, Side.OURS)) or 0) * 1e3
    floor = f"transport, {THREADS + 2} x {trip_ms:.2f} ms"
    return [
        plain_row(STACKS, "ms", BAR_MS, samples, STACKS, scale=1e3, control=floor),
        plain_row(STOPPED, "ms", None, samples, STOPPED, scale=1e3),
    ]


def look_at_threads(client: Client, samples: Samples, side: Side) -> None:
    """Stop, and ask for the threads and every stack. Raises Refused if a stack is missing."""
    stop = client.run_to_stop(STOP)
    start = now()
    threads = client.request("threads")["threads"]
    stacks = [client.frames(thread["id"]) for thread in threads]
    seconds = now() - start
    seen = sum(1 for frames in stacks if frames)
    if seen <= THREADS:
        raise Refused(f"{seen} stacks of {THREADS + 1}")
    samples.add(STOPPED, side, stop.seconds)
    samples.add(STACKS, side, seconds)
    samples.add(TRANSPORT, side, *(client.kernel.round_trip_s() for _ in range(5)))
    client.resume(stop)
