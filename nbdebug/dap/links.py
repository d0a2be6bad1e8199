"""How whatever can be debugged is reached: one interface, and the way over a socket.

Owns the socket's client; what else can be reached implements `Link` where it is at home. Requests
may be sent on any thread; what comes is told on the link's own thread.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from nbdebug.dap.client import DapClient
from nbdebug.dap.messages import Json
from nbdebug.engine import forks


class Receiver(Protocol):
    """Who is told what comes. Called on the link's thread; must not wait for a reply."""

    def event(self, name: str, body: Json) -> None:
        """A DAP event."""

    def printed(self, text: str) -> None:
        """The run that was begun has printed something."""

    def run_ended(self, error: str) -> None:
        """The run that was begun has ended, by an exception if there is an ``error``."""

    def lost(self, why: str) -> None:
        """Nothing more will come."""


class Link(Protocol):
    """A way to a debugger: DAP requests in, replies and events out."""

    def start(self, receiver: Receiver) -> None:
        """Begin to tell what comes. Called once."""

    def request(self, command: str, arguments: Json) -> Future[Json]:
        """Send a request; return what becomes its whole reply, or raises ConnectionLost.

        Never waits, and never raises: it is called on threads that must go on. What can't be done
        is a reply too, with ``success`` false and the reason.
        """

    def close(self) -> None:
        """End the link, and what it holds. May be called twice."""


class SocketLink:
    """A link to a script, or to what called `nbdebug.listen()`."""

    def __init__(self, address: str, limit_s: float) -> None:
        """Connect. Raises BadAddress, ConnectionLost."""
        self._client = DapClient(address, limit_s, keep_events=False)
        forks.call_in_child(self._client.forget)

    def start(self, receiver: Receiver) -> None:
        """See Link."""
        self._client.on_message = _told(receiver)
        self._client.on_end = receiver.lost

    def request(self, command: str, arguments: Json) -> Future[Json]:
        """See Link."""
        return self._client.request(command, arguments)

    def close(self) -> None:
        """See Link."""
        self._client.close()
        forks.no_more(self._client.forget)


def _told(receiver: Receiver) -> Callable[[Json], None]:
    def tell(message: Json) -> None:
        if message.get("type") == "event":
            receiver.event(message.get("event", ""), message.get("body") or {})

    return tell
