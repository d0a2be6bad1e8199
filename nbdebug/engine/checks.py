"""What a breakpoint decides when it is hit: stop, log, or go on.

Owns one logical breakpoint's counters and the functions made of it. These run on the user's thread
at each hit; they take no lock, and allocate nothing when they say no.
"""

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType

from nbdebug.engine import conditions
from nbdebug.engine.model import BreakpointInfo, BreakpointSpec, BreakpointState, Location

_ROOM = 50  # calls that a condition can do with


@dataclass(frozen=True, slots=True)
class Hit:
    """What a check found: the breakpoints that stop here; ``error`` if a condition raised.

    ``says`` begins the sentence of a stop that no breakpoint of the user's made; ``sentence`` is
    all of it. ``raises`` is what the user's code gets instead of a stop.
    """

    ids: tuple[int, ...]
    error: str = ""
    says: str = ""
    sentence: str = ""
    raises: Exception | None = None


Check = Callable[[FrameType], Hit | None]


class Breakpoint:
    """One logical breakpoint. ``path`` and ``line`` are where it is or will be, once known."""

    def __init__(self, id_: int, spec: BreakpointSpec, origin: str) -> None:
        self.id = id_
        self.spec = spec
        self.origin = origin
        self.enabled = True
        self.state = BreakpointState.PENDING
        self.path: str | None = None
        self.line: int | None = None
        self.message = ""
        self.error_reported = False
        self.reset_hits()

    @property
    def is_live(self) -> bool:
        """True if it may stop something, now or later."""
        return self.enabled and self.state is not BreakpointState.FAILED

    def change(self, spec: BreakpointSpec) -> None:
        """Take over what the user asks for now; its hits start again if that is another thing."""
        if spec != self.spec:
            self.spec = spec
            self.error_reported = False
            self.reset_hits()

    def reset_hits(self) -> None:
        """Count from the start again; ``next(counter)`` is one step even with many threads."""
        self.hits = 0
        self.counter = itertools.count(1)

    def info(self) -> BreakpointInfo:
        """Return how it stands now."""
        return BreakpointInfo(
            self.id,
            self.spec,
            self.state,
            self.path,
            self.line,
            self.message,
            self.hits,
            self.enabled,
        )


@dataclass(slots=True)
class Reports:
    """What breakpoints tell their owner; each is called on the thread where it happened."""

    changed: Callable[[BreakpointInfo, str], None]
    log: Callable[[str, Location], None]
    condition_failed: Callable[[BreakpointInfo, str, Location], None]
    show: Callable[[object], str]
    serves_user: Callable[[FrameType], bool]
    """False for a frame in which the host runs a library for itself, not for user code."""
    stop_on_condition_error: bool = True


def check_spec(spec: BreakpointSpec) -> None:
    """Raise BadCondition, BadHitCondition or BadLogMessage for what can't be read."""
    if spec.condition:
        conditions.check_expression(spec.condition)
    if spec.hit_condition:
        conditions.compile_hit_condition(spec.hit_condition)
    if spec.log_message:
        conditions.check_log_message(spec.log_message)


def check_of(found: Sequence[Breakpoint], code: CodeType, reports: Reports) -> Check:
    """Return the function that decides for all breakpoints of one place in ``code``."""
    checks = [_check_one(breakpoint_, code, reports) for breakpoint_ in found]
    if len(checks) == 1:
        return checks[0]

    def check_all(frame: FrameType) -> Hit | None:
        hits = [hit for check in checks if (hit := check(frame)) is not None]
        if not hits:
            return None
        ids = tuple(id_ for hit in hits for id_ in hit.ids)
        return Hit(ids, next((hit.error for hit in hits if hit.error), ""))

    return check_all


def location_of(frame: FrameType) -> Location:
    """Return where a frame is."""
    return Location(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname)


def _check_one(breakpoint_: Breakpoint, code: CodeType, reports: Reports) -> Check:
    """Build the function of only what the breakpoint has: the plainest is the fastest."""
    spec = breakpoint_.spec
    hit = Hit((breakpoint_.id,))
    hit_test = conditions.compile_hit_condition(spec.hit_condition) if spec.hit_condition else None
    first = hit_test.first if hit_test is not None else 0
    log = _log_of(breakpoint_, code, reports)

    def count(frame: FrameType) -> Hit | None:
        breakpoint_.hits = number = next(breakpoint_.counter)
        if number < first or (hit_test is not None and not hit_test.passes(number)):
            return None
        return hit if log is None else log(frame)

    def raised(frame: FrameType, error: BaseException) -> Hit | None:
        if breakpoint_.error_reported or (isinstance(error, RecursionError) and _is_deep(frame)):
            return None
        breakpoint_.error_reported = True
        text = f"The condition `{spec.condition}` raised {_said(error)}"
        if reports.stop_on_condition_error:
            return Hit((breakpoint_.id,), text)
        reports.condition_failed(breakpoint_.info(), text, location_of(frame))
        return None

    if not spec.condition:
        return count
    return conditions.compile_gate(spec.condition, code, count, raised)


def _log_of(breakpoint_: Breakpoint, code: CodeType, reports: Reports) -> Check | None:
    """Return the function that reports a breakpoint's log message, None where it has none."""
    message = breakpoint_.spec.log_message
    if not message:
        return None
    render = conditions.compile_log_message(message, reports.show)
    # One object for each line: whoever sends many lines of it knows them by that.
    places: dict[int, Location] = {}

    def log(frame: FrameType) -> None:
        try:
            text = render(frame)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            text = f"{message}  [{_said(error)}]"
        line = frame.f_lineno
        place = places.get(line) or places.setdefault(line, location_of(frame))
        reports.log(text, place)

    return log


def _is_deep(frame: FrameType) -> bool:
    """True where the program's own recursion leaves no room for a condition."""
    depth, one = 0, frame.f_back
    while one is not None:
        depth, one = depth + 1, one.f_back
    return depth + _ROOM > sys.getrecursionlimit()


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__} (its text can't be had)"
