"""One watch: what it decides about each event, what it remembers of them, and what then happens.

Owns conditions, counts, actions and the history. Must not know which other watches there are, nor
how a change is seen, which is for the mechanisms. Events come on the writer's thread, and take no
lock unless something is to happen.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from nbdebug import errors
from nbdebug.engine import conditions
from nbdebug.engine.checks import Hit
from nbdebug.engine.mechanisms import Mechanism, Offer, chosen
from nbdebug.engine.model import Location
from nbdebug.engine.value_text import error_text
from nbdebug.engine.watch_checks import SiteWatch
from nbdebug.engine.watch_conditions import frame_test, plain_test
from nbdebug.engine.watch_events import Change, event_of
from nbdebug.engine.watch_model import (
    Access,
    Action,
    CodePlace,
    WatchEvent,
    WatchInfo,
    WatchSpec,
    Way,
)
from nbdebug.engine.watch_sites import SiteTable
from nbdebug.engine.watch_targets import LocalTarget, NamespaceTarget, Target
from nbdebug.engine.watch_values import MISSING, text_of

_EVALUATED = "<nbdebug"
"""How the file names begin of what the user evaluates at a stop: that he knows of."""
_DIED = "the object that it watched has died"


@dataclass(slots=True)
class WatchReports:
    """What watches tell their owner; each is called on the thread where it happened."""

    log: Callable[[str, Location | None], None]
    notice: Callable[[str], None]
    changed: Callable[[WatchInfo, str], None]
    can_resume: Callable[[], bool]
    place: Callable[[str, int], str]
    """How a place in a source is called, such as ``cell [7] line 2``."""
    stop_on_condition_error: Callable[[], bool]


class Watch:
    """One logical watch: what it decides about each event, and what it remembers of them."""

    def __init__(
        self,
        id_: int,
        target: Target,
        spec: WatchSpec,
        origin: str,
        table: SiteTable,
        offers: list[Offer],
        reports: WatchReports,
        end: "Callable[[Watch, str], None]",
    ) -> None:
        self.id = id_
        self.target = target
        self.spec = spec
        self.origin = origin
        self.history: deque[WatchEvent] = deque(maxlen=max(1, spec.keep))
        self.hits = 0
        self.why_ended = ""
        self.error_reported = False
        self._numbers = itertools.count(1)
        self._counter = itertools.count(1)
        self._reports = reports
        self._end = end
        self._seen_at = ""
        self._test = frame_test(spec.condition, _names_for(target)) if spec.condition else None
        self._hit_test = (
            conditions.compile_hit_condition(spec.hit_condition) if spec.hit_condition else None
        )
        accesses = frozenset(spec.accesses)
        better, self._why_not = chosen(offers, target, spec, self._seen)
        if better is None:
            self._check_sites()
        sites = SiteWatch(target, accesses, table, self._seen, self._frame_ended)
        sites.condition = spec.condition
        self.mechanism: Mechanism = better or sites
        self.mechanism.test = plain_test(spec.condition) if spec.condition else None

    def _check_sites(self) -> None:
        target, spec = self.target, self.spec
        if spec.way is Way.LINES:
            said = f"`{target.text}` can't be compared at lines: {self._why_not}"
            raise errors.BadWatch(said)
        if spec.way is Way.EXACT:
            reason = self._why_not or "Store sites serve it as well."
            raise errors.BadWatch(f"`{target.text}` can't be watched exactly: {reason}")
        for access in spec.accesses:
            if access not in target.accesses:
                known = ", ".join(a for a in Access if a in target.accesses)
                said = f"`{target.text}` can't be watched for every {access}: {_WHY[access]}"
                raise errors.BadWatch(f"{said}. It can be for {known}. {self._why_not}".strip())

    def info(self) -> WatchInfo:
        """Return how it stands now."""
        target, mechanism = self.target, self.mechanism
        value = target.read()
        state = f"ended: {self.why_ended}" if self.why_ended else "watching"
        if isinstance(target, LocalTarget):
            is_pending = target.is_pending
        else:
            is_pending = value is MISSING
        if is_pending and not self.why_ended:
            state = "pending"
        sees = "; ".join(part for part in (mechanism.sees, target.note) if part)
        return WatchInfo(
            self.id,
            target.text,
            self.spec,
            state,
            mechanism.name,
            sees,
            mechanism.cannot_see,
            mechanism.cost,
            self._why_not,
            self.hits,
            self.history[-1] if self.history else None,
            "" if isinstance(target, LocalTarget) else text_of(value),
        )

    def begin(self, where: str) -> None:
        """Start to watch."""
        self._seen_at = where
        self.mechanism.arm()

    def look(self, where: str) -> None:
        """Tell of a change that no site has seen, and of the end of the watched object."""
        owner = self.target.owner
        if owner is not None and owner.is_gone():
            self._end(self, _DIED)
            return
        found = self.mechanism.look()
        if found is not None:
            self._decide(Change(None, 0, "outside", *found, where=where))
        self._seen_at = where

    # -- events

    def _seen(
        self,
        frame: FrameType | None,
        line: int,
        kind: str,
        old: object,
        new: object,
        at: CodePlace | None = None,
        /,
    ) -> Hit | None:
        owner = self.target.owner
        if owner is not None and owner.get() is None:
            self._end(self, _DIED)
            return None
        return self._decide(Change(frame, line, kind, old, new, at))

    def _decide(self, change: Change) -> Hit | None:
        spec = self.spec
        frame, old, new = change.frame, change.old, change.new
        error = ""
        accesses = spec.accesses
        if accesses == (Access.DELETE,) and new is not MISSING:
            return None
        if accesses == (Access.READ,) and change.kind != "read":
            return None
        if self._test is not None:
            try:
                if not self._test(frame, old, new):
                    return None
            except KeyboardInterrupt:
                raise
            except BaseException as raised:
                if old is MISSING or new is MISSING or self.error_reported:
                    return None
                self.error_reported = True
                error = f"The condition `{spec.condition}` raised {error_text(raised)}"
                if not (self._reports.stop_on_condition_error() and self._may_stop(frame)):
                    self._reports.notice(f"Watch {self.id} on `{self.target.text}`: {error}")
                    return None
        if spec.thread and not _is_thread(spec.thread):
            return None
        number = next(self._counter)
        if self._hit_test is not None and not self._hit_test.passes(number):
            return None
        self.hits += 1
        event = event_of(
            change,
            next(self._numbers),
            self.target.text,
            self._reports.place,
            self._seen_at,
            with_stack=spec.with_stack,
        )
        self._seen_at = event.place
        self.history.append(event)
        return self._act(frame, event, error)

    def _act(self, frame: FrameType | None, event: WatchEvent, error: str) -> Hit | None:
        spec, place = self.spec, None
        if frame is not None:
            place = Location(event.path, event.line, event.function)
        if spec.once:
            self._end(self, "it was asked for once")
        match spec.action:
            case Action.STOP | Action.AUTO if self._may_stop(frame):
                return Hit((self.id,), error, sentence=event.text)
            case Action.RAISE if frame is not None:
                return Hit((self.id,), raises=errors.DataChanged(event.text))
            case Action.CALL if spec.call is not None:
                self._call(spec.call, event)
            case _:
                self._reports.log(event.text, place)
        return None

    def _may_stop(self, frame: FrameType | None) -> bool:
        if frame is None or frame.f_code.co_filename.startswith(_EVALUATED):
            return False
        return self.spec.action is Action.STOP or (
            self.spec.action is Action.AUTO and self._reports.can_resume()
        )

    def _call(self, call: Callable[[WatchEvent], Any], event: WatchEvent) -> None:
        try:
            call(event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not self.error_reported:
                self.error_reported = True
                said = f"Watch {self.id}: its function raised {error_text(error)}"
                self._reports.notice(said)

    def _frame_ended(self, frame: FrameType) -> None:
        self._end(self, f"its frame, of {frame.f_code.co_qualname}, has ended")


_WHY = {
    Access.READ: "an object doesn't tell who reads its parts",
    Access.WRITE: "a write of an equal value can't be told from a write to another object",
    Access.CHANGE: "",
    Access.DELETE: "",
}


def _names_for(target: Target) -> dict[str, Any]:
    return target.namespace if isinstance(target, NamespaceTarget) else {}


def _is_thread(wanted: str) -> bool:
    thread = threading.current_thread()
    return wanted in (thread.name, str(thread.ident), str(thread.native_id))
