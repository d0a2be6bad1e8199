"""Gets a target that sleeps to look at the request, and tells why one doesn't.

Owns the decision whom to wake, how, and when again; the ptrace calls are nudge's. A system call is
made to return EINTR, after which Python looks for signals and finds the request (PEP 475). Waiting
for a lock, it only works off pending calls there: one that looks for signals is queued first.
Thread rule: a ``Waker`` belongs to one thread; hold the target's PidLock.
"""

import enum
import errno
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbdebug.errors import NbdebugError

from . import errors, pending, writer
from .memory import Memory, Unreadable
from .objects import Objects
from .records import Record
from .runtime import Runtime
from .stacks import Stacks
from .tracer import TRACER, CannotTrace
from .writer import Request, State

_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine(), -1)
"""The number of the system call by which threads wait for locks."""

_NAMES = {
    _FUTEX: "a lock",
    **(
        {0: "read", 7: "poll", 23: "select", 34: "pause", 35: "sleep", 43: "accept", 45: "recv"}
        | {46: "send", 47: "recv", 61: "wait", 219: "a restarted call", 230: "sleep", 232: "epoll"}
        | {247: "wait", 270: "select", 271: "poll", 281: "epoll", 288: "accept"}
        if platform.machine() == "x86_64"
        else {}
    ),
}
"""What a record calls the system calls in which programs mostly wait."""

_LOOK_S = 0.05
_FIRST_S, _LONGEST_S = 0.001, 0.1
_STUCK_S = 0.03
"""A holder of the GIL that hasn't looked at its requests for so long isn't running Python code."""


class Wake(enum.Enum):
    """Whether a sleeping target is woken."""

    AUTO = "auto"
    NEVER = "never"  # C code that can't cope with EINTR isn't disturbed


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the GIL, and doesn't look at what it is asked."""

    thread: int  # address of its PyThreadState
    switches: int  # of the GIL, so far


class Waker:
    """Sees to it that one request is taken.

    Call ``step`` again and again: it does what is due and returns how long to wait until then, or
    None once the request has been taken.
    """

    def __init__(
        self,
        memory: Memory,
        runtime: Runtime,
        request: Request,
        *,
        wake: Wake = Wake.AUTO,
        record: Record | None = None,
        told: Callable[[NbdebugError], None] = lambda error: None,
    ) -> None:
        """``told`` hears at once why the target doesn't take it, as far as that can be seen."""
        self._memory = memory
        self._runtime = runtime
        self._request = request
        self._wake = wake
        self._record = record or Record(memory.pid, "safe")
        self._told = told
        self._pause = _FIRST_S
        self._due = time.monotonic() + _FIRST_S
        self._is_queued = False
        self._stuck: tuple[Holder, float] | None = None
        self._reason: errors.AttachError | None = None

    def step(self) -> float | None:
        """Do what is due; return the seconds until the next step, None if there is none.

        Raises:
            ProcessEnded, TargetStopped: it can't take the request any more, or now.
        """
        state = self._request.state()
        if state is State.TAKEN:
            return None
        if state is State.GONE:
            raise errors.ProcessEnded.of(self._request.pid, phase="cleared")
        now = time.monotonic()
        if now < self._due:
            return min(self._due - now, _FIRST_S)
        writer.check_alive(self._request.pid, "cleared")
        if self._wake is Wake.AUTO and state is State.PENDING:
            self._wake_up()
        self._look_for_holder(now)
        self._due = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_S)
        return _FIRST_S

    def failure(self, limit_s: float) -> errors.AttachError:
        """Return what to say of a request that wasn't taken in time: the reason, if it is known."""
        return self._reason or errors.ClearedTimeout.of(self._request.pid, limit_s=limit_s)

    def _wake_up(self) -> None:
        call = call_of(self._request.pid, self._request.tid)
        if call is None or self._waits_for_gil(call):
            return
        try:
            if call.number == _FUTEX and not self._is_queued:
                self._queue_check()
            answer = TRACER.nudge(self._request.tid)
        except CannotTrace as error:
            self._cannot(str(error))
            return
        if answer.word == "stopped":
            raise errors.TargetStopped.of(self._request.pid)
        if answer.word in ("woken", "interrupted"):
            self._record.woken.append(_NAMES.get(call.number, f"system call {call.number}"))

    def _waits_for_gil(self, call: "Call") -> bool:
        """Whether it only waits for its turn, which no wake-up would bring."""
        if call.number != _FUTEX:
            return False
        try:
            gil = gil_of(self._memory, self._runtime)
        except (Unreadable, KeyError, errors.AttachError):
            return False
        return gil <= call.argument < gil + self._runtime.offsets["gil.size"]

    def _queue_check(self) -> None:
        """Have the main thread look for signals, where it waits for a lock: and so for requests."""
        self._is_queued = True  # once is enough: it stays there until it is worked off
        try:
            function = pending.symbol(self._memory, self._runtime, "PyErr_CheckSignals")
            size = pending.add_call(self._memory, self._runtime, function, 0).written
        except (errors.MemoryInconsistent, errors.NoSafeMoment, Unreadable):
            return  # it may still take the request by itself
        self._record.bytes_written += size
        self._record.bytes_verified += size

    def _cannot(self, why: str) -> None:
        if self._reason is not None:
            return
        self._tell(cannot_wake(self._request.pid, why))

    def _tell(self, reason: errors.AttachError) -> None:
        self._reason = reason
        self._told(reason)

    def _look_for_holder(self, now: float) -> None:
        """Tell of a thread that keeps the GIL and doesn't look at its requests."""
        if isinstance(self._reason, errors.HoldsGil):
            return
        found = holder(self._memory, self._runtime)
        if found is None or self._stuck is None or found != self._stuck[0]:
            self._stuck = (found, now) if found is not None else None
        elif now - self._stuck[1] >= _STUCK_S:
            thread, place = place_of(self._memory, self._runtime, found.thread)
            self._tell(errors.HoldsGil.of(self._request.pid, thread=thread, place=place))


def cannot_wake(pid: int, why: str) -> errors.AttachError:
    """Return the error for a process that ptrace is refused for: it may have a tracer already."""
    if why == os.strerror(errno.EPERM).lower() and writer.tracer_of(pid):
        return writer.traced(pid)
    return errors.WakeFailed.of(pid, why=why)


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that a thread waits in, and its first argument."""

    number: int
    argument: int


def call_of(pid: int, tid: int) -> Call | None:
    """Return the system call that a thread waits in, None if it is in none."""
    try:
        words = Path(f"/proc/{pid}/task/{tid}/syscall").read_text().split()
    except OSError:
        return None
    if not words or not words[0].isdigit():
        return None
    return Call(int(words[0]), int(words[1], 16))


def gil_of(memory: Memory, runtime: Runtime) -> int:
    """Return the address of the main interpreter's GIL. Raises Unreadable, TargetExiting, ..."""
    shared = runtime.offsets.get("runtime_state.gil")  # 3.11 and older
    if shared is not None:
        return runtime.address + shared
    interpreter = runtime.main_interpreter(memory)
    return memory.word(interpreter + runtime.offsets["interpreter_state.ceval_gil"])


def holder(memory: Memory, runtime: Runtime) -> Holder | None:
    """Return who has the GIL and has been asked for it, or for a script, and hasn't reacted yet.

    A thread that runs Python code reacts within microseconds, so that two looks at it differ.
    """
    known = runtime.offsets
    try:
        gil = gil_of(memory, runtime)
        if memory.int32(gil + known["gil.locked"]) != 1:
            return None
        thread = memory.word(gil + known["gil.last_holder"])
        switches = memory.word(gil + known["gil.switch_number"])
        at = known.get("thread_state.eval_breaker")
        asked = memory.read(thread + at, 1)[0] if at is not None else 1
    except (Unreadable, KeyError, errors.AttachError):
        return None
    return Holder(thread, switches) if asked else None


def place_of(memory: Memory, runtime: Runtime, thread: int) -> tuple[str, str]:
    """Return the name of a thread and what it runs, by the address of its PyThreadState."""
    try:
        objects = Objects(memory, runtime.offsets)
        threads = Stacks(memory, runtime, objects).look(limit_s=_LOOK_S).threads
    except (Unreadable, errors.AttachError):
        threads = ()
    for one in threads:
        if one.address == thread:
            name = one.name or str(one.id)
            if not one.frames:
                return name, "an unknown place"
            top = one.frames[0]
            return name, f"{top.file}:{top.line}, in {top.function}"
    return "of an unknown name", "an unknown place"
