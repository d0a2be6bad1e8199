"""What is to be told at the next instruction of a frame, where alone a stop is possible.

Owns who waits for which frame; must not know what for. For what is noticed where the program can't
stop: in a signal handler, in code of ours that the program calls. `ask` may be called anywhere, for
any thread; `at_event` on the thread whose event it is. A table of its own for each thread, replaced
and not changed: no lock.
"""

from collections.abc import Callable
from threading import get_ident
from types import FrameType

from nbdebug.engine import monitor
from nbdebug.engine.checks import Hit
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.watch_sites import joined_hit

PURPOSE = "deferred"

Told = Callable[[FrameType], Hit | None]


class Deferred:
    """Calls that wait for the next instruction of a frame."""

    def __init__(self, monitor_: Monitor) -> None:
        self.due: dict[int, tuple[FrameType, tuple[Told, ...], bool]] = {}
        """By thread; empty but for moments."""
        self._monitor = monitor_

    def ask(self, ident: int, frame: FrameType, call: Told, *, is_at_event: bool = False) -> None:
        """Have ``call`` called at the next instruction that the thread runs in ``frame``.

        ``is_at_event``: the callback of such an instruction has just begun, and will. What waited
        for another frame of the thread is dropped: it was left without an instruction.
        """
        known, calls, is_armed = self.due.get(ident, (None, (), False))
        if known is not frame:
            calls, is_armed = (), False
        is_armed = is_armed or not is_at_event
        self.due[ident] = frame, (*calls, call) if call not in calls else calls, is_armed
        if is_armed and not calls:
            self._monitor.arm(frame.f_code, PURPOSE, monitor.INSTRUCTION)

    def at_event(self, frame: FrameType) -> Hit | None:
        """Call what waits for this frame of the calling thread. For the INSTRUCTION callback."""
        ident = get_ident()
        waits = self.due.get(ident)
        if waits is None or waits[0] is not frame:
            return None
        self.due.pop(ident, None)
        _, calls, is_armed = waits
        if is_armed:
            self._monitor.disarm(frame.f_code, PURPOSE)
        hits = [call(frame) for call in calls]
        return joined_hit([hit for hit in hits if hit is not None])
