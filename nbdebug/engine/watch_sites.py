"""Which code objects have sites of watched places: what the INSTRUCTION callback looks up.

Owns the table from code to checks and the events that it needs; must not know what a check decides.
Code is looked at when it starts or resumes, and on the threads' stacks; each time something new is
watched, every code object is looked at once more. Changed under `_lock`; the tables are read by
user threads without it, so their values are replaced, not changed.
"""

import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Protocol

from nbdebug.engine import monitor
from nbdebug.engine.checks import Hit
from nbdebug.engine.locks import locked, new_lock
from nbdebug.engine.monitor import DISABLE, Monitor
from nbdebug.engine.quicksites import Front, Quick
from nbdebug.engine.threads import other_frames
from nbdebug.engine.usercode import OWN_FOLDER, is_own

if TYPE_CHECKING:
    from nbdebug.engine._dictwatch import Site as Handle

PURPOSE = "watch"

SiteCheck = Callable[[int], Any]
"""Called before an instruction runs, with the depth of its frame for ``sys._getframe``, which costs
more than most checks need. Returns None, a Hit, or DISABLE for: never here again."""


_NO_CHECKS: dict[int, SiteCheck] = {}
_NONE: tuple[CodeType | None, dict[int, SiteCheck]] = (None, _NO_CHECKS)

Entry = tuple[int, int, SiteCheck] | tuple[int, int, SiteCheck, Quick | None]
"""An offset in bytes, the rank at that offset, the check, and how C can make it."""


class SiteUser(Protocol):
    """A watch as the table sees it."""

    names: frozenset[str]
    """Global and attribute names: code without any of them doesn't matter."""
    functions: frozenset[str]
    """The last parts of the qualified names of functions that matter whatever they name."""
    in_all_code: bool
    """True if all code of the user's matters."""
    follows_frames: bool
    """True if `begins` and `ends` are to be called for frames of its code."""

    def concerns(self, code: CodeType, frame: FrameType) -> bool:
        """True if checks belong into ``code``, as ``frame`` runs it."""

    def checks_in(self, code: CodeType) -> Sequence[Entry]:
        """Return what is to be checked at each site in ``code``."""

    def begins(self, frame: FrameType, is_start: bool) -> None:
        """A frame of its code starts, or resumes."""

    def ends(self, frame: FrameType, yields: bool) -> None:
        """A frame of its code ends, or yields."""


class _Armed:
    """A code object with sites: held weakly; ``version`` is that of the watches it was made for."""

    __slots__ = ("followers", "keep", "quick", "ref", "users", "version")

    def __init__(self, ref: "weakref.ref[CodeType]", users: tuple[SiteUser, ...]) -> None:
        self.ref = ref
        self.users = users
        self.followers = tuple(user for user in users if user.follows_frames)
        self.keep = bool(self.followers)
        self.version = 0
        self.quick: tuple[Handle, ...] = ()


class SiteTable:
    """The checks of all watches that go by sites."""

    def __init__(self, monitor_: Monitor, is_users: Callable[[FrameType], bool]) -> None:
        self.checks: dict[int, dict[int, SiteCheck]] = {}
        """id of code -> offset -> check."""
        self.latest: list[tuple[CodeType | None, dict[int, SiteCheck]]] = [_NONE]
        """The code whose checks were looked up last, and these: most often the next one's too."""
        self.users: dict[SiteUser, None] = {}
        """All users; falsy while nothing is watched."""
        self.changes = 0
        """Counts what enables events. A callback that was told before of what is to be checked
        mustn't disable them after: it compares the count as the last thing before it returns, where
        no other thread can come between."""
        self._monitor = monitor_
        self._is_users = is_users
        self._armed: dict[int, _Armed] = {}
        self._ahead: dict[int, frozenset[int]] = {}  # id of code -> offsets for `written_before`
        self._by_name: dict[str, list[SiteUser]] = {}
        self._by_function: dict[str, list[SiteUser]] = {}
        self._everywhere: list[SiteUser] = []
        self._following = 0
        self._version = 0
        self.front: Front | None = None
        """What makes checks in C, where it can."""
        self._lock = new_lock()

    @locked
    def add(self, user: SiteUser) -> None:
        """Have the sites of a new watch checked, wherever code with some runs."""
        if self.front is not None:
            self.front.start()
        self.users[user] = None
        for name in user.names:
            self._by_name.setdefault(name, []).append(user)
        for function in user.functions:
            self._by_function.setdefault(function, []).append(user)
        if user.in_all_code:
            self._everywhere.append(user)
        self._following += user.follows_frames
        self._version += 1
        self.changes += 1
        self._want()
        for top in sys._current_frames().values():
            frame: FrameType | None = top
            while frame is not None:
                # The rest is looked at when it next starts or resumes.
                if self._matters(user, frame.f_code) and self._concerns(user, frame):
                    self._look(frame.f_code, frame)
                    if user.follows_frames:
                        user.begins(frame, is_start=False)
                frame = frame.f_back
        # Else this frame would refer to itself, and keep its callers' variables alive.
        top = frame = None  # type: ignore[assignment]  # a loop's variable can't be declared
        self._monitor.look_again()

    @locked
    def remove(self, user: SiteUser) -> None:
        """Check the sites of a watch no more."""
        if self.users.pop(user, self) is self:
            return
        self._following -= user.follows_frames
        for table, keys in ((self._by_name, user.names), (self._by_function, user.functions)):
            for name in keys:
                left = [one for one in table.get(name, ()) if one is not user]
                table[name] = left
                if not left:
                    del table[name]
        self._everywhere = [one for one in self._everywhere if one is not user]
        for key, armed in list(self._armed.items()):
            if user in armed.users:
                code = armed.ref()
                if code is not None:
                    self._bind(code, tuple(one for one in armed.users if one is not user))
                else:
                    self._forget(key)
        self._want()

    @locked
    def enable_again(self, user: SiteUser) -> None:
        """Have the disabled sites of a watch checked again."""
        self.changes += 1
        for armed in list(self._armed.values()):
            code = armed.ref()
            if code is not None and user in armed.users:
                self._monitor.arm(code, PURPOSE, self._mask(armed))

    def may_have(self, code: CodeType) -> bool:
        """True if ``code`` has sites, or may have some. Takes no lock."""
        if id(code) in self._armed:
            return True
        names, functions = self._by_name, self._by_function
        is_named = bool(names) and not names.keys().isdisjoint(code.co_names)
        if functions and not is_named:
            is_named = not functions.keys().isdisjoint(code.co_qualname.split("."))
        found = is_named or bool(self._everywhere)
        return found and not code.co_filename.startswith(OWN_FOLDER)

    def starts(self, code: CodeType, frame: FrameType, is_start: bool) -> bool:
        """Look at a frame that starts or resumes; True if the next one of its code matters too."""
        if not self.may_have(code):
            return False
        armed = self._armed.get(id(code))
        if armed is None or armed.version != self._version:
            keep = self._look_at(code, frame)
            armed = self._armed.get(id(code))
            if armed is None:
                return keep
        for user in armed.followers:
            user.begins(frame, is_start)
        return armed.keep

    def follows(self, code: CodeType) -> bool:
        """True if the ends of frames of ``code`` matter."""
        armed = self._armed.get(id(code))
        return armed is not None and bool(armed.followers)

    def leaves(self, frame: FrameType, yields: bool) -> None:
        """Look at a frame that ends, or yields."""
        armed = self._armed.get(id(frame.f_code))
        for user in armed.followers if armed is not None else ():
            user.ends(frame, yields)

    def look_up(self, code: CodeType) -> dict[int, SiteCheck]:
        """Return the checks of ``code``, and remember them as the latest. Takes no lock."""
        changes = self.changes
        found = self.checks.get(id(code), _NO_CHECKS)
        if found:
            self.latest[0] = code, found
            if changes != self.changes:  # they may be older
                self.latest[0] = _NONE
        return found

    def warm(self, check: SiteCheck, code: CodeType, offset: int) -> None:
        """Have the callback itself make a check that is made often, where C doesn't."""
        changes = self.changes
        is_current = self.checks.get(id(code), _NO_CHECKS).get(offset) is check
        if self.front is not None and is_current:
            self.front.warm(check, code, offset)
            if changes != self.changes:  # it may be another check by now
                self.front.cool()

    def has_site(self, code: CodeType, offset: int) -> bool:
        """True if something is checked before this instruction."""
        return offset in self.checks.get(id(code), ())

    def written_before(self, frame: FrameType) -> Hit | None:
        """Check what ``frame``, a caller, has just written, ahead of its INSTRUCTION event.

        The event then finds nothing new. A read, which would be told twice, is left to it.
        """
        key, offset = id(frame.f_code), frame.f_lasti
        if offset in self._ahead.get(key, ()):
            check, depth = self.checks[key][offset], 1
            while sys._getframe(depth) is not frame:
                depth += 1
            hit = check(depth + 1)
            return None if hit is DISABLE else hit
        return None

    def is_in_flight(self) -> bool:
        """True while another thread has run a store whose check is still to come, or may have."""
        return any(self._is_at_site(top) for top in other_frames().values())

    def _is_at_site(self, frame: FrameType | None) -> bool:
        while frame is not None and is_own(frame):
            frame = frame.f_back
        return frame is not None and self.has_site(frame.f_code, frame.f_lasti)

    def forget_parent(self) -> None:
        """In a forked child: another thread may have held the lock at the fork."""
        self._lock = new_lock()
        self.close()

    def close(self) -> None:
        """Check nothing more, and give back what that needed."""
        self.clear()
        if self.front is not None:
            self.front.stop()

    @locked
    def clear(self) -> None:
        """Check nothing more."""
        for key, armed in list(self._armed.items()):
            code = armed.ref()
            if code is not None:
                self._monitor.disarm(code, PURPOSE)
            self._forget(key)
        self.users.clear()
        self._by_name.clear()
        self._by_function.clear()
        self._everywhere = []
        self._following = 0
        self._cool()
        self._want()

    # -- inside

    @locked
    def _look_at(self, code: CodeType, frame: FrameType) -> bool:
        return self._look(code, frame)

    def _look(self, code: CodeType, frame: FrameType) -> bool:
        """Bind what belongs into ``code``; True if another namespace may bring more to it."""
        if is_own(frame):
            return False
        found = dict.fromkeys(self._candidates(code))
        wanted = tuple(user for user in found if self._concerns(user, frame))
        armed = self._armed.get(id(code))
        if armed is not None:  # other namespaces' watches stay
            wanted = tuple(dict.fromkeys((*armed.users, *wanted)))
        if armed is None or wanted != armed.users:
            self._bind(code, wanted)
            armed = self._armed.get(id(code))
        if armed is None:
            return any(user.checks_in(code) for user in found)
        armed.version = self._version
        armed.keep = bool(armed.followers) or len(wanted) < len(found)
        return armed.keep

    def _candidates(self, code: CodeType) -> Iterable[SiteUser]:
        names = self._by_name
        if names and not names.keys().isdisjoint(code.co_names):
            for name in code.co_names:
                yield from names.get(name, ())
        if self._by_function:
            for part in code.co_qualname.split("."):
                yield from self._by_function.get(part, ())
        yield from self._everywhere

    def _matters(self, user: SiteUser, code: CodeType) -> bool:
        if user.in_all_code or not user.names.isdisjoint(code.co_names):
            return True
        return bool(user.functions) and not user.functions.isdisjoint(code.co_qualname.split("."))

    def _concerns(self, user: SiteUser, frame: FrameType) -> bool:
        code = frame.f_code
        if is_own(frame) or not user.concerns(code, frame):
            return False
        is_named = not user.names.isdisjoint(code.co_names) or bool(user.functions)
        return is_named or self._is_users(frame)

    def _bind(self, code: CodeType, users: tuple[SiteUser, ...]) -> None:
        key = id(code)
        ranked: dict[int, list[tuple[int, SiteCheck]]] = {}
        quick: dict[int, Quick | None] = {}
        having = []
        for user in users:
            checks = user.checks_in(code)
            if checks or user.follows_frames:
                having.append(user)
            for offset, rank, check, *made_by in checks:
                quick[offset] = None if offset in ranked or not made_by else made_by[0]
                ranked.setdefault(offset, []).append((rank, check))
        if not having:
            if key in self._armed:
                self._forget(key)
                self._monitor.disarm(code, PURPOSE)
                self._cool()
            return
        ref = weakref.ref(code, lambda _: self._forget(key))
        armed = _Armed(ref, tuple(having))
        before = self._armed.get(key)
        for site in before.quick if before is not None else ():
            site.close()
        if before is not None:  # until it is looked at for what was added since
            armed.version, armed.keep = before.version, before.keep or armed.keep
        self._armed[key] = armed
        self.checks[key] = {offset: _joined(found) for offset, found in ranked.items()}
        self._ahead[key] = frozenset(
            offset for offset, found in ranked.items() if all(rank == 0 for rank, _ in found)
        )
        if self.front is not None:
            armed.quick = self.front.sites(code, quick.items())
        self.changes += 1
        self.latest[0] = _NONE
        self._cool()
        self._monitor.arm(code, PURPOSE, self._mask(armed))

    def _cool(self) -> None:
        if self.front is not None:
            self.front.cool()

    def _mask(self, armed: _Armed) -> int:
        ends = monitor.PY_RETURN | monitor.PY_YIELD if armed.followers else 0
        return monitor.INSTRUCTION | ends

    def _want(self) -> None:
        unwinds = monitor.PY_UNWIND if self._following else 0
        self._monitor.want_globally(PURPOSE, monitor.STARTS | unwinds if self.users else 0)

    def _forget(self, key: int) -> None:
        # Called by the collector too, on any thread, even while that thread holds the lock.
        armed = self._armed.pop(key, None)
        for site in armed.quick if armed is not None else ():
            site.close()
        self._ahead.pop(key, None)
        self.checks.pop(key, None)
        self.changes += 1
        self.latest[0] = _NONE


def _joined(found: list[tuple[int, SiteCheck]]) -> SiteCheck:
    """Return the one check of an offset: first what has been written, then what is about to be."""
    checks = [check for _, check in sorted(found, key=lambda one: one[0])]
    if len(checks) == 1:
        return checks[0]

    def check_all(depth: int) -> Hit | None:
        hits: list[Hit] = []
        for check in checks:
            hit = check(depth + 1)
            if hit is not None and hit is not DISABLE:
                hits.append(hit)
        return joined_hit(hits)

    return check_all


def merged(written: Hit, hit: Hit | None) -> Hit:
    """Return one hit of a watch and of what stops at the same place for a reason of its own."""
    if hit is None:
        return written
    return Hit((*written.ids, *hit.ids), hit.error or written.error, sentence=written.sentence)


def joined_hit(hits: list[Hit]) -> Hit | None:
    """Return several hits at one place as one."""
    if len(hits) < 2:
        return hits[0] if hits else None
    return Hit(
        tuple(id_ for hit in hits for id_ in hit.ids),
        "; ".join(hit.error for hit in hits if hit.error),
        sentence="; ".join(hit.sentence for hit in hits if hit.sentence),
        raises=next((hit.raises for hit in hits if hit.raises is not None), None),
    )
