"""What happens on the user's thread at an event of the interpreter.

Owns the callbacks that the monitor registers; decides whether this event is a stop, and says so to
`Stops`. Runs on user threads between two of their bytecodes: it takes no lock on a path that says
no, and whatever fails in it disarms the debugger and never reaches the user's code, save what the
user sent: KeyboardInterrupt. Where the program is near the limit of recursion, a callback may find
no room: that is no failure, the event passes unseen, and the next one is looked at.
"""

import itertools
import sys
from collections.abc import Callable
from threading import get_ident
from types import CodeType, FrameType
from typing import Any

from nbdebug.engine import monitor
from nbdebug.engine.asking import PURPOSE as PAUSE
from nbdebug.engine.breakpoints import Breakpoints
from nbdebug.engine.checks import Hit, location_of
from nbdebug.engine.exceptions import ExceptionStops
from nbdebug.engine.model import StopReason
from nbdebug.engine.monitor import DISABLE, Monitor
from nbdebug.engine.quicksites import Front
from nbdebug.engine.sources import is_top_level
from nbdebug.engine.stepping import Stepper
from nbdebug.engine.stops import Stops
from nbdebug.engine.threads import Threads
from nbdebug.engine.usercode import UserCode
from nbdebug.engine.watch_checks import slot_of_value
from nbdebug.engine.watch_sites import SiteCheck, joined_hit, merged
from nbdebug.engine.watches import Watches

_ARRIVAL = "arrival"
_OFTEN = 1023
"""After so many checks one of them is taken for the hottest."""
_NO_CHECKS: dict[int, SiteCheck] = {}


class Tracer:
    """The callbacks. ``failed`` is called while an exception of our own is being handled."""

    def __init__(
        self,
        monitor_: Monitor,
        breakpoints: Breakpoints,
        stepper: Stepper,
        threads: Threads,
        user_code: UserCode,
        stops: Stops,
        exceptions: ExceptionStops,
        watches: Watches,
        failed: Callable[[], None],
    ) -> None:
        self._arrivals: dict[int, tuple[FrameType, Hit]] = {}
        self._raised: dict[int, Exception] = {}
        self._monitor = monitor_
        self._breakpoints = breakpoints
        self._bindings = breakpoints.bindings
        self._stepper = stepper
        self._threads = threads
        self._user_code = user_code
        self._stops = stops
        self._watches = watches
        self._sites = watches.table
        self._deferred = watches.deferred
        self._exact = watches.exact
        self._asked = stops.asking.reasons
        self._exceptions = exceptions
        self._failed = failed

    def callbacks(self) -> dict[int, Callable[..., Any]]:
        """Return event -> function for the monitor."""
        on_instruction = self._make_on_instruction()
        self._sites.front = Front(
            self._monitor,
            on_instruction,
            self._stepper.steps,
            self._asked,
            self._deferred.due,
            slot_of_value(),
        )
        return {
            monitor.LINE: self._make_on_line(),
            monitor.INSTRUCTION: on_instruction,
            monitor.PY_START: self._make_on_start(),
            monitor.PY_RESUME: self._on_resume,
            monitor.PY_THROW: self._on_throw,
            monitor.PY_RETURN: self._on_return,
            monitor.PY_YIELD: self._on_yield,
            monitor.CALL: self._on_call,
            monitor.RAISE: self._exceptions.make_on_raise(self._is_guests),
            monitor.PY_UNWIND: self._make_on_unwind(),
        }

    def run_ended(self) -> None:
        """Drop what is remembered of the calling thread: its run has ended."""
        self._arrivals.pop(get_ident(), None)

    # -- callbacks

    def _make_on_line(self) -> Callable[[CodeType, int], Any]:
        # Closed-over names instead of attributes: this runs at every line that has a breakpoint,
        # and a condition that says no should cost little more than its evaluation.
        line_checks, steps, asked = self._bindings.line_checks, self._stepper.steps, self._asked
        arrivals, getframe = self._arrivals, sys._getframe

        def on_line(code: CodeType, line: int) -> Any:
            try:
                check = line_checks[id(code)][line]
            except KeyError:  # seldom: such a line is disabled, unless a step or a pause wants it
                check = None
            try:
                if check is None:
                    return self._at_other_line(code, line, getframe(1))
                hit = check(getframe(1))
                if hit is not None or steps or asked or arrivals:
                    self._at_line(getframe(1), line, hit)
            except RecursionError:
                return None
            except BaseException as error:
                if self._is_guests(error):
                    raise
            return None

        return on_line

    def _at_other_line(self, code: CodeType, line: int, frame: FrameType) -> Any:
        try:
            # CPython loses the instruction's event where that of its line is disabled.
            off = None if self._is_checked(code, frame.f_lasti) else DISABLE
            if not (self._stepper.steps or self._asked or self._arrivals):
                return off
            self._at_line(frame, line, None)
            return None if self._monitor.is_wanted_beyond_breakpoints(code) else off
        except RecursionError:
            return None
        except BaseException as error:
            if self._is_guests(error):
                raise
            return DISABLE

    def _is_checked(self, code: CodeType, offset: int) -> bool:
        exact = self._exact
        if self._deferred.due or self._sites.has_site(code, offset):
            return True
        return bool(exact.live) and exact.is_pending()

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
        step = self._stepper.step_of(ident)
        steps_here = step is not None and self._stepper.stops_at_line(step, frame, line)
        if hit is None and not steps_here and ident not in self._asked:
            return
        # What the line before has written is told with this stop, not with another one after it.
        more = self._written(frame)[0] if self._exact.live or self._deferred.due else None
        written = joined_hit([h for h in (more, self._sites.written_before(frame)) if h])
        if written is not None:
            self._raise_for(written)
            reason, hit = StopReason.DATA_BREAKPOINT, merged(written, hit)
        if hit is not None and self._threads.is_user(ident):
            self._stop(frame, reason, hit, at_line=True)
        elif ident in self._asked:
            self._stop_if_asked(ident, frame, at_line=True)
        elif steps_here:
            self._stop(frame, StopReason.STEP, at_line=True)

    def _make_on_instruction(self) -> Callable[[CodeType, int], Any]:
        # As above: this is what each write of a watched name costs.
        latest, steps, asked = self._sites.latest, self._stepper.steps, self._asked
        getframe, look_up = sys._getframe, self._sites.look_up
        exact, due = self._exact.live, self._deferred.due
        count, warm = itertools.count(1).__next__, self._sites.warm

        def on_instruction(code: CodeType, offset: int, above: int = 0) -> Any:
            # `above`: frames of ours between this one and the user's.
            if exact or due:
                return self._at_written(code, offset, getframe(1 + above))
            known, checks = latest[0]
            if known is not code:
                checks = look_up(code)
            try:
                check = checks[offset]
            except KeyError:  # disabled at once, unless a step or a pause wants it
                return self._at_other_instruction(code, offset, getframe(1 + above))
            try:
                hit = check(2 + above)
                if hit is not None or steps or asked:
                    if hit is DISABLE:
                        return self._at_other_instruction(code, offset, getframe(1 + above))
                    self._at_instruction(getframe(1 + above), hit)
                elif not count() & _OFTEN:
                    warm(check, code, offset)
            except RecursionError:
                return None
            except BaseException as error:
                if self._is_guests(error):
                    raise
            return None

        return on_instruction

    def _at_other_instruction(self, code: CodeType, offset: int, frame: FrameType) -> Any:
        """Look at an event where nothing is checked, or not any more."""
        sites = self._sites
        try:
            changes = sites.changes
            check = sites.checks.get(id(code), _NO_CHECKS).get(offset)
            hit: Any = DISABLE if check is None else check(_depth_of(frame))
            if self._stepper.steps or self._asked or hit is not DISABLE:
                self._at_instruction(frame, None if hit is DISABLE else hit)
            if self._asked or self._stepper.wants_instructions or hit is not DISABLE:
                return None
            return DISABLE if sites.changes == changes else None
        except RecursionError:
            return None
        except BaseException as error:
            if self._is_guests(error):
                raise
            return DISABLE

    def _at_written(self, code: CodeType, offset: int, frame: FrameType) -> Any:
        """Look at an event while more than sites may tell: what this frame has written comes first.

        What is checked here then finds nothing new.
        """
        sites = self._sites
        try:
            changes = sites.changes
            hit, stays = self._written(frame)
            check = sites.checks.get(id(code), _NO_CHECKS).get(offset)
            found: Any = DISABLE if check is None else check(_depth_of(frame))
            if found is not DISABLE:
                hit, stays = joined_hit([one for one in (hit, found) if one is not None]), True
            if hit is not None and hit.raises is None and not self._serves_user(frame):
                self._watches.reports.log(hit.sentence, location_of(frame))
                hit = None
            if hit is not None or self._stepper.steps or self._asked:
                self._at_instruction(frame, hit)
                stays = stays or bool(self._asked) or self._stepper.wants_instructions
            return None if stays or sites.changes != changes else DISABLE
        except RecursionError:
            return None
        except BaseException as error:
            if self._is_guests(error):
                raise
            return None

    def _written(self, frame: FrameType) -> tuple[Hit | None, bool]:
        """Return what the frame has just written that no site tells of.

        True: the location must stay on.
        """
        hit, stays = self._exact.written(frame) if self._exact.live else (None, False)
        if self._deferred.due:
            late = self._deferred.at_event(frame)
            hit = joined_hit([one for one in (hit, late) if one is not None])
        return hit, stays

    def _at_instruction(self, frame: FrameType, hit: Hit | None) -> None:
        if hit is not None:
            self._raise_for(hit)
        ident = get_ident()
        step = self._stepper.step_of(ident)
        steps_here = step is not None and self._stepper.stops_at_instruction(step, frame)
        if hit is not None and self._threads.is_user(ident):
            self._stop(frame, StopReason.DATA_BREAKPOINT, hit)
        elif ident in self._asked:
            self._stop_if_asked(ident, frame)
        elif steps_here:
            self._stop(frame, StopReason.STEP)

    def _raise_for(self, hit: Hit) -> None:
        """Raise in the user's code what a watch is to raise there."""
        if hit.raises is not None:
            self._raised[get_ident()] = hit.raises
            raise hit.raises

    def _make_on_start(self) -> Callable[[CodeType, int], Any]:
        # As above: with a breakpoint set, this is what each code object of the process costs once.
        bindings, steps, asked = self._bindings, self._stepper.steps, self._asked
        watches, may_have = self._sites.users, self._sites.may_have
        sites = self._sites

        def on_start(code: CodeType, offset: int) -> Any:
            changes = sites.changes
            known = code.co_filename in bindings.uninteresting_files and not (steps or asked)
            if known and not (watches and may_have(code)):
                return DISABLE if sites.changes == changes else None
            try:
                if self._starts(code, sys._getframe(1)):
                    return None
                return DISABLE if sites.changes == changes else None
            except RecursionError:
                return None
            except Exception:
                self._failed()
                return DISABLE

        return on_start

    def _starts(self, code: CodeType, frame: FrameType) -> bool:
        """Look at a frame that starts; True if the next start of its code matters too."""
        check = self._bindings.start_checks.get(id(code))
        if check is None and not self._is_bound(code) and self._bindings.concerns(code):
            self._breakpoints.look(code, frame)
            check = self._bindings.start_checks.get(id(code))
        if check is not None and (hit := check(frame)) is not None:
            self._arrivals[get_ident()] = frame, hit
            # Enables the first line again, which a start that didn't hit has disabled.
            self._monitor.arm(code, _ARRIVAL, monitor.LINE)
        keep = self._enters(frame) if self._stepper.steps or self._asked else False
        if self._sites.users:
            keep = self._sites.starts(code, frame, is_start=True) or keep
        return keep or check is not None

    def _is_bound(self, code: CodeType) -> bool:
        # A module or cell that starts is looked at each time: it may be another run.
        return id(code) in self._bindings.line_checks and not is_top_level(code)

    def _on_resume(self, code: CodeType, offset: int) -> Any:
        sites = self._sites
        try:
            changes = sites.changes
            if self._resumes(code, sys._getframe(1)):
                return None
            return DISABLE if sites.changes == changes else None
        except RecursionError:
            return None
        except Exception:
            self._failed()
            return DISABLE

    def _on_throw(self, code: CodeType, offset: int, error: BaseException) -> Any:
        try:
            self._resumes(code, sys._getframe(1), by_exception=True)
        except RecursionError:
            return
        except Exception:
            self._failed()

    def _resumes(self, code: CodeType, frame: FrameType, by_exception: bool = False) -> bool:
        """Look at a frame that runs on; True if the next time its code does matters too."""
        if id(code) not in self._bindings.line_checks and self._bindings.concerns(code):
            self._breakpoints.look(code, frame)
        wanted = self._stepper.steps or self._asked
        keep = self._enters(frame, by_exception) if wanted else False
        if self._sites.users:
            keep = self._sites.starts(code, frame, is_start=False) or keep
        return keep

    def _enters(self, frame: FrameType, by_exception: bool = False) -> bool:
        """Look at a frame that starts or resumes; True if the next one of its code matters too."""
        ident = get_ident()
        step = self._stepper.step_of(ident)
        if step is not None and step.wants_starts:
            self._stepper.enters(step, frame)
        is_user = self._user_code.is_user(frame)
        if is_user and self._stops.holds(ident) and self._is_free(ident):
            self._asked.setdefault(ident, None)  # a thread that began during the stop
        # Whoever interrupts an await that he had asked to pause wants its end, and no stop.
        is_ended = by_exception and self._asked.get(ident) is StopReason.PAUSE
        if is_user and ident in self._asked and not is_ended:
            # It stops at the first event of its body, which has a line; a start has none.
            self._monitor.arm(frame.f_code, PAUSE, monitor.INSTRUCTION)
        return is_user and (bool(self._asked) or self._stepper.wants_starts)

    def _is_free(self, ident: int) -> bool:
        return self._threads.is_user(ident) and self._stops.parked(ident) is None

    def _on_return(self, code: CodeType, offset: int, value: object) -> Any:
        return self._leaves(sys._getframe(1), value, yields=False)

    def _on_yield(self, code: CodeType, offset: int, value: object) -> Any:
        return self._leaves(sys._getframe(1), value, yields=True)

    def _on_call(self, code: CodeType, offset: int, called: object, first: object) -> Any:
        try:
            step = self._stepper.step_of(get_ident())
            if step is None:
                return None if self._stepper.steps else DISABLE
            if sys._getframe(1) is not step.home:
                return None
            return None if self._stepper.calls(step, offset, called) else DISABLE
        except RecursionError:
            return None
        except Exception:
            self._failed()
            return DISABLE

    def _make_on_unwind(self) -> Callable[[CodeType, int, BaseException], None]:
        # As above: once an exception is under way that might be caught, each frame sends this.
        pending, steps, getframe = self._exceptions.pending, self._stepper.steps, sys._getframe
        sites, exact = self._sites, self._exact

        def on_unwind(code: CodeType, offset: int, error: BaseException) -> None:
            try:
                if id(error) in pending:
                    self._exceptions.left(error, getframe(1))
                if exact.live:
                    self._left_after_write(getframe(1))
                if sites.users:
                    sites.leaves(getframe(1), yields=False)
                if steps:
                    self._unwinds(getframe(1))
            except RecursionError:  # there is more room where it goes next
                return
            except BaseException as failure:
                if self._is_guests(failure):
                    raise

        return on_unwind

    def _left_after_write(self, frame: FrameType) -> None:
        hit = self._exact.left(frame)
        if hit is not None and self._serves_user(frame):
            self._raise_for(hit)
            self._stop(frame, StopReason.DATA_BREAKPOINT, hit)

    def _serves_user(self, frame: FrameType) -> bool:
        ident = get_ident()
        return self._threads.is_user(ident) and self._breakpoints.reports.serves_user(frame)

    def _unwinds(self, frame: FrameType) -> None:
        step = self._stepper.step_of(get_ident())
        if step is not None:
            self._stepper.unwinds(step, frame)

    def _leaves(self, frame: FrameType, value: object, yields: bool) -> Any:
        try:
            ident = get_ident()
            follows = self._sites.follows(frame.f_code)
            if follows:
                self._sites.leaves(frame, yields)
            step = self._stepper.step_of(ident)
            if step is None:
                return None if self._stepper.steps or follows else DISABLE
            caller = self._stepper.stops_at_return(step, frame, value, yields)
            if caller is not None:
                self._stop(caller, StopReason.STEP, is_calling=True)
            return None
        except RecursionError:
            return None
        except BaseException as error:
            if self._is_guests(error):
                raise
            return DISABLE

    def _is_guests(self, error: BaseException) -> bool:
        """True for an exception that goes on into the user's code, without a frame of ours.

        Any other is a failure of our own: it turns the debugger off.
        """
        if error is self._raised.pop(get_ident(), None):
            error.__traceback__ = None
            return True
        if self._stops.came_from_guest(error) or not isinstance(error, Exception):
            error.__traceback__ = None
            return True
        self._failed()
        return False

    def _stop_if_asked(self, ident: int, frame: FrameType, at_line: bool = False) -> None:
        if self._user_code.is_user(frame):
            self._stop(frame, self._asked.pop(ident, None), at_line=at_line)

    def _stop(
        self,
        frame: FrameType,
        reason: StopReason | None,
        hit: Hit | None = None,
        *,
        at_line: bool = False,
        is_calling: bool = False,
    ) -> None:
        cursor = self._breakpoints.cursor
        if cursor is not None and reason is not None:
            reason, hit = self._breakpoints.end_run_to(cursor, reason, hit)
        if self._sites.users and reason is not None:
            self._watches.look_at_stop(frame)
        self._stops.stop_here(frame, reason, hit, at_line=at_line, is_calling=is_calling)
        if self._sites.users and reason is not None:
            # What was evaluated meanwhile may have written: that is no line's doing.
            self._watches.look_at_stop(frame)


def _depth_of(frame: FrameType) -> int:
    """Return the depth at which what the caller calls finds ``frame``, a caller further out."""
    depth = 2
    while sys._getframe(depth) is not frame:
        depth += 1
    return depth
