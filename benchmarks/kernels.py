"""One ipykernel process and the raw sockets to it.

Polls zmq itself, so that a time is taken when a message arrives rather than when a client thread
gets its turn. Knows Jupyter's messages and nothing of the Debug Adapter Protocol. One thread.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq
from jupyter_client.manager import KernelManager

from . import processes
from .errors import CellFailed, KernelLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jupyter_client.kernelspec import KernelSpecManager

WAIT_S = 60.0
"""Limit of every wait that names none."""
START_ATTEMPTS = 4
JOIN_S = 0.02
"""How long the same answer may take on iopub, once it came on the shell channel."""

now = time.perf_counter


@dataclass(frozen=True, slots=True)
class Received:
    """A reply, or a debug event, with the time of its arrival (``perf_counter`` seconds)."""

    at: float
    content: dict[str, Any]


class Kernel:
    """A kernel, ready once constructed; ``kill`` ends it with all that it started.

    Raises KernelLost if it doesn't come up.
    """

    def __init__(self, specs: KernelSpecManager, home: Path, environ: dict[str, str]) -> None:
        self.tag = uuid.uuid4().hex
        self.events: list[Received] = []
        self.debug_bytes = 0
        """Size of the contents of all debug messages that came, as JSON."""
        self._replies: dict[str, Received] = {}
        self._output: defaultdict[str, str] = defaultdict(str)
        self._idle: set[str] = set()
        self._home = home
        self._environ = environ | {processes.TAG: self.tag}
        self._specs = specs
        self._context = zmq.Context()
        try:
            self.start_s = self._start_patiently()
        except BaseException:  # Ctrl-C too: nobody else knows this process yet
            self.kill()
            raise

    def _start_patiently(self) -> float:
        """Start, again if the ports, free when they were chosen, are taken when it binds them."""
        for _ in range(START_ATTEMPTS):
            try:
                return self._start()
            except (KernelLost, zmq.ZMQError):
                self._end_process()
        raise KernelLost(f"the kernel doesn't start, tried {START_ATTEMPTS} times")

    def _start(self) -> float:
        """Start the process and shake hands; returns the seconds from start to ready."""
        connection = self._home / f"kernel-{uuid.uuid4().hex}.json"
        self._manager = KernelManager(
            kernel_name="benchmark",
            kernel_spec_manager=self._specs,
            connection_file=str(connection),
        )
        start = now()
        with (self._home / "kernels.log").open("a") as log:
            self._manager.start_kernel(
                env=self._environ, stdout=log, stderr=log, cwd=str(self._home)
            )
        self._session = self._manager.session
        self._sockets = {
            "shell": self._connect("shell", zmq.DEALER),
            "control": self._connect("control", zmq.DEALER),
            "iopub": self._connect("iopub", zmq.SUB),
        }
        self._names = {socket: name for name, socket in self._sockets.items()}
        self._poller = zmq.Poller()
        for socket in self._names:
            self._poller.register(socket, zmq.POLLIN)
        self._shake_hands()
        seconds = now() - start
        provisioner = self._manager.provisioner
        self.pid = int(getattr(provisioner, "pid", 0))
        return seconds

    def _connect(self, channel: str, kind: int) -> zmq.Socket[bytes]:
        port = getattr(self._manager, f"{channel}_port")
        socket = self._context.socket(kind)
        socket.linger = 0
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(f"tcp://{self._manager.ip}:{port}")
        return socket

    def _shake_hands(self) -> None:
        """Ask until a question is answered on iopub too: what was published before is lost."""
        limit = now() + WAIT_S
        while now() < limit and self._manager.is_alive():
            asked = self.send("shell", "kernel_info_request", {})
            while asked not in self._replies and now() < limit and self._manager.is_alive():
                self._poll(0.1)
            joined = now() + JOIN_S
            while now() < joined:
                if asked in self._idle:
                    return
                self._poll(JOIN_S)
        raise KernelLost("the kernel doesn't come up")

    def kill(self) -> None:
        """Kill the kernel and its helpers, and free the sockets. May be called twice."""
        self._end_process()
        self._context.destroy(linger=0)

    def _end_process(self) -> None:
        processes.kill_tagged(self.tag)
        for socket in getattr(self, "_names", {}):
            socket.close()
        manager = getattr(self, "_manager", None)
        if manager is not None:
            with suppress(RuntimeError, OSError):  # it is dead already; this frees files and ports
                manager.shutdown_kernel(now=True)

    def send(self, channel: str, message_type: str, content: dict[str, Any]) -> str:
        """Send without waiting; returns the id by which replies name this message."""
        message = self._session.msg(message_type, content)
        self._session.send(self._sockets[channel], message)
        return str(message["header"]["msg_id"])

    def wait(self, arrived: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Take messages in until ``arrived()`` is true. Raises KernelLost after ``timeout_s``."""
        limit = now() + timeout_s
        while not arrived():
            left = limit - now()
            if left <= 0:
                raise KernelLost(f"no answer within {timeout_s:.0f} s")
            self._poll(min(left, 0.5))

    def _poll(self, timeout_s: float) -> None:
        for socket, _ in self._poller.poll(math.ceil(timeout_s * 1000)):
            self._take_from(socket)

    def _take_from(self, socket: zmq.Socket[bytes]) -> None:
        while True:
            try:
                _, message = self._session.recv(socket, mode=zmq.NOBLOCK)
            except zmq.Again:
                return
            if message is None:
                return
            self._keep(self._names[socket], message)

    def _keep(self, channel: str, message: dict[str, Any]) -> None:
        parent = message["parent_header"].get("msg_id", "")
        content = message["content"]
        if message["msg_type"] in ("debug_reply", "debug_event"):
            self.debug_bytes += len(json.dumps(content))
        if channel != "iopub":
            self._replies[parent] = Received(now(), content)
            return
        match message["msg_type"]:
            case "debug_event":
                self.events.append(Received(now(), content))
            case "stream":
                self._output[parent] += content["text"]
            case "status" if content["execution_state"] == "idle":
                self._idle.add(parent)

    def reply(self, message_id: str, timeout_s: float = WAIT_S) -> Received:
        """The reply to a message, once it is there."""
        self.wait(lambda: message_id in self._replies, timeout_s)
        self._idle.discard(message_id)
        return self._replies.pop(message_id)

    def round_trip_s(self) -> float:
        """Seconds for a question on the control channel that no debugger has a part in."""
        start = now()
        return self.reply(self.send("control", "kernel_info_request", {})).at - start

    def submit(self, code: str) -> str:
        """Start a cell, as a notebook does; returns its message id."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        return self.send("shell", "execute_request", content)

    def output(self, cell: str) -> str:
        """What a running cell has printed so far."""
        return self._output[cell]

    def finish(self, cell: str, timeout_s: float = WAIT_S) -> str:
        """Wait for the end of a cell; returns what it printed. Raises CellFailed."""
        self.wait(lambda: cell in self._replies and cell in self._idle, timeout_s)
        content = self.reply(cell).content
        if content["status"] != "ok":
            raise CellFailed(f"cell failed: {content.get('ename')}: {content.get('evalue')}")
        return self._output.pop(cell, "")

    def execute(self, code: str, timeout_s: float = WAIT_S) -> str:
        """Run a cell; returns what it printed. Raises CellFailed."""
        return self.finish(self.submit(code), timeout_s)

    def rss_bytes(self) -> int:
        """Resident memory of the kernel's own process."""
        return processes.rss_bytes(self.pid)

    def tree_bytes(self) -> int:
        """Memory of the kernel and all that it started, what they share counted once."""
        return processes.own_bytes(self.tag)

    def process_count(self) -> int:
        """The kernel and all that it started."""
        return len(processes.tagged(self.tag))
