"""A process that is attached to, behind an address: DAP for VS Code or any other client.

Owns which process the server's client debugs, and the numbers of the messages to it; the process's
own session answers. It is attached to when a client comes with `attach`, unless it was before, and
left when the client leaves. Must not know sockets.
Threads: requests come on the client's reader, and an attach is made on "nbdebug-attach"; replies
and events are handed on, on the link's.
"""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

from nbdebug import errors as base_errors
from nbdebug.attach import attaching, inspection, processes
from nbdebug.attach.attaching import AttachedSession
from nbdebug.attach.waking import Wake
from nbdebug.dap import messages as m
from nbdebug.dap.log import MessageLog
from nbdebug.dap.messages import Json
from nbdebug.dap.remote import RemoteSession
from nbdebug.dap.script import ScriptSession
from nbdebug.dap.server import Server, token_for
from nbdebug.dap.transport import parse_address
from nbdebug.dap.waiting import wait_for
from nbdebug.dap.worker import Worker

Send = Callable[[Json], None]
Open = Callable[[int], RemoteSession]
"""Attaches to a process; raises an AttachError."""


class ServedProcess:
    """What a `nbdebug.dap.server.Server` has its client speak to."""

    def __init__(self, pid: int | None, open_: Open, log: MessageLog | None = None) -> None:
        """``pid`` is the process; None: the one that the client's `attach` names."""
        self.log = log or MessageLog(None)
        self.is_attached = False
        self.is_initialized = False
        self.ended = threading.Event()
        """Set when the process, or the session with it, has ended without the client's leaving."""
        self._pid = pid
        self._open = open_
        self._session: RemoteSession | None = None
        self._initialize: Json = {}
        self._send: Send | None = None
        self._told_end = False
        self._sequence = itertools.count(1)
        self._worker = Worker("nbdebug-attach")

    def use(self, session: RemoteSession) -> None:
        """Have the next client debug what is attached to already."""
        self._session = session
        session.start(_Told(self, session))

    # -- used by the server

    @property
    def is_taken(self) -> bool:
        """True while a client is there."""
        return self._send is not None

    def take(self, send: Send) -> None:
        """Have events go to a client until `give_back`."""
        self._send = send

    def give_back(self) -> None:
        """Have events go nowhere."""
        self._send = None

    def capabilities(self) -> Json:
        """Return what the engine can do, wherever it is; or debugpy, where that is in its place."""
        if self._session is not None and self._session.capabilities:
            return self._session.capabilities
        found: Json = {}
        for entry in ScriptSession.requests.values():
            found.update(entry.capabilities)
        return found

    def accept(self, request: Json, body: Json | None = None) -> Json:
        """Return the reply to a request that was met elsewhere."""
        return self._reply(request, True, body)

    def refuse(self, request: object, error: base_errors.NbdebugError) -> Json:
        """Return the reply to a request that isn't to be run."""
        found = request if isinstance(request, dict) else {}
        body = m.failure_body(str(found.get("command", "")), error)
        return {**self._reply(found, False, body), "message": m.sendable(str(error))}

    def answered(self, response: Json) -> None:
        """Take note of a client's reply to a request of the process's, which needs nothing more."""
        self.log.write("<-", response)

    def client_left(self) -> None:
        """Leave the process, after `disconnect` or without it."""
        session, self._session = self._session, None
        self.is_attached = self.is_initialized = False
        if session is not None:
            session.close()

    def submit(self, request: Json, reply: Send) -> None:
        """Have a request answered: by the process, or before there is one."""
        self.log.write("<-", request)
        command = request.get("command")
        session = self._session
        if command == "initialize":
            self._initialize = request.get("arguments") or {}
            self.is_initialized = True
            reply(self.accept(request, self.capabilities()))
        elif command in ("attach", "launch") and self.is_initialized:
            self._worker.put(None, lambda: self._attach(request, reply), lambda: None)
        elif command == "disconnect":
            self._session = None
            if session is None:
                reply(self.accept(request))
            else:
                self._pass_on(session, request, reply)
        elif session is None:
            said = f"`{command}` comes before `attach`."
            reply(self.refuse(request, base_errors.NotStarted(said)))
        else:
            self._pass_on(session, request, reply)

    # -- inside

    def _reply(self, request: Json, success: bool, body: Json | None) -> Json:
        found: Json = {
            "seq": next(self._sequence),
            "type": "response",
            "request_seq": request.get("seq", 0),
            "success": success,
            "command": str(request.get("command", "")),
        }
        return found if body is None else {**found, "body": body}

    def _attach(self, request: Json, reply: Send) -> None:
        arguments = request.get("arguments") or {}
        try:
            if request.get("command") == "launch":
                raise base_errors.NotSupported("The process runs already: send `attach`.")
            pid = self._pid_of(arguments)
            session = self._session or self._opened(pid)
            session.ask("initialize", **self._initialize)
        except base_errors.NbdebugError as error:
            reply(self.refuse(request, error))
            return
        self.is_attached = True
        self._pass_on(session, request, reply)

    def _pid_of(self, arguments: Json) -> int:
        pid = arguments.get("processId", self._pid)
        if isinstance(pid, str) and pid.isdecimal():
            pid = int(pid)  # as VS Code's pick of a process gives it
        if type(pid) is not int:
            raise base_errors.BadArguments("`attach` needs the `processId` of a process.")
        if self._pid is not None and pid != self._pid:
            raise base_errors.BadArguments(f"This address is of process {self._pid}, not {pid}.")
        return pid

    def _opened(self, pid: int) -> RemoteSession:
        session = self._open(pid)
        self.use(session)
        return session

    def _pass_on(self, session: RemoteSession, request: Json, reply: Send) -> None:
        arguments = request.get("arguments") or {}
        future = session.request(str(request.get("command")), arguments)
        future.add_done_callback(lambda done: reply(self._relayed(request, done)))

    def _relayed(self, request: Json, done: "Future[Json]") -> Json:
        try:
            answer = done.result()
        except base_errors.NbdebugError as error:
            return self.refuse(request, error)
        found = self._reply(request, bool(answer.get("success")), answer.get("body"))
        if "message" in answer:
            found["message"] = answer["message"]
        self.log.write("->", found)
        return found

    def tell(self, session: RemoteSession, message: Json) -> None:
        """Hand something of the process's on to the client."""
        send = self._send
        if session is self._session and send is not None:
            self._told_end = message.get("event") == "terminated"
            found = {"seq": next(self._sequence), **message}
            self.log.write("->", found)
            send(found)

    def lost(self, session: RemoteSession) -> None:
        """Take note that the process has ended, or has been left."""
        if session is self._session:
            if not self._told_end:
                self.tell(session, {"type": "event", "event": "terminated"})
            self._session = None
            self.ended.set()


class _Told:
    """A receiver of the process's events."""

    def __init__(self, served: ServedProcess, session: RemoteSession) -> None:
        self._served = served
        self._session = session

    def event(self, name: str, body: Json) -> None:
        self._served.tell(self._session, {"type": "event", "event": name, "body": body})

    def printed(self, text: str) -> None:
        """What it writes comes as events."""

    def run_ended(self, error: str) -> None:
        """It has runs only in a kernel."""

    def lost(self, why: str) -> None:
        self._served.lost(self._session)


class AttachServer:
    """A server for the clients that debug processes, and what the command line asks of it."""

    def __init__(self, served: ServedProcess, server: Server) -> None:
        self._served = served
        self._server = server

    @property
    def address(self) -> str:
        """Where clients connect, as ``HOST:PORT`` or ``unix:PATH``."""
        return str(self._server.address)

    @property
    def token(self) -> str | None:
        """What clients must send as ``token`` when they attach; None where they need none."""
        return self._server.token

    def wait(self, limit_s: float | None = None) -> bool:
        """Wait until the process has ended; False after ``limit_s``. Ctrl-C ends the waiting."""
        return wait_for(self._served.ended, limit_s)

    def close(self) -> None:
        """Listen no more, and leave the process."""
        self._server.close()
        self._served.client_left()


def serve(
    target: str | None,
    address: str = "127.0.0.1:0",
    *,
    token: str | None = None,
    auth: bool = True,
    inspect: bool = False,
    timeout_s: float = attaching.TIMEOUT_S,
    wake: str = "auto",
    legacy: bool = False,
    log_dir: str | None = None,
) -> AttachServer:
    """Attach to a process, and listen for its client; without ``target`` the client names one.

    Raises an AttachError, BadAddress, TokenNeeded.
    """
    where = parse_address(address)
    needed = token_for(where, token, auth)

    def open_(pid: int) -> RemoteSession:
        if inspect:
            return inspection.session_with(pid)
        link = attaching.attach(pid, timeout_s=timeout_s, wake=Wake(wake), legacy=legacy)
        session = AttachedSession(link)
        if not link.has_engine:
            session.capabilities = session.ask("initialize", timeout_s, adapterID="nbdebug")
        return session

    pid = processes.find(target) if target else None
    served = ServedProcess(pid, open_, MessageLog(log_dir or os.environ.get("NBDEBUG_LOG")))
    if pid is not None:
        served.use(open_(pid))
    try:
        return AttachServer(served, Server(served, where, needed))
    except BaseException:
        served.client_left()
        raise
