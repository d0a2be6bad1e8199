"""Puts logged lines that still wait before whatever else is written to the same stream.

Owns what it changes on the stream, which is put back as soon as nothing waits.
"""

from collections.abc import Callable
from typing import Any

_METHODS = ("write", "flush")


class Ordered:
    """A stream of the kernel's. While `hold` lasts, writing to it first calls ``flush``."""

    def __init__(self, stream: Any, flush: Callable[[], None]) -> None:
        self._stream = stream
        self._flush = flush

    def hold(self) -> None:
        """Have what is written from now on come after what waits."""
        for name in _METHODS:
            if not isinstance(getattr(self._stream, name), _First):
                _First(self._stream, name, self._flush)

    def let_go(self) -> None:
        """Leave the stream as it was."""
        for name in _METHODS:
            own = vars(self._stream).get(name)
            if isinstance(own, _First):
                own.leave()

    def write(self, text: str) -> None:
        """Write to the stream, whether it is held or not."""
        write = self._stream.write
        (write.before if isinstance(write, _First) else write)(text)

    def flush(self) -> None:
        """Have it sent what was written, whether it is held or not."""
        flush = self._stream.flush
        (flush.before if isinstance(flush, _First) else flush)()


class _First:
    """Stands for a method of a stream. IPython, too, puts its own there while a cell runs."""

    def __init__(self, stream: Any, name: str, flush: Callable[[], None]) -> None:
        self.before = getattr(stream, name)
        self._is_own = name in vars(stream)
        self._stream, self._name, self._flush = stream, name, flush
        setattr(stream, name, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._flush()
        return self.before(*arguments, **options)

    def leave(self) -> None:
        if self._is_own:
            setattr(self._stream, self._name, self.before)
        else:
            vars(self._stream).pop(self._name, None)
