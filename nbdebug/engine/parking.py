"""A user thread that waits in a stop, and the jobs that it does meanwhile.

Owns the waiting; must not know why the thread stopped. The parked thread itself runs `serve`;
any other thread may `ask` and `release`. An asker never waits without a limit.
"""

import queue
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from nbdebug import errors
from nbdebug.engine.model import Stop

_GRACE_S = 0.5
_INTERRUPT = object()


class _Job[T]:
    """One call that the parked thread is asked to make."""

    __slots__ = ("abandoned", "call", "done", "error", "result")

    def __init__(self, call: Callable[[], T]) -> None:
        self.call = call
        self.done = threading.Lock()
        self.done.acquire()
        self.abandoned = False
        self.result: T
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            if not self.abandoned:
                self.result = self.call()
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a job end the job only
            self.error = error
        finally:
            self.done.release()


class ParkedThread:
    """One thread, from the event that stopped it until it runs on."""

    def __init__(self, ident: int, frame: FrameType, stop: Stop, waits_for_others: bool) -> None:
        self.ident = ident
        self.frame = frame
        self.stop = stop
        self.waits_for_others = waits_for_others
        self.was_released = False
        self._jobs: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._busy = False

    def serve(self) -> None:
        """Wait, doing jobs, until released. Runs on the parked thread.

        KeyboardInterrupt while no job runs ends the waiting and goes on to the user's code.
        """
        with _Interruptible(self):
            while True:
                job = self._jobs.get()
                if job is _INTERRUPT:
                    raise KeyboardInterrupt
                if not isinstance(job, _Job):
                    return
                self._busy = True
                try:
                    job.run()
                finally:
                    self._busy = False

    def release(self) -> None:
        """Let the thread run on after the jobs that it was given before."""
        self.was_released = True
        self._jobs.put(None)

    def interrupt(self) -> None:
        """Have the thread go on with a KeyboardInterrupt, raised where it stopped."""
        self._jobs.put(_INTERRUPT)

    def ask[T](self, call: Callable[[], T], limit_s: float) -> T:
        """Have the parked thread make ``call`` and return what it returns or raise what it raises.

        Raises TookTooLong after ``limit_s`` seconds and a little grace; the call may still run.
        """
        if threading.get_ident() == self.ident:
            return call()
        job: _Job[T] = _Job(call)
        self._jobs.put(job)
        if not job.done.acquire(timeout=limit_s + _GRACE_S):
            job.abandoned = True
            raise errors.TookTooLong(f"The stopped thread didn't answer within {limit_s:g} s.")
        error = job.error
        if error is not None:
            try:
                raise error
            finally:
                del error, job
        return job.result

    @property
    def busy(self) -> bool:
        """True while a job runs."""
        return self._busy


class _Interruptible:
    """While it lasts, a SIGINT that some handler swallows still ends the waiting.

    asyncio's and ipykernel's handlers for running coroutines only schedule a cancellation, to
    which the stopped loop would never come. They are called first; then the waiting ends with
    KeyboardInterrupt.
    """

    def __init__(self, parked: ParkedThread) -> None:
        self._parked = parked
        self._before: Any = None
        self._ours: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler or not callable(before):
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            before(number, frame)
            if not self._parked.busy:
                self._parked.interrupt()

        self._before, self._ours = before, interrupt
        signal.signal(signal.SIGINT, interrupt)

    def __exit__(self, *_: object) -> None:
        if self._ours is not None and signal.getsignal(signal.SIGINT) is self._ours:
            signal.signal(signal.SIGINT, self._before)
