"""Writes the request to run a script into another Python, from 3.14 on, and takes it back.

Owns each byte that is written for it: the script's path, the flag, and one byte of the main
thread's eval_breaker. Everything is checked before, read back, compared, and put back where it
isn't as it should be. Only the main thread of interpreter 0 is written to: another thread's memory
may be freed at any moment. Waking the target is others' work (waking).
Thread rule: a request belongs to the thread that made it; hold the target's PidLock.
Source: PEP 768; CPython's Python/ceval_gil.c, Include/internal/pycore_ceval.h.
"""

import enum
import os
import stat
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import errors, policy
from .memory import Memory, Unreadable
from .records import Record
from .runtime import Runtime, Site, site

# Bits of the lowest byte of eval_breaker, the same in 3.13 to 3.15. The bytes above it are the
# version of the instrumentation: who writes them back as they were a moment ago can make a thread
# that uses sys.monitoring spin for ever.
_DROP_GIL = 1
_MAY_BE_LOST = 0b1110  # signals, pending calls, an asynchronous exception
_STOP = 1 << 5


class Step(enum.Enum):
    """What ``inject`` does, in this order."""

    SELECT = "select"
    PATH = "path"
    FLAG = "flag"
    BREAKER = "breaker"
    VERIFY = "verify"


class State(enum.Enum):
    """How a request stands."""

    PENDING = "pending"  # the target hasn't reached a safe point
    TAKEN = "taken"  # it has begun to run the script, or has refused it
    GONE = "gone"  # the process, or its interpreter, has ended
    UNKNOWN = "unknown"  # sys.remote_exec doesn't tell


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step came to; numbers of bytes, and seconds."""

    step: Step
    took_s: float
    address: int = 0
    written: int = 0
    verified: int = 0
    note: str = ""


class Request(Protocol):
    """A script that a target has been asked to run."""

    pid: int
    tid: int
    outcomes: list[Outcome]

    def state(self) -> State:
        """Tell how it stands; never waits."""

    def take_back(self) -> bool:
        """See to it that the script isn't run; False if it is being run already."""


def inject(
    memory: Memory,
    runtime: Runtime,
    script: str,
    *,
    record: Record | None = None,
    before: Callable[[Step], None] = lambda step: None,
) -> Request:
    """Ask the target to run the script at its next safe point; return at once.

    ``before`` is called before each step: there tests break something.

    Raises:
        PythonTooOld, RemoteDebugDisabled, NoPermission: there is no way in.
        TargetStopped, TargetTraced, TargetZombie, TargetExiting, TargetStarting, ProcessEnded:
            not as it is now.
        BadScriptPath, ScriptUnreadable, RequestPending: this script, or now, isn't possible.
        WriteFailed: what is there isn't what was written; it has been put back.
        SelectTimeout, WriteTimeout: the record's time is over; nothing is left there.
    """
    record = record or Record(memory.pid, "safe")
    check_state(memory.pid)
    try:
        with record.phase("select"):
            written = _Written.select(memory, runtime, script, before)
        try:
            with record.phase("write"):
                written.write(before)
        except errors.AttachTimeout:
            written.take_back()
            raise
    except errors.ProcessEnded:
        raise errors.ProcessEnded.of(memory.pid, phase="write") from None
    except errors.NoPermission:
        raise policy.no_permission(memory.pid) from None
    except Unreadable as error:
        check_alive(memory.pid, "write")
        raise errors.MemoryInconsistent.of(memory.pid, what=f"can't access {error}") from None
    record.bytes_written = sum(one.written for one in written.outcomes)
    record.bytes_verified = sum(one.verified for one in written.outcomes)
    return written


def hand_over(pid: int, script: str, *, record: Record | None = None) -> Request:
    """Ask the target by the standard library's `sys.remote_exec`: on macOS.

    Raises:
        NoWayHere: this Python has none, or it doesn't work for this target.
        NoPermission: the system forbids it.
    """
    record = record or Record(pid, "remote_exec")
    remote_exec = getattr(sys, "remote_exec", None)
    if remote_exec is None:
        raise errors.NoWayHere.of(pid, why="`sys.remote_exec` came with Python 3.14")
    began = time.perf_counter()
    try:
        with record.phase("write"):
            remote_exec(pid, script)
    except PermissionError as error:
        raise errors.NoPermission.of(pid, why=str(error)) from None
    except (OSError, RuntimeError) as error:
        raise errors.NoWayHere.of(pid, why=f"`sys.remote_exec` says: {error}") from None
    return _HandedOver(pid, pid, [Outcome(Step.FLAG, time.perf_counter() - began)])


def check_state(pid: int) -> None:
    """Raise TargetStopped, TargetTraced, TargetZombie or NoSuchProcess if it can run nothing."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise errors.NoSuchProcess.of(pid) from None
    fields = {
        name: value.strip() for name, _, value in (s.partition(":") for s in text.split("\n"))
    }
    state = fields["State"][0]
    if state in "ZX":
        raise errors.TargetZombie.of(pid, parent=fields["PPid"])
    if state == "t":
        raise traced(pid)
    if state == "T":
        raise errors.TargetStopped.of(pid)


def check_script(pid: int, script: str) -> None:
    """Raise ScriptUnreadable if the process can't read the script, as far as can be seen.

    The interpreter there would only write a traceback to the program's standard error.
    """
    try:
        seen = os.stat(f"/proc/{pid}/root{script}")
        folder = os.stat(f"/proc/{pid}/root{os.path.dirname(script)}")
        uid = int(_fields(Path(f"/proc/{pid}/status").read_text())["Uid"].split()[1])
    except ValueError:
        raise errors.ScriptUnreadable.of(pid, path=repr(script), why="it has a NUL") from None
    except (FileNotFoundError, NotADirectoryError):
        check_alive(pid, "select")
        why = "there is no such file where the process looks"
        raise errors.ScriptUnreadable.of(pid, path=script, why=why) from None
    except OSError:
        return  # not to be seen from here
    if not stat.S_ISREG(seen.st_mode):
        raise errors.ScriptUnreadable.of(pid, path=script, why="it isn't a file")
    may_read = seen.st_mode & (stat.S_IRUSR if seen.st_uid == uid else stat.S_IROTH)
    may_enter = folder.st_mode & (stat.S_IXUSR if folder.st_uid == uid else stat.S_IXOTH)
    if uid and not (may_read and may_enter):
        why = f"it isn't readable for {policy.name_of(uid)}"
        raise errors.ScriptUnreadable.of(pid, path=script, why=why)


def _fields(status: str) -> dict[str, str]:
    rows = (line.partition(":") for line in status.splitlines())
    return {name: value.strip() for name, _, value in rows}


def tracer_of(pid: int) -> int:
    """Return the process that traces another, or 0."""
    try:
        return int(_fields(Path(f"/proc/{pid}/status").read_text())["TracerPid"])
    except OSError:
        return 0


def traced(pid: int) -> errors.TargetTraced:
    """Return the error for a process with another tracer, which it names."""
    tracer, name = tracer_of(pid), "unknown"
    try:
        name = Path(f"/proc/{tracer}/comm").read_text().strip()
    except OSError:
        pass
    return errors.TargetTraced.of(pid, tracer=tracer, name=name)


def check_alive(pid: int, phase: str) -> None:
    """Raise ProcessEnded if the process has ended."""
    try:
        check_state(pid)
    except (errors.NoSuchProcess, errors.TargetZombie):
        raise errors.ProcessEnded.of(pid, phase=phase) from None
    except errors.AttachError:
        return


@dataclass(slots=True)
class _Written:
    """A request that we have written ourselves."""

    pid: int
    tid: int  # of the main thread, as this process sees it
    memory: Memory
    runtime: Runtime
    site: Site
    path: bytes  # as it is written, with the NUL
    path_before: bytes
    outcomes: list[Outcome] = field(default_factory=list)

    @classmethod
    def select(
        cls, memory: Memory, runtime: Runtime, script: str, before: Callable[[Step], None]
    ) -> "_Written":
        """Find where to write, and check all that can be checked before."""
        before(Step.SELECT)
        began = time.perf_counter()
        pid = memory.pid
        there = site(memory, runtime)
        if there.is_finalizing:
            raise errors.TargetExiting.of(pid)
        if not there.is_enabled:
            raise policy.disabled(pid)
        path = os.fsencode(script) + b"\0"
        if len(path) > there.script_path_size:
            limit = there.script_path_size - 1
            raise errors.BadScriptPath.of(pid, size=len(path) - 1, limit=limit)
        check_script(pid, script)
        pending = memory.int32(there.pending)
        if pending == 1:
            raise errors.RequestPending.of(pid)
        if pending:
            raise errors.MemoryInconsistent.of(pid, what=f"a pending flag of {pending}")
        native = memory.word(there.thread + runtime.offsets["thread_state.native_thread_id"])
        tid = tid_here(pid, native)
        path_before = memory.read(there.script_path, len(path))
        outcome = Outcome(Step.SELECT, time.perf_counter() - began, there.thread)
        return cls(pid, tid, memory, runtime, there, path, path_before, [outcome])

    def write(self, before: Callable[[Step], None]) -> None:
        """Write, read back and compare, or put everything back."""
        try:
            before(Step.PATH)
            self._write(Step.PATH, self.site.script_path, self.path)
            self._compare(self.site.script_path, self.path, "the path")
            # Between the search and here the main thread may have ended, or the program have been
            # replaced: the flag is only written where the same thread still is.
            before(Step.FLAG)
            if site(self.memory, self.runtime) != self.site:
                raise errors.ProcessEnded.of(self.pid, phase="write")
            self._write(Step.FLAG, self.site.pending, struct.pack("<i", 1))
            before(Step.BREAKER)
            self._set_breaker()
            before(Step.VERIFY)
            self._verify()
        except BaseException:
            self._undo()
            raise

    def _write(self, step: Step, address: int, data: bytes, note: str = "") -> None:
        began = time.perf_counter()
        try:
            self.memory.write(address, data)
        except Unreadable as error:
            check_alive(self.pid, "write")
            raise self._failed(str(error)) from None
        took = time.perf_counter() - began
        self.outcomes.append(Outcome(step, took, address, written=len(data), note=note))

    def _compare(self, address: int, data: bytes, what: str) -> None:
        if self.memory.read(address, len(data)) != data:
            raise self._failed(f"{what} at {address:#x} is another than what was written")

    def _set_breaker(self) -> None:
        """Set the stop bit. The target changes this byte too, between our read and our write.

        A request to drop the GIL is cleared, since whoever waits for the GIL asks again, and one
        that nobody asks any more would have the target wait for a taker for ever. The requests
        that might get lost are set: the target finds nothing to do for them.
        """
        at = self.site.eval_breaker
        now = self.memory.read(at, 1)[0]
        byte = (now | _STOP | _MAY_BE_LOST) & ~_DROP_GIL
        self._write(Step.BREAKER, at, bytes([byte]), f"{now:#04x} -> {byte:#04x}")

    def _verify(self) -> None:
        began = time.perf_counter()
        there = self.site
        for _ in range(3):
            flag, path, breaker = self.memory.read_together(
                [(there.pending, 4), (there.script_path, len(self.path)), (there.eval_breaker, 1)]
            )
            pending = int.from_bytes(flag, "little")
            if path != self.path:
                raise self._failed("the path is another than what was written")
            if pending not in (0, 1):
                raise self._failed(f"the pending flag is {pending}")
            if not pending or breaker[0] & _STOP:
                break
            self._set_breaker()  # the target has cleared it while it waits for the GIL
        note = "pending" if pending else "taken"
        took = time.perf_counter() - began
        size = len(self.path) + 4 + 1
        self.outcomes.append(Outcome(Step.VERIFY, took, there.thread, verified=size, note=note))

    def _failed(self, what: str) -> errors.WriteFailed:
        undone = "It has been put back." if self._undo() else "It could not be put back."
        return errors.WriteFailed.of(self.pid, what=what, undone=undone)

    def _undo(self) -> bool:
        """Put back what was there; return whether it is as before. The extra bits do no harm."""
        try:
            self.memory.write(self.site.pending, bytes(4))
            self.memory.write(self.site.script_path, self.path_before)
            return (
                self.memory.read(self.site.pending, 4) == bytes(4)
                and self.memory.read(self.site.script_path, len(self.path)) == self.path_before
            )
        except (Unreadable, errors.AttachError):
            return False

    def state(self) -> State:
        """Tell how it stands; never waits."""
        try:
            pending = self.memory.int32(self.site.pending)
        except (Unreadable, errors.AttachError):
            return State.GONE
        return {1: State.PENDING, 0: State.TAKEN}.get(pending, State.GONE)

    def take_back(self) -> bool:
        """See to it that the script isn't run; False if it is being run already.

        The path is emptied first: a target that takes the request right then has nothing to run.
        """
        try:
            self.memory.write(self.site.script_path, b"\0")
            if self.memory.int32(self.site.pending) != 1:
                return False
            self.memory.write(self.site.pending, bytes(4))
            self.memory.write(self.site.script_path, self.path_before)
        except (Unreadable, errors.AttachError):
            return True  # what has ended runs nothing
        return True


@dataclass(slots=True)
class _HandedOver:
    """A request that sys.remote_exec has written: it can't be asked for, nor taken back."""

    pid: int
    tid: int
    outcomes: list[Outcome]

    def state(self) -> State:
        return State.UNKNOWN

    def take_back(self) -> bool:
        return False


def tid_here(pid: int, native: int) -> int:
    """Return the thread that calls itself ``native``, as this process sees it.

    In another pid namespace it has another number there.

    Raises:
        ProcessEnded: there is no such thread any more.
    """
    task = Path(f"/proc/{pid}/task")
    if (task / str(native)).exists():
        return native
    try:
        for folder in task.iterdir():
            for line in (folder / "status").read_text().splitlines():
                if line.startswith("NSpid:") and int(line.split()[-1]) == native:
                    return int(folder.name)
    except OSError:
        pass
    raise errors.ProcessEnded.of(pid, phase="its main thread is gone")
