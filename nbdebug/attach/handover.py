"""debugpy as the debugger of a process on 3.8 to 3.11, where the engine can't run.

Owns the choice of debugpy (the one that is installed here), the port at which it arrives, and the
proof that it is the one that was asked for; how its loader came in is attaching's. debugpy connects
to us: nothing listens in the process, and no adapter of debugpy's, at whose port any program of
this machine could ask for more, runs anywhere. One thread calls.
"""

import hmac
import importlib.metadata
import importlib.util
import os
import re
import secrets
import socket
import tokenize
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from time import monotonic

from nbdebug.attach import errors
from nbdebug.attach.channel import Channel, Hello
from nbdebug.attach.records import Record
from nbdebug.attach.session import AgentLink
from nbdebug.dap.messages import Json
from nbdebug.dap.transport import adopt
from nbdebug.errors import NbdebugError

_HOST = "127.0.0.1"
_LOOK_AGAIN_S = 0.05
_GREET_S = 2.0


@dataclass(frozen=True, slots=True)
class Debugpy:
    """The debugpy that is installed here: the folder of its package, and its release."""

    folder: str
    release: str


def find(pid: int, version: tuple[int, int], release: str) -> Debugpy:
    """Return the debugpy for a process of this version.

    Raises:
        NoDebugpy: none is installed here. NoLegacyWay: it doesn't run on this version.
    """
    try:
        spec = importlib.util.find_spec("debugpy")
        found = importlib.metadata.metadata("debugpy")
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise errors.NoDebugpy.of(pid, version=release)
    needs = re.search(r">=\s*3\.(\d+)", found.get("Requires-Python") or "")
    if needs is not None and version < (3, int(needs[1])):
        why = f"debugpy {found['Version']}, which is installed here, needs 3.{needs[1]}"
        raise errors.NoLegacyWay.of(pid, version=release, why=why)
    return Debugpy(os.path.dirname(spec.origin), found["Version"])


def bring(
    debugpy: Debugpy, pid: int, channel: Channel, hello: Hello, record: Record, limit_s: float
) -> AgentLink:
    """Have the agent put debugpy in; return the link with it. It stays in the process.

    Raises EngineTimeout, AgentRefused where another debugger is there already, AgentCrashed.
    """
    end = monotonic() + limit_s
    token = secrets.token_hex(16)
    with socket.create_server((_HOST, 0), backlog=4) as listener:
        address = listener.getsockname()
        order = {"folder": debugpy.folder, "address": address, "token": token}
        channel.order_debugpy(order, limit_s)
        while (left_s := end - monotonic()) > 0:
            arrived = _accept(listener, min(left_s, _LOOK_AGAIN_S))
            if arrived is None:
                channel.look_for_failure()
                continue
            link = DebugpyLink(adopt(arrived.detach()), hello, record, has_engine=False)
            if _is_ours(link, token, min(left_s, _GREET_S)):
                return link
            link.close()
    raise errors.EngineTimeout.of(pid, limit_s=limit_s)


class DebugpyLink(AgentLink):
    """A link to debugpy in another process."""

    def request(self, command: str, arguments: Json) -> Future[Json]:
        """See Link. debugpy leaves files to its client; JupyterLab's panel asks for them."""
        source = arguments.get("source")
        if command == "source" and isinstance(source, dict) and not source.get("sourceReference"):
            text = _text_of(self.hello.pid, str(source.get("path") or ""))
            if text is not None:
                return _answered(command, {"content": text, "mimeType": "text/x-python"})
        return super().request(command, arguments)


def _text_of(pid: int, path: str) -> str | None:
    """Return a file as the process sees it, None where it can't be read."""
    if not os.path.isabs(path):
        return None
    try:
        with tokenize.open(f"/proc/{pid}/root{path}") as file:
            return file.read()
    except (OSError, SyntaxError, ValueError):
        return None


def _answered(command: str, body: Json) -> Future[Json]:
    answer: Json = {"type": "response", "seq": 1, "request_seq": 1, "success": True}
    future: Future[Json] = Future()
    future.set_result({**answer, "command": command, "body": body})
    return future


def _accept(listener: socket.socket, limit_s: float) -> socket.socket | None:
    listener.settimeout(limit_s)
    try:
        return listener.accept()[0]
    except TimeoutError:
        return None


def _is_ours(link: AgentLink, token: str, limit_s: float) -> bool:
    """Whether the token comes back; any program of this machine may have connected."""
    asked = link.request("pydevdAuthorize", {"debugServerAccessToken": None})
    try:
        told = asked.result(limit_s).get("body")
    except (NbdebugError, FutureTimeout):
        return False
    shown = told.get("clientAccessToken") if isinstance(told, dict) else None
    return isinstance(shown, str) and hmac.compare_digest(shown.encode(), token.encode())
