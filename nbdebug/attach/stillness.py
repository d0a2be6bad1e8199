"""Proof that a thread of another process, which runs on, did nothing while it was read.

Owns the two grounds for it. Only the thread that holds a GIL changes frames of Python: where the
GIL's count of switches and its last holder are the same before and after, all its other threads
stood still. The holder itself stood still if it was off its processor at some moment and the kernel
has not put it on one since. To have that of a thread that is busy, we move to its processor: where
we run, it doesn't. Must not know frames.
Thread rule: the thread that reads must be the one that asks, as the processor counts.
Source: CPython's Python/ceval_gil.c; Linux's Documentation/scheduler/sched-stats.rst.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .memory import Memory
from .offsets import Offsets


@dataclass(frozen=True, slots=True)
class Stamp:
    """A GIL at one moment."""

    holder: int  # PyThreadState of the thread that has it, or had it last
    is_locked: bool
    switches: int


class Gil:
    """Where one GIL is, and how it is read."""

    __slots__ = ("_holder_at", "_locked_at", "_start", "_switches_at", "place")

    def __init__(self, address: int, offsets: Offsets) -> None:
        holder, locked = offsets["gil.last_holder"], offsets["gil.locked"]
        switches = offsets["gil.switch_number"]
        self._start = min(holder, locked, switches)
        self._holder_at = holder - self._start
        self._locked_at = locked - self._start
        self._switches_at = switches - self._start
        size = max(holder, locked, switches) + 8 - self._start
        self.place = (address + self._start, size)

    def stamp(self, data: bytes) -> Stamp:
        """Return what was read at ``place``."""
        at = self._switches_at
        return Stamp(
            int.from_bytes(data[self._holder_at : self._holder_at + 8], "little"),
            data[self._locked_at] != 0,
            int.from_bytes(data[at : at + 8], "little"),
        )


def gil_of(memory: Memory, offsets: Offsets, runtime: int, interpreter: int) -> Gil:
    """Return the GIL of an interpreter: its own, or the one that it shares with others."""
    shared = offsets.get("runtime_state.gil")  # 3.11 and older
    if shared is not None:
        return Gil(runtime + shared, offsets)
    return Gil(memory.word(interpreter + offsets["interpreter_state.ceval_gil"]), offsets)


class Watched:
    """One thread of another process: whether it has run since ``begin``."""

    __slots__ = ("_folder", "_times")

    def __init__(self, pid: int, thread: int) -> None:
        self._folder = f"/proc/{pid}/task/{thread}"
        self._times = b""

    def begin(self, *, beside: bool = False) -> bool:
        """Return whether the thread is off its processor now.

        With ``beside`` we have been moved to its processor: it is off if it still belongs there.
        """
        try:
            self._times = self._read("schedstat").split()[2]
            if beside:
                return self.processor() == _our_processor()
            # The kernel answers so only after it has seen the thread off its processor.
            return not self._read("syscall").startswith(b"running")
        except (OSError, IndexError, ValueError):
            return False

    def has_not_run(self) -> bool:
        """Return whether it has been off ever since ``begin``, if that said True."""
        try:
            return self._read("schedstat").split()[2] == self._times
        except (OSError, IndexError):
            return False

    def processor(self) -> int:
        """Return the processor that it runs on, or ran on last."""
        return int(self._read("stat").rpartition(b")")[2].split()[36])

    def _read(self, name: str) -> bytes:
        file = os.open(f"{self._folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(file, 512)
        finally:
            os.close(file)


@contextmanager
def beside(thread: Watched) -> Iterator[bool]:
    """Run on a thread's processor meanwhile; yields whether that could be had."""
    if not _IS_LINUX:
        yield False
        return
    ours = os.sched_getaffinity(0)
    try:
        yield _move_to(thread)
    finally:
        os.sched_setaffinity(0, ours)


def _move_to(thread: Watched) -> bool:
    try:
        os.sched_setaffinity(0, {thread.processor()})
    except (OSError, ValueError, IndexError):  # it has ended, or that processor isn't ours to use
        return False
    return True


def _our_processor() -> int:
    found: int = _get_processor()
    return found


_IS_LINUX = sys.platform.startswith("linux")
_get_processor = ctypes.CDLL(None).sched_getcpu if _IS_LINUX else lambda: -1
