"""Child processes that a client follows, each as a session of its own.

Owns the address where children announce themselves; and in the child, the announcement, and the
waiting for the child's own client. Threads: announcements come on a reader's; a forked child waits
for its client before the fork returns there, at most `Orders.limit_s`.
"""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from nbdebug import errors
from nbdebug.dap import process_starts, transport
from nbdebug.dap.messages import Json
from nbdebug.dap.process_starts import Orders
from nbdebug.dap.transport import Connection, Listener, TcpAddress, UnixAddress
from nbdebug.engine import forks

if TYPE_CHECKING:
    from nbdebug.dap.listening import Listening

_ANNOUNCE_LIMIT_S = 2.0


class Children:
    """Follows the children of this process from now on, until closed."""

    def __init__(self, host: str, tell: Callable[[Json], None]) -> None:
        """``host``: where children listen; empty for a socket. ``tell`` is given announcements."""
        self._tell = tell
        self._folder = tempfile.mkdtemp(prefix="nbdebug-")  # of mode 0700
        path = os.path.join(self._folder, "children")
        self._listener = Listener(UnixAddress(path), self._arrives)
        self._orders = Orders(path, self._folder, host)
        _follow(self._orders)

    def close(self) -> None:
        """Follow no more; the children that there are keep their sessions."""
        process_starts.follow(None)
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget(self) -> None:
        """In a forked child: what was made is the parent's."""
        self._listener.forget()

    def _arrives(self, connection: Connection) -> None:
        def receive(message: Json) -> None:
            self._tell(message)
            connection.send({"type": "heard"})
            connection.close(_ANNOUNCE_LIMIT_S)

        connection.expect_within(_ANNOUNCE_LIMIT_S)
        connection.start(receive, lambda why: None)


def begin(orders: Orders, program: str) -> Callable[[int], None]:
    """In a child: wait for its client, if the parent has one; return what is told of its end."""
    process_starts.run_as_child(orders)
    if orders.forks_only:
        _follow(orders)
        return lambda status: None
    listener = _serve(orders, program)
    if listener is None:
        return lambda status: None
    return listener.main_ended


def _serve(orders: Orders, program: str) -> "Listening | None":
    """Listen, tell the parent, and wait for the client; None if the parent has left off."""
    from nbdebug.dap import listening  # which imports the session, and that imports this module

    address = f"unix:{os.path.join(orders.folder, str(os.getpid()))}"
    if orders.host:
        address = str(TcpAddress(orders.host, 0))
    try:
        listener = listening.listen(address, program=program)
    except errors.NbdebugError:
        return None
    announcement = {
        "type": "child",
        "pid": os.getpid(),
        "name": program,
        "address": listener.address,
        "token": listener.token,
    }
    if not _announce(orders.announce_to, announcement):
        listener.close()
        return None
    if orders.ends_with_client:
        # Who has made the folder is gone.
        listener.end_with_client(lambda: shutil.rmtree(orders.folder, ignore_errors=True))
    if not listener.wait_for_client(orders.limit_s) and sys.stderr is not None:
        sys.stderr.write(
            f"nbdebug: no client came for process {os.getpid()} within {orders.limit_s:g} s; "
            "it runs on\n"
        )
    return listener


def _announce(path: str, announcement: Json) -> bool:
    heard = threading.Event()
    try:
        connection = transport.connect(UnixAddress(path), _ANNOUNCE_LIMIT_S)
    except errors.ConnectionLost:
        return False
    connection.start(lambda message: heard.set(), lambda why: None)
    connection.send(announcement)
    was_heard = heard.wait(_ANNOUNCE_LIMIT_S)
    connection.close()
    return was_heard


def _follow(orders: Orders) -> None:
    forks.call_in_child(_forked)
    process_starts.follow(orders)


def _forked() -> None:
    """In a forked child, before its code goes on: it is a session too, if children are followed."""
    orders = process_starts.followed_fork()
    if orders is not None:
        with suppress(Exception):
            _serve(orders, sys.argv[0] if sys.argv else sys.executable)
