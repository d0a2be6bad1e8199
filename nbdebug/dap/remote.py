"""One session with something that is debugged elsewhere, shared by all here who use it.

Owns the link to it, and what it was last heard to do; must not know who listens, nor what the
debuggee is. Any thread may ask. Events come on the link's thread, and are handed on there.

To make something debuggable here, implement `nbdebug.dap.links.Link` for it, then:

    session = RemoteSession(link, kind="attached", name="train.py", pid=4711)
    session.begin()                    # `initialize` and `attach`, through the link
    sessions.here.add(session)         # nbdebug.dap.sessions: it is listed, and the current one

`kind` is a word for a table. What the debuggee can't do, its answer to `initialize` doesn't claim,
and its replies refuse with a reason. When the link tells `lost(why)`, the session has ended, and it
leaves the list by itself. `close` is how a user detaches: `disconnect` through the link, then the
link's own `close`.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from nbdebug import errors
from nbdebug.dap.client import body_of
from nbdebug.dap.links import Link, Receiver
from nbdebug.dap.messages import Json
from nbdebug.engine.locks import hold, locked, new_lock

CLIENT_ID = "nbdebug"
_MOVES = frozenset(("continue", "next", "stepIn", "stepOut"))
LIMIT_S = 5.0
"""How long one request may take where nobody says otherwise."""


class RemoteSession:
    """A session over a link: requests to it, its events to all that `start` was told of."""

    def __init__(self, link: Link, *, kind: str, name: str, pid: int | None = None) -> None:
        self.id = 0
        """Its number among the sessions here; 0 until it is one of them."""
        self.kind = kind
        self.name = name
        self.pid = pid
        self.parent: RemoteSession | None = None
        """The session whose debuggee has started this one's."""
        self.ends_with_us = False
        """True where its debuggee is to end when this process does, not to run on."""
        self.passes_stops = False
        """True where a stop that nobody could end, as no debugger is open, is to be passed."""
        self.is_driven = False
        """True where a program acts on its stops, so that nobody need be told of them."""
        self.on_console: Callable[[str], None] | None = None
        """Shows what breakpoints and watches log there, where its owner does that itself."""
        self.tells_end: Callable[[bool], None] | None = None
        """Called at its end, with whether it was current, where its owner tells of that itself."""
        self.settings: Json = {}
        """What it was attached with."""
        self.capabilities: Json = {}
        self.stops: dict[int, Json] = {}
        """The bodies of the `stopped` events of the threads that are stopped, the last one last."""
        self.exit_code: int | None = None
        self.on_close: Callable[[bool], None] = lambda terminate: None
        """Called by `close`, before the link is closed: what else belongs to the session ends."""
        self._may_configure = threading.Event()
        self._why_ended: str | None = None
        self._is_closing = self._is_leaving = False
        self._link = link
        self._receivers: list[Receiver] = []
        self._lock = new_lock()  # held for moments: guards the stops and who is told; calls nothing
        link.start(self)

    # -- requests

    def begin(self, limit_s: float = LIMIT_S, **arguments: Any) -> None:
        """Initialize and attach, with these arguments. Raises what that is answered with."""
        self.settings = arguments
        found = self.ask("initialize", limit_s, clientID=CLIENT_ID, adapterID="nbdebug")
        self.capabilities = found
        attached = self.request("attach", arguments)
        # Some answer only after `configurationDone`; `initialized` asks for what comes before it.
        attached.add_done_callback(lambda done: self._may_configure.set())
        if not self._may_configure.wait(limit_s):
            raise self.silent("attach", limit_s)
        if attached.done():
            body_of(attached.result())

    def request(self, command: str, arguments: Json) -> Future[Json]:
        """Send a request and don't wait; return what becomes its whole reply."""
        self._is_leaving = self._is_leaving or command == "disconnect"
        before = self.stops.get(arguments.get("threadId", 0)) if command in _MOVES else None
        answer = self._link.request(command, arguments)
        if before is not None:
            answer.add_done_callback(lambda done: self._moved(done, before, arguments))
        return answer

    def ask(self, command: str, limit_s: float = LIMIT_S, /, **arguments: Any) -> Json:
        """Send a request and wait for its answer; return the body.

        Not for the link's own thread, nor for one that mustn't wait. Raises the error that it was
        answered with, TookTooLong, ConnectionLost.
        """
        if self._why_ended is not None:
            raise errors.ConnectionLost(f"{self.title} has ended: {self._why_ended}")
        try:
            reply = self.request(command, arguments).result(limit_s)
        except FutureTimeout:
            raise self.silent(command, limit_s) from None
        if command.startswith("nbdebug/") and not reply.get("success") and not _is_ours(reply):
            said = f"`{command}` can't be asked of {self.title}: it isn't nbdebug that debugs it."
            raise errors.NotOfThisSession(said)
        return body_of(reply)

    def silent(self, command: str, limit_s: float) -> errors.TookTooLong:
        """Return the error for a request that wasn't answered in time."""
        said = f"`{command}` wasn't answered by {self.title} within {limit_s:g} s."
        return errors.TookTooLong(said)

    # -- how it stands

    @property
    def title(self) -> str:
        """What a user calls it: its name and pid."""
        name = os.path.basename(self.name) or self.name
        return name if self.pid is None else f"{name} ({self.pid})"

    @property
    def has_ended(self) -> bool:
        """True once nothing more will come."""
        return self._why_ended is not None

    @property
    def why_ended(self) -> str:
        """Why it has ended, as a sentence; empty while it hasn't."""
        return self._why_ended or ""

    @property
    def was_closed(self) -> bool:
        """True where it was `close` that has ended it."""
        return self._is_closing

    @property
    def stop(self) -> Json | None:
        """The body of the `stopped` event that was told last, of a thread that is stopped still."""
        return hold(self._lock, lambda: next(reversed(self.stops.values()), None))

    @property
    def passes(self) -> bool:
        """True where its stops, or those of a session that it came from, are to be passed."""
        return self.passes_stops or (self.parent is not None and self.parent.passes)

    @property
    def state(self) -> str:
        """How it stands, in a few words."""
        if self._why_ended is not None:
            code = "" if self.exit_code is None else f", exit code {self.exit_code}"
            return f"ended{code}"
        stop = self.stop
        return "running" if stop is None else stop.get("description") or "stopped"

    # -- whom it tells; also a Link itself

    @locked
    def start(self, receiver: Receiver) -> None:
        """Have one more be told of what comes from now on, on the link's thread."""
        self._receivers.append(receiver)

    @locked
    def forget(self, receiver: Receiver) -> None:
        """Tell one of them nothing more."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def close(self, terminate: bool = False, limit_s: float = LIMIT_S) -> None:
        """Leave the debuggee, which runs on without us, or is ended. May be called twice."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._why_ended is None:
            try:
                self.ask("disconnect", limit_s, terminateDebuggee=terminate)
            except errors.NbdebugError:
                pass  # it has ended meanwhile, or doesn't answer: the end of the link tells it
        self.on_close(terminate)
        self._link.close()
        self.lost("It was closed.")

    # -- what the link tells, on its thread

    def event(self, name: str, body: Json) -> None:
        """See Receiver."""
        hold(self._lock, lambda: self._note(name, body))
        self._tell(lambda receiver: receiver.event(name, body))
        if name == "terminated" and not self._is_leaving:
            self._link.request("disconnect", {})  # some wait for it before they go
            self.lost("Its debugging has ended.")

    def printed(self, text: str) -> None:
        """See Receiver."""
        self._tell(lambda receiver: receiver.printed(text))

    def run_ended(self, error: str) -> None:
        """See Receiver."""
        self._tell(lambda receiver: receiver.run_ended(error))

    def lost(self, why: str) -> None:
        """See Receiver."""

        def end() -> bool:
            is_first, self._why_ended = self._why_ended is None, self._why_ended or why
            self.stops.clear()
            return is_first

        if hold(self._lock, end):
            self._tell(lambda receiver: receiver.lost(why))
            self._link.close()

    def _moved(self, done: Future[Json], before: Json, arguments: Json) -> None:
        """Take note that a thread runs on, where the debuggee's answer alone tells it."""
        if done.exception() is not None or not done.result().get("success"):
            return
        thread = arguments.get("threadId", 0)
        if self.stops.get(thread) is before:  # neither `continued` nor another stop has come
            is_all = not arguments.get("singleThread", False)
            self.event("continued", {"threadId": thread, "allThreadsContinued": is_all})

    def _note(self, name: str, body: Json) -> None:
        match name:
            case "initialized":
                self._may_configure.set()
            case "stopped":
                self.stops.pop(body.get("threadId", 0), None)
                self.stops[body.get("threadId", 0)] = body
            case "continued" if body.get("allThreadsContinued"):
                self.stops.clear()
            case "continued":
                self.stops.pop(body.get("threadId", 0), None)
            case "exited":
                self.exit_code = body.get("exitCode")
            case "terminated":
                self.stops.clear()

    def _tell(self, tell: Callable[[Receiver], None]) -> None:
        for receiver in hold(self._lock, self._receivers.copy):
            tell(receiver)


def _is_ours(reply: Json) -> bool:
    """True for a refusal with a slug, by which nbdebug tells its errors."""
    details = (reply.get("body") or {}).get("error") or {}
    return "slug" in (details.get("variables") or {})
