"""A session with a process that a test attaches to, and that process's own word of itself.

Nothing here sleeps for a time that a test relies on; every wait has a limit that only a failure
reaches.
"""

import json
import os
import queue
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from interpreters import ROOT
from targets import TargetPython

from nbdebug.attach import attaching
from nbdebug.dap.remote import RemoteSession

PROGRAM = ROOT / "tests" / "programs" / "agent_target.py"
LIMIT_S = 30.0
Json = dict[str, Any]
LINES = PROGRAM.read_text().splitlines()


def line_of(mark: str) -> int:
    """Return the line of the program that ends with ``# @mark``."""
    [found] = [number for number, text in enumerate(LINES, 1) if text.endswith(f"# @{mark}")]
    return found


class Told:
    """A running agent_target.py."""

    def __init__(
        self,
        what: str,
        python: TargetPython,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        program: Path = PROGRAM,
    ) -> None:
        reading, writing = os.pipe()
        inherited = {name: text for name, text in os.environ.items() if name[:6] != "PYTHON"}
        self.process = subprocess.Popen(
            [str(python.path), *options, str(program), what, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[writing],
            env={
                **inherited,
                **python.environment,
                "PYTHONDONTWRITEBYTECODE": "1",
                "TARGET_READY": str(writing),
                **(environment or {}),
            },
        )
        self.pid = self.process.pid
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.readline() == b"ready\n", self.process.communicate(timeout=LIMIT_S)

    def report(self) -> Json:
        """Return what is in the process now, as it says itself."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: Json = self.line()
        return found

    def line(self) -> Any:
        """Return what the process prints next."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def settled(self, before: Json) -> Json:
        """Return its report once its threads are as they were before."""
        end = monotonic() + LIMIT_S
        while (now := self.report())["threads"] != before["threads"]:
            assert monotonic() < end, (now["known"], now["threads"])
            sleep(0.002)
        return now

    def finish(self) -> tuple[int, str, str]:
        """Let it end; return its exit code, output and error output."""
        output, errors = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, output, errors

    def kill(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def told(what: str, python: TargetPython, *arguments: str, **more: Any) -> Iterator[Told]:
    """Run the program, and end it whatever happens."""
    target = Told(what, python, *arguments, **more)
    try:
        yield target
    finally:
        target.kill()


class Attached:
    """A session with a process, and what it tells."""

    def __init__(self, pid: int, *, arguments: Json | None = None, **options: Any) -> None:
        self.events: queue.SimpleQueue[tuple[str, Json]] = queue.SimpleQueue()
        self.why_lost: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.link = attaching.attach(pid, **options)
        self.session = RemoteSession(self.link, kind="attached", name="target", pid=pid)
        self.session.start(self)
        self.session.begin(LIMIT_S, **(arguments or {}))

    def ask(self, command: str, **arguments: Any) -> Json:
        return self.session.ask(command, LIMIT_S, **arguments)

    def wait_for(self, name: str) -> Json:
        """Wait for the next event of this name."""
        while True:
            found, body = self.events.get(timeout=LIMIT_S)
            if found == name:
                return body

    def set_breakpoints(self, *lines: int, path: Path = PROGRAM, **more: Any) -> list[Json]:
        wanted = [{"line": line, **more} for line in lines]
        body = self.ask("setBreakpoints", source={"path": str(path)}, breakpoints=wanted)
        found: list[Json] = body["breakpoints"]
        return found

    def stopped(self) -> Json:
        return self.wait_for("stopped")

    def top(self, thread_id: int) -> Json:
        frames: list[Json] = self.ask("stackTrace", threadId=thread_id)["stackFrames"]
        return frames[0]

    def close(self) -> None:
        self.session.close()

    # -- a receiver

    def event(self, name: str, body: Json) -> None:
        self.events.put((name, body))

    def printed(self, text: str) -> None:
        pass

    def run_ended(self, error: str) -> None:
        pass

    def lost(self, why: str) -> None:
        self.why_lost.put(why)


@contextmanager
def attached(pid: int, **options: Any) -> Iterator[Attached]:
    """Attach, and leave whatever happens."""
    session = Attached(pid, **options)
    try:
        yield session
    finally:
        session.close()
