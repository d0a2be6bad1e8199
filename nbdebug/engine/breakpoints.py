"""Breakpoints as the user means them: all of them, by id, and every change of them.

Owns the list and its lock; where each is and what it decides is for placement and checks, which
code it is bound to for bindings. Any thread may call.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import CodeType, FrameType

from nbdebug import errors
from nbdebug.engine.bindings import CURSOR, Bindings
from nbdebug.engine.checks import Breakpoint, Hit, Reports, check_spec
from nbdebug.engine.locks import locked, new_lock
from nbdebug.engine.model import (
    BreakpointInfo,
    BreakpointSpec,
    FunctionTarget,
    LineTarget,
    StopReason,
)
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.placement import judge, wanted_line
from nbdebug.engine.sources import Sources

_CURSOR_ID = 0  # the user's count from 1


class Breakpoints:
    """All breakpoints of the process.

    One that a client listed belongs to that client's lists; one that `add` made stays until it is
    removed, or until a client names its line and so takes it over.
    """

    def __init__(
        self,
        monitor_: Monitor,
        sources: Sources,
        reports: Reports,
        ids: Iterator[int] | None = None,
    ) -> None:
        self.reports = reports
        self.bindings = Bindings(lambda: list(self._all.values()), monitor_, sources, reports)
        self._sources = sources
        self._all: dict[int, Breakpoint] = {}
        self._ids = ids or itertools.count(1)
        self.cursor: Breakpoint | None = None
        """Where the user wants the program to run to, until the next stop."""
        # Held while breakpoints change and while code is bound; never while user code runs.
        self._lock = new_lock()

    # -- what clients ask for

    @locked
    def set_lines(
        self, path: str, specs: Sequence[BreakpointSpec], keep_extras: bool, cell: str = ""
    ) -> list[BreakpointInfo]:
        """Make ``specs`` the client's breakpoints in the source ``path``; return each as it is.

        One that was there keeps its id and hits. With ``keep_extras`` a plain spec keeps the
        condition, hit condition and log message that the line already has. ``cell`` is the id of
        the one cell whose breakpoints they are, if others have the same path.
        """
        there = [
            b
            for b in self.bindings.lines_in(self._sources.canonical(path))
            if isinstance(b.spec.target, LineTarget)
            and b.spec.target.cell == cell
            and b.origin != CURSOR
        ]
        kept: list[Breakpoint] = []
        for spec in specs:
            known = _at_line(spec, [b for b in there if b not in kept])
            if known is None:
                known = self._new(spec, "client")
            elif not (keep_extras and spec.is_plain):
                known.change(replace(spec, target=known.spec.target))
            known.origin = "client"
            kept.append(known)
        return self._replace(there, kept)

    @locked
    def set_functions(self, specs: Sequence[BreakpointSpec]) -> list[BreakpointInfo]:
        """Make ``specs`` the client's function breakpoints; return each as it is."""
        there = [b for b in self._all.values() if isinstance(b.spec.target, FunctionTarget)]
        kept: list[Breakpoint] = []
        for spec in specs:
            same = (b for b in there if b.spec.target == spec.target and b not in kept)
            known = next(same, None) or self._new(spec, "client")
            known.change(spec)
            known.origin = "client"
            kept.append(known)
        return self._replace(there, kept)

    @locked
    def add(self, spec: BreakpointSpec) -> BreakpointInfo:
        """Add one breakpoint beside those of clients' lists.

        Where the line or function has one already, that one takes over the new conditions. Raises
        BadCondition or BadHitCondition, and nothing is added.
        """
        check_spec(spec)
        same = (b for b in self._all.values() if b.spec.target == spec.target)
        known = next((b for b in same if b.origin != CURSOR), None) or self._new(spec, "user")
        known.change(spec)
        judge(known, self._sources)
        self.bindings.refresh()
        self.reports.changed(known.info(), "new")
        return known.info()

    @locked
    def remove(self, ids: Iterable[int]) -> list[BreakpointInfo]:
        """Remove the breakpoints; return them as they were. Raises UnknownBreakpoint."""
        found = [self._get(id_) for id_ in ids]
        for breakpoint_ in found:
            self._all.pop(breakpoint_.id, None)
        return self._changed(found, "removed")

    @locked
    def enable(self, ids: Iterable[int], enabled: bool) -> list[BreakpointInfo]:
        """Turn breakpoints on or off; what they count and where they are stays."""
        found = [self._get(id_) for id_ in ids]
        for breakpoint_ in found:
            breakpoint_.enabled = enabled
        return self._changed(found, "changed")

    @locked
    def clear(self, of_clients_only: bool = False) -> None:
        """Remove every breakpoint, or those that clients have listed."""
        kept = [b for b in self._all.values() if of_clients_only and b.origin == "user"]
        self.cursor = None
        self._all = {b.id: b for b in kept}
        self.bindings.refresh()

    @locked
    def infos(self) -> list[BreakpointInfo]:
        """Return all breakpoints in the order in which they were set."""
        return [b.info() for b in self._all.values() if b.origin != CURSOR]

    @locked
    def run_to(self, path: str, line: int) -> None:
        """Have whichever thread first comes to a line stop there, unless it stops before.

        Raises NoCodeAtLine where the line has no code, SourceUnavailable.
        """
        self._forget_cursor()
        cursor = Breakpoint(_CURSOR_ID, BreakpointSpec(LineTarget(path, line)), CURSOR)
        judge(cursor, self._sources)
        if cursor.line is None and cursor.is_live:
            raise errors.SourceUnavailable(cursor.message)
        if cursor.line is None:
            raise errors.NoCodeAtLine(cursor.message)
        if cursor.line != line:
            said = f"Line {line} has no code: the next that has some is {cursor.line}."
            raise errors.NoCodeAtLine(said)
        self._all[cursor.id] = self.cursor = cursor
        self.bindings.refresh()

    @locked
    def end_run_to(
        self, cursor: Breakpoint, reason: StopReason, hit: Hit | None
    ) -> tuple[StopReason, Hit | None]:
        """Take the cursor away at a stop; return the stop's reason and hit without it."""
        if self.cursor is cursor:
            self._forget_cursor()
            self.bindings.refresh()
        if hit is None or cursor.id not in hit.ids:
            return reason, hit
        others = tuple(id_ for id_ in hit.ids if id_ != cursor.id)
        if others:
            return reason, replace(hit, ids=others)
        return StopReason.STEP, Hit((), says="Ran to the cursor, at")

    @locked
    def forget_cursor(self) -> None:
        """Take the cursor away: what was to run to it has ended."""
        if self.cursor is not None:
            self._forget_cursor()
            self.bindings.refresh()

    @locked
    def judge_again(self, path: str) -> None:
        """Look at the breakpoints in a source once more: more is known of it now."""
        found = self.bindings.lines_in(self._sources.canonical(path))
        for breakpoint_ in found:
            before = breakpoint_.info()
            judge(breakpoint_, self._sources)
            if breakpoint_.info() != before:
                self.reports.changed(breakpoint_.info(), "changed")
        if found:
            self.bindings.refresh()

    # -- what events ask

    @locked
    def look(self, code: CodeType, frame: FrameType) -> None:
        """Bind what belongs into ``code``, which ``frame`` runs."""
        self.bindings.look(code, frame)

    @locked
    def new_run(self) -> None:
        """Take note that a cell is run."""
        self.bindings.new_run()

    def forget_parent(self) -> None:
        """In a forked child: another thread may have held the lock at the fork."""
        self._lock = new_lock()

    # -- inside

    def _forget_cursor(self) -> None:
        if self.cursor is not None:
            self._all.pop(self.cursor.id, None)
            self.cursor = None

    def _new(self, spec: BreakpointSpec, origin: str) -> Breakpoint:
        breakpoint_ = Breakpoint(next(self._ids), spec, origin)
        self._all[breakpoint_.id] = breakpoint_
        return breakpoint_

    def _get(self, id_: int) -> Breakpoint:
        try:
            return self._all[id_]
        except KeyError:
            raise errors.UnknownBreakpoint(f"There is no breakpoint {id_}.") from None

    def _replace(self, there: list[Breakpoint], kept: list[Breakpoint]) -> list[BreakpointInfo]:
        """Drop what a client's new list has left out; return the list as it is now."""
        for old in there:
            if old.origin == "client" and old not in kept:
                del self._all[old.id]
        for breakpoint_ in kept:
            judge(breakpoint_, self._sources)
        self.bindings.refresh()
        return [b.info() for b in kept]

    def _changed(self, found: list[Breakpoint], reason: str) -> list[BreakpointInfo]:
        self.bindings.refresh()
        for breakpoint_ in found:
            self.reports.changed(breakpoint_.info(), reason)
        return [b.info() for b in found]


def _at_line(spec: BreakpointSpec, there: list[Breakpoint]) -> Breakpoint | None:
    """Return the breakpoint that the client means: by the line asked for, else where it went."""
    line = wanted_line(spec)
    asked = (b for b in there if wanted_line(b.spec) == line)
    return next(asked, None) or next((b for b in there if b.line == line), None)
