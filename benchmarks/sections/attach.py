"""Getting into other processes: the list of them, how soon one is in, and how often it fails."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import start_new_kernel

from benchmarks.report import Row
from benchmarks.sections.looking import target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jupyter_client.blocking.client import BlockingKernelClient

    from benchmarks.pool import Pool

ROOT = Path(__file__).parent.parent.parent
PROGRAM = ROOT / "benchmarks" / "attaching.py"
SOURCES = ("3.12", "3.13", "3.14", "3.15")
NEW, OLD = ("3.14", "3.15"), ("3.12", "3.13")
PYTHONS, OTHERS = 100, 150
LIST_BARS_MS = {"plain": 50.0, "details": 100.0}

READY = "print(1, flush=True)\n"
BUSY = READY + "while True: pass"
TARGETS = {
    "busy": BUSY,
    "blocked": READY + "import time; time.sleep(3600)",
    "lock": READY + "import threading; a = threading.Lock(); a.acquire(); a.acquire()",
    "10 busy threads": (
        "import threading\ndef spin():\n    while True: pass\n"
        "for _ in range(9): threading.Thread(target=spin, daemon=True).start()\n" + BUSY
    ),
}
HELLO_BARS_MS = {"busy": 30.0, "blocked": 15.0, "lock": 15.0, "asyncio": 15.0}
ENGINE_BAR_MS = 200.0
ENGINES = 10
"""One in so many attaches has the engine, where the target must compile it."""
PEER_REPS = 3
DEBUGPY_LIMIT_S = 20.0
ASYNCIO = f"import asyncio\nasync def main():\n    {READY}    await asyncio.Event().wait()\n"
HOSTILE = """
import hashlib, importlib, json, os, random, re, threading, time
def work(number):
    while True:
        kept = {i: bytearray(random.randrange(1, 5000)) for i in range(200)}
        hashlib.sha256(b"x" * 300000).digest()
        json.dumps(list(range(500)))
        if number % 2: time.sleep(random.random() * 0.005)
for number in range(3): threading.Thread(target=work, args=(number,), daemon=True).start()
lock = threading.Lock()
print(1, flush=True)
while True:
    for name in ("json.decoder", "string", "textwrap"):
        importlib.reload(importlib.import_module(name))
    with lock: re.compile("a" * random.randrange(1, 50))
    with open(os.devnull, "w") as file: file.write("x" * 100000)
    time.sleep(random.random() * 0.004)
    os.listdir("/usr/lib")
"""


def measure(pool: Pool) -> list[Row]:
    """The lists, hellos, engines and failures, in this order."""
    options = pool.options
    count = options.size(200, 10)
    pythons = {version: path for version in SOURCES if (path := find_python(version))}
    rows = lists(options.python, options.reps)
    if "3.14" in pythons:
        rows += hellos(options.python, pythons["3.14"], options.reps)
    sources = pythons if not options.quick else {"": options.python}
    for version, source in sources.items():
        for into in NEW:
            if into in pythons:
                rows.append(failures(version, source, into, pythons[into], count))
    rows += [hostile(options.python, into, pythons[into], count) for into in OLD if into in pythons]
    return rows


def find_python(version: str) -> str | None:
    """An interpreter of this version on this machine."""
    command = [str(ROOT / "tools" / "find-python"), version]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    return done.stdout.strip() or None


def ask(python: str, *words: object) -> Any:
    """What attaching.py prints."""
    done = subprocess.run(
        [python, str(PROGRAM), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return json.loads(done.stdout)


def lists(python: str, reps: int) -> list[Row]:
    """100 Pythons among 250 processes."""
    with ExitStack() as stack:
        for _ in range(PYTHONS):
            stack.enter_context(target(python, TARGETS["blocked"]))
        others = [subprocess.Popen(["sleep", "3600"]) for _ in range(OTHERS)]
        try:
            found = ask(python, "list", reps)
        finally:
            for other in others:
                other.kill()
                other.wait()
    return [
        row(
            f"list of {PYTHONS} Pythons among {PYTHONS + OTHERS} processes, {name}",
            bar,
            found[name],
        )
        for name, bar in LIST_BARS_MS.items()
    ]


def row(what: str, bar: float, seconds: list[float], peer: Sequence[float] = ()) -> Row:
    """A row of times."""
    ours, stock = (tuple(1e3 * one for one in times) for times in (seconds, peer))
    return Row(what=what, unit="ms", bar=bar, ours=ours, stock=stock)


def hellos(python: str, into: str, reps: int) -> list[Row]:
    """How soon the agent says hello, and the engine is there."""
    rows = []
    programs = {**TARGETS, "asyncio": ASYNCIO + "asyncio.run(main())"}
    for name, bar in HELLO_BARS_MS.items():
        with target(into, programs[name]) as pid:
            found = ask(python, "engine", reps, pid)
        rows.append(row(f"hello of a 3.14: {name}", bar, found["hello"]))
        if name == "busy":
            peer = [debugpy_in(into, python) for _ in range(PEER_REPS)]
            rows.append(row("engine in a 3.14: busy", ENGINE_BAR_MS, found["engine"], peer))
    with idle_kernel() as pid:
        found = ask(python, "engine", reps, pid)
    rows.append(row("hello of an idle Jupyter kernel", HELLO_BARS_MS["asyncio"], found["hello"]))
    return rows


@contextmanager
def idle_kernel() -> Iterator[int]:
    """Run a kernel that has nothing to do; gives its pid."""
    manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)
    try:
        [pid] = [
            content["text"]
            for message in run(client, "import os; print(os.getpid())")
            if "text" in (content := message["content"])
        ]
        yield int(pid)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> list[Any]:
    """The messages that come of a cell."""
    found: list[Any] = []
    client.execute_interactive(code, output_hook=found.append, timeout=60)
    return found


def debugpy_in(into: str, python: str) -> float:
    """Seconds until debugpy listens in a busy process that it is put into; inf if it never does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with target(into, BUSY) as pid:
        start = time.perf_counter()
        end = start + DEBUGPY_LIMIT_S
        command = [python, "-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--pid", str(pid)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=DEBUGPY_LIMIT_S)
        while not done.returncode and time.perf_counter() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return time.perf_counter() - start
            time.sleep(0.001)
    return math.inf


def failures(version: str, source: str, into: str, python: str, count: int) -> Row:
    """How many of so many attaches to each target failed.

    Each has the engine where both are of one version; else the target compiles it, which takes it
    so long that most have the hello alone.
    """
    engines = count if (version or "3.14") == into else count // ENGINES
    lost, told = [], []
    for name, program in TARGETS.items():
        with target(python, program) as pid:
            found = ask(source, "rounds", count, engines, "safe", pid)
        lost.append(100 * (1 - found["done"] / count))
        told += [f"{name}: {failure}" for failure in found["failures"][:1]]
    what = f"attaches that failed, {count} each, from {version or 'this'} into {into}"
    control = "; ".join(told) or ", ".join(TARGETS)
    return Row(what=what, unit="%", bar=0.0, ours=tuple(lost), stock=(), control=control)


def hostile(source: str, into: str, python: str, count: int) -> Row:
    """The same of --legacy, into a program of many threads that does a bit of everything."""
    with target(python, HOSTILE) as pid:
        found = ask(source, "rounds", count, count // ENGINES, "legacy", pid)
    lost = 100 * (1 - found["done"] / count)
    what = f"--legacy attaches that failed, {count}, into a hostile {into}"
    control = "; ".join(found["failures"][:1])
    return Row(what=what, unit="%", bar=0.0, ours=(lost,), stock=(), control=control)
