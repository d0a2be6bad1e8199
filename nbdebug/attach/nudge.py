"""The one user of ptrace: wakes a blocked thread, or holds all threads still for a moment.

Run as a program of its own (``python -I -S nudge.py``), since ptrace's stops are told to the
tracer by SIGCHLD and waitpid, which in a program of the user's would get into the way of its own
children. It reads requests from standard input and writes answers to standard output, a line each,
and ends with its input, or when nothing was asked for a while. Imports nothing of ours, and little
else, so that it starts fast.
Whatever happens to it, the kernel lets its threads go: nothing stays stopped, no signal is sent
and no code is put anywhere.
Thread rule: one thread.

Requests: ``nudge TID``, ``freeze PID``, ``thaw 0``. An answer is a word and a number. ``woken`` and
``interrupted`` come with the number of the system call; after the latter, what it waited in goes
on. ``running``: the thread was in no system call. ``stopped``: by a signal, and left so. ``frozen``
comes with the number of threads, ``refused`` with errno. ``thawed``, ``gone``, ``timeout``.
"""

import ctypes
import errno
import os
import select
import signal
import sys
import time

SEIZE, INTERRUPT, GETREGS, SETREGS, DETACH = 0x4206, 0x4207, 12, 13, 17
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

Answer = tuple[str, int]

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


def signal_of(status: int) -> int:
    """Return the signal that a stopped thread must be given when it is let go, or 0."""
    return 0 if status >> 16 == EVENT_STOP else os.WSTOPSIG(status)


def nudge(tid: int) -> Answer:
    """Make the system call that a thread is blocked in return EINTR."""
    ptrace(SEIZE, tid)
    ptrace(INTERRUPT, tid)
    status = wait_for_stop(tid)
    if not os.WIFSTOPPED(status):
        return "gone", 0
    is_group_stop = status >> 16 == EVENT_STOP and os.WSTOPSIG(status) != signal.SIGTRAP
    answer = ("stopped", 0) if is_group_stop else end_call(tid)
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
        return "running", 0
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
            ptrace(SEIZE, tid)
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


class Server:
    """What is asked of this process, and who is held still meanwhile."""

    def __init__(self) -> None:
        self.frozen: Frozen | None = None

    def serve(self, reading: int, writing: int) -> None:
        """Answer requests until the input ends, or none comes for long."""
        pending = b""
        while True:
            frozen = self.frozen
            limit = max(0.0, frozen.until - time.monotonic()) if frozen else IDLE_LIMIT_S
            if not select.select([reading], [], [], limit)[0]:
                if frozen is None:
                    return
                self.thaw()
                continue
            data = os.read(reading, 4096)
            if not data:
                return  # with this process all threads are let go
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                verb, number = line.decode().split()
                word, told = self.answer(verb, int(number))
                os.write(writing, f"{word} {told}\n".encode())
                if word == "timeout":
                    return  # what doesn't stop is let go by our end only

    def answer(self, verb: str, number: int) -> Answer:
        try:
            if verb == "nudge":
                return nudge(number)
            if verb == "freeze":
                self.frozen = Frozen(number)
                return "frozen", len(self.frozen.statuses)
            return self.thaw()
        except TimeoutError:
            return "timeout", 0
        except (ProcessLookupError, FileNotFoundError):
            return "gone", 0
        except OSError as error:
            return "refused", error.errno or 0

    def thaw(self) -> Answer:
        frozen, self.frozen = self.frozen, None
        if frozen is None:
            return "timeout", 0
        frozen.thaw()
        return "thawed", 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server().serve(sys.stdin.fileno(), sys.stdout.fileno())
