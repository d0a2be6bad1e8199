"""Watches on memory by the processor itself: code that doesn't write there costs nothing.

Owns the perf events and their rings; must not know what lies at an address, nor what a stop is.
The processor has four watchpoints per thread, of 1, 2, 4 or 8 aligned bytes each. Each thread has
an event of its own, so that a hit names its thread; a thread that begins gets its event by
`HardwareWatch.follow_here`, or at the next look. What no event tells is found by comparison at that
look, and said to be by an unknown thread: writes of a thread that has just begun, and the kernel's,
as ``file.readinto(array)`` makes them.

Threads: `look`, `follow` and `close` are called under the caller's own lock, or by one thread.
Source: man perf_event_open, include/uapi/linux/perf_event.h.
"""

import contextlib
import ctypes
import errno
import functools
import mmap
import os
import platform
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from nbdebug import errors
from nbdebug.engine.memory import Place, Span

SLOTS: Final = 4
"""What x86 and ARM have at least; the kernel refuses what is above."""

_SYSCALLS: Final = {
    "x86_64": 298,
    "aarch64": 241,
    "riscv64": 241,
    "i686": 336,
    "armv7l": 364,
    "ppc64le": 319,
    "s390x": 331,
}
_TYPE_BREAKPOINT: Final = 5
_ATTR: Final = struct.Struct("=IIQQQQQIIQQQQIiQIHH8x")
_EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR, _USE_CLOCK = 1 << 5, 1 << 6, 1 << 25
_REMOVE_ON_EXEC, _SIGTRAP = 1 << 36, 1 << 37  # the second needs the first; Linux 5.13
_SAMPLE_TID, _SAMPLE_TIME = 1 << 1, 1 << 2
_CLOCK_MONOTONIC: Final = 1
_CLOSE_ON_EXEC: Final = 1 << 3
_DISABLE, _ENABLE, _REFRESH = 0x2401, 0x2400, 0x2402
TRAPS: Final = 16
"""So many hits of a thread send a signal before the next look; the kernel then stops watching. What
was watched may have been freed, and whoever has the memory now writes it all the time: the signal's
handler, too."""

_native_id = threading.get_native_id  # a name of the module is found faster

_HEAD, _TAIL = 1024 // 8, 1032 // 8
_RECORD: Final = struct.Struct("=IHH")
_SAMPLE: Final = struct.Struct("=IIQ")
_LOST: Final = struct.Struct("=QQ")
_RECORD_LOST, _RECORD_SAMPLE = 2, 9
_SAMPLE_BYTES: Final = _RECORD.size + _SAMPLE.size


class NoWatchSlot(errors.NotSupported):
    """The processor's watchpoints are all in use."""

    slug = "no-watch-slot"
    id = 360
    advice = "End another watch of this kind, or watch its changes without `--exact`."


class Access(Enum):
    """What is told; the processors can't tell reads alone."""

    WRITE = 2
    READ_WRITE = 3


@dataclass(frozen=True, slots=True)
class MemoryHit:
    """One access: by which thread (its native id), and when (``time.monotonic_ns``)."""

    thread: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Look:
    """What has happened since the look before. ``new`` None: the place is gone, the watch over."""

    hits: tuple[MemoryHit, ...]
    lost: int
    old: bytes
    new: bytes | None

    @property
    def changed(self) -> bool:
        """True if other bytes are there than before."""
        return self.old != self.new

    @property
    def is_unattributed(self) -> bool:
        """True if there is a change that no event told: by a new thread, or by the kernel."""
        return self.changed and self.new is not None and not self.hits


@functools.cache
def why_not() -> str | None:
    """Return why there are no hardware watches in this process, as a sentence; None if there are.

    Tries one, on memory of its own.
    """
    if os.environ.get("NBDEBUG_NO_HARDWARE"):
        return "NBDEBUG_NO_HARDWARE is set, so the processor's watchpoints aren't used."
    if sys.platform != "linux":
        return f"Hardware watches need Linux's perf events, and this is {sys.platform}."
    if platform.machine() not in _SYSCALLS or sys.maxsize < 1 << 32:
        return f"Hardware watches aren't known for {platform.machine()}."
    cell = ctypes.c_uint64(0)
    try:
        event = _Event(threading.get_native_id(), Span(ctypes.addressof(cell), 8), Access.WRITE)
    except NoWatchSlot:
        return None  # they work, and others use them
    except errors.NotSupported as error:
        return str(error)
    try:
        cell.value = 1
        return (
            None if event.take()[0] else "This machine accepts hardware watches and tells no hit."
        )
    finally:
        event.close()


@functools.cache
def has_traps() -> bool:
    """True if the kernel can send SIGTRAP to the thread that hits."""
    if why_not() is not None:
        return False
    cell = ctypes.c_uint64(0)
    span = Span(ctypes.addressof(cell), 8)
    try:
        _Event(threading.get_native_id(), span, Access.WRITE, traps=True).close()
    except NoWatchSlot:
        has_traps.cache_clear()
        return False
    except errors.NotSupported:
        return False
    return True


class HardwareWatch:
    """Watches a place in memory on all threads of the process, until it is closed.

    With ``traps`` each hit sends SIGTRAP to the thread that made it: a handler must be there, for
    the default ends the process. Raises NotSupported with the reason, NoWatchSlot if the processor
    has no watchpoint left.
    """

    def __init__(self, place: Place, access: Access = Access.WRITE, *, traps: bool = False) -> None:
        reason = why_not()
        if reason is not None:
            raise errors.NotSupported(reason)
        self._place = place
        self._access = access
        self._traps = traps
        self._gathered: list[MemoryHit] = []
        self._lost = 0
        self._unseen: set[int] = set()  # threads
        self._events: dict[int, list[_Event]] = {}
        span, value = place.span(), place.read()
        if span is None or value is None:
            raise errors.NotSupported("What is to be watched is gone.")
        self._span, self._value = span, value
        self._parts = parts_of(span)
        try:
            self.follow()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """How many of the processor's watchpoints this takes."""
        return len(self._parts)

    def filenos(self) -> list[int]:
        """Return what becomes readable, for ``select.poll``, when a thread hits."""
        return [event.fileno for events in self._events.values() for event in events]

    def follow(self) -> None:
        """Watch the threads that have begun since, and forget those that have ended."""
        there = {int(name) for name in os.listdir("/proc/self/task")}
        for thread in there - self._events.keys():
            try:
                self._watch(thread)
            except ProcessLookupError:
                continue  # it has ended meanwhile
        for thread in self._events.keys() - there:
            if not any(event.has_records() for event in self._events[thread]):
                self._forget(thread)

    def follow_here(self) -> None:
        """Watch the calling thread, if it isn't yet."""
        thread = threading.get_native_id()
        if self._events and thread not in self._events:
            self._watch(thread)

    def is_hit_here(self) -> bool:
        """True if the calling thread has hit since the last look: cheap, for INSTRUCTION events."""
        thread = _native_id()
        for event in self._events.get(thread, ()):
            if event.has_records():
                return True
        return bool(self._gathered) and any(hit.thread == thread for hit in self._gathered)

    def threads_that_hit(self) -> list[int]:
        """Return the native ids of the threads that have hit since the last look."""
        return [
            thread
            for thread, events in list(self._events.items())
            if any(event.has_records() for event in events)
        ]

    def gather(self) -> list[MemoryHit]:
        """Return the hits since the last time; the next look tells of them as well."""
        hits: list[MemoryHit] = []
        for events in self._events.values():
            for event in events:
                more, lost = event.take()
                hits += more
                self._lost += lost
        self._gathered += hits
        return hits

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """Have what the calling thread reads meanwhile told to nobody, where reads are told."""
        thread = _native_id()
        if self._access is Access.WRITE or thread in self._unseen:
            yield
            return
        own = self._events.get(thread, [])
        self._unseen.add(thread)
        try:
            for event in own:
                event.switch(on=False)
            yield
        finally:
            self._unseen.discard(thread)
            for event in own:
                event.switch(on=True)

    def look(self, follow: bool = True) -> Look:
        """Return what has happened since the last look; the place is followed where it moves.

        Without ``follow`` threads that have begun aren't looked for, which takes longest.
        """
        hits, lost = self._take()
        old, new, span = self._value, self._read(), self._place.span()
        self._value = old if new is None else new
        if span is None or new is None:
            self.close()
            return Look(hits, lost, old, None)
        if span != self._span:
            self._move(span)
        elif follow:
            self.follow()
        return Look(hits, lost, old, new)

    def close(self) -> None:
        """Give the processor's watchpoints back. Safe to call twice."""
        for thread in list(self._events):
            self._forget(thread)

    def _watch(self, thread: int) -> None:
        events = self._events[thread] = []
        try:
            parts, access, traps = self._parts, self._access, self._traps
            events.extend(_Event(thread, part, access, traps) for part in parts)
        except BaseException:
            self._forget(thread)
            raise

    def _forget(self, thread: int) -> None:
        for event in self._events.pop(thread):
            event.close()

    def _move(self, span: Span) -> None:
        self.close()
        self._span, self._parts = span, parts_of(span)
        self.follow()

    def _take(self) -> tuple[tuple[MemoryHit, ...], int]:
        self.gather()
        hits, lost = self._gathered, self._lost
        self._gathered, self._lost = [], 0
        return tuple(sorted(hits, key=lambda hit: hit.time_ns)), lost

    def _read(self) -> bytes | None:
        with self.unseen():
            return self._place.read()


def parts_of(span: Span) -> list[Span]:
    """Divide bytes into what one watchpoint each can cover. Raises NoWatchSlot above four."""
    parts: list[Span] = []
    address, end = span.address, span.address + span.length
    while address < end and len(parts) <= SLOTS:
        size = next(s for s in (8, 4, 2, 1) if address % s == 0 and address + s <= end)
        parts.append(Span(address, size))
        address += size
    if len(parts) > SLOTS:
        raise NoWatchSlot(
            f"{span.length} bytes need more than the {SLOTS} watchpoints that a processor has."
        )
    return parts


def records_in(data: bytes) -> Iterator[MemoryHit | int]:
    """Yield what a ring's bytes tell: hits, and counts of lost ones. Other records are passed."""
    place = 0
    while place + _RECORD.size <= len(data):
        kind, _, size = _RECORD.unpack_from(data, place)
        body = place + _RECORD.size
        if size < _RECORD.size or place + size > len(data):
            return  # the kernel writes whole records only
        if kind == _RECORD_SAMPLE:
            _, thread, time_ns = _SAMPLE.unpack_from(data, body)
            yield MemoryHit(thread, time_ns)
        elif kind == _RECORD_LOST:
            yield _LOST.unpack_from(data, body)[1]
        place += size


def unwrapped(ring: bytes, tail: int, head: int) -> bytes:
    """Return the bytes of a ring from ``tail`` to ``head``, which count on without end."""
    start, length = tail % len(ring), min(head - tail, len(ring))
    return (ring[start:] + ring[:start])[:length]


class _Event:
    """One watchpoint of one thread, with the ring into which the kernel writes its hits."""

    def __init__(self, thread: int, span: Span, access: Access, traps: bool = False) -> None:
        self._ring: mmap.mmap | None = None
        self._limit = TRAPS if traps else 0
        self.fileno = _open(thread, span, access, traps)
        try:
            self._ring = mmap.mmap(self.fileno, 2 * mmap.PAGESIZE)
        except OSError as error:
            os.close(self.fileno)
            raise errors.NotSupported(
                "The kernel gives this user no more memory for hardware watches "
                f"(perf_event_mlock_kb): {error.strerror}."
            ) from error
        self._words = memoryview(self._ring).cast("Q")
        if self._limit:
            self._control(_REFRESH, self._limit)

    def has_records(self) -> bool:
        words = self._words
        return self._ring is not None and words[_HEAD] != words[_TAIL]

    def take(self) -> tuple[list[MemoryHit], int]:
        """Return the hits since the last time, and how many the ring had no room for."""
        if self._ring is None:
            return [], 0
        head, tail = self._words[_HEAD], self._words[_TAIL]
        if head == tail:
            return [], 0
        data = unwrapped(self._ring[mmap.PAGESIZE :], tail, head)
        self._words[_TAIL] = head
        records = list(records_in(data))
        hits = [record for record in records if isinstance(record, MemoryHit)]
        if self._limit and hits:
            self._control(_REFRESH, len(hits))
        return hits, sum(record for record in records if isinstance(record, int))

    @property
    def is_spent(self) -> bool:
        """True once the kernel watches no more, until what it has told is taken."""
        words = self._words
        return bool(self._limit) and words[_HEAD] - words[_TAIL] >= self._limit * _SAMPLE_BYTES

    def switch(self, on: bool) -> None:
        if self._ring is not None and not (on and self.is_spent):
            self._control(_ENABLE if on else _DISABLE, 0)

    def _control(self, request: int, argument: int) -> None:
        from fcntl import ioctl  # not on Windows, where this module only says why not

        ioctl(self.fileno, request, argument)

    def close(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            os.close(self.fileno)
            self._words.release()
            ring.close()


def attributes(span: Span, access: Access, traps: bool = False) -> bytes:
    """Return the kernel's ``struct perf_event_attr`` of one watchpoint that samples each hit."""
    trap = _REMOVE_ON_EXEC | _SIGTRAP if traps else 0
    return _ATTR.pack(
        _TYPE_BREAKPOINT,
        _ATTR.size,
        0,
        1,  # each hit
        _SAMPLE_TID | _SAMPLE_TIME,
        0,
        _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR | _USE_CLOCK | trap,
        1,  # wake a poll up at each hit
        access.value,
        span.address,
        span.length,
        *(0, 0),
        *(0, _CLOCK_MONOTONIC),
        *(0, 0, 0, 0),
    )


def _open(thread: int, span: Span, access: Access, traps: bool) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = ctypes.create_string_buffer(attributes(span, access, traps), _ATTR.size)
    number = _SYSCALLS[platform.machine()]
    arguments = (ctypes.c_int(thread), ctypes.c_int(-1), ctypes.c_int(-1))
    fileno: int = libc.syscall(
        ctypes.c_long(number), given, *arguments, ctypes.c_ulong(_CLOSE_ON_EXEC)
    )
    if fileno >= 0:
        return fileno
    raise _refusal(ctypes.get_errno())


def _refusal(number: int) -> Exception:
    """Return the error for what the kernel said to perf_event_open."""
    said = os.strerror(number)
    if number == errno.ESRCH:
        return ProcessLookupError(number, said)
    if number == errno.ENOSPC:
        return NoWatchSlot(f"All {SLOTS} watchpoints of the processor are in use.")
    if number in (errno.EACCES, errno.EPERM):
        return errors.NotSupported(
            "Hardware watches are forbidden here, by the container or by "
            f"/proc/sys/kernel/perf_event_paranoid ({_paranoia()}): {said}."
        )
    if number in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENOSYS, errno.EINVAL):
        return errors.NotSupported(f"This machine offers no hardware watches: {said}.")
    return errors.NotSupported(f"The kernel refuses a hardware watch: {said}.")


def _paranoia() -> str:
    try:
        with open("/proc/sys/kernel/perf_event_paranoid", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "not to be read"
