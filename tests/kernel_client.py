"""A real kernel, and a client that speaks debug_request to it as JupyterLab does.

Every message that goes either way is checked against DAP's schema. Waits are for messages, with a
limit that only a failure reaches.
"""

import os
import queue
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dap_schema import check_message
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

LIMIT_S = 30
Json = dict[str, Any]

CELL = """def f(a):
    b = a + 1  # @b
    return b  # @return
x = 5; y = 6; z = 7  # @three
r = f(x)  # @call
print('r is', r)  # @print
"""


class Kernel:
    """One kernel process with channels to it."""

    def __init__(
        self, python: str = sys.executable, arguments: tuple[str, ...] = (), **env: str
    ) -> None:
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(
            argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}", *arguments],
            language="python",
            display_name="test",
        )
        root = str(Path(__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": root, **env}
        for attempt in range(3):
            self.manager.start_kernel(env=environment)
            self.client = self.manager.client()
            self.client.start_channels()
            try:
                self.client.wait_for_ready(timeout=60)
                break
            except RuntimeError:  # it died: another process may have taken one of its ports
                self.close()
                if attempt == 2:
                    raise
        self.sequence = 0
        self.events: list[Json] = []
        self.streams: dict[str, str] = {}
        self.executing = ""
        self.stop: Json = {}
        self._idle: set[str] = set()

    # -- cells

    def send_cell(self, code: str, silent: bool = False) -> str:
        """Run a cell; don't wait for it."""
        self.executing = self.client.execute(code, silent=silent, store_history=not silent)
        return self.executing

    def run(self, code: str) -> Json:
        """Run a cell to its end; return its reply's content, ``output`` with what it printed."""
        return self.finish(self.send_cell(code))

    def finish(self, message_id: str | None = None) -> Json:
        """Wait for a cell's end; return its reply's content, ``output`` with what it printed."""
        message_id = message_id or self.executing
        reply: Json = {}

        def ended() -> bool:
            return bool(reply) and message_id in self._idle

        while not ended():
            is_idle = message_id in self._idle
            if not is_idle:
                self._pump()
            with_reply = self._shell_reply(message_id, 0.2 if is_idle else 0)
            if with_reply is not None:
                reply = with_reply
        return {**reply, "output": self.streams.get(message_id, "")}

    def wait_for_output(self, message_id: str, text: str) -> None:
        """Wait until a running cell has printed ``text``."""
        end = time.monotonic() + LIMIT_S
        while text not in self.streams.get(message_id, ""):
            assert time.monotonic() < end, f"{text!r} was never printed"
            self._pump()

    # -- debug requests

    def request(self, command: str, arguments: Json | None = None, **more: Any) -> Json:
        """Send a debug request; return the whole reply, which is checked against DAP's schema."""
        return self.reply_to(self.post(command, arguments, **more))

    def post(self, command: str, arguments: Json | None = None, **more: Any) -> str:
        """Send a debug request and don't wait; return the message's id."""
        self.sequence += 1
        content = {"type": "request", "seq": self.sequence, "command": command}
        content["arguments"] = {**(arguments or {}), **more}
        message = self.client.session.msg("debug_request", content)
        self.client.control_channel.send(message)
        id_: str = message["header"]["msg_id"]
        return id_

    def reply_to(self, message_id: str, check: bool = True) -> Json:
        """Wait for the reply to a debug request."""
        end = time.monotonic() + LIMIT_S
        while True:
            reply = self.client.get_control_msg(timeout=max(0.1, end - time.monotonic()))
            if reply["parent_header"].get("msg_id") == message_id:
                content: Json = reply["content"]
                if check:
                    check_message(content)
                return content

    def ask_stock(self, command: str, arguments: Json | None = None, **more: Any) -> Json:
        """Ask the stock debugger, whose replies aren't all as DAP has them."""
        reply = self.reply_to(self.post(command, arguments, **more), check=False)
        return reply.get("body") or {}

    def ask(self, command: str, arguments: Json | None = None, **more: Any) -> Json:
        """Send a debug request that must succeed; return its body."""
        reply = self.request(command, arguments, **more)
        assert reply["success"], reply
        return reply.get("body") or {}

    def refuse(self, command: str, arguments: Json | None = None, **more: Any) -> str:
        """Send a debug request that must fail; return the slug of its error."""
        reply = self.request(command, arguments, **more)
        assert not reply["success"], reply
        slug: str = reply["body"]["error"]["variables"]["slug"]
        return slug

    def enable(self) -> Json:
        """Turn the debugger on as JupyterLab's bug does; return the capabilities."""
        capabilities = self.ask(
            "initialize", clientID="jupyterlab", clientName="JupyterLab", adapterID="python"
        )
        self.ask("attach")
        return capabilities

    def wait_for_event(
        self, name: str, since: int = 0, where: Callable[[Json], bool] = lambda body: True
    ) -> Json:
        """Return the body of the first such event from index ``since`` on."""
        end = time.monotonic() + LIMIT_S
        index = since
        while True:
            while index < len(self.events):
                event = self.events[index]
                index += 1
                if event["event"] == name and where(event.get("body", {})):
                    body: Json = event.get("body", {})
                    return body
            assert time.monotonic() < end, f"no {name} event in {self.events[since:]}"
            self._pump()

    def break_at(self, code: str, *marks: str, **extras: Any) -> list[Json]:
        """Dump a cell and set breakpoints at its marked lines."""
        self.path = self.ask("dumpCell", code=code)["sourcePath"]
        lines = [line_of(code, mark) for mark in marks]
        wanted = [{"line": line, **extras} for line in lines]
        found: list[Json] = self.ask(
            "setBreakpoints", source={"path": self.path}, breakpoints=wanted
        )["breakpoints"]
        return found

    def run_to_stop(self, code: str) -> Json:
        """Run a cell until it stops; return the stopped event's body."""
        since = len(self.events)
        self.send_cell(code)
        self.stop = self.wait_for_event("stopped", since)
        return self.stop

    def move(self, command: str) -> Json:
        """Continue or step until the next stop."""
        since = len(self.events)
        self.ask(command, threadId=self.stop["threadId"])
        self.stop = self.wait_for_event("stopped", since)
        return self.stop

    def resume(self) -> Json:
        """Continue to the cell's end; return its reply."""
        self.ask("continue", threadId=self.stop["threadId"])
        return self.finish()

    def frames(self) -> list[Json]:
        found: list[Json] = self.ask("stackTrace", threadId=self.stop["threadId"])["stackFrames"]
        return found

    def where(self) -> tuple[str, int]:
        """Return the top frame's (name, line)."""
        top = self.frames()[0]
        return top["name"], top["line"]

    def scope(self, name: str = "Locals", frame: int = 0) -> dict[str, Json]:
        """Return a scope's variables by name."""
        scopes = self.ask("scopes", frameId=self.frames()[frame]["id"])["scopes"]
        reference = next(s["variablesReference"] for s in scopes if s["name"] == name)
        return {
            v["name"]: v for v in self.ask("variables", variablesReference=reference)["variables"]
        }

    def evaluate(self, text: str, context: str = "repl") -> str:
        """Evaluate in the top frame."""
        result: str = self.ask(
            "evaluate", expression=text, frameId=self.frames()[0]["id"], context=context
        )["result"]
        return result

    # -- life

    def close(self) -> None:
        """End the kernel, whatever it does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    # -- inside

    def _shell_reply(self, message_id: str, timeout_s: float) -> Json | None:
        try:
            message = self.client.get_shell_msg(timeout=timeout_s)
        except queue.Empty:
            return None
        if message["parent_header"].get("msg_id") != message_id:
            return None
        content: Json = message["content"]
        return content

    def _pump(self) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=0.2)
        except queue.Empty:
            return
        parent = message["parent_header"].get("msg_id", "")
        content = message["content"]
        match message["msg_type"]:
            case "debug_event":
                check_message(content)
                self.events.append(content)
            case "stream":
                self.streams[parent] = self.streams.get(parent, "") + content["text"]
            case "execute_result" | "display_data":
                self.streams[parent] = self.streams.get(parent, "") + content["data"].get(
                    "text/plain", ""
                )
            case "error":
                text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))
                self.streams[parent] = self.streams.get(parent, "") + text
            case "status" if content["execution_state"] == "idle":
                self._idle.add(parent)


def line_of(code: str, mark: str) -> int:
    """Return the 1-based line that ends with ``# @mark``."""
    return next(
        n for n, line in enumerate(code.splitlines(), 1) if line.rstrip().endswith(f"# @{mark}")
    )


@contextmanager
def running_kernel(*, load: bool = True, enable: bool = True, **options: Any) -> Iterator[Kernel]:
    """A kernel with nbdebug loaded and the bug pressed, unless told otherwise."""
    kernel = Kernel(**options)
    try:
        if load:
            reply = kernel.run("%load_ext nbdebug")
            assert reply["status"] == "ok" and not reply["output"], reply
        if enable:
            kernel.enable()
        yield kernel
    finally:
        kernel.close()
