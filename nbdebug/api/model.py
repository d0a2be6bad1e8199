"""What the Python API hands out: breakpoints, stops, frames, values, the outcome of a wait.

Owns no state. Every type is immutable; the fields are DAP's names in snake case. Lines and columns
are 1-based.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """A notebook's cell as a place for breakpoints: its text, and the file name it has there."""

    code: str
    path: str


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """A breakpoint as the program has it now.

    ``verified``: it can stop. Otherwise ``reason`` is "pending", its code isn't there yet, or
    "failed", and ``message`` says why.
    """

    id: int
    verified: bool
    line: int | None
    path: str
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a stack; ``id`` holds until its thread runs on."""

    id: int
    name: str
    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop: why, a sentence, which thread, and its top frame."""

    reason: str
    description: str
    thread_id: int
    all_threads_stopped: bool
    frame: Frame | None = None
    hit_breakpoint_ids: tuple[int, ...] = ()

    @property
    def line(self) -> int:
        """The line of the top frame, 0 where there is none."""
        return 0 if self.frame is None else self.frame.line


@dataclass(frozen=True, slots=True)
class Variable:
    """A name and a value's text. What has a ``variables_reference`` can be opened."""

    name: str
    value: str
    type: str = ""
    variables_reference: int = 0
    evaluate_name: str = ""
    named_variables: int = 0
    indexed_variables: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it came: DAP's name and body."""

    name: str
    body: Json = field(default_factory=dict)


class Outcome(StrEnum):
    """What a wait for a stop came to."""

    STOPPED = "stopped"
    ENDED = "ended"
    """The run that was begun has ended, or the program has."""
    RUNNING = "running"
    """The time was over, and nothing had stopped."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The outcome of a wait, true if it is a stop.

    ``output`` is what the run has printed so far, where that is known; ``error`` is the exception
    that ended a run in a kernel, ``exit_code`` the end of a script.
    """

    outcome: Outcome
    stop: Stop | None = None
    output: str = ""
    error: str = ""
    exit_code: int | None = None

    def __bool__(self) -> bool:
        return self.stop is not None


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand, without waiting: the outcome of a wait of no time, and the breakpoints."""

    outcome: Outcome
    stop: Stop | None
    breakpoints: tuple[Breakpoint, ...]


def breakpoint_of(body: Json, path: str) -> Breakpoint:
    """Return DAP's Breakpoint."""
    return Breakpoint(
        body.get("id", 0),
        body.get("verified", False),
        body.get("line"),
        (body.get("source") or {}).get("path") or path,
        body.get("message", ""),
        body.get("reason", ""),
    )


def frame_of(body: Json) -> Frame:
    """Return DAP's StackFrame."""
    path = (body.get("source") or {}).get("path", "")
    return Frame(body["id"], body["name"], path, body["line"], body["column"])


def stop_of(body: Json, frame: Frame | None) -> Stop:
    """Return what a stopped event says."""
    return Stop(
        body["reason"],
        body.get("description", ""),
        body.get("threadId", 0),
        body.get("allThreadsStopped", False),
        frame,
        tuple(body.get("hitBreakpointIds", ())),
    )


def variable_of(body: Json, name: str = "", value: str = "") -> Variable:
    """Return DAP's Variable, or what evaluate and setVariable answer under a name."""
    return Variable(
        body.get("name", name),
        body.get("value", value),
        body.get("type", ""),
        body.get("variablesReference", 0),
        body.get("evaluateName", ""),
        body.get("namedVariables", 0),
        body.get("indexedVariables", 0),
    )
