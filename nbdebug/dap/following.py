"""Follows the child processes of a session: each becomes a session too.

Owns the thread that connects to them, "nbdebug-children", as what tells of a child must not wait.
A child begins with the breakpoints and exception filters that its parent's session has by then.
"""

import os
import sys
from collections.abc import Callable

from nbdebug import errors
from nbdebug.dap import sessions
from nbdebug.dap.links import SocketLink
from nbdebug.dap.messages import Json, without_nones
from nbdebug.dap.points import RemoteBreakpoints
from nbdebug.dap.remote import RemoteSession
from nbdebug.dap.worker import Worker

_CONNECT_S = 5.0

Filters = Callable[[], Json | None]
"""Gives the arguments of the `setExceptionBreakpoints` that hold by now."""

_worker = Worker("nbdebug-children")


class Follower:
    """A session's receiver that has its children followed."""

    def __init__(self, session: RemoteSession, filters: Filters) -> None:
        self._session = session
        self._filters = filters

    def came(self, told: Json) -> None:
        """Take note that a child waits for its client."""
        _worker.put(told.get("address"), lambda: self._attach(told), lambda: None)

    def event(self, name: str, body: Json) -> None:
        """See Receiver."""
        if name == "nbdebug/childProcess":
            self.came({**body, "pid": body.get("systemProcessId")})

    def printed(self, text: str) -> None:
        """See Receiver: a child prints where its parent does."""

    def run_ended(self, error: str) -> None:
        """See Receiver."""

    def lost(self, why: str) -> None:
        """See Receiver: children may outlive their parent."""

    def _attach(self, told: Json) -> None:
        try:
            _attach(self._session, told, self._filters)
        except errors.NbdebugError as error:
            # The child waits for some seconds, and then runs on without us.
            sys.stderr.write(f"nbdebug: {told.get('name')} isn't followed: {error}\n")


def follow(session: RemoteSession, filters: Filters = lambda: None) -> Follower:
    """Have the children of a session be sessions. It must be attached with ``subProcess``."""
    follower = Follower(session, filters)
    session.start(follower)
    return follower


def _attach(parent: RemoteSession, told: Json, filters: Filters) -> None:
    link = SocketLink(str(told["address"]), _CONNECT_S)
    child = RemoteSession(
        link, kind="child", name=os.path.basename(str(told.get("name"))), pid=told.get("pid")
    )
    child.parent = parent
    settings = {**parent.settings, "token": told.get("token"), "stopOnEntry": None}
    child.begin(**without_nones(settings))
    if not parent.has_ended:
        breakpoints = RemoteBreakpoints(child)
        for info in RemoteBreakpoints(parent).infos():
            if info.enabled:
                breakpoints.add(info.spec)
    if (wanted := filters()) is not None:
        child.ask("setExceptionBreakpoints", **wanted)
    follow(child, filters)
    sessions.here.add(child, switch=False)
    child.ask("configurationDone")
