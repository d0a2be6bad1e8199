"""Stops at exceptions, in the user's terms: raised, uncaught, unhandled by user code.

Owns the filters that are on and what is known of exceptions under way. What `make_on_raise` makes,
and `left`, run on the user's thread, at events that can't be had for single code objects: most of
what they see is caught a frame or two above, and is told from the rest by a look into a table.
Filters are changed on a client's thread, by replacing them.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from threading import get_ident
from types import CodeType, FrameType, TracebackType
from typing import Any

from nbdebug import errors
from nbdebug.engine import monitor
from nbdebug.engine.bounded import Bounded
from nbdebug.engine.code_flags import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from nbdebug.engine.exception_filters import Filter
from nbdebug.engine.failures import Failure, Place, places_of, title_of
from nbdebug.engine.handlers import Fate
from nbdebug.engine.model import BreakMode, ExceptionFilter, Limits
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.propagation import Outlook, Propagation
from nbdebug.engine.threads import Threads
from nbdebug.engine.usercode import UserCode

PURPOSE = "exceptions"
_REMEMBERED = 10_000
_MANY = 50  # exceptions that came by their way
_FAR = 20  # frames up to a handler that are compared
_GENERATORS = CO_GENERATOR | CO_ASYNC_GENERATOR
_COROUTINES = CO_COROUTINE | CO_ASYNC_GENERATOR
_ROOM = 200  # frames
_EVALUATED = "<nbdebug"

_Way = tuple[tuple[CodeType, int], ...]
"""The (code, place) of the callers up to the handler."""
_Known = tuple[CodeType, type, _Way]
Stop = Callable[[FrameType, Failure, str], None]


class ExceptionStops:
    """Decides at which exceptions a thread stops. ``stop`` holds the calling thread."""

    def __init__(
        self,
        monitor_: Monitor,
        user_code: UserCode,
        threads: Threads,
        bounded: Bounded,
        limits: Callable[[], Limits],
        stop: Stop,
    ) -> None:
        self.is_host: Callable[[str], bool] = lambda module: False
        """Says of a module whether it is the host's: what user code raises into it isn't told."""
        self._monitor = monitor_
        self._user_code = user_code
        self._threads = threads
        self._bounded = bounded
        self._limits = limits
        self._stop = stop
        self._filters: tuple[Filter, ...] = ()
        self._propagation = Propagation(user_code)
        # Places whose exceptions of a class stop nothing, if they come by the same frames: by
        # offset alone, as a hash of a code object costs more than the rest; then by all three.
        self._quiet: dict[int, _Known] = {}
        self._quiet_too: dict[tuple[int, int, int], _Known] = {}
        # (id of code, place, id of class) -> how often its exceptions came by their way, and the
        # nearest callers of these ways.
        self._trusted: dict[tuple[int, int, int], tuple[int, _Way]] = {}
        self.pending: dict[int, tuple[Filter, ...]] = {}
        """id of an exception that may yet be caught -> the filters that it concerns."""
        self._waits = False
        # Exceptions that have stopped as uncaught in this run.
        self._told: set[int] = set()
        # Exceptions that came when the stack had no room for a stop: it is made further out.
        self._missed: set[int] = set()

    # -- on a client's thread

    def set(self, specs: Sequence[ExceptionFilter]) -> list[errors.NbdebugError | None]:
        """Make these the filters that are on; return for each None, or why it can't work.

        Raises UnknownFilter, and nothing is changed.
        """
        found: list[Filter] = []
        failures: list[errors.NbdebugError | None] = []
        for spec in specs:
            try:
                found.append(Filter(spec))
                failures.append(None)
            except errors.BadExceptionCondition as error:
                failures.append(error)
        self._filters = tuple(found)
        self.forget()
        # What leaves a frame is only of interest once something is pending: see `_wait_for`.
        self._monitor.want_globally(PURPOSE, monitor.RAISE if found else 0)
        return failures

    def clear(self) -> None:
        """Turn all filters off."""
        self.set(())

    def forget(self) -> None:
        """Judge anew from now on: a run begins, and names may stand for something else."""
        self._forget_quiet()
        self.pending.clear()
        self._missed.clear()
        self._told.clear()
        self._waits = False
        self._propagation.handlers.forget()
        if self._filters:
            self._monitor.want_globally(PURPOSE, monitor.RAISE)

    def was_told(self, error: BaseException) -> bool:
        """True if this run has stopped because nothing catches the exception."""
        return id(error) in self._told

    # -- on user threads

    def make_on_raise(
        self, is_guests: Callable[[BaseException], bool]
    ) -> Callable[[CodeType, int, BaseException], Any]:
        """Return the callback for RAISE."""
        # Closed-over names instead of attributes, and no call: see the module's docstring.
        quiet, quiet_too, missed = self._quiet, self._quiet_too, self._missed
        getframe = sys._getframe

        def on_raise(code: CodeType, offset: int, error: BaseException) -> Any:
            try:
                try:
                    known, cls, way = quiet[offset]
                    if known is not code or cls is not type(error):
                        known, cls, way = quiet_too[offset, id(code), id(type(error))]
                    if not way:
                        return
                    if _came_by(getframe(2), way):
                        self._trust(offset, getframe(1), cls, way)
                        return
                except (KeyError, ValueError):  # unknown, or fewer callers
                    pass
                self._raised(offset, error, getframe(1))
            except RecursionError:
                missed.add(id(error))
            except BaseException as failure:
                if is_guests(failure):
                    raise

        return on_raise

    def left(self, error: BaseException, frame: FrameType) -> None:
        """Look at a pending exception that leaves a frame: perhaps the last that could catch it.

        Raises what `stop` raises.
        """
        cls, filters = type(error), self.pending.get(id(error), ())
        ways = {
            BreakMode.UNHANDLED: lambda: self._propagation.leaves_run(frame, cls),
            BreakMode.USER_UNHANDLED: lambda: self._propagation.leaves_user_code(frame),
        }
        if not self._user_code.is_user(frame) or not _has_room(frame):
            return
        due = [one for one in filters if ways[one.mode]()]
        if not due:
            return
        rest = tuple(one for one in filters if one not in due)
        self.pending.pop(id(error), None)
        if rest:
            self.pending[id(error)] = rest
        places = places_of(_traceback_of(error), self._user_code)
        for one in due:
            if self._try(one, places[0].frame, error, frame, places):
                break

    # -- inside

    def _raised(self, offset: int, error: BaseException, frame: FrameType) -> None:
        cls = type(error)
        filters = [one for one in self._filters if one.concerns(cls)]
        if not filters or not self._user_code.is_user(frame):
            self._be_quiet(offset, frame, cls)
            return
        is_seen = id(error) not in self._missed and self._is_seen(error, frame)
        is_seen = is_seen and not self._was_trusted(error, frame)
        outlooks = {one.mode: self._outlook(one.mode, frame, cls, is_seen) for one in filters}
        if BreakMode.ALWAYS not in outlooks:
            self._remember(offset, frame, cls, list(outlooks.values()))
        self._missed.discard(id(error))
        if is_seen or not self._threads.is_user(get_ident()):
            return
        unsure = tuple(one for one in filters if outlooks[one.mode].fate is Fate.UNSURE)
        self.pending.pop(id(error), None)
        stops = [one for one in filters if outlooks[one.mode].fate is Fate.PASSES]
        if stops and not _has_room(frame):
            self._missed.add(id(error))
            return
        if unsure:  # before a stop, at which the filters may be changed
            self._wait_for(error, unsure)
        # The widest reason says most: that nothing will catch it.
        for one in sorted(stops, key=lambda one: one.mode is BreakMode.ALWAYS):
            if self._try(one, frame, error, frame, self._handed_on(error, frame)):
                break

    def _outlook(self, mode: BreakMode, frame: FrameType, cls: type, is_seen: bool) -> Outlook:
        # Of an exception that is known, all that matters is whether it is worth remembering.
        far = _FAR if is_seen else sys.maxsize
        if mode is BreakMode.UNHANDLED:
            return self._propagation.in_run(frame, cls, far)
        if mode is BreakMode.USER_UNHANDLED:
            return self._propagation.in_user_code(frame, cls, far)
        return Outlook(Fate.PASSES)

    def _try(
        self,
        filter_: Filter,
        raised_in: FrameType,
        error: BaseException,
        frame: FrameType,
        places: tuple[Place, ...],
    ) -> bool:
        """Stop, if the filter's condition holds and it isn't the host that is served."""
        if self._serves_host(frame):
            return False
        said = filter_.holds(raised_in, error)
        if said is None:
            return False
        if filter_.mode is BreakMode.UNHANDLED:
            self._told.add(id(error))
        title = title_of(error, self._bounded, self._limits())
        self._stop(frame, Failure(error, filter_.mode, title, places), said)
        return True

    def _wait_for(self, error: BaseException, filters: tuple[Filter, ...]) -> None:
        if len(self.pending) > _REMEMBERED:
            self.pending.clear()
        self.pending[id(error)] = filters
        if not self._waits:
            # From now to the end of the run: each frame that an exception leaves costs more.
            self._waits = True
            self._monitor.want_globally(PURPOSE, monitor.RAISE | monitor.PY_UNWIND)

    def _is_seen(self, error: BaseException, frame: FrameType) -> bool:
        """True if the exception comes out of a user frame that this one called, or is thrown in.

        A `raise` statement raises anew; so does what hands an exception on from another thread or
        task, whose frames weren't called from here.
        """
        raiser = self._propagation.handlers.code_of(frame).name_at(frame.f_lasti)
        if raiser == "RAISE_VARARGS":
            return False
        outermost = _traceback_of(error)
        caller, traceback = frame, outermost.tb_next if outermost is not None else None
        if traceback is not None and raiser in ("YIELD_VALUE", "RESUME"):
            return traceback.tb_frame in _callers_of(frame)  # contextlib throws it into a generator
        while traceback is not None and _called(caller, traceback.tb_frame):
            caller = traceback.tb_frame
            if self._user_code.is_user(caller):
                return True
            traceback = traceback.tb_next
        return False

    def _handed_on(self, error: BaseException, frame: FrameType) -> tuple[Place, ...]:
        """Return the frames to show for what another task or thread raised; else none.

        They are those of the traceback, and the callers of the frame that it comes to.
        """
        places = places_of(_traceback_of(error), self._user_code)
        if places[0].frame is frame or not self._user_code.is_user(places[0].frame):
            return ()
        callers = [one for one in _callers_of(frame) if self._user_code.is_user(one)]
        return (*places, *(Place(one, one.f_lineno or 0, one.f_lasti) for one in callers))

    def _serves_host(self, frame: FrameType) -> bool:
        """True for user code that the host or nbdebug calls for itself: a repr, an evaluation."""
        if self._propagation.ends_run(frame):
            return False
        at: FrameType | None = frame
        while at is not None and self._user_code.is_user(at):
            if self._propagation.ends_run(at):
                return False
            at = at.f_back
        called_by = at
        while at is not None and not self._propagation.ends_run(at):
            if at.f_code.co_filename.startswith(_EVALUATED):
                return True
            at = at.f_back
        return called_by is not None and self.is_host(called_by.f_globals.get("__name__") or "")

    def _remember(
        self, offset: int, frame: FrameType, cls: type, outlooks: Sequence[Outlook]
    ) -> None:
        """Take note that exceptions of this class, raised here and coming by this way, are caught.

        Only if that is so for each frame of this code, whatever its variables hold.
        """
        if any(one.fate is not Fate.CAUGHT for one in outlooks):
            return
        longest = max((one.way for one in outlooks), key=len)
        is_lasting = self._propagation.handlers.is_lasting
        if len(longest) <= _FAR and all(is_lasting(one, cls) for one in longest):
            way = tuple((one.f_code, one.f_lasti) for one in longest[1:])
            self._be_quiet(offset, frame, cls, way)

    def _trust(self, offset: int, frame: FrameType, cls: type, way: _Way) -> None:
        """Take note that an exception has come by its way; after many, that isn't looked at more.

        If then one comes by another way, `_was_trusted` finds it in the frame's caller.
        """
        key = id(frame.f_code), frame.f_lasti, id(cls)
        count, ways = self._trusted.get(key, (0, ()))
        ways = ways if way[0] in ways else (*ways, way[0])
        self._trusted[key] = count + 1, ways
        if count + 1 >= _MANY:
            self._be_quiet(offset, frame, cls)

    def _was_trusted(self, error: BaseException, frame: FrameType) -> bool:
        """True if an exception was let pass in the frame below, and was to come by another way."""
        outermost = _traceback_of(error)
        inner = outermost.tb_next if outermost is not None else None
        if inner is None:
            return False
        key = id(inner.tb_frame.f_code), inner.tb_lasti, id(type(error))
        count, ways = self._trusted.get(key, (0, ()))
        return count >= _MANY and (frame.f_code, frame.f_lasti) not in ways

    def _forget_quiet(self) -> None:
        self._quiet.clear()
        self._quiet_too.clear()
        self._trusted.clear()

    def _be_quiet(
        self,
        offset: int,
        frame: FrameType,
        cls: type,
        way: _Way = (),
    ) -> None:
        # An offset may be that of an instruction and of the call right after it, which belong to
        # one expression, and so to the same handlers.
        if len(self._quiet_too) > _REMEMBERED:
            self._forget_quiet()
        known = frame.f_code, cls, way
        self._quiet[offset] = self._quiet_too[offset, id(frame.f_code), id(cls)] = known


def _has_room(frame: FrameType) -> bool:
    """True if the recursion limit leaves enough for a stop, and for what is evaluated at it."""
    left: int = sys.getrecursionlimit() - _ROOM
    at: FrameType | None = frame
    while at is not None and left > 0:
        at, left = at.f_back, left - 1
    return at is None


def _came_by(frame: FrameType | None, places: _Way) -> bool:
    """True if ``frame`` and its callers are at these places."""
    for code, at in places:
        if frame is None or frame.f_lasti != at or frame.f_code is not code:
            return False
        frame = frame.f_back
    return True


def _called(caller: FrameType, callee: FrameType) -> bool:
    """True if a frame that has ended was called by ``caller``."""
    if callee.f_back is not None:
        return callee.f_back is caller
    # A generator's frame forgets its caller. A coroutine's is an `await`, or else a task's loop.
    flags = callee.f_code.co_flags
    awaits = bool(flags & CO_COROUTINE)
    return bool(flags & _GENERATORS) or (awaits and bool(caller.f_code.co_flags & _COROUTINES))


def _traceback_of(error: BaseException) -> TracebackType | None:
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return found


def _callers_of(frame: FrameType) -> Iterator[FrameType]:
    caller = frame.f_back
    while caller is not None:
        yield caller
        caller = caller.f_back
