"""The only door to sys.monitoring: one tool id, and which events are on for which code.

Owns the tool id and the event masks; must not know what an event means. Several purposes (a
breakpoint, a step, a pause) may want events of one code object; what is on is their union.
Any thread may call; every call holds ``_lock``, which no callback of ours ever waits for while it
holds another lock. Source: PEP 669; the interpreter's faults that this works around are named
where they are.
"""

import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import CodeType
from typing import Any, Final

from nbdebug import compat, errors
from nbdebug.engine.locks import locked, new_lock

_monitoring = sys.monitoring
events: Final = _monitoring.events
DISABLE: Final = _monitoring.DISABLE

LINE: Final[int] = events.LINE
INSTRUCTION: Final[int] = events.INSTRUCTION
PY_START: Final[int] = events.PY_START
PY_RESUME: Final[int] = events.PY_RESUME
PY_THROW: Final[int] = events.PY_THROW
PY_RETURN: Final[int] = events.PY_RETURN
PY_YIELD: Final[int] = events.PY_YIELD
CALL: Final[int] = events.CALL
RAISE: Final[int] = events.RAISE
PY_UNWIND: Final[int] = events.PY_UNWIND

STARTS: Final = PY_START | PY_RESUME | PY_THROW
"""A frame starts or runs on, by whichever way."""

Callbacks = Mapping[int, Callable[..., Any]]

Arming = tuple[Callable[..., Any], Callable[..., Any], int, int]
"""What C code needs to turn INSTRUCTION events on: get, set, the tool id, the event."""


class _ArmedCode:
    """A code object (held weakly) and what each purpose wants of it; read without the lock."""

    __slots__ = ("ref", "wants")

    def __init__(self, ref: weakref.ref[CodeType]) -> None:
        self.ref = ref
        self.wants: dict[str, int] = {}

    @property
    def mask(self) -> int:
        mask = 0
        for want in self.wants.values():
            mask |= want
        return mask


class Monitor:
    """Claims a tool id of sys.monitoring and turns events on and off for code objects."""

    def __init__(self) -> None:
        self.tool_id: int | None = None
        self._armed: dict[int, _ArmedCode] = {}
        self._global_wants: dict[str, int] = {}
        self._callbacks: Callbacks = {}
        self._lock = new_lock()
        self.events_were_set: Callable[[CodeType], object] | None = None
        """Told of each code whose events are set here: the dict watcher sets some by itself."""

    @locked
    def start(self, callbacks: Callbacks) -> None:
        """Claim an id and register ``callbacks`` (event -> function).

        Raises NoToolId if other tools hold all ids.
        """
        if self.tool_id is not None:
            return
        self.tool_id = _claim()
        self._callbacks = callbacks
        for event, callback in callbacks.items():
            _monitoring.register_callback(self.tool_id, event, callback)

    @locked
    def stop(self) -> None:
        """Turn every event off and give the id back; the process is as it was before."""
        if self.tool_id is None:
            return
        _monitoring.set_events(self.tool_id, 0)
        # free_tool_id leaves local events alive on 3.12.1 and 3.13.0.
        for armed in list(self._armed.values()):
            code = armed.ref()
            if code is not None:
                _monitoring.set_local_events(self.tool_id, code, 0)
        for event in self._callbacks:
            _monitoring.register_callback(self.tool_id, event, None)
        _monitoring.free_tool_id(self.tool_id)
        self.tool_id = None
        self._armed.clear()
        self._global_wants.clear()

    @locked
    def replace(self, event: int, callback: Callable[..., Any]) -> None:
        """Have another function called at an event."""
        if self.tool_id is not None:
            _monitoring.register_callback(self.tool_id, event, callback)

    def forget_parent(self) -> None:
        """In a forked child: turn all off; another thread may have held the lock at the fork."""
        self._lock = new_lock()
        self.stop()

    def arm(self, code: CodeType, purpose: str, mask: int) -> None:
        """Have ``purpose`` want ``mask`` of ``code``; locations that were disabled are enabled."""
        self.arm_all([(code, mask)], purpose)

    @locked
    def arm_all(self, wanted: Iterable[tuple[CodeType, int]], purpose: str) -> None:
        """Do what `arm` does for each (code, mask)."""
        if self.tool_id is None:
            return
        some_were_on = False
        for code, mask in wanted:
            armed = self._armed.get(id(code))
            if armed is None:
                armed = self._armed[id(code)] = _ArmedCode(self._weakly(code))
            some_were_on |= bool(armed.mask & mask)
            armed.wants = {**armed.wants, purpose: mask}
            self._set(code, armed.mask)
        if some_were_on:
            # Turning this code's events off and on would do, but other threads would pass by then.
            _monitoring.restart_events()

    @locked
    def disarm(self, code: CodeType, purpose: str) -> None:
        """Have ``purpose`` want nothing more of ``code``."""
        armed = self._armed.get(id(code))
        if armed is None or self.tool_id is None or purpose not in armed.wants:
            return
        armed.wants = {one: mask for one, mask in armed.wants.items() if one != purpose}
        self._set(code, armed.mask)
        if not armed.wants:
            del self._armed[id(code)]

    @locked
    def disarm_all(self, purpose: str) -> None:
        """Have ``purpose`` want nothing more of any code object."""
        for armed in list(self._armed.values()):
            code = armed.ref()
            if code is not None and purpose in armed.wants:
                self.disarm(code, purpose)

    def arming(self) -> Arming | None:
        """Return what the dict watcher sets events with; None while no id is claimed."""
        if self.tool_id is None:
            return None
        get, set_ = _monitoring.get_local_events, _monitoring.set_local_events
        return get, set_, self.tool_id, INSTRUCTION

    def adopt(self, code: CodeType, purpose: str, mask: int) -> None:
        """Take note that ``purpose`` has ``mask`` of ``code`` on already; nothing is set."""
        armed = self._armed.get(id(code))
        if armed is None or armed.wants.get(purpose) != mask:
            self._adopt(code, purpose, mask)

    @locked
    def _adopt(self, code: CodeType, purpose: str, mask: int) -> None:
        if self.tool_id is None:
            return
        armed = self._armed.get(id(code))
        if armed is None:
            armed = self._armed[id(code)] = _ArmedCode(self._weakly(code))
        armed.wants = {**armed.wants, purpose: mask}

    def _set(self, code: CodeType, mask: int) -> None:
        assert self.tool_id is not None
        _monitoring.set_local_events(self.tool_id, code, mask)
        told = self.events_were_set
        if told is not None:
            told(code)

    def is_wanted_beyond_breakpoints(self, code: CodeType) -> bool:
        """True if a step or a pause wants lines or instructions of ``code``."""
        armed = self._armed.get(id(code))
        return armed is not None and any(
            purpose != "breakpoint" and mask & (LINE | INSTRUCTION)
            for purpose, mask in armed.wants.items()
        )

    @locked
    def want_globally(self, purpose: str, mask: int) -> None:
        """Have ``purpose`` want ``mask`` of all code; 0 for nothing more."""
        if self.tool_id is None:
            return
        if mask:
            self._global_wants[purpose] = mask
        else:
            self._global_wants.pop(purpose, None)
        union = 0
        for want in self._global_wants.values():
            union |= want
        if union != _monitoring.get_events(self.tool_id):
            _monitoring.set_events(self.tool_id, union)

    def look_again(self) -> None:
        """Enable every disabled location of every code object: each is looked at once more."""
        if self.tool_id is not None:
            _monitoring.restart_events()

    def _weakly(self, code: CodeType) -> weakref.ref[CodeType]:
        key, armed = id(code), self._armed

        def forget(_: weakref.ref[CodeType]) -> None:
            armed.pop(key, None)

        return weakref.ref(code, forget)


def is_profiled() -> bool:
    """True while cProfile, or another that takes the profilers' id, is on."""
    return _monitoring.get_tool(_monitoring.PROFILER_ID) is not None


def _claim() -> int:
    for tool_id in compat.MONITORING_TOOL_IDS:
        if _monitoring.get_tool(tool_id) is None:
            _monitoring.use_tool_id(tool_id, "nbdebug")
            return tool_id
    holders = ", ".join(str(_monitoring.get_tool(i)) for i in compat.MONITORING_TOOL_IDS)
    raise errors.NoToolId(f"All ids of sys.monitoring that nbdebug may take are held by {holders}.")
