"""The user's threads: their ids for clients, names, and which threads are not the user's.

Owns the ids; must not know why a thread is stopped. Any thread may call.
"""

import sys
import threading
from collections.abc import Callable
from types import FrameType

from nbdebug import errors
from nbdebug.engine.locks import locked, new_lock

MAIN_ID = 1
"""The main thread's id: JupyterLab asks to continue and pause thread 1, whichever stopped."""


class Threads:
    """Gives each user thread a small number that it keeps for life."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {threading.main_thread().ident or 0: MAIN_ID}
        self._next_id = MAIN_ID + 1
        self._lock = new_lock()
        self.is_service: Callable[[threading.Thread], bool] = lambda thread: False
        """Says of a thread whether it serves the host; the kernel adds those that aren't marked."""

    def users(self) -> dict[int, str]:
        """Return ident -> name of the living user threads, the main one first."""
        main = threading.main_thread()
        others = [thread for thread in threading.enumerate() if thread is not main]
        known = {thread.ident: thread for thread in (main, *others) if thread.ident is not None}
        found = {i: thread.name for i, thread in known.items() if not self._serves(thread)}
        # Threads that were started with _thread alone have no name.
        raw = [ident for ident in sys._current_frames() if ident not in known]
        return {**found, **{ident: f"Thread-{ident}" for ident in raw}}

    def is_user(self, ident: int) -> bool:
        """True for a thread that may be stopped."""
        thread = thread_of(ident)
        return thread is None or not self._serves(thread)

    @locked
    def id_of(self, ident: int) -> int:
        """Return the client's id of a thread."""
        known = self._ids.get(ident)
        if known is None:
            known = self._ids[ident] = self._next_id
            self._next_id += 1
        return known

    def ident_of(self, id_: int) -> int:
        """Return the ident of the living user thread with this id. Raises UnknownThread."""
        known = list(self._ids.items())
        ident = next((ident for ident, one in known if one == id_), None)
        living = ident is not None and ident in sys._current_frames()
        if ident is None or not living or not self.is_user(ident):
            raise errors.UnknownThread(f"There is no user thread {id_}.")
        return ident

    @locked
    def forget_dead(self) -> None:
        """Drop the ids of threads that have ended, so that a reused ident is a new thread."""
        living = set(sys._current_frames())
        for ident in [i for i in self._ids if i not in living]:
            del self._ids[ident]

    def _serves(self, thread: threading.Thread) -> bool:
        # The mark that pydevd, and with it ipykernel, uses for threads that no debugger may stop.
        return bool(getattr(thread, "pydev_do_not_trace", False)) or self.is_service(thread)


def thread_of(ident: int) -> threading.Thread | None:
    """Return the Thread of an ident, found without the lock that threading itself may hold."""
    found: threading.Thread | None = threading._active.get(ident)  # type: ignore[attr-defined]
    return found


def other_frames() -> dict[int, FrameType]:
    """Return the frames that the other threads run now.

    In a variable, a dict with this thread's too would refer to itself: until the next collection
    it kept every thread's frames alive, and what is in their variables.
    """
    frames = sys._current_frames()
    del frames[threading.get_ident()]
    return frames


def top_frame(ident: int) -> FrameType | None:
    """Return the frame that a thread runs now, or None if it has none."""
    return sys._current_frames().get(ident)
