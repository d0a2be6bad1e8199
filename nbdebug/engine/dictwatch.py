"""Exact watches on keys of dicts: namespaces, instances' and classes' dicts, any other dict.

Owns the dict watcher of the process and the ways to it; must not know what a watch is for, nor what
a stop is. The work is done by `_dictwatch.c`, which the pure wheel lacks: `why_not` says so, and
nothing here does it in Python, for a Python callback of a dict watcher crashes the interpreter when
another thread changes the dict.

A write is recorded before it happens, and the writer's code gets INSTRUCTION events: the callback
of that event calls `at_event`, on the writer's thread, right after the write. Records that nobody
asked for in that way (the frame was left by an exception, events were off for the thread) wait for
`take` or `drain`; the queue has a limit, and `lost` tells what was above it.

Not seen: a write of the very object that is there already, of which the interpreter tells nobody;
`o.__dict__ = other`, which leaves the watched dict. A record holds the frame and both values: keep
what is needed of it, and not the record. One that waits may come after its handle was closed.

Threads: any may call; at_event and take are for what the calling thread wrote. Source:
Objects/dictobject.c, Doc/c-api/dict.rst.
"""

import ast
import atexit
import functools
import opcode
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from nbdebug import errors
from nbdebug.engine import physical
from nbdebug.engine.monitor import INSTRUCTION, Monitor

if TYPE_CHECKING:
    from nbdebug.engine import _dictwatch as native
    from nbdebug.engine._dictwatch import Record
    from nbdebug.engine._dictwatch import Watch as Handle
else:
    native = None

PURPOSE = "dictwatch"
"""What the monitor's INSTRUCTION events of a writer's code are on for."""

_STORES = bytes(
    code
    for name, code in opcode.opmap.items()
    if code < 256 and name.startswith(("STORE_", "DELETE_"))
)
_OPERATORS = {"Lt": 0, "LtE": 1, "Eq": 2, "NotEq": 3, "Gt": 4, "GtE": 5}
"""By the names of the classes of `ast`, which isn't loaded before there is a condition."""
_MIRRORED = {0: 4, 1: 5, 2: 2, 3: 3, 4: 0, 5: 1}
_SIMPLE = (int, float, str, bytes, bool, type(None))

_monitor: Monitor | None = None

ABSENT: object = object()
"""In a record, the value of a key that isn't there."""
UNKNOWN: object = object()
"""In a record, a value that couldn't be looked up."""


@functools.cache
def why_not() -> str | None:
    """Return why dicts can't be watched in this process, as a sentence; None if they can."""
    if os.environ.get("NBDEBUG_PURE"):
        return "NBDEBUG_PURE is set, so nbdebug's compiled part isn't used."
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "This Python runs without the GIL, which the watcher of dicts relies on."
    try:
        # The statement's own function: in another process it may be one of ours, that finds none.
        loaded = __import__("nbdebug.engine._dictwatch", None, None, ("start",))
    except ModuleNotFoundError:
        return "This nbdebug has no compiled part: the wheel is pure, or no compiler was there."
    except ImportError as error:
        return f"nbdebug's compiled part can't be loaded: {error}."
    try:
        loaded.start()  # the interpreter has eight ids, some its own
    except RuntimeError as error:
        return f"Python gives no watcher of dicts: {error}."
    globals().update(native=loaded, ABSENT=loaded.ABSENT, UNKNOWN=loaded.UNKNOWN)
    _instances_are_deaf()
    if _monitor is None:  # another thread may be further
        loaded.stop()
    return None


def start(monitor: Monitor) -> None:
    """Claim the watcher; ``monitor``, which has its tool id, gets the events.

    Raises NotSupported with the reason of `why_not`.
    """
    global _monitor  # noqa: PLW0603 - one per process, as the watcher is
    reason = why_not()
    if reason is not None:
        raise errors.NotSupported(reason)
    arming = monitor.arming()
    try:
        native.start()
    except RuntimeError as error:
        raise errors.NotSupported(f"Python gives no watcher of dicts: {error}.") from error
    if arming is not None:
        native.arm_with(*arming, _STORES)
    monitor.events_were_set = native.events_were_set
    _monitor = monitor
    atexit.register(stop)  # a live watcher crashes the interpreter's end


def stop() -> None:
    """Close every watch, drop the records, and leave the interpreter as it was. Safe at any time.

    For a forked child too, whose parent's records are none of its own, after the monitor's
    `forget_parent`: it may have been locked at the fork.
    """
    global _monitor
    if _monitor is None:
        return
    monitor, _monitor = _monitor, None
    monitor.events_were_set = None
    native.stop()
    monitor.disarm_all(PURPOSE)
    atexit.unregister(stop)


def watch(
    mapping: dict[Any, Any],
    key: object,
    *,
    only_changes: bool = False,
    condition: str | None = None,
    test: Callable[[object, object], Any] | None = None,
) -> "Handle":
    """Have each write of this key of this dict recorded, until the handle is closed or gone.

    The dict isn't kept alive: when it dies a last record says so, of kind "ended". The two filters
    only save time. They drop what surely isn't wanted, where that can be told without running
    Python: a write of an equal number or text with ``only_changes``, and one that a ``condition``
    such as ``new > 10`` refuses. Another condition may come as ``test``, a function of the old and
    the new value: `quicksites` tries it on numbers and texts, at the event, where Python may run.
    Whoever takes the records still judges them.

    Raises TypeError for a key that isn't hashable.
    """
    comparison, bound = comparison_of(condition)
    tried = test if comparison < 0 else None
    return native.Watch(mapping, key, only_changes, comparison, bound, tried)


def at_event(frame: FrameType) -> "list[Record] | None":
    """Return what the calling thread wrote in ``frame`` just now. For the INSTRUCTION callback.

    With records, or an empty list, the location must stay on. None: this event needn't come again,
    and the callback may return DISABLE. A record comes back once.
    """
    records = native.take(frame)
    if not records:
        return records
    monitor = _monitor  # another thread may stop all this meanwhile
    if monitor is not None:
        monitor.adopt(frame.f_code, PURPOSE, INSTRUCTION)
    return _with_handles(records)


def take() -> "list[Record]":
    """Return all that the calling thread wrote and nobody has asked for, oldest first."""
    return _adopted(native.take(None) or [])


def drain() -> "list[Record]":
    """Return all that any thread wrote and nobody has asked for, oldest first."""
    return _adopted(native.drain())


def compiled() -> Any:
    """Return the compiled part, None where `why_not` says why there is none."""
    return None if why_not() else native


def waiting() -> list[tuple[int, FrameType | None]]:
    """Return (thread's ident, frame) of each write that is recorded and that nobody has taken."""
    return native.waiting()


def drop(ident: int, frame: FrameType | None) -> None:
    """Forget what a thread wrote in a frame."""
    native.drop(ident, frame)


def lost() -> int:
    """Return how many records the full queue has lost since this was last asked."""
    return native.take_lost()


def line_of(record: "Record") -> int | None:
    """Return the 1-based line that wrote; the frame itself is further on."""
    if record.frame is None or record.lasti < 0:
        return None
    for start, end, line in record.frame.f_code.co_lines():
        if start <= record.lasti < end:
            return line
    return None


def namespace_of(value: object) -> dict[str, Any]:
    """Return the dict in which the attributes of an object, class or module lie, fit for `watch`.

    Raises NotSupported with the reason: the object has none, or the interpreter doesn't tell of
    writes to it.
    """
    if isinstance(value, type):
        found = physical.proxied_mapping(physical.class_dict(value))
        if type(found) is dict and physical.is_heap_type(value):
            return found
        raise errors.NotSupported(
            f"{physical.name_of(value)} is a class whose attributes are fixed."
        )
    entries = physical.instance_dict(value)
    name = physical.name_of(type(value))
    if entries is None:
        raise errors.NotSupported(f"A {name} has no __dict__ to watch.")
    is_deaf = _instances_are_deaf() and physical.has_inline_values(type(value))
    if not is_deaf or native.watches_of(id(entries)):
        return entries
    # gh-125608: only a dict that isn't the object's own storage tells. Who holds the old one would
    # see no more writes: the names here are two, and the call counts one.
    if sys.getrefcount(entries) > 3:
        raise errors.NotSupported(
            f"Python {sys.version.split()[0]} doesn't tell of writes to this {name}'s attributes, "
            "and its __dict__ is in use elsewhere (gh-125608, mended in 3.13.1)."
        )
    object.__setattr__(value, "__dict__", dict(entries))
    renewed = physical.instance_dict(value)
    assert renewed is not None
    return renewed


class _Probe:
    def __init__(self) -> None:
        self.attribute = 0


@functools.cache
def _instances_are_deaf() -> bool:
    """True on 3.13.0: writes to an object whose values lie inside of it are told to nobody.

    First asked before the monitor's events are used: nothing else takes the record.
    """
    probe = _Probe()
    entries = probe.__dict__
    handle = native.Watch(entries, "attribute", False, -1, None, None)
    probe.attribute = 1
    handle.close()
    records = native.take(None) or []
    return not any(record.handle is handle for record in records)


def _adopted(records: "list[Record]") -> "list[Record]":
    monitor = _monitor
    if monitor is not None:
        for record in records:
            if record.frame is not None:
                monitor.adopt(record.frame.f_code, PURPOSE, INSTRUCTION)
    return _with_handles(records)


def _with_handles(records: "list[Record]") -> "list[Record]":
    """Decide whose the records are whose keys couldn't be compared where Python can't run."""
    if all(record.handle is not None for record in records):
        return records
    found = []
    for record in records:
        if record.handle is not None:
            found.append(record)
            continue
        for handle in native.watches_of(record.mapping_id):
            if handle.key is not record.key and _is_same_key(handle.key, record.key):
                record.handle = handle
                found.append(record)
                break
    return found


def _is_same_key(one: object, other: object) -> bool:
    try:
        return hash(one) == hash(other) and bool(one == other)
    except Exception:  # the keys' own code; the dict would have raised as well
        return False


def comparison_of(condition: str | None) -> tuple[int, object]:
    """Return a condition of the form ``new > 10`` as (operator, bound), any other as (-1, None)."""
    try:
        tree = ast.parse((condition or "").strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return -1, None
    match tree:
        case ast.Compare(left=ast.Name("new"), ops=[operator], comparators=[bound]):
            is_mirrored = False
        case ast.Compare(left=bound, ops=[operator], comparators=[ast.Name("new")]):
            is_mirrored = True
        case _:
            return -1, None
    number = _OPERATORS.get(type(operator).__name__, -1)
    try:
        value = ast.literal_eval(bound)
    except ValueError:
        return -1, None
    if number < 0 or type(value) not in _SIMPLE:
        return -1, None
    return (_MIRRORED[number] if is_mirrored else number), value
