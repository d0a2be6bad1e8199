"""Debug requests over a kernel's control channel, in the order in which JupyterLab sends them.

The same for every debugger: nothing here knows which one answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import Refused
from .kernels import Kernel, Received, now

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT_S = 30.0

INITIALIZE = {
    "clientID": "jupyterlab",
    "clientName": "JupyterLab",
    "adapterID": "python3",
    "pathFormat": "path",
    "linesStartAt1": True,
    "columnsStartAt1": True,
    "supportsVariableType": True,
    "supportsVariablePaging": True,
    "supportsRunInTerminalRequest": True,
    "locale": "en",
}


@dataclass(frozen=True, slots=True)
class Stopped:
    """A cell that waits at a stop: its message id, the thread, seconds from execute to stopped."""

    cell: str
    thread: int
    seconds: float


class Client:
    """The debugger's client of one kernel."""

    def __init__(self, kernel: Kernel, setup: str = "") -> None:
        self.kernel = kernel
        self._setup = setup
        self._seq = 0

    def send(self, command: str, arguments: Mapping[str, object] | None = None) -> str:
        """Send a request without waiting; returns the message id."""
        self._seq += 1
        request = {
            "type": "request",
            "seq": self._seq,
            "command": command,
            "arguments": dict(arguments or {}),
        }
        self.kernel.debug_bytes += len(json.dumps(request))
        return self.kernel.send("control", "debug_request", request)

    def timed(
        self, command: str, arguments: Mapping[str, object] | None = None
    ) -> tuple[float, dict[str, Any]]:
        """Seconds until the response, and its body. Raises Refused."""
        start = now()
        response = self.kernel.reply(self.send(command, arguments), WAIT_S)
        content = response.content
        if not content or not content.get("success", True):
            raise Refused(f"{command}: {content.get('message') or content}")
        return response.at - start, content.get("body") or {}

    def request(
        self, command: str, arguments: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """The body of the response. Raises Refused."""
        return self.timed(command, arguments)[1]

    def run_setup(self) -> float:
        """Run the setup cell, if the debugger has one; returns its seconds."""
        start = now()
        if self._setup:
            self.kernel.execute(self._setup)
        return now() - start

    def switch_on(self) -> None:
        """Switch the debugger on, as the panel's bug does."""
        self.request("initialize", INITIALIZE)
        self.request("attach")
        self.request("debugInfo")
        self.request("configurationDone")

    def set_breakpoints(self, code: str, *breakpoints: Mapping[str, object] | str) -> None:
        """Replace the breakpoints of a cell; a ``str`` is the mark of a line.

        Each is a mark or a SourceBreakpoint whose ``line`` is a mark. With none, the cell has
        no breakpoint left. Raises Refused.
        """
        path = self.request("dumpCell", {"code": code})["sourcePath"]
        wanted: list[dict[str, object]]
        wanted = [{"line": b} if isinstance(b, str) else dict(b) for b in breakpoints]
        for breakpoint_ in wanted:
            breakpoint_["line"] = line_of(code, str(breakpoint_["line"]))
        arguments = {"source": {"path": path}, "breakpoints": wanted, "sourceModified": False}
        self.request("setBreakpoints", arguments)

    def run_to_stop(self, code: str) -> Stopped:
        """Run a cell until it stops."""
        mark = len(self.kernel.events)
        start = now()
        cell = self.kernel.submit(code)
        event = self.event("stopped", mark)
        return Stopped(cell, int(event.content["body"]["threadId"]), event.at - start)

    def event(self, name: str, after: int, timeout_s: float = WAIT_S) -> Received:
        """The first event of this name from index ``after`` on, once it is there."""

        def found() -> Received | None:
            later = self.kernel.events[after:]
            return next((event for event in later if event.content["event"] == name), None)

        self.kernel.wait(lambda: found() is not None, timeout_s)
        event = found()
        assert event is not None
        return event

    def step(self, command: str, thread: int) -> float:
        """Resume by ``command`` and wait for the next stop; returns the seconds between."""
        mark = len(self.kernel.events)
        start = now()
        request = self.send(command, {"threadId": thread})
        event = self.event("stopped", mark)
        self.kernel.reply(request)
        return event.at - start

    def resume(self, stop: Stopped) -> str:
        """Continue and wait for the end of the cell; returns what it printed."""
        self.request("continue", {"threadId": stop.thread})
        return self.kernel.finish(stop.cell)

    def frames(self, thread: int, **paging: int) -> list[dict[str, Any]]:
        """The thread's stack, innermost first."""
        arguments = {"threadId": thread, **paging}
        frames: list[dict[str, Any]] = self.request("stackTrace", arguments)["stackFrames"]
        return frames

    def scopes(self, thread: int) -> list[dict[str, Any]]:
        """The scopes of the innermost frame."""
        frame = self.frames(thread)[0]["id"]
        scopes: list[dict[str, Any]] = self.request("scopes", {"frameId": frame})["scopes"]
        return scopes

    def fill_panel(self, thread: int) -> None:
        """Ask what the panel asks at a stop: stack, scopes, and the variables of each scope."""
        for scope in self.scopes(thread):
            self.request("variables", {"variablesReference": scope["variablesReference"]})


def line_of(code: str, mark: str) -> int:
    """The 1-based line that bears ``# @mark``."""
    for number, line in enumerate(code.splitlines(), 1):
        if line.rstrip().endswith(f"# @{mark}"):
            return number
    raise ValueError(f"no line is marked @{mark}")
