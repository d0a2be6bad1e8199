"""Watches on memory by the processor itself: code that doesn't write there costs nothing.

Owns the perf events and their rings; must not know what lies at an address, nor what a stop is.
The processor has four watchpoints per thread, of 1, 2, 4 or 8 aligned bytes each. Each thread has
an event of its own, so that a hit names its thread; a thread that begins gets its event at the next
`HardwareWatch.look` (or `follow`). What no event tells is found by comparison at that look, and
said to be by an unknown thread: writes of a thread that has just begun, and the kernel's, as
``file.readinto(array)`` makes them.

Threads: `look`, `follow` and `close` are called under the caller's own lock, or by one thread.
Source: man perf_event_open, include/uapi/linux/perf_event.h.
"""

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
_SAMPLE_TID, _SAMPLE_TIME = 1 << 1, 1 << 2
_CLOCK_MONOTONIC: Final = 1
_CLOSE_ON_EXEC: Final = 1 << 3
_DISABLE, _ENABLE = 0x2401, 0x2400

_HEAD, _TAIL = 1024 // 8, 1032 // 8
_RECORD: Final = struct.Struct("=IHH")
_SAMPLE: Final = struct.Struct("=IIQ")
_LOST: Final = struct.Struct("=QQ")
_RECORD_LOST, _RECORD_SAMPLE = 2, 9


class NoWatchSlot(errors.NotSupported):
    """The processor's watchpoints are all in use."""

    slug = "no-watch-slot"
    id = 360
    advice = "End another watch of this kind, or watch by comparison at lines."


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


class HardwareWatch:
    """Watches a place in memory on all threads of the process, until it is closed.

    Raises NotSupported with the reason, NoWatchSlot if the processor has no watchpoint left.
    """

    def __init__(self, place: Place, access: Access = Access.WRITE) -> None:
        reason = why_not()
        if reason is not None:
            raise errors.NotSupported(reason)
        self._place = place
        self._access = access
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

    def is_hit_here(self) -> bool:
        """True if the calling thread has hit since the last look: cheap, for INSTRUCTION events."""
        events = self._events.get(threading.get_native_id(), ())
        return any(event.has_records() for event in events)

    def look(self) -> Look:
        """Return what has happened since the last look; the place is followed where it moves."""
        hits, lost = self._take()
        old, new, span = self._value, self._read(), self._place.span()
        self._value = old if new is None else new
        if span is None or new is None:
            self.close()
            return Look(hits, lost, old, None)
        if span != self._span:
            self._move(span)
        else:
            self.follow()
        return Look(hits, lost, old, new)

    def close(self) -> None:
        """Give the processor's watchpoints back. Safe to call twice."""
        for thread in list(self._events):
            self._forget(thread)

    def _watch(self, thread: int) -> None:
        events = self._events[thread] = []
        try:
            events.extend(_Event(thread, part, self._access) for part in self._parts)
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
        hits: list[MemoryHit] = []
        lost = 0
        for events in self._events.values():
            for event in events:
                more, more_lost = event.take()
                hits += more
                lost += more_lost
        return tuple(sorted(hits, key=lambda hit: hit.time_ns)), lost

    def _read(self) -> bytes | None:
        """Read the place; where reads are told, this one isn't."""
        own = self._events.get(threading.get_native_id(), [])
        if self._access is Access.WRITE:
            return self._place.read()
        for event in own:
            event.switch(on=False)
        try:
            return self._place.read()
        finally:
            for event in own:
                event.switch(on=True)


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

    def __init__(self, thread: int, span: Span, access: Access) -> None:
        self._ring: mmap.mmap | None = None
        self.fileno = _open(thread, span, access)
        try:
            self._ring = mmap.mmap(self.fileno, 2 * mmap.PAGESIZE)
        except OSError as error:
            os.close(self.fileno)
            raise errors.NotSupported(
                "The kernel gives this user no more memory for hardware watches "
                f"(perf_event_mlock_kb): {error.strerror}."
            ) from error
        self._words = memoryview(self._ring).cast("Q")

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
        return hits, sum(record for record in records if isinstance(record, int))

    def switch(self, on: bool) -> None:
        from fcntl import ioctl  # not on Windows, where this module only says why not

        ioctl(self.fileno, _ENABLE if on else _DISABLE, 0)

    def close(self) -> None:
        if self._ring is not None:
            self._words.release()
            self._ring.close()
            os.close(self.fileno)
            self._ring = None


def attributes(span: Span, access: Access) -> bytes:
    """Return the kernel's ``struct perf_event_attr`` of one watchpoint that samples each hit."""
    return _ATTR.pack(
        _TYPE_BREAKPOINT,
        _ATTR.size,
        0,
        1,  # each hit
        _SAMPLE_TID | _SAMPLE_TIME,
        0,
        _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR | _USE_CLOCK,
        1,  # wake a poll up at each hit
        access.value,
        span.address,
        span.length,
        *(0, 0),
        *(0, _CLOCK_MONOTONIC),
        *(0, 0, 0, 0),
    )


def _open(thread: int, span: Span, access: Access) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = ctypes.create_string_buffer(attributes(span, access), _ATTR.size)
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
