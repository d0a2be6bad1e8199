"""One script under a debug server, and a client on its socket, as an editor has it.

The same for every debugger but for the command that starts it.
"""

from __future__ import annotations

import socket
import subprocess
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from nbdebug.dap.client import DapClient
from nbdebug.errors import NbdebugError

from . import processes
from .errors import KernelLost, Refused
from .kernels import now
from .options import Side

if TYPE_CHECKING:
    from .pool import Pool

WAIT_S = 30.0

SERVERS = {
    Side.OURS: ("-m", "nbdebug", "--no-auth", "--listen", "127.0.0.1:{port}", "--wait-for-client"),
    Side.STOCK: ("-m", "debugpy", "--listen", "127.0.0.1:{port}", "--wait-for-client"),
}


class Script:
    """A process that waits for its client. ``started`` is when it was begun. Ends with the block.

    Raises KernelLost if nobody listens in time.
    """

    def __init__(self, pool: Pool, side: Side, program: str) -> None:
        self._tag = uuid.uuid4().hex
        self.path = str(pool.folder / "program.py")
        (pool.folder / "program.py").write_text(program)
        port = free_port()
        server = [word.format(port=port) for word in SERVERS[side]]
        self.started = now()
        self._process = subprocess.Popen(
            [pool.options.python, *server, self.path],
            cwd=pool.folder,
            env=pool.environ | {processes.TAG: self._tag},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._client = self._connect(port)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()
        self._end()

    def run_to_stop(self, line: int) -> float:
        """Attach as an editor does, with a breakpoint; seconds from the start to the stop."""
        client = self._client
        self.request("initialize", clientID="vscode", adapterID="debugpy", linesStartAt1=True)
        # debugpy answers this one after configurationDone only.
        attached = client.request("attach", {"justMyCode": True, "subProcess": False})
        client.event("initialized")
        self.request("setBreakpoints", source={"path": self.path}, breakpoints=[{"line": line}])
        self.request("configurationDone")
        attached.result(WAIT_S)
        self.stopped()
        return now() - self.started

    def stopped(self) -> int:
        """Wait for a stop; returns its thread."""
        try:
            return int(self._client.event("stopped")["body"]["threadId"])
        except NbdebugError as error:
            raise KernelLost(str(error)) from None

    def request(self, command: str, **arguments: object) -> dict[str, Any]:
        """The body of the response. Raises Refused, KernelLost."""
        try:
            reply = self._client.reply(command, arguments)
        except NbdebugError as error:
            raise KernelLost(f"{command}: {error}") from None
        if not reply.get("success"):
            raise Refused(f"{command}: {reply.get('message')}")
        return reply.get("body") or {}

    def timed(self, command: str, **arguments: object) -> tuple[float, dict[str, Any]]:
        """Seconds until the response, and its body."""
        start = now()
        body = self.request(command, **arguments)
        return now() - start, body

    def _connect(self, port: int) -> DapClient:
        while now() - self.started < WAIT_S and self._process.poll() is None:
            with suppress(NbdebugError):
                return DapClient(f"127.0.0.1:{port}", WAIT_S)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.002)
        raise KernelLost("nobody listens")

    def _end(self) -> None:
        processes.kill_tagged(self._tag)
        self._process.wait(WAIT_S)


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
