"""A process that is attached to: what that costs it, what is in it meanwhile, and what is left."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.kernels import now
from benchmarks.processes import rss_bytes
from benchmarks.report import Row
from benchmarks.samples import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.pool import Pool

SPEED_BAR, BOUND_BAR_MS, ENGINE_BAR_MIB = 1.02, 200.0, 8.0
MIB = 1024 * 1024
TURNS = 3

# Tells how long each round took, on a line of its own. Some of everything: how quick a single small
# loop is, depends by a tenth on where its data happens to lie.
PROGRAM = """\
import sys, time
TEXT = "the quick brown fox jumps over the lazy dog and the cat " * 40
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
    def moved(self, by):
        return Point(self.x + by, self.y + by)
def step(n):
    return n + 1
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def words(text):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts.items())
def work():
    x, point = 0, Point(0, 0)
    for _ in range(10_000):
        x = step(x)
    for n in range(2_000):
        point = point.moved(n)
    fib(16)
    return [words(TEXT) for _ in range(5)], sum(n * n % 7 for n in range(5_000))
def rounds():
    while True:
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)
rounds()
"""
PROGRAMS = {"bare": PROGRAM, "with asyncio": "import asyncio\n" + PROGRAM}
"""The engine needs much of the standard library: what is there already costs nothing."""
WRITES = "        x = step(x)"


class Target:
    """One process of the program."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(path)], stdout=subprocess.PIPE, bufsize=0
        )
        self.pid = self.process.pid

    def rounds_s(self, count: int) -> float:
        """The median of as many rounds, without those that were written before."""
        assert self.process.stdout is not None
        while select.select([self.process.stdout], [], [], 0)[0]:
            self.process.stdout.readline()
        self.process.stdout.readline()  # it had begun before
        found = median([float(self.process.stdout.readline()) for _ in range(count)])
        assert found is not None
        return found

    def threads(self) -> int:
        """How many it has, as the system counts."""
        return len(os.listdir(f"/proc/{self.pid}/task"))


def measure(pool: Pool) -> list[Row]:
    """A new process for each attach, since the first one in it costs most."""
    return [row for name in PROGRAMS for row in measure_in(name, pool)]


def measure_in(name: str, pool: Pool) -> list[Row]:
    """The rows of one program."""
    count = pool.options.size(250, 5)
    found: list[tuple[float, float, float, float]] = []
    line = PROGRAMS[name].splitlines().index(WRITES) + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rounds.py"
        path.write_text(PROGRAMS[name], encoding="utf-8")
        for _ in range(pool.options.reps):
            with running(path) as target:
                found.append(attach_once(target, path, line, count))
    rows = (
        (f"speed while attached to, no breakpoint ({name})", "x", SPEED_BAR),
        (f"engine in, first breakpoint bound, busy target ({name})", "ms", BOUND_BAR_MS),
        (f"memory of the target with the engine ({name})", "MiB", ENGINE_BAR_MIB),
        (f"threads left after a detach ({name})", "", 0.0),
    )
    return [
        Row(what=what, unit=unit, bar=bar, ours=samples, stock=())
        for (what, unit, bar), samples in zip(rows, zip(*found, strict=True), strict=True)
    ]


@contextmanager
def running(path: Path) -> Iterator[Target]:
    """Run the program, and end it."""
    target = Target(path)
    try:
        yield target
    finally:
        target.process.kill()
        target.process.communicate()


def attach_once(
    target: Target, path: Path, line: int, count: int
) -> tuple[float, float, float, float]:
    """Speed as a ratio, milliseconds to the first breakpoint, MiB, and threads left."""
    import nbdebug

    target.rounds_s(1)  # it has begun
    threads, size = target.threads(), rss_bytes(target.pid)
    start = now()
    with nbdebug.attach(target.pid) as session:
        session.add_breakpoint(str(path), line)
        bound_ms = 1e3 * (now() - start)
        session.clear_breakpoints()
        if session.status().stop is not None:
            session.resume()
        grown = (rss_bytes(target.pid) - size) / MIB
    ratio = speed_while_attached(target, count)
    end = now() + 5
    while target.threads() > threads and now() < end:
        time.sleep(0.01)
    return ratio, bound_ms, grown, float(target.threads() - threads)


def speed_while_attached(target: Target, count: int) -> float:
    """The ratio of rounds while it is attached to and of rounds before and after, in turns."""
    import nbdebug

    alone, attached = [target.rounds_s(count)], []
    for _ in range(TURNS):
        with nbdebug.attach(target.pid):
            attached.append(target.rounds_s(count))
        alone.append(target.rounds_s(count))
    return (median(attached) or 0.0) / (median(alone) or 1.0)
