"""The asyncio tasks of another process: where each waits, for what, and who waits for it.

Owns the walk over tasks and along the coroutines that await one another, from 3.14 on, where
`_asyncio` tells its own layout. A task that goes on while it is read may be shown between two
places, never in one that doesn't exist.
Thread rule: one thread at a time.
Source: CPython's Modules/_asynciomodule.c (`Py_AsyncioModuleDebugOffsets`), Objects/genobject.c.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbdebug.errors import NotSupported

from . import elf
from .codes import Codes
from .contents import Contents
from .memory import Unreadable, mappings
from .objects import INT, Objects
from .runtime import Runtime
from .stacks import Frame

_SECTION = ".AsyncioDebug"
_FIELDS = (
    "task.size",
    "task.name",
    "task.awaited_by",
    "task.is_task",
    "task.awaited_by_is_set",
    "task.coro",
    "task.node",
    "interpreter.size",
    "interpreter.tasks_head",
    "thread.size",
    "thread.running_loop",
    "thread.running_task",
    "thread.tasks_head",
)
_MOST_TASKS = 100_000
_DEEPEST = 1000
_TAGS = 3
_GENERATORS = ("coroutine", "generator", "async_generator")
_WRAPPERS = ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow")
_FUTURE_ITERATOR = "_asyncio.FutureIter"


@dataclass(frozen=True, slots=True)
class Task:
    """An asyncio task. ``state`` is "running", "ready" or "waiting".

    ``frames`` are those of its coroutines, innermost first; ``awaits`` says what the innermost
    waits for, ``awaited_by`` names the tasks that wait for it.
    """

    address: int
    name: str
    state: str
    thread: int  # address of the PyThreadState whose loop it is in; 0 where that has ended
    frames: tuple[Frame, ...]
    awaits: str
    awaited_by: tuple[str, ...]


class Tasks:
    """Reads the tasks of one process."""

    def __init__(
        self, runtime: Runtime, objects: Objects, contents: Contents, codes: Codes
    ) -> None:
        self._runtime = runtime
        self._objects = objects
        self._contents = contents
        self._codes = codes
        self._memory = objects.memory
        self._at: dict[str, int] = {}

    def all(self) -> list[Task]:
        """Return all tasks; none where asyncio isn't imported.

        Raises:
            NotSupported: it is older than 3.14, and doesn't tell where its tasks are.
        """
        if self._runtime.version < (3, 14):
            raise NotSupported(
                f"Python {self._runtime.release} of process {self._runtime.pid} doesn't tell where "
                "its asyncio tasks are; 3.14 and newer do."
            )
        if not self._at:
            self._at = self._locate()
        if not self._at:
            return []
        found = []
        for task, thread, running in self._reachable():
            try:
                found.append(self._task(task, thread, task == running))
            except Unreadable:  # it has ended meanwhile
                continue
        return found

    # -- where they are

    def _locate(self) -> dict[str, int]:
        """Return the layout that `_asyncio` tells, or nothing while it isn't loaded."""
        pid = self._runtime.pid
        for mapping in mappings(pid):
            name = Path(mapping.path).name
            if mapping.offset or not (
                name.startswith("_asyncio") or mapping.path == self._runtime.module
            ):
                continue
            try:
                section = elf.section(Path(f"/proc/{pid}/root{mapping.path}"), _SECTION)
            except (OSError, elf.NotElf, struct.error):
                continue
            if section is not None and section.size >= 8 * len(_FIELDS):
                at = mapping.start + section.address - section.first
                words = self._objects.words(at, 0, len(_FIELDS))
                found = dict(zip(_FIELDS, words, strict=True))
                if _makes_sense(found):
                    return found
        return {}

    def _reachable(self) -> Iterator[tuple[int, int, int]]:
        """Yield as `_addresses`, as far as it can be followed: threads may end meanwhile."""
        try:
            yield from self._addresses()
        except Unreadable:
            return

    def _addresses(self) -> Iterator[tuple[int, int, int]]:
        """Yield (task, thread, the task that the thread runs)."""
        memory, known = self._memory, self._runtime.offsets
        for interpreter in self._runtime.interpreters(memory):
            at = memory.word(interpreter + known["interpreter_state.threads_head"])
            for _ in range(_MOST_TASKS):
                if not at:
                    break
                running = memory.word(at + self._at["thread.running_task"])
                for task in self._list(at + self._at["thread.tasks_head"]):
                    yield task, at, running
                at = memory.word(at + known["thread_state.next"])
            for task in self._list(interpreter + self._at["interpreter.tasks_head"]):
                yield task, 0, 0

    def _list(self, head: int) -> Iterator[int]:
        """Yield the tasks of a circular list that begins and ends at ``head``."""
        following = self._runtime.offsets["llist_node.next"]
        at = self._memory.word(head + following)
        seen: set[int] = set()
        while at and at != head and at not in seen and len(seen) < _MOST_TASKS:
            seen.add(at)
            yield at - self._at["task.node"]
            try:
                at = self._memory.word(at + following)
            except Unreadable:
                return

    # -- one task

    def _task(self, address: int, thread: int, is_running: bool) -> Task:
        coroutine = self._memory.word(address + self._at["task.coro"])
        frames, waits_for, has_begun = self._chain(coroutine)
        state = "running" if is_running else "waiting" if has_begun else "ready"
        return Task(
            address,
            self._name(address),
            state,
            thread,
            tuple(frames),
            "" if is_running else waits_for,
            tuple(self._awaited_by(address)),
        )

    def _name(self, task: int) -> str:
        at = self._memory.word(task + self._at["task.name"])
        if self._objects.type_of(at).is_a(INT):
            return f"Task-{self._objects.integer(at)}"
        return self._objects.text(at, 200)

    def _awaited_by(self, task: int) -> Iterator[str]:
        at = self._memory.word(task + self._at["task.awaited_by"])
        if not at:
            return
        is_set = self._memory.read(task + self._at["task.awaited_by_is_set"], 1)[0]
        for one in self._contents.items_of_set(at) if is_set else (at,):
            try:
                yield self._name(one)
            except Unreadable:
                continue

    def _chain(self, address: int) -> tuple[list[Frame], str, bool]:
        """Return a coroutine's frames, inner ones first, what the last awaits, if it has begun."""
        frames: list[Frame] = []
        has_begun = True
        for _ in range(_DEEPEST):
            if not address:
                break
            kind = self._objects.type_of(address).full_name
            if kind in _WRAPPERS:
                address = self._memory.word(address + 16)  # the first thing that it holds
                continue
            if kind not in _GENERATORS:
                return frames[::-1], self._awaitable(address, kind), has_begun
            frame, following, begun = self._generator(address)
            if frame is not None:
                frames.append(frame)
                has_begun = begun if len(frames) == 1 else has_begun
            address = following
        return frames[::-1], "", has_begun

    def _generator(self, address: int) -> tuple[Frame | None, int, bool]:
        """Return the frame of a generator or coroutine, what it awaits, and if it has begun."""
        known, memory = self._runtime.offsets, self._memory
        state = memory.read(address + known["gen_object.gi_frame_state"], 1)[0]
        created, awaiting, finished, depth = _STATES[self._runtime.version]
        if state in finished:
            return None, 0, True
        at = address + known["gen_object.gi_iframe"]
        code = memory.word(at + known["interpreter_frame.executable"]) & ~_TAGS
        instruction = memory.word(at + known["interpreter_frame.instr_ptr"])
        found = self._codes.load([code]).get(code)
        if found is None:
            raise Unreadable("no code")
        line = self._codes.line(found, instruction)
        frame = Frame(found.function, found.file, line, at, found)
        following = 0
        if state in awaiting:
            top = memory.word(at + known["interpreter_frame.stackpointer"])
            following = memory.word(top - depth) & ~_TAGS
        return frame, following, state != created

    def _awaitable(self, address: int, kind: str) -> str:
        if kind == _FUTURE_ITERATOR:
            future = self._memory.word(address + 16)
            if not future:
                return ""
            cls = self._objects.type_of(future)
            if self._memory.read(future + self._at["task.is_task"], 1)[0]:
                return f"task {self._name(future)}"
            return f"a {cls.name}"
        return f"a {kind.rpartition('.')[2]}"


_STATES: dict[tuple[int, int], tuple[int, tuple[int, ...], tuple[int, ...], int]] = {
    (3, 14): (256 - 3, (256 - 1,), (1, 4), 8),
    (3, 15): (0, (2, 3), (5,), 16),
}
"""A generator's states: created, waiting for another, and those without a frame. Then how far below
the top of its stack, in bytes, lies what it waits for."""


def _makes_sense(at: dict[str, int]) -> bool:
    return all(0 < size < 1 << 22 for name, size in at.items() if name.endswith(".size")) and all(
        value <= at[f"{name.partition('.')[0]}.size"] for name, value in at.items()
    )
