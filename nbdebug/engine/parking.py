"""A user thread that waits in a stop, and the jobs that it does meanwhile.

Owns the waiting; must not know why the thread stopped. The parked thread itself runs `serve`;
any other thread may `ask` and `release`. An asker never waits without a limit.
"""

import os
import signal
import threading
from _queue import Empty, SimpleQueue  # without the rest of `queue`, for a target's memory
from collections.abc import Callable, Sequence
from time import monotonic
from types import FrameType
from typing import Any

from nbdebug import errors
from nbdebug.engine.failures import Failure
from nbdebug.engine.model import Returned, Stop

_GRACE_S = 0.5
_LOOK_S = 0.2
"""How often a waiting asker looks whether its job was cancelled."""
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
    """One thread, from the event that stopped it until it runs on.


    ``outer`` is the same thread's stop in which it ran the job that stopped it once more. ``runs``
    is the frame that runs; what is shown, ``frame``, may be that of ``failure`` which raised.
    """

    def __init__(
        self,
        ident: int,
        frame: FrameType,
        stop: Stop,
        waits_for_others: bool,
        outer: "ParkedThread | None" = None,
        failure: Failure | None = None,
        *,
        at_line: bool = False,
        is_calling: bool = False,
    ) -> None:
        self.at_line = at_line
        """True at the beginning of a line, from where Python allows a jump."""
        self.is_calling = is_calling
        """True while the call that the frame stands at is under way."""
        self.returned: Sequence[Returned] = ()
        """What the frame's calls returned in the step that has ended here."""
        self.ident = ident
        self.runs = frame
        self.frame = failure.places[0].frame if failure and failure.places else frame
        self.stop = stop
        self.failure = failure
        self.waits_for_others = waits_for_others
        self.outer = outer
        self.was_released = False
        self.after_job: Callable[[], None] | None = None
        """Called once, on this thread, after the present job."""
        self.is_nested = False
        """True while a job of this thread has stopped it once more."""
        self._jobs: SimpleQueue[object] = SimpleQueue()
        self._busy = False
        self._closed = False
        self.ends_job = False
        self._abandoned: object = None
        self._cancelled_at = 0.0

    def serve(self, begin: Callable[[], None]) -> None:
        """Wait, doing jobs, until released. Runs on the parked thread.

        ``begin`` is called first, when an interrupt would already end the waiting.
        KeyboardInterrupt while no job runs ends the waiting and goes on to the user's code.
        """
        try:
            with _Interruptible(self):
                begin()
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
                    self._finish_job()
        finally:
            self._closed = True
            self._refuse_jobs()

    def _finish_job(self) -> None:
        after, self.after_job = self.after_job, None
        if after is not None:
            after()

    def release(self) -> None:
        """Let the thread run on after the jobs that it was given before."""
        self.was_released = True
        self._jobs.put(None)

    def let_go(self) -> None:
        """Let the thread run on without having been told to by a client."""
        self._jobs.put(None)

    def interrupt(self) -> None:
        """Have the thread go on with a KeyboardInterrupt, raised where it stopped."""
        self._jobs.put(_INTERRUPT)

    def ask[T](self, call: Callable[[], T], limit_s: float) -> T:
        """Have the parked thread make ``call`` and return what it returns or raise what it raises.

        Raises TookTooLong after ``limit_s`` seconds and a little grace, Cancelled; the call may
        still run then. While the call has stopped its thread once more, time stands still.
        """
        if threading.get_ident() == self.ident:
            return call()
        if self._abandoned is not None and self._busy:
            raise errors.TookTooLong("The stopped thread still does what it was asked before.")
        job: _Job[T] = _Job(call)
        self._jobs.put(job)
        if self._closed:
            self._refuse_jobs()
        self._wait(job, limit_s)
        error = job.error
        if error is not None:
            try:
                raise error
            finally:
                del error, job
        return job.result

    def cancel(self) -> None:
        """Have whoever waits for a job's end wait no longer than a little grace."""
        self._cancelled_at = monotonic()

    def _wait(self, job: _Job[Any], limit_s: float) -> None:
        begun = until = monotonic()
        until += limit_s + _GRACE_S
        while not job.done.acquire(timeout=max(min(_LOOK_S, until - monotonic()), 0)):
            now = monotonic()
            if self.is_nested:
                until = now + limit_s + _GRACE_S
            elif self._cancelled_at > begun and now > self._cancelled_at + _GRACE_S:
                self._end(job)
                raise errors.Cancelled("cancelled")
            elif now >= until:
                self._end(job)
                raise errors.TookTooLong(f"The stopped thread didn't answer within {limit_s:g} s.")

    def _end(self, job: _Job[Any]) -> None:
        """End a job that is blocked in native code, where that can be done.

        A signal does it, which sleeps, locks and I/O heed; Python hands it to the main thread only.
        """
        job.abandoned, self._abandoned = True, job
        main = threading.main_thread().ident
        if main is not None and self.ident == main and os.name == "posix":
            self.ends_job = True
            signal.pthread_kill(main, signal.SIGINT)
            job.done.acquire(timeout=_GRACE_S)

    def _refuse_jobs(self) -> None:
        """Answer the jobs that came too late: the thread runs on."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return
            if isinstance(job, _Job):
                job.error = errors.NotStopped("The thread runs on.")
                job.done.release()

    @property
    def busy(self) -> bool:
        """True while a job runs."""
        return self._busy


class _JobEnded(BaseException):
    """Ends a job of the main thread that went past its limit."""


class _Interruptible:
    """While it lasts, a SIGINT ends the waiting, whoever handles it otherwise.

    asyncio's and ipykernel's handlers for running coroutines only schedule a cancellation, to
    which the stopped loop would never come: they are called first. Between cells ipykernel ignores
    SIGINT; there the thread is let go, for a KeyboardInterrupt would end the kernel's loop.
    """

    def __init__(self, parked: ParkedThread) -> None:
        self._parked = parked
        self._before: Any = None
        self._is_installed = False

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            if self._before is not None:  # a handler of native code can't be put back
                signal.signal(signal.SIGINT, self._handle)
                self._is_installed = True

    def __exit__(self, *_: object) -> None:
        if self._is_installed and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        parked = self._parked
        if parked.ends_job:
            parked.ends_job = False
            if parked.busy:
                raise _JobEnded
        elif callable(self._before):
            self._before(number, frame)
            if not parked.busy:
                parked.interrupt()
        elif not parked.busy:
            parked.let_go()
