"""Locks that Ctrl-C can't leave locked.

Owns nothing. On 3.14 an interrupt may come between a `with` statement's taking a lock and the range
in which it would give it back, and the lock is then held for ever; the main thread, which is
interrupted, takes our locks at every stop. Here the lock is taken inside `try`.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, Protocol


class HasLock(Protocol):
    """An object whose `_lock` guards its methods."""

    _lock: Any


def new_lock() -> Any:
    """Return a reentrant lock for `hold`; typeshed doesn't know that it can be asked its owner."""
    return threading.RLock()


def hold[T](lock: Any, call: Callable[[], T]) -> T:
    """Return what ``call`` returns, made with the lock held."""
    if lock._is_owned():
        return call()
    interrupt: BaseException | None = None
    try:
        lock.acquire()
        return call()
    finally:
        while True:
            try:
                if lock._is_owned():
                    lock.release()
                break
            except BaseException as error:  # Ctrl-C once more: first the lock is given back
                interrupt = error
        if interrupt is not None:
            raise interrupt


def locked[S: HasLock, **P, T](
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """Have a method run with its object's `_lock` held."""

    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return hold(self._lock, lambda: method(self, *args, **kwargs))

    functools.update_wrapper(run, method)
    return run
