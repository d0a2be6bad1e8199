"""All watches of the process by id: set, kept, removed, looked at; and who serves each.

Owns the list and the offers of the mechanisms; what one watch does is for watch. Set and removed on
any thread.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from nbdebug import errors
from nbdebug.engine import conditions
from nbdebug.engine.attribute_watches import AttributeWatches
from nbdebug.engine.deferred import Deferred
from nbdebug.engine.locks import locked, new_lock
from nbdebug.engine.mechanisms import Mechanism, Offer, Tell
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.usercode import UserCode
from nbdebug.engine.watch import Watch, WatchReports
from nbdebug.engine.watch_exact import ExactWatches
from nbdebug.engine.watch_model import (
    Access,
    Action,
    WatchSpec,
    Way,
)
from nbdebug.engine.watch_sites import SiteTable
from nbdebug.engine.watch_targets import Target

if TYPE_CHECKING:
    from nbdebug.engine.hardware_watches import HardwareWatches


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


def default_place(path: str, line: int) -> str:
    """Return what a place is called where no host knows better."""
    return f"{os.path.basename(path)} line {line}"
