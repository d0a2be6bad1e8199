"""The way into 3.8 to 3.13, which have no safe point for scripts: only where it is asked for.

Owns two ways and the choice between them. A main thread that runs, or waits for a lock, works off a
call that is queued for it. One that is blocked in a system call of the list below, which Python
makes without the GIL and with no lock of the C library's held, is borrowed for a call, after which
its system call returns EINTR and is made again. Never through gdb: it stops threads wherever they
are, and calls into an interpreter whose locks they hold.
Thread rule: a request belongs to the thread that made it; hold the target's PidLock.
"""

import struct
import time
from dataclasses import dataclass, field

from . import elf, errors, pending, policy, waking, writer
from .memory import Memory, Unreadable, mappings
from .records import Record
from .runtime import Runtime
from .tracer import TRACER, CannotTrace, Held
from .waking import Wake
from .writer import Outcome, State, Step

VERSIONS = tuple((3, minor) for minor in range(8, 14))

# By x86-64's numbers. Never futex: whose lock it is can't be told; nor restart_syscall, which may
# stand for it. Both are made to return EINTR, and what follows is seen.
_BORROWABLE = frozenset(
    {
        0: "read",
        1: "write",
        7: "poll",
        271: "ppoll",
        23: "select",
        270: "pselect6",
        232: "epoll_wait",
        281: "epoll_pwait",
        35: "nanosleep",
        230: "clock_nanosleep",
        45: "recvfrom",
        47: "recvmsg",
        44: "sendto",
        46: "sendmsg",
        42: "connect",
        43: "accept",
        288: "accept4",
        61: "wait4",
        247: "waitid",
        34: "pause",
        72: "fcntl",
        73: "flock",
        128: "rt_sigtimedwait",
    }
)

# One statement that leaves no name in __main__, and doesn't rely on those there; what it raises
# stays in it, but for Ctrl-C, which is the program's. Its first word tells whose these bytes are.
_MARK = b"'nbdebug'"
_CODE = (
    "'nbdebug'; __import__('builtins').exec(\"try:\\n with open(path, 'rb') as file: code = "
    "file.read()\\n exec(compile(code, path, 'exec'), {{'__name__': '__main__', '__builtins__': "
    "__builtins__}})\\nexcept KeyboardInterrupt:\\n __import__('_thread').interrupt_main()\\n"
    "except BaseException: pass\", {{'path': {path!r}}})\n"
)


def inject(
    memory: Memory,
    runtime: Runtime,
    script: str,
    *,
    wake: Wake = Wake.AUTO,
    record: Record | None = None,
) -> "LegacyRequest":
    """Ask the target to run the script; a ``LegacyWaker`` must see to it that it does.

    With ``Wake.NEVER`` a main thread that is blocked isn't borrowed.

    Raises:
        NoLegacyWay: another version, or machine.
        RemoteDebugDisabled, TargetStopped, TargetZombie, TargetExiting, ProcessEnded, NoPermission:
            as for ``writer.inject``.
        ScriptUnreadable: the target can't read it. NoSafeMoment: there is no place for the code.
    """
    record = record or Record(memory.pid, "legacy")
    pid = memory.pid
    writer.check_state(pid)
    if runtime.version not in VERSIONS:
        why = "only 3.8 to 3.13 have one that is known here"
        raise errors.NoLegacyWay.of(pid, version=runtime.release, why=why)
    refusal = policy.refusal_of(pid)
    if refusal is not None:
        raise refusal
    writer.check_script(pid, script)
    try:
        with record.phase("select"):
            if runtime.is_finalizing(memory):
                raise errors.TargetExiting.of(pid)
            runtime.main_interpreter(memory)
            at = _place(memory, runtime, len(_code(script)))
        request = LegacyRequest(pid, pid, memory, runtime, record, script, at)
        try:
            with record.phase("write"):
                request.proceed(may_borrow=wake is Wake.AUTO)
        except errors.AttachTimeout:
            request.take_back()
            raise
    except errors.NoPermission:
        raise policy.no_permission(pid) from None
    except (Unreadable, struct.error) as error:
        writer.check_alive(pid, "write")
        raise errors.MemoryInconsistent.of(pid, what=f"can't access {error}") from None
    except CannotTrace as error:
        raise waking.cannot_wake(pid, str(error)) from None
    return request


def _code(script: str) -> bytes:
    return _CODE.format(path=script).encode() + b"\0"


def _place(memory: Memory, runtime: Runtime, size: int) -> int:
    """Return an address where the code can lie: behind what a module uses of its last page."""
    seen = set()
    for mapping in mappings(memory.pid):
        if mapping.offset or not mapping.path.startswith("/") or mapping.path in seen:
            continue
        seen.add(mapping.path)
        try:
            at, room = elf.slack(memory, mapping.start)
            if room < size + 64:
                continue
            there = memory.read(at, size)
        except (Unreadable, elf.NotElf, struct.error):
            continue
        if not there.strip(b"\0") or there.startswith(_MARK):  # unused, or ours from before
            return at
    raise errors.NoSafeMoment.of(memory.pid, why="no module leaves room for the code")


@dataclass(slots=True)
class LegacyRequest:
    """A script that an older Python has been asked to run."""

    pid: int
    tid: int
    memory: Memory
    runtime: Runtime
    record: Record
    script: str
    at: int  # where the code lies
    outcomes: list[Outcome] = field(default_factory=list)
    queued: pending.Queued | None = None
    is_done: bool = False

    def proceed(self, *, may_borrow: bool = True) -> None:
        """Take the way that the main thread's state allows now, unless that has been done."""
        if self.state() is not State.PENDING:
            return
        call = waking.call_of(self.pid, self.tid)
        if may_borrow and call is not None and call.number in _BORROWABLE:
            if self._unqueue():
                self._borrow()
        elif self.queued is None:
            self._queue()

    def state(self) -> State:
        """Tell how it stands; never waits."""
        if self.is_done:
            return State.TAKEN
        if self.queued is None:
            return State.PENDING
        try:
            is_waiting = pending.is_waiting(self.memory, self.runtime, self.queued)
        except errors.MemoryInconsistent:
            return State.PENDING  # read in the middle of a change
        except (Unreadable, errors.AttachError):
            return State.GONE
        self.is_done = not is_waiting
        return State.PENDING if is_waiting else State.TAKEN

    def take_back(self) -> bool:
        """See to it that the script isn't run; False if it is being run already."""
        try:
            if self.state() is State.TAKEN or not self._unqueue():
                return False
            self.finish()
        except (errors.AttachError, Unreadable):
            return True  # what has ended runs nothing
        except CannotTrace:
            return False
        return True

    def finish(self) -> None:
        """Wipe the code, once it has been run."""
        try:
            if self.memory.read(self.at, len(_MARK)) == _MARK:
                self.memory.write(self.at, bytes(len(_code(self.script))))
        except (Unreadable, errors.AttachError):
            return

    def _write_code(self) -> None:
        began = time.perf_counter()
        code = _code(self.script)
        self.memory.write(self.at, code)
        if self.memory.read(self.at, len(code)) != code:
            raise errors.WriteFailed.of(self.pid, what="the code", undone="It isn't used.")
        self._note(Step.PATH, began, self.at, len(code))

    def _queue(self) -> None:
        began = time.perf_counter()
        self._write_code()
        run = pending.symbol(self.memory, self.runtime, "PyRun_SimpleString")
        self.queued = pending.add_call(self.memory, self.runtime, run, self.at)
        self._note(Step.BREAKER, began, self.at, self.queued.written)

    def _unqueue(self) -> bool:
        """Take a queued call out of the way; False if it is being made."""
        if self.queued is None:
            return True
        check = pending.symbol(self.memory, self.runtime, "PyErr_CheckSignals")
        if not pending.replace(self.memory, self.runtime, self.queued, check):
            self.is_done = True
            return False
        self.queued = None
        return True

    def _borrow(self) -> None:
        """Run the script on the main thread while it is blocked in a system call."""
        began = time.perf_counter()
        names = ("PyGILState_Ensure", "PyRun_SimpleString", "PyGILState_Release")
        ensure, run, release = (pending.symbol(self.memory, self.runtime, n) for n in names)
        with TRACER.held(self.tid) as held:
            if held is None or held.system_call not in _BORROWABLE or self._has_gil(held):
                return
            self._write_code()
            # Below what the thread uses of its stack, the red zone too; it returns to 0.
            stack = ((held.stack - 4096) & ~63) - 8
            self.memory.write(stack, bytes(8))
            self.is_done = True
            state = held.call(ensure, 0, stack)
            self.memory.write(stack, bytes(8))
            held.call(run, self.at, stack)
            self.memory.write(stack, bytes(8))
            held.call(release, state & 0xFFFFFFFF, stack)
        self.record.woken.append("a system call, which was borrowed")
        self._note(Step.VERIFY, began, stack, 24)

    def _has_gil(self, held: Held) -> bool:
        known, memory = self.runtime.offsets, self.memory
        gil = waking.gil_of(memory, self.runtime)
        if memory.int32(gil + known["gil.locked"]) != 1:
            return False
        thread = memory.word(gil + known["gil.last_holder"])
        return memory.word(thread + known["thread_state.thread_id"]) == held.own

    def _note(self, step: Step, began: float, address: int, size: int) -> None:
        took = time.perf_counter() - began
        self.outcomes.append(Outcome(step, took, address, written=size, verified=size))
        self.record.bytes_written += size
        self.record.bytes_verified += size


class LegacyWaker(waking.Waker):
    """Sees to it that a ``LegacyRequest`` is taken; used as a ``Waker`` is."""

    def _wake_up(self) -> None:
        request = self._request
        assert isinstance(request, LegacyRequest)
        try:
            request.proceed()
        except (errors.NoSafeMoment, errors.MemoryInconsistent) as error:
            self._tell(error)
            return
        except CannotTrace as error:
            self._cannot(str(error))
            return
        self._is_queued = True  # a thread that waits for a lock only needs the nudge
        call = waking.call_of(request.pid, request.tid)
        if call is not None and call.number not in _BORROWABLE:
            super()._wake_up()
