"""The memory of another process: its bytes, and the map of what lies where.

Owns the calls process_vm_readv and process_vm_writev and the reading of /proc/PID/maps; all others
come here for them. Knows nothing of Python's objects. What is read was never checked: an address
that isn't mapped raises ``Unreadable``, and any byte may be a lie.
Thread rule: a ``Memory`` may be used from any thread; it has no state that calls change, but for
the way that it found to work.
"""

import ctypes
import errno
import os
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import errors

AT_ONCE = 1024
"""How many places one system call reads at most: IOV_MAX."""

TOP = 1 << 47
"""Where the addresses of a program end, on x86-64 as on aarch64 with 48 bits."""


class Unreadable(Exception):
    """An address of the other process can't be read, or what is there is no such thing."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of /proc/PID/maps; ``end`` is the first address after it."""

    start: int
    end: int
    access: str  # as in the file: "r-xp"
    offset: int  # bytes into the file
    path: str  # "" where there is no file


def mappings(pid: int) -> list[Mapping]:
    """Return what is mapped where, in order of the addresses."""
    try:
        text = os.fsdecode(Path(f"/proc/{pid}/maps").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        raise errors.NoSuchProcess.of(pid) from None
    except OSError as error:
        raise errors.NoPermission.of(pid, why=_reason(error.errno)) from None
    found = []
    for line in text.splitlines():
        span, access, offset, _, _, *path = line.split(None, 5)
        start, _, end = span.partition("-")
        found.append(
            Mapping(int(start, 16), int(end, 16), access, int(offset, 16), path[0] if path else "")
        )
    return found


class Memory:
    """The memory of one process, by its addresses there."""

    __slots__ = ("_file", "_pid")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._file: int | None = None  # /proc/PID/mem, where the system calls are forbidden

    @property
    def pid(self) -> int:
        return self._pid

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def read(self, address: int, size: int) -> bytes:
        """Return ``size`` bytes.

        Raises:
            Unreadable: not all of them can be read.
        """
        return self.read_together([(address, size)])[0]

    def read_together(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return what is at these (address, size), read one after the other by one system call.

        At most ``AT_ONCE`` places.

        Raises:
            Unreadable: a place can't be read.
        """
        found = self._read(places)
        if len(found) < len(places):
            address, size = places[len(found)]
            raise Unreadable(f"{size} bytes at {address:#x}")
        return found

    def read_many(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Return what is at these (address, size), and None where a place can't be read."""
        found: list[bytes | None] = []
        while len(found) < len(places):
            batch = places[len(found) : len(found) + AT_ONCE]
            done = self._read(batch)
            found += done
            if len(done) < len(batch):
                found.append(None)
        return found

    def write(self, address: int, data: bytes) -> None:
        """Write these bytes.

        Raises:
            Unreadable: not all of them could be written; how many were isn't known.
        """
        if self._file is None:
            buffer = ctypes.create_string_buffer(data, len(data))
            here = array("Q", (ctypes.addressof(buffer), len(data)))
            done = _call(_WRITE, self._pid, here, array("Q", (address, len(data))))
            if done < 0 and not self._falls_back():
                self._raise_for(address, len(data))
        if self._file is not None:
            try:
                done = os.pwrite(self._file, data, address)
            except OSError:
                done = 0
        if done != len(data):
            raise Unreadable(f"{done} of {len(data)} bytes written at {address:#x}")

    def word(self, address: int) -> int:
        """Return the unsigned number of eight bytes at an address, a pointer mostly."""
        return int.from_bytes(self.read(address, 8), "little")

    def int32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little", signed=True)

    def text(self, address: int, limit: int = 256) -> str:
        """Return C's string at an address, cut at ``limit`` bytes."""
        limit = min(limit, 4096)
        first = min(limit, 4096 - address % 4096)  # the next page may not be mapped
        data = self.read(address, first)
        if b"\0" not in data and first < limit:
            data += self.read(address + first, limit - first)
        return data.partition(b"\0")[0].decode("utf-8", "replace")

    def _read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the places before the first that can't be read."""
        if self._file is not None:
            return self._read_file(places)
        total = 0
        for _, size in places:
            total += size
        buffer = bytearray(total or 1)
        here = array("Q", (ctypes.addressof(ctypes.c_char.from_buffer(buffer)), total))
        try:
            there = array("Q", [number for place in places for number in place])
        except OverflowError:  # an address that no process has
            return self._read([_possible(place) for place in places])
        done = _call(_READ, self._pid, here, there) if total else 0
        if done < 0:
            code = ctypes.get_errno()
            if code in (errno.EPERM, errno.ENOSYS) and self._falls_back():
                return self._read_file(places)
            if code != errno.EFAULT:
                self._raise_for(places[0][0], places[0][1])
            done = 0
        found = []
        at = 0
        for _, size in places:
            if at + size > done:
                break
            found.append(bytes(buffer[at : at + size]))
            at += size
        return found

    def _read_file(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        found = []
        for address, size in places:
            try:
                data = os.pread(self._file or -1, size, address) if address < TOP else b""
            except (OSError, OverflowError):
                data = b""
            if len(data) < size:
                break
            found.append(data)
        return found

    def _falls_back(self) -> bool:
        """Where a filter forbids the system calls, the file in /proc may still be open to us."""
        if self._file is None and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
            code = ctypes.get_errno()
            try:
                self._file = os.open(f"/proc/{self._pid}/mem", os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                ctypes.set_errno(code)
        return self._file is not None

    def _raise_for(self, address: int, size: int) -> None:
        code = ctypes.get_errno()
        if code == errno.ESRCH:
            raise errors.ProcessEnded.of(self._pid, phase="reading its memory")
        if code in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise errors.NoPermission.of(self._pid, why=_reason(code))
        raise Unreadable(f"{size} bytes at {address:#x}")


def _possible(place: tuple[int, int]) -> tuple[int, int]:
    address, size = place
    return (address if 0 <= address < TOP else 0), size


def _reason(code: int | None) -> str:
    return os.strerror(code or 0).lower()


def _call(function: Callable[..., int], pid: int, here: "array[int]", there: "array[int]") -> int:
    """Copy between one place here and those there: pairs of an address and a size."""
    return function(pid, here.buffer_info()[0], 1, there.buffer_info()[0], len(there) // 2, 0)


def _system_call(name: str) -> Callable[..., int]:
    is_linux = sys.platform.startswith("linux")
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if is_linux else None
    if function is None:
        return _missing
    function.restype = ctypes.c_ssize_t
    number, pointer = ctypes.c_ulong, ctypes.c_void_p
    function.argtypes = [ctypes.c_int, pointer, number, pointer, number, number]
    found: Callable[..., int] = function
    return found


def _missing(*_: object) -> int:
    ctypes.set_errno(errno.ENOSYS)
    return -1


_READ = _system_call("process_vm_readv")
_WRITE = _system_call("process_vm_writev")
