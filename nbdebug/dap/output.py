"""What log messages print, collected for a moment and sent as few events.

Owns the lines that aren't sent yet; knows no client. A log message may come 50,000 times a second,
an event of its own for each would take longer than the program.

Threads: any may `add`, and pays for an append; `flush` sends on the calling thread, in order. The
thread "nbdebug-output", a daemon, flushes what nobody else has.
"""

import time
from collections import deque
from collections.abc import Callable

from nbdebug.dap.worker import Worker
from nbdebug.engine.locks import locked, new_lock
from nbdebug.engine.model import Location

_SOON_S = 0.02
_MANY = 20_000
"""Lines that may wait; the thread that adds more sends them itself, so that none is lost."""
_EVENT_LINES = 1000

Send = Callable[[str, Location], None]


class OutputBuffer:
    """Joins the lines of one place that come one after another, and has them sent.

    ``watch(True)`` is called when lines begin to wait, ``watch(False)`` before they are sent, and
    ``sent()``, on our thread alone, after.
    """

    def __init__(self, send: Send, watch: Callable[[bool], None], sent: Callable[[], None]) -> None:
        self._send = send
        self._watch = watch
        self._sent = sent
        self._is_watched = False
        self._lines: deque[tuple[str, Location]] = deque()
        self._is_due = False
        self._worker = Worker("nbdebug-output")
        self._lock = new_lock()

    def add(self, text: str, location: Location) -> None:
        """Have a line sent soon."""
        lines = self._lines
        lines.append((text, location))
        if not self._is_watched:
            self._is_watched = True
            self._watch(True)
        if not self._is_due:
            self._is_due = True
            self._worker.put(self, self._flush_soon, self.flush)
        elif len(lines) > _MANY:
            self.flush()

    @locked
    def flush(self) -> None:
        """Send what was added before."""
        lines = self._lines
        if self._is_watched:
            self._is_watched = False
            self._watch(False)
        while lines:
            text, location = lines.popleft()
            joined = [text]
            while lines and lines[0][1] is location and len(joined) < _EVENT_LINES:
                joined.append(lines.popleft()[0])
            self._send("\n".join(joined) + "\n", location)

    def close(self) -> None:
        """Send what is left, and end the thread."""
        self._worker.close()
        self.flush()

    def _flush_soon(self) -> None:
        time.sleep(_SOON_S)
        self._is_due = False
        self.flush()
        self._sent()
