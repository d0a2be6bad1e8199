"""What a watch is, what it has seen, and how it stands: values that clients get.

Owns no state; every type here is immutable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Access(StrEnum):
    """What is told of: a write, one that changes the value, a deletion, a read."""

    CHANGE = "change"
    WRITE = "write"
    DELETE = "delete"
    READ = "read"


class Action(StrEnum):
    """What happens at a hit. AUTO stops where a client could resume, and logs elsewhere."""

    AUTO = "auto"
    STOP = "stop"
    LOG = "log"
    RAISE = "raise"
    CALL = "call"


class Way(StrEnum):
    """How changes are to be seen. AUTO takes what serves best."""

    AUTO = "auto"
    EXACT = "exact"
    SITES = "sites"
    LINES = "lines"


@dataclass(frozen=True, slots=True)
class WatchSpec:
    """What the user asks of a watch, in the user's words."""

    accesses: tuple[Access, ...] = (Access.CHANGE,)
    action: Action = Action.AUTO
    condition: str | None = None
    hit_condition: str | None = None
    once: bool = False
    thread: str | None = None
    call: Callable[["WatchEvent"], Any] | None = None
    keep: int = 1000
    with_stack: bool = False
    way: Way = Way.AUTO


@dataclass(frozen=True, slots=True)
class CodePlace:
    """A line of code, 1-based, with its file and function as the interpreter names them."""

    path: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One thing that a watch has seen.

    ``kind`` is an Access, "outside" for a change that was found later, "end" for the watch's end.
    ``place`` is what a user calls the place, ``path`` and ``line`` where the source has it.
    ``time`` is in seconds since the epoch. ``old`` and ``new`` are the values where they are plain,
    else their texts. ``since`` is where the value was last known, if it was changed outside.
    """

    number: int
    time: float
    kind: str
    place: str
    path: str
    line: int
    function: str
    thread: str
    task: str
    old_text: str
    new_text: str
    old: Any
    new: Any
    text: str
    since: str = ""
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchInfo:
    """A watch as it stands now. ``state`` is "watching", "pending" or "ended: why".

    ``why_not`` says why no better mechanism serves it, where there could be one.
    """

    id: int
    text: str
    spec: WatchSpec
    state: str
    mechanism: str
    sees: str
    cannot_see: str
    cost: str
    why_not: str
    hits: int
    last: WatchEvent | None
    value: str
