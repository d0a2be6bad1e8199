"""How long the user waits: until a stop, for a step, for a deep stack; and what a step costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import Refused
from benchmarks.kernels import now
from benchmarks.options import PEERS, WITHOUT, Side
from benchmarks.report import Row, plain_row, ratio_row
from benchmarks.samples import Samples, median
from benchmarks.workloads import DEEP, DEPTH, STEP_OVER, STEPS, STOP, cpu_s

if TYPE_CHECKING:
    from benchmarks.dap import Client, Stopped
    from benchmarks.pool import Pool

LEVELS = 20
TRANSPORT = "round trip"
REPEATS = 3

BARS_MS = {
    "execute -> stopped": 10.0,
    "next": 3.0,
    "stepIn": 3.0,
    "stepOut": 3.0,
    "panel step: next + stack + scopes + variables": 8.0,
    f"stackTrace {DEPTH} deep, {LEVELS} levels": 3.0,
    f"stackTrace {DEPTH} deep, all": 40.0,
}
STOPPED, NEXT, STEP_IN, STEP_OUT, PANEL, STACK_TOP, STACK_ALL = BARS_MS
BYTES = "bytes of messages per panel step"
OVER = "step over fib(22), CPU"
OVER_BAR = 1.1


def measure(pool: Pool) -> list[Row]:
    """Both debuggers' kernels live side by side and take turns, rep after rep."""
    samples = Samples()
    sides = (*WITHOUT, *PEERS)
    with pool.group():
        clients: dict[Side, Client] = {}
        for side in sides:
            with samples.attempt(side):
                clients[side] = pool.start_on(side)
        for rep in range(pool.options.reps + 1):  # the first rep warms
            into = samples if rep else Samples()
            for side in samples.present(PEERS, rep):
                count = pool.options.size(5, 2) if side is Side.OURS else pool.options.size(2, 1)
                with samples.attempt(side):
                    measure_stops(clients[side], into, side, count)
                    measure_steps(clients[side], into, side, count)
                with samples.attempt(side, STACK_TOP):
                    measure_deep_stack(clients[side], into, side)
            for side in samples.present(sides, rep):
                with samples.attempt(side):
                    into.add(OVER, side, step_over_s(clients[side], side))
    floor = f"transport {(median(samples.of(TRANSPORT, Side.OURS)) or 0) * 1e3:.2f} ms"
    rows = [
        plain_row(what, "ms", bar, samples, what, scale=1e3, control=floor)
        for what, bar in BARS_MS.items()
    ]
    stock_bytes = median(samples.of(BYTES, Side.STOCK))
    return [
        *rows,
        plain_row(BYTES, "kB", stock_bytes and stock_bytes / 1e3, samples, BYTES, scale=1e-3),
        ratio_row(OVER, OVER_BAR, samples, OVER),
    ]


def measure_stops(client: Client, samples: Samples, side: Side, count: int) -> None:
    """Run a cell into its breakpoint, and on to its end."""
    client.set_breakpoints(STOP, "HERE")
    for _ in range(count):
        stop = client.run_to_stop(STOP)
        samples.add(STOPPED, side, stop.seconds)
        client.resume(stop)
        samples.add(TRANSPORT, side, client.kernel.round_trip_s())
    client.set_breakpoints(STOP)


def measure_steps(client: Client, samples: Samples, side: Side, count: int) -> None:
    """Step about in a loop that calls a function."""
    client.set_breakpoints(STEPS, "HERE")
    stop = client.run_to_stop(STEPS)
    thread = stop.thread
    samples.add(NEXT, side, *(client.step("next", thread) for _ in range(2 * count)))
    for _ in range(count):
        start, before = now(), client.kernel.debug_bytes
        client.step("next", thread)
        client.fill_panel(thread)
        samples.add(PANEL, side, now() - start)
        samples.add(BYTES, side, client.kernel.debug_bytes - before)
    for _ in range(count):
        client.step("continue", thread)
        samples.add(STEP_IN, side, client.step("stepIn", thread))
        expect_in(client, thread, "g")
        samples.add(STEP_OUT, side, client.step("stepOut", thread))
        expect_in(client, thread, "f")
    client.set_breakpoints(STEPS)
    client.resume(stop)


def expect_in(client: Client, thread: int, function: str) -> None:
    """A step that lands elsewhere isn't worth its time. Raises Refused."""
    landed = client.frames(thread)[0]["name"]
    if landed.rpartition(".")[2] != function:
        raise Refused(f"a step landed in {landed}, not in {function}")


def measure_deep_stack(client: Client, samples: Samples, side: Side) -> None:
    """Ask for the innermost frames of a deep stack, then for all of them."""
    client.set_breakpoints(DEEP, "HERE")
    stop = client.run_to_stop(DEEP)
    try:
        paging = {"threadId": stop.thread, "startFrame": 0, "levels": LEVELS}
        seconds, _ = client.timed("stackTrace", paging)
        samples.add(STACK_TOP, side, seconds)
        samples.add(STACK_ALL, side, full_stack_s(client, stop))
    finally:
        client.set_breakpoints(DEEP)
        client.resume(stop)


def full_stack_s(client: Client, stop: Stopped) -> float:
    """Seconds for the whole stack. Raises Refused if frames are missing."""
    seconds, body = client.timed("stackTrace", {"threadId": stop.thread})
    if len(body["stackFrames"]) <= DEPTH:
        raise Refused(f"stackTrace gave {len(body['stackFrames'])} frames of {DEPTH}")
    return seconds


def step_over_s(client: Client, side: Side) -> float:
    """CPU seconds of a call that is stepped over (or, without a debugger, just run)."""
    best = []
    for _ in range(REPEATS if side is not Side.STOCK else 1):
        if side in WITHOUT:
            output = client.kernel.execute(STEP_OVER)
        else:
            client.set_breakpoints(STEP_OVER, "HERE")
            stop = client.run_to_stop(STEP_OVER)
            client.step("next", stop.thread)
            client.set_breakpoints(STEP_OVER)
            output = client.resume(stop)
        best.append(cpu_s(output))
    return min(best)
