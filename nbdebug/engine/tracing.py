"""What happens on the user's thread at an event of the interpreter.

Owns the callbacks that the monitor registers; decides whether this event is a stop, and says so to
`Stopping`. Runs on user threads between two of their bytecodes: it takes no lock on a path that says
no, and whatever fails in it disarms the debugger and never reaches the user's code, save what the
user sent: KeyboardInterrupt.
"""

import sys
from collections.abc import Callable
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, Protocol

from nbdebug.engine import monitor
from nbdebug.engine.breakpoints import BreakpointTable, Hit
from nbdebug.engine.model import StopReason
from nbdebug.engine.monitor import DISABLE, Monitor
from nbdebug.engine.stepping import Stepper
from nbdebug.engine.threads import Threads
from nbdebug.engine.usercode import UserCode

_ARRIVAL = "arrival"


class Stopping(Protocol):
    """Who stops a thread: called on it, returns when it is to run on."""

    def stop_here(self, frame: FrameType, reason: StopReason | None, hit: Hit | None = None) -> None:
        """Hold the calling thread in ``frame``; with no reason, only as long as another stop lasts."""

    def failed(self) -> None:
        """Take note of an exception of ours that is being handled: report it once, step aside."""


class Tracer:
    """The callbacks, and the threads that are asked to stop at their next event."""

    def __init__(
        self,
        monitor_: Monitor,
        table: BreakpointTable,
        stepper: Stepper,
        threads: Threads,
        user_code: UserCode,
        stopping: Stopping,
    ) -> None:
        self.asked: dict[int, StopReason | None] = {}
        """Threads that are to stop at their next event: ident -> why (None: as others stopped)."""
        self._arrivals: dict[int, tuple[FrameType, Hit]] = {}
        self._monitor = monitor_
        self._table = table
        self._stepper = stepper
        self._threads = threads
        self._user_code = user_code
        self._stopping = stopping

    def callbacks(self) -> dict[int, Callable[..., Any]]:
        """Return event -> function for the monitor."""
        return {
            monitor.LINE: self._make_on_line(),
            monitor.INSTRUCTION: self._on_instruction,
            monitor.PY_START: self._on_start,
            monitor.PY_RESUME: self._on_resume,
            monitor.PY_RETURN: self._on_return,
            monitor.PY_YIELD: self._on_yield,
        }

    def forget_thread(self, ident: int) -> None:
        """Drop what is remembered of a thread: its run has ended."""
        self.asked.pop(ident, None)
        self._arrivals.pop(ident, None)

    # -- callbacks

    def _make_on_line(self) -> Callable[[CodeType, int], Any]:
        # Closed-over names instead of attributes: this runs at every line that has a breakpoint,
        # and a condition that says no should cost little more than its evaluation.
        line_checks, steps, asked = self._table.line_checks, self._stepper.steps, self.asked
        arrivals, getframe = self._arrivals, sys._getframe
        is_wanted = self._monitor.is_wanted_beyond_breakpoints

        def on_line(code: CodeType, line: int) -> Any:
            checks = line_checks.get(id(code))
            check = None if checks is None else checks.get(line)
            try:
                if check is not None:
                    hit = check(getframe(1))
                    if hit is not None or steps or asked or arrivals:
                        self._at_line(getframe(1), line, hit)
                    return None
                if steps or asked or arrivals:
                    self._at_line(getframe(1), line, None)
                    return None if is_wanted(code) else DISABLE
                return DISABLE
            except Exception:
                self._stopping.failed()
                return DISABLE

        return on_line

    def _at_line(self, frame: FrameType, line: int, hit: Hit | None) -> None:
        ident = get_ident()
        arrival = self._arrivals.get(ident)
        reason = StopReason.BREAKPOINT
        if arrival is not None and arrival[0] is frame:
            del self._arrivals[ident]
            self._monitor.disarm(frame.f_code, _ARRIVAL)
            if hit is None:
                reason, hit = StopReason.FUNCTION_BREAKPOINT, arrival[1]
            else:
                hit = Hit((*hit.ids, *arrival[1].ids), hit.error)
        step = self._stepper.steps.get(ident)
        steps_here = step is not None and self._stepper.stops_at_line(step, frame, line)
        if hit is not None and self._threads.is_user(ident):
            self._stopping.stop_here(frame, reason, hit)
        elif ident in self.asked:
            self._stop_if_asked(ident, frame)
        elif steps_here:
            self._stopping.stop_here(frame, StopReason.STEP)

    def _on_instruction(self, code: CodeType, offset: int) -> Any:
        try:
            ident = get_ident()
            if ident in self.asked:
                self._stop_if_asked(ident, sys._getframe(1))
            return None if self.asked else DISABLE
        except Exception:
            self._stopping.failed()
            return DISABLE

    def _on_start(self, code: CodeType, offset: int) -> Any:
        try:
            frame = sys._getframe(1)
            check = self._table.start_checks.get(id(code))
            if check is None and self._table.concerns(code):
                self._table.look(code, frame)
                check = self._table.start_checks.get(id(code))
            if check is not None and (hit := check(frame)) is not None:
                self._arrivals[get_ident()] = frame, hit
                # Enables the first line again, which a start that didn't hit has disabled.
                self._monitor.arm(code, _ARRIVAL, monitor.LINE)
            keep = self._enters(frame) if self._stepper.steps or self.asked else False
            return None if keep or check is not None else DISABLE
        except Exception:
            self._stopping.failed()
            return DISABLE

    def _on_resume(self, code: CodeType, offset: int) -> Any:
        try:
            frame = sys._getframe(1)
            if self._table.concerns(code):
                self._table.look(code, frame)
            keep = self._enters(frame) if self._stepper.steps or self.asked else False
            return None if keep else DISABLE
        except Exception:
            self._stopping.failed()
            return DISABLE

    def _enters(self, frame: FrameType) -> bool:
        """Look at a frame that starts or resumes; True if the next one of its code matters too."""
        ident = get_ident()
        step = self._stepper.steps.get(ident)
        if step is not None and step.wants_starts:
            self._stepper.enters(step, frame)
        is_user = self._user_code.is_user(frame)
        if ident in self.asked and is_user:
            self._stop_if_asked(ident, frame)
        return is_user

    def _on_return(self, code: CodeType, offset: int, value: object) -> Any:
        return self._leaves(sys._getframe(1), yields=False)

    def _on_yield(self, code: CodeType, offset: int, value: object) -> Any:
        return self._leaves(sys._getframe(1), yields=True)

    def _leaves(self, frame: FrameType, yields: bool) -> Any:
        try:
            ident = get_ident()
            step = self._stepper.steps.get(ident)
            if step is None:
                return None if self._stepper.steps else DISABLE
            caller = self._stepper.stops_at_return(step, frame, yields)
            if caller is not None:
                self._stopping.stop_here(caller, StopReason.STEP)
            return None
        except Exception:
            self._stopping.failed()
            return DISABLE

    def _stop_if_asked(self, ident: int, frame: FrameType) -> None:
        if not self._user_code.is_user(frame):
            return
        reason = self.asked.pop(ident, None)
        self._stopping.stop_here(frame, reason)
