"""What a client may see and change at a stop.

Owns the frame ids and variable references; must not know how threads stop. Called on a client's
thread; what touches the user's objects is asked of the stopped thread, which does it in its own
frame, and every such wait has a limit.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any, Literal, cast

from nbdebug import errors
from nbdebug.engine import evaluate, failures, looking
from nbdebug.engine.bounded import Bounded
from nbdebug.engine.evaluate import Frame, FrameWith
from nbdebug.engine.failures import NAME, Failure, Place
from nbdebug.engine.model import (
    BreakMode,
    ExceptionDetails,
    FrameInfo,
    Limits,
    Location,
    Scope,
    ThreadInfo,
    Variable,
)
from nbdebug.engine.parking import ParkedThread
from nbdebug.engine.reentry import with_events
from nbdebug.engine.stacks import Stacks
from nbdebug.engine.stops import Stops
from nbdebug.engine.threads import Threads, top_frame
from nbdebug.engine.usercode import UserCode
from nbdebug.engine.variables import VariableStore
from nbdebug.engine.watch_targets import Target, resolve, sized

_LOOK_LIMIT_S = 5.0
_LONG = 10_000  # items or characters


class Inspector:
    """Stacks, variables and evaluation for the present stop, and variables while there is none."""

    def __init__(
        self,
        stops: Stops,
        threads: Threads,
        user_code: UserCode,
        limits: Limits,
        awaiting_frames: Callable[[int], list[FrameType]],
    ) -> None:
        self._awaiting_frames = awaiting_frames
        self.bounded = Bounded()
        self.hidden: Callable[[str, object, dict[str, Any]], bool] | None = None
        """Says of a global (name, value, namespace) whether it is the host's, not the user's."""
        self.around: Callable[[], AbstractContextManager[Any]] = nullcontext
        """What is entered around the user's text; the host may turn off what can't work there."""
        self._stops = stops
        self._threads = threads
        self._user_code = user_code
        self._limits = limits
        self._stacks = Stacks(user_code)
        self._references = itertools.count(1000)
        self._variables = self._new_store(run_code=True)
        self._idle_variables = self._new_store(run_code=False)
        stops.on_leave = self._forget
        stops.holding = self.bounded.unlimited

    @property
    def limits(self) -> Limits:
        """What a look may cost."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = self._variables.limits = self._idle_variables.limits = limits

    # -- threads and stacks: no user code runs for them

    def threads(self) -> list[ThreadInfo]:
        """Return the user threads."""
        self._threads.forget_dead()
        stopped = set(self._stops.thread_ids())
        return [
            ThreadInfo(id_, name, "stopped" if id_ in stopped else "running")
            for ident, name in self._threads.users().items()
            for id_ in (self._threads.id_of(ident),)
        ]

    def stack(self, thread_id: int, start: int = 0, levels: int = 0) -> tuple[list[FrameInfo], int]:
        """Return a page of a thread's frames and the stack's depth; ``levels`` 0 means all.

        A thread that runs no user code, for its tasks wait, shows where one of them does. Raises
        UnknownThread.
        """
        ident = self._threads.ident_of(thread_id)
        parked = self._stops.parked(ident)
        if parked is None:
            self._stacks.forget(ident)  # it runs: what was told of it holds no more
        return self._stacks.describe(ident, self._stack(ident, parked), start, levels)

    def user_frame(self, ident: int) -> FrameType | None:
        """Return the innermost user frame that a thread runs now, or None."""
        return self._user_code.nearest(top_frame(ident))

    def frame(self, frame_id: int) -> tuple[int, FrameType]:
        """Return (thread ident, frame) of a frame id. Raises UnknownFrame."""
        return self._stacks.frame(frame_id)

    # -- exceptions

    def exception(self, thread_id: int) -> tuple[BreakMode, ExceptionDetails]:
        """Return the exception that a thread is stopped for. Raises UnknownThread, NoException."""
        parked = self._stops.parked(self._threads.ident_of(thread_id))
        failure = None if parked is None else parked.failure
        if parked is None or failure is None:
            raise errors.NoException(f"Thread {thread_id} isn't stopped at an exception.")
        limit_s = _LOOK_LIMIT_S + self._limits.repr_s * 20
        return failure.mode, parked.ask(lambda: self._details(failure, parked), limit_s)

    def failure_of(self, error: BaseException) -> Failure:
        """Return a post-mortem's failure: an exception with the frames of its traceback.

        Runs on the thread that will be held: it asks the exception for its text. Raises NoFailure.
        """
        places = self.failed_places(error)
        title = failures.title_of(error, self.bounded, self._limits)
        return Failure(error, BreakMode.NEVER, title, places, is_over=True)

    def failed_places(self, error: BaseException) -> tuple[Place, ...]:
        """Return the frames of an exception's traceback that a post-mortem shows, innermost first.

        Raises NoFailure if none is the user's.
        """
        places = failures.places_of(error.__traceback__, self._user_code)
        if not places or not self._user_code.is_user(places[0].frame):
            raise errors.NoFailure("No code of yours is in the last traceback.")
        return places

    def failed_variables(self, place: Place) -> list[Variable]:
        """Return the variables of a traceback's frame while nothing is stopped; runs no code."""
        return self._new_store(run_code=False).namespace(dict(place.frame.f_locals))

    def _details(self, failure: Failure, parked: ParkedThread) -> ExceptionDetails:
        def trace(error: BaseException) -> str:
            places = failures.places_of(error.__traceback__, self._user_code)
            if error is failure.error and not failure.places:  # the callers are there still
                outer = self._stacks.frames_of(parked.frame)[1:]
                places += tuple(failures.place_of(frame) for frame in outer)
            return failures.trace_text(places)

        def text(error: BaseException) -> str:
            return failures.text_of(error, self.bounded, self._limits)

        return failures.details_of(failure.error, text, trace)

    # -- on the stopped thread

    def scopes(self, frame_id: int) -> list[Scope]:
        """Return a frame's scopes. Raises UnknownFrame, NotStopped."""
        ident, frame = self._stacks.frame(frame_id)
        parked = self._stops.parked(ident)
        is_top = parked is not None and parked.frame is frame
        error = self._error_of(parked) if is_top else None
        returned = parked.returned if parked is not None and is_top else ()
        return self._ask(
            ident, lambda: self._variables.scopes(frame, returned, error), _LOOK_LIMIT_S
        )

    def variables(
        self,
        reference: int,
        start: int = 0,
        count: int = 0,
        filter_: Literal["indexed", "named"] | None = None,
    ) -> list[Variable]:
        """Return a page of what a reference holds. Raises StaleReference."""
        if self._stops.current is None:
            return self._idle_variables.children(reference, start, count, filter_)
        current = self._stops.require_current()
        return current.ask(
            lambda: self._variables.children(reference, start, count, filter_),
            # A page of values each of whose repr takes as long as it may.
            _LOOK_LIMIT_S + self._limits.repr_s * 20,
        )

    def location(self, reference: int) -> Location:
        """Return the place that a `Variable.location` refers to. Raises StaleReference."""
        stopped = self._stops.current is not None
        return (self._variables if stopped else self._idle_variables).location(reference)

    def set_variable(self, reference: int, name: str, value: str) -> Variable:
        """Assign to a child of a reference the value of an expression in the stopped frame.

        Raises StaleReference, UnknownVariable, NotAssignable, EvaluationFailed, TookTooLong.
        """

        def assign(frame: FrameType) -> Variable:
            new = self.run_bounded(lambda: evaluate.evaluate(value, frame), self._limits.evaluate_s)
            return self._variables.set(reference, name, new)

        return self._in(None, assign, self._limits.evaluate_s, value)

    def evaluate(self, text: str, frame_id: int | None, context: str = "repl") -> Variable:
        """Evaluate in a frame (of the stopped thread, if none is named); return the value's view.

        ``context`` is DAP's: "hover" only looks, and runs no code; "clipboard" gives the text in
        full; in "repl" the code may hit breakpoints and stop there. Raises EvaluationFailed with
        what the text raised, TookTooLong, Cancelled.
        """
        seconds = self._limits.evaluate_s

        def evaluate_in(frame: FrameType) -> Variable:
            if context == "hover":
                return self._variables.look(looking.look(text, frame), text)

            def run() -> object:
                return self.run_bounded(lambda: evaluate.evaluate(text, frame), seconds)

            return self.view_of(with_events(run) if context == "repl" else run(), text, context)

        return self._in(frame_id, evaluate_in, seconds, text)

    def evaluate_idle(self, text: str, frame: Frame, context: str) -> tuple[Any, Variable]:
        """Evaluate on the calling thread while nothing is stopped; return the value and its view.

        Raises as `evaluate`. Only in "repl" may the code stop.
        """
        if context == "hover":
            value = looking.look(text, frame)
            return value, self._idle_variables.look(value, text)
        ident = threading.get_ident()
        if context != "repl":
            self._stops.quiet.add(ident)
        try:
            value = self.run_bounded(
                lambda: evaluate.evaluate(text, frame), self._limits.evaluate_s
            )
        finally:
            self._stops.quiet.discard(ident)
        return value, self.view_of(value, text, context)

    def cancel(self) -> None:
        """End the evaluation or listing under way, which raises Cancelled where it was asked."""
        self.bounded.cancel()
        for ident in self._stops.idents():
            parked = self._stops.parked(ident)
            if parked is not None:
                parked.cancel()

    def target(
        self,
        name: str,
        reference: int = 0,
        frame_id: int | None = None,
        length: int | None = None,
        *,
        pending: bool = False,
    ) -> Target:
        """Return what is to be watched: a child of a reference, or an expression in a frame.

        With ``length`` so many bytes of it; ``pending`` takes a global that isn't there yet. Raises
        StaleReference, UnknownFrame, UnknownVariable, NotWatchable, NotStopped.
        """
        if not reference:
            return self.in_frame(
                frame_id,
                lambda frame: sized(resolve(name, frame, pending=pending), frame, length),
                _LOOK_LIMIT_S,
            )
        if self._stops.current is None:
            return self._idle_variables.target(reference, name, length)
        current = self._stops.require_current()
        return current.ask(lambda: self._variables.target(reference, name, length), _LOOK_LIMIT_S)

    def set_expression(self, target: str, value: str, frame_id: int | None) -> Variable:
        """Assign in a frame. Raises NotAssignable, EvaluationFailed, TookTooLong."""

        def assign(frame: FrameType) -> Variable:
            seconds = self._limits.evaluate_s
            new = self.run_bounded(lambda: evaluate.assign(target, value, frame), seconds)
            return self._variables.view("", new, target)

        return self._in(frame_id, assign, self._limits.evaluate_s, value)

    def completions(self, text: str, frame_id: int | None) -> list[tuple[str, str]]:
        """Return what may complete the end of ``text`` in a frame. Raises NotStopped."""

        def complete(frame: FrameType) -> list[tuple[str, str]]:
            return evaluate.completions(text, {*frame.f_locals, *frame.f_globals}, frame)

        return self.in_frame(frame_id, complete, _LOOK_LIMIT_S, text)

    def in_frame[T](
        self, frame_id: int | None, call: Callable[[FrameType], T], limit_s: float, text: str = ""
    ) -> T:
        """Run ``call``, which evaluates ``text``, with a frame on its stopped thread.

        Raises EvaluationFailed with what it raised, TookTooLong, UnknownFrame, NotStopped.
        """
        return self._in(
            frame_id, lambda frame: self.run_bounded(lambda: call(frame), limit_s), limit_s, text
        )

    # -- on the calling thread

    def idle_view(self, namespace: dict[str, Any]) -> list[Variable]:
        """Return a namespace's variables while nothing is stopped, running none of the user's code.

        The references hold until the next call.
        """
        self._idle_variables.clear()
        return self._idle_variables.namespace(namespace)

    def view_of(self, value: object, text: str, context: str = "watch") -> Variable:
        """Return the view of what ``text`` evaluated to, on the thread that may run its repr.

        For "clipboard" the value's text is whole; for "repl" too, as a console prints it, but for
        containers and strings so large that nobody would read them.
        """
        store = self._idle_variables if self._stops.current is None else self._variables
        is_read_whole = context == "repl" and not _is_long(value)
        whole = context == "clipboard" or is_read_whole
        return store.view("", value, text if evaluate.is_place(text) else None, whole=whole)

    def run_bounded[T](self, call: Callable[[], T], seconds: float) -> T:
        """Run the user's text on the calling thread, for at most ``seconds``.

        Raises EvaluationFailed with what it raised, in Python's words; TookTooLong, Cancelled.
        """
        try:
            with self.around():
                return self.bounded.call(call, seconds)
        except errors.NbdebugError:
            raise
        except BaseException as error:
            import traceback  # it is large

            said = "".join(traceback.format_exception_only(error)).strip()
            raise errors.EvaluationFailed(said) from None

    def text(self, value: object) -> str:
        """Return a bounded text of a value, as a log message shows it."""
        kind = type(value)
        if kind is str or kind is float or (kind is int and -_LONG < value < _LONG):  # type: ignore[operator]
            return str(value)
        return self._variables.text(value)

    def close(self) -> None:
        """Void every reference and end the watchdog."""
        self._variables.clear()
        self._idle_variables.clear()
        self.bounded.close()

    # -- inside

    def _in[T](
        self, frame_id: int | None, call: Callable[[FrameType], T], limit_s: float, text: str
    ) -> T:
        current = self._stops.require_current()
        ident, frame = current.ident, current.frame
        if frame_id is not None:
            ident, frame = self._stacks.frame(frame_id)
        error = self._error_of(self._stops.parked(ident)) if NAME in text else None
        seen = frame if error is None else cast(FrameType, FrameWith(frame, NAME, error))
        return self._ask(ident, lambda: call(seen), limit_s)

    def _stack(self, ident: int, parked: ParkedThread | None) -> Sequence[Place | FrameType]:
        if parked is not None and parked.failure is not None and parked.failure.places:
            return parked.failure.places
        if parked is not None:
            return self._stacks.frames_of(parked.frame)
        top = self._user_code.nearest(top_frame(ident))
        if top is not None:
            return self._stacks.frames_of(top)
        return self._awaiting_frames(ident)

    def _error_of(self, parked: ParkedThread | None) -> BaseException | None:
        return None if parked is None or parked.failure is None else parked.failure.error

    def _ask[T](self, ident: int, call: Callable[[], T], limit_s: float) -> T:
        # A thread that is blocked in native code can't be asked: the stopped one looks for it.
        parked = self._stops.parked(ident) or self._stops.require_current()
        return parked.ask(call, limit_s)

    def _forget(self, ident: int, was_current: bool) -> None:
        self._stacks.forget(ident)
        if was_current:
            self._variables.clear()

    def _new_store(self, run_code: bool) -> VariableStore:
        def is_hidden(name: str, value: object, namespace: dict[str, Any]) -> bool:
            return self.hidden is not None and self.hidden(name, value, namespace)

        return VariableStore(
            self.bounded, self._limits, self._references, is_hidden, run_code=run_code
        )


def _is_long(value: object) -> bool:
    lengths = (list, tuple, dict, set, frozenset, str, bytes, bytearray)
    return any(type(value) is kind and len(value) > _LONG for kind in lengths)
