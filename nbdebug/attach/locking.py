"""One attacher per process: a lock on the target's own folder in /proc.

Owns the lock and who holds it. The kernel gives it back with its holder, and it goes with the
target: nothing is written anywhere. Processes of other pid namespaces see another /proc, and so
aren't kept out.
Thread rule: everything here may be called from any thread.
"""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from . import errors


class PidLock:
    """The right to attach to a process; ``release`` it, or use it as a context.

    Raises, when it is made:
        AttachedByOther, AlreadyAttached: another process, or this one, has it.
        NoSuchProcess: there is nothing to lock.
    """

    __slots__ = ("_folder", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder: int | None = None
        if not sys.platform.startswith("linux"):
            return
        import fcntl

        try:
            folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            raise errors.NoSuchProcess.of(pid) from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = _holder(folder)
            os.close(folder)
            if other == os.getpid():
                raise errors.AlreadyAttached.of(pid) from None
            raise errors.AttachedByOther.of(pid, holder=other) from None
        self._folder = folder

    def release(self) -> None:
        """Let others attach; doing it twice changes nothing."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        import fcntl

        fcntl.flock(folder, fcntl.LOCK_UN)  # a forked child may still have the descriptor
        os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def holder_of(pid: int) -> int:
    """Return the process that has the lock of ``pid``, or 0 if none has or it can't be told."""
    try:
        folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return _holder(folder)
    finally:
        os.close(folder)


def holders() -> dict[int, int]:
    """Return the holder of each lock on something in /proc, by the inode of what is locked."""
    return {inode: holder for inode, holder, _ in _locks()}


def _holder(folder: int) -> int:
    there = os.fstat(folder)
    device = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}"
    for inode, holder, on in _locks():
        if inode == there.st_ino and on == device:
            return holder
    return 0


def _locks() -> list[tuple[int, int, str]]:
    """Return (inode, holder, device) of each lock of whole files, from /proc/locks."""
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        if words[1] == "FLOCK":  # one that waits has an arrow there
            device, _, inode = words[5].rpartition(":")
            found.append((int(inode), int(words[4]), device))
    return found
