"""Seeing changes at sites: what runs before a store, after it, and when the frame ends.

Owns the state of one watched place, which is the value last known, and the checks made of it. Runs
on user threads, takes no lock, and must be fast when it says no: `fast_checks` are what each write
of a watched name costs.
"""

import time
from collections.abc import Callable
from sys import _getframe as getframe
from threading import get_ident
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from nbdebug import compat
from nbdebug.engine.fast_checks import check_of_local, check_of_place
from nbdebug.engine.mechanisms import Tell, Test
from nbdebug.engine.monitor import DISABLE
from nbdebug.engine.quicksites import Quick
from nbdebug.engine.store_sites import (
    Kind,
    Site,
    content_sites,
    is_shared,
    read_sites,
    write_sites,
)
from nbdebug.engine.watch_model import Access
from nbdebug.engine.watch_sites import Entry, SiteCheck, SiteTable
from nbdebug.engine.watch_targets import (
    AttributeTarget,
    ItemTarget,
    LocalTarget,
    NamespaceTarget,
    Target,
)
from nbdebug.engine.watch_values import MISSING, is_container, is_plain, is_same, remember

if TYPE_CHECKING:
    from nbdebug.engine._dictwatch import Place

_LOOKS = 1000
"""How many times the value is looked at before a store, too, while it is plain: it shows what was
changed from outside. After these the place is hot, and is looked at after each store only."""
_UNKNOWN = object()
_TRIES = 20


def slot_of_value() -> object:
    """Return the slot in which a `State` keeps its value."""
    return vars(State)["value"]


class State:
    """What is known of a place: its value, or what stands for it, and where it was seen last."""

    __slots__ = ("left", "value")

    def __init__(self, value: object) -> None:
        self.value = remember(value)
        self.left = _LOOKS


class SiteWatch:
    """One watched place by the sites of its writes. ``tell`` says what becomes of an event.

    ``elsewhere`` is given where another mechanism sees the writes of the place itself, and only
    what is in its value is left to sites: it says whether a write is still to be told of there.
    """

    name = "store sites"

    def __init__(
        self,
        target: Target,
        accesses: frozenset[Access],
        table: SiteTable,
        tell: Tell,
        ended: Callable[[FrameType], None],
        elsewhere: Callable[[], bool] | None = None,
    ) -> None:
        self.test: Test | None = None
        """A condition on the old and new value alone, tried before all else."""
        self.condition: str | None = None
        """The condition's text."""
        self.target = target
        self._accesses = accesses
        self._table = table
        self._tell = tell
        self._ended = ended
        self._elsewhere = elsewhere
        self._written = target.names if elsewhere is None else ()
        self._local = target if isinstance(target, LocalTarget) else None
        self._places: dict[int, State] = {}  # of locals, by the id of their frame
        self._place = State(MISSING)
        # True once a value couldn't be kept: from then on the place is read before each store.
        self.is_careful = False
        # By thread, what is about to be written, and the object that is there.
        self._before: dict[int, list[tuple[FrameType, object]]] = {}
        self.cached: tuple[Any, Any, Any] = (None, None, None)
        self._quick: Place | None = None  # what C knows of the place
        self.in_all_code = target.also_content
        self.follows_frames = self._local is not None
        self.functions = frozenset(
            (self._local.qualname.rpartition(".")[2],) if self._local is not None else ()
        )
        is_named = self._local is None
        self.names = frozenset(name for _, name in self._written) if is_named else frozenset()

    # -- what it says of itself

    @property
    def sees(self) -> str:
        """What it sees."""
        what = "each instruction that writes it" if self.target.names else "writes of items"
        also = ", and what changes it in place in your code" if self.target.also_content else ""
        return f"{what}{also}"

    @property
    def cannot_see(self) -> str:
        """What it finds only at the next check."""
        if self._local is not None:
            return "writes through frame.f_locals or by a debugger"
        parts = ["writes by C code"]
        if isinstance(self.target, NamespaceTarget):
            parts = ["globals()[...] =", "setattr", *parts]
        elif self.target.names:
            parts = ["setattr", "__dict__[...] =", *parts]
        if self.target.also_content:
            parts.append("changes inside of libraries")
        return ", ".join(parts) + ": told at the next check"

    @property
    def cost(self) -> str:
        """What it costs."""
        if self.target.also_content:
            return "a comparison at each statement of yours that changes some container"
        return "nothing until it is written; then some 0.1 to 0.3 us for each write"

    # -- the mechanism

    def arm(self) -> None:
        """Begin to see, from the value that is there now."""
        value = self.target.read()
        self._place = State(value)
        self.is_careful = not is_plain(value)
        self._quick = None
        self._table.add(self)

    def disarm(self) -> None:
        """See nothing more."""
        self._table.remove(self)
        self.cached = (None, None, None)
        if self._quick is not None:
            self._quick.leave(None)
        self._before.clear()
        self._places.clear()

    @property
    def known(self) -> object:
        """The value last known, as `watch_values.remember` has it."""
        return self._place.value

    def note(self, value: object) -> None:
        """Take note of a value that another mechanism has told of."""
        self._remember(self._place, value)

    def look(self) -> tuple[object, object] | None:
        """Compare now; return the value last known and the one that is there, if they differ."""
        self._before.pop(get_ident(), None)
        if self._local is not None:
            return None
        state = self._place
        value, before = self.target.read(), state.value
        if is_same(before, value):
            return None
        for _ in range(_TRIES):  # another thread that is about to tell of it does so by then
            if self._is_from_outside(state, before, value, None):
                break
            time.sleep(0)
            value, before = self.target.read(), state.value
        else:
            return None
        if is_same(before, value):
            return None
        self._remember(state, value)
        return before, value

    def _is_from_outside(
        self, state: State, known: object, value: object, frame: FrameType | None
    ) -> bool:
        """True unless another thread's store may have done it, which will tell of it itself."""
        if self._table.is_in_flight() or (self._elsewhere is not None and self._elsewhere()):
            return False
        return state.value is known and is_same(remember(value), self.target.read(frame))

    # -- what the table asks

    def concerns(self, code: CodeType, frame: FrameType) -> bool:
        """See SiteUser."""
        return self.target.also_content or self.target.is_place_of(code, frame)

    def checks_in(self, code: CodeType) -> list[Entry]:
        """See SiteUser."""
        found: list[Entry] = []
        seen: set[int] = set()
        if self._accesses != {Access.READ}:
            for kind, name in self._written:
                for site in write_sites(code, kind, name):
                    seen.add(site.offset)
                    found.append((site.after, 0, *self._check_after(site, kind, code)))
                    found.append((site.offset, 1, self._check_before(site, kind)))
            for site in content_sites(code) if self.target.also_content else ():
                if site.offset not in seen:
                    found.append((site.after, 0, self._content_after(site)))
                    found.append((site.offset, 1, self._check_before(site, None)))
        if Access.READ in self._accesses:
            for kind, name in self.target.names:
                sites = read_sites(code, kind, name)
                found += [(site.offset, 2, self._check_read(site, kind)) for site in sites]
        return found

    def begins(self, frame: FrameType, is_start: bool) -> None:
        """See SiteUser: a frame that starts has a new place, with the value of its argument."""
        local = self._local
        if local is None or (local.frame_id and id(frame) != local.frame_id):
            return
        if is_start or id(frame) not in self._places:
            self._places[id(frame)] = state = State(MISSING)
            self._remember(state, local.read(frame))

    def ends(self, frame: FrameType, yields: bool) -> None:
        """See SiteUser: nothing of the frame is kept."""
        if self.cached[0] is frame:
            self.cached = (None, None, None)
        if self._quick is not None:
            self._quick.leave(frame)
        if yields:
            return
        known = self._places.pop(id(frame), None) is not None
        local = self._local
        if known and local is not None and local.frame_id == id(frame):
            self._ended(frame)

    # -- checks

    def state_of(self, frame: FrameType) -> State | None:
        """Return what is known of the place in a frame; None where it isn't watched there."""
        local = self._local
        if local is None:
            return self._place
        if local.frame_id and id(frame) != local.frame_id:
            return None
        state = self._places.get(id(frame))
        if state is None:
            state = self._places[id(frame)] = State(MISSING)
            state.value = _UNKNOWN
        return state

    def _replace(self, state: State, known: object, value: object) -> bool:
        """Remember a value; False if another thread has one that is later."""
        remembered = remember(value)
        if state.value is not known:
            return False
        state.value = remembered
        self._note_kind(value)
        return True

    def _remember(self, state: State, value: object) -> None:
        state.value = remember(value)
        self._note_kind(value)

    def _note_kind(self, value: object) -> None:
        if not self.in_all_code and is_container(value):
            self._widen()
        if not self.is_careful and not is_plain(value):
            self.is_careful = True
            if self._quick is not None:
                self._quick.leave(None)
            self._table.enable_again(self)

    def _widen(self) -> None:
        """Watch what is in the value with it, from now on: it is a container."""
        self._table.remove(self)
        self.target.also_content = self.in_all_code = True
        self._table.add(self)

    def _is_elsewhere(self, kind: Kind | None, frame: FrameType) -> bool:
        """True for a global of the same name in another namespace."""
        target = self.target
        return (
            kind is Kind.GLOBAL
            and isinstance(target, NamespaceTarget)
            and frame.f_globals is not target.namespace
        )

    def _check_before(self, site: Site, kind: Kind | None) -> SiteCheck:
        every_write = Access.WRITE in self._accesses
        is_local = self._local is not None

        def before(depth: int) -> Any:
            frame = getframe(depth)
            state = self.state_of(frame)
            if state is None or self._is_elsewhere(kind, frame):
                return None
            value = self.target.read(frame)
            hit = None
            known = state.value
            if known is not value:
                if known is _UNKNOWN or (is_local and is_plain(value)):
                    self._remember(state, value)
                elif not is_same(known, value) and self._is_from_outside(
                    state, known, value, frame
                ):
                    self._remember(state, value)
                    if not is_local or id(value) == _address(known):
                        hit = self._tell(frame, site.line, "outside", known, value)
            if self.is_careful or every_write:
                self._push(frame, value)
                return hit
            state.left -= 1
            return hit if hit is not None or (state.left > 0 and not is_local) else DISABLE

        return before

    def _check_after(
        self, site: Site, kind: Kind, code: CodeType
    ) -> tuple[SiteCheck, Quick | None]:
        careful, target = self._careful_after(site, kind), self.target
        shared = self._local is not None and is_shared(code, self._local.name)
        if self._accesses - {Access.CHANGE, Access.READ} or shared:
            return careful, None
        if isinstance(target, NamespaceTarget):
            quick = self._quick_check(target.namespace, target.name)
            return self._fast_global(site, target, careful), quick
        if self._local is not None:
            quick = self._quick_check(None, self._local.name)
            return self._fast_local(site, self._local, careful), quick
        check = self._fast_place(site, careful)
        if not isinstance(target, AttributeTarget) or (owner := target.weak_owner()) is None:
            return check, None
        return check, self._quick_check(owner, target.name)

    def _quick_check(self, owner: object, name: str) -> Quick | None:
        """Return the same as one of the fast checks below, for C to make."""
        if self._quick is None:
            self._quick = self._table.front.place() if self._table.front is not None else None
            if self._quick is not None and self._local is None and not self.is_careful:
                self._quick.hold(self._place)
        if self._quick is None:
            return None
        return Quick(self._quick, owner, name, self.test, self.condition)

    def _content_after(self, site: Site) -> SiteCheck:
        careful = self._careful_after(site, None)
        is_item = isinstance(self.target, ItemTarget)
        return self._fast_place(site, careful) if is_item else careful

    def _fast_place(self, site: Site, careful: SiteCheck) -> SiteCheck:
        """The check of a name, attribute or item while its value is plain."""
        return self._fast(site, careful, "fetch()", fetch=self.target.reader())

    def _fast_global(self, site: Site, target: NamespaceTarget, careful: SiteCheck) -> SiteCheck:
        """As `_fast_place`, without a call to read the value."""
        names = {"namespace": target.namespace, "name": target.name}
        return self._fast(site, careful, "namespace[name]", **names)

    def _fast(self, site: Site, careful: SiteCheck, read: str, **names: Any) -> SiteCheck:
        check: SiteCheck = check_of_place(
            read,
            self.condition,
            self.test,
            watch=self,
            careful=careful,
            state=self._place,
            tell=self._tell,
            line=site.line,
            is_same=is_same,
            getframe=getframe,
            **names,
        )
        return check

    def _fast_local(self, site: Site, target: LocalTarget, careful: SiteCheck) -> SiteCheck:
        check: SiteCheck = check_of_local(
            self.condition,
            self.test,
            watch=self,
            careful=careful,
            name=target.name,
            tell=self._tell,
            line=site.line,
            is_same=is_same,
            getframe=getframe,
        )
        return check

    def hold(self, frame: FrameType, state: State) -> Any:
        """Remember the frame that has written last; return its local variables."""
        values = frame.f_locals
        if compat.FRAME_LOCALS_WRITE_THROUGH:  # else they are a snapshot, to be taken anew
            self.cached = frame, values, state
        if self._quick is not None and not self.is_careful:
            self._quick.hold(state, frame)
        return values

    def _careful_after(self, site: Site, kind: Kind | None) -> SiteCheck:
        accesses = self._accesses

        def after(depth: int) -> Any:
            frame = getframe(depth)
            state = self.state_of(frame)
            if state is None or self._is_elsewhere(kind, frame):
                return None
            stood = self._pop(frame)
            was_read = self.is_careful or Access.WRITE in accesses
            while True:
                known, value = state.value, self.target.read(frame)
                if is_same(known, value):
                    if stood is not _UNKNOWN and Access.WRITE in accesses and kind is not None:
                        return self._tell(frame, site.line, "write", value, value)
                    return None
                if self._replace(state, known, value):
                    break
            if stood is _UNKNOWN and was_read:  # a jump led here, and no store
                if known is _UNKNOWN:
                    return None
                return self._tell(frame, site.line, "outside", known, value)
            # The object itself, for conditions, while it is what was known.
            old = stood if stood is not _UNKNOWN and is_same(known, stood) else known
            if old is _UNKNOWN:
                old = MISSING
            if value is MISSING:
                return self._tell(frame, site.line, "delete", old, value)
            if Access.CHANGE in accesses or Access.WRITE in accesses:
                return self._tell(frame, site.line, "change", old, value)
            return None

        return after

    def _push(self, frame: FrameType, value: object) -> None:
        """Keep the object that is there until its store has run."""
        entries = self._before.setdefault(get_ident(), [])
        if entries:  # stores that raised, or those whose code runs this one
            above: set[int] = set()
            one = frame.f_back
            while one is not None:
                above.add(id(one))
                one = one.f_back
            entries[:] = [entry for entry in entries if id(entry[0]) in above]
        entries.append((frame, value))

    def _pop(self, frame: FrameType) -> object:
        entries = self._before.get(get_ident())
        if not entries or entries[-1][0] is not frame:
            return _UNKNOWN
        return entries.pop()[1]

    def _check_read(self, site: Site, kind: Kind) -> SiteCheck:
        def check(depth: int) -> Any:
            frame = getframe(depth)
            state = self.state_of(frame)
            if state is None or self._is_elsewhere(kind, frame):
                return None
            value = self.target.read(frame)
            if value is MISSING:
                return None
            return self._tell(frame, site.line, "read", value, value)

        return check


def _address(known: object) -> int:
    ref = getattr(known, "ref", None)
    value = ref() if ref is not None else None
    return id(value) if value is not None else 0
