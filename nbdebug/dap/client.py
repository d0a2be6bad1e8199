"""A client of the Debug Adapter Protocol over a socket: for tests, tools and the Python API.

Owns the pairing of replies with requests, and the queue of events. Any thread may ask; replies and
events come on the connection's reader thread. Every wait has a limit.
"""

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from time import monotonic
from typing import Any

from nbdebug import errors
from nbdebug.dap import transport
from nbdebug.dap.messages import Json
from nbdebug.dap.transport import Connection

LIMIT_S = 30.0


class DapClient:
    """Sends requests to a DAP server, and keeps its events until they are asked for."""

    def __init__(
        self, address: str | Connection, limit_s: float = LIMIT_S, *, keep_events: bool = True
    ) -> None:
        """Connect, or use a connection that there is. Raises BadAddress, ConnectionLost."""
        self.limit_s = limit_s
        self._keep_events = keep_events
        self.events: queue.SimpleQueue[Json] = queue.SimpleQueue()
        """Events as they came. At the end of the connection stands ``{}``."""
        self.on_message: Callable[[Json], None] = lambda message: None
        """Called with every message that comes, on the reader's thread."""
        self.on_end: Callable[[str], None] = lambda why: None
        """Called once with the reason for which the connection ended, on the reader's thread."""
        self.reverse: dict[str, Callable[[Json], Json]] = {}
        """What answers the server's requests: command -> arguments to body."""
        self._sequence = itertools.count(1)
        self._waiting: dict[int, Future[Json]] = {}
        self._lost = threading.Event()
        self._why = ""
        if isinstance(address, str):
            address = transport.connect(transport.parse_address(address), limit_s)
        self._connection = address
        self._connection.start(self._receive, self._ended)

    @property
    def is_open(self) -> bool:
        """False once the connection has ended."""
        return not self._lost.is_set()

    def request(self, command: str, arguments: Json | None = None) -> Future[Json]:
        """Send a request; return what becomes its whole reply, or raises ConnectionLost."""
        sequence = next(self._sequence)
        message: Json = {"seq": sequence, "type": "request", "command": command}
        if arguments is not None:
            message["arguments"] = arguments
        future: Future[Json] = Future()
        self._waiting[sequence] = future
        self._connection.send(message)
        if self._lost.is_set():
            self._fail_all()
        return future

    def reply(self, command: str, arguments: Json | None = None) -> Json:
        """Send a request and wait for its reply. Raises TookTooLong, ConnectionLost."""
        try:
            return self.request(command, arguments).result(self.limit_s)
        except FutureTimeout:
            raise errors.TookTooLong(
                f"`{command}` wasn't answered within {self.limit_s:g} s."
            ) from None

    def ask(self, command: str, **arguments: Any) -> Json:
        """Send a request that must succeed; return its body.

        Raises the server's error, TookTooLong, ConnectionLost.
        """
        return body_of(self.reply(command, arguments))

    def event(self, name: str, limit_s: float | None = None) -> Json:
        """Return the next event of this name, and drop those before. Raises TookTooLong, ..."""
        end = monotonic() + (self.limit_s if limit_s is None else limit_s)
        while True:
            try:
                event = self.events.get(timeout=max(end - monotonic(), 0.0))
            except queue.Empty:
                raise errors.TookTooLong(f"No `{name}` event came in time.") from None
            if not event:
                self.events.put(event)  # for whoever asks next
                raise errors.ConnectionLost(self._why)
            if event["event"] == name:
                return event

    def close(self) -> None:
        """End the connection: what is stopped there runs on."""
        self._connection.close(1.0)

    def forget(self) -> None:
        """In a forked child: the connection is the parent's, and ends with that."""
        self._connection.forget()

    # -- on the reader's thread

    def _receive(self, message: Json) -> None:
        self.on_message(message)
        match message.get("type"):
            case "response":
                future = self._waiting.pop(message.get("request_seq", 0), None)
                if future is not None:
                    future.set_result(message)
            case "event" if self._keep_events:
                self.events.put(message)
            case "request":
                self._connection.send(self._answer(message))

    def _answer(self, message: Json) -> Json:
        command = message.get("command", "")
        answer = self.reverse.get(command)
        reply: Json = {
            "seq": next(self._sequence),
            "type": "response",
            "request_seq": message.get("seq", 0),
            "command": command,
            "success": answer is not None,
        }
        if answer is not None:
            reply["body"] = answer(message.get("arguments") or {})
        return reply

    def _ended(self, why: str) -> None:
        self._why = why
        self._lost.set()
        self._fail_all()
        self.events.put({})
        self.on_end(why)

    def _fail_all(self) -> None:
        while self._waiting:
            try:
                _, future = self._waiting.popitem()
            except KeyError:
                return
            future.set_exception(errors.ConnectionLost(self._why))


def body_of(reply: Json) -> Json:
    """Return the body of a reply. Raises the error that it tells of, with the server's text."""
    if reply.get("success"):
        body: Json = reply.get("body") or {}
        return body
    details = (reply.get("body") or {}).get("error") or {}
    slug = (details.get("variables") or {}).get("slug", "")
    text = reply.get("message") or details.get("format") or "The request failed."
    raise errors.by_slug(slug)(text)
