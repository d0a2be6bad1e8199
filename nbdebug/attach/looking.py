"""One process that is looked at and not touched: its threads, frames, variables and values.

Owns the parts that read it, and joins them: this is where callers outside begin. Nothing of it runs
in the process, and nothing in it changes.
Thread rule: one thread at a time.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from nbdebug.engine.value_text import Text

from . import errors, policy
from .codes import CELL, FREE, HIDDEN
from .contents import Contents
from .memory import Memory, Unreadable
from .objects import Objects
from .runtime import locate
from .stacks import Frame, Snapshot, Stacks
from .tasks import Task, Tasks
from .thread_names import ThreadNames
from .value_texts import Texts

_OPTIMIZED = 1  # CO_OPTIMIZED: its locals are in slots
_TAGS, _TAGGED_INT = 3, 3
_GONE = "the function has returned meanwhile"


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, and the address of what it stands for."""

    name: str
    address: int
    is_free: bool = False


class Look:
    """A process, to be looked at as often as one likes.

    Raises:
        NoSuchProcess, TargetZombie, NotPython, NoPermission, ThisProcess: there is nothing to see.
        UnknownVersion, FreeThreaded, NoWayHere: its Python, or this system, isn't understood.
    """

    def __init__(self, pid: int) -> None:
        if not sys.platform.startswith("linux"):
            raise errors.NoWayHere.of(pid, why="processes are looked into on Linux only")
        if pid == os.getpid():
            raise errors.ThisProcess.of(pid)
        self.pid = pid
        self.memory = Memory(pid)
        try:
            self.runtime = locate(self.memory)
        except errors.NoPermission:
            raise policy.no_permission(pid) from None
        self.objects = Objects(self.memory, self.runtime.offsets)
        self.contents = Contents(self.objects)
        self.texts = Texts(self.objects, self.contents)
        names = ThreadNames(self.objects, self.contents)
        self._stacks = Stacks(self.memory, self.runtime, self.objects, names)
        self._tasks = Tasks(self.runtime, self.objects, self.contents, self._stacks.codes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the process."""
        self.memory.close()

    def stacks(
        self, *, with_slots: bool = False, is_frozen: bool = False, limit_s: float = 0.25
    ) -> Snapshot:
        """Return the stacks of all threads, the main one first.

        ``with_slots`` is needed for ``locals``. A thread whose stack can't be proved within
        ``limit_s`` has no frames, and says so. Raises ProcessEnded.
        """
        snapshot = self._stacks.look(limit_s=limit_s, is_frozen=is_frozen, with_slots=with_slots)
        self.objects.forget()
        self.texts.forget()
        return replace(snapshot, threads=snapshot.threads[::-1])

    def has_run(self) -> set[int]:
        """Return those of the threads of the last look that may have run since: addresses."""
        return self._stacks.has_run()

    def tasks(self) -> list[Task]:
        """Return the asyncio tasks, from 3.14 on. Raises NotSupported for older ones."""
        return self._tasks.all()

    def locals(self, frame: Frame) -> list[Name]:
        """Return a function's variables as they were at the look; a module's as they are now.

        Raises:
            Unreadable: the frame isn't there any more.
        """
        code = frame.code
        if code is None:
            raise Unreadable("its code can't be read")
        if not code.flags & _OPTIMIZED:
            return self.namespace(self.namespace_of(frame, "f_locals"))
        return list(self._slots(frame))

    def globals(self, frame: Frame) -> list[Name]:
        return self.namespace(self.namespace_of(frame, "f_globals"))

    def namespace_of(self, frame: Frame, which: str) -> int:
        """Return the address of a frame's `f_locals`, `f_globals` or `f_builtins`."""
        known = self.runtime.offsets
        group = "interpreter_frame" if self.runtime.version >= (3, 11) else "frame_object"
        code = "executable" if self.runtime.version >= (3, 11) else "f_code"
        found, address = (
            self.memory.word(frame.address + known[f"{group}.{name}"]) for name in (code, which)
        )
        if frame.code is None or found & ~_TAGS != frame.code.address:
            raise Unreadable(_GONE)
        if not address and which == "f_locals":
            return self.namespace_of(frame, "f_globals")
        return address

    def namespace(self, address: int) -> list[Name]:
        """Return the variables in a dictionary."""
        return [Name(name, value) for name, value in self.contents.named_items(address)]

    def text(self, address: int, chars: int | None = None) -> Text:
        """Return a line of text for a value."""
        return self.texts.write(address, chars)

    def type_name(self, address: int) -> str:
        return self.texts.type_name(address)

    def _slots(self, frame: Frame) -> Iterator[Name]:
        assert frame.code is not None
        names = self._stacks.codes.locals_of(frame.code)
        cell = self.runtime.offsets["cell_object.ob_ref"]
        for index, (name, kind) in enumerate(names):
            word = int.from_bytes(frame.slots[8 * index : 8 * index + 8], "little")
            if self.runtime.version >= (3, 14):
                if word & _TAGS == _TAGGED_INT:
                    continue
                word &= ~_TAGS
            if not word or kind & HIDDEN or name.startswith("."):
                continue
            if kind & (CELL | FREE):
                try:
                    if self.objects.type_of(word).full_name == "cell":
                        word = self.memory.word(word + cell)
                except Unreadable:
                    pass  # it is shown as what can't be read
            if word:
                yield Name(name, word, bool(kind & FREE))
