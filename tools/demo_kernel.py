"""A kernel, and the client that the demo drives it with: cells, debug requests, events.

Owns one kernel process of this interpreter; knows nothing of what is shown.
"""

import queue
import time
from pathlib import Path
from typing import Any

from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

LIMIT_S = 30


class DidNotHappen(Exception):
    """What was waited for, or expected."""


class ThisPython(KernelManager):
    """Starts kernels of this interpreter, whatever kernelspecs are installed."""

    kernel_spec = KernelSpec(argv=make_ipkernel_cmd(extra_arguments=["--log-level=ERROR"]))


class Kernel:
    """One kernel; ``start_s`` is what it took from its start to its first answer, in seconds."""

    def __init__(self, folder: str) -> None:
        begun = time.perf_counter()
        self.manager = ThisPython()
        self.manager.start_kernel(cwd=folder)
        self.client = self.manager.client()
        try:
            self.client.start_channels()
            self.client.kernel_info()
            self.client.get_shell_msg(timeout=LIMIT_S)
            self.start_s = time.perf_counter() - begun
            self.client.wait_for_ready(timeout=LIMIT_S)
        except BaseException:
            self.close()
            raise
        self._events: list[dict[str, Any]] = []
        self._printed, self._cell, self._is_idle = "", "", True

    def run(self, code: str) -> None:
        """Start a cell; its events and what it prints are collected from here."""
        self._events, self._printed, self._is_idle = [], "", False
        self._cell = self.client.execute(code)

    def finish(self) -> list[str]:
        """Wait until the cell has ended; return the lines that it printed."""
        while not self._is_idle:
            self._receive("the cell's end")
        return self._printed.splitlines()

    def wait_for_print(self, text: str) -> None:
        """Wait until the running cell has printed ``text``."""
        while text not in self._printed:
            self._receive(f"{text!r} to be printed")

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a debug request; return the body of its answer."""
        content = {"type": "request", "seq": 0, "command": command, "arguments": arguments}
        message = self.client.session.msg("debug_request", content)
        self.client.control_channel.send(message)
        try:
            reply = self.client.get_control_msg(timeout=LIMIT_S)["content"]
        except queue.Empty:
            raise DidNotHappen(f"waited {LIMIT_S} s for the answer to {command}") from None
        if not reply.get("success"):
            raise DidNotHappen(f"{command} failed: {reply.get('message')}")
        return reply.get("body", {})

    def event(self, name: str) -> Any:
        """Wait for the next event of this name since the cell began; return its body."""
        while True:
            for event in self._events:
                if event["event"] == name:
                    self._events.remove(event)
                    return event.get("body", {})
            self._receive(f"the event `{name}`")

    def children(self) -> list[int]:
        """Return the ids of the kernel's child processes, where /proc has them."""
        pid = getattr(self.manager.provisioner, "pid", None)
        file = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(child) for child in file.read_text().split()] if file.exists() else []

    def close(self) -> None:
        """End the kernel, whatever it does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def _receive(self, awaited: str) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=LIMIT_S)
        except queue.Empty:
            raise DidNotHappen(f"waited {LIMIT_S} s for {awaited}") from None
        content = message["content"]
        match message["msg_type"]:
            case "debug_event":
                self._events.append(content)
            case "stream":
                self._printed += content["text"]
            case "error":
                raise DidNotHappen(f"the cell ended with {content['ename']}: {content['evalue']}")
            case "status" if message["parent_header"].get("msg_id") == self._cell:
                self._is_idle = content["execution_state"] == "idle"
