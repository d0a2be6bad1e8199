"""Seeing changes exactly, by the watcher of dicts: names, items, attributes, whoever writes them.

Owns which watched place lies in which dict, and what becomes of a recorded write; must not know how
writes are recorded (dictwatch), nor what a stop is. What is in a value, where it is a container, is
left to store sites. Records are fetched on the thread that wrote; any thread may arm and disarm.
"""

import sys
from threading import get_ident
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from nbdebug import errors
from nbdebug.engine import dictwatch, physical
from nbdebug.engine.checks import Hit
from nbdebug.engine.mechanisms import Mechanism, Tell, Test
from nbdebug.engine.monitor import PY_UNWIND, Monitor
from nbdebug.engine.store_sites import Kind, sites_of, write_sites
from nbdebug.engine.threads import other_frames
from nbdebug.engine.watch_checks import SiteWatch
from nbdebug.engine.watch_model import Access, WatchSpec, Way
from nbdebug.engine.watch_sites import SiteCheck, SiteTable, joined_hit
from nbdebug.engine.watch_targets import AttributeTarget, ItemTarget, NamespaceTarget, Target
from nbdebug.engine.watch_values import MISSING, Shadow, is_container, is_plain, is_same, remember

if TYPE_CHECKING:
    from nbdebug.engine._dictwatch import Record
    from nbdebug.engine._dictwatch import Watch as Handle

PURPOSE = "exact"

Place = tuple[dict[Any, Any], object]
"""A dict and a key of it."""


class ExactWatches:
    """The watches that go by the dict watcher, and the way of its records to them."""

    def __init__(self, monitor: Monitor, table: SiteTable) -> None:
        self.live: dict[Handle, ExactWatch] = {}
        """Falsy while nothing is watched so."""
        self._monitor = monitor
        self._table = table
        self._is_started = False
        self._telling: dict[int, None] = {}  # threads whose records are being told

    def offer(self, target: Target, spec: WatchSpec, tell: Tell) -> Mechanism | str:
        """See `mechanisms.Offer`."""
        reason = dictwatch.why_not()
        if reason is not None:
            return reason if isinstance(target, _IN_DICTS) else ""
        if isinstance(target, NamespaceTarget) and spec.way is not Way.EXACT:
            return ""  # store sites cost nothing at writes of other names
        if isinstance(target, ItemTarget) and not target.is_of_dict:
            return ""
        if Access.READ in spec.accesses:
            return "The watcher of dicts doesn't tell of reads."
        try:
            place_of(target)
            self.start()
        except errors.NotSupported as error:
            return str(error)
        return ExactWatch(target, spec, tell, self, self._table)

    def start(self) -> None:
        """Claim the interpreter's watcher, once. Raises NotSupported."""
        if not self._is_started:
            dictwatch.start(self._monitor)
            self._is_started = True

    def close(self) -> None:
        """Give it back."""
        self.live.clear()
        if self._is_started:
            self._is_started = False
            dictwatch.stop()

    def add(self, handle: "Handle", watch: "ExactWatch") -> None:
        """Have the records of a handle told to a watch."""
        self.live[handle] = watch
        self._monitor.want_globally(PURPOSE, PY_UNWIND)

    def remove(self, handle: "Handle") -> None:
        """Tell no more of it."""
        self.live.pop(handle, None)
        handle.close()
        if not self.live:
            self._monitor.want_globally(PURPOSE, 0)

    def written(self, frame: FrameType) -> tuple[Hit | None, bool]:
        """Tell what the calling thread has just written in ``frame``, at an event of it.

        The second is true if the events of this place must stay on.
        """
        ident = get_ident()
        self._telling[ident] = None
        try:
            records = dictwatch.at_event(frame)
            if not records:
                return None, records is not None
            return self._tell_all(frame, records), True
        finally:
            self._telling.pop(ident, None)

    def left(self, frame: FrameType) -> Hit | None:
        """Tell what was written in ``frame``, which an exception leaves before another event."""
        return self.written(frame)[0]

    def is_pending(self) -> bool:
        """True while some write is recorded and not told."""
        return bool(dictwatch.waiting())

    def is_awaited(self) -> bool:
        """True while another thread has written, and is still to tell of it."""
        here = get_ident()
        return any(ident != here for ident in list(self._telling)) or any(
            ident != here for ident, _ in dictwatch.waiting()
        )

    def settle(self) -> None:
        """Drop records that no event will come for: what differs is found by comparison."""
        if not self._is_started:
            return
        dictwatch.take()
        waiting = dictwatch.waiting()
        if waiting:
            tops = {**other_frames(), get_ident(): sys._getframe(1)}
            for ident, frame in waiting:
                if not _is_on_stack(frame, tops.get(ident)):
                    dictwatch.drop(ident, frame)

    def _tell_all(self, frame: FrameType, records: "list[Record]") -> Hit | None:
        hits = []
        for record in records:
            watch = self.live.get(record.handle) if record.handle is not None else None
            hit = watch.wrote(frame, record) if watch is not None else None
            if hit is not None:
                hits.append(hit)
        return joined_hit(hits)


class ExactWatch:
    """One watched place by the dict in which it lies."""

    name = "dict watcher"

    def __init__(
        self,
        target: Target,
        spec: WatchSpec,
        tell: Tell,
        watches: ExactWatches,
        table: SiteTable,
    ) -> None:
        self.test: Test | None = None
        self.target = target
        self._spec = spec
        self._accesses = frozenset(spec.accesses)
        self._tell = tell
        self._watches = watches
        self._table = table
        self._handles: list[Handle] = []
        self._known: object = MISSING
        self._content: SiteWatch | None = None
        self._replacing: _Replacing | None = None
        self._caught: dict[int, object] = {}  # by thread, what `except ... as` is about to delete

    # -- what it says of itself

    @property
    def sees(self) -> str:
        """What it sees."""
        also = ", and what changes it in place in your code" if self._content is not None else ""
        return f"every write, by whatever code{also}"

    @property
    def cannot_see(self) -> str:
        """What it finds only at the next check."""
        parts = []
        if Access.WRITE in self._accesses:
            parts.append("writes of the very object that is there")
        found_later = []
        if self._replacing is not None:
            found_later.append("a __dict__ replaced by setattr")
        if self._content is not None:
            found_later.append("changes inside of libraries")
        if found_later:
            parts.append(f"{', '.join(found_later)}: told at the next check")
        return "; ".join(parts)

    @property
    def cost(self) -> str:
        """What it costs."""
        if self._content is not None:
            return "a comparison at each statement of yours that changes some container"
        return "some 0.01 us for each write of another key there, 0.1 to 0.4 us for its own"

    # -- the mechanism

    def arm(self) -> None:
        """Begin to see, from the value that is there now. Raises NotSupported."""
        self._open(places_of(self.target, place_of(self.target)))
        if _is_instance(self.target):
            self._replacing = _Replacing(self)
            self._table.add(self._replacing)
        self._note(self.target.read())

    def disarm(self) -> None:
        """See nothing more."""
        self._close()
        if self._replacing is not None:
            self._table.remove(self._replacing)
            self._replacing = None
        if self._content is not None:
            self._content.disarm()
            self._content = None
        self._caught.clear()

    def look(self) -> tuple[object, object] | None:
        """Compare now; return the value last known and the one that is there, if they differ."""
        if self._watches.is_awaited():
            return None
        was_replaced = self._follow()
        if self._content is not None and not was_replaced:
            return self._content.look()
        known, value = self._last(), self.target.read()
        if is_same(known, value) or self._watches.is_awaited():
            return None
        self._note(value)
        return known, value

    # -- records

    def wrote(self, frame: FrameType, record: "Record") -> Hit | None:
        """Tell of one write, in ``frame``, right after it."""
        if record.kind == "ended" or self._is_hidden(record):
            return None
        old, new = self._value(record, record.old), self._value(record, record.new)
        if new is None and record.lasti in sites_of(frame.f_code).ends_of_except:
            self._caught[get_ident()] = old
            return None
        if new is MISSING and old is None:
            old = self._caught.pop(get_ident(), old)
        known, now = self._last(), self.target.read()
        self._note(now)
        if is_plain(old):
            same = is_same(old, new)
        else:
            same = is_same(remember(old), new)
            if same and now is new and not is_same(known, new):
                same, old = False, known  # it was changed in place, unseen, and then written
        kind = "write" if same else "delete" if new is MISSING else "change"
        if not self._is_wanted(kind, old, new):
            return None
        return self._tell(frame, dictwatch.line_of(record) or 0, kind, old, new)

    def _is_wanted(self, kind: str, old: object, new: object) -> bool:
        if kind == "write" and Access.WRITE not in self._accesses:
            return False
        if kind == "change" and self._accesses == {Access.DELETE}:
            return False
        if self.test is None or not (_is_known(old) and _is_known(new)):
            return True
        try:
            return bool(self.test(old, new))
        except Exception:  # told where it is tried again
            return True

    def was_replaced(self, frame: FrameType, line: int) -> Hit | None:
        """Tell of what ``o.__dict__ = other`` has changed, if it was this object's."""
        if not self._follow():
            return None
        known, value = self._last(), self.target.read()
        if is_same(known, value):
            return None
        self._note(value)
        kind = "delete" if value is MISSING else "change"
        return self._tell(frame, line, kind, known, value)

    # -- inside

    def _open(self, places: list[Place]) -> None:
        # What the C part drops unseen must be judged by one dict alone.
        is_one = len(places) == 1
        for mapping, key in places:
            handle = dictwatch.watch(
                mapping,
                key,
                only_changes=is_one and Access.WRITE not in self._accesses,
                condition=self._spec.condition if is_one else None,
                test=self.test if is_one else None,
            )
            self._handles.append(handle)
            self._watches.add(handle, self)

    def _close(self) -> None:
        for handle in self._handles:
            self._watches.remove(handle)
        self._handles.clear()

    def _follow(self) -> bool:
        """Watch the dict that the place lies in now; True if it is another one than before."""
        target = self.target
        if not self._handles or not isinstance(target, AttributeTarget) or target.owner is None:
            return False
        if not _is_instance(target):
            return False
        owner = target.owner.get()
        entries = physical.instance_dict(owner) if owner is not None else None
        if entries is None or id(entries) == self._handles[0].mapping_id:
            return False
        self._known = self._last()
        self._close()
        # Of a dict that it was given, as this one, even 3.13.0 tells.
        self._open(places_of(target, (entries, target.name)))
        return True

    def _last(self) -> object:
        """Return the value last known."""
        if self._content is not None:
            return self._content.known
        if len(self._handles) == 1:
            last = self._handles[0].last
            if last is not dictwatch.UNKNOWN:
                return last
        return self._known

    def _note(self, value: object) -> None:
        if self._content is None and is_container(value):
            # From now on what is in it is watched, too.
            self.target.also_content = True
            content = SiteWatch(
                self.target,
                self._accesses,
                self._table,
                self._tell,
                lambda frame: None,
                self._watches.is_awaited,
            )
            for handle in self._handles:  # what is compared must know of each write
                handle.unfilter()
            content.test = self.test
            content.arm()
            self._content = content
        elif self._content is not None:
            self._content.note(value)
        else:
            self._known = remember(value)

    def _value(self, record: "Record", value: object) -> object:
        """Return the value that the place had or has, by what its dict had or has."""
        if value is dictwatch.UNKNOWN:
            return self._last()
        if value is not dictwatch.ABSENT:
            return value
        return self._of_class() if _is_instance(self.target) else MISSING

    def _of_class(self) -> object:
        """Return what an object's class has under the name, where the object itself has nothing."""
        assert self.target.owner is not None and isinstance(self.target, AttributeTarget)
        found = physical.lookup(type(self.target.owner.get()), self.target.name)
        return MISSING if found is None else found[1]

    def _is_hidden(self, record: "Record") -> bool:
        """True for a write to a class while the object has an attribute of its own."""
        if len(self._handles) < 2 or record.mapping_id == self._handles[0].mapping_id:
            return False
        assert self.target.owner is not None and isinstance(self.target, AttributeTarget)
        entries = physical.instance_dict(self.target.owner.get())
        return entries is not None and self.target.name in entries


class _Replacing:
    """The sites of ``o.__dict__ = other``, which no dict tells of."""

    functions: frozenset[str] = frozenset()
    names = frozenset(("__dict__",))
    in_all_code = False
    follows_frames = False

    def __init__(self, watch: ExactWatch) -> None:
        self._watch = watch

    def concerns(self, code: CodeType, frame: FrameType) -> bool:
        """See SiteUser."""
        return True

    def checks_in(self, code: CodeType) -> list[tuple[int, int, SiteCheck]]:
        """See SiteUser."""
        return [
            (site.after, 0, self._check_after(site.line))
            for site in write_sites(code, Kind.ATTRIBUTE, "__dict__")
        ]

    def begins(self, frame: FrameType, is_start: bool) -> None:
        """See SiteUser."""

    def ends(self, frame: FrameType, yields: bool) -> None:
        """See SiteUser."""

    def _check_after(self, line: int) -> SiteCheck:
        return lambda depth: self._watch.was_replaced(sys._getframe(depth), line)


_IN_DICTS = (NamespaceTarget, AttributeTarget, ItemTarget)


def place_of(target: Target) -> Place:
    """Return the dict and the key of a target. Raises NotSupported with the reason."""
    match target:
        case NamespaceTarget():
            return target.namespace, target.name
        case AttributeTarget(owner=owner):
            assert owner is not None
            one = owner.get()
            found = physical.lookup(type(one), target.name)
            if not physical.is_a(one, type) and found and physical.is_descriptor(found[1]):
                raise errors.NotSupported(f"`.{target.name}` is a slot, and lies in no dict.")
            return dictwatch.namespace_of(one), target.name
        case ItemTarget(owner=owner) if target.is_of_dict:
            assert owner is not None
            return owner.get(), target.key
    raise errors.NotSupported(f"`{target.text}` doesn't lie in a dict.")


def places_of(target: Target, first: Place) -> list[Place]:
    """Return every dict in which the value of a target may lie; ``first`` is its own."""
    if not isinstance(target, AttributeTarget) or target.owner is None:
        return [first]
    if not _is_instance(target) or target.name in first[0]:
        return [first]
    classes = physical.mro(type(target.owner.get()))
    having = [one for one in classes if target.name in physical.class_dict(one)]
    made_in_python = [one for one in having if physical.is_heap_type(one)]
    return [first, *((dictwatch.namespace_of(one), target.name) for one in made_in_python)]


def _is_known(value: object) -> bool:
    """True for a value that a condition sees as it is."""
    return value is not MISSING and type(value) is not Shadow


def _is_instance(target: Target) -> bool:
    owner = target.owner
    return (
        isinstance(target, AttributeTarget)
        and owner is not None
        and not physical.is_a(owner.get(), type)
    )


def _is_on_stack(frame: FrameType | None, top: FrameType | None) -> bool:
    while top is not None:
        if top is frame:
            return True
        top = top.f_back
    return False
