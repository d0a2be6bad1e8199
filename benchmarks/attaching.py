"""What it takes to get into other processes, as measured by the interpreter that does it.

Run by path: ``python attaching.py WHAT ARGUMENT ...``, with nbdebug importable. Prints JSON.
``list REPS``: seconds of each listing of the Python processes, {"plain": [...], "details": [...]}.
``scripts COUNT WAY PID``: how many of COUNT scripts were run, and the seconds of each, by the way
"safe" or "legacy": {"done": n, "times": [...], "failures": [...]}.
``engine REPS PID``: the seconds to the agent's hello, and to the engine, of each attach.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from nbdebug.attach import attaching, legacy, processes, runtime, writer
from nbdebug.attach.memory import Memory
from nbdebug.attach.records import Record
from nbdebug.attach.tracer import TRACER
from nbdebug.attach.waking import Waker
from nbdebug.errors import NbdebugError

LIMIT_S = 20.0


def listings(reps: int) -> dict[str, list[float]]:
    """Time the lists, after one of each that finds what is kept."""
    found: dict[str, list[float]] = {"plain": [], "details": []}
    for name, times in found.items():
        for _ in range(reps + 1):
            start = time.perf_counter()
            processes.processes(details=name == "details")
            times.append(time.perf_counter() - start)
        del times[0]
    return found


def scripts(count: int, way: str, pid: int) -> dict[str, object]:
    """Have a process run a script, again and again."""
    times, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        mark, script = Path(folder, "done"), Path(folder, "script.py")
        new = str(mark) + ".new"
        script.write_text(
            f"import os\nopen({new!r}, 'w').close()\nos.rename({new!r}, {str(mark)!r})\n"
        )
        for _ in range(count):
            start = time.perf_counter()
            try:
                run_script(way, pid, script, mark, start + LIMIT_S)
            except NbdebugError as error:
                failures.append(f"{error.slug}: {error}")
            else:
                times.append(time.perf_counter() - start)
    return {"done": len(times), "times": times, "failures": failures}


def run_script(way: str, pid: int, script: Path, mark: Path, deadline: float) -> None:
    """Have a process run a script; return when it has."""
    memory = Memory(pid)
    found = runtime.locate(memory)
    record = Record(pid, way)
    waker: Waker
    if way == "legacy":
        older = legacy.inject(memory, found, str(script), record=record)
        waker = legacy.LegacyWaker(memory, found, older, record=record)
    else:
        request = writer.inject(memory, found, str(script), record=record)
        waker = Waker(memory, found, request, record=record)
    while not mark.exists():
        pause = waker.step()
        if time.perf_counter() > deadline:
            raise waker.failure(LIMIT_S)
        time.sleep(min(pause or 0.0005, 0.0005))
    mark.unlink()
    if way == "legacy":
        older.finish()


def engine(reps: int, pid: int) -> dict[str, list[float]]:
    """Attach and leave, with the engine."""
    found: dict[str, list[float]] = {"hello": [], "engine": []}
    for _ in range(reps + 1):
        link = attaching.attach(pid, timeout_s=LIMIT_S)
        phases = link.record.phases_s
        found["hello"].append(sum(phases.values()) - phases["engine"])
        found["engine"].append(sum(phases.values()))
        link.close()
    return {name: times[1:] for name, times in found.items()}


def main() -> None:
    """Do what is asked for, and print."""
    what, *words = sys.argv[1:]
    TRACER.prepare()
    if what == "list":
        result: object = listings(int(words[0]))
    elif what == "scripts":
        result = scripts(int(words[0]), words[1], int(words[2]))
    else:
        result = engine(int(words[0]), int(words[1]))
    TRACER.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
