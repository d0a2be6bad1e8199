"""The engine: stops, resumes and inspects the Python code of this process.

Owns what is stopped now, and the one lock over it. Requests come from a client's thread; events of
the interpreter from user threads, through `Tracer`. A stopped thread serves its own jobs, and no
wait on it is without a limit. There is one stop at a time: a second thread that hits something
while one is stopped waits, parked, and reports when the first has gone on.
"""

import contextlib
import itertools
import os
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Protocol

from nbdebug import errors
from nbdebug.engine import evaluate, monitor
from nbdebug.engine.bounded import Bounded
from nbdebug.engine.breakpoints import BreakpointTable, Hit, Reports, location_of
from nbdebug.engine.model import (
    BreakpointInfo,
    BreakpointSpec,
    FrameInfo,
    Limits,
    Location,
    Scope,
    StepKind,
    Stop,
    StopReason,
    ThreadInfo,
    Variable,
)
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.parking import ParkedThread
from nbdebug.engine.sources import Sources
from nbdebug.engine.stacks import Stacks
from nbdebug.engine.stepping import Stepper
from nbdebug.engine.threads import Threads, top_frame
from nbdebug.engine.tracing import Tracer
from nbdebug.engine.usercode import UserCode
from nbdebug.engine.variables import VariableStore

PAUSE = "pause"
_LOOK_LIMIT_S = 5.0


class Host(Protocol):
    """Who is told what happens. Called on the thread where it happens; must not block."""

    def can_resume(self) -> bool:
        """True if a client is there that will let a stopped thread run on."""

    def stopped(self, stop: Stop) -> None:
        """A thread has stopped, and waits."""

    def passed(self, stop: Stop) -> None:
        """A thread would have stopped, but nobody could let it run on."""

    def continued(self, thread_id: int, all_threads: bool) -> None:
        """The thread, or all, run on."""

    def breakpoint_changed(self, info: BreakpointInfo, reason: str) -> None:
        """A breakpoint was bound, moved, failed, added or removed."""

    def output(self, text: str, category: str, location: Location | None) -> None:
        """A log message (category "console") or a notice ("important") for the user."""


class Engine:
    """The debugger of this process; one at most is started at a time."""

    def __init__(self, host: Host, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.stop_other_threads = True
        self.sources = Sources()
        self.user_code = UserCode()
        self.threads = Threads()
        self.bounded = Bounded()
        self.hidden: Callable[[str, object, dict[str, Any]], bool] | None = None
        """Says of a global (name, value, namespace) whether it is the host's, not the user's."""
        self._host = host
        self._monitor = Monitor()
        reports = Reports(host.breakpoint_changed, self._log, self._condition_failed, self._show)
        self.breakpoints = BreakpointTable(self._monitor, self.sources, reports)
        self._stepper = Stepper(self._monitor, self.user_code)
        self._tracer = Tracer(
            self._monitor, self.breakpoints, self._stepper, self.threads, self.user_code, self
        )
        self._stacks = Stacks(self.user_code)
        self._references = itertools.count(1000)
        self._variables = self._new_store(run_code=True)
        self._idle_variables = self._new_store(run_code=False)
        self._parked: dict[int, ParkedThread] = {}
        self._current: ParkedThread | None = None
        self._failed = False
        self._lock = threading.RLock()

    # -- life

    def start(self) -> None:
        """Begin to listen to the interpreter. Raises NoToolId."""
        self._monitor.start(self._tracer.callbacks())
        self._failed = False
        if hasattr(os, "register_at_fork"):
            _follow_forks(self)

    def close(self) -> None:
        """Let every thread go and leave the process as it was. May be called twice."""
        self.breakpoints.clear()
        self.resume_all()
        for ident in list(self._stepper.steps):
            self._stepper.end(ident)
        self._tracer.asked.clear()
        self._monitor.stop()
        self._idle_variables.clear()
        self.bounded.close()

    @property
    def is_started(self) -> bool:
        """True between `start` and `close`, unless a failure of its own has ended it."""
        return self._monitor.tool_id is not None

    def forget_parent(self) -> None:
        """In a forked child: nothing of the parent's debugging goes on here."""
        self._parked.clear()
        self._current = None
        self._lock = threading.RLock()
        self._monitor.stop()

    def set_limits(self, limits: Limits) -> None:
        """Bound what a look may cost from now on."""
        self.limits = self._variables.limits = self._idle_variables.limits = limits

    # -- called on user threads, by the tracer

    def stop_here(self, frame: FrameType, reason: StopReason | None, hit: Hit | None = None) -> None:
        """Hold the calling thread in ``frame`` until a client lets it run on."""
        ident = threading.get_ident()
        stop = None if reason is None else self._describe(ident, frame, reason, hit)
        if stop is None and self._current is None:
            return  # what it was to wait for is over
        if not self._host.can_resume():
            if stop is not None:
                self._host.passed(stop)
            return
        parked = ParkedThread(ident, frame, stop)
        with self._lock:
            self._stepper.end(ident)
            self._parked[ident] = parked
            announce = stop is not None and self._current is None
            if announce:
                self._current = parked
        try:
            if announce:
                self._announce(parked)
            parked.serve()
        finally:
            self._leave(parked)

    def failed(self) -> None:
        """Step aside after an exception of our own: disarm, report once, let the program go on."""
        if self._failed:
            return
        self._failed = True
        details = traceback.format_exc()
        with contextlib.suppress(Exception):
            self._monitor.stop()
        with contextlib.suppress(Exception):
            self._host.output(
                "nbdebug failed and has turned itself off; your program goes on.\n" + details, "important", None
            )

    def run_starts(self) -> None:
        """Take note that a cell starts on the calling thread."""
        self.breakpoints.new_run()

    def run_ended(self) -> None:
        """Take note that the calling thread's run of a cell has ended: its step has, too."""
        ident = threading.get_ident()
        self._stepper.end(ident)
        self._tracer.forget_thread(ident)
        if not self._tracer.asked:
            self._stop_asking()

    # -- run control, called on a client's thread

    def resume(self, thread_id: int, single: bool = False) -> None:
        """Let the stopped thread run on, and with it, unless ``single``, all others.

        Raises UnknownThread, NotStopped.
        """
        parked = self._stopped(thread_id)
        self._release(parked, single)

    def step(self, thread_id: int, kind: StepKind, single: bool = False) -> None:
        """Let the stopped thread make one step. Raises UnknownThread, NotStopped."""
        parked = self._stopped(thread_id)
        self._stepper.begin(parked.ident, kind, parked.frame)
        self._release(parked, single)

    def pause(self, thread_id: int) -> None:
        """Have a running thread stop at its next line of user code. Raises UnknownThread."""
        ident = self.threads.ident_of(thread_id)
        with self._lock:
            if ident in self._parked:
                return
            self._tracer.asked[ident] = StopReason.PAUSE
        self._ask([ident])

    def resume_all(self) -> None:
        """Let every stopped thread run on, whatever it waits for."""
        with self._lock:
            for parked in self._parked.values():
                parked.stop = None
            current = self._current
            waiting = list(self._parked.values())
        if current is not None:
            self._release(current, single=False)
        for parked in waiting:
            if parked is not current:
                parked.release()

    def interrupt(self) -> None:
        """End the runs of all stopped threads with KeyboardInterrupt, raised where they stopped."""
        with self._lock:
            waiting = list(self._parked.values())
        for parked in waiting:
            parked.interrupt()

    # -- inspection, called on a client's thread

    @property
    def current_stop(self) -> Stop | None:
        """The stop that clients were told of, or None."""
        current = self._current
        return current.stop if current is not None else None

    def stopped_thread_ids(self) -> list[int]:
        """Return the ids of the threads that wait."""
        with self._lock:
            return [self.threads.id_of(ident) for ident in self._parked]

    def list_threads(self) -> list[ThreadInfo]:
        """Return the user threads."""
        self.threads.forget_dead()
        return [
            ThreadInfo(self.threads.id_of(ident), name, "stopped" if ident in self._parked else "running")
            for ident, name in self.threads.users().items()
        ]

    def stack(self, thread_id: int, start: int = 0, levels: int = 0) -> tuple[list[FrameInfo], int]:
        """Return a page of a thread's frames and the stack's depth; ``levels`` 0 means all.

        Raises UnknownThread.
        """
        ident = self.threads.ident_of(thread_id)
        parked = self._parked.get(ident)
        top = parked.frame if parked is not None else self.user_code.nearest(top_frame(ident))
        return ([], 0) if top is None else self._stacks.describe(ident, top, start, levels)

    def scopes(self, frame_id: int) -> list[Scope]:
        """Return a frame's scopes. Raises UnknownFrame, NotStopped."""
        ident, frame = self._stacks.frame(frame_id)
        return self._ask_thread(ident, lambda: self._variables.scopes(frame), _LOOK_LIMIT_S)

    def variables(
        self, reference: int, start: int = 0, count: int = 0, filter_: str | None = None
    ) -> list[Variable]:
        """Return a page of what a reference holds. Raises StaleReference."""
        current = self._current
        if current is None:
            return self._idle_variables.children(reference, start, count, filter_)
        call = lambda: self._variables.children(reference, start, count, filter_)  # noqa: E731
        return self._ask_thread(current.ident, call, self._listing_limit_s)

    def set_variable(self, reference: int, name: str, value: str, frame_id: int | None = None) -> Variable:
        """Assign the value of an expression, evaluated in the frame, to a child of a reference."""
        current = self._require_stop()
        frame = current.frame if frame_id is None else self._stacks.frame(frame_id)[1]

        def assign() -> Variable:
            new = self._evaluate(value, frame)
            return self._variables.set(reference, name, new)

        return self._ask_thread(current.ident, assign, self.limits.evaluate_s)

    def evaluate(
        self, text: str, frame_id: int | None, context: str = "repl", limit_s: float | None = None
    ) -> Variable:
        """Evaluate in a frame (of the stopped thread, if none is named); return a view of the value.

        ``context`` is DAP's: "hover" only looks at names, attributes and items; "clipboard" gives
        the text in full. Raises EvaluationFailed with what the text raised, TookTooLong.
        """
        current = self._require_stop()
        ident, frame = (current.ident, current.frame) if frame_id is None else self._stacks.frame(frame_id)
        seconds = self.limits.evaluate_s if limit_s is None else limit_s

        def run() -> Variable:
            value = self._evaluate(text, frame, seconds, look=context == "hover")
            return self.view_of(value, text, whole=context == "clipboard")

        return self._ask_thread(ident, run, seconds)

    def view_of(self, value: object, text: str, whole: bool = False) -> Variable:
        """Return the view of an evaluated value, on the thread that may run its repr."""
        store = self._variables if self._current is not None else self._idle_variables
        name = text if evaluate.is_place(text) else None
        return store.view("", value, name, whole=whole)

    def set_expression(self, target: str, value: str, frame_id: int | None) -> Variable:
        """Assign in a frame. Raises NotAssignable, EvaluationFailed, TookTooLong."""
        current = self._require_stop()
        ident, frame = (current.ident, current.frame) if frame_id is None else self._stacks.frame(frame_id)

        def assign() -> Variable:
            new = self.run_bounded(lambda: evaluate.assign(target, value, frame), self.limits.evaluate_s)
            return self._variables.view("", new, target)

        return self._ask_thread(ident, assign, self.limits.evaluate_s)

    def in_frame(self, frame_id: int | None, call: Callable[[FrameType], Any], limit_s: float) -> Any:
        """Run ``call`` with a frame on its stopped thread. Raises what it raises, TookTooLong."""
        current = self._require_stop()
        ident, frame = (current.ident, current.frame) if frame_id is None else self._stacks.frame(frame_id)
        return self._ask_thread(ident, lambda: self.run_bounded(lambda: call(frame), limit_s), limit_s)

    def completions(self, text: str, frame_id: int | None) -> list[tuple[str, str]]:
        """Return what may complete the end of ``text`` in a frame. Raises NotStopped."""

        def complete(frame: FrameType) -> list[tuple[str, str]]:
            return evaluate.completions(text, {*frame.f_locals, *frame.f_globals}, frame)

        found: list[tuple[str, str]] = self.in_frame(frame_id, complete, _LOOK_LIMIT_S)
        return found

    def idle_view(self, namespace: dict[str, Any]) -> list[Variable]:
        """Return a namespace's variables while nothing is stopped, running none of the user's code.

        The references hold until the next call.
        """
        self._idle_variables.clear()
        return self._idle_variables.namespace(namespace)

    # -- inside

    def _evaluate(self, text: str, frame: FrameType, seconds: float | None = None, look: bool = False) -> Any:
        run = evaluate.look if look else evaluate.evaluate
        return self.run_bounded(lambda: run(text, frame), seconds or self.limits.evaluate_s)

    def run_bounded(self, call: Callable[[], Any], seconds: float) -> Any:
        """Run the user's text on the calling thread, for at most ``seconds``.

        Raises EvaluationFailed with what it raised, in Python's words; TookTooLong.
        """
        try:
            return self.bounded.call(call, seconds)
        except errors.NbdebugError:
            raise
        except BaseException as error:
            raise errors.EvaluationFailed(_python_says(error)) from None

    def _ask_thread(self, ident: int, call: Callable[[], Any], limit_s: float) -> Any:
        parked = self._parked.get(ident) or self._current
        if parked is None:
            raise errors.NotStopped("Nothing is stopped.")
        return parked.ask(call, limit_s)

    @property
    def _listing_limit_s(self) -> float:
        # A page of values each of whose repr takes as long as it may.
        return _LOOK_LIMIT_S + self.limits.repr_s * 20

    def _require_stop(self) -> ParkedThread:
        current = self._current
        if current is None:
            raise errors.NotStopped("Nothing is stopped.")
        return current

    def _stopped(self, thread_id: int) -> ParkedThread:
        with self._lock:
            current = self._current
            if current is None:
                raise errors.NotStopped("Nothing is stopped.")
            ident = self.threads.ident_of(thread_id)
            # JupyterLab names thread 1 whichever thread has stopped.
            return self._parked.get(ident) or current

    def _describe(self, ident: int, frame: FrameType, reason: StopReason, hit: Hit | None) -> Stop:
        location = location_of(frame)
        ids = hit.ids if hit is not None else ()
        place = f"line {location.line}" + ("" if location.function == "<module>" else f" in {location.function}")
        numbers = ", ".join(map(str, ids))
        sentence = {
            StopReason.BREAKPOINT: f"Stopped by breakpoint {numbers} at {place}.",
            StopReason.FUNCTION_BREAKPOINT: f"Stopped by function breakpoint {numbers} at {place}.",
            StopReason.STEP: f"Stopped after a step at {place}.",
            StopReason.PAUSE: f"Paused at {place}.",
        }.get(reason, f"Stopped at {place}.")
        if hit is not None and hit.error:
            sentence = f"{hit.error}. Stopped at {place}."
        return Stop(reason, self.threads.id_of(ident), location, sentence, ids, self.stop_other_threads)

    def _announce(self, parked: ParkedThread) -> None:
        assert parked.stop is not None
        if self.stop_other_threads:
            with self._lock:
                others = [i for i in self.threads.users() if i != parked.ident and i not in self._parked]
                for ident in others:
                    self._tracer.asked.setdefault(ident, None)
            self._ask(others)
        self._host.stopped(parked.stop)

    def _ask(self, idents: Sequence[int]) -> None:
        """Have threads notice at their next event that they are asked to stop."""
        if not idents:
            return
        seen: set[int] = set()
        for ident in idents:
            frame = self.user_code.nearest(top_frame(ident))
            while frame is not None:
                if id(frame.f_code) not in seen:
                    seen.add(id(frame.f_code))
                    # A one-line loop sends no LINE events: instructions are what always comes.
                    self._monitor.arm(frame.f_code, PAUSE, monitor.INSTRUCTION)
                frame = self.user_code.nearest(frame.f_back)
        self._monitor.want_globally(PAUSE, monitor.PY_START | monitor.PY_RESUME)
        self._monitor.look_again()

    def _stop_asking(self) -> None:
        self._monitor.disarm_all(PAUSE)
        self._monitor.want_globally(PAUSE, 0)

    def _release(self, parked: ParkedThread, single: bool) -> None:
        """Let a thread run on; unless ``single`` the others too, but one with a stop of its own."""
        with self._lock:
            asked = self._tracer.asked
            if not single:
                for ident in [i for i, reason in asked.items() if reason is None]:
                    del asked[ident]
            if not asked:
                self._stop_asking()
            others = [] if single else [p for p in self._parked.values() if p is not parked]
            free = [p for p in others if p.stop is None]
        self._host.continued(self.threads.id_of(parked.ident), not single)
        for other in free:
            other.release()
        parked.release()

    def _leave(self, parked: ParkedThread) -> None:
        """A parked thread runs on: its handles die, and the next one that waits reports its stop."""
        with self._lock:
            self._parked.pop(parked.ident, None)
            self._stacks.forget(parked.ident)
            was_current = self._current is parked
            following = None
            if was_current:
                self._variables.clear()
                following = next((p for p in self._parked.values() if p.stop is not None), None)
                self._current = following
        if was_current and not parked.was_released:
            self._host.continued(self.threads.id_of(parked.ident), True)
            self._release_waiting()
        if following is not None:
            self._announce(following)

    def _release_waiting(self) -> None:
        with self._lock:
            waiting = [p for p in self._parked.values() if p.stop is None]
            self._tracer.asked.clear()
            self._stop_asking()
        for parked in waiting:
            parked.release()

    def _new_store(self, run_code: bool) -> VariableStore:
        def is_hidden(name: str, value: object, namespace: dict[str, Any]) -> bool:
            return self.hidden is not None and self.hidden(name, value, namespace)

        return VariableStore(self.bounded, self.limits, self._references, is_hidden, run_code=run_code)

    def _log(self, text: str, location: Location) -> None:
        self._host.output(text, "console", location)

    def _condition_failed(self, info: BreakpointInfo, text: str, location: Location) -> None:
        self._host.output(f"Breakpoint {info.id}: {text}", "important", location)

    def _show(self, value: object) -> str:
        return value if type(value) is str else self._variables.text(value)


def _python_says(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


_engines: list[Engine] = []


def _follow_forks(engine: Engine) -> None:
    if not _engines:
        os.register_at_fork(after_in_child=_forget_parents)
    if engine not in _engines:
        _engines[:] = [engine]


def _forget_parents() -> None:
    for engine in _engines:
        engine.forget_parent()
