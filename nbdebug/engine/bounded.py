"""Runs user code on the current thread with a time limit.

Owns one watchdog thread and the asynchronous exception that it raises in a thread whose call went
past its limit. Knows nothing of values, frames or stops.

Threads: ``call`` works on any thread, also nested. The watchdog ("nbdebug-watchdog", a daemon) is
started by the first call and ends through ``close`` or after some idle seconds. It may raise the
exception only while it holds the call's gate; a call that ends takes its gate for good, so nothing
is raised after it, and what is already under way is cleared or absorbed before ``call`` returns.
Code that is blocked in C can't be interrupted: the exception arrives when it comes back to Python.
"""

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic

from nbdebug.engine import capi
from nbdebug.engine.model import Limits
from nbdebug.errors import Cancelled, TookTooLong

_IDLE_S = 10.0
_AGAIN_S = 0.1
"""The exception is raised again after this time: a bare ``except:`` may have swallowed it."""


class _Expired(BaseException):
    """Raised in a thread by the watchdog; never leaves ``Bounded.call``."""


class _Call:
    """One call under way. ``outer`` is the call on the same thread that it runs inside of.

    Of the calls of a thread, only the innermost is fired, with the earliest of their deadlines.
    """

    __slots__ = ("armed", "cancelled", "deadline", "fire_at", "fired", "gate", "outer", "thread_id")

    def __init__(self, thread_id: int, deadline: float, outer: "_Call | None") -> None:
        self.thread_id = thread_id
        self.outer = outer
        self.deadline: float = deadline if outer is None else min(deadline, outer.deadline)
        self.fire_at = self.deadline
        self.fired = False
        self.cancelled = False
        self.armed = False  # only while the function runs
        # Reentrant, so that the ending thread may try again where it was interrupted between
        # taking the gate and knowing that it has it.
        self.gate = threading.RLock()

    def fire(self, now: float) -> None:
        """Raise the exception in the call's thread, unless the call is ending. Watchdog only."""
        if not self.gate.acquire(blocking=False):
            return
        try:
            if self.armed:
                self.fired = True
                self.fire_at = now + _AGAIN_S
                capi.functions().set_async_exc(self.thread_id, id(_Expired))
        finally:
            self.gate.release()


class Bounded:
    """Calls functions with a time limit. One instance serves all threads of an engine."""

    def __init__(self, idle_s: float = _IDLE_S) -> None:
        self._idle_s = idle_s
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._calls: dict[int, _Call] = {}  # thread id -> its innermost call
        self._watchdogs: dict[str, threading.Thread] = {}  # at most one; setdefault is atomic
        self._next_look = 0.0
        self._closing = False
        # A bare lock as a signal: releasing it can't be interrupted half way, Event.set can.
        self._signal = threading.Lock()
        self._signal.acquire()

    def call[T](self, fn: Callable[[], T], limit_s: float) -> T:
        """Return ``fn()``; end it when it runs longer than ``limit_s`` seconds.

        Raises: TookTooLong if the limit passed, also where ``fn`` swallowed the interruption and
        returned; Cancelled; whatever ``fn`` raises otherwise, and KeyboardInterrupt in any case.
        Threads: any; ``fn`` runs on the calling thread.
        """
        if self._pid != os.getpid():
            self._reset()  # a forked child has neither our thread nor the other calls
        thread_id = threading.get_ident()
        outer = self._calls.get(thread_id)
        call = _Call(thread_id, monotonic() + limit_s, outer)
        interrupt: BaseException | None = None
        try:
            try:
                self._begin(call)
                call.armed = True
                result = fn()
            finally:
                # No call of a Python function from here to the end of the loop: each would be
                # a place for the exception to arrive outside of the inner try.
                call.armed = False
                while True:
                    try:
                        call.gate.acquire()
                        if call.fired:
                            capi.functions().set_async_exc(thread_id, None)
                        break
                    except _Expired:
                        continue
                    except BaseException as error:
                        interrupt = error
                if outer is None:
                    self._calls.pop(thread_id, None)
                else:
                    self._calls[thread_id] = outer
        except (_Expired, Exception):
            if not call.fired:
                raise  # fn's own, or one that is meant for an outer call
        if interrupt is not None:
            raise interrupt
        if call.fired:
            if outer is not None and outer.deadline <= monotonic():
                outer.fired = True
                raise _Expired  # it was the outer call's time that ran out
            raise Cancelled("cancelled") if call.cancelled else _too_long(limit_s)
        return result

    def cancel(self) -> None:
        """End what runs now, on whichever thread: each outermost call raises Cancelled."""
        for call in list(self._calls.values()):
            each: _Call | None = call
            while each is not None:
                each.cancelled = True
                each.deadline = each.fire_at = 0.0
                each = each.outer
        self._ring()

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """While it lasts, the time of the calling thread's calls stands still."""
        begun, calls = monotonic(), []
        call = self._calls.get(threading.get_ident())
        while call is not None:
            calls.append((call, call.deadline))
            call.deadline = call.fire_at = math.inf
            call = call.outer
        try:
            yield
        finally:
            for each, deadline in calls:
                if not each.cancelled:
                    each.deadline = each.fire_at = deadline + monotonic() - begun
            if calls:
                self._ring()

    def close(self) -> None:
        """End the watchdog thread. Calls under way lose their limit; a later call starts it anew.

        Threads: any. Waits at most one second.
        """
        watchdog = self._watchdogs.get("one")
        if watchdog is None or watchdog is threading.current_thread():
            return
        self._closing = True
        self._ring()
        watchdog.join(1.0)
        self._closing = False

    def _begin(self, call: _Call) -> None:
        """Have the watchdog know of the call; start it where there is none."""
        self._calls[call.thread_id] = call
        if self._watchdogs and call.deadline >= self._next_look:
            return
        if not self._watchdogs:
            watchdog = threading.Thread(target=self._watch, name="nbdebug-watchdog", daemon=True)
            # pydevd and our own engine leave threads alone that carry these.
            watchdog.pydev_do_not_trace = True  # type: ignore[attr-defined]
            watchdog.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
            if self._watchdogs.setdefault("one", watchdog) is watchdog:
                try:
                    watchdog.start()
                except BaseException:
                    self._watchdogs.pop("one", None)
                    raise
        self._ring()

    def _ring(self) -> None:
        with suppress(RuntimeError):  # it rings already
            self._signal.release()

    def _watch(self) -> None:
        """The watchdog: sleep until the next deadline, fire what has passed, end when idle."""
        me = threading.current_thread()
        idle_since = monotonic()
        while not self._closing:
            # An interrupt may have ended the start of this thread and taken its entry away.
            if self._watchdogs.setdefault("one", me) is not me:
                return
            now = monotonic()
            # Told before the calls are read: a call that comes between rings the signal.
            self._next_look = now + self._idle_s
            calls = list(self._calls.values())
            for call in calls:
                if call.fire_at <= now:
                    call.fire(now)
            if calls:
                idle_since = now
            elif now - idle_since >= self._idle_s:
                self._watchdogs.pop("one", None)
                if not self._calls:
                    return
                continue  # a call has seen this thread alive just before
            self._next_look = min([self._next_look, *(call.fire_at for call in calls)])
            self._signal.acquire(timeout=max(self._next_look - monotonic(), 0.001))
        self._watchdogs.pop("one", None)


def _too_long(limit_s: float) -> TookTooLong:
    return TookTooLong(f"took longer than {limit_s:g} s")


class UserCode:
    """The one door through which a listing of values runs the values' own code.

    Each run has ``limits.repr_s`` seconds, all runs since ``begin`` four times as much: a page of
    slow objects must not take its length times the limit. ``enabled`` false lets nothing through.
    """

    def __init__(self, bounded: Bounded, limits: Limits, enabled: bool = True) -> None:
        self.enabled = enabled
        self.limit_s = limits.repr_s
        """Seconds for one run; the engine may change it."""
        self._bounded = bounded
        self._spent_s = 0.0

    def begin(self) -> None:
        """Start a new listing with all of its time."""
        self._spent_s = 0.0

    def run[T](self, fn: Callable[[], T]) -> T:
        """Return ``fn()``. Raises: NotRun if it may not run, TookTooLong, and what fn raises."""
        if not self.enabled:
            raise NotRun("not run while the program runs")
        if self._spent_s >= 4 * self.limit_s:
            raise NotRun("not run: this listing has used up its time")
        begun = monotonic()
        try:
            return self._bounded.call(fn, self.limit_s)
        finally:
            self._spent_s += monotonic() - begun


class NotRun(Exception):
    """User code was not started; the text is the reason, for the value's place in a listing."""
