"""Where an exception will end: caught on its way out, or not.

Owns the way from the frame that raises to the end of the user's run; what one frame does is for
handlers to know, what C code in between does for calls. Runs on the user's thread at the raise.
"""

import threading
from dataclasses import dataclass
from itertools import pairwise
from types import FrameType

from nbdebug.engine import crossings
from nbdebug.engine.handlers import Fate, Handlers
from nbdebug.engine.sources import is_top_level
from nbdebug.engine.usercode import UserCode

_THREADING = threading.__file__


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to come of an exception; ``way`` is the frames up to the one that catches it."""

    fate: Fate
    way: tuple[FrameType, ...] = ()


class Propagation:
    """Judges the frames above a raise. What it calls `PASSES` surely isn't caught."""

    def __init__(self, user_code: UserCode) -> None:
        self.handlers = Handlers()
        self._user_code = user_code

    def in_run(self, frame: FrameType, cls: type, far: int) -> Outlook:
        """Return whether anything catches it before the cell, script or thread ends.

        Looks at ``far`` frames at most; `UNSURE` if that isn't the end.
        """
        way: list[FrameType] = []
        at: FrameType | None = frame
        while at is not None:
            if len(way) == far:
                return Outlook(Fate.UNSURE)
            way.append(at)
            if self.handlers.fate(at, cls) is Fate.CAUGHT and not self._is_threading(at):
                return Outlook(Fate.CAUGHT, tuple(way))
            if self.ends_run(at):
                break
            at = at.f_back
        while len(way) > 1 and self._is_threading(way[-1]):
            way.pop()
        return self._outlook(way, cls)

    def in_user_code(self, frame: FrameType, cls: type, far: int) -> Outlook:
        """Return whether user code catches it before it comes to a library, or the run's end.

        ``far`` as for `in_run`.
        """
        way: list[FrameType] = []
        at: FrameType | None = frame
        while at is not None and self._user_code.is_user(at):
            if len(way) == far:
                return Outlook(Fate.UNSURE)
            way.append(at)
            if self.handlers.fate(at, cls) is Fate.CAUGHT:
                return Outlook(Fate.CAUGHT, tuple(way))
            at = at.f_back
        return self._outlook(way, cls)

    def ends_run(self, frame: FrameType) -> bool:
        """True for the outermost frame of a cell or script."""
        return (
            is_top_level(frame.f_code)
            and self._user_code.is_user(frame)
            and self._user_code.nearest(frame.f_back) is None
        )

    def leaves_run(self, frame: FrameType, cls: type) -> bool:
        """True if an exception that leaves this frame ends the cell, the script or the thread."""
        if self.ends_run(frame):
            return True
        caller = frame.f_back
        if self._user_code.nearest(caller) is not None:
            return False
        return caller is None or self._only_threading(caller)

    def leaves_user_code(self, frame: FrameType) -> bool:
        """True if an exception that leaves this frame comes to a library, or to the run's end."""
        caller = frame.f_back
        return caller is None or not self._user_code.is_user(caller)

    def _only_threading(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if not self._is_threading(frame):
                return False
            frame = frame.f_back
        return True

    def _is_threading(self, frame: FrameType) -> bool:
        # Its handlers report what ends a thread.
        return frame.f_code.co_filename == _THREADING

    def _outlook(self, way: list[FrameType], cls: type) -> Outlook:
        if any(self.handlers.fate(frame, cls) is not Fate.PASSES for frame in way):
            return Outlook(Fate.UNSURE)
        for inner, outer in pairwise(way):
            if not crossings.hands_on(inner, outer, self.handlers.code_of(outer), cls):
                return Outlook(Fate.UNSURE)
        return Outlook(Fate.PASSES)
