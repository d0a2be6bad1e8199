"""From a thread of another process to its frames, innermost first, in each version's form.

Owns the walk from frame to frame: through the data stack, which is copied whole, and to the frames
that lie elsewhere (generators', and those that mark a call from C). Doubts every address, and
proves nothing: whether the thread stood still meanwhile is for the caller to know.
Thread rule: one thread at a time.
Source: CPython's Include/internal/pycore_interpframe_structs.h, Include/cpython/frameobject.h.
"""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .memory import TOP, Memory, Unreadable
from .offsets import Offsets

MOST_FRAMES = 200_000
"""A stack is followed so far down."""

BROKEN = "its frames can't be followed further"
"""The problem of a chain that doesn't end where a thread begins. For an instant that may be so,
while a call begins or a generator yields: the interpreter links frames in several steps."""

_TAGS = 3  # the low bits of a reference on a stack, from 3.14 on
_CHUNK_LIMIT = 1 << 26
_MOST_CHUNKS = 1 << 14
_SLOTS_READ = 64  # with a frame that lies elsewhere
_GENERATOR, _MARK = 1, 3  # of a frame's owner; from 3 on it marks a call from C
_LAST_OWNER = 4

_WORD = struct.Struct("<Q").unpack_from


type RawFrame = tuple[int, int, int, bytes | memoryview]
"""A frame as it was read: the addresses of its code, its instruction (before 3.11 an offset in
bytes) and itself; then its slots from the first local on, at least as far as they go, or nothing.
A plain tuple, as a look makes thousands."""


@dataclass(slots=True, eq=False)
class Chain:
    """The frames of one thread, from the innermost out, and why they don't go on.

    The same object is given again for a thread of which nothing has changed.
    """

    frames: list[RawFrame] = field(default_factory=list)
    problem: str = ""


class Frames(Protocol):
    """Walks the frames of threads."""

    def read(self, threads: Sequence[int], *, with_slots: bool) -> list[Chain]:
        """Return the frames of the threads at these addresses."""


def frames_of(memory: Memory, offsets: Offsets) -> Frames:
    """Return what walks the frames of this version."""
    if offsets.version >= (3, 11):
        return _InterpreterFrames(memory, offsets)
    return _FrameObjects(memory, offsets)


class _Stack:
    """The data stack of one thread: the pieces that have been copied, and where it has others."""

    __slots__ = ("bytes", "chain", "head", "kind", "next", "older", "starts", "words")

    def __init__(self, head: tuple[int, ...] = ()) -> None:
        self.head = head  # what the thread's state said of it
        self.chain = Chain()
        self.next = 0  # the frame to be read next
        self.kind = 0  # the owner of the frame that was read last
        self.older = 0  # the piece before those that are copied
        self.starts: list[int] = []  # sorted, as are the next two
        self.bytes: list[bytes] = []
        self.words: list[memoryview] = []

    def add(self, start: int, data: bytes) -> None:
        at = bisect_right(self.starts, start)
        self.starts.insert(at, start)
        self.bytes.insert(at, data)
        self.words.insert(at, memoryview(data)[: len(data) & ~7].cast("Q"))


class _InterpreterFrames:
    """From 3.11 on: _PyInterpreterFrame."""

    def __init__(self, memory: Memory, offsets: Offsets) -> None:
        self._memory = memory
        frame = {
            name: offsets[f"interpreter_frame.{name}"]
            for name in ("previous", "executable", "instr_ptr", "localsplus", "owner")
        }
        self._previous = frame["previous"] >> 3
        self._code = frame["executable"] >> 3
        self._instruction = frame["instr_ptr"] >> 3
        self._owner = frame["owner"]
        self._size = frame["localsplus"]
        self._mask = ~_TAGS if offsets.version >= (3, 14) else -1
        names = ("datastack_chunk", "datastack_top")
        at = [offsets[f"thread_state.{name}"] for name in names]
        top = offsets.get("thread_state.cframe")
        self._is_indirect = top is not None
        at.append(offsets["thread_state.current_frame"] if top is None else top)
        self._in_cframe = offsets.get("cframe.current_frame") or 0
        self._last: dict[int, _Stack] = {}
        self._last_slots = False
        self._has_marks = offsets.version >= (3, 12)
        self._first = min(at)
        self._head = max(at) + 8 - self._first
        self._at = [one - self._first for one in at]
        chunk = ("previous", "chunk_size", "top", "data")
        self._chunk = [offsets[f"stack_chunk.{name}"] for name in chunk]

    def read(self, threads: Sequence[int], *, with_slots: bool) -> list[Chain]:
        heads = self._heads(threads)
        known = self._last if with_slots is self._last_slots else {}
        same = self._unchanged(
            [
                known[t]
                for t, head in zip(threads, heads, strict=True)
                if head and t in known and known[t].head == head
            ]
        )
        stacks = [
            known[t] if t in known and id(known[t]) in same else _Stack(head)
            for t, head in zip(threads, heads, strict=True)
        ]
        fresh = [stack for stack in stacks if id(stack) not in same]
        self._begin(fresh)
        waiting = [stack for stack in fresh if stack.next]
        while waiting:
            for stack in waiting:
                self._walk(stack, with_slots)
            waiting = [stack for stack in waiting if stack.next]
            self._fetch(waiting, with_slots)
        self._last, self._last_slots = dict(zip(threads, stacks, strict=True)), with_slots
        return [stack.chain for stack in stacks]

    def _unchanged(self, stacks: list[_Stack]) -> set[int]:
        """Return the ids of the stacks whose every piece is as it was when it was copied."""
        places = [
            (start, len(data))
            for stack in stacks
            for start, data in zip(stack.starts, stack.bytes, strict=True)
        ]
        reads = iter(self._memory.read_many(places))
        found = set()
        for stack in stacks:
            if [data == next(reads) for data in stack.bytes].count(False) == 0:
                found.add(id(stack))
        return found

    def _heads(self, threads: Sequence[int]) -> list[tuple[int, ...]]:
        """Return each thread's piece, its end, and its innermost frame; nothing if unreadable."""
        reads = self._memory.read_many([(one + self._first, self._head) for one in threads])
        heads = [
            tuple(_WORD(data, at)[0] for at in self._at) if data is not None else ()
            for data in reads
        ]
        if self._is_indirect:
            places = [(head[2] + self._in_cframe if head else 0, 8) for head in heads]
            words = self._memory.read_many(places)
            heads = [
                (head[0], head[1], int.from_bytes(word, "little")) if head and word else ()
                for head, word in zip(heads, words, strict=True)
            ]
        return heads

    def _begin(self, stacks: list[_Stack]) -> None:
        owners, pieces = [], []
        for stack in stacks:
            if not stack.head:
                stack.chain.problem = "its state can't be read"
                continue
            chunk, top, stack.next = stack.head
            if chunk and 0 < top - chunk < _CHUNK_LIMIT:
                owners.append(stack)
                pieces.append((chunk, top - chunk))
        reads = self._memory.read_many(pieces)
        for stack, (start, _), data in zip(owners, pieces, reads, strict=True):
            if data is not None and len(data) >= 24:
                stack.add(start, data)
                stack.older = _WORD(data, self._chunk[0])[0]

    def _walk(self, stack: _Stack, with_slots: bool) -> None:
        """Follow the frames as far as they lie in what has been copied."""
        frames, starts, size = stack.chain.frames, stack.starts, self._size
        previous, code, instruction, owner = (
            self._previous,
            self._code,
            self._instruction,
            self._owner,
        )
        mask = self._mask
        start = end = 0
        data, words = b"", memoryview(b"")
        at = stack.next
        kind = stack.kind
        while at:
            if not start <= at < end:
                found = bisect_right(starts, at) - 1
                if found < 0 or at + size > starts[found] + len(stack.bytes[found]):
                    break
                start, data, words = starts[found], stack.bytes[found], stack.words[found]
                end = start + len(data) - size + 1
            index = (at - start) >> 3
            kind = data[at - start + owner]
            if kind > _LAST_OWNER or at & 7 or len(frames) >= MOST_FRAMES:
                stack.chain.problem = BROKEN
                at = 0
                break
            if kind < _MARK:
                slots = memoryview(data)[at - start + size :] if with_slots else b""
                frames.append((words[index + code] & mask, words[index + instruction], at, slots))
            following = words[index + previous]
            if following == at:
                stack.chain.problem = BROKEN
                following = 0
            at = following
        stack.next, stack.kind = at, kind
        if not at and not self._is_root(kind) and frames and not stack.chain.problem:
            stack.chain.problem = BROKEN

    def _is_root(self, kind: int) -> bool:
        """Whether a thread's outermost frame may be of this kind."""
        return kind >= _MARK if self._has_marks else kind != _GENERATOR

    def _fetch(self, stacks: list[_Stack], with_slots: bool) -> None:
        """Copy the frames that lie elsewhere, and the older pieces of long stacks."""
        if not stacks:
            return
        for stack in stacks:
            if stack.older:
                self._add_older(stack)
        missing = [stack for stack in stacks if not _has(stack, stack.next, self._size)]
        size = self._size + (8 * _SLOTS_READ if with_slots else 0)
        found = self._memory.read_many([(stack.next, size) for stack in missing])
        for stack, read in zip(missing, found, strict=True):
            data = read
            if data is None and with_slots:  # at the end of what is mapped
                data = self._memory.read_many([(stack.next, self._size)])[0]
            if data is None or not 4096 <= stack.next < TOP:
                stack.chain.problem = BROKEN
                stack.next = 0
            else:
                stack.add(stack.next, data)

    def _add_older(self, stack: _Stack) -> None:
        previous, _, top_at, data_at = self._chunk
        places: list[tuple[int, int]] = []
        at = stack.older
        stack.older = 0
        while at and len(places) < _MOST_CHUNKS:
            try:
                head = self._memory.read(at, data_at)
            except Unreadable:
                break
            (top,) = _WORD(head, top_at)
            if top * 8 > _CHUNK_LIMIT:
                break
            places.append((at, data_at + 8 * top))
            at = _WORD(head, previous)[0]
        for (start, _), data in zip(places, self._memory.read_many(places), strict=True):
            if data is not None:
                stack.add(start, data)


def _has(stack: _Stack, address: int, size: int) -> bool:
    found = bisect_right(stack.starts, address) - 1
    return found >= 0 and address + size <= stack.starts[found] + len(stack.bytes[found])


class _FrameObjects:
    """Before 3.11: PyFrameObject, one for each call, on the heap."""

    def __init__(self, memory: Memory, offsets: Offsets) -> None:
        self._memory = memory
        self._top = offsets["thread_state.frame"]
        at = {name: offsets[f"frame_object.{name}"] for name in ("f_back", "f_code", "f_lasti")}
        self._back, self._code, self._last = at["f_back"], at["f_code"], at["f_lasti"]
        self._size = offsets["frame_object.f_localsplus"]
        self._unit = 2 if offsets.version == (3, 10) else 1

    def read(self, threads: Sequence[int], *, with_slots: bool) -> list[Chain]:
        memory = self._memory
        chains = [Chain() for _ in threads]
        tops = memory.read_many([(thread + self._top, 8) for thread in threads])
        waiting = [
            (chain, int.from_bytes(top, "little"))
            for chain, top in zip(chains, tops, strict=True)
            if top is not None
        ]
        size = self._size + (8 * _SLOTS_READ if with_slots else 0)
        while waiting := [(chain, at) for chain, at in waiting if at]:
            found = memory.read_many([(at, size) for _, at in waiting])
            following = []
            for (chain, at), read in zip(waiting, found, strict=True):
                data = read
                if data is None and with_slots:
                    data = memory.read_many([(at, self._size)])[0]
                if data is None or at & 7 or len(chain.frames) >= MOST_FRAMES:
                    chain.problem = BROKEN
                    continue
                (last,) = struct.unpack_from("<i", data, self._last)
                slots = data[self._size :]
                chain.frames.append((_WORD(data, self._code)[0], last * self._unit, at, slots))
                following.append((chain, _WORD(data, self._back)[0]))
            waiting = following
        return chains
