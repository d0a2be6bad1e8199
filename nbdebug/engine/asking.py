"""Which threads are asked to stop at their next event in user code, and why.

Owns that table and the events by which a thread notices; must not know what stops mean to clients.
The tracer reads the table at events; the rest is called by `Stops`, on any thread.
"""

import threading
from collections.abc import Iterable
from types import FrameType

from nbdebug.engine import monitor
from nbdebug.engine.model import StopReason
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.threads import Threads, top_frame
from nbdebug.engine.usercode import UserCode

PURPOSE = "pause"


class Asking:
    """Asks threads to stop. ``reasons`` has ident -> why; None where it is that others have."""

    def __init__(self, monitor_: Monitor, threads: Threads, user_code: UserCode) -> None:
        self.reasons: dict[int, StopReason | None] = {}
        self._monitor = monitor_
        self._threads = threads
        self._user_code = user_code

    def ask(self, ident: int, why: StopReason) -> None:
        """Have a thread stop at the first event of user code that it comes to."""
        self.reasons[ident] = why
        self._arm([ident])

    def ask_others(self, idents: list[int]) -> None:
        """Have threads stop because another one has."""
        for ident in idents:
            self.reasons.setdefault(ident, None)
        if idents:
            self._arm(idents)

    def ask_in(self, frame: FrameType, why: StopReason) -> None:
        """Have the calling thread stop in ``frame``, one of its callers, when it is back there."""
        self.reasons[threading.get_ident()] = why
        self._monitor.arm(frame.f_code, PURPOSE, monitor.INSTRUCTION)

    def forget_pause(self, ident: int) -> None:
        """Ask a thread no more to pause; another reason stays."""
        if self.reasons.get(ident) is StopReason.PAUSE:
            self.forget(ident)

    def forget(self, ident: int) -> None:
        """Ask a thread no more."""
        if self.reasons.pop(ident, self) is not self:
            self._end_if_none()

    def forget_others(self) -> None:
        """Ask nobody any more to stop because others have, nor threads that have ended."""
        living = self._threads.users()
        asked = list(self.reasons.items())
        for ident in [i for i, why in asked if why is None or i not in living]:
            self.reasons.pop(ident, None)
        self._end_if_none()

    def _end_if_none(self) -> None:
        if not self.reasons:
            self._monitor.disarm_all(PURPOSE)
            self._monitor.want_globally(PURPOSE, 0)

    def _arm(self, idents: Iterable[int]) -> None:
        """Have threads notice: in the code that they run, and in what they will come to."""
        seen: set[int] = set()
        for ident in idents:
            frame = self._user_code.nearest(top_frame(ident))
            while frame is not None:
                if id(frame.f_code) not in seen:
                    seen.add(id(frame.f_code))
                    # A one-line loop sends no LINE events: instructions are what always comes.
                    self._monitor.arm(frame.f_code, PURPOSE, monitor.INSTRUCTION)
                frame = self._user_code.nearest(frame.f_back)
        self._monitor.want_globally(PURPOSE, monitor.STARTS)
        self._monitor.look_again()
