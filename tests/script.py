"""A script under ``python -m nbdebug --listen``, and a client that debugs it.

Every message that comes is checked against DAP's schema. Waits are for messages, with a limit that
only a failure reaches.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dap_schema import check_message
from interpreters import ROOT
from kernel_client import line_of

from nbdebug.dap.client import DapClient
from nbdebug.dap.links import SocketLink
from nbdebug.dap.remote import RemoteSession

LIMIT_S = 30
Json = dict[str, Any]

LOOP = """\
def total_of(n):
    total = 0
    for i in range(n):
        total += i  # @add
    return total

print("begin")  # @first
print(total_of(5))  # @call
print("end")  # @last
"""

WAITS = """\
import sys
print("ready", flush=True)
for line in sys.stdin:
    seen = line.strip()  # @seen
    print("saw", seen, flush=True)
"""


class Script:
    """One process that nbdebug runs, and the text of its program."""

    def __init__(
        self,
        folder: Path,
        program: str | list[str],
        *,
        options: tuple[str, ...] = ("--wait-for-client",),
        arguments: tuple[str, ...] = (),
        address: str = "127.0.0.1:0",
        python: str | Path = sys.executable,
        env: dict[str, str] | None = None,
    ) -> None:
        self.text = program if isinstance(program, str) else ""
        self.path = str(folder / "program.py")
        if isinstance(program, str):
            Path(self.path).write_text(program)
            program = [self.path]
        self.process = subprocess.Popen(
            [str(python), "-m", "nbdebug", "--listen", address, *options, *program, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what is read by lines must not be kept from `communicate`
        )
        assert self.process.stderr is not None
        said = self.process.stderr.readline().decode()
        found = re.fullmatch(r"nbdebug: listening on (\S+?)(?:, token (\S+))?\n", said)
        assert found is not None, said + self.process.stderr.read().decode()
        self.address, self.token = found[1], found[2]

    def connect(self) -> "Client":
        return Client(self.address, self.token)

    def line(self, mark: str) -> int:
        return line_of(self.text, mark)

    def finish(self, text: str = "") -> tuple[int, str, str]:
        """Wait for the end; return the exit code and what was written."""
        out, err = self.process.communicate(text.encode() or None, timeout=LIMIT_S)
        return self.process.returncode, out.decode(), err.decode()

    def read_line(self) -> str:
        """Return the next line that the program prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def say(self, text: str) -> None:
        """Write a line to the program's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Client(DapClient):
    """A client that checks what comes, and knows how a debugger begins."""

    def __init__(self, address: str, token: str | None = None) -> None:
        self.token = token
        self.failure: Exception | None = None
        super().__init__(address, LIMIT_S)
        self.on_message = self._check

    def begin(self, command: str = "attach", /, **arguments: Any) -> Json:
        """Initialize and attach; return the capabilities."""
        capabilities = self.ask("initialize", clientID="test", adapterID="nbdebug")
        if self.token is not None:
            arguments = {"token": self.token, **arguments}
        self.ask(command, **arguments)
        self.event("initialized")
        return capabilities

    def break_at(self, script: Script, *marks: str, **extras: Any) -> list[Json]:
        wanted = [{"line": script.line(mark), **extras} for mark in marks]
        found: list[Json] = self.ask(
            "setBreakpoints", source={"path": script.path}, breakpoints=wanted
        )["breakpoints"]
        return found

    def refuse(self, command: str, **arguments: Any) -> str:
        """Send a request that must fail; return the slug of its error."""
        reply = self.reply(command, arguments)
        assert not reply["success"], reply
        slug: str = reply["body"]["error"]["variables"]["slug"]
        return slug

    def stopped(self) -> Json:
        """Wait for a stop; return the event's body."""
        body: Json = self.event("stopped")["body"]
        return body

    def line(self) -> int:
        """Return the line where the main thread is."""
        line: int = self.ask("stackTrace", threadId=1)["stackFrames"][0]["line"]
        return line

    def evaluate(self, text: str) -> str:
        frame = self.ask("stackTrace", threadId=1)["stackFrames"][0]["id"]
        result: str = self.ask("evaluate", expression=text, frameId=frame, context="watch")[
            "result"
        ]
        return result

    def resume(self) -> None:
        self.ask("continue", threadId=1)

    def until_closed(self) -> list[Json]:
        """Return the events that come until the other side closes the connection."""
        found = []
        while event := self.events.get(timeout=LIMIT_S):
            found.append(event)
        return found

    def close(self) -> None:
        super().close()
        if self.failure is not None:
            raise self.failure

    def _check(self, message: Json) -> None:
        try:
            if message["type"] != "request":
                check_message(message)
        except Exception as error:  # on the reader's thread: the test raises it
            self.failure = error


@contextmanager
def running(folder: Path, program: str | list[str], **options: Any) -> Iterator[Script]:
    """A program that is ended at the end, whatever it does."""
    script = Script(folder, program, **options)
    try:
        yield script
    finally:
        script.end()


@contextmanager
def debugging(
    folder: Path, program: str, *marks: str, attach: Json | None = None, **options: Any
) -> Iterator[tuple[Script, Client]]:
    """A program and its client, with breakpoints, before the program begins."""
    with running(folder, program, **options) as script:
        client = script.connect()
        try:
            client.begin(**(attach or {}))
            client.break_at(script, *marks)
            client.ask("configurationDone")
            yield script, client
        finally:
            client.close()


@contextmanager
def session_of(script: Script) -> Iterator[RemoteSession]:
    """A session with a program, which runs on when it is left."""
    link = SocketLink(script.address, LIMIT_S)
    session = RemoteSession(link, kind="script", name=script.path, pid=script.process.pid)
    session.begin(token=script.token)
    try:
        yield session
    finally:
        session.close()


def threads_of_ours() -> list[str]:
    """Return the names of nbdebug's threads in this process."""
    return [t.name for t in threading.enumerate() if t.name.startswith("nbdebug-")]


def plain(
    folder: Path,
    target: list[str],
    python: str | Path = sys.executable,
    options: tuple[str, ...] = (),
) -> tuple[int, str, str]:
    """Run something with the interpreter alone; return exit code, stdout, stderr."""
    done = subprocess.run(
        [str(python), *options, *target],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
