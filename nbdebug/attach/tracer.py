"""The process that runs nudge.py for us, and what it is asked to do.

Owns that process: it is started when it is first needed (``prepare`` does so beforehand), ends
itself when nothing was asked for a minute, and ends with this one. One for the whole process.
Thread rule: ``nudge`` and ``frozen`` may be called from any thread, and wait for each other.
"""

import atexit
import errno
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).with_name("nudge.py")
LIMIT_S = 5.0
"""No answer takes longer, unless the process doesn't work at all."""


class CannotTrace(Exception):
    """ptrace is refused, or the helper doesn't work; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What nudge.py said: its docstring tells the words and the numbers."""

    word: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A thread that is held in a blocked system call."""

    system_call: int
    stack: int  # its stack pointer
    own: int  # its pthread_self()
    call: Callable[[int, int, int], int]
    """``call(function, argument, stack)`` runs a function of one argument on it."""


class Tracer:
    """The helper process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held from a request to its answer, and while frozen
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Start the process now, and don't wait for it: later it answers at once."""
        with self._lock:
            self._running()

    def nudge(self, tid: int) -> Answer:
        """Have the system call that a thread waits in return EINTR.

        Raises:
            CannotTrace: the system doesn't let us.
        """
        with self._lock:
            return self._ask("nudge", tid)

    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        """Hold all threads of a process still during the block, which should be short.

        Raises:
            CannotTrace: the system doesn't let us, or they didn't stop, or ran on too early.
            ProcessLookupError: the process has ended.
        """
        with self._lock:
            answer = self._ask("freeze", pid)
            if answer.word == "gone":
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            try:
                yield
            finally:
                answer = self._ask("thaw")
            if answer.word != "thawed":
                raise CannotTrace("the process ran on too early")

    @contextmanager
    def held(self, tid: int) -> Iterator["Held | None"]:
        """Hold a thread that is blocked in a system call; if it was used, the call ends with EINTR.

        Gives None if it isn't blocked, or not now. ``PyGILState_Ensure`` may wait as long as others
        keep the GIL: once begun, a call isn't given up.

        Raises:
            CannotTrace: the system doesn't let us.
        """
        with self._lock:
            answer = self._ask("hold", tid)
            if answer.word != "held":
                yield None
                return
            try:
                number, stack, own = answer.numbers
                yield Held(number, stack, own, self._call)
            finally:
                self._ask("release")

    def _call(self, function: int, argument: int, stack: int) -> int:
        answer = self._ask("call", function, argument, stack, limit_s=None)
        if answer.word != "returned":
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return answer.numbers[0]

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """In a forked child: the process is the parent's."""
        self._lock = threading.Lock()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is not None and process.poll() is None:
            return process
        self._end()
        if not sys.executable:
            raise CannotTrace("this program has no Python interpreter that it could start")
        try:
            # An environment of nobody's, and a session of its own: what is meant for this
            # process, Ctrl-C too, isn't meant for it.
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={},
                start_new_session=True,
            )
        except OSError as error:
            raise CannotTrace(f"{sys.executable} doesn't start: {error.strerror}") from None
        self._process = process
        return process

    def _ask(self, verb: str, *numbers: int, limit_s: float | None = LIMIT_S) -> Answer:
        request = " ".join((verb, *map(str, numbers))).encode() + b"\n"
        try:
            line = self._exchange(request, limit_s)
        except BrokenPipeError:  # it has just ended itself, since nothing was asked for long
            self._end()
            line = self._exchange(request, limit_s)
        word, *told = line.decode().split() or [""]
        answer = Answer(word, tuple(map(int, told)))
        if not word:
            self._end()
            raise CannotTrace("the helper process has failed")
        if word == "refused":
            raise CannotTrace(os.strerror(answer.numbers[0]).lower())
        if word == "timeout":
            self._end()
            raise CannotTrace("a thread doesn't stop: it sleeps uninterruptibly")
        return answer

    def _exchange(self, request: bytes, limit_s: float | None) -> bytes:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(request)
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([process.stdout], [], [], limit_s)[0]:
                break
            part = process.stdout.read(100)
            if not part:
                break
            line += part
        return line

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


TRACER = Tracer()
atexit.register(TRACER.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TRACER.forget)
