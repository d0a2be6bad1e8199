"""The user's threads: their ids for clients, names, and which threads are not the user's.

Owns the ids; must not know why a thread is stopped. Any thread may call.
"""

import sys
import threading
from collections.abc import Callable
from types import FrameType

from nbdebug import errors

MAIN_ID = 1
"""The main thread's id: JupyterLab asks to continue and pause thread 1, whichever stopped."""


class Threads:
    """Gives each user thread a small number that it keeps for life."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {threading.main_thread().ident or 0: MAIN_ID}
        self._next_id = MAIN_ID + 1
        self._lock = threading.Lock()
        self.is_service: Callable[[threading.Thread], bool] = lambda thread: False
        """Says of a thread whether it serves the host; the kernel adds those that aren't marked."""

    def users(self) -> dict[int, str]:
        """Return ident -> name of the living user threads, the main one first."""
        main = threading.main_thread()
        others = [thread for thread in threading.enumerate() if thread is not main]
        return {
            thread.ident: thread.name
            for thread in (main, *others)
            if thread.ident is not None and not self._serves(thread)
        }

    def is_user(self, ident: int) -> bool:
        """True for a thread that may be stopped."""
        thread = threading._active.get(ident)  # type: ignore[attr-defined]  # without its lock
        return thread is not None and not self._serves(thread)

    def id_of(self, ident: int) -> int:
        """Return the client's id of a thread."""
        with self._lock:
            known = self._ids.get(ident)
            if known is None:
                known = self._ids[ident] = self._next_id
                self._next_id += 1
            return known

    def ident_of(self, id_: int) -> int:
        """Return the ident of the living user thread with this id. Raises UnknownThread."""
        with self._lock:
            ident = next((ident for ident, known in self._ids.items() if known == id_), None)
        if ident is None or not self.is_user(ident):
            raise errors.UnknownThread(f"There is no user thread {id_}.")
        return ident

    def forget_dead(self) -> None:
        """Drop the ids of threads that have ended, so that a reused ident is a new thread."""
        living = sys._current_frames().keys()
        with self._lock:
            for ident in [i for i in self._ids if i not in living]:
                del self._ids[ident]

    def _serves(self, thread: threading.Thread) -> bool:
        # The mark that pydevd, and with it ipykernel, uses for threads that no debugger may stop.
        return bool(getattr(thread, "pydev_do_not_trace", False)) or self.is_service(thread)


def top_frame(ident: int) -> FrameType | None:
    """Return the frame that a thread runs now, or None if it has none."""
    return sys._current_frames().get(ident)
