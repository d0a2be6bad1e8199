"""What each attempt to attach did: its way, what it found and wrote, how long each phase took.

Owns the records of this process, the line that a user reads, and the log file where one is
configured (NBDEBUG_ATTACH_LOG, or ``c.Nbdebug.attach_log``): a line of JSON for each. Nothing is
sent anywhere.
Thread rule: everything here may be called from any thread.
"""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from types import ModuleType

from nbdebug.errors import NbdebugError

from . import errors

PHASES = tuple(errors.TIMEOUTS)
KEPT = 1000
_NEVER_WAIT = ("locate", "offsets", "select", "write")


@dataclass(slots=True)
class Record:
    """One attempt; it is filled in while the attempt goes on."""

    pid: int
    way: str  # "safe", "inspect", "legacy", "remote_exec", "debugpy"
    began: float = field(default_factory=time.time)  # seconds since the epoch
    command: str = ""
    version: str = ""  # of the target's Python
    runtime_found: str = ""  # "section", "dynsym", "cookie"
    cached: bool = False
    cache_age_s: float = 0.0
    bytes_written: int = 0
    bytes_verified: int = 0
    woken: list[str] = field(default_factory=list)  # what was done to wake it, in order
    phases_s: dict[str, float] = field(default_factory=dict)  # seconds, by the names of PHASES
    outcome: str = "under way"  # then "attached", "looked", "failed"
    failure: str = ""  # the slug of the error
    message: str = ""  # its sentence
    limit_s: float | None = None  # for the whole attempt; None is no limit
    _ends: float | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.limit_s is not None:
            self._ends = time.monotonic() + self.limit_s

    @property
    def remaining_s(self) -> float | None:
        """What is left of the attempt's time; None if it has no limit."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to a phase.

        Raises:
            AttachTimeout: of a phase that doesn't wait by itself, if the attempt's time is over.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            self.phases_s[name] = self.phases_s.get(name, 0.0) + time.perf_counter() - began
        if name in _NEVER_WAIT and self.remaining_s == 0:
            raise errors.TIMEOUTS[name].of(self.pid, limit_s=self.limit_s)

    def spent(self, phases: Mapping[str, float]) -> None:
        """Add the times of phases that were measured elsewhere.

        Raises:
            AttachTimeout: of the longest of them, if the attempt's time is over.
        """
        for name, seconds in phases.items():
            self.phases_s[name] = self.phases_s.get(name, 0.0) + seconds
        if self.remaining_s == 0:
            longest = max(phases, key=phases.__getitem__)
            raise errors.TIMEOUTS[longest].of(self.pid, limit_s=self.limit_s)

    @property
    def total_s(self) -> float:
        return sum(self.phases_s.values())

    def finish(self, outcome: str) -> None:
        """End the record well, and write it to the log."""
        self.outcome = outcome
        told = {name: value for name, value in asdict(self).items() if name[0] != "_"}
        write_log(told | {"event": "record"})

    def fail(self, error: BaseException) -> None:
        """End the record with what went wrong, and write it to the log."""
        self.failure = error.slug if isinstance(error, NbdebugError) else type(error).__name__
        self.message = str(error)
        self.finish("failed")

    def line(self) -> str:
        """Return the attempt as one line for the user."""
        what = f"process {self.pid}" + (f" (Python {self.version})" if self.version else "")
        if self.outcome == "failed":
            return f"Not attached to {what}: {self.failure}, after {_ms(self.total_s)}."
        verb = {"looked": "Looked at", "attached": "Attached to"}.get(self.outcome, "Attaching to")
        details = ", ".join([self.way, *(f"woken from {one}" for one in self.woken)])
        return f"{verb} {what} in {_ms(self.total_s)} ({details})."


_records: deque[Record] = deque(maxlen=KEPT)
_log_path: str | None = None


def begin(pid: int, way: str, limit_s: float | None = None) -> Record:
    """Return a new record, kept from now on; ``finish`` or ``fail`` must end it."""
    record = Record(pid, way, limit_s=limit_s)
    _records.append(record)
    return record


def latest() -> Record:
    """Return the record of the latest attempt."""
    return _records[-1]


class _Records(ModuleType):
    """This module: ``nbdebug.attach.records()`` is what users call."""

    def __call__(self) -> list[Record]:
        """Return the attempts of this process, the latest last, at most ``KEPT``."""
        return list(_records)


sys.modules[__name__].__class__ = _Records


def configure_log(path: str | None) -> None:
    """Choose the log file; None leaves it to NBDEBUG_ATTACH_LOG, "" means none."""
    global _log_path  # noqa: PLW0603 - one log for the process
    _log_path = path


def log_path() -> str:
    """Return the log file, or "" for none."""
    return os.environ.get("NBDEBUG_ATTACH_LOG", "") if _log_path is None else _log_path


def write_log(entry: dict[str, object]) -> None:
    """Add a line to the log, if there is one; one that can't be written is no reason to fail."""
    path = log_path()
    if not path:
        return
    line = json.dumps({"time": time.time(), "by": os.getpid(), **entry}, default=str)
    try:
        file = os.open(os.path.expanduser(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode() + b"\n")
        finally:
            os.close(file)
    except OSError:
        return


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.2f} s"
