"""An editor's way: a script under ``--listen``, its first stop, and each request after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.dap import line_of
from benchmarks.kernels import now
from benchmarks.options import PEERS, Side
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples
from benchmarks.scripts import Script

if TYPE_CHECKING:
    from benchmarks.pool import Pool

PROGRAM = """\
def f(n):
    total = 0
    for i in range(n):
        total += i  # @HERE
    return total
f(10_000)
"""

LAUNCH = "script: start -> first stop"
BARS_MS = {
    LAUNCH: 150.0,
    "script: threads": 3.0,
    "script: stackTrace": 3.0,
    "script: scopes": 3.0,
    "script: variables": 3.0,
    "script: evaluate": 3.0,
    "script: next": 3.0,
}
REQUESTS = 5


def measure(pool: Pool) -> list[Row]:
    """A new process for each repetition; the first one only warms the byte-code cache."""
    samples = Samples()
    for rep in range(pool.options.reps + 1):
        into = samples if rep else Samples()
        for side in samples.present(PEERS, rep):
            with samples.attempt(side):
                measure_once(pool, into, side)
    return [plain_row(what, "ms", bar, samples, what, scale=1e3) for what, bar in BARS_MS.items()]


def measure_once(pool: Pool, samples: Samples, side: Side) -> None:
    """Start a script, stop it, and ask what an editor asks at a stop."""
    with Script(pool, side, PROGRAM) as script:
        samples.add(LAUNCH, side, script.run_to_stop(line_of(PROGRAM, "HERE")))
        for _ in range(pool.options.size(REQUESTS, 2)):
            thread = add(samples, script, side, "threads")["threads"][0]["id"]
            frames = add(samples, script, side, "stackTrace", threadId=thread)["stackFrames"]
            scopes = add(samples, script, side, "scopes", frameId=frames[0]["id"])["scopes"]
            reference = scopes[0]["variablesReference"]
            add(samples, script, side, "variables", variablesReference=reference)
            add(samples, script, side, "evaluate", expression="i", frameId=frames[0]["id"])
            start = now()
            script.request("next", threadId=thread)
            script.stopped()
            samples.add("script: next", side, now() - start)


def add(
    samples: Samples, script: Script, side: Side, command: str, **arguments: object
) -> dict[str, list[dict[str, int]]]:
    """Make a request and keep its time; returns its body."""
    seconds, body = script.timed(command, **arguments)
    samples.add(f"script: {command}", side, seconds)
    return body
