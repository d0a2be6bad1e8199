"""A script for a target that tells when it has run, and a request that asks for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbdebug.attach import runtime, writer
from nbdebug.attach.memory import Memory
from nbdebug.attach.records import Record
from nbdebug.attach.waking import Wake, Waker
from nbdebug.attach.writer import Request, Step
from nbdebug.errors import NbdebugError

LIMIT_S = 30


@dataclass(slots=True)
class Marker:
    """A script; its last deed is to make a file."""

    script: Path
    file: Path

    @classmethod
    def made_in(cls, folder: Path, name: str = "script") -> "Marker":
        folder.chmod(0o755)
        script, file = folder / f"{name}.py", folder / f"{name}.done"
        # Renamed in the last line, so that nothing of it is still to run when the file is seen.
        script.write_text(
            f"import os\nopen({str(file) + '.new'!r}, 'w').close()\n"
            f"os.rename({str(file) + '.new'!r}, {str(file)!r})\n"
        )
        return cls(script, file)

    @property
    def has_run(self) -> bool:
        return self.file.exists()

    def wait(self) -> None:
        """Return when the script has run; fail if it doesn't."""
        deadline = time.monotonic() + LIMIT_S
        while not self.has_run:
            assert time.monotonic() < deadline, "the script wasn't run"
            time.sleep(0.0005)
        self.file.unlink()


@dataclass(slots=True)
class Asked[R: Request]:
    """A request in a target, and all that belongs to it."""

    memory: Memory
    runtime: runtime.Runtime
    request: R
    record: Record
    told: list[NbdebugError]
    waker: Waker

    def wake(self, limit_s: float = LIMIT_S) -> bool:
        """Return True when the request has been taken; False if it isn't within the limit."""
        deadline = time.monotonic() + limit_s
        while (pause := self.waker.step()) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
        return True


def ask(
    pid: int,
    script: Path,
    *,
    wake: Wake = Wake.AUTO,
    memory: Memory | None = None,
    before: Callable[[Step], None] = lambda step: None,
) -> Asked[Request]:
    """Write a request into a process."""
    memory = memory or Memory(pid)
    found = runtime.locate(memory)
    record = Record(pid, "safe")
    request = writer.inject(memory, found, str(script), record=record, before=before)
    told: list[NbdebugError] = []
    waker = Waker(memory, found, request, wake=wake, record=record, told=told.append)
    return Asked(memory, found, request, record, told, waker)
