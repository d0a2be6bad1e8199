"""What it takes to get into other processes, as measured by the interpreter that does it.

Run by path: ``python attaching.py WHAT ARGUMENT ...``, with nbdebug importable. Prints JSON.
``list REPS``: seconds of each listing of the Python processes, {"plain": [...], "details": [...]}.
``engine REPS PID``: the seconds to the agent's hello, and to the engine, of each attach.
``rounds COUNT ENGINES WAY PID``: how many of COUNT attaches and detaches were made, by the way
"safe" or "legacy", the last ENGINES with the engine, the others with the hello alone: {"done": n,
"failures": [...]}.
"""

from __future__ import annotations

import json
import sys
import time

from nbdebug.attach import attaching, processes
from nbdebug.attach.locking import PidLock
from nbdebug.attach.records import Record
from nbdebug.attach.tracer import TRACER
from nbdebug.attach.waking import Wake
from nbdebug.errors import NbdebugError

LIMIT_S = 20.0
SETTLED_S = 0.3
"""After a detach the process collects its garbage."""


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


def engine(reps: int, pid: int) -> dict[str, list[float]]:
    """Attach and leave, with the engine."""
    found: dict[str, list[float]] = {"hello": [], "engine": []}
    for _ in range(reps + 1):
        time.sleep(SETTLED_S)
        link = attaching.attach(pid, timeout_s=LIMIT_S)
        phases = link.record.phases_s
        found["hello"].append(sum(phases.values()) - phases["engine"])
        found["engine"].append(sum(phases.values()))
        link.close()
    return {name: times[1:] for name, times in found.items()}


def rounds(count: int, engines: int, way: str, pid: int) -> dict[str, object]:
    """Attach and leave, again and again."""
    is_legacy = way == "legacy"
    failures = []
    for number in range(count):
        try:
            if number < count - engines:
                greet(pid, is_legacy)
            else:
                attaching.attach(pid, timeout_s=LIMIT_S, legacy=is_legacy).close()
        except NbdebugError as error:
            failures.append(f"{error.slug}: {error}")
    return {"done": count - len(failures), "failures": failures}


def greet(pid: int, is_legacy: bool) -> None:
    """Have the agent say hello, and leave."""
    record = Record(pid, "legacy" if is_legacy else "safe")
    lock = PidLock(pid)
    try:
        attempt = attaching.Attempt(
            pid, record, LIMIT_S, Wake.AUTO, attaching.warn, legacy=is_legacy
        )
        attempt.come_in()[0].close()
    finally:
        lock.release()


def main() -> None:
    """Do what is asked for, and print."""
    what, *words = sys.argv[1:]
    TRACER.prepare()
    if what == "list":
        result: object = listings(int(words[0]))
    elif what == "rounds":
        result = rounds(int(words[0]), int(words[1]), words[2], int(words[3]))
    else:
        result = engine(int(words[0]), int(words[1]))
    TRACER.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
