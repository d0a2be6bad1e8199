"""The sessions of this process: what it debugs beside itself, and which one is current.

Owns the list and the choice, `here`; who shows it (a kernel's panel, magics) observes it. A session
is a `nbdebug.dap.remote.RemoteSession`, whatever it reaches; this process's own is None, has the
number 1, and is current while no other is. Any thread may call; observers are told on the thread
that calls or, of what comes from a session, on its link's, and must not wait there.
"""

import itertools
import os
from typing import Protocol

from nbdebug import errors
from nbdebug.dap.messages import Json
from nbdebug.dap.remote import RemoteSession
from nbdebug.engine import forks
from nbdebug.engine.locks import hold, locked, new_lock

OWN_ID = 1
OWN_NAME = "kernel"


class Observer(Protocol):
    """Who is told of the sessions."""

    def switched(self, before: RemoteSession | None, now: RemoteSession | None) -> None:
        """Another session is current."""

    def session_event(self, session: RemoteSession, name: str, body: Json) -> None:
        """A session has told an event."""

    def session_ended(self, session: RemoteSession, was_current: bool) -> None:
        """A session has ended, and left the list."""


class Sessions:
    """All sessions with other processes, by their numbers."""

    def __init__(self) -> None:
        self.observer: Observer | None = None
        self._all: dict[int, RemoteSession] = {}
        self._current: RemoteSession | None = None
        self._ids = itertools.count(OWN_ID + 1)
        self._lock = new_lock()  # held for moments: guards the list; nothing is called

    @property
    def current(self) -> RemoteSession | None:
        """The session that panel and magics speak to; None is this process's own."""
        return self._current

    @locked
    def all(self) -> list[RemoteSession]:
        """Return the sessions in the order in which they came."""
        return list(self._all.values())

    def add(self, session: RemoteSession, *, switch: bool = True) -> None:
        """Take a session into the list, as the current one unless told otherwise."""

        def take() -> None:
            session.id = next(self._ids)
            self._all[session.id] = session

        hold(self._lock, take)
        forks.call_in_child(self.forget_parent)
        session.start(_Told(self, session))
        if session.has_ended:  # before it was one of these
            self._ended(session)
        elif switch:
            self.switch(session)

    def find(self, text: str | int) -> RemoteSession | None:
        """Return the session with this number, pid or name; None is this process's own.

        Raises NoSession, AmbiguousSession.
        """
        wanted = str(text).strip()
        if wanted in (str(OWN_ID), OWN_NAME, str(os.getpid())):
            return None
        every = self.all()
        found = [one for one in every if wanted == str(one.id)]
        found = found or [one for one in every if wanted == str(one.pid)]
        found = found or [one for one in every if wanted in _names(one)]
        if not found:
            raise errors.NoSession(f"No session is called `{wanted}`.")
        if len(found) > 1:
            numbers = ", ".join(str(one.id) for one in found)
            raise errors.AmbiguousSession(f"`{wanted}` names several sessions: {numbers}.")
        return found[0]

    def of_pid(self, pid: int) -> RemoteSession | None:
        """Return the session with a process; None is this process's own. Raises NoSession."""
        if pid == os.getpid():
            return None
        found = next((one for one in self.all() if one.pid == pid), None)
        if found is None:
            raise errors.NoSession(f"No session is with a process {pid}.")
        return found

    def switch(self, session: RemoteSession | None) -> None:
        """Make a session the current one. Raises NoSession where it has ended meanwhile."""

        def change() -> RemoteSession | None:
            if session is not None and session.id not in self._all:
                raise errors.NoSession(f"{session.title} has ended.")
            before, self._current = self._current, session
            return before

        before = hold(self._lock, change)
        if before is not session and self.observer is not None:
            self.observer.switched(before, session)

    def forget_parent(self) -> None:
        """In a forked child: the sessions are the parent's."""
        self._lock = new_lock()
        self._all.clear()
        self._current = self.observer = None

    # -- what sessions tell

    def _event(self, session: RemoteSession, name: str, body: Json) -> None:
        if self.observer is not None:
            self.observer.session_event(session, name, body)

    def _ended(self, session: RemoteSession) -> None:
        def leave() -> bool | None:
            if self._all.pop(session.id, None) is None:
                return None
            was_current = self._current is session
            if was_current:
                self._current = None
            return was_current

        was_current = hold(self._lock, leave)
        if was_current is not None and self.observer is not None:
            if was_current:
                self.observer.switched(session, None)
            self.observer.session_ended(session, was_current)


class _Told:
    """A session's receiver: tells the list."""

    def __init__(self, sessions: Sessions, session: RemoteSession) -> None:
        self._sessions = sessions
        self._session = session

    def event(self, name: str, body: Json) -> None:
        self._sessions._event(self._session, name, body)

    def printed(self, text: str) -> None:
        """What it prints is for those who have begun it."""

    def run_ended(self, error: str) -> None:
        """A run's end is for those who have begun it."""

    def lost(self, why: str) -> None:
        self._sessions._ended(self._session)


def _names(session: RemoteSession) -> tuple[str, str]:
    return session.name, os.path.basename(session.name)


here = Sessions()
"""The sessions of this process."""
