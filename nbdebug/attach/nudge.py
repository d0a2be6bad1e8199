"""The one user of ptrace: wakes a blocked thread, or holds all threads still for a moment.

Run as a program of its own (``python -I -S nudge.py``), since ptrace's stops are told to the
tracer by SIGCHLD and waitpid, which in a program of the user's would get into the way of its own
children. It reads requests from standard input and writes answers to standard output, a line each,
and ends with its input, or when nothing was asked for a while. Imports nothing of ours, and little
else, so that it starts fast.
Whatever happens to it, the kernel lets its threads go: nothing stays stopped, no signal is sent
and no code is put anywhere.
Thread rule: one thread.

Requests: ``nudge TID``, ``freeze PID``, ``thaw``; for older Pythons ``hold TID``, ``call FUNCTION
ARGUMENT STACK``, ``release``. An answer is a word and numbers. ``woken`` and ``interrupted`` come
with the number of the system call; after the latter, what it waited in goes on. ``running``: the
thread was in no system call. ``stopped``: by a signal, and left so. ``frozen`` comes with the
number of threads, ``refused`` with errno. ``held`` comes with the number of the system call that
is blocked, the stack pointer and the thread's own address; ``returned`` with what the function
returned. ``thawed``, ``released``, ``gone``, ``timeout``.
"""

import ctypes
import errno
import os
import select
import signal
import sys
import time

SEIZE, INTERRUPT, GETREGS, SETREGS, DETACH, CONT = 0x4206, 0x4207, 12, 13, 17, 7
EVENT_STOP = 128
WALL = 0x40000000

# How the kernel marks a system call that it would begin again after the stop: ERESTARTSYS,
# ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK.
RESTARTS = (-512, -513, -514, -516)

STOP_LIMIT_S = 1.0
"""A thread that doesn't stop within this is in an uninterruptible sleep."""
FREEZE_LIMIT_S = 2.0
"""After this nobody is kept frozen, whatever our client does."""
IDLE_LIMIT_S = 60.0

Answer = tuple[str | int, ...]

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base"),
    *("ds", "es", "fs", "gs"),
)


class Registers(ctypes.Structure):
    """user_regs_struct of x86-64, in <sys/user.h>."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


def ptrace(request: int, tid: int, data: int = 0) -> None:
    if _ptrace(request, tid, 0, data) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def wait_for_stop(tid: int) -> int:
    """Return the status with which a thread stopped, ended or not."""
    deadline = time.monotonic() + STOP_LIMIT_S
    while True:
        found, status = os.waitpid(tid, WALL | os.WNOHANG)
        if found:
            return status
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.00005)


def seize(tid: int) -> None:
    """Begin to trace a thread; one that is ending has ended, though the system says EPERM of it."""
    try:
        ptrace(SEIZE, tid)
    except PermissionError as error:
        if is_ending(tid):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error
        raise


def is_ending(tid: int) -> bool:
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in (b"Z", b"X")
    except OSError:
        return True


def signal_of(status: int) -> int:
    """Return the signal that a stopped thread must be given when it is let go, or 0."""
    return 0 if status >> 16 == EVENT_STOP else os.WSTOPSIG(status)


def nudge(tid: int) -> Answer:
    """Make the system call that a thread is blocked in return EINTR."""
    seize(tid)
    try:
        return nudge_seized(tid)
    except ProcessLookupError:
        raise
    except OSError as error:  # it may still be held: our end lets it go
        raise TimeoutError from error


def nudge_seized(tid: int) -> Answer:
    ptrace(INTERRUPT, tid)
    status = wait_for_stop(tid)
    if not os.WIFSTOPPED(status):
        return ("gone",)
    is_group_stop = status >> 16 == EVENT_STOP and os.WSTOPSIG(status) != signal.SIGTRAP
    answer: Answer = ("stopped",) if is_group_stop else end_call(tid)
    ptrace(DETACH, tid, signal_of(status))
    return answer


def end_call(tid: int) -> Answer:
    if os.uname().machine != "x86_64":
        return "interrupted", -1
    registers = Registers()
    ptrace(GETREGS, tid, ctypes.addressof(registers))
    call = ctypes.c_longlong(registers.orig_rax).value
    returns = ctypes.c_longlong(registers.rax).value
    if call < 0:
        return ("running",)
    if returns not in RESTARTS:
        return "interrupted", call
    registers.rax = (1 << 64) - errno.EINTR
    registers.orig_rax = (1 << 64) - 1  # no system call any more, so nothing is begun again
    ptrace(SETREGS, tid, ctypes.addressof(registers))
    return "woken", call


class Frozen:
    """All threads of a process, held still."""

    def __init__(self, pid: int) -> None:
        self.statuses: dict[int, int] = {}
        self.until = time.monotonic() + FREEZE_LIMIT_S
        seized: set[int] = set()
        try:
            while new := {int(name) for name in os.listdir(f"/proc/{pid}/task")} - seized:
                for tid in new:
                    seized.add(tid)
                    self._seize(tid)
                for tid in new & self.statuses.keys():
                    self.statuses[tid] = wait_for_stop(tid)
        except OSError:
            self.thaw()
            raise

    def _seize(self, tid: int) -> None:
        try:
            seize(tid)
            ptrace(INTERRUPT, tid)
        except ProcessLookupError:
            return  # it has ended meanwhile
        self.statuses[tid] = -1

    def thaw(self) -> None:
        for tid, known in self.statuses.items():
            try:
                status = wait_for_stop(tid) if known == -1 else known
                if os.WIFSTOPPED(status):
                    ptrace(DETACH, tid, signal_of(status))
            except OSError:
                continue  # it has been killed
        self.statuses.clear()


class Held:
    """One thread, held in a system call that is blocked, to call functions on it meanwhile.

    Of x86-64. Once it has begun, a call is never abandoned: the thread would be left in it.
    """

    def __init__(self, tid: int) -> None:
        self.tid = tid
        seize(tid)
        ptrace(INTERRUPT, tid)
        status = wait_for_stop(tid)
        if not os.WIFSTOPPED(status):
            raise ProcessLookupError
        self.signal = signal_of(status)
        self.registers = Registers()
        ptrace(GETREGS, tid, ctypes.addressof(self.registers))
        self.is_blocked = (
            ctypes.c_longlong(self.registers.orig_rax).value >= 0
            and ctypes.c_longlong(self.registers.rax).value in (*RESTARTS, -errno.EINTR)
            and not self.signal
            and os.WSTOPSIG(status) == signal.SIGTRAP
        )

    def call(self, function: int, argument: int, stack: int) -> Answer:
        """Call a function; it returns to the address 0, which is where we wait for it."""
        registers = Registers.from_buffer_copy(self.registers)
        registers.orig_rax = (1 << 64) - 1
        registers.rax = 0
        registers.rdi, registers.rip, registers.rsp = argument, function, stack
        ptrace(SETREGS, self.tid, ctypes.addressof(registers))
        give = 0
        while True:
            ptrace(CONT, self.tid, give)
            _, status = os.waitpid(self.tid, WALL)
            if not os.WIFSTOPPED(status):
                raise ProcessLookupError
            give = signal_of(status)
            if give == signal.SIGSEGV:
                ptrace(GETREGS, self.tid, ctypes.addressof(registers))
                if registers.rip == 0:
                    return "returned", registers.rax

    def release(self, *, called: bool) -> None:
        if called:
            self.registers.rax = (1 << 64) - errno.EINTR
            self.registers.orig_rax = (1 << 64) - 1
            ptrace(SETREGS, self.tid, ctypes.addressof(self.registers))
        ptrace(DETACH, self.tid, self.signal)


class Server:
    """What is asked of this process, and who is held still meanwhile."""

    def __init__(self) -> None:
        self.frozen: Frozen | None = None
        self.held: Held | None = None
        self.called = False

    def serve(self, reading: int, writing: int) -> None:
        """Answer requests until the input ends, or none comes for long."""
        pending = b""
        while True:
            if not select.select([reading], [], [], self.patience())[0]:
                if self.frozen is None and self.held is None:
                    return
                self.let_go()
                continue
            data = os.read(reading, 4096)
            if not data:
                self.let_go()
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                verb, *numbers = line.decode().split()
                answer = self.answer(verb, *map(int, numbers))
                os.write(writing, " ".join(map(str, answer)).encode() + b"\n")
                if answer[0] == "timeout":
                    return  # what doesn't stop is let go by our end only

    def patience(self) -> float:
        if self.frozen is not None:
            return max(0.0, self.frozen.until - time.monotonic())
        return IDLE_LIMIT_S if self.held is None else FREEZE_LIMIT_S

    def answer(self, verb: str, *numbers: int) -> Answer:
        try:
            if verb == "nudge":
                return nudge(*numbers)
            if verb == "freeze":
                self.frozen = Frozen(*numbers)
                return "frozen", len(self.frozen.statuses)
            if verb == "hold":
                return self.hold(*numbers)
            if verb == "call" and self.held is not None:
                self.called = True
                return self.held.call(*numbers)
            return self.let_go()
        except TimeoutError:
            return ("timeout",)
        except (ProcessLookupError, FileNotFoundError):
            self.held = None
            return ("gone",)
        except OSError as error:
            return "refused", error.errno or 0

    def hold(self, tid: int) -> Answer:
        self.held = Held(tid)
        self.called = False
        if os.uname().machine != "x86_64" or not self.held.is_blocked:
            self.let_go()
            return ("running",)
        registers = self.held.registers
        return "held", registers.orig_rax, registers.rsp, registers.fs_base

    def let_go(self) -> Answer:
        """Let whoever is held run on; "timeout" if that has happened by itself."""
        frozen, self.frozen = self.frozen, None
        held, self.held = self.held, None
        if frozen is not None:
            frozen.thaw()
            return ("thawed",)
        if held is not None:
            held.release(called=self.called)
            return ("released",)
        return ("timeout",)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server().serve(sys.stdin.fileno(), sys.stdout.fileno())
