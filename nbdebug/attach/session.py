"""The attacher's side of an attached process: DAP requests to it, its replies and events.

Owns the connection once the engine is there, and the thread "nbdebug-alive", which tells the other
side now and then that this one is. Must not know how the agent came in. Any thread may send
requests; what comes is told on the connection's reader thread.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from nbdebug.attach import errors, policy
from nbdebug.attach.channel import Hello
from nbdebug.attach.records import Record
from nbdebug.dap import messages as m
from nbdebug.dap.client import DapClient
from nbdebug.dap.links import Receiver
from nbdebug.dap.messages import Json
from nbdebug.dap.transport import Connection, start_thread
from nbdebug.engine import forks

SILENCE_S = 60.0
"""An attacher from which nothing is heard for so long is taken for one that hangs."""
_ALIVE_S = 10.0
_RUNS_CODE = frozenset({"evaluate", "setVariable", "setExpression", "copyToGlobals", "completions"})
ALIVE: Json = {"seq": 0, "type": "event", "event": "nbdebug/alive"}


class AgentLink:
    """A link to the engine in another process; ``hello`` is what that process said of itself."""

    def __init__(
        self, connection: Connection, hello: Hello, record: Record, *, has_engine: bool = True
    ) -> None:
        self.has_engine = has_engine
        """False where debugpy is there in its place."""
        self.hello = hello
        self.record = record
        self.on_end: Callable[[], None] = lambda: None
        """Called once when the link is over, on the reader's thread."""
        self._receiver: Receiver | None = None
        self._ended = threading.Event()
        self._why = ""
        self._connection = connection
        self._client = DapClient(self._connection, keep_events=False)
        self._client.on_message = self._came
        self._client.on_end = self._lost
        forks.call_in_child(self._connection.forget)
        if has_engine:
            start_thread("nbdebug-alive", self._say_alive)

    @property
    def is_open(self) -> bool:
        """False once the other side, or this one, has ended the link."""
        return not self._ended.is_set()

    def start(self, receiver: Receiver) -> None:
        """See Link."""
        self._receiver = receiver
        if self._ended.is_set():
            receiver.lost(self._why)

    def request(self, command: str, arguments: Json) -> Future[Json]:
        """See Link. What runs code there raises an audit event here, whose hooks may forbid it."""
        if command in _RUNS_CODE:
            try:
                policy.audit("evaluate", self.hello.pid, command=command, arguments=arguments)
            except Exception as error:
                return _refused(command, error)
        return self._client.request(command, arguments)

    def close(self) -> None:
        """See Link. The engine leaves the process, also where it was never asked to."""
        self._client.close()
        self._ended.wait(1.0)

    def _came(self, message: Json) -> None:
        if message.get("type") == "event" and self._receiver is not None:
            self._receiver.event(message.get("event", ""), message.get("body") or {})

    def _lost(self, why: str) -> None:
        self._why = why
        forks.no_more(self._connection.forget)
        self.on_end()
        self._ended.set()
        if self._receiver is not None:
            self._receiver.lost(why)

    def _say_alive(self) -> None:
        while not self._ended.wait(_ALIVE_S):
            self._connection.send(ALIVE)


def _refused(command: str, error: Exception) -> Future[Json]:
    """Return the reply to a request that an audit hook of this process has forbidden."""
    forbidden = errors.AttachError(f"An audit hook forbids `{command}`: {error}.")
    future: Future[Json] = Future()
    future.set_result(
        {
            "type": "response",
            "seq": 1,
            "request_seq": 1,
            "success": False,
            "command": command,
            "message": m.sendable(str(forbidden)),
            "body": m.failure_body(command, forbidden),
        }
    )
    return future
