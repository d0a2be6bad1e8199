"""What `%stack` and `python -m nbdebug stack` tell of a process: as data, text and HTML.

Owns the report's shape and how it is written; what it says comes from ``looking``.
Thread rule: one thread at a time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from nbdebug.errors import NotSupported

from . import errors, policy, tracer
from .looking import Look
from .memory import Unreadable
from .stacks import Frame, ThreadStack
from .tasks import Task

VALUE_CHARS = 100
"""How much of a variable's value a report shows."""

_REPEATED = 3  # a frame that comes more often in a row is counted
_TITLES = 5  # of the threads that are at the same place
_MOST_VARIABLES = 50
_RAN_ON = "It ran on while its variables were read: they may be of different moments."


@dataclass(frozen=True, slots=True)
class VariableReport:
    """A variable: ``value`` is a line of text."""

    name: str
    value: str
    type: str


@dataclass(frozen=True, slots=True)
class FrameReport:
    """A frame; ``line`` is None where the code has none there."""

    function: str
    file: str
    line: int | None
    locals: tuple[VariableReport, ...] = ()

    @property
    def place(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class ThreadReport:
    """A thread; ``frames`` begin with the innermost."""

    id: int
    name: str
    interpreter: int
    holds_gil: bool
    frames: tuple[FrameReport, ...]
    problem: str
    note: str

    @property
    def title(self) -> str:
        said = f"Thread {self.id or '?'}" + (f" {self.name}" if self.name else "")
        if self.interpreter:
            said += f", interpreter {self.interpreter}"
        return said + (", holds the GIL" if self.holds_gil else "")


@dataclass(frozen=True, slots=True)
class TaskReport:
    """An asyncio task; ``frames`` begin with the innermost."""

    name: str
    state: str
    frames: tuple[FrameReport, ...]
    awaits: str
    awaited_by: tuple[str, ...]

    @property
    def title(self) -> str:
        said = f"Task {self.name}, {self.state}"
        if self.awaits:
            said += f" for {self.awaits}"
        return said + (f"; awaited by {', '.join(self.awaited_by)}" if self.awaited_by else "")


@dataclass(frozen=True, slots=True)
class Report:
    """The stacks of a process at one look; ``str()`` is for a terminal."""

    pid: int
    command: str
    version: str
    threads: tuple[ThreadReport, ...]
    tasks: tuple[TaskReport, ...]
    is_finalizing: bool
    took_s: float

    @property
    def title(self) -> str:
        end = ", shutting down" if self.is_finalizing else ""
        return f"Process {self.pid}: {self.command} (Python {self.version}{end})"

    def as_json(self) -> dict[str, Any]:
        """Return the report as what JSON can carry."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<div><strong>{escape(self.title)}</strong></div>"]
        parts += [
            _html(title, one.frames, one.problem, one.note) for title, one in _alike(self.threads)
        ]
        parts += [_html(one.title, one.frames, "", "") for one in self.tasks]
        return "".join(parts)

    def _lines(self) -> Iterator[str]:
        yield self.title
        for title, thread in _alike(self.threads):
            yield ""
            yield title
            if thread.problem:
                yield f"    ({thread.problem})"
            if thread.note:
                yield f"    ({thread.note})"
            yield from _frame_lines(thread.frames)
        for task in self.tasks:
            yield ""
            yield task.title
            yield from _frame_lines(task.frames)


def stacks(
    pid: int, *, with_locals: bool = False, freeze: bool = False, is_native: bool = False
) -> Report:
    """Return the stacks of all threads of a process, without running anything in it.

    ``with_locals`` adds the variables of each frame, as one line each. ``freeze`` holds its threads
    still for the milliseconds that this takes; else it runs on.

    Raises:
        AttachError: why there is nothing to see: one class for each reason.
        NotSupported: native frames are asked for.
    """
    policy.require(policy.Level.INSPECT, pid)
    if is_native:
        raise NotSupported(
            "Native frames of another process can't be shown yet; without `--native` the Python "
            "frames are."
        )
    with Look(pid) as look, frozen(pid) if freeze else nullcontext():
        return report(look, with_locals=with_locals, is_frozen=freeze)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Hold a process's threads still during the block.

    Raises:
        ProcessEnded: it has ended. NoPermission: the system doesn't let us stop it.
    """
    try:
        with tracer.TRACER.frozen(pid):
            yield
    except ProcessLookupError:
        raise errors.ProcessEnded.of(pid, phase="freezing it") from None
    except tracer.CannotTrace as error:
        raise errors.NoPermission.of(pid, why=str(error)) from None


def report(look: Look, *, with_locals: bool = False, is_frozen: bool = False) -> Report:
    """Return what a look at a process finds."""
    snapshot = look.stacks(with_slots=with_locals, is_frozen=is_frozen)
    frames = [_frames(look, thread.frames, with_locals) for thread in snapshot.threads]
    ran = look.has_run() if with_locals else set()
    threads = tuple(
        _thread(thread, found, thread.address in ran)
        for thread, found in zip(snapshot.threads, frames, strict=True)
    )
    tasks = look.tasks() if look.runtime.version >= (3, 14) else []
    return Report(
        look.pid,
        command_of(look.pid),
        snapshot.release,
        threads,
        tuple(_task(look, task) for task in tasks),
        snapshot.is_finalizing,
        snapshot.took_s,
    )


def command_of(pid: int, chars: int = 100) -> str:
    """Return a process's command line, cut."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "?"
    text = data.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    text = " ".join(text.split())
    return text if len(text) <= chars else text[:chars] + "..."


def _thread(thread: ThreadStack, frames: tuple[FrameReport, ...], ran: bool) -> ThreadReport:
    return ThreadReport(
        thread.id,
        thread.name,
        thread.interpreter,
        thread.has_gil,
        frames,
        thread.problem,
        _RAN_ON if ran and any(frame.locals for frame in frames) else "",
    )


def _task(look: Look, task: Task) -> TaskReport:
    frames = _frames(look, task.frames, False)
    return TaskReport(task.name, task.state, frames, task.awaits, task.awaited_by)


def _frames(look: Look, frames: Sequence[Frame], with_locals: bool) -> tuple[FrameReport, ...]:
    found = []
    before: tuple[str, str, int | None] | None = None
    count = 0
    for frame in frames:
        place = (frame.function, frame.file, frame.line)
        count = count + 1 if place == before else 1
        before = place
        wanted = with_locals and count <= _REPEATED  # no more of a recursion are shown
        found.append(FrameReport(*place, tuple(_variables(look, frame)) if wanted else ()))
    return tuple(found)


def _variables(look: Look, frame: Frame) -> Iterator[VariableReport]:
    try:
        names = [one for one in look.locals(frame) if not one.name.startswith("__")]
    except Unreadable:
        return
    for one in names[:_MOST_VARIABLES]:
        text = look.text(one.address, VALUE_CHARS).text
        yield VariableReport(one.name, text, look.type_name(one.address))
    if len(names) > _MOST_VARIABLES:
        yield VariableReport("...", f"{len(names) - _MOST_VARIABLES} more", "")


def _alike(threads: Sequence[ThreadReport]) -> list[tuple[str, ThreadReport]]:
    """Return one thread of each group that is at the same place, and the title of the group."""
    groups: dict[object, list[ThreadReport]] = {}
    for one in threads:
        groups.setdefault((one.frames, one.problem, one.note), []).append(one)
    found = []
    for group in groups.values():
        titles = [one.title for one in group[:_TITLES]]
        if len(group) > _TITLES:
            titles.append(f"and {len(group) - _TITLES} more")
        found.append(("; ".join(titles), group[0]))
    return found


def _runs(frames: Sequence[FrameReport]) -> Iterator[tuple[FrameReport, int]]:
    """Yield the frames and how often each is not shown again: recursion repeats itself."""
    at = 0
    while at < len(frames):
        count = 1
        while at + count < len(frames) and _is_alike(frames[at], frames[at + count]):
            count += 1
        shown = min(count, _REPEATED)
        for index in range(at, at + shown):
            yield frames[index], count - shown if index == at + shown - 1 else 0
        at += count


def _is_alike(one: FrameReport, other: FrameReport) -> bool:
    return (one.function, one.file, one.line) == (other.function, other.file, other.line)


def _frame_lines(frames: Sequence[FrameReport]) -> Iterator[str]:
    for frame, more in _runs(frames):
        yield f"    {frame.function} ({frame.place})"
        for one in frame.locals:
            yield f"        {one.name} = {one.value}"
        if more:
            yield f"    ... and {more:,} more calls like the last"


_LEFT = ' style="text-align: left; vertical-align: top"'


def _html(title: str, frames: Sequence[FrameReport], problem: str, note: str) -> str:
    rows = []
    has_values = any(frame.locals for frame in frames)
    for frame, more in _runs(frames):
        short = escape(frame.place.rpartition("/")[2])  # a whole path leaves no room for values
        place = f'<span title="{escape(frame.place)}">{short}</span>'
        cells = [escape(frame.function), place]
        if has_values:
            values = "<br>".join(f"{escape(v.name)} = {escape(v.value)}" for v in frame.locals)
            cells.append(f'<span style="font-family: monospace">{values}</span>')
        rows.append("<tr>" + "".join(f"<td{_LEFT}>{cell}</td>" for cell in cells) + "</tr>")
        if more:
            said = f"... and {more:,} more calls like the last"
            rows.append(f'<tr><td colspan="3"{_LEFT}><em>{said}</em></td></tr>')
    table = f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    said = "".join(f"<div><em>{escape(text)}</em></div>" for text in (problem, note) if text)
    return f"<details open><summary>{escape(title)}</summary>{said}{table}</details>"
