"""The engine in a process that another one has attached to, and its session with the attacher.

Runs in the target only, put there by the agent: it is in no `sys.modules`. Owns what such a session
has beside a script's: a program that has long begun, and an end that leaves nothing. It is made and
begun on the agent's thread, which then ends; requests come on "nbdebug-reader".
"""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

from nbdebug.dap.messages import Json
from nbdebug.dap.script import ScriptSession
from nbdebug.dap.transport import Connection, adopt
from nbdebug.engine import forks

_FLUSH_S = 1.0
_LULL_S = 0.1
"""A client that has sent nothing for so long waits for nothing."""
_LOOK_AGAIN_S = 1.0


class Pace(Protocol):
    """See the agent's."""

    go_on: Callable[[], None]

    def hurry(self) -> None:
        """See the agent's."""

    def calm_down(self) -> None:
        """See the agent's."""


class ResidentSession(ScriptSession):
    """A script's session in a process that didn't ask for one."""

    def forked(self) -> None:
        """In a forked child: no client is here, and nothing is set up for one."""
        self.engine.forget_parent()
        self.is_attached = self.is_initialized = False
        self._leave()


class Resident:
    """One attach: from the moment the engine is there until nothing of it is."""

    def __init__(self, settings: Json, pace: Pace) -> None:
        self._pace = pace
        forks.told_by_another()
        self._silence_s: float = settings["silence_s"]
        self._session = ResidentSession(settings["name"])
        self._connection: Connection | None = None
        self._warning: object = None
        self._has_ended = False
        self._left: Callable[[], None] = lambda: None

    def begin(self, descriptor: int, left: Callable[[], None]) -> None:
        """Speak with the attacher; ``left`` is called when that is over, and nothing is on."""
        self._left = left
        self._connection = connection = adopt(descriptor)
        connection.expect_within(self._silence_s)
        connection.call_at_lull(_LULL_S, self._settle)
        self._session.take(connection.send)
        self._warning = forks.ignore_warning()
        atexit.register(self._program_ends)
        reader = connection.start(self._receive, self._lost)
        _tell_of_forks(reader, self._forked)

    # -- on the reader's thread

    def _receive(self, message: Json) -> None:
        if message.get("type") == "request":  # else it says only that the attacher is alive
            assert self._connection is not None
            self._pace.hurry()
            self._connection.call_at_lull(_LULL_S, self._settle)
            ends = message.get("command") == "disconnect"
            self._session.submit(message, lambda response: self._reply(response, ends))

    def _settle(self) -> None:
        """Calm down, unless the program has one thread, to which it is all one: look again then."""
        assert self._connection is not None
        self._pace.go_on()
        is_user = self._session.engine.threads.is_user
        if sum(map(is_user, sys._current_frames())) > 1:
            self._pace.calm_down()
        else:
            self._connection.call_at_lull(_LOOK_AGAIN_S, self._settle)

    def _reply(self, response: Json, ends: bool) -> None:
        assert self._connection is not None
        if ends:
            self._end()
        self._connection.send(response)
        if response["command"] != "initialize":
            self._connection.call_when_sent(self._pace.go_on)  # a person asks for what follows
        if ends:
            self._connection.close(_FLUSH_S)

    def _lost(self, why: str) -> None:
        """The connection is over: by `disconnect`, or because the attacher has died or hangs."""
        try:
            self._end()
        finally:
            self._left()

    # -- the end

    def _program_ends(self) -> None:
        self._end()
        if self._connection is not None:
            self._connection.close(_FLUSH_S)

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._pace.go_on()
        try:
            self._session.client_left()
        finally:
            self._session.program_ended(None)
            self._tidy()

    def _tidy(self) -> None:
        atexit.unregister(self._program_ends)
        forks.heed_warning(self._warning)

    def _forked(self) -> None:
        """In a forked child: the parent alone is debugged."""
        self._has_ended = True
        self._pace.calm_down()
        if self._connection is not None:
            self._connection.forget()
        self._session.forked()
        self._tidy()
        forks.forked()


def _tell_of_forks(thread: threading.Thread, told: Callable[[], None]) -> None:
    """Have ``told`` called in forked children while a thread lives.

    A hook of the interpreter's would stay for ever; threading tells each of its threads.
    """
    pid = os.getpid()
    name = "_after_fork" if hasattr(threading.Thread, "_after_fork") else "_stop"
    before: Any = getattr(thread, name)

    def tell(*arguments: Any, **options: Any) -> Any:
        if os.getpid() != pid:
            told()
        return before(*arguments, **options)

    setattr(thread, name, tell)
