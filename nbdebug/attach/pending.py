"""Puts a call into the queue that the main thread of another Python works off: Py_AddPendingCall.

Owns the queue's form in 3.8 to 3.15. Written only while all threads there are held still, and
nobody is in the middle of changing the queue; so nothing that the program does is lost.
Thread rule: everything here may be called from any thread; hold the target's PidLock.
Source: CPython's Python/ceval_gil.c, Include/internal/pycore_ceval_state.h
(pycore_interp.h before 3.12, pycore_pystate.h in 3.8).
"""

import struct
import time
from dataclasses import dataclass

from . import elf, errors
from .memory import Memory, Unreadable, mappings
from .runtime import Runtime
from .tracer import TRACER

_CALLS_TO_DO = 1 << 2  # in the lowest byte of eval_breaker, from 3.13 on
_PAUSE_S = 0.001
_STATE = ("PyGILState_Ensure", "PyGILState_Release")

_symbols: dict[tuple[int, int], dict[str, int]] = {}


def symbol(memory: Memory, runtime: Runtime, name: str) -> int:
    """Return the address of one of CPython's functions in the target.

    Raises:
        MemoryInconsistent: it doesn't export it.
    """
    key = (runtime.pid, runtime.started)
    known = _symbols.get(key)
    if known is None:
        base = next((m.start for m in mappings(runtime.pid) if m.path == runtime.module), None)
        names = ("PyErr_CheckSignals", "PyRun_SimpleString", *_STATE)
        try:
            known = elf.symbols(memory, base, names) if base is not None else {}
        except (Unreadable, elf.NotElf, struct.error):
            known = {}
        if len(_symbols) > 1000:
            _symbols.clear()
        _symbols[key] = known
    if name not in known:
        raise errors.MemoryInconsistent.of(runtime.pid, what=f"it exports no {name}")
    return known[name]


@dataclass(frozen=True, slots=True)
class Queued:
    """A call in the queue."""

    slot: int
    function: int
    argument: int
    written: int  # bytes


def add_call(
    memory: Memory, runtime: Runtime, function: int, argument: int, *, limit_s: float = 1.0
) -> Queued:
    """Queue ``function(argument)`` for the main thread.

    It runs at the main thread's next safe point; a main thread that is blocked must be woken.

    Raises:
        NoSafeMoment: the queue was in use, or full, all the time.
        MemoryInconsistent, WriteFailed: it isn't as it must be; nothing is queued.
        ProcessEnded, CannotTrace: the target can't be held still.
    """
    deadline = time.monotonic() + limit_s
    while True:
        try:
            with TRACER.frozen(memory.pid):
                queue = _Queue(memory, runtime)
                why_not = queue.why_not()
                if not why_not:
                    return queue.push(function, argument)
        except ProcessLookupError:
            raise errors.ProcessEnded.of(memory.pid, phase="write") from None
        if time.monotonic() > deadline:
            raise errors.NoSafeMoment.of(memory.pid, why=why_not)
        time.sleep(_PAUSE_S)


def is_waiting(memory: Memory, runtime: Runtime, queued: Queued) -> bool:
    """Whether a call still stands in the queue; it leaves it right before it is made."""
    return _Queue(memory, runtime).has(queued)


def replace(memory: Memory, runtime: Runtime, queued: Queued, function: int) -> bool:
    """Have another function called, with 0, in place of a queued call; False if that is gone.

    Raises:
        ProcessEnded, CannotTrace: the target can't be held still.
    """
    try:
        with TRACER.frozen(memory.pid):
            queue = _Queue(memory, runtime)
            if not queue.has(queued):
                return False
            queue.overwrite(queued.slot, function)
            return True
    except ProcessLookupError:
        raise errors.ProcessEnded.of(memory.pid, phase="write") from None


class _Queue:
    """The queue as it is while the target is held still."""

    def __init__(self, memory: Memory, runtime: Runtime) -> None:
        self._memory = memory
        self._runtime = runtime
        known = runtime.offsets
        self._interpreter = runtime.main_interpreter(memory)
        if "interpreter_state.pending_calls" in known:  # 3.9 to 3.11
            self._at = self._interpreter + known["interpreter_state.pending_calls"]
        elif "runtime_state.pending_calls" in known:
            self._at = runtime.address + known["runtime_state.pending_calls"]
        else:
            raise errors.NoLegacyWay.of(
                runtime.pid, version=runtime.release, why="its queue of pending calls isn't known"
            )
        self._is_small = runtime.version <= (3, 12)
        self._capacity, self._entry_size = (32, 16) if self._is_small else (300, 24)
        self._waiting = memory.int32(self._address("npending"))
        self._first = memory.int32(self._address("first"))
        self._next = memory.int32(self._address("next"))
        self._check()

    def _address(self, field: str) -> int:
        return self._at + self._runtime.offsets[f"pending_calls.{field}"]

    @property
    def _count(self) -> int:
        return (self._next - self._first) % self._capacity

    def _check(self) -> None:
        main = self._runtime.offsets["runtime_state.interpreters_main"]
        is_whole = (
            self._memory.word(self._runtime.address + main) == self._interpreter
            and self._address("calls") + self._capacity * self._entry_size == self._address("first")
            and 0 <= self._first < self._capacity
            and 0 <= self._next < self._capacity
            and (self._is_small or self._waiting == self._count)
        )
        if not is_whole:
            raise errors.MemoryInconsistent.of(self._runtime.pid, what="its queue of pending calls")

    def why_not(self) -> str:
        memory = self._memory
        if self._runtime.is_finalizing(memory):
            raise errors.TargetExiting.of(self._runtime.pid)
        if self._is_small:
            lock = memory.word(self._address("lock"))  # of a sem_t, whose value is 1 when it's free
            is_free = memory.word(lock) & 0xFFFFFFFF == 1
            limit = self._capacity - 1
        else:
            is_free = not memory.read(self._address("lock"), 1)[0] & 1
            limit = min(memory.int32(self._address("max")), self._capacity - 1)
        if not is_free:
            return "its queue of pending calls is in use"
        return "" if self._count < limit else "its queue of pending calls is full"

    def has(self, queued: Queued) -> bool:
        """Whether this very call still stands there."""
        if (queued.slot - self._first) % self._capacity >= self._count:
            return False
        entry = struct.pack("<QQ", queued.function, queued.argument)
        return self._memory.read(self._entry_at(queued.slot), len(entry)) == entry

    def overwrite(self, slot: int, function: int) -> None:
        self._memory.write(self._entry_at(slot), struct.pack("<QQ", function, 0))

    def _entry_at(self, slot: int) -> int:
        return self._address("calls") + slot * self._entry_size

    def push(self, function: int, argument: int) -> Queued:
        """Write the call behind the last."""
        entry = struct.pack("<QQ", function, argument).ljust(self._entry_size, b"\0")
        counted = 1 if self._is_small else self._waiting + 1  # a flag before 3.13
        written = [
            (self._entry_at(self._next), entry),
            (self._address("next"), struct.pack("<i", (self._next + 1) % self._capacity)),
            (self._address("npending"), struct.pack("<i", counted)),
            self._breaker(),
        ]
        before = [(at, self._memory.read(at, len(data))) for at, data in written]
        try:
            for at, data in written:
                self._memory.write(at, data)
            if all(self._memory.read(at, len(data)) == data for at, data in written):
                size = sum(len(data) for _, data in written)
                return Queued(self._next, function, argument, size)
            what = "its queue of pending calls isn't as it was written"
        except Unreadable as error:
            what = str(error)
        for at, data in before:
            self._memory.write(at, data)
        raise errors.WriteFailed.of(self._runtime.pid, what=what, undone="It has been put back.")

    def _breaker(self) -> tuple[int, bytes]:
        """Return what is to be written, and where, so that the main thread looks at the queue."""
        known, memory = self._runtime.offsets, self._memory
        if "runtime_state.eval_breaker" in known:  # 3.8
            return self._runtime.address + known["runtime_state.eval_breaker"], b"\1"
        if self._is_small:
            return self._interpreter + known["interpreter_state.eval_breaker"], b"\1"
        thread = memory.word(self._interpreter + known["interpreter_state.threads_main"])
        if memory.word(thread + known["thread_state.interp"]) != self._interpreter:
            raise errors.MemoryInconsistent.of(
                self._runtime.pid, what="its main thread is no thread"
            )
        at = thread + known["thread_state.eval_breaker"]
        return at, bytes([memory.read(at, 1)[0] | _CALLS_TO_DO])
