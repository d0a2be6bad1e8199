"""`nbdebug.watch()`: a watch as a Python object, and the frame in which a text means something.

Owns which engine of this process watches. Called on the program's threads.
"""

import contextlib
import threading
from types import TracebackType
from typing import Any, Self

from nbdebug.dap.watch_history import History
from nbdebug.engine.engine import Engine
from nbdebug.engine.evaluate import Frame, NamespaceFrame
from nbdebug.engine.watch_targets import Target, resolve
from nbdebug.engine.watches import Watch, Watches


def resolve_here(
    engine: Engine, text: str, namespace: dict[str, Any], *, pending: bool = False
) -> Target:
    """Return what ``text`` means in the frame of the calling thread's stop, or in a namespace."""
    frame: Frame = NamespaceFrame(namespace)
    parked = engine.stops.parked(threading.get_ident())
    if parked is not None:
        frame = parked.frame
    return resolve(text, frame, pending=pending)


class WatchHandle(contextlib.ContextDecorator):
    """A watch that was set: what it has seen, and its end.

    As a context manager or decorator it ends with the block or the function.
    """

    def __init__(self, watch: Watch, watches: Watches) -> None:
        self._watch = watch
        self._watches = watches

    @property
    def history(self) -> History:
        """What it has seen, the oldest first; bounded by ``keep``."""
        return History(self._watch.target.text, tuple(self._watch.history))

    @property
    def hits(self) -> int:
        """How often it has hit."""
        return self._watch.hits

    def close(self) -> None:
        """End the watch; its history stays."""
        self._watches.remove([self._watch])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watch.look("the end of the block")
        self.close()

    def __repr__(self) -> str:
        info = self._watch.info()
        return f"<watch {info.id} on {info.text}: {info.state}, {info.hits} hits>"
