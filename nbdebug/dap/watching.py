"""`nbdebug.watch()`: a watch as a Python object, and the frame in which a text means something.

Owns neither engine nor watches: they are those of this process. Called on the program's threads.
"""

import functools
import threading
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from nbdebug import errors
from nbdebug.dap import listening
from nbdebug.dap.watch_history import History
from nbdebug.engine.engine import Engine
from nbdebug.engine.evaluate import Frame, NamespaceFrame
from nbdebug.engine.watch import Watch
from nbdebug.engine.watch_model import Access, Action, WatchEvent, WatchInfo, WatchSpec, Way
from nbdebug.engine.watch_targets import Target, resolve
from nbdebug.engine.watches import Watches

P = ParamSpec("P")
T = TypeVar("T")


def watch(
    text: str,
    frame: FrameType,
    *,
    condition: str | None = None,
    on: str | Iterable[str] = "change",
    action: str | None = None,
    call: Callable[[WatchEvent], Any] | None = None,
    hits: str | int | None = None,
    once: bool = False,
    thread: str | None = None,
    keep: int = 1000,
    stack: bool = False,
    pending: bool = False,
    way: str = "auto",
) -> "WatchHandle":
    """Watch what ``text`` means in ``frame``; see `nbdebug.watch`."""
    try:
        accesses = tuple(Access(one) for one in ([on] if isinstance(on, str) else on))
        wanted = Action(action or ("call" if call is not None else "auto"))
        how = Way(way)
    except ValueError as error:
        raise errors.BadWatch(f"{error}.") from None
    engine = listening.session_here().engine
    spec = WatchSpec(
        accesses,
        wanted,
        condition,
        None if hits is None else str(hits),
        once,
        thread,
        call,
        keep,
        stack,
        how,
    )
    target = resolve(text, _frame_of_stop(engine) or frame, pending=pending)
    return WatchHandle(engine.watches.add(target, spec), engine.watches)


def resolve_here(
    engine: Engine, text: str, namespace: dict[str, Any], *, pending: bool = False
) -> Target:
    """Return what ``text`` means in the frame of the calling thread's stop, or in a namespace."""
    frame: Frame = _frame_of_stop(engine) or NamespaceFrame(namespace)
    return resolve(text, frame, pending=pending)


def _frame_of_stop(engine: Engine) -> FrameType | None:
    parked = engine.stops.parked(threading.get_ident())
    return None if parked is None else parked.frame


class WatchHandle:
    """A watch that was set: what it has seen, and its end.

    As a context manager it ends with the block. As a decorator it watches while the function runs.
    """

    def __init__(self, watch: Watch, watches: Watches) -> None:
        self._watch = watch
        self._watches = watches

    @property
    def history(self) -> History:
        """What it has seen, the oldest first; bounded by ``keep``."""
        return History(self._watch.target.text, tuple(self._watch.history))

    @property
    def info(self) -> WatchInfo:
        """How it stands now, and what serves it: mechanism, what that can't see, what it costs."""
        return self._watch.info()

    @property
    def hits(self) -> int:
        """How often it has hit."""
        return self._watch.hits

    @property
    def mechanism(self) -> str:
        """What serves it, as `%watch` shows it."""
        return self._watch.mechanism.name

    def close(self) -> None:
        """End the watch; its history stays."""
        self._watches.remove([self._watch])

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return ``function``, watched over while it runs."""
        self.close()

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with self:
                return function(*args, **kwargs)

        return run

    def __enter__(self) -> Self:
        self._watches.resume(self._watch)
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
