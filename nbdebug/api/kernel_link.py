"""The way into a kernel: debug requests on its control channel, events on iopub, runs on shell.

Owns the channels, which belong to one thread, "nbdebug-kernel": others put what is to be sent into
a queue and wake it. The channels are of our own, beside those of whoever else talks to the kernel.
"""

import itertools
import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient

from nbdebug import errors
from nbdebug.api.model import Json
from nbdebug.dap.links import Receiver
from nbdebug.dap.transport import start_thread

_ids = itertools.count(1)


class KernelLink:
    """A link to one kernel."""

    def __init__(self, info: Any, limit_s: float) -> None:
        """Connect, with what a connection file says. Raises ConnectionLost."""
        self._receiver: Receiver | None = None
        self._outgoing: queue.SimpleQueue[tuple[str, str, Json, Future[Json]] | None] = (
            queue.SimpleQueue()
        )
        self._waiting: dict[str, Future[Json]] = {}
        self._subscribed = threading.Event()
        self._ended = threading.Event()
        self._run = ""  # the message that began the present run
        self._run_error: str | None = None
        self._run_is_idle = False
        self._client = BlockingKernelClient()
        self._client.load_connection_info(info)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        wake = f"inproc://nbdebug-{next(_ids)}"
        self._woken: Any = self._context.socket(zmq.PAIR)
        self._woken.bind(wake)
        self._wake: Any = self._context.socket(zmq.PAIR)
        self._wake.connect(wake)
        self._wake_lock = threading.Lock()
        start_thread("nbdebug-kernel", self._serve)
        self._greet(limit_s)

    def start(self, receiver: Receiver) -> None:
        """See Link."""
        self._receiver = receiver

    def request(self, command: str, arguments: Json) -> Future[Json]:
        """See Link."""
        content = {"seq": next(_ids), "type": "request", "command": command}
        return self._post("control", "debug_request", {**content, "arguments": arguments})

    def execute(self, code: str, *, silent: bool = False) -> Future[Json]:
        """Run code; return what becomes its execute_reply. Unless ``silent`` it is *the* run."""
        content = {"code": code, "silent": silent, "store_history": not silent}
        more = {"allow_stdin": False, "stop_on_error": True, "user_expressions": {}}
        return self._post("shell", "execute_request", {**content, **more})

    def close(self) -> None:
        """See Link."""
        self._outgoing.put(None)
        self._ring()
        self._ended.wait(2)

    # -- inside

    def _greet(self, limit_s: float) -> None:
        """Wait until the kernel answers and its events arrive here."""
        try:
            self._post("control", "kernel_info_request", {}).result(limit_s)
        except TimeoutError:
            self.close()
            raise errors.ConnectionLost("The kernel doesn't answer.") from None
        # A subscription takes a moment: each greeting sends the kernel's state to subscribers.
        for _ in range(50):
            if self._subscribed.wait(0.1):
                return
            self._post("control", "kernel_info_request", {})
        self.close()
        raise errors.ConnectionLost("The kernel's iopub channel sends nothing.")

    def _post(self, channel: str, kind: str, content: Json) -> Future[Json]:
        future: Future[Json] = Future()
        self._outgoing.put((channel, kind, content, future))
        self._ring()
        if self._ended.is_set():
            self._fail_all()
        return future

    def _ring(self) -> None:
        with self._wake_lock, suppress(zmq.ZMQError):
            self._wake.send(b"", zmq.NOBLOCK)

    # -- on the link's thread

    def _serve(self) -> None:
        client = self._client
        sockets: dict[str, Any] = {
            "control": client.connect_control(),
            "shell": client.connect_shell(),
            "iopub": client.connect_iopub(),
        }
        poller = zmq.Poller()
        for socket in (self._woken, *sockets.values()):
            poller.register(socket, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self._woken in ready:
                    self._woken.recv()
                    if not self._send(sockets):
                        return
                for name, socket in sockets.items():
                    if socket in ready:
                        self._receive(name, socket)
        finally:
            self._ended.set()
            self._fail_all()
            for socket in (self._woken, self._wake, *sockets.values()):
                socket.close(linger=0)
            if self._receiver is not None:
                self._receiver.lost("The link was closed.")

    def _send(self, sockets: dict[str, Any]) -> bool:
        """Send what is in the queue; False at its end."""
        while True:
            try:
                item = self._outgoing.get_nowait()
            except queue.Empty:
                return True
            if item is None:
                return False
            channel, kind, content, future = item
            message = self._client.session.msg(kind, content)
            id_ = message["header"]["msg_id"]
            self._waiting[id_] = future
            if kind == "execute_request" and not content["silent"]:
                self._run, self._run_error, self._run_is_idle = id_, None, False
            self._client.session.send(sockets[channel], message)

    def _receive(self, channel: str, socket: Any) -> None:
        session = self._client.session
        try:
            _, parts = session.feed_identities(socket.recv_multipart())
            message = session.deserialize(parts)
        except (ValueError, TypeError):
            return  # not signed with this kernel's key
        parent = message["parent_header"].get("msg_id", "")
        content = message["content"]
        if channel == "iopub":
            self._subscribed.set()
            self._published(message["msg_type"], parent, content)
            return
        future = self._waiting.pop(parent, None)
        if future is not None:
            future.set_result(content)
        if parent == self._run and channel == "shell":
            is_error = content.get("status") != "ok"
            self._run_error = f"{content.get('ename')}: {content.get('evalue')}" if is_error else ""
            self._tell_end()

    def _published(self, kind: str, parent: str, content: Json) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        if kind == "debug_event":
            receiver.event(content.get("event", ""), content.get("body") or {})
        elif parent == self._run:
            match kind:
                case "stream":
                    receiver.printed(content["text"])
                case "execute_result" | "display_data":
                    receiver.printed(content["data"].get("text/plain", "") + "\n")
                case "status" if content["execution_state"] == "idle":
                    self._run_is_idle = True
                    self._tell_end()

    def _tell_end(self) -> None:
        # The reply and the last output come on two channels, in any order.
        if self._run_is_idle and self._run_error is not None and self._receiver is not None:
            error, self._run, self._run_error = self._run_error, "", None
            self._receiver.run_ended(error)

    def _fail_all(self) -> None:
        with suppress(queue.Empty):
            while (item := self._outgoing.get_nowait()) is not None:
                item[3].set_exception(errors.ConnectionLost("The link is closed."))
        while self._waiting:
            _, future = self._waiting.popitem()
            future.set_exception(errors.ConnectionLost("The link is closed."))
