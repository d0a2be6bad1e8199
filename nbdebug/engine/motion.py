"""How a client has threads move: step, run to a line, jump, pause, and what it may choose from.

Owns the targets that were offered, which live until the thread runs on; must not know events.
Called on a client's thread; what it says of a thread that runs is a moment's truth.
"""

import itertools
import os
import time
from types import FrameType

from nbdebug import errors
from nbdebug.engine.breakpoints import Breakpoints
from nbdebug.engine.calls import call_at, calls_to_come
from nbdebug.engine.inspection import Inspector
from nbdebug.engine.jumps import line_to_jump_to
from nbdebug.engine.model import CallTarget, Granularity, StepKind
from nbdebug.engine.parking import ParkedThread
from nbdebug.engine.sources import Sources
from nbdebug.engine.stepping import StepPlan
from nbdebug.engine.stops import Stops
from nbdebug.engine.tasks import Tasks
from nbdebug.engine.threads import Threads, top_frame

_SOON_S = 0.05
_LOOK_EVERY_S = 0.002
_TASKS_NAMED = 3


class Motion:
    """Steps, jumps and pauses of the user's threads."""

    def __init__(
        self,
        stops: Stops,
        breakpoints: Breakpoints,
        inspector: Inspector,
        sources: Sources,
        threads: Threads,
        tasks: Tasks,
    ) -> None:
        self._stops = stops
        self._breakpoints = breakpoints
        self._inspector = inspector
        self._sources = sources
        self._threads = threads
        self._tasks = tasks
        self._ids = itertools.count(1)
        # Each belongs to the stop of one thread, and so is void when that is another object.
        self._calls: dict[int, tuple[ParkedThread, FrameType, CallTarget]] = {}
        self._lines: dict[int, tuple[ParkedThread, int]] = {}

    # -- steps

    def step(
        self,
        thread_id: int,
        kind: StepKind,
        granularity: Granularity = Granularity.STATEMENT,
        target_id: int | None = None,
        single: bool = False,
    ) -> None:
        """Let a stopped thread make one step.

        Raises UnknownThread, NotStopped, ThreadIsRunning, UnknownTarget, IsOver.
        """
        parked = self._require_live(thread_id, kind)
        frame = parked.runs
        target = None
        if target_id is not None:
            owner, of, target = self._calls.get(target_id, (None, None, None))
            if owner is not parked or of is not frame:
                raise errors.UnknownTarget(f"There is no call {target_id} at this stop.")
        lines = (0, 0)
        if granularity is Granularity.STATEMENT or target is not None:
            statements = self._sources.statements(frame.f_code.co_filename)
            lines = statements.around(frame.f_lineno or 0)
        self._stops.step(thread_id, StepPlan(kind, granularity, lines, target), single)

    def step_in_targets(self, frame_id: int) -> list[tuple[int, CallTarget]]:
        """Return (id, call) of the calls to come in a frame's statement, none but in the top one.

        Raises UnknownFrame, NotStopped, ThreadIsRunning.
        """
        ident, frame = self._inspector.frame(frame_id)
        parked = self._require(self._threads.id_of(ident))
        if frame is not parked.runs or parked.stop.is_over:
            return []
        statements = self._sources.statements(frame.f_code.co_filename)
        found = calls_to_come(
            frame.f_code, frame.f_lineno or 0, frame.f_lasti, parked.is_calling, statements
        )
        self._calls = {next(self._ids): (parked, frame, call) for call in found}
        return [(id_, call) for id_, (_, _, call) in self._calls.items()]

    def resume(self, thread_id: int, single: bool = False) -> bool:
        """Let a stopped thread run on; return whether all others do.

        Raises UnknownThread, NotStopped, ThreadIsRunning.
        """
        self._require(thread_id)
        return self._stops.resume(thread_id, single)

    def run_to(self, thread_id: int, path: str, line: int, single: bool = False) -> None:
        """Let a stopped thread run on until some thread comes to a line, or stops before.

        Raises NoCodeAtLine, SourceUnavailable, UnknownThread, NotStopped, ThreadIsRunning, IsOver.
        """
        self._require_live(thread_id, "nbdebug/runTo")
        self._breakpoints.run_to(path, line)
        try:
            self._stops.resume(thread_id, single)
        except errors.NbdebugError:
            self._breakpoints.forget_cursor()
            raise

    # -- jumps

    def goto_targets(self, path: str, line: int) -> list[tuple[int, int]]:
        """Return (id, line) of where the stopped thread may jump to for a line of a source.

        Raises NotStopped, IsOver; CannotJump with the reason where it can't.
        """
        parked = self._stops.require_current()
        _check_live(parked, "gotoTargets")
        frame = parked.frame
        there = self._sources.canonical(path)
        if self._sources.canonical(frame.f_code.co_filename) != there:
            name = os.path.basename(frame.f_code.co_filename)
            raise errors.CannotJump(f"The thread is stopped in {name}: a jump stays there.")
        id_, to = next(self._ids), line_to_jump_to(frame.f_code, line)
        self._lines = {id_: (parked, to)}
        return [(id_, to)]

    def go_to(self, thread_id: int, target_id: int) -> None:
        """Have a stopped thread go on from a target's line; nothing runs.

        Raises UnknownTarget, CannotJump, UnknownThread, NotStopped, ThreadIsRunning, IsOver.
        """
        parked = self._require_live(thread_id, "goto")
        owner, line = self._lines.get(target_id, (None, 0))
        if owner is not parked:
            raise errors.UnknownTarget(f"There is no line {target_id} to jump to at this stop.")
        self._stops.go_to(thread_id, line)

    # -- pauses

    def pause(self, thread_id: int) -> str:
        """Have a thread stop as soon as it can; say what keeps it, "" if nothing does.

        Raises UnknownThread, IsOver; NothingRuns where it is idle.
        """
        ident = self._threads.ident_of(thread_id)
        parked = self._stops.parked(ident)
        if parked is not None:
            _check_live(parked, "pause")
            return f"Thread {thread_id} is stopped already."
        at = self._inspector.user_frame(ident)
        awaits = self._await_text(ident) if self._tasks.waits_in_loop(ident) else ""
        if at is None and not awaits:
            raise errors.NothingRuns(f"Nothing of yours runs in thread {thread_id}.")
        before = _position(ident)
        self._stops.pause(ident)
        if awaits:
            return awaits
        until = time.monotonic() + _SOON_S
        while ident in self._stops.asking.reasons and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
        if ident not in self._stops.asking.reasons or before != _position(ident):
            return ""
        return self._blocked_text(thread_id, ident)

    # -- inside

    def _require(self, thread_id: int) -> ParkedThread:
        """Return a thread that waits, or say why it doesn't."""
        try:
            return self._stops.require(thread_id)
        except errors.ThreadIsRunning:
            ident = self._threads.ident_of(thread_id)
            before = _position(ident)
            time.sleep(_LOOK_EVERY_S)
            if before != _position(ident):
                raise
            if self._inspector.user_frame(ident) is None:
                said = f"Thread {thread_id} isn't stopped: nothing of yours runs in it."
            else:
                said = f"Thread {thread_id} isn't stopped: it {self._blocked_in(ident)}."
            raise errors.ThreadIsRunning(said) from None

    def _require_live(self, thread_id: int, what: str) -> ParkedThread:
        """Return a thread that waits, and is to run on: what has ended can't move."""
        parked = self._require(thread_id)
        _check_live(parked, what)
        return parked

    def _await_text(self, ident: int) -> str:
        waiting = [task for task in self._tasks.of_thread(ident) if task.awaits]
        texts = []
        for task in waiting[:_TASKS_NAMED]:
            where = [f" at line {at.line} in {at.function}" for at in task.frames[:1]]
            texts.append(f"{task.name} awaits {task.awaits}{''.join(where)}")
        more = [f"{len(waiting) - len(texts)} more wait"] if len(waiting) > len(texts) else []
        return f"{'; '.join([*texts, *more])}. The first that goes on stops." if texts else ""

    def _blocked_text(self, thread_id: int, ident: int) -> str:
        return f"Thread {thread_id} {self._blocked_in(ident)}; it stops when that returns."

    def _blocked_in(self, ident: int) -> str:
        frame = self._inspector.user_frame(ident)
        if frame is None:
            return "is blocked"
        statements = self._sources.statements(frame.f_code.co_filename)
        call = call_at(frame.f_code, frame.f_lasti, statements)
        name = "" if call is None else f" in `{call.label.partition('(')[0]}`"
        return f"is blocked{name} at line {frame.f_lineno}"


def _check_live(parked: ParkedThread, what: str) -> None:
    if parked.stop.is_over:
        raise errors.IsOver(f"`{what}` can't be done in what has ended.")


def _position(ident: int) -> tuple[int, int]:
    top = top_frame(ident)
    return (0, 0) if top is None else (id(top), top.f_lasti)
