"""Stacks of another process, read-only: how long a look takes, and how much of it is valid."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Row
from benchmarks.samples import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.pool import Pool

PROGRAM = Path(__file__).parent.parent / "looking.py"
BARS_MS = {1: (2.0, 0.1), 50: (5.0, 2.0), 200: (20.0, 8.0)}
"""Threads -> the bars of the first look at a process and of a later one."""

WAITING = """
import sys, threading, time
def deep(n):
    if n: deep(n - 1)
    else: time.sleep(3600)
for i in range(int(sys.argv[1]) - 1):
    threading.Thread(target=deep, args=(i % 16,), daemon=True).start()
time.sleep(0.2)
print(1, flush=True)
deep(0)
"""

# Four ways down, 30 calls each, whose functions are called by way and depth: each stack tells
# whether it can be.
CHANGING = "\n".join(
    [f"def f{way}_{d}(): f{way}_{d + 1}()" for way in range(4) for d in range(30)]
    + [f"def f{way}_30(): pass" for way in range(4)]
    + ["def main():\n    while True:", *(f"        f{way}_0()" for way in range(4))]
    + ["print(1, flush=True)\nmain()"]
)


def measure(pool: Pool) -> list[Row]:
    """A new process that looks in each rep, at targets that stay."""
    python = pool.options.python
    looks = pool.options.size(2000, 200)
    with ExitStack() as stack:
        waiting = {n: stack.enter_context(target(python, WAITING, str(n))) for n in BARS_MS}
        changing = stack.enter_context(target(python, CHANGING))
        runs = [run(python, looks, changing, waiting) for _ in range(pool.options.reps)]
        peers = {n: [spied(pid) for _ in range(pool.options.reps)] for n, pid in waiting.items()}
        stacked = {n: pystack(pid) for n, pid in waiting.items()}
    rows = []
    for index, (threads, bars) in enumerate(BARS_MS.items()):
        times = [found["times"][index] for found in runs]
        first = tuple(1e3 * one["first"] for one in times)
        warm = tuple(1e3 * (median(one["warm"]) or 0) for one in times)
        others = tuple(one for one in peers[threads] if one is not None)
        beside = stacked[threads]
        rows += [
            Row(
                what=f"stacks of {threads} threads, {name}",
                unit="ms",
                bar=bar,
                ours=samples,
                stock=others,
                control="" if beside is None else f"pystack {beside:.0f}",
            )
            for name, bar, samples in (("first", bars[0], first), ("later", bars[1], warm))
        ]
    cpython = [found["cpython"] for found in runs if found["cpython"] is not None]
    return [
        *rows,
        Row(
            what="stacks shown that can't be, while calls change",
            unit="%",
            bar=0.0,
            ours=tuple(100 * (1 - found["valid"]) for found in runs),
            stock=(),
            control=f"CPython's {100 * (1 - (median(cpython) or 0)):.0f}" if cpython else "",
        ),
    ]


@contextmanager
def target(python: str, program: str, *arguments: str) -> Iterator[int]:
    """A process that runs a program; it has said that it is ready."""
    process = subprocess.Popen(
        [python, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def run(python: str, looks: int, changing: int, waiting: dict[int, int]) -> dict[str, Any]:
    """What looking.py prints."""
    words = [str(one) for one in (looks, changing, *waiting.values())]
    done = subprocess.run(
        [python, str(PROGRAM), *words], capture_output=True, text=True, timeout=300, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def spied(pid: int) -> float | None:
    """How long py-spy takes, in ms, with its own start; None where there is none."""
    return timed("py-spy", "dump", "--pid", str(pid))


def pystack(pid: int) -> float | None:
    """The same of pystack."""
    return timed("pystack", "remote", str(pid))


def timed(name: str, *arguments: str) -> float | None:
    """How long a command takes, in ms; None where it isn't there, or fails."""
    command = shutil.which(name)
    if command is None:
        return None
    start = time.perf_counter()
    done = subprocess.run([command, *arguments], capture_output=True, timeout=60, check=False)
    return 1e3 * (time.perf_counter() - start) if done.returncode == 0 else None
