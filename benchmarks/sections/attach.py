"""Getting into other processes: the list of them, how soon one is in, and how often it fails."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Row
from benchmarks.sections.looking import target

if TYPE_CHECKING:
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


def row(what: str, bar: float, seconds: list[float]) -> Row:
    """A row of times."""
    return Row(what=what, unit="ms", bar=bar, ours=tuple(1e3 * one for one in seconds), stock=())


def hellos(python: str, into: str, reps: int) -> list[Row]:
    """How soon the agent says hello, and the engine is there."""
    rows = []
    programs = {**TARGETS, "asyncio": ASYNCIO + "asyncio.run(main())"}
    for name, bar in HELLO_BARS_MS.items():
        with target(into, programs[name]) as pid:
            found = ask(python, "engine", reps, pid)
        rows.append(row(f"hello of a 3.14: {name}", bar, found["hello"]))
        if name == "busy":
            rows.append(row("engine in a 3.14: busy", ENGINE_BAR_MS, found["engine"]))
    return rows


def failures(version: str, source: str, into: str, python: str, count: int) -> Row:
    """How many of so many scripts each weren't run."""
    lost, told = [], []
    for name, program in TARGETS.items():
        with target(python, program) as pid:
            found = ask(source, "scripts", count, "safe", pid)
        lost.append(100 * (1 - found["done"] / count))
        told += [f"{name}: {failure}" for failure in found["failures"][:1]]
    what = f"ways in that failed, {count} each, from {version or 'this'} into {into}"
    control = "; ".join(told) or ", ".join(TARGETS)
    return Row(what=what, unit="%", bar=0.0, ours=tuple(lost), stock=(), control=control)


def hostile(source: str, into: str, python: str, count: int) -> Row:
    """The same of --legacy, into a program of many threads that does a bit of everything."""
    with target(python, HOSTILE) as pid:
        found = ask(source, "scripts", count, "legacy", pid)
    lost = 100 * (1 - found["done"] / count)
    what = f"--legacy ways in that failed, {count}, into a hostile {into}"
    control = "; ".join(found["failures"][:1])
    return Row(what=what, unit="%", bar=0.0, ours=(lost,), stock=(), control=control)
