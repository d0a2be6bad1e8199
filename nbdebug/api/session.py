"""A debugging session in Python: breakpoints, runs, waits, looks. The core of both ways to use it.

Owns what the debuggee was last heard to do; must not know how messages travel. Any thread may call,
one call at a time; what comes is noted on the link's thread. Every wait has a limit.
"""

import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Self

from nbdebug import errors
from nbdebug.api import model as m
from nbdebug.api.kernel_link import KernelLink
from nbdebug.api.model import Json
from nbdebug.dap.client import body_of
from nbdebug.dap.links import Link

CLIENT_ID = "nbdebug"


class Session:
    """Debugs one kernel or script. `nbdebug.connect` makes it; leaving its block closes it."""

    def __init__(self, link: Link, arguments: Json | None, timeout_s: float) -> None:
        """Attach through a link; with ``arguments`` None it is attached.

        Raises ClientBusy, AuthRequired, ConnectionLost, TookTooLong.
        """
        self.timeout_s = timeout_s
        """How long any single request may take."""
        self.on_event: Callable[[m.Event], None] | None = None
        """Called with each event, on a thread of its own; it must not ask the session anything."""
        self._link = link
        self._kernel = link if isinstance(link, KernelLink) else None
        self._changed = threading.Condition()
        self._stop: Json | None = None
        self._is_running = False  # a run of ours, or the script
        self._has_ended = False
        self._lost = ""
        self._output = ""
        self._error = ""
        self._exit_code: int | None = None
        self._ran = False  # the run of ours is over
        self._function_ids: set[int] = set()
        self._lines: dict[str, list[Json]] = {}
        self._functions: list[Json] = []
        self._breakpoints: dict[int, m.Breakpoint] = {}
        link.start(self)
        if arguments is None:
            return
        try:
            self.ask("initialize", clientID=CLIENT_ID, adapterID="nbdebug")
            self.ask("attach", **arguments)
        except BaseException:
            link.close()
            raise

    # -- life

    def close(self, *, terminate: bool = False) -> None:
        """Leave: this session's breakpoints go, and what is stopped runs on.

        ``terminate`` ends a script, or the stopped code in a kernel, instead. May be called twice.
        """
        if not self._lost:
            try:
                self.ask("disconnect", terminateDebuggee=terminate)
            except (errors.ConnectionLost, errors.NotStarted):
                pass  # it has ended meanwhile
            finally:
                self._lost = "The session is closed."
                self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, command: str, /, **arguments: object) -> Json:
        """Send any DAP request; return the body of its reply.

        Raises the error that it was answered with, TookTooLong, ConnectionLost.
        """
        if self._lost:
            raise errors.ConnectionLost(self._lost)
        future = self._link.request(command, arguments)
        try:
            return body_of(future.result(self.timeout_s))
        except FutureTimeout:
            raise errors.TookTooLong(
                f"`{command}` wasn't answered within {self.timeout_s:g} s."
            ) from None

    # -- what stops it

    def cell(self, code: str) -> m.Cell:
        """Return a cell as a place for breakpoints: what will run under this very text."""
        if self._kernel is None:
            raise errors.NotSupported("A script has no cells.")
        return m.Cell(code, self.ask("dumpCell", code=code)["sourcePath"])

    def add_breakpoint(
        self,
        source: "m.Cell | str",
        line: int,
        *,
        condition: str | None = None,
        hit_condition: str | None = None,
        log_message: str | None = None,
    ) -> m.Breakpoint:
        """Add a breakpoint at a line of a cell or file. It may be pending, or have failed: see it.

        One that the line has already gets the new conditions.
        """
        path = source.path if isinstance(source, m.Cell) else source
        extras = _extras(condition, hit_condition, log_message)
        there = [one for one in self._lines.get(path, []) if one["line"] != line]
        return self._set_lines(path, [*there, {"line": line, **extras}])[-1]

    def add_function_breakpoint(
        self,
        name: str,
        *,
        condition: str | None = None,
        hit_condition: str | None = None,
        log_message: str | None = None,
    ) -> m.Breakpoint:
        """Add a breakpoint at a function's first line: ``f``, ``Class.method``, ``package.f``."""
        there = [one for one in self._functions if one["name"] != name]
        extras = _extras(condition, hit_condition, log_message)
        return self._set_functions([*there, {"name": name, **extras}])[-1]

    def clear_breakpoints(self, source: "m.Cell | str | None" = None) -> None:
        """Remove this session's breakpoints: those of a cell or file, or all."""
        if source is not None:
            self._set_lines(source.path if isinstance(source, m.Cell) else source, [])
            return
        for path in list(self._lines):
            self._set_lines(path, [])
        if self._functions:
            self._set_functions([])

    def breakpoints(self) -> list[m.Breakpoint]:
        """Return this session's breakpoints as they are now."""
        with self._changed:
            return list(self._breakpoints.values())

    def set_exception_filters(
        self, *filters: str, conditions: dict[str, str] | None = None
    ) -> None:
        """Stop at exceptions: the filters' names, and a condition for those that have one.

        Raises NotSupported where the debuggee knows no such filter.
        """
        options = [{"filterId": name, "condition": text} for name, text in _items(conditions)]
        plain = [name for name in filters if name not in (conditions or {})]
        more = {"filterOptions": options} if options else {}
        self.ask("setExceptionBreakpoints", filters=plain, **more)

    # -- running

    def run(self, code: "m.Cell | str | None" = None) -> None:
        """Run a cell in the kernel; or let the script run that was waiting for its client.

        Returns at once: `wait_for_stop` tells what comes of it.
        """
        if self._kernel is None:
            if code is not None:
                raise errors.NotSupported("A script runs its own code only: `evaluate` others.")
            self._begin()
            self.ask("configurationDone")
            return
        if code is None:
            raise errors.BadArguments("What is to be run in the kernel is missing.")
        if self._is_running:
            raise errors.ThreadIsRunning("The run that was begun before hasn't ended.")
        self._begin()
        self._kernel.execute(code.code if isinstance(code, m.Cell) else code)

    def wait_for_stop(self, timeout_s: float = 10.0) -> m.Wait:
        """Wait until something stops, the run ends, or the time is over; say which."""
        end = monotonic() + timeout_s
        with self._changed:
            while self._stop is None and not self._is_over():
                if not self._changed.wait(max(end - monotonic(), 0.0)):
                    break
            stop = self._stop
            over = self._is_over()
            seen = m.Wait(m.Outcome.RUNNING, None, self._output, self._error, self._exit_code)
        if stop is not None:
            found = m.stop_of(stop, self._top(stop["threadId"]))
            return replace(seen, outcome=m.Outcome.STOPPED, stop=found)
        return replace(seen, outcome=m.Outcome.ENDED) if over else seen

    def status(self) -> m.Status:
        """Return how things stand, at once."""
        now = self.wait_for_stop(0.0)
        return m.Status(now.outcome, now.stop, tuple(self.breakpoints()))

    def resume(self) -> None:
        """Let everything run on. Raises NotStopped."""
        self._move("continue")

    def step_over(self, timeout_s: float = 10.0) -> m.Wait:
        """Step to the next line of this function or, at its end, of its caller; wait for it."""
        return self._step("next", timeout_s)

    def step_into(self, timeout_s: float = 10.0) -> m.Wait:
        """Step into the function that is called next; wait for it."""
        return self._step("stepIn", timeout_s)

    def step_out(self, timeout_s: float = 10.0) -> m.Wait:
        """Run to the end of this function; wait for it."""
        return self._step("stepOut", timeout_s)

    def pause(self, thread_id: int = 1) -> None:
        """Have a running thread stop at its next line; `wait_for_stop` tells when it has."""
        self.ask("pause", threadId=thread_id)

    # -- looking

    def stack(self, thread_id: int | None = None) -> list[m.Frame]:
        """Return a thread's frames, innermost first; of the stopped one if none is named."""
        id_ = thread_id or self._stopped_thread()
        return [m.frame_of(one) for one in self.ask("stackTrace", threadId=id_)["stackFrames"]]

    def variables(
        self,
        of: "m.Frame | m.Variable | None" = None,
        *,
        scope: str = "Locals",
        start: int = 0,
        count: int = 0,
    ) -> list[m.Variable]:
        """Return the variables of a frame (the top one, if none is named), or inside a variable.

        ``count`` 0: a long container gives its first hundred, and the rest as ranges to open.
        """
        if isinstance(of, m.Variable):
            if not of.variables_reference:
                return []
            reference = of.variables_reference
        else:
            frame = of or self._top_frame()
            scopes = self.ask("scopes", frameId=frame.id)["scopes"]
            found = [one["variablesReference"] for one in scopes if one["name"] == scope]
            if not found:
                names = ", ".join(one["name"] for one in scopes)
                raise errors.UnknownVariable(f"{frame.name} has no scope {scope}, but {names}.")
            [reference] = found
        page = {"start": start, "count": count} if count else {}
        body = self.ask("variables", variablesReference=reference, **page)
        return [m.variable_of(one) for one in body["variables"]]

    def evaluate(
        self, expression: str, frame: "m.Frame | None" = None, *, context: str = "watch"
    ) -> m.Variable:
        """Run an expression or statement in a frame, the top one if none is named.

        While nothing is stopped, a kernel evaluates among the notebook's variables. Raises
        EvaluationFailed with what it raised, TookTooLong.
        """
        where = frame or (self._top_frame() if self._stop is not None else None)
        arguments = {} if where is None else {"frameId": where.id}
        body = self.ask("evaluate", expression=expression, context=context, **arguments)
        return m.variable_of(body, expression, body["result"])

    # -- what the link tells, on its thread

    def event(self, name: str, body: Json) -> None:
        """See Receiver."""
        with self._changed:
            match name:
                case "stopped":
                    self._stop = body
                case "continued":
                    self._stop = None
                case "breakpoint":
                    self._breakpoint_changed(body)
                case "exited":
                    self._exit_code = body.get("exitCode")
                case "output" if body.get("category") in ("stdout", "stderr"):
                    self._output += body.get("output", "")
                case "terminated":
                    self._has_ended, self._stop = True, None
            self._changed.notify_all()
        if self.on_event is not None:
            self.on_event(m.Event(name, body))

    def printed(self, text: str) -> None:
        """See Receiver."""
        with self._changed:
            self._output += text

    def run_ended(self, error: str) -> None:
        """See Receiver."""
        with self._changed:
            self._is_running, self._error, self._stop = False, error, None
            self._ran = True
            self._changed.notify_all()

    def lost(self, why: str) -> None:
        """See Receiver."""
        with self._changed:
            self._lost = self._lost or why
            self._stop = None
            self._changed.notify_all()

    # -- inside

    def _is_over(self) -> bool:
        return self._has_ended or bool(self._lost) or (self._ran and not self._is_running)

    def _begin(self) -> None:
        with self._changed:
            self._is_running, self._ran = True, False
            self._output = self._error = ""

    def _breakpoint_changed(self, body: Json) -> None:
        changed = body.get("breakpoint") or {}
        known = self._breakpoints.get(changed.get("id", 0))
        if known is not None and body.get("reason") == "removed":
            del self._breakpoints[known.id]
        elif known is not None:
            self._breakpoints[known.id] = m.breakpoint_of(changed, known.path)

    def _set_lines(self, path: str, wanted: list[Json]) -> list[m.Breakpoint]:
        body = self.ask("setBreakpoints", source={"path": path}, breakpoints=wanted)
        found = [m.breakpoint_of(one, path) for one in body["breakpoints"]]
        self._lines[path] = wanted
        if not wanted:
            del self._lines[path]
        self._keep(found, [b for b in self._breakpoints.values() if b.path != path])
        return found

    def _set_functions(self, wanted: list[Json]) -> list[m.Breakpoint]:
        before = self._function_ids
        body = self.ask("setFunctionBreakpoints", breakpoints=wanted)
        found = [m.breakpoint_of(one, "") for one in body["breakpoints"]]
        self._functions = wanted
        self._function_ids = {one.id for one in found}
        self._keep(found, [b for b in self._breakpoints.values() if b.id not in before])
        return found

    def _keep(self, found: list[m.Breakpoint], others: list[m.Breakpoint]) -> None:
        with self._changed:
            self._breakpoints = {one.id: one for one in [*others, *found]}

    def _move(self, command: str) -> None:
        """Let the stopped thread go on; its stop is over, whenever its event comes."""
        thread_id = self._stopped_thread()
        with self._changed:
            before, self._stop = self._stop, None
        try:
            self.ask(command, threadId=thread_id)
        except errors.ClientError:
            self._put_back(before)
            raise

    def _put_back(self, stop: Json | None) -> None:
        with self._changed:
            if self._stop is None:
                self._stop = stop

    def _step(self, command: str, timeout_s: float) -> m.Wait:
        self._move(command)
        return self.wait_for_stop(timeout_s)

    def _stopped_thread(self) -> int:
        if self._lost:
            raise errors.ConnectionLost(self._lost)
        stop = self._stop
        if stop is None:
            raise errors.NotStopped("Nothing is stopped.")
        id_: int = stop["threadId"]
        return id_

    def _top(self, thread_id: int) -> m.Frame | None:
        try:
            frames = self.ask("stackTrace", threadId=thread_id, levels=1)["stackFrames"]
        except errors.NbdebugError:
            return None  # it has gone on meanwhile, or the program has ended
        return m.frame_of(frames[0]) if frames else None

    def _top_frame(self) -> m.Frame:
        frame = self._top(self._stopped_thread())
        if frame is None:
            raise errors.NotStopped("The stopped thread runs on.")
        return frame


def _extras(condition: str | None, hit_condition: str | None, log_message: str | None) -> Json:
    extras = {"condition": condition, "hitCondition": hit_condition, "logMessage": log_message}
    return {name: text for name, text in extras.items() if text is not None}


def _items(conditions: dict[str, str] | None) -> list[tuple[str, str]]:
    return list((conditions or {}).items())
