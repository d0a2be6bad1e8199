"""A session with a process that is only looked at: DAP requests, answered from its memory.

Owns what such a session can do, and its looks: a look is a stop to a client, though the process
runs on. `pause` looks anew, `continue` lets go of the look; frame ids and references are of one
look. What would run code there is refused, with the reason.
Threads: `request` may be called on any; the requests are done one after the other on the thread
"nbdebug-inspection", which tells the events too.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbdebug import errors as base_errors
from nbdebug.dap import arguments as a
from nbdebug.dap import messages as m
from nbdebug.dap.links import Receiver
from nbdebug.dap.messages import Json
from nbdebug.dap.remote import RemoteSession
from nbdebug.dap.worker import Worker
from nbdebug.engine.model import FrameInfo, Limits, Location, Scope, TaskInfo, Variable

from . import errors, policy
from .children import Child, Value, has_children, variables
from .looking import Look
from .lookups import look_up
from .memory import Unreadable
from .reports import command_of
from .stacks import Frame, ThreadStack
from .tasks import Task

CAPABILITIES: Json = {
    "supportsConfigurationDoneRequest": True,
    "supportsEvaluateForHovers": True,
    "supportsDelayedStackTraceLoading": True,
    "supportsExceptionInfoRequest": False,
}

_ONLY = "This process is only looked at: nothing can stop it."
_TEXT = "The process runs on. Pause looks again."
_MODULE = "<module>"


@dataclass(frozen=True, slots=True)
class _Part:
    """Some items of a long value."""

    value: Value
    start: int
    stop: int


type _Node = Value | _Part | tuple[Child, ...]


class InspectionLink:
    """A link to nobody: the requests are answered here, by looking."""

    def __init__(self, pid: int, limits: Limits | None = None) -> None:
        """Raises what `Look` raises, and NotAllowed."""
        policy.require(policy.Level.INSPECT, pid)
        self._look = Look(pid)
        self._inspection = _Inspection(self._look, limits or Limits())
        self._receiver: Receiver | None = None
        self._worker = Worker("nbdebug-inspection")
        self._sequence = itertools.count(1)
        self._is_over = False

    def start(self, receiver: Receiver) -> None:
        """See Link."""
        self._receiver = receiver

    def request(self, command: str, arguments: Json) -> Future[Json]:
        """See Link."""
        future: Future[Json] = Future()
        sequence = next(self._sequence)
        self._worker.put(
            sequence,
            lambda: self._answer(future, sequence, command, arguments),
            lambda: _fail(future, "The session has ended."),
        )
        return future

    def close(self) -> None:
        """See Link."""
        self._worker.put(None, self._detach, self._detach)
        self._worker.close()

    def _answer(self, future: Future[Json], sequence: int, command: str, arguments: Json) -> None:
        if self._is_over:
            _fail(future, "The session has ended.")
            return
        reply: Json = {"type": "response", "seq": sequence, "request_seq": sequence}
        reply["command"] = command
        events: list[tuple[str, Json]] = []
        body: Json | None = None
        failure: base_errors.NbdebugError | None = None
        try:
            body = self._inspection.run(command, arguments, events)
        except base_errors.NbdebugError as error:
            failure = error
        except Unreadable as error:
            failure = errors.MemoryInconsistent.of(self._look.pid, what=str(error))
        except Exception as error:  # a fault of ours must not end the thread
            said = f"{command} failed: {type(error).__name__}: {error}"
            failure = base_errors.NbdebugError(said)
        reply["success"] = failure is None
        if failure is not None:
            reply["message"] = m.sendable(str(failure))
            body = m.failure_body(command, failure)
        if body is not None:
            reply["body"] = body
        future.set_result(reply)
        for name, event in events:
            if self._receiver is not None:
                self._receiver.event(name, event)
        if command == "disconnect":
            self._end("disconnected")
        elif isinstance(failure, errors.ProcessEnded):
            self._end("the process has ended")

    def _detach(self) -> None:
        self._end("detached")

    def _end(self, why: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._look.close()
            if self._receiver is not None:
                self._receiver.lost(why)


def inspect(pid: int, name: str = "") -> RemoteSession:
    """Return a session with a process that is only looked at, begun.

    Raises:
        AttachError: why it can't be looked at: one class for each reason.
    """
    session = session_with(pid, name)
    session.begin()
    return session


def session_with(pid: int, name: str = "") -> RemoteSession:
    """Return the same, not begun: a client of its own will do that. Raises the same."""
    link = InspectionLink(pid)
    return RemoteSession(link, kind="looked at", name=name or command_of(pid, 40), pid=pid)


class _Inspection:
    """What the requests do. On the link's thread."""

    def __init__(self, look: Look, limits: Limits) -> None:
        self._look = look
        self._limits = limits
        self._threads: dict[int, ThreadStack] = {}
        self._frames: dict[int, Frame] = {}
        self._ids: dict[int, list[int]] = {}  # thread -> its frames' ids
        self._nodes: dict[int, _Node] = {}
        self._next = itertools.count(1)
        self._events: list[tuple[str, Json]] = []

    def run(self, command: str, arguments: object, events: list[tuple[str, Json]]) -> Json | None:
        """Do one request; what is to be told after its reply is put into ``events``."""
        entry = _REQUESTS.get(command)
        if entry is None:
            raise errors.InspectOnly.of(self._look.pid, command=command)
        self._events = events
        shape, act = entry
        return act(self, a.parse(shape, arguments))

    # -- the look

    def initialize(self, arguments: a.InitializeArguments) -> Json:
        return CAPABILITIES

    def attach(self, arguments: a.Nothing) -> None:
        self._events.append(("initialized", {}))
        self._look_again()

    def pause(self, arguments: a.Nothing) -> None:
        self._look_again()

    def resume(self, arguments: a.Nothing) -> Json:
        self._forget()
        body = {"threadId": self._look.pid, "allThreadsContinued": True}
        self._events.append(("continued", body))
        return {"allThreadsContinued": True}

    def nothing(self, arguments: a.Nothing) -> None:
        return None

    def _look_again(self) -> None:
        self._forget()
        snapshot = self._look.stacks(with_slots=True)
        for thread in snapshot.threads:
            id_ = thread.id if thread.id and thread.id not in self._threads else next(self._next)
            self._threads[id_] = thread
            self._ids[id_] = [next(self._next) for _ in thread.frames]
            self._frames |= dict(zip(self._ids[id_], thread.frames, strict=True))
        shown = next((i for i, t in self._threads.items() if t.has_gil and t.frames), None)
        first = next(iter(self._threads), self._look.pid)
        body = {
            "reason": "pause",
            "description": "looked at",
            "text": _TEXT,
            "threadId": first if shown is None else shown,
            "allThreadsStopped": True,
        }
        self._events.append(("stopped", body))

    def _forget(self) -> None:
        for known in (self._threads, self._frames, self._ids, self._nodes):
            known.clear()

    # -- threads and frames

    def threads(self, arguments: a.Nothing) -> Json:
        if not self._threads:
            snapshot = self._look.stacks()
            return {"threads": [_thread_body(t.id, t) for t in snapshot.threads]}
        return {"threads": [_thread_body(id_, t) for id_, t in self._threads.items()]}

    def stack_trace(self, arguments: a.StackTraceArguments) -> Json:
        thread = self._threads.get(arguments.thread_id)
        if thread is None:
            raise base_errors.UnknownThread(f"No thread {arguments.thread_id} is looked at.")
        if thread.problem and not thread.frames:
            said = f"Its frames can't be shown: {thread.problem}."
            raise base_errors.ThreadIsRunning(said)
        ids = self._ids[arguments.thread_id]
        end = arguments.start_frame + arguments.levels if arguments.levels else len(ids)
        bodies = []
        for id_ in ids[arguments.start_frame : end]:
            frame = self._frames[id_]
            info = FrameInfo(id_, frame.function, frame.file, frame.line or 0, 1)
            bodies.append(m.frame_body(info, 0))
        return {"stackFrames": bodies, "totalFrames": len(ids)}

    def scopes(self, arguments: a.ScopesArguments) -> Json:
        frame = self._frame(arguments.frame_id)
        names = self._look.locals(frame)
        groups = {"Locals": variables(one for one in names if not one.is_free)}
        free = variables(one for one in names if one.is_free)
        if free:
            groups["Nonlocals"] = free
        bodies = [self._scope(name, tuple(found)) for name, found in groups.items()]
        if frame.function != _MODULE:
            try:
                globals_ = tuple(variables(self._look.globals(frame)))
            except Unreadable:  # the function has returned
                globals_ = ()
            bodies.append(self._scope("Globals", globals_))
        return {"scopes": bodies}

    def _scope(self, name: str, found: tuple[Child, ...]) -> Json:
        hint = "locals" if name == "Locals" else None
        scope = Scope(name, self._keep(found), name == "Globals", len(found), hint)
        return m.scope_body(scope)

    def _frame(self, id_: int) -> Frame:
        frame = self._frames.get(id_)
        if frame is None:
            raise base_errors.UnknownFrame(f"No frame {id_} is of the last look.")
        return frame

    # -- values

    def variables(self, arguments: a.VariablesArguments) -> Json:
        node = self._nodes.get(arguments.variables_reference)
        if node is None:
            said = f"The reference {arguments.variables_reference} is not of the last look."
            raise base_errors.StaleReference(said)
        return {"variables": self._list(node, arguments)}

    def _list(self, node: _Node, arguments: a.VariablesArguments) -> list[Json]:
        start, count, only = arguments.start, arguments.count, arguments.filter
        if isinstance(node, tuple):
            found = node if only != "indexed" else ()
            return [self._body(one) for one in found[start : start + count if count else None]]
        value = node.value if isinstance(node, _Part) else node
        if not value.is_same():
            raise base_errors.StaleReference("The value is gone: the process runs on.")
        named = value.named() if node is value and only != "indexed" else []
        first, last = (node.start, node.stop) if isinstance(node, _Part) else (0, value.count())
        if only == "named":
            last = first
        if count:
            begin, end = max(start - len(named), 0), max(start + count - len(named), 0)
            shown = value.items(first + begin, min(first + end, last)) if last > first else []
            return [self._body(one) for one in [*named[start : start + count], *shown]]
        page = first + self._limits.page
        items = value.items(first, min(page, last)) if last > first else []
        bodies = [self._body(one) for one in [*named, *items]]
        return bodies + self._ranges(value, page, last)

    def _ranges(self, value: Value, first: int, last: int) -> list[Json]:
        size = self._limits.page
        while last - first > 50 * size:
            size *= 10
        bodies = []
        for begin in range(first, last, size):
            end = min(begin + size, last)
            name = f"[{begin:,} ... {end - 1:,}]"
            reference = self._keep(_Part(value, begin, end))
            bodies.append(m.variable_body(Variable(name, "", "", reference, kind="virtual")))
        return bodies

    def _body(self, child: Child) -> Json:
        return m.variable_body(self._variable(child))

    def _variable(self, child: Child) -> Variable:
        text, type_name = child.text(self._look), child.type_name(self._look)
        reference = indexed = 0
        address = child.value.address
        if child.value.number is None and has_children(self._look, address):
            value = Value(self._look, address, child.evaluate)
            reference, indexed = self._keep(value), value.count()
        return Variable(
            child.name,
            text.text,
            type_name,
            reference,
            child.evaluate,
            indexed or None,
            truncated=text.cut,
        )

    def _keep(self, node: _Node) -> int:
        reference = next(self._next)
        self._nodes[reference] = node
        return reference

    def evaluate(self, arguments: a.EvaluateArguments) -> Json:
        if arguments.frame_id is not None:
            frame = self._frame(arguments.frame_id)
        elif self._frames:
            frame = next(iter(self._frames.values()))
        else:
            raise base_errors.NotStopped("No frame is looked at: pause first.")
        text = arguments.expression.strip()
        found = look_up(self._look, frame, text)
        variable = self._variable(Child(text, found, text))
        return {"result": m.sendable(variable.value), **m.value_body(variable)}

    # -- what else a client asks

    def source(self, arguments: a.SourceArguments) -> Json:
        path = arguments.source.path if arguments.source is not None else None
        try:
            text = Path(f"/proc/{self._look.pid}/root/{path}").read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise base_errors.SourceUnavailable(f"{path} can't be read: {error}.") from None
        return {"content": text, "mimeType": "text/x-python"}

    def tasks(self, arguments: a.Nothing) -> Json:
        ids = {thread.address: id_ for id_, thread in self._threads.items()}
        found = enumerate(self._look.tasks(), 1)
        return {"tasks": [m.task_body(_task_info(number, task, ids)) for number, task in found]}

    def no_breakpoints(self, arguments: a.SetBreakpointsArguments) -> Json:
        return _unverified(len(arguments.breakpoints))

    def no_function_breakpoints(self, arguments: a.SetFunctionBreakpointsArguments) -> Json:
        return _unverified(len(arguments.breakpoints))

    def no_exception_breakpoints(self, arguments: a.SetExceptionBreakpointsArguments) -> Json:
        return _unverified(len(arguments.filters) + len(arguments.filter_options))


_REQUESTS: dict[str, tuple[type[Any], Callable[[_Inspection, Any], Json | None]]] = {
    "initialize": (a.InitializeArguments, _Inspection.initialize),
    "attach": (a.Nothing, _Inspection.attach),
    "configurationDone": (a.Nothing, _Inspection.nothing),
    "disconnect": (a.Nothing, _Inspection.nothing),
    "pause": (a.Nothing, _Inspection.pause),
    "continue": (a.Nothing, _Inspection.resume),
    "threads": (a.Nothing, _Inspection.threads),
    "stackTrace": (a.StackTraceArguments, _Inspection.stack_trace),
    "scopes": (a.ScopesArguments, _Inspection.scopes),
    "variables": (a.VariablesArguments, _Inspection.variables),
    "evaluate": (a.EvaluateArguments, _Inspection.evaluate),
    "source": (a.SourceArguments, _Inspection.source),
    "setBreakpoints": (a.SetBreakpointsArguments, _Inspection.no_breakpoints),
    "setFunctionBreakpoints": (
        a.SetFunctionBreakpointsArguments,
        _Inspection.no_function_breakpoints,
    ),
    "setExceptionBreakpoints": (
        a.SetExceptionBreakpointsArguments,
        _Inspection.no_exception_breakpoints,
    ),
    "nbdebug/tasks": (a.Nothing, _Inspection.tasks),
}


def _thread_body(id_: int, thread: ThreadStack) -> Json:
    name = thread.name or f"Thread {id_}"
    if thread.interpreter:
        name += f", interpreter {thread.interpreter}"
    return {"id": id_, "name": m.sendable(name + (" (GIL)" if thread.has_gil else ""))}


def _task_info(number: int, task: Task, ids: dict[int, int]) -> TaskInfo:
    frames = tuple(Location(f.file, f.line or 0, f.function) for f in task.frames)
    thread = ids.get(task.thread, 0)
    return TaskInfo(number, task.name, task.state, thread, frames, task.awaits, task.awaited_by)


def _unverified(count: int) -> Json:
    return {"breakpoints": [{"verified": False, "message": _ONLY} for _ in range(count)]}


def _fail(future: Future[Json], why: str) -> None:
    future.set_exception(base_errors.ConnectionLost(why))
