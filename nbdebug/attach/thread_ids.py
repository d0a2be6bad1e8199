"""The system's ids of a process's threads, as this process sees them.

Owns the way from what Python knows of a thread to the folder in /proc/PID/task: the id that it
keeps (from 3.11 on) is the one in the target's own pid namespace, and in a forked child it may be
its parent's; before, only the address of the thread's own structure is there.
Thread rule: one thread at a time.
"""

import os

from .memory import Memory, Unreadable

_TID_AT = 720
"""Where glibc keeps the id in a thread's structure, on x86-64 as on aarch64 (208 there)."""

_PLACES = (_TID_AT, 208)


class ThreadIds:
    """Finds the system's id of a thread."""

    def __init__(self, pid: int, memory: Memory) -> None:
        self._pid = pid
        self._memory = memory
        self._tasks: set[int] = set()
        self._inner: dict[int, int] | None = None

    def find(self, native: int, ident: int) -> int:
        """Return the id; ``native`` as Python keeps it or 0, ``ident`` is pthread_self(); or 0."""
        if native and native in self._tasks:
            return native
        candidates = (native, *self._by_structure(ident))
        if not self._tasks.intersection(candidates):
            self._tasks = {int(name) for name in _names(f"/proc/{self._pid}/task")}
        for candidate in candidates:
            if candidate in self._tasks:
                return candidate
        inner = self._of_namespace()
        for candidate in candidates:
            if candidate in inner:
                return inner[candidate]
        return 0

    def _by_structure(self, ident: int) -> list[int]:
        try:
            return [self._memory.int32(ident + at) for at in _PLACES]
        except Unreadable:
            return []

    def _of_namespace(self) -> dict[int, int]:
        """Return the ids that the target sees -> those that we see."""
        if self._inner is None:
            self._inner = {}
            for name in _names(f"/proc/{self._pid}/task"):
                inner = _innermost(f"/proc/{self._pid}/task/{name}/status")
                if inner:
                    self._inner[inner] = int(name)
        return self._inner


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _innermost(path: str) -> int:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
    except OSError:
        pass
    return 0
