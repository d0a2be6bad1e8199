"""Watches on elements, slots and buffers by comparing at the ends of lines, without the processor.

Owns the comparison, and who is named for a change: the line that has just run. Must not know how
code is found, which is the site table's, nor what a watch then does. Only the user's code is asked;
what a library writes is told with the line that called it. Runs on user threads, takes no lock.
"""

import sys
from array import array
from collections.abc import Callable
from sys import _getframe as getframe
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

from nbdebug import errors
from nbdebug.engine import libraries, physical
from nbdebug.engine.checks import Hit
from nbdebug.engine.libraries import Kind
from nbdebug.engine.line_sites import After, LineEnd, line_ends
from nbdebug.engine.mechanisms import Mechanism, Tell, Test
from nbdebug.engine.memory_targets import holds_more, place_of
from nbdebug.engine.usercode import UserCode
from nbdebug.engine.watch_model import Access, CodePlace, WatchSpec, Way
from nbdebug.engine.watch_sites import SiteCheck, SiteTable
from nbdebug.engine.watch_targets import ItemTarget, LocalTarget, MemoryTarget, Target
from nbdebug.engine.watch_values import MISSING, is_plain, is_same, remember

_SMALL: Final = 4096
"""Bytes that are compared at each line without being asked for, and as they are."""
_TOLD: Final = {Access.CHANGE, Access.DELETE}
_UNKNOWN: Final = object()

Glance = Callable[[], object]
"""Returns what is equal as long as nothing has changed; raises where there is nothing."""


def offer_of(
    target: Target, spec: WatchSpec, tell: Tell, table: SiteTable, user_code: UserCode
) -> Mechanism | str:
    """See `mechanisms.Offer`: unasked only for what is small and lies in memory."""
    if not set(spec.accesses) <= _TOLD:
        return "" if spec.way is not Way.LINES else "It sees no reads, and only changes."
    if spec.way is Way.LINES:
        if isinstance(target, LocalTarget):
            return "A local is another variable in each frame."
        if isinstance(target, MemoryTarget):
            return "Memory by its address is watched by the processor only."
    elif spec.way is not Way.AUTO or not _is_small_memory(target):
        return ""
    return LineWatch(target, table, user_code, tell)


class LineWatch:
    """One watched place: a Mechanism, and for the table of sites a SiteUser."""

    name = "compare at lines"
    sees = "what any line of your code has changed, in C too"
    cannot_see = (
        "which of several writes of one call it was; which thread, and in which order, where "
        "several run at the same moment; what is overwritten within one line. What happens outside "
        "of your code is told with the line that called it, or at the next one"
    )
    cost = (
        "each line of your code, and no other's, is followed by a comparison: loops of simple "
        "lines take some 20 to 40 times as long; --sites is cheaper, and sees less"
    )
    names: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    in_all_code = True
    follows_frames = False

    def __init__(self, target: Target, table: SiteTable, user_code: UserCode, tell: Tell) -> None:
        self.test: Test | None = None
        self._target, self._table, self._tell = target, table, tell
        self._user_code = user_code
        self._glance = _glance_at(target)
        self._seen: object = _UNKNOWN
        self._value: object = MISSING

    # -- the mechanism

    def arm(self) -> None:
        """Begin to see, from the value that is there now."""
        self._value = MISSING
        self._taken()
        self._table.add(self)

    def disarm(self) -> None:
        """See nothing more, and cost nothing."""
        self._table.remove(self)
        self._seen = _UNKNOWN

    def look(self) -> tuple[object, object] | None:
        """Compare now; return the value last known and the one that is there, if they differ."""
        return self._taken()

    # -- what the table asks

    def concerns(self, code: CodeType, frame: FrameType) -> bool:
        """See SiteUser."""
        return True

    def checks_in(self, code: CodeType) -> list[tuple[int, int, SiteCheck]]:
        """See SiteUser."""
        return [(end.offset, 0, self._check(end)) for end in line_ends(code)]

    def begins(self, frame: FrameType, is_start: bool) -> None:
        """See SiteUser."""

    def ends(self, frame: FrameType, yields: bool) -> None:
        """See SiteUser."""

    # -- inside

    def _check(self, end: LineEnd) -> SiteCheck:
        glance = self._glance
        if glance is None:
            return lambda depth: self._compared(getframe(depth), end)

        def check(depth: int) -> Any:
            seen = self._seen
            try:
                now = glance()
                if now is seen or (type(now) is type(seen) and now == seen):
                    return None
            except RecursionError:  # the next check has more room
                return None
            except Exception:
                if seen is MISSING:
                    return None
            return self._compared(getframe(depth), end)

        return check

    def _glanced(self) -> object:
        if self._glance is None:
            return _UNKNOWN
        try:
            return self._glance()
        except RecursionError:
            return _UNKNOWN
        except Exception:  # it isn't there
            return MISSING

    def _taken(self) -> tuple[object, object] | None:
        """Return what was known and what is there now, if they differ; the latter is known then."""
        while True:
            known = self._value
            # In this order: what another thread writes in between is found by the next check.
            seen, value = self._glanced(), self._target.read()
            if seen is MISSING and value is not MISSING:
                seen = _UNKNOWN
            if is_same(known, value):
                self._seen = seen
                return None
            remembered = remember(value)
            if self._value is known:  # else another thread has told of it
                self._value, self._seen = remembered, seen
                return known, value

    def _compared(self, frame: FrameType, end: LineEnd) -> Hit | None:
        found = self._taken()
        if found is None:
            return None
        old, new = found
        kind = "delete" if new is MISSING else "change"
        match end.after:
            case After.LINE:
                return self._tell(frame, end.line, kind, old, new)
            case After.RAISE:
                at = self._raised_in(frame)
            case After.CALLER:
                at = self._caller_of(frame)
        if at is None:
            return self._tell(frame, end.line, "outside", old, new)
        if at.path == frame.f_code.co_filename and at.function == frame.f_code.co_qualname:
            return self._tell(frame, at.line, kind, old, new)
        return self._tell(frame, end.line, kind, old, new, at)

    def _caller_of(self, frame: FrameType) -> CodePlace | None:
        """Return the line of the user's that called or resumed a frame."""
        caller = self._user_code.nearest(frame.f_back)
        return None if caller is None else _place(caller, caller.f_lineno)

    def _raised_in(self, frame: FrameType) -> CodePlace | None:
        """Return the line from which the exception came that the frame has just begun to handle."""
        error = sys.exception()
        trace = error.__traceback__ if error is not None else None
        while trace is not None and trace.tb_frame is not frame:
            trace = trace.tb_next
        last: TracebackType | None = None
        while trace is not None and self._user_code.is_user(trace.tb_frame):
            last, trace = trace, trace.tb_next
        return None if last is None else _place(last.tb_frame, last.tb_lineno)


def _place(frame: FrameType, line: int | None) -> CodePlace:
    return CodePlace(frame.f_code.co_filename, line or 0, frame.f_code.co_qualname)


def _is_small_memory(target: Target) -> bool:
    """True for a place in memory that may be compared at each line, and holds nothing more."""
    if not isinstance(target, ItemTarget) or holds_more(target):
        return False
    try:
        span = place_of(target).span()
    except errors.NotSupported:
        return False
    return span is not None and span.length <= _SMALL


def _glance_at(target: Target) -> Glance | None:
    """Return a quick look at a place: no view of a buffer is kept, which couldn't grow then."""
    if not isinstance(target, ItemTarget) or not _is_small_memory(target):
        return None
    assert target.owner is not None
    get, key, owner = target.owner.get, target.key, target.owner.get()
    if type(owner) is list:
        return _glance_at_slot(get, key)
    is_slice = isinstance(key[-1] if isinstance(key, tuple) and key else key, slice)
    if libraries.kind_of(type(owner)) is Kind.ARRAY:
        if physical.name_of(type(owner)) != "ndarray" or owner.dtype.hasobject:
            return None
        item, tobytes = type(owner).item, type(owner).tobytes
        if is_slice:
            return lambda: tobytes(get()[key])
        index = key if isinstance(key, tuple) else (key,)
        return lambda: item(get(), *index)
    if is_slice:
        return (lambda: bytes(get()[key])) if physical.is_a(owner, bytearray, array) else None
    return (lambda: get()[key]) if is_plain(target.read()) else None


def _glance_at_slot(get: Callable[[], Any], key: Any) -> Glance:
    def glance() -> object:
        one = get()[key]
        # Others are known by their address, and not kept alive.
        return one if is_plain(one) else (id(one),)

    return glance
