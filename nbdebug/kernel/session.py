"""The kernel's session: DAP plus the requests that Jupyter added to it.

Owns their quirks (docs/protocol.md has them); answers on the kernel's control thread. What must run
the user's code while nothing is stopped runs on the main thread, when that is idle.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ipykernel.compiler import get_tmp_directory, get_tmp_hash_seed

from nbdebug import errors
from nbdebug.dap import arguments as a
from nbdebug.dap import messages as m
from nbdebug.dap import sessions
from nbdebug.dap.messages import Json
from nbdebug.dap.remote import RemoteSession
from nbdebug.dap.requests import REQUESTS, Request
from nbdebug.dap.session import Session
from nbdebug.engine import evaluate
from nbdebug.engine.model import BreakpointInfo, FunctionTarget, Limits, Location, Stop
from nbdebug.engine.watch_targets import Target, resolve, sized
from nbdebug.kernel import arguments as k
from nbdebug.kernel.cells import Cells
from nbdebug.kernel.streams import Ordered

_IDLE_LIMIT_S = 2.0
_LOOK_S = 0.2
_GROUPS = ("special variables", "function variables", "class variables")


class KernelSession(Session):
    """Serves the debug requests of one kernel."""

    def __init__(self, kernel: Any, cells: Cells, limits: Limits) -> None:
        # The kernel's own: what the user's code redirects isn't ours to write into.
        self._ordered, self._stderr = Ordered(sys.stdout, self.flush_output), sys.stderr
        super().__init__(self._publish, limits)
        self.kernel = kernel
        self.cells = cells
        self._told: set[tuple[int, ...]] = set()
        self.shows: Callable[[str], bool] = lambda event: True
        """Whether an event of the kernel's own is for the front end, which may show another's."""
        self.on_stop: Callable[[Stop], None] = lambda stop: None
        self.on_attach: Callable[[], None] = lambda: None

    # -- what the front end is told

    def emit(self, event: str, body: Json | None = None) -> None:
        """See Session; what speaks of the kernel is kept back while another session is shown."""
        if self.shows(event):
            self.emit_of_any(event, body)

    def emit_of_any(self, event: str, body: Json | None = None) -> None:
        """Send an event, whichever session it speaks of."""
        super().emit(event, body)

    def notice(self, text: str) -> None:
        """Print one line of ours in the output of the cell that runs, or ran last."""
        print(m.sendable(f"nbdebug: {text}"), file=self._stderr)

    def write(self, text: str) -> None:
        """Write into the output of the cell that runs, or ran last."""
        self._ordered.write(m.sendable(text))

    def attach(self, stop_on_entry: bool = False) -> None:
        """See Session."""
        super().attach(stop_on_entry)
        self.on_attach()

    # -- the engine's host

    def stopped(self, stop: Stop) -> None:
        """See Host."""
        self.on_stop(stop)
        super().stopped(stop)

    def passed(self, stop: Stop) -> None:
        """Print one line for each breakpoint and run: where, why, and how to open it."""
        if stop.breakpoint_ids in self._told:
            return
        self._told.add(stop.breakpoint_ids)
        path, line, function = stop.location.path, stop.location.line, stop.location.function
        inside = "" if function == "<module>" else f" in {function}"
        numbers = ", ".join(map(str, stop.breakpoint_ids))
        why = f" ({stop.error})" if stop.error else ""
        print(
            f"nbdebug: passed {stop.reason} {numbers}{why} at line {line}{inside} of "
            f"{self._name_of(path)}: no debugger is open. "
            "To stop there, press the bug and run again.",
            file=self._stderr,
        )

    def _name_of(self, path: str) -> str:
        """Return what a user calls a source; called on the thread that runs it."""
        if not self.cells.is_cell(path):
            return os.path.basename(path)
        return "this cell" if path == self.cells.running() else "another cell"

    def output(self, text: str, category: str, location: Location | None) -> None:
        """Show log messages in the cell's output too, where the client doesn't show events."""
        super().output(text, category, location)
        is_logged = location is not None and category == "console"
        if not (is_logged or self.shows_output_events):
            print(m.sendable(text), file=self._stderr)

    def watch_output(self, waits: bool) -> None:
        """Have the user's next output come after the logged lines that wait for theirs."""
        if not waits:
            self._ordered.let_go()
        elif not self.shows_output_events:
            self._ordered.hold()

    def send_logged(self, text: str, location: Location) -> None:
        """Write log messages into the cell's output too, where the client doesn't show events."""
        super().send_logged(text, location)
        if not self.shows_output_events:
            self._ordered.write(m.sendable(text))

    def logged_are_sent(self) -> None:
        """Leave nothing in the stream's own buffer, of which a forked child has a copy."""
        if not self.shows_output_events:
            self._ordered.flush()

    def run_starts(self) -> None:
        """Take note that a cell starts."""
        if self.cells.running() is None:  # else a magic runs a part of its cell
            self._told.clear()
            self.engine.run_starts()

    def run_ended(self) -> None:
        """Take note that a cell has ended."""
        if self.cells.running() is None:
            path = self.cells.last()
            where = f"the end of {self.cells.label(path)}" if path else "the end of the cell"
            self.engine.run_ended(where)
            if (opaque := self.cells.ended()) is not None:
                self.engine.breakpoints.judge_again(opaque)
            self.tell_sources()
        self.flush_output()

    def idle_target(self, text: str, length: int | None = None, *, pending: bool = False) -> Target:
        """See Session: what is a name or attribute in the notebook, on the idle main thread."""
        target: Target = self.on_main_thread(
            lambda: sized(resolve(text, _idle_frame(self), pending=pending), None, length)
        )
        return target

    # -- what runs on the main thread

    def on_main_thread(self, call: Callable[[], Any]) -> Any:
        """Have the idle main thread make ``call``, which bounds its own time.

        Raises ThreadIsRunning if it is busy, TookTooLong.
        """
        if threading.current_thread() is threading.main_thread():
            return call()
        done = threading.Event()
        outcome: list[Any] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(call())
            except BaseException as error:
                failure.append(error)
            finally:
                done.set()

        self.begin_on_main_thread(run)
        left_s = self.engine.inspector.limits.evaluate_s + 1
        while not done.wait(_LOOK_S):
            left_s -= 0.0 if self.engine.stops.current is not None else _LOOK_S
            if left_s <= 0:
                raise errors.TookTooLong("The main thread didn't answer in time.")
        if failure:
            raise failure[0]
        return outcome[0]

    def begin_on_main_thread(self, call: Callable[[], None]) -> None:
        """Have the idle main thread begin ``call``, and don't wait for its end.

        Raises ThreadIsRunning if it is busy.
        """
        begun = threading.Event()

        def begin() -> None:
            if not begun.is_set():  # else the asker has given up
                begun.set()
                call()

        self.kernel.io_loop.add_callback(begin)
        if not begun.wait(_IDLE_LIMIT_S):
            begun.set()
            raise errors.ThreadIsRunning("The kernel is busy, and nothing is stopped.")

    def last_failure(self) -> BaseException:
        """Return the exception that the kernel's shell has shown last. Raises NoFailure."""
        found = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if not isinstance(found, BaseException):
            raise errors.NoFailure("Nothing has failed yet.")
        return found

    @contextmanager
    def without_input(self) -> Iterator[None]:
        """While it lasts, `input()` says that it can't be answered, instead of waiting for it."""
        kernel = self.kernel
        before, kernel._allow_stdin = kernel._allow_stdin, False
        try:
            yield
        finally:
            kernel._allow_stdin = before

    def _publish(self, event: Json) -> None:
        kernel = self.kernel
        # With the cell's request as parent JupyterLab would inspect all variables at each event.
        kernel.session.send(
            kernel.iopub_socket,
            "debug_event",
            event,
            parent=kernel.get_parent("control"),
            ident=kernel._topic("debug_event"),
        )


def dump_cell(session: KernelSession, arguments: k.DumpCellArguments) -> Json:
    return {"sourcePath": session.cells.dump(arguments.code)}


def debug_info(session: KernelSession, arguments: a.Nothing) -> Json:
    return {
        "isStarted": session.is_initialized and not session.is_taken,
        "hashMethod": "Murmur2",
        "hashSeed": get_tmp_hash_seed(),
        "tmpFilePrefix": get_tmp_directory() + os.sep,
        "tmpFileSuffix": ".py",
        "breakpoints": by_source(session.engine.breakpoints.infos()),
        "stoppedThreads": session.engine.stops.thread_ids(),
        "richRendering": True,
        "exceptionPaths": [],
        "copyToGlobals": True,
    }


def by_source(infos: list[BreakpointInfo]) -> list[Json]:
    """Return the breakpoints that are at a line, as debugInfo tells them."""
    found: dict[str, list[Json]] = {}
    for info in infos:
        if info.path and not isinstance(info.spec.target, FunctionTarget):
            found.setdefault(info.path, []).append(_breakpoint(info))
    return [{"source": path, "breakpoints": those} for path, those in found.items()]


def session_body(one: RemoteSession | None, own: KernelSession) -> Json:
    """Return one of the sessions of this process; None is the kernel's ``own``."""
    current = sessions.here.current is one
    if one is None:
        stop = own.engine.stops.current
        state = "running" if stop is None else stop.description
        names = {"id": sessions.OWN_ID, "name": sessions.OWN_NAME, "kind": "kernel"}
        return {**names, "pid": os.getpid(), "state": m.sendable(state), "current": current}
    names = {"id": one.id, "name": m.sendable(one.name), "kind": one.kind}
    more = {"pid": one.pid, "state": m.sendable(one.state), "current": current}
    return m.without_nones({**names, **more, "parent": one.parent.id if one.parent else None})


def list_sessions(session: KernelSession, arguments: a.Nothing) -> Json:
    return {"sessions": [session_body(one, session) for one in (None, *sessions.here.all())]}


def set_session(session: KernelSession, arguments: k.SetSessionArguments) -> Json:
    chosen = sessions.here.find(arguments.session)
    sessions.here.switch(chosen)
    return {"session": session_body(chosen, session)}


def inspect_variables(session: KernelSession, arguments: a.Nothing) -> Json:
    found = session.engine.inspector.idle_view(session.kernel.shell.user_ns)
    return {"variables": [m.variable_body(v, session.is_brief) for v in found]}


def rich_inspect_variables(session: KernelSession, arguments: k.RichInspectArguments) -> Json:
    name = arguments.variable_name
    if name in _GROUPS:
        return {"data": {}, "metadata": {}}
    if not evaluate.is_place(name):
        raise errors.UnknownVariable(f"`{name}` isn't the name of a variable.")
    shell = session.kernel.shell

    def render(frame: Any) -> Json:
        try:
            value = evaluate.evaluate(name, frame)
        except NameError:  # the panel then says that it isn't defined any more
            return {"data": {}, "metadata": {}}
        data, metadata = shell.display_formatter.format(value)
        return {"data": data, "metadata": {key: v for key, v in metadata.items() if key in data}}

    engine = session.engine
    if engine.stops.current is not None:
        rendered: Json = engine.inspector.in_frame(
            arguments.frame_id, render, engine.inspector.limits.evaluate_s, name
        )
    else:
        rendered = session.on_main_thread(
            lambda: _bounded(session, lambda: render(_idle_frame(session)))
        )
    return rendered


def copy_to_globals(session: KernelSession, arguments: k.CopyToGlobalsArguments) -> Json:
    source, destination = arguments.src_variable_name, arguments.dst_variable_name
    if not (source.isidentifier() and destination.isidentifier()):
        raise errors.BadArguments("dstVariableName and srcVariableName must be valid identifiers")

    def copy(frame: Any) -> Any:
        value = evaluate.evaluate(source, frame)
        frame.f_globals[destination] = value
        return session.engine.inspector.view_of(value, destination)

    new = session.engine.inspector.in_frame(
        arguments.src_frame_id, copy, session.engine.inspector.limits.evaluate_s, source
    )
    return {"value": m.sendable(new.value), **m.value_body(new)}


def evaluate_(session: KernelSession, arguments: a.EvaluateArguments) -> Json:
    engine = session.engine
    text, context = arguments.expression, arguments.context
    if engine.stops.current is not None:
        found = REQUESTS["evaluate"].run(session, arguments) or {}
        if context == "repl" and found["type"] == "NoneType":
            found["result"] = ""
        return found

    def run() -> Json:
        value, view = engine.inspector.evaluate_idle(text, _idle_frame(session), context)
        result = view.value
        if context == "repl":  # as a console prints it, and as ipykernel's tests expect
            result = value if type(value) is str else "" if value is None else result
        return {"result": m.sendable(result), **m.value_body(view)}

    evaluated: Json = session.on_main_thread(run)
    return evaluated


def post_mortem(session: KernelSession, arguments: a.Nothing) -> None:
    engine = session.engine
    if not session.can_resume():
        raise errors.NotStarted("`nbdebug/postMortem` comes after `attach`.")
    if engine.stops.current is not None:
        raise errors.ThreadIsRunning("A thread is stopped already: let it run on first.")
    error = session.last_failure()
    engine.inspector.failed_places(error)
    session.begin_on_main_thread(lambda: engine.post_mortem(error))


def _breakpoint(info: BreakpointInfo) -> Json:
    spec = info.spec
    return m.without_nones(
        {
            "line": info.line or getattr(spec.target, "line", None),
            "condition": spec.condition,
            "hitCondition": spec.hit_condition,
            "logMessage": spec.log_message,
            "verified": m.breakpoint_body(info)["verified"],
            "id": info.id,
            "cellId": getattr(info.spec.target, "cell", "") or None,
        }
    )


def _idle_frame(session: KernelSession) -> evaluate.NamespaceFrame:
    return evaluate.NamespaceFrame(session.kernel.shell.user_ns)


def _bounded(session: KernelSession, call: Callable[[], Any]) -> Any:
    return session.engine.inspector.run_bounded(call, session.engine.inspector.limits.evaluate_s)


KernelSession.requests = {
    **REQUESTS,
    "dumpCell": Request(k.DumpCellArguments, dump_cell, needs_start=False),
    "debugInfo": Request(a.Nothing, debug_info, needs_start=False),
    "inspectVariables": Request(a.Nothing, inspect_variables, needs_start=False),
    "richInspectVariables": Request(
        k.RichInspectArguments, rich_inspect_variables, needs_start=False, may_wait=True
    ),
    "copyToGlobals": Request(
        k.CopyToGlobalsArguments, copy_to_globals, needs_start=False, may_wait=True
    ),
    "modules": replace(REQUESTS["modules"], needs_start=False),
    "variables": replace(REQUESTS["variables"], needs_start=False),
    "evaluate": replace(REQUESTS["evaluate"], run=evaluate_),
    "nbdebug/sessions": Request(a.Nothing, list_sessions),
    "nbdebug/setSession": Request(k.SetSessionArguments, set_session),
    "nbdebug/postMortem": Request(a.Nothing, post_mortem, may_wait=True),
}
