"""Steps: where a stepping thread is to stop next.

Owns the state of each step and decides, event by event; must not stop a thread itself. A step is
made on a client's thread before its thread runs on, and from then on belongs to that thread.

| the step sees | over | into | out |
|---|---|---|---|
| another statement in its frame | stop | stop | go on |
| a line of the same statement | go on; stop, if it goes by lines | same | go on |
| an instruction in its frame | stop, if it goes by instructions | same | same, once it is out |
| a line in a user frame that called it | stop | stop | stop |
| its frame returns (or a generator yields) to a user frame | stop there | stop there | stop there |
| its frame returns to a library | wait at the user frame below | same | same |
| its task ends | wait for the next line of the task that awaits it | same | same |
| its frame is left by an exception | wait for a line of a frame that called it | same | same |
| a cell's statement ends | next statement | next statement | run free |
| a coroutine of its awaits, and other tasks run | go on | go on | go on |
| a user frame that it called starts | go on | stop at its first line | go on |
| the same, with a call named as target | - | stop, if that call started it | - |
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import CodeType, FrameType

from nbdebug.engine import monitor
from nbdebug.engine.code_flags import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_ITERABLE_COROUTINE,
)
from nbdebug.engine.model import CallTarget, Granularity, Returned, StepKind
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.returns import ReturnedValues, code_of
from nbdebug.engine.sources import is_top_level, is_type_parameters, passes_exception
from nbdebug.engine.threads import thread_of
from nbdebug.engine.usercode import UserCode

PURPOSE = "step"
_AWAITING = CO_COROUTINE | CO_ITERABLE_COROUTINE
_SUSPENDS = _AWAITING | CO_GENERATOR | CO_ASYNC_GENERATOR
_FRAME_EVENTS = monitor.LINE | monitor.PY_RETURN | monitor.PY_YIELD


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a client asks of a step.

    ``lines`` are the first and last line of the statement that the frame is in. ``target`` is the
    one call to step into.
    """

    kind: StepKind
    granularity: Granularity = Granularity.LINE
    lines: tuple[int, int] = (0, 0)
    target: CallTarget | None = None


@dataclass(slots=True)
class Step:
    """One step of one thread.

    ``home`` is the frame that is stepped in, and ``start`` the offset where it stood. ``below`` is
    a library frame whose return brings the thread back to a user frame. ``follow`` is the file of
    the cell whose next statement is awaited. ``arriving`` is a frame that was just entered, to be
    stopped at its first line. ``root`` is the outermost coroutine of its task, if it is in one.
    ``awaited`` is the code of the target's coroutine, which is called first and starts later.
    """

    ident: int
    plan: StepPlan
    home: FrameType | None
    returned: ReturnedValues
    thread: threading.Thread | None = None
    start: int = 0
    callers: dict[int, FrameType] = field(default_factory=dict)
    below: FrameType | None = None
    follow: str | None = None
    last_line: int = 0
    arriving: FrameType | None = None
    root: FrameType | None = None
    awaited: CodeType | None = None

    @property
    def kind(self) -> StepKind:
        """Which way of stepping it is."""
        return self.plan.kind

    @property
    def wants_starts(self) -> bool:
        """True while new frames matter to it."""
        return self.kind is StepKind.INTO or self.follow is not None

    @property
    def frame_events(self) -> int:
        """The events that it wants of the frame it is in."""
        by_instruction = self.plan.granularity is Granularity.INSTRUCTION
        return _FRAME_EVENTS | (monitor.INSTRUCTION if by_instruction else 0)


class Stepper:
    """The steps under way, one at most for each thread.

    ``awaiter_of`` gives, for the outermost frame of a task, the frame that awaits the task.
    """

    def __init__(self, monitor_: Monitor, user_code: UserCode) -> None:
        self.steps: dict[int, Step] = {}
        self.awaiter_of: Callable[[FrameType], FrameType | None] = lambda frame: None
        self._monitor = monitor_
        self._user_code = user_code

    @property
    def wants_starts(self) -> bool:
        """True while new frames matter to some step."""
        return any(step.wants_starts for step in list(self.steps.values()))

    @property
    def wants_instructions(self) -> bool:
        """True while some step goes by instructions."""
        steps = list(self.steps.values())
        return any(step.plan.granularity is Granularity.INSTRUCTION for step in steps)

    def step_of(self, ident: int) -> Step | None:
        """Return the calling thread's step. One of a thread that ended with this ident is over."""
        step = self.steps.get(ident)
        if step is None or step.thread is thread_of(ident):
            return step
        self.end(ident)
        return None

    def begin(self, ident: int, plan: StepPlan, frame: FrameType) -> None:
        """Have the thread ``ident``, stopped in ``frame``, stop again after one step."""
        returned = ReturnedValues(self._monitor, self._user_code, frame, ident)
        step = Step(ident, plan, frame, returned, thread_of(ident), frame.f_lasti)
        step.last_line = frame.f_lineno or 0
        step.root = _outermost_coroutine(frame)
        caller = self._user_code.nearest(frame.f_back)
        while caller is not None:
            step.callers[id(caller)] = caller
            caller = self._user_code.nearest(caller.f_back)
        self.steps[ident] = step
        # By id: a code object's hash is made of all that is in it.
        masks = {id(c.f_code): (c.f_code, monitor.LINE) for c in step.callers.values()}
        masks[id(frame.f_code)] = frame.f_code, step.frame_events
        self._monitor.arm_all(masks.values(), PURPOSE)
        self._watch_starts()

    def end(self, ident: int) -> Sequence[Returned]:
        """Forget the thread's step, if it has one; return what its calls returned."""
        step = self.steps.pop(ident, None)
        if step is None:
            return ()
        step.returned.end()
        if not self.steps:
            self._monitor.disarm_all(PURPOSE)
        self._watch_starts()
        return step.returned.values

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
            if same_line:
                step.returned.go_on_in(frame)
            return not same_line
        if frame is step.home:
            step.last_line = line
            return step.kind is not StepKind.OUT and not _goes_on(step, frame, line)
        return id(frame) in step.callers

    def stops_at_instruction(self, step: Step, frame: FrameType) -> bool:
        """Decide at an INSTRUCTION event of the step's thread."""
        if step.plan.granularity is not Granularity.INSTRUCTION:
            return False
        if frame is step.arriving:
            return self.stops_at_line(step, frame, frame.f_lineno or 0)
        if frame is not step.home or step.kind is StepKind.OUT:
            return False
        # What stopped at a line's beginning hasn't yet sent the event of its instruction.
        start, step.start = step.start, -1
        return frame.f_lasti != start

    def stops_at_return(
        self, step: Step, frame: FrameType, value: object, yields: bool
    ) -> FrameType | None:
        """Decide at a PY_RETURN or PY_YIELD event: the caller's frame to stop in, or None."""
        if frame is step.below:
            step.below = None
            return self._user_code.nearest(frame.f_back)
        if frame is not step.home:
            if not yields:
                step.returned.returns(frame, value)
            return None
        if yields and _awaits(frame, value):
            return None
        if not is_top_level(frame.f_code):
            step.returned.left(frame, value)
        caller = self._user_code.nearest(frame.f_back)
        if caller is not None and frame.f_back is caller:
            return caller
        if self._hand_over(step, frame):
            return None
        if caller is None:
            self._leave_outermost(step, frame)
        else:
            step.home = None
            step.below = _called_by(caller, frame)
            self._monitor.arm(step.below.f_code, PURPOSE, monitor.PY_RETURN | monitor.PY_YIELD)
            if _is_part_of(frame, caller) and step.kind is not StepKind.OUT:
                step.follow, step.last_line = frame.f_code.co_filename, frame.f_lineno or 0
                self._watch_starts()
        return None

    def unwinds(self, step: Step, frame: FrameType) -> None:
        """Take note of a frame of the step's thread that an exception leaves."""
        if frame is step.root or frame is step.home:
            self._hand_over(step, frame)

    def calls(self, step: Step, offset: int, called: object) -> bool:
        """Take note of a call in the step's frame; False if its place doesn't matter again."""
        target = step.plan.target
        if target is not None and offset == target.first:
            code = code_of(called)
            step.awaited = code if code is not None and code.co_flags & _SUSPENDS else None
        return step.returned.calls(called)

    def enters(self, step: Step, frame: FrameType) -> None:
        """Take note of a frame that starts or resumes in the step's thread."""
        code = frame.f_code
        if step.follow is not None:
            wanted = is_top_level(code) and code.co_filename == step.follow
        else:
            wanted = self._user_code.is_user(frame) and not is_type_parameters(code)
            wanted = wanted and _was_called(step, frame)
        if wanted:
            self._arrive(step, frame)

    def _arrive(self, step: Step, frame: FrameType) -> None:
        if step.home is not None and frame is not step.home:
            step.callers.setdefault(id(step.home), step.home)
        step.arriving = frame
        self._monitor.arm(frame.f_code, PURPOSE, step.frame_events)

    def _hand_over(self, step: Step, frame: FrameType) -> bool:
        """Have the step go on in the frame, if there is one, that the end of its task will wake."""
        awaiter = self.awaiter_of(frame) if frame.f_code.co_flags & _AWAITING else None
        if awaiter is None:
            return False
        step.home = step.root = awaiter
        step.plan = replace(step.plan, kind=StepKind.OVER, lines=(0, 0), target=None)
        self._monitor.arm(awaiter.f_code, PURPOSE, step.frame_events)
        self._watch_starts()
        return True

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
        in_task = any(step.root is not None for step in list(self.steps.values()))
        starts = monitor.STARTS if self.wants_starts else 0
        self._monitor.want_globally(PURPOSE, starts | (monitor.PY_UNWIND if in_task else 0))
        if any(step.kind is StepKind.INTO for step in list(self.steps.values())):
            self._monitor.look_again()


def _goes_on(step: Step, frame: FrameType, line: int) -> bool:
    """True for a line of the statement that the step began in, unless it has begun anew.

    What goes back to where the statement began, or before it, is a loop.
    """
    first, last = step.plan.lines
    if passes_exception(frame.f_code, frame.f_lasti):
        return step.plan.granularity is not Granularity.INSTRUCTION
    return first < last and first <= line <= last and frame.f_lasti > step.start


def _was_called(step: Step, frame: FrameType) -> bool:
    """True for a frame that the step's frame, or the library that this returned to, has called.

    While a coroutine awaits, frames of other tasks start and resume, too.
    """
    origin = step.home or step.below
    one: FrameType | None = frame
    while one is not None and one is not origin:
        one = one.f_back
    if origin is None or one is None:
        return False
    target = step.plan.target
    if target is None or frame is origin:
        return target is None
    return target.first <= origin.f_lasti < target.end or frame.f_code is step.awaited


def _awaits(frame: FrameType, value: object) -> bool:
    """True where a frame yields to its event loop, False where a generator yields a value."""
    flags = frame.f_code.co_flags
    if flags & CO_ASYNC_GENERATOR:
        return type(value).__name__ != "async_generator_wrapped_value"
    return bool(flags & _AWAITING)


def _outermost_coroutine(frame: FrameType) -> FrameType | None:
    found, one = None, frame
    while one.f_code.co_flags & _SUSPENDS:
        found = one if one.f_code.co_flags & _AWAITING else found
        if one.f_back is None:
            break
        one = one.f_back
    return found


def _is_part_of(frame: FrameType, caller: FrameType) -> bool:
    """True for a statement of a cell's body that the cell's own first line, a magic, runs."""
    codes = frame.f_code, caller.f_code
    return all(map(is_top_level, codes)) and codes[0].co_filename == codes[1].co_filename


def _called_by(caller: FrameType, frame: FrameType) -> FrameType:
    while frame.f_back is not None and frame.f_back is not caller:
        frame = frame.f_back
    return frame
