"""What a program writes to its standard streams, told to a client as well.

Owns the `write` and `flush` attributes that it sets while it lasts; the streams stay the program's
own objects, and what it writes goes where it went. Any thread may write.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nbdebug.engine.locks import hold, new_lock

_CHARS = 4096
_CHANGED = ("write", "flush")

Tell = Callable[[str, str], None]


class Redirect:
    """Tells ``tell(category, text)`` what is written to sys.stdout and sys.stderr, by lines."""

    def __init__(self, tell: Tell) -> None:
        self._streams = [_Stream(category, tell) for category in ("stdout", "stderr")]

    def flush(self) -> None:
        """Tell what there is of a line."""
        for stream in self._streams:
            stream.flush()

    def close(self) -> None:
        """Leave the streams as they were."""
        for stream in self._streams:
            stream.close()


class _Stream:
    """One stream. `print` writes a line in pieces: they are told together."""

    def __init__(self, category: str, tell: Tell) -> None:
        self._category = category
        self._tell = tell
        self._pending = ""
        self._lock = new_lock()  # guards what is pending; reentrant, for signal handlers that write
        self._stream: Any = getattr(sys, category)
        own = getattr(self._stream, "__dict__", {})
        self._before = {name: own[name] for name in _CHANGED if name in own}
        with suppress(AttributeError, TypeError):  # None, or an object that allows no change
            write, flush = self._stream.write, self._stream.flush
            self._stream.write = lambda text, /: self._written(text, write(text))
            self._stream.flush = lambda: self._flushed(flush())

    def flush(self) -> None:
        text = hold(self._lock, lambda: self._take(""))
        if text:
            self._tell(self._category, text)

    def close(self) -> None:
        self.flush()
        for name in _CHANGED:
            with suppress(AttributeError):
                delattr(self._stream, name)
        for name, before in self._before.items():
            setattr(self._stream, name, before)

    def _written(self, text: object, result: Any) -> Any:
        if isinstance(text, str):
            is_due = "\n" in text or len(self._pending) + len(text) > _CHARS
            if not is_due:
                hold(self._lock, lambda: self._add(text))
            elif whole := hold(self._lock, lambda: self._take(text)):
                self._tell(self._category, whole)
        return result

    def _flushed(self, result: Any) -> Any:
        self.flush()
        return result

    def _add(self, text: str) -> None:
        self._pending += text

    def _take(self, text: str) -> str:
        whole, self._pending = self._pending + text, ""
        return whole
