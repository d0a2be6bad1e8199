"""Which threads are stopped, and how they run on.

Owns the parked threads and the one lock over them; must not know what a client sees of a stop,
nor what is said of it.
`stop_here` runs on the user's thread, called by the tracer; the rest on a client's thread. There is
one stop at a time that clients are told of: a second thread that hits something waits, parked, and
its stop is told when the first has gone on.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Protocol

from nbdebug import errors
from nbdebug.engine.asking import Asking
from nbdebug.engine.checks import Hit
from nbdebug.engine.failures import Failure
from nbdebug.engine.jumps import jump
from nbdebug.engine.locks import locked, new_lock
from nbdebug.engine.model import Stop, StopReason
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.parking import ParkedThread
from nbdebug.engine.stepping import Stepper, StepPlan
from nbdebug.engine.stop_texts import describe
from nbdebug.engine.threads import Threads
from nbdebug.engine.usercode import UserCode

_JUMP_LIMIT_S = 2.0


class StopListener(Protocol):
    """Who is told of stops. Called on the thread where it happens; must not block."""

    def can_resume(self) -> bool:
        """True if a client is there that will let a stopped thread run on."""

    def stopped(self, stop: Stop) -> None:
        """A thread has stopped, and waits."""

    def passed(self, stop: Stop) -> None:
        """A thread would have stopped, but nobody could let it run on."""

    def continued(self, thread_id: int, all_threads: bool) -> None:
        """The thread, or all, run on."""


class Stops:
    """Stops and resumes the user's threads."""

    def __init__(
        self,
        listener: StopListener,
        monitor_: Monitor,
        stepper: Stepper,
        threads: Threads,
        user_code: UserCode,
    ) -> None:
        self.stop_other_threads = True
        self.asking = Asking(monitor_, threads, user_code)
        self.quiet: set[int] = set()
        """Threads that run what a client asked for only to look at it: nothing stops them."""
        self.on_leave: Callable[[int, bool], None] = lambda ident, was_current: None
        """Called when a parked thread runs on: what was given out for its stop is void."""
        self.holding: Callable[[], AbstractContextManager[None]] = nullcontext
        """Entered while a thread waits: the time that its user code has stands still."""
        self._listener = listener
        self._stepper = stepper
        self._threads = threads
        self._parked: dict[int, ParkedThread] = {}
        self._current: ParkedThread | None = None
        self._passing: dict[int, BaseException] = {}
        self._alone: set[int] = set()  # threads that a client let run on by themselves
        # Held for moments, never while user code or a client is called.
        self._lock = new_lock()

    # -- on user threads

    def stop_here(
        self,
        frame: FrameType,
        reason: StopReason | None,
        hit: Hit | None = None,
        failure: Failure | None = None,
        *,
        at_line: bool = False,
        is_calling: bool = False,
    ) -> None:
        """Hold the calling thread in ``frame`` until a client lets it run on.

        ``failure`` is the exception that it stops for; the stack is then the failure's, if it has
        one. ``at_line`` and ``is_calling`` are for ParkedThread.
        """
        ident = threading.get_ident()
        if ident in self.quiet:
            return
        stop = self._describe(ident, frame, reason, hit, failure)
        if reason is not None and not self._listener.can_resume():
            self._listener.passed(stop)
            return
        outer = self._parked.get(ident)
        parked = ParkedThread(
            ident,
            frame,
            stop,
            reason is None,
            outer,
            failure,
            at_line=at_line,
            is_calling=is_calling,
        )
        try:
            if self._add(parked):
                self._serve(parked)
        finally:
            _to_the_end(lambda: self._leave(parked))

    def came_from_guest(self, error: BaseException) -> bool:
        """True for an exception that is the user's own, and leaves at the line that had stopped.

        Ctrl-C is, whenever it comes; and what a signal handler or another thread raised in the
        calling thread while it was parked.
        """
        passing = self._passing.pop(threading.get_ident(), None)
        return error is passing or isinstance(error, KeyboardInterrupt)

    def run_starts(self) -> None:
        """Take note that the calling thread's run starts: a pause was meant for what ran before."""
        self.asking.forget_pause(threading.get_ident())

    def run_ended(self) -> None:
        """Take note that the calling thread's run has ended: its step and pause have, too."""
        ident = threading.get_ident()
        self._stepper.end(ident)
        self.asking.forget(ident)

    # -- on a client's thread

    @property
    def can_stop(self) -> bool:
        """True if a client is there that will let a stopped thread run on."""
        return self._listener.can_resume()

    @property
    def current(self) -> Stop | None:
        """The stop that clients were told of, or None."""
        current = self._current
        return None if current is None else current.stop

    @locked
    def thread_ids(self) -> list[int]:
        """Return the ids of the threads that wait."""
        return [self._threads.id_of(ident) for ident in self._parked]

    @locked
    def idents(self) -> list[int]:
        """Return the idents of the threads that wait."""
        return list(self._parked)

    def parked(self, ident: int) -> ParkedThread | None:
        """Return the thread if it waits."""
        return self._parked.get(ident)

    def require_current(self) -> ParkedThread:
        """Return the thread of the present stop. Raises NotStopped."""
        current = self._current
        if current is None:
            raise errors.NotStopped("Nothing is stopped.")
        return current

    def require(self, thread_id: int) -> ParkedThread:
        """Return a thread that waits. Raises UnknownThread, NotStopped, ThreadIsRunning."""
        self.require_current()
        parked = self._parked.get(self._threads.ident_of(thread_id))
        if parked is None:
            raise errors.ThreadIsRunning(f"Thread {thread_id} isn't stopped: it runs.")
        return parked

    def resume(self, thread_id: int, single: bool = False) -> bool:
        """Let the stopped thread run on, and with it, unless ``single``, all others.

        Returns whether the others do: what a job has stopped once more runs on by itself.
        Raises UnknownThread, NotStopped.
        """
        return self._release(self.require(thread_id), single)

    def step(self, thread_id: int, plan: StepPlan, single: bool = False) -> None:
        """Let the stopped thread make one step. Raises UnknownThread, NotStopped."""
        parked = self.require(thread_id)
        self._stepper.begin(parked.ident, plan, parked.runs)
        self._release(parked, single)

    def pause(self, ident: int) -> None:
        """Have a running thread stop at its next line of user code."""
        self.asking.ask(ident, StopReason.PAUSE)

    def go_to(self, thread_id: int, line: int) -> None:
        """Have the stopped thread run on from another line of its frame, and tell of it as a stop.

        Raises CannotJump with Python's reason, UnknownThread, NotStopped, TookTooLong.
        """
        parked = self.require(thread_id)
        if not parked.at_line:
            where = "in the middle of a line" if not parked.is_calling else "in a line's call"
            said = f"Python jumps from the beginning of a line only, and the thread is {where}."
            raise errors.CannotJump(said)
        parked.ask(lambda: jump(parked.frame, line), _JUMP_LIMIT_S)
        self.on_leave(parked.ident, self._current is parked)
        parked.stop = self._describe(parked.ident, parked.frame, StopReason.GOTO)
        self._make_current(parked)
        self._listener.stopped(parked.stop)

    def stop_at_entry(self) -> None:
        """Have the main thread stop at the first line of user code that it comes to."""
        ident = threading.main_thread().ident or 0
        self.asking.ask(ident, StopReason.ENTRY)

    def stop_after(self, frame: FrameType) -> None:
        """Have the calling thread stop in ``frame``, one of its callers, when it is back there.

        This is what `breakpoint()` does: the stop itself comes with an event of the frame.
        """
        self.asking.ask_in(frame, StopReason.BREAKPOINT)

    def resume_all(self) -> None:
        """Let every stopped thread run on, whatever it waits for."""
        every = self._every()
        for parked in every:
            parked.waits_for_others = True
        current = self._current
        if current is not None:
            self._release(current, single=False)
        for parked in every:
            if parked.is_nested:
                parked.release()

    def interrupt(self) -> None:
        """End the runs of all stopped threads with KeyboardInterrupt, raised where they stopped."""
        for parked in self._every():
            parked.interrupt()

    def forget_all(self) -> None:
        """In a forked child: no thread of the parent's is here."""
        self._parked.clear()
        self._current = None
        self._alone.clear()
        self.asking.reasons.clear()
        self._lock = new_lock()

    # -- inside

    def _every(self) -> list[ParkedThread]:
        """Return the parked threads, innermost stops first."""
        found: list[ParkedThread] = []
        for parked in list(self._parked.values()):
            each: ParkedThread | None = parked
            while each is not None:
                found.append(each)
                each = each.outer
        return found

    @locked
    def _make_current(self, parked: ParkedThread) -> None:
        """Have clients' questions mean this thread's stop; the one that did goes on with it."""
        before, self._current = self._current, parked
        parked.waits_for_others = False
        if before is not None and before is not parked:
            before.waits_for_others = True

    def _describe(
        self,
        ident: int,
        frame: FrameType,
        reason: StopReason | None,
        hit: Hit | None = None,
        failure: Failure | None = None,
    ) -> Stop:
        thread_id = self._threads.id_of(ident)
        return describe(thread_id, frame, reason, hit, failure, self.stop_other_threads)

    def _tell(self, parked: ParkedThread) -> None:
        """Tell of a stop, unless another one was told before."""
        if self._current is parked:
            self._announce(parked)

    def _announce(self, parked: ParkedThread) -> None:
        if self.stop_other_threads:
            others = [i for i in self._threads.users() if i not in self._parked]
            self._alone.clear()
            self.asking.ask_others(others)
        self._listener.stopped(parked.stop)

    def _serve(self, parked: ParkedThread) -> None:
        try:
            with self.holding():
                parked.serve(lambda: self._tell(parked))
        except BaseException as error:
            self._passing[parked.ident] = error
            raise

    def _release(self, parked: ParkedThread, single: bool) -> bool:
        """Let a thread run on; unless ``single`` the others too, but one with a stop to tell of."""
        if parked.outer is not None:
            single, freed = True, [parked]
        else:
            freed = self._freed_alone(parked) if single else self._freed_with(parked)
        self._listener.continued(self._threads.id_of(parked.ident), not single)
        for one in freed:
            one.release()
        return not single

    @locked
    def _freed_alone(self, parked: ParkedThread) -> list[ParkedThread]:
        """Return the thread that runs on by itself; its next stop is told while others wait."""
        self._alone.add(parked.ident)
        self.asking.reasons.pop(parked.ident, None)
        current = self._current
        if current is not None and current is not parked:
            current.waits_for_others = True
        return [parked]

    @locked
    def _freed_with(self, parked: ParkedThread) -> list[ParkedThread]:
        """Return the threads that run on with ``parked``, itself first."""
        told = self._current
        self._alone.clear()
        if told is not None:
            told.was_released = True
        self.asking.forget_others()
        others = [other for other in self._parked.values() if other is not parked]
        return [parked, *(o for o in others if o.waits_for_others or o is told)]

    @locked
    def _add(self, parked: ParkedThread) -> bool:
        if parked.waits_for_others and not self.holds(parked.ident):
            return False
        parked.returned = self._stepper.end(parked.ident)
        self._parked[parked.ident] = parked
        self._alone.discard(parked.ident)
        outer, current = parked.outer, self._current
        if outer is not None:
            outer.is_nested = True
        # What waits only because others have is no stop that a client could go on from first.
        gives_way = current is not None and current.waits_for_others
        if current is outer or current is None or (gives_way and not parked.waits_for_others):
            self._current = parked
        return True

    def holds(self, ident: int) -> bool:
        """True while a stop holds a thread that has none of its own."""
        current = self._current
        is_holding = current is not None and current.stop.all_threads and not current.was_released
        return is_holding and ident not in self._alone

    def _leave(self, parked: ParkedThread) -> None:
        """A parked thread runs on; if the stop was its own, the next one's is told."""
        if parked.outer is not None:
            self._leave_nested(parked, parked.outer)
            return
        was_current, left = self._current is parked, self._remove(parked)
        if left is None:
            return
        self.on_leave(parked.ident, was_current)
        if not was_current:
            return
        following = next((p for p in left if not p.waits_for_others), None)
        if not parked.was_released:  # an exception came instead
            self._listener.continued(self._threads.id_of(parked.ident), following is None)
            for other in left:
                if other.waits_for_others:
                    other.release()
        if following is not None:
            self._announce(following)

    def _leave_nested(self, parked: ParkedThread, outer: ParkedThread) -> None:
        """A thread that a job of its stop has stopped once more goes on with the job."""
        was_current = self._back_to(outer, parked)
        self.on_leave(parked.ident, was_current)
        if not parked.was_released:  # an exception came instead
            self._listener.continued(self._threads.id_of(parked.ident), False)

        def tell_again() -> None:
            self._stepper.end(outer.ident)
            if was_current and not outer.was_released:
                self._announce(outer)

        outer.after_job = tell_again

    @locked
    def _back_to(self, outer: ParkedThread, parked: ParkedThread) -> bool:
        if self._parked.get(outer.ident) is not parked:  # in a forked child
            return False
        was_current = self._current is parked
        if was_current:
            self._current = outer
        self._parked[outer.ident] = outer
        outer.is_nested = False
        return was_current

    @locked
    def _remove(self, parked: ParkedThread) -> list[ParkedThread] | None:
        """Take a thread from the parked ones; return the rest, None if it wasn't among them."""
        if self._parked.get(parked.ident) is not parked:
            return None
        left = [other for other in self._parked.values() if other is not parked]
        if self._current is parked:
            following = next((p for p in left if not p.waits_for_others), None)
            # With none to tell of, one thread alone ran on, and the others stay stopped.
            staying = next((p for p in left if not p.was_released), None)
            self._current = following or (staying if parked.was_released else None)
            if not parked.was_released:
                self.asking.forget_others()
        del self._parked[parked.ident]
        return left


def _to_the_end(call: Callable[[], None]) -> None:
    """Make ``call`` once more if Ctrl-C comes into it, and only then pass that on."""
    try:
        call()
    except KeyboardInterrupt:
        call()
        raise
