"""The stacks of all threads of another process: a moment's frames, and the proof that they were.

Owns the walk over interpreters, threads and frames in each version's form, and the rounds of
reading until each thread's frames are proved to have been its stack at one moment. A thread for
which that can't be had is shown without frames, and with the reason.
Thread rule: one thread at a time.
"""

import struct
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from . import errors
from .codes import Code, Codes
from .frames import Chain, RawFrame, frames_of
from .memory import Memory, Unreadable
from .objects import Objects
from .runtime import Runtime
from .stillness import Gil, Stamp, Watched, beside, gil_of
from .thread_ids import ThreadIds
from .thread_names import ThreadNames

_MOST_THREADS = 100_000
_FAST = "it runs too fast to be read while it runs"


class Frame(NamedTuple):
    """A Python frame, as it was at the moment of the look."""

    function: str
    file: str
    line: int | None
    address: int  # of its _PyInterpreterFrame, or PyFrameObject before 3.11
    code: Code | None = None
    slots: bytes = b""  # its locals: a reference each, as they were at that moment


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A thread, and its frames from the innermost out."""

    id: int  # the system's, as in /proc; 0 where it isn't known
    ident: int  # Python's: threading.get_ident()
    name: str
    interpreter: int  # 0 is the main one
    frames: tuple[Frame, ...]
    has_gil: bool
    problem: str = ""  # why there are no frames, or not all
    address: int = 0  # of its PyThreadState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one look found."""

    pid: int
    release: str
    threads: tuple[ThreadStack, ...]
    took_s: float
    is_finalizing: bool
    is_frozen: bool


@dataclass(slots=True)
class _Interpreter:
    address: int
    id: int
    gil: Gil
    stamp: Stamp | None = None


@dataclass(slots=True)
class _Thread:
    """A thread while it is being read."""

    address: int
    interpreter: _Interpreter
    next: int
    owner: int  # the address of its interpreter, as it says itself
    ident: int
    native: int  # 0 where the version doesn't keep it
    chain: Chain = field(default_factory=Chain)
    is_proved: bool = False
    stamp: Stamp | None = None  # of its GIL, when its frames were read
    watched: Watched | None = None  # the thread itself, where it is the GIL's holder


class Stacks:
    """Reads the stacks of one process, again and again."""

    def __init__(
        self,
        memory: Memory,
        runtime: Runtime,
        objects: Objects,
        names: ThreadNames | None = None,
    ) -> None:
        self._memory = memory
        self._runtime = runtime
        self._names = names
        self._codes = Codes(memory, objects)
        self._known: list[tuple[int, _Interpreter]] = []
        self._last: list[_Thread] = []
        known = runtime.offsets
        self._frames = frames_of(memory, known)
        fields = ["next", "interp", "thread_id"]
        if "thread_state.native_thread_id" in known:
            fields.append("native_thread_id")
        at = [known[f"thread_state.{name}"] for name in fields]
        gaps = [here - before - 8 for before, here in zip([-8, *at], at, strict=False)]
        self._head = struct.Struct("<" + "".join(f"{gap}xQ" for gap in gaps))
        self._built: dict[int, tuple[Chain, frozenset[int], ThreadStack]] = {}
        self._codes_then: dict[int, Code] = {}
        self._ids: dict[tuple[int, int, int], int] = {}
        self._ids_of = ThreadIds(runtime.pid, memory)

    @property
    def codes(self) -> Codes:
        return self._codes

    def look(
        self, *, limit_s: float = 0.25, is_frozen: bool = False, with_slots: bool = False
    ) -> Snapshot:
        """Return the stacks of all threads.

        ``is_frozen`` says that none of them can run meanwhile. ``with_slots`` keeps the frames'
        references to their locals.

        Raises:
            ProcessEnded: it isn't there any more.
            MemoryInconsistent: its list of threads can't be followed.
        """
        began = time.perf_counter()
        done: dict[int, _Thread] = {}
        for attempt in range(1 << 20):
            is_late = attempt > 2 and time.perf_counter() - began > limit_s
            try:
                threads = self._threads()
                waiting = [thread for thread in threads if thread.address not in done]
                self._read(waiting, is_frozen, is_patient=attempt > 0, with_slots=with_slots)
            except Unreadable as error:
                self._known = []
                if is_late:
                    what = f"its list of threads: {error}"
                    raise errors.MemoryInconsistent.of(self._runtime.pid, what=what) from None
                continue
            whole = [t for t in waiting if t.is_proved and (is_late or not t.chain.problem)]
            done |= {thread.address: thread for thread in whole}
            if is_frozen or is_late or len(whole) == len(waiting):
                break
        for thread in waiting:
            if not thread.is_proved:
                thread.chain = Chain(problem=_FAST)
        found = [done.get(thread.address, thread) for thread in threads]
        self._last = [] if is_frozen else found
        return Snapshot(
            self._runtime.pid,
            self._runtime.release,
            self._finished(found, with_slots),
            time.perf_counter() - began,
            self._runtime.is_finalizing(self._memory),
            is_frozen,
        )

    def has_run(self) -> set[int]:
        """Return those of the threads of the last look that may have run since: addresses."""
        gils = {t.interpreter.gil.place: t.interpreter.gil for t in self._last}
        now = self._stamps(gils) if gils else {}
        found = set()
        for thread in self._last:
            stamp, was = now[thread.interpreter.gil.place], thread.stamp
            is_same = was is not None and _stood_still(was, stamp)
            if stamp.holder == thread.address:
                is_same = is_same and thread.watched is not None and thread.watched.has_not_run()
            if not is_same:
                found.add(thread.address)
        return found

    # -- interpreters and threads

    def _threads(self) -> list[_Thread]:
        """Return all threads with their heads. The list of last time is tried first."""
        if self._known:
            threads = self._same_threads()
            if threads is not None:
                return threads
        threads = list(self._walk())
        self._known = [(thread.address, thread.interpreter) for thread in threads]
        return threads

    def _same_threads(self) -> list[_Thread] | None:
        known = self._runtime.offsets
        interpreters = list({id(i): i for _, i in self._known}.values())
        first = known["interpreter_state.threads_head"]
        following = known["interpreter_state.next"]
        places = [(self._runtime.address + known["runtime_state.interpreters_head"], 8)]
        for interpreter in interpreters:
            places += [(interpreter.address + first, 8), (interpreter.address + following, 8)]
        places += [(address, self._head.size) for address, _ in self._known]
        data = self._memory.read_many(places)
        if None in data:
            return None
        words = [int.from_bytes(one or b"", "little") for one in data[: 1 + 2 * len(interpreters)]]
        if words[0::2] != [*(i.address for i in interpreters), 0]:
            return None
        heads = dict(zip((i.address for i in interpreters), words[1::2], strict=True))
        threads = []
        expected = 0
        last: _Interpreter | None = None
        for (address, interpreter), head in zip(
            self._known, data[1 + 2 * len(interpreters) :], strict=True
        ):
            if interpreter is not last:
                if expected:
                    return None
                expected, last = heads[interpreter.address], interpreter
            thread = self._parsed(address, interpreter, head or b"")
            if address != expected or thread.owner != interpreter.address:
                return None
            expected = thread.next
            threads.append(thread)
        return None if expected else threads

    def _walk(self) -> Iterator[_Thread]:
        memory, known = self._memory, self._runtime.offsets
        seen: set[int] = set()
        for address in self._runtime.interpreters(memory):
            gil = gil_of(memory, known, self._runtime.address, address)
            id_ = self._runtime.interpreter_id(memory, address)
            interpreter = _Interpreter(address, id_, gil)
            at = memory.word(address + known["interpreter_state.threads_head"])
            while at:
                thread = self._parsed(at, interpreter, memory.read(at, self._head.size))
                if at in seen or thread.owner != address:
                    raise Unreadable("the list of threads changes")
                if len(seen) > _MOST_THREADS:
                    raise Unreadable("a list of threads without an end")
                seen.add(at)
                yield thread
                at = thread.next

    def _parsed(self, address: int, interpreter: _Interpreter, head: bytes) -> _Thread:
        following, owner, ident, *native = self._head.unpack(head)
        return _Thread(address, interpreter, following, owner, ident, native[0] if native else 0)

    # -- one round

    def _read(
        self, threads: list[_Thread], is_frozen: bool, *, is_patient: bool, with_slots: bool
    ) -> None:
        """Read the frames of these threads, and mark those whose stack is proved."""
        gils = {t.interpreter.gil.place: t.interpreter.gil for t in threads}
        stamps = self._stamps(gils)
        runners = {}
        for thread in threads:
            if not is_frozen and thread.address == stamps[thread.interpreter.gil.place].holder:
                runners[thread.address] = Watched(self._runtime.pid, self._id(thread))
        busy = next(iter(runners.values()), None) if is_patient else None
        with beside(busy) if busy else nullcontext(False) as is_beside:
            still = {
                address
                for address, runner in runners.items()
                if runner.begin(beside=is_beside and runner is busy)
            }
            before = self._stamps(gils)
            chains = self._frames.read([t.address for t in threads], with_slots=with_slots)
            after = self._stamps(gils)
            still = {address for address in still if runners[address].has_not_run()}
        for thread, chain in zip(threads, chains, strict=True):
            place = thread.interpreter.gil.place
            thread.chain = chain
            thread.stamp, thread.watched = after[place], runners.get(thread.address)
            thread.interpreter.stamp = after[place]
            if thread.address == after[place].holder:
                is_same = before[place].holder == after[place].holder
                thread.is_proved = is_frozen or (is_same and thread.address in still)
            else:
                thread.is_proved = is_frozen or _stood_still(before[place], after[place])

    def _stamps(self, gils: dict[tuple[int, int], Gil]) -> dict[tuple[int, int], Stamp]:
        data = self._memory.read_together(list(gils))
        return {place: gils[place].stamp(one) for place, one in zip(gils, data, strict=True)}

    def _id(self, thread: _Thread) -> int:
        """Return the system's id of a thread, 0 if it can't be told."""
        key = (thread.address, thread.ident, thread.native)
        if key not in self._ids or not thread.native:
            self._ids[key] = self._ids_of.find(thread.native, thread.ident)
        return self._ids[key]

    # -- what is shown

    def _finished(self, threads: list[_Thread], with_slots: bool) -> tuple[ThreadStack, ...]:
        named = self._named(threads)
        used = {t.address: self._codes_of(t) for t in threads}
        codes = self._codes.load(frozenset().union(*used.values()))
        is_same = all(codes.get(at) is code for at, code in self._codes_then.items() if at in codes)
        built = self._built if is_same else {}
        self._built, self._codes_then = {}, codes
        found = []
        for thread in threads:
            name = named.get(thread.address, "")
            known = built.get(thread.address)
            if known is None or known[0] is not thread.chain:
                stack = self._stack(thread, codes, with_slots, name)
            elif (known[2].name, known[2].has_gil) != (name, _has_gil(thread)):
                stack = replace(known[2], name=name, has_gil=_has_gil(thread))
            else:
                stack = known[2]
            self._built[thread.address] = (thread.chain, used[thread.address], stack)
            found.append(stack)
        return tuple(found)

    def _named(self, threads: list[_Thread]) -> dict[int, str]:
        """Return the names of threads by their addresses."""
        # As `threading` calls it, which needn't be imported; for one thread it isn't asked.
        names = {t.address: "MainThread" for t in threads if self._id(t) == self._runtime.pid}
        if self._names is None or len(names) == len(threads):
            return names
        for address in {thread.interpreter.address for thread in threads}:
            here = [thread for thread in threads if thread.interpreter.address == address]
            found = self._names.of(address, [thread.ident for thread in here])
            names |= {t.address: found[t.ident] for t in here if t.ident in found}
        return names

    def _codes_of(self, thread: _Thread) -> frozenset[int]:
        known = self._built.get(thread.address)
        if known is not None and known[0] is thread.chain:
            return known[1]
        return frozenset(code for code, _, _, _ in thread.chain.frames)

    def _stack(
        self, thread: _Thread, codes: dict[int, Code], with_slots: bool, name: str
    ) -> ThreadStack:
        return ThreadStack(
            self._id(thread),
            thread.ident,
            name,
            thread.interpreter.id,
            tuple([self._frame(raw, codes, with_slots) for raw in thread.chain.frames]),
            _has_gil(thread),
            thread.chain.problem,
            thread.address,
        )

    def _frame(self, raw: RawFrame, codes: dict[int, Code], with_slots: bool) -> Frame:
        address, instruction, frame, slots = raw
        code = codes.get(address)
        if code is None:
            return Frame("?", "?", None, frame)
        kept = b""
        if with_slots:
            try:
                kept = bytes(slots[: 8 * len(self._codes.locals_of(code))])
            except Unreadable:
                pass
        line = self._codes.line(code, instruction)
        return Frame(code.function, code.file, line, frame, code, kept)


def _has_gil(thread: _Thread) -> bool:
    stamp = thread.interpreter.stamp
    return stamp is not None and stamp.is_locked and stamp.holder == thread.address


def _stood_still(before: Stamp, after: Stamp) -> bool:
    """Whether no thread but the holder ran Python between two moments."""
    return before.holder == after.holder and before.switches == after.switches
