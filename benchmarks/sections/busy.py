"""How the kernel answers while it is busy: with an evaluation that never ends, with a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import KernelLost, Refused
from benchmarks.kernels import now
from benchmarks.options import PEERS, WITHOUT
from benchmarks.report import Row, plain_row, ratio_row
from benchmarks.samples import Samples
from benchmarks.workloads import STOP

if TYPE_CHECKING:
    from benchmarks.dap import Client
    from benchmarks.pool import Pool

ANSWER = "debugInfo during an endless evaluate"
ANSWER_BAR_MS = 20.0
SHELL = "`!true` in a cell, debugger on"
SHELL_BAR = 1.1
REPEATS = 3


def measure(pool: Pool) -> list[Row]:
    """A new kernel for each endless evaluation; kernels side by side for the command."""
    samples = Samples()
    for rep in range(pool.options.reps):
        for side in samples.present(PEERS, rep):
            with samples.attempt(side, ANSWER), pool.group():
                samples.add(ANSWER, side, answer_s(pool.start_on(side)))
        with pool.group():
            for side in samples.present((*WITHOUT, *PEERS), rep):
                with samples.attempt(side, SHELL):
                    client = pool.start_on(side)
                    samples.add(SHELL, side, min(command_s(client) for _ in range(REPEATS)))
    return [
        plain_row(ANSWER, "ms", ANSWER_BAR_MS, samples, ANSWER, scale=1e3),
        ratio_row(SHELL, SHELL_BAR, samples, SHELL),
    ]


def answer_s(client: Client) -> float:
    """Seconds until debugInfo is answered, right after an endless loop was to be evaluated."""
    client.set_breakpoints(STOP, "HERE")
    stop = client.run_to_stop(STOP)
    frame = client.frames(stop.thread)[0]["id"]
    arguments = {"expression": "while True: pass", "frameId": frame, "context": "repl"}
    client.send("evaluate", arguments)
    try:
        return client.timed("debugInfo")[0]
    except KernelLost as error:
        raise Refused(str(error)) from None


def command_s(client: Client) -> float:
    """Seconds of a cell that only runs a command that does nothing."""
    start = now()
    client.kernel.execute("!true")
    return now() - start
