"""Watches on elements of arrays, slots of lists and raw memory, by the processor's watchpoints.

Owns which targets lie in memory, and the way from a hit to the thread's next event of ours; must
not know what a watch then does. Code of the user's that could write is asked after each such
statement, in the first passes: a hit there is told at once. Statements that pass often without one
are asked no more and cost nothing, and neither does any other code: what hits there sends a signal,
the frame gets an event for its next instruction, and the place is that of the stack which was
written down at the hit.

Threads: `_lock` is held while hits are taken, never while user code runs. `noticed` is a signal
handler: it takes no lock of its own and tells nothing, it only has the frame's events sent.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, Final

from nbdebug import errors
from nbdebug.engine import hardware as processor
from nbdebug.engine.checks import Hit
from nbdebug.engine.deferred import Deferred
from nbdebug.engine.hardware import HardwareWatch, MemoryHit, NoWatchSlot
from nbdebug.engine.locks import hold, new_lock
from nbdebug.engine.mechanisms import Mechanism, Tell
from nbdebug.engine.memory_targets import guard_of, holds_more, place_of
from nbdebug.engine.monitor import DISABLE
from nbdebug.engine.store_sites import content_sites, item_read_sites
from nbdebug.engine.threads import other_frames
from nbdebug.engine.traps import Stack, Traps
from nbdebug.engine.usercode import OWN_FOLDER, is_own
from nbdebug.engine.watch_model import Access, CodePlace, WatchSpec, Way
from nbdebug.engine.watch_sites import SiteCheck, SiteTable, joined_hit
from nbdebug.engine.watch_targets import ItemTarget, MemoryTarget, Target
from nbdebug.engine.watch_values import MISSING, is_same, remember

_PASSES: Final = 1000
"""So often a statement is asked whether it has hit, before it is asked no more."""
_ENGINE: Final = OWN_FOLDER + "engine"
_CALLBACK: Final = "on_instruction"
_BEGINS_THREADS: Final = "_bootstrap_inner"
_MOVING = (list, bytearray)


class HardwareWatches:
    """All hardware watches of the process, and the signal that tells of hits."""

    def __init__(
        self, deferred: Deferred, table: SiteTable, is_user: Callable[[FrameType], bool]
    ) -> None:
        self.traps = Traps(self._noticed)
        self._deferred, self._table, self._is_user = deferred, table, is_user
        self._threads = _Threads(self)
        self._lock = new_lock()
        self._open: list[MemoryWatch] = []
        self._is_noticing = False

    def offer(self, target: Target, spec: WatchSpec, tell: Tell) -> Mechanism | str:
        """See `mechanisms.Offer`. Raises NoWatchSlot where nothing else would do."""
        accesses = frozenset(spec.accesses)
        is_needed = spec.way is Way.EXACT or bool(accesses & {Access.READ, Access.WRITE})
        if not (is_needed or is_raw(target)) and holds_more(target):
            return ""  # what is in the item is watched with it
        try:
            found = MemoryWatch(self, self._table, target, accesses, tell)
        except errors.NotSupported as error:
            return str(error) if isinstance(target, ItemTarget) and is_needed else ""
        if accesses >= {Access.READ, Access.WRITE}:
            return "The processor doesn't tell a read from a write of an equal value."
        try:
            found.open()
        except NoWatchSlot as error:
            if is_needed or is_raw(target):
                raise
            return str(error)
        except errors.NotSupported as error:
            if is_raw(target):
                raise errors.NoAddressWatch(f"Memory can't be watched: {error}") from None
            return str(error)
        return found

    def can_serve(self, target: Target) -> bool:
        """True if there is a place that the processor could watch, while it has room."""
        if processor.why_not() is not None:
            return False
        try:
            span = place_of(target).span()
            return span is not None and bool(processor.parts_of(span))
        except errors.NotSupported:
            return False

    def opened(self) -> list["MemoryWatch"]:
        """Return the watches that are open."""
        return list(self._open)

    def gather(self) -> None:
        """Take the hits of all watches, each with the stack that was written down at it."""
        found = [(hit, one) for one in self._open for hit in one.gather()]
        found.sort(key=lambda pair: pair[0].time_ns)
        stacks = self.traps.take()
        for (hit, one), stack in zip(found, stacks, strict=False):
            one.stacks[hit] = stack

    def add(self, one: "MemoryWatch") -> None:
        """Have a watch's hits told, from now on."""
        if not self._open:
            self._table.add(self._threads)
        self._open = [*self._open, one]
        if processor.has_traps():
            self.traps.open(self._reopen)

    def remove(self, one: "MemoryWatch") -> None:
        """Have them told no more; its watchpoints are given back already."""
        if one not in self._open:
            return
        self._open = [other for other in self._open if other is not one]
        if not self._open:
            self.traps.close()
            self._table.remove(self._threads)

    def hold[T](self, call: Callable[[], T]) -> T:
        """Run ``call`` while no other thread takes hits."""
        return hold(self._lock, call)

    def forget_parent(self) -> None:
        """In a forked child: the parent's watches aren't its own."""
        self._lock = new_lock()
        self.close()

    def close(self) -> None:
        """Give everything back at once."""
        for one in self._open:
            one.close()
        self._open = []
        self.traps.close()

    # -- inside

    def _reopen(self) -> None:
        for one in self._open:
            one.open()

    def _noticed(self, frame: FrameType | None) -> None:
        """Have the threads that hit send an event at their next instruction. A signal handler."""
        if self._is_noticing:  # a hit of this very function's
            return
        self._is_noticing = True
        try:
            threads = {thread for one in self._open for thread in one.threads_that_hit()}
            if not threads:
                return
            own = threading.get_native_id()
            if own in threads:
                self._ask(get_ident(), frame)
            if threads - {own}:
                tops = other_frames()
                for thread in threading.enumerate():
                    if thread.native_id in threads - {own} and thread.ident is not None:
                        self._ask(thread.ident, tops.get(thread.ident))
        except Exception:  # a watch that is closed meanwhile; the next look finds what is lost
            return
        finally:
            self._is_noticing = False

    def _ask(self, ident: int, frame: FrameType | None) -> None:
        is_at_event = frame is not None and _is_callback(frame)
        while frame is not None and is_own(frame):
            frame = frame.f_back
        if is_at_event and frame is not None:
            self._deferred.ask(ident, frame, self._tell_now, is_at_event=True)
            return
        nearest = frame
        while nearest is not None and not self._is_user(nearest):
            nearest = nearest.f_back
        frame = nearest or frame
        if frame is not None:
            self._deferred.ask(ident, frame, self._tell_late)

    def _tell_now(self, frame: FrameType) -> Hit | None:
        return self._tell(frame, is_late=False)

    def _tell_late(self, frame: FrameType) -> Hit | None:
        return self._tell(frame, is_late=True)

    def _tell(self, frame: FrameType, is_late: bool) -> Hit | None:
        told = [one.told(frame, frame.f_lineno or 0, is_late=is_late) for one in self._open]
        return joined_hit([hit for hit in told if hit is not None])


class MemoryWatch:
    """One watched place: a Mechanism, and for the table of sites a SiteUser."""

    name = "hardware watchpoint"
    names: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    in_all_code = True
    follows_frames = False

    def __init__(
        self,
        all_: HardwareWatches,
        table: SiteTable,
        target: Target,
        accesses: frozenset[Access],
        tell: Tell,
    ) -> None:
        self.test: Callable[[object, object], Any] | None = None
        self.stacks: dict[MemoryHit, Stack] = {}
        self._all, self._table, self._target = all_, table, target
        self._accesses, self._tell = accesses, tell
        self._place = place_of(target)
        self._hardware: HardwareWatch | None = None
        self._guard: HardwareWatch | None = None
        self._has_traps = False
        self._value: object = MISSING
        self._passes: dict[tuple[int, int], int] = {}
        self._is_armed = False

    # -- what it says of itself

    @property
    def sees(self) -> str:
        """What it sees."""
        what = "reads and writes" if Access.READ in self._accesses else "writes"
        return f"{what} by any code, in C and in other threads too"

    @property
    def cannot_see(self) -> str:
        """What it finds only at the next check."""
        parts = ["writes by the system (readinto)", "by threads that aren't Python's"]
        if not self._all.traps.is_open:
            parts.append("in libraries")
        said = ", ".join(parts) + ": told at the next check"
        if Access.READ in self._accesses:
            said += "; a write of an equal value counts as a read"
        return said

    @property
    def cost(self) -> str:
        """What it costs."""
        used = sum(one.slots for one in (self._hardware, self._guard) if one is not None)
        return (
            f"nothing until it is hit, then some 0.1 ms; {used} of the processor's "
            f"{processor.SLOTS} watchpoints"
        )

    # -- the mechanism

    def open(self) -> None:
        """Take the processor's watchpoints. Raises NotSupported, NoWatchSlot."""
        self._all.hold(self._open)

    def close(self) -> None:
        """Give them back."""
        self._all.hold(self._close)

    def _open(self) -> None:
        self._close()
        self._has_traps = self._all.traps.is_open
        access = (
            processor.Access.READ_WRITE if Access.READ in self._accesses else processor.Access.WRITE
        )
        moving = guard_of(self._target)
        try:
            if moving is not None:
                self._guard = HardwareWatch(moving, traps=self._has_traps)
            self._hardware = HardwareWatch(self._place, access, traps=self._has_traps)
        except errors.NotSupported:
            self._close()
            raise

    def _close(self) -> None:
        for one in (self._hardware, self._guard):
            if one is not None:
                one.close()
        self._hardware = self._guard = None

    def arm(self) -> None:
        """Begin to see, from the value that is there now."""
        self._all.add(self)
        if self._hardware is None or self._has_traps is not self._all.traps.is_open:
            try:
                self.open()
            except BaseException:
                self._all.remove(self)
                raise
        with self._unseen():
            self._value = remember(self._target.read())
        self._is_armed = True
        self._table.add(self)

    def disarm(self) -> None:
        """See nothing more."""
        self._is_armed = False
        self._table.remove(self)
        self.close()
        self._all.remove(self)
        self._passes.clear()
        self.stacks.clear()

    def look(self) -> tuple[object, object] | None:
        """Compare now; return the value last known and the one that is there, if they differ."""
        found = self._all.hold(lambda: self._taken(follow=True))
        if not found.is_changed:
            return None
        if found.place is None:
            return found.before, found.value
        self._tell(None, 0, found.kind, found.before, found.value, found.place)
        return None

    def told(self, frame: FrameType, line: int, *, is_late: bool = False) -> Hit | None:
        """Tell of what has been hit; ``line`` is where no stack says better."""
        if is_late:
            self._ask_again()
        found = self._all.hold(self._taken)
        if found.is_changed:
            if not self._accesses - {Access.READ}:
                return None
            return self._tell_of(frame, line, found.kind, found, found.place)
        kind = "read" if Access.READ in self._accesses else "write"
        if Access(kind) not in self._accesses:
            return None
        told = [self._tell_of(frame, line, kind, found, place) for place in found.places]
        return joined_hit([hit for hit in told if hit is not None])

    def gather(self) -> list[MemoryHit]:
        """Return the hits since the last time; they are kept for the next look."""
        found = self._hardware.gather() if self._hardware is not None else []
        return found + (self._guard.gather() if self._guard is not None else [])

    def threads_that_hit(self) -> list[int]:
        """Return the native ids of the threads that have hit since the last look."""
        found = [one for one in (self._hardware, self._guard) if one is not None]
        return [thread for one in found for thread in one.threads_that_hit()]

    def follow_here(self) -> None:
        """Watch the calling thread, which has just begun."""
        for one in (self._hardware, self._guard):
            if one is not None:
                one.follow_here()

    # -- what the table asks

    def concerns(self, code: CodeType, frame: FrameType) -> bool:
        """See SiteUser."""
        return True

    def checks_in(self, code: CodeType) -> list[tuple[int, int, SiteCheck]]:
        """See SiteUser."""
        sites = {site.offset: site for site in content_sites(code)}
        if Access.READ in self._accesses:
            sites |= {site.offset: site for site in item_read_sites(code)}
        return [
            (site.after, 0, self._check(site.line, (id(code), site.offset)))
            for site in sites.values()
        ]

    def begins(self, frame: FrameType, is_start: bool) -> None:
        """See SiteUser."""

    def ends(self, frame: FrameType, yields: bool) -> None:
        """See SiteUser."""

    # -- inside

    def _check(self, line: int, key: tuple[int, int]) -> SiteCheck:
        def check(depth: int) -> Any:
            hardware, guard, passes = self._hardware, self._guard, self._passes
            if hardware is None:  # the place is gone, and may come again
                return self.told(sys._getframe(depth), line)
            if hardware.is_hit_here() or (guard is not None and guard.is_hit_here()):
                return self.told(sys._getframe(depth), line)
            passed = passes[key] = passes.get(key, 0) + 1
            return None if passed < _PASSES else DISABLE

        return check

    def _ask_again(self) -> None:
        """Ask every statement again: one that isn't asked any more has hit."""
        if self._passes:
            self._passes.clear()
            self._table.enable_again(self)

    def _taken(self, follow: bool = False) -> "_Found":
        """Return the value known before, the one now, and the hits between; they are forgotten."""
        self._all.gather()
        hits: tuple[MemoryHit, ...] = ()
        moves = self._guard.look(follow).hits if self._guard is not None else ()
        if self._hardware is not None:
            look = self._hardware.look(follow)
            hits = look.hits
            if look.new is None:
                self.close()
        elif self._is_armed and self._place.span() is not None:
            try:
                self.open()
            except errors.NotSupported:  # compared at each statement, then
                pass
        stacks, self.stacks = self.stacks, {}
        before, value = self._value, self._read()
        is_changed = not is_same(before, value)
        if is_changed:
            with self._unseen():
                self._value = remember(value)
        own = [hit for hit in hits if not _is_ours(stacks.get(hit, ()))]
        # What has moved was perhaps somebody else's memory when it was hit.
        at = [_innermost(stacks.get(hit, ())) for hit in own if not moves]
        own += [hit for hit in moves if not _is_ours(stacks.get(hit, ()))]
        last = max(own, key=lambda hit: hit.time_ns, default=None)
        if len(hits) >= processor.TRAPS:
            last = None  # there may have been later ones, that weren't told
        place = _innermost(stacks.get(last, ())) if last is not None else None
        return _Found(before, value, is_changed, tuple(at), place)

    def _read(self) -> object:
        with self._unseen():
            return self._target.read()

    def _unseen(self) -> contextlib.AbstractContextManager[None]:
        hardware = self._hardware
        return contextlib.nullcontext() if hardware is None else hardware.unseen()

    def _tell_of(
        self, frame: FrameType, line: int, kind: str, found: "_Found", at: CodePlace | None
    ) -> Hit | None:
        if at is not None and at.path == frame.f_code.co_filename:
            line, at = at.line, None
        with self._unseen():  # conditions and texts read the place, too
            return self._tell(frame, line, kind, found.before, found.value, at)


@dataclass(frozen=True, slots=True)
class _Found:
    """What has become of a place: ``places`` of the hits, None where nobody wrote a stack down."""

    before: object
    value: object
    is_changed: bool
    places: tuple[CodePlace | None, ...]
    place: CodePlace | None

    @property
    def kind(self) -> str:
        return "delete" if self.value is MISSING else "change"


class _Threads:
    """Has threads that begin watched from their first line on: a SiteUser of all these watches."""

    names: frozenset[str] = frozenset()
    functions = frozenset((_BEGINS_THREADS,))
    in_all_code = False
    follows_frames = True

    def __init__(self, all_: HardwareWatches) -> None:
        self._all = all_

    def concerns(self, code: CodeType, frame: FrameType) -> bool:
        return code is threading.Thread._bootstrap_inner.__code__  # type: ignore[attr-defined]

    def checks_in(self, code: CodeType) -> list[tuple[int, int, SiteCheck]]:
        return []

    def begins(self, frame: FrameType, is_start: bool) -> None:
        def follow() -> None:
            for one in self._all.opened():
                one.follow_here()

        if is_start:
            try:
                self._all.hold(follow)
            except errors.NotSupported:  # no room on this thread: the next look finds its writes
                pass

    def ends(self, frame: FrameType, yields: bool) -> None:
        pass


def is_raw(target: Target) -> bool:
    """True for bytes in memory, of which nothing but the processor can tell."""
    return isinstance(target, MemoryTarget)


def _innermost(stack: Stack) -> CodePlace | None:
    return stack[0] if stack else None


def _is_callback(frame: FrameType) -> bool:
    """True for the INSTRUCTION callback, which runs what waits for its frame before all else."""
    code = frame.f_code
    return code.co_name == _CALLBACK and code.co_filename.startswith(_ENGINE)


def _is_ours(stack: Stack) -> bool:
    """True for what the debugger has read or written, or what it evaluates at a stop."""
    return any(place.path.startswith(_ENGINE) for place in stack)
