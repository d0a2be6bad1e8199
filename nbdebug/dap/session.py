"""One client's session: its requests in, replies and events out.

Owns the order of messages and what the client has been told; must not know sockets or kernels.
`handle` is called on the client's thread, one request at a time; events come from any thread and go
out through ``send``, which must be safe to call from any.
"""

import itertools
import sys
from collections.abc import Callable
from typing import Any

from nbdebug import errors
from nbdebug.dap import arguments as a
from nbdebug.dap import messages
from nbdebug.dap.log import MessageLog
from nbdebug.dap.messages import Json
from nbdebug.dap.output import OutputBuffer
from nbdebug.dap.paths import Edge, Mapping
from nbdebug.dap.requests import NOT_SUPPORTED, REQUESTS, Request
from nbdebug.dap.worker import Worker
from nbdebug.engine.engine import Engine
from nbdebug.engine.evaluate import NamespaceFrame
from nbdebug.engine.locks import hold, new_lock
from nbdebug.engine.model import BreakpointInfo, Limits, Location, Stop
from nbdebug.engine.watch_model import WatchInfo
from nbdebug.engine.watch_targets import Target, resolve, sized

_REMEMBERED_TARGETS = 100


class Session:
    """Answers DAP requests with an engine, and tells the client what happens in it."""

    requests: dict[str, Request[Any]] = REQUESTS

    def __init__(self, send: Callable[[Json], None], limits: Limits | None = None) -> None:
        self.engine = Engine(self, limits)
        self.client_id = ""
        self.is_initialized = False
        self.on_attached: Callable[[bool], None] = lambda attached: None
        """Called when a client has come (True) or gone."""
        self._is_attached = False
        self.edge = Edge()
        self.path_mappings: Callable[[], tuple[Mapping, ...]] = tuple
        """Gives the mappings for a client that brings none."""
        self.watches_sources = False
        self.takes_invalidated = False
        self.takes_start_debugging = False
        self.log = MessageLog(None)
        self._send = self._own_send = send
        self._sequence = itertools.count(1)
        self._data_ids = itertools.count(1)
        self._targets: dict[str, Target] = {}
        self._send_lock = new_lock()
        self._start_threads()

    def _start_threads(self) -> None:
        self._output = OutputBuffer(self.send_logged, self.watch_output, self.logged_are_sent)
        self._worker = Worker("nbdebug-requests")

    # -- requests

    def submit(self, request: object, reply: Callable[[Json], None]) -> None:
        """Have a request answered: ``reply`` is called once, now or later, on any thread."""
        command, sequence = _head_of(request)
        entry = self.requests.get(command)
        if entry is None or not entry.may_wait or (entry.is_brief and self._worker.is_idle):
            reply(self.handle(request))
            return
        self._worker.put(
            sequence,
            lambda: reply(self.handle(request)),
            lambda: reply(self._taken_back(sequence, command)),
        )

    def cancel(self, sequence: int) -> None:
        """End a request that isn't answered yet, if there is one; its answer says so."""
        if not self._worker.take_back(sequence) and self._worker.is_doing(sequence):
            self.engine.inspector.cancel()

    def handle(self, request: object) -> Json:
        """Answer one request. Never raises, and never waits on user code without a limit."""
        self.log.write("<-", request)
        command, sequence = _head_of(request)
        try:
            if not isinstance(request, dict):
                raise errors.ClientError("A request must be an object.")
            body = self._run(command, request.get("arguments"))
        except errors.NbdebugError as error:
            reply = self._failure(sequence, command, error)
        except BaseException as error:  # a job's SystemExit must not end the client's thread
            wrapped = errors.NbdebugError(f"{command} failed: {type(error).__name__}: {error}")
            reply = self._failure(sequence, command, wrapped)
            self.log.write_failure()
        else:
            reply = self._reply(sequence, command, True)
            if body is not None:
                reply["body"] = body
        self.log.write("->", reply)
        return reply

    def accept(self, request: Json, body: Json | None = None) -> Json:
        """Return the reply to a request that was met elsewhere."""
        command, sequence = _head_of(request)
        reply = self._reply(sequence, command, True)
        return reply if body is None else {**reply, "body": body}

    def relayed(self, request: Json, reply: Json) -> Json:
        """Return another session's reply to a request as one of this session's."""
        command, sequence = _head_of(request)
        own = self._reply(sequence, command, bool(reply.get("success")))
        if "message" in reply:
            own["message"] = reply["message"]
        if "body" in reply:
            own["body"] = reply["body"]
        if not own["success"]:
            own["body"] = {**messages.EMPTY_BODIES.get(command, {}), **(reply.get("body") or {})}
        self.log.write("->", own)
        return own

    def refuse(self, request: object, error: errors.NbdebugError) -> Json:
        """Return the reply to a request that isn't to be run."""
        command, sequence = _head_of(request)
        return self._failure(sequence, command, error)

    def answered(self, response: Json) -> None:
        """Take note of a client's reply to a request of ours, which needs nothing more."""
        self.log.write("<-", response)

    def _run(self, command: str, arguments: object) -> Json | None:
        entry = self.requests.get(command)
        if entry is None and command in NOT_SUPPORTED:
            raise errors.NotSupported(f"`{command}` isn't supported: {NOT_SUPPORTED[command]}.")
        if entry is None:
            raise errors.UnknownCommand(f"nbdebug doesn't answer `{command}`.")
        if entry.needs_start and not self.is_initialized:
            raise errors.NotStarted(f"`{command}` comes before `initialize`.")
        parsed = a.parse(entry.arguments, self.edge.received(arguments))
        body: Json | None = self.edge.told(entry.run(self, parsed))
        return body

    def _taken_back(self, sequence: int, command: str) -> Json:
        reply = self._failure(sequence, command, errors.Cancelled("cancelled"))
        self.log.write("->", reply)
        return reply

    def _reply(self, sequence: int, command: str, success: bool) -> Json:
        return {
            "seq": next(self._sequence),
            "type": "response",
            "request_seq": sequence,
            "success": success,
            "command": command,
        }

    def _failure(self, sequence: int, command: str, error: errors.NbdebugError) -> Json:
        reply = self._reply(sequence, command, False)
        reply["message"] = messages.sendable(str(error))
        reply["body"] = messages.failure_body(command, error)
        return reply

    # -- life, used by the request table

    def capabilities(self) -> Json:
        """Return what this session can do, gathered from its requests."""
        found: Json = {}
        for entry in self.requests.values():
            found.update(entry.capabilities)
        return found

    def initialize(self, client_id: str) -> None:
        """Start the engine for a client. Raises NoToolId."""
        self.client_id = client_id
        self.engine.start()
        self.is_initialized = True

    def attach(self, stop_on_entry: bool = False) -> None:
        """Have stops wait for this client from now on; ``stop_on_entry`` makes the next run one."""
        self.is_attached = True
        if stop_on_entry:
            self.engine.stops.stop_at_entry()
        self.emit("initialized")

    def disconnect(self, terminate: bool) -> None:
        """Let everything run on, and forget the client and its breakpoints.

        ``terminate`` ends what is stopped with KeyboardInterrupt instead.
        """
        self.engine.breakpoints.clear(of_clients_only=True)  # first: what runs on hits none
        self.engine.exceptions.clear()
        self.engine.watches.clear(of_clients_only=True)
        self._targets.clear()
        self.is_attached = False
        if terminate:
            self.engine.stops.interrupt()
        self.engine.stops.resume_all()
        if self.is_initialized:
            self.is_initialized = self.watches_sources = False
            self.emit("terminated")

    def client_left(self) -> None:
        """Take note that the client is gone, after `disconnect` or without it."""
        if self.is_initialized:
            self.disconnect(terminate=False)

    def configuration_done(self) -> None:
        """Take note that the client has set what it wants set before the program runs."""

    def terminate(self) -> None:
        """End what is stopped with KeyboardInterrupt. Raises NotStopped."""
        if self.engine.stops.current is None:
            raise errors.NotStopped("Nothing is stopped that could be ended.")
        self.engine.stops.interrupt()

    # -- what is watched

    def target(
        self,
        name: str,
        reference: int,
        frame_id: int | None,
        length: int | None = None,
        *,
        pending: bool = False,
    ) -> Target:
        """Return what a client wants to watch; an expression without a frame is a global one.

        With ``length`` so many bytes of it; ``pending`` takes a global that isn't there yet. Raises
        NotWatchable, UnknownVariable, StaleReference, UnknownFrame.
        """
        if reference or frame_id is not None or self.engine.stops.current is not None:
            return self.engine.inspector.target(name, reference, frame_id, length, pending=pending)
        return self.idle_target(name, length, pending=pending)

    def idle_target(self, text: str, length: int | None = None, *, pending: bool = False) -> Target:
        """Return what a text means while nothing is stopped, or so many bytes of it."""
        frame = NamespaceFrame(vars(sys.modules["__main__"]))
        return sized(resolve(text, frame, pending=pending), None, length)

    def remember_target(self, target: Target) -> str:
        """Return the dataId of what a client has asked about; the last ones are known."""
        data_id = f"{next(self._data_ids)}:{target.text}"
        if len(self._targets) >= _REMEMBERED_TARGETS:
            del self._targets[next(iter(self._targets))]
        self._targets[data_id] = target
        return data_id

    def target_of(self, data_id: str) -> Target:
        """Return what a dataId stands for. Raises NotWatchable."""
        target = self._targets.get(data_id)
        if target is None:
            raise errors.NotWatchable(f"`{data_id}` isn't known: it was of another session.")
        return target

    # -- whom it speaks to

    @property
    def is_taken(self) -> bool:
        """True while the client isn't the one that the session was made for."""
        return self._send is not self._own_send

    def take(self, send: Callable[[Json], None]) -> None:
        """Have events go to another client until `give_back`. Raises ClientBusy."""
        if self.is_initialized or self.is_taken:
            raise errors.ClientBusy("Another client debugs this process.")
        self._send = send

    def give_back(self) -> None:
        """Have events go where they went before `take`."""
        self._send = self._own_send

    @property
    def is_attached(self) -> bool:
        """True while a client is there that lets what is stopped run on."""
        return self._is_attached

    @is_attached.setter
    def is_attached(self, attached: bool) -> None:
        if attached != self._is_attached:
            self._is_attached = attached
            self.on_attached(attached)

    @property
    def shows_output_events(self) -> bool:
        """True if the client shows `output` events to its user; JupyterLab's panel doesn't."""
        return self.is_attached and self.client_id != "jupyterlab"

    @property
    def sends_lines_only(self) -> bool:
        """True for a client whose setBreakpoints drops what a breakpoint has beside its line."""
        return self.client_id == "jupyterlab"

    @property
    def is_brief(self) -> bool:
        """True for a client that looks at few properties, and at containers' types alone."""
        return self.client_id == "jupyterlab"

    def thread(self, id_: int) -> int:
        """Return the thread that a client means: JupyterLab names 1, whichever has stopped."""
        stop = self.engine.stops.current
        return stop.thread_id if stop is not None and id_ == 1 and self.sends_lines_only else id_

    def emit(self, event: str, body: Json | None = None) -> None:
        """Send an event, in the order of the calls. What fails in sending is logged, not raised."""
        self._output.flush()
        hold(self._send_lock, lambda: self._emit(event, body))

    def _emit(self, event: str, body: Json | None) -> None:
        message: Json = {"seq": next(self._sequence), "type": "event", "event": event}
        if body is not None:
            message["body"] = self.edge.told(body)
        self._send_message(message)

    def _send_message(self, message: Json) -> None:
        self.log.write("->", message)
        try:
            self._send(message)
        except Exception:
            self.log.write_failure()

    def ask_client(self, command: str, arguments: Json) -> None:
        """Send a request to the client; its answer is only logged."""
        hold(self._send_lock, lambda: self._ask_client(command, arguments))

    def _ask_client(self, command: str, arguments: Json) -> None:
        head = {"seq": next(self._sequence), "type": "request", "command": command}
        self._send_message({**head, "arguments": arguments})

    def invalidate_variables(self) -> None:
        """Tell a client that understands it that what it shows of variables may be out of date."""
        if self.takes_invalidated:
            self.emit("invalidated", {"areas": ["variables"]})

    def close(self) -> None:
        """End the session's threads."""
        self._worker.close()
        self._output.close()

    # -- sources

    def reference_of(self, path: str) -> int:
        """Return the sourceReference of a source that has no file, 0 for one that has.

        JupyterLab goes by the path, and asks for a text only where it has none.
        """
        return 0 if self.sends_lines_only else self.engine.sources.reference_of(path)

    def source_body(self, path: str) -> Json:
        """Return DAP's Source as this client is told it."""
        return messages.source_body(path, self.reference_of(path))

    def tell_sources(self) -> None:
        """Tell a client that has asked for the sources which have come, changed or gone since."""
        if not (self.watches_sources and self.is_attached):
            return
        for reason, path in self.engine.loaded.changes():
            self.emit("loadedSource", {"reason": reason, "source": self.source_body(path)})

    # -- the engine's host

    def can_resume(self) -> bool:
        """See Host."""
        return self.is_attached

    def stopped(self, stop: Stop) -> None:
        """See Host."""
        self._worker.relieve()  # it may be what it waits for that has stopped
        self.tell_sources()
        self.emit("stopped", messages.stopped_body(stop))

    def passed(self, stop: Stop) -> None:
        """See Host."""

    def continued(self, thread_id: int, all_threads: bool) -> None:
        """See Host."""
        self.emit("continued", {"threadId": thread_id, "allThreadsContinued": all_threads})

    def breakpoint_changed(self, info: BreakpointInfo, reason: str) -> None:
        """See Host."""
        self.emit("breakpoint", {"reason": reason, "breakpoint": messages.breakpoint_body(info)})

    def watch_changed(self, info: WatchInfo, reason: str) -> None:
        """See Host."""
        body = {"reason": reason, "breakpoint": messages.watch_body(info)}
        self.emit("breakpoint", body)

    def output(self, text: str, category: str, location: Location | None) -> None:
        """See Host. Log messages that come fast are sent together."""
        if location is not None and category == "console":
            self._output.add(text, location)
        else:
            self.emit("output", messages.output_body(text + "\n", category, location))

    def forget_parent(self) -> None:
        """See Host. Another thread may have held a lock at the fork."""
        self.watch_output(False)
        self._send_lock = new_lock()
        self._start_threads()

    def flush_output(self) -> None:
        """Send now what was logged."""
        self._output.flush()

    def watch_output(self, waits: bool) -> None:
        """Take note that logged lines begin to wait, or are about to be sent."""

    def logged_are_sent(self) -> None:
        """Take note that there are no more of them for now. On a thread of ours."""

    def send_logged(self, text: str, location: Location) -> None:
        """Send lines that were logged at one place."""
        body = messages.output_body(text, "console", location)
        hold(self._send_lock, lambda: self._emit("output", body))


def _head_of(request: object) -> tuple[str, int]:
    """Return a request's command and number, as far as it has them."""
    if not isinstance(request, dict):
        return "", 0
    sequence = request.get("seq")
    return str(request.get("command", "")), sequence if type(sequence) is int else 0
