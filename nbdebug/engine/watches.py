"""Watches as the user means them: all of them by id, what each has seen, and what then happens.

Owns the list, the histories, conditions and actions; what is watched is for watch_targets, how a
change is seen for the mechanisms. Set and removed on any thread; events come on the writer's
thread, and take no lock unless something is to happen.
"""

import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from nbdebug import errors
from nbdebug.engine import conditions
from nbdebug.engine.attribute_watches import AttributeWatches
from nbdebug.engine.checks import Hit
from nbdebug.engine.deferred import Deferred
from nbdebug.engine.locks import locked, new_lock
from nbdebug.engine.mechanisms import Mechanism, Offer, Tell, chosen
from nbdebug.engine.model import Location
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.usercode import UserCode, is_own
from nbdebug.engine.value_text import error_text
from nbdebug.engine.watch_checks import SiteWatch
from nbdebug.engine.watch_conditions import frame_test, plain_test, value_of
from nbdebug.engine.watch_exact import ExactWatches
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
from nbdebug.engine.watch_values import MISSING, is_plain, text_of

if TYPE_CHECKING:
    from nbdebug.engine.hardware_watches import HardwareWatches

_STACK = 50
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
            self._decide(None, 0, "outside", *found, where)
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
        return self._decide(frame, line, kind, old, new, "", at)

    def _decide(
        self,
        frame: FrameType | None,
        line: int,
        kind: str,
        old: object,
        new: object,
        where: str,
        at: CodePlace | None = None,
    ) -> Hit | None:
        spec = self.spec
        error = ""
        accesses = spec.accesses
        if accesses == (Access.DELETE,) and new is not MISSING:
            return None
        if accesses == (Access.READ,) and kind != "read":
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
        event = self._event(frame, line, kind, old, new, where, at)
        self.history.append(event)
        return self._act(frame, event, old, new, error)

    def _act(
        self, frame: FrameType | None, event: WatchEvent, old: object, new: object, error: str
    ) -> Hit | None:
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

    def _event(
        self,
        frame: FrameType | None,
        line: int,
        kind: str,
        old: object,
        new: object,
        where: str,
        at: CodePlace | None,
    ) -> WatchEvent:
        old_text, new_text = text_of(old), text_of(new)
        path, function = "", ""
        if at is not None:
            path, line, function = at.path, at.line, at.function
        elif frame is not None:
            path, function = frame.f_code.co_filename, frame.f_code.co_qualname
        here = where or self._reports.place(path, line)
        since = self._seen_at if kind == "outside" else ""
        inside = f", in {function}()" if function and not function.startswith("<") else ""
        text = _sentence(self.target.text, kind, old_text, new_text, f"{here}{inside}", since)
        self._seen_at = here
        return WatchEvent(
            next(self._numbers),
            time.time(),
            kind,
            here,
            path,
            line,
            function,
            threading.current_thread().name if frame is not None else "",
            _task_name() if frame is not None else "",
            old_text,
            new_text,
            _kept(old, old_text),
            _kept(new, new_text),
            text,
            since,
            tuple(_stack(frame)) if self.spec.with_stack and frame is not None else (),
        )


class Watches:
    """All watches of the process."""

    def __init__(
        self, monitor_: Monitor, user_code: UserCode, reports: WatchReports, ids: Iterator[int]
    ) -> None:
        self.table = SiteTable(monitor_, user_code.is_user)
        self.reports = reports
        self.exact = ExactWatches(monitor_, self.table)
        self.deferred = Deferred(monitor_)
        self.attributes = AttributeWatches(self.deferred, reports.notice)
        self._user_code = user_code
        self._hardware: HardwareWatches | None = None
        self.offers: list[Offer] = [
            self.exact.offer,
            self.attributes.offer,
            lambda target, spec, tell: self.hardware().offer(target, spec, tell),
            self._offer_lines,
        ]
        """Better mechanisms than store sites, the best first; each may decline a target."""
        self._ids = ids
        self._all: dict[int, Watch] = {}
        # Held while watches change; never while user code runs.
        self._lock = new_lock()

    def add(self, target: Target, spec: WatchSpec, origin: str = "user", where: str = "") -> Watch:
        """Watch ``target``. Raises BadWatch, BadCondition, BadHitCondition."""
        check_spec(target, spec)
        return self._add(target, spec, origin, where)

    @locked
    def _add(self, target: Target, spec: WatchSpec, origin: str, where: str) -> Watch:
        watch = Watch(
            next(self._ids),
            target,
            spec,
            origin,
            self.table,
            [self._offer_lines] if spec.way is Way.LINES else self.offers,
            self.reports,
            self._ended,
        )
        watch.begin(where or "where it was set")
        self._all[watch.id] = watch
        return watch

    @locked
    def set_clients(
        self, wanted: Sequence[tuple[Target, WatchSpec]]
    ) -> list[Watch | errors.NbdebugError]:
        """Make these the client's watches; one that was there already keeps its history.

        Returns for each what it has become, or why it isn't watched.
        """
        there = [watch for watch in self._all.values() if watch.origin == "client"]
        kept: list[Watch | errors.NbdebugError | None] = []
        for target, spec in wanted:
            same = (w for w in there if w.target is target and w.spec == spec and w not in kept)
            kept.append(next(same, None))
        for watch in there:
            if watch not in kept:
                self._remove(watch)
        found: list[Watch | errors.NbdebugError] = []
        for one, (target, spec) in zip(kept, wanted, strict=True):
            try:
                found.append(one or self.add(target, spec, "client"))
            except errors.NbdebugError as error:
                found.append(error)
        return found

    def accesses(self, target: Target) -> frozenset[Access]:
        """Return what can be told of a target here, by whichever mechanism."""
        found = target.accesses
        if self.hardware().can_serve(target):
            found |= {Access.CHANGE, Access.WRITE, Access.READ}
        if self.attributes.can_serve(target):
            found |= {Access.WRITE, Access.READ}
        return found

    def hardware(self) -> "HardwareWatches":
        """Return what serves places in memory. What the first call loads, many do without."""
        if self._hardware is None:
            from nbdebug.engine.hardware_watches import HardwareWatches

            self._hardware = HardwareWatches(self.deferred, self.table, self._user_code.is_user)
        return self._hardware

    def named(self, text: str) -> list[Watch]:
        """Return the watches of what the user wrote, or of the id. Raises UnknownWatch."""
        found = [w for w in list(self._all.values()) if w.target.text == text or str(w.id) == text]
        if not found:
            raise errors.UnknownWatch(f"Nothing is watched as `{text}`.")
        return found

    def every(self) -> list[Watch]:
        """Return all watches in the order in which they were set."""
        return list(self._all.values())

    @locked
    def remove(self, watches: Iterable[Watch]) -> None:
        """End watches, and forget them."""
        for watch in watches:
            self._remove(watch)

    @locked
    def resume(self, watch: Watch) -> None:
        """Watch again what was removed; its history goes on."""
        if watch.id not in self._all and not watch.why_ended:
            self._all[watch.id] = watch
            watch.begin("where it was set")

    @locked
    def clear(self, of_clients_only: bool = False) -> None:
        """End every watch, or those of the client."""
        for watch in self.every():
            if watch.origin == "client" or not of_clients_only:
                self._remove(watch)

    def look(self, where: str) -> None:
        """Compare everything watched with what was last known; ``where`` says when that is."""
        self.exact.settle()
        for watch in self.every():
            if not watch.why_ended:
                watch.look(where)

    def look_at_stop(self, frame: FrameType) -> None:
        """Do what `look` does, before or after a stop in ``frame``."""
        place = self.reports.place(frame.f_code.co_filename, frame.f_lineno or 0)
        self.look(f"the stop at {place}")

    def forget_parent(self) -> None:
        """In a forked child: nothing is watched."""
        self._lock = new_lock()
        if self._hardware is not None:
            self._hardware.forget_parent()
        self.deferred.due.clear()
        self._all.clear()
        self.table.forget_parent()
        self.exact.close()

    def step_aside(self) -> None:
        """Record nothing more, after a failure of ours: no event comes any more."""
        self.exact.close()
        if self._hardware is not None:
            self._hardware.close()

    def close(self) -> None:
        """End every watch, and give back what they needed."""
        self.clear()
        self.exact.close()
        self.table.close()

    # -- inside

    def _offer_lines(self, target: Target, spec: WatchSpec, tell: Tell) -> Mechanism | str:
        # As for hardware: most do without.
        from nbdebug.engine.line_watches import offer_of

        return offer_of(target, spec, tell, self.table, self._user_code)

    def _remove(self, watch: Watch) -> None:
        self._all.pop(watch.id, None)
        watch.mechanism.disarm()

    @locked
    def _ended(self, watch: Watch, why: str) -> None:
        if watch.why_ended:
            return
        watch.why_ended = why
        watch.mechanism.disarm()
        if watch.target.owner is not None:
            watch.target.owner.let_go()
        self.reports.notice(f"Watch {watch.id} on `{watch.target.text}` has ended: {why}.")
        self.reports.changed(watch.info(), "changed")


def check_spec(target: Target, spec: WatchSpec) -> None:
    """Raise BadWatch, BadCondition or BadHitCondition for what can't be done."""
    if spec.condition:
        conditions.check_expression(spec.condition)
    if spec.hit_condition:
        conditions.compile_hit_condition(spec.hit_condition)
    if spec.action is Action.CALL and not callable(spec.call):
        raise errors.BadWatch("There is no function to call.")


_WHY = {
    Access.READ: "an object doesn't tell who reads its parts",
    Access.WRITE: "a write of an equal value can't be told from a write to another object",
    Access.CHANGE: "",
    Access.DELETE: "",
}


def _names_for(target: Target) -> dict[str, Any]:
    return target.namespace if isinstance(target, NamespaceTarget) else {}


def _sentence(name: str, kind: str, old: str, new: str, place: str, since: str) -> str:
    if kind == "outside":
        return f"{name} changed outside watched code between {since} and {place}: {old} -> {new}"
    if kind == "delete":
        return f"{name} was deleted at {place}: it was {old}"
    if kind == "read":
        return f"{name} was read at {place}: {new}"
    if kind == "write":
        return f"{name} was written: {new} at {place}"
    return f"{name} changed: {old} -> {new} at {place}"


def default_place(path: str, line: int) -> str:
    """Return what a place is called where no host knows better."""
    return f"{os.path.basename(path)} line {line}"


def _kept(value: Any, text: str) -> Any:
    """Return the value where keeping it does no harm, else its text."""
    found = value_of(value)
    if is_plain(found):
        return found
    if type(found).__module__ == "numpy" and getattr(found, "shape", None) == ():
        return found.item()
    return text


def _is_thread(wanted: str) -> bool:
    thread = threading.current_thread()
    return wanted in (thread.name, str(thread.ident), str(thread.native_id))


def _task_name() -> str:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return ""
    try:
        loop = asyncio._get_running_loop()
        task = asyncio.current_task(loop) if loop is not None else None
        return str(task.get_name()) if task is not None else ""
    except Exception:  # a loop of another make
        return ""


def _stack(frame: FrameType) -> Iterator[str]:
    one: FrameType | None = frame
    for _ in range(_STACK):
        if one is None:
            return
        if not is_own(one):
            yield f"{one.f_code.co_filename}:{one.f_lineno} in {one.f_code.co_qualname}"
        one = one.f_back
