"""Watches on `__slots__`, and on reads of an object's attribute: its class becomes a one-off one.

Owns the way from the property of the one-off class to the event; the classes are classswap's. What
is seen is told in the property's function, on the thread that reads or writes; a stop waits for the
next instruction of that code. Nothing is held, no lock is taken.
"""

import sys
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any, Final

from nbdebug.engine import classswap, physical
from nbdebug.engine.classswap import ABSENT, AttributeWatch
from nbdebug.engine.deferred import Deferred
from nbdebug.engine.mechanisms import Mechanism, Tell
from nbdebug.engine.usercode import OWN_FOLDER, is_own
from nbdebug.engine.watch_model import Access, WatchSpec, Way
from nbdebug.engine.watch_targets import AttributeTarget, Target
from nbdebug.engine.watch_values import MISSING, is_container, is_same, remember

_ENGINE: Final = OWN_FOLDER + "engine"
_KINDS: Final = {"added": "change", "modified": "change", "deleted": "delete", "read": "read"}


class AttributeWatches:
    """Makes such watches. ``notice`` says aloud what the program could notice."""

    def __init__(self, deferred: Deferred, notice: Callable[[str], None]) -> None:
        self.deferred = deferred
        self.notice = notice

    def offer(self, target: Target, spec: WatchSpec, tell: Tell) -> Mechanism | str:
        """See `mechanisms.Offer`."""
        if not isinstance(target, AttributeTarget) or target.owner is None:
            return ""
        owner = target.owner.get()
        needs = Access.READ in spec.accesses
        if not needs and (spec.way is Way.SITES or physical.instance_dict(owner) is not None):
            return ""
        if not needs and is_container(target.read()):
            return ""  # what is in the value is watched with it
        reason = classswap.why_not(owner)
        if reason is not None:
            return reason
        return PropertyWatch(self, target, frozenset(spec.accesses), tell)

    def can_serve(self, target: Target) -> bool:
        """True if the object's class may be swapped."""
        owner = target.owner.get() if target.owner is not None else None
        return isinstance(target, AttributeTarget) and classswap.why_not(owner) is None


class PropertyWatch:
    """One attribute of one object: a Mechanism."""

    name = "one-off subclass"

    def __init__(
        self,
        all_: AttributeWatches,
        target: AttributeTarget,
        accesses: frozenset[Access],
        tell: Tell,
    ) -> None:
        self.test: Callable[[object, object], Any] | None = None
        self._all, self._target, self._accesses, self._tell = all_, target, accesses, tell
        self._watch: AttributeWatch | None = None
        self._value: object = MISSING

    @property
    def sees(self) -> str:
        """What it sees."""
        what = "reads, writes and deletions" if Access.READ in self._accesses else "writes"
        return f"{what} of it by any code, setattr too"

    @property
    def cannot_see(self) -> str:
        """What it finds only at the next check."""
        owner = self._target.owner.get() if self._target.owner is not None else None
        has_dict = physical.instance_dict(owner) is not None
        parts = [*(("__dict__[...] =",) if has_dict else ()), "C code that writes past it"]
        return ", ".join(parts) + ": told at the next check"

    @property
    def cost(self) -> str:
        """What it costs."""
        what = "some 0.3 us for each access, and nothing for other objects"
        return f"{what}; its type() is another class meanwhile"

    def arm(self) -> None:
        """Begin to see, from the value that is there now. Raises NotSupported."""
        owner = self._target.owner.get() if self._target.owner is not None else None
        if owner is None:
            return
        reads = Access.READ in self._accesses
        self._value = remember(self._target.read())
        self._watch = AttributeWatch(owner, self._target.name, self._seen, reads=reads)
        self._all.notice(f"`{self._target.text}`: {classswap.NOTICE}")

    def disarm(self) -> None:
        """See nothing more."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def look(self) -> tuple[object, object] | None:
        """Compare now; return the value last known and the one that is there, if they differ."""
        before, value = self._value, self._target.read()
        if is_same(before, value):
            return None
        self._value = remember(value)
        return before, value

    def _seen(self, kind: classswap.Kind, old: object, new: object) -> None:
        frame = sys._getframe(2)  # this one's caller is the property's function
        before = MISSING if old is ABSENT else old
        after = MISSING if new is ABSENT else new
        if kind != "read":
            self._value = remember(after)
        told = self._told(kind, before, after)
        if told is None or (kind == "read" and _is_ours(frame)):
            return
        writer: FrameType | None = frame
        while writer is not None and is_own(writer):
            writer = writer.f_back
        if writer is None:
            return
        hit = self._tell(writer, writer.f_lineno or 0, told, before, after)
        if hit is not None:
            found = hit
            self._all.deferred.ask(get_ident(), writer, lambda _: found)

    def _told(self, kind: classswap.Kind, before: object, after: object) -> str | None:
        """Return what this is told as, None where it isn't asked for."""
        if kind == "read":
            return "read" if Access.READ in self._accesses else None
        if not self._accesses - {Access.READ}:
            return None
        if is_same(remember(before), after):
            return "write" if Access.WRITE in self._accesses else None
        return _KINDS[kind]


def _is_ours(frame: FrameType | None) -> bool:
    """True for code of the engine, and for what it evaluates at a stop."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(_ENGINE):
            return True
        frame = frame.f_back
    return False
