"""Where a hardware watch was hit: the stack of the thread that hit, at the instruction that did.

Owns SIGTRAP while such watches are open; must not know what is watched. The kernel sends it to the
thread that hit, right after the access. There faulthandler, which is written in C and needs no
interpreter, writes the thread's stack into a pipe, and the interpreter runs `_on_signal` on the
main thread at its next chance: the end of a call, or of a loop's body.

Threads: any, under the caller's lock. What only the main thread may do, another one has it do
before it runs on. Source: Modules/faulthandler.c, Modules/signalmodule.c.
"""

import ctypes
import faulthandler
import os
import re
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from nbdebug.engine.watch_model import CodePlace

_HEADING: Final = "Stack (most recent call first):"
_LINE: Final = re.compile(r'  File "(.*)", line (\d+) in (.*)')
_ESCAPED: Final = re.compile(r"\\(?:x(..)|u(....)|U(........))")
_PIPE_BYTES: Final = 1 << 20
_SET_PIPE_SIZE: Final = 1031

_PENDING = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_add_pending = ctypes.PYFUNCTYPE(ctypes.c_int, _PENDING, ctypes.c_void_p)(
    ("Py_AddPendingCall", ctypes.pythonapi)
)


Stack = tuple[CodePlace, ...]
"""The innermost frame first, a hundred at most."""


class Traps:
    """SIGTRAP, from `open` to `close`. ``noticed`` is called on the main thread after hits."""

    def __init__(self, noticed: Callable[[FrameType | None], None]) -> None:
        self._noticed = noticed
        self._pipe: tuple[int, int] | None = None
        self._opened: Callable[[], None] = lambda: None
        self._text = ""

    @property
    def is_open(self) -> bool:
        """True while SIGTRAP comes here."""
        return self._pipe is not None

    def open(self, opened: Callable[[], None]) -> None:
        """Take SIGTRAP unless the program has it; ``opened`` is called once it comes here."""
        self._opened = opened
        if not self.is_open and hasattr(faulthandler, "register"):
            _on_main_thread(self._open)

    def close(self) -> None:
        """Give SIGTRAP back, after every watch that sends it has been closed."""
        self._opened = lambda: None
        if self._pipe is not None:
            # Python's handler is beneath, and takes what is still under way.
            faulthandler.unregister(signal.SIGTRAP)
            for end in self._pipe:
                os.close(end)
            self._pipe, self._text = None, ""
            _on_main_thread(self._give_back)

    def take(self) -> list[Stack]:
        """Return the stacks of the hits since the last time, the oldest first."""
        if self._pipe is None:
            return []
        try:
            while more := os.read(self._pipe[0], _PIPE_BYTES):
                self._text += more.decode("ascii", "replace")
        except BlockingIOError:
            pass
        text, self._text = self._text, ""
        return stacks_in(text)

    def _open(self) -> None:
        if self.is_open or signal.getsignal(signal.SIGTRAP) is not signal.SIG_DFL:
            return
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        _enlarge(writer)
        signal.signal(signal.SIGTRAP, self._on_signal)
        faulthandler.register(signal.SIGTRAP, file=writer, all_threads=False, chain=True)
        self._pipe = reader, writer
        self._opened()

    def _give_back(self) -> None:
        # Compared by ==: each look-up of a bound method makes a new one.
        if not self.is_open and signal.getsignal(signal.SIGTRAP) == self._on_signal:
            signal.signal(signal.SIGTRAP, signal.SIG_DFL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._noticed(frame)


def stacks_in(text: str) -> list[Stack]:
    """Return the stacks that faulthandler has written; what was cut off has fewer lines."""
    found = []
    for part in text.split(_HEADING)[1:]:
        lines = (_LINE.fullmatch(line) for line in part.splitlines())
        found.append(tuple(_place(line) for line in lines if line is not None))
    return found


def _place(line: "re.Match[str]") -> CodePlace:
    def plain(found: "re.Match[str]") -> str:
        return chr(int(found[1] or found[2] or found[3], 16))

    path, number, function = line.groups()
    return CodePlace(_ESCAPED.sub(plain, path), int(number), _ESCAPED.sub(plain, function))


def _enlarge(writer: int) -> None:
    from fcntl import fcntl  # not on Windows, which has no such watches

    try:
        fcntl(writer, _SET_PIPE_SIZE, _PIPE_BYTES)
    except OSError:  # the user's pipes may hold no more: the rest is told without its place
        pass


def _on_main_thread(call: Callable[[], Any]) -> None:
    """Run ``call`` on the main thread: now, or before it runs on."""
    if threading.current_thread() is threading.main_thread():
        call()
        return

    def run(_: int | None) -> int:
        _waiting.pop(id(pending), None)
        call()
        return 0

    pending = _PENDING(run)
    _waiting[id(pending)] = pending  # else nothing keeps the C function alive
    _add_pending(pending, None)


_waiting: dict[int, Any] = {}
