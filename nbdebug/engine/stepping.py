"""Steps: where a stepping thread is to stop next.

Owns the state of each step and decides, event by event; must not stop a thread itself. A step is
made on a client's thread before its thread runs on, and from then on belongs to that thread.

| the step sees | over | into | out |
|---|---|---|---|
| a line in its frame | stop | stop | go on |
| a line in a user frame that called it | stop | stop | stop |
| its frame returns (or a generator yields) to a user frame | stop there | stop there | stop there |
| its frame returns to a library | wait at the user frame below | same | same |
| a cell's statement ends | next statement | next statement | run free |
| a coroutine of its awaits | go on | go on | go on |
| user code starts in its thread | go on | stop at its first line | go on |
"""

import inspect
import threading
from dataclasses import dataclass, field
from types import FrameType

from nbdebug.engine import monitor
from nbdebug.engine.model import StepKind
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.sources import is_top_level, is_type_parameters
from nbdebug.engine.threads import thread_of
from nbdebug.engine.usercode import UserCode

PURPOSE = "step"
_AWAITING = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
_FRAME_EVENTS = monitor.LINE | monitor.PY_RETURN | monitor.PY_YIELD


@dataclass(slots=True)
class Step:
    """One step of one thread.

    ``home`` is the frame that is stepped in. ``below`` is a library frame whose return brings the
    thread back to a user frame. ``follow`` is the file of the cell whose next statement is awaited.
    ``arriving`` is a frame that was just entered, to be stopped at its first line.
    """

    ident: int
    kind: StepKind
    home: FrameType | None
    thread: threading.Thread | None = None
    callers: dict[int, FrameType] = field(default_factory=dict)
    below: FrameType | None = None
    follow: str | None = None
    last_line: int = 0
    arriving: FrameType | None = None

    @property
    def wants_starts(self) -> bool:
        """True while new frames matter to it."""
        return self.kind is StepKind.INTO or self.follow is not None


class Stepper:
    """The steps under way, one at most for each thread."""

    def __init__(self, monitor_: Monitor, user_code: UserCode) -> None:
        self.steps: dict[int, Step] = {}
        self._monitor = monitor_
        self._user_code = user_code

    @property
    def wants_starts(self) -> bool:
        """True while new frames matter to some step."""
        return any(step.wants_starts for step in list(self.steps.values()))

    def step_of(self, ident: int) -> Step | None:
        """Return the calling thread's step. One of a thread that ended with this ident is over."""
        step = self.steps.get(ident)
        if step is None or step.thread is thread_of(ident):
            return step
        self.end(ident)
        return None

    def begin(self, ident: int, kind: StepKind, frame: FrameType) -> None:
        """Have the thread ``ident``, stopped in ``frame``, stop again after one step."""
        step = Step(ident, kind, frame, thread_of(ident), last_line=frame.f_lineno or 0)
        caller = self._user_code.nearest(frame.f_back)
        while caller is not None:
            step.callers[id(caller)] = caller
            caller = self._user_code.nearest(caller.f_back)
        self.steps[ident] = step
        # By id: a code object's hash is made of all that is in it.
        masks = {id(c.f_code): (c.f_code, monitor.LINE) for c in step.callers.values()}
        masks[id(frame.f_code)] = frame.f_code, _FRAME_EVENTS
        self._monitor.arm_all(masks.values(), PURPOSE)
        self._watch_starts()

    def end(self, ident: int) -> None:
        """Forget the thread's step, if it has one."""
        if self.steps.pop(ident, None) is None:
            return
        if not self.steps:
            self._monitor.disarm_all(PURPOSE)
        self._watch_starts()

    def end_all(self) -> None:
        """Forget every step."""
        for ident in list(self.steps):
            self.end(ident)

    def stops_at_line(self, step: Step, frame: FrameType, line: int) -> bool:
        """Decide at a LINE event of the step's thread."""
        if frame is step.arriving:
            step.arriving = None
            same_line = step.follow is not None and line == step.last_line
            step.home, step.follow, step.below, step.last_line = frame, None, None, line
            return not same_line
        if frame is step.home:
            step.last_line = line
            return step.kind is not StepKind.OUT
        return id(frame) in step.callers

    def stops_at_return(self, step: Step, frame: FrameType, yields: bool) -> FrameType | None:
        """Decide at a PY_RETURN or PY_YIELD event: the caller's frame to stop in, or None."""
        if frame is step.below:
            step.below = None
            return self._user_code.nearest(frame.f_back)
        if frame is not step.home or (yields and _awaits(frame)):
            return None
        caller = self._user_code.nearest(frame.f_back)
        if caller is None:
            self._leave_outermost(step, frame)
            return None
        if frame.f_back is caller:
            return caller
        step.home = None
        step.below = _called_by(caller, frame)
        self._monitor.arm(step.below.f_code, PURPOSE, monitor.PY_RETURN | monitor.PY_YIELD)
        if _is_part_of(frame, caller) and step.kind is not StepKind.OUT:
            step.follow, step.last_line = frame.f_code.co_filename, frame.f_lineno or 0
            self._watch_starts()
        return None

    def enters(self, step: Step, frame: FrameType) -> None:
        """Take note of a frame that starts or resumes in the step's thread."""
        code = frame.f_code
        if step.follow is not None:
            wanted = is_top_level(code) and code.co_filename == step.follow
        else:
            wanted = self._user_code.is_user(frame) and not is_type_parameters(code)
        if wanted:
            self._arrive(step, frame)

    def _arrive(self, step: Step, frame: FrameType) -> None:
        if step.home is not None and frame is not step.home:
            step.callers.setdefault(id(step.home), step.home)
        step.arriving = frame
        self._monitor.arm(frame.f_code, PURPOSE, _FRAME_EVENTS)

    def _leave_outermost(self, step: Step, frame: FrameType) -> None:
        # IPython compiles each statement of a cell on its own: the next one is the same frame to
        # the user.
        step.home = None
        if is_top_level(frame.f_code) and step.kind is not StepKind.OUT:
            step.follow, step.last_line = frame.f_code.co_filename, frame.f_lineno or 0
            self._watch_starts()
        else:
            self.end(step.ident)

    def _watch_starts(self) -> None:
        self._monitor.want_globally(PURPOSE, monitor.STARTS if self.wants_starts else 0)
        if any(step.kind is StepKind.INTO for step in list(self.steps.values())):
            self._monitor.look_again()


def _awaits(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & _AWAITING)


def _is_part_of(frame: FrameType, caller: FrameType) -> bool:
    """True for a statement of a cell's body that the cell's own first line, a magic, runs."""
    codes = frame.f_code, caller.f_code
    return all(map(is_top_level, codes)) and codes[0].co_filename == codes[1].co_filename


def _called_by(caller: FrameType, frame: FrameType) -> FrameType:
    while frame.f_back is not None and frame.f_back is not caller:
        frame = frame.f_back
    return frame
