"""The attacher's end of the connection with an agent: a folder, a socket, and who is let in.

Owns the folder with the script and the socket, and what is said before the engine is there. Must
not know how the target is made to run the script. One thread calls. Nothing listens on a port; the
folder is its user's alone, and both sides show a token that only who may read the script can know.
"""

import ast
import hmac
import marshal
import os
import secrets
import select
import shutil
import socket
import struct
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from nbdebug.attach import errors
from nbdebug.attach.agent import PROTOCOL
from nbdebug.attach.bundle import OLDEST_FORMAT
from nbdebug.attach.loader import Settings, agent_file, script
from nbdebug.dap.transport import Connection, adopt

_PATH_BYTES = 100
"""What the address of a Unix socket may have, less what is added to it."""
_GREETING_BYTES = 64 * 1024

_LONG_AGO = 1
"""A time of a file that was never read, in seconds."""

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hello:
    """What the agent says of its process. ``magic`` is that of its bytecode."""

    pid: int
    version: str
    magic: bytes
    name: str
    threads: int


class Doorway:
    """Where one agent, and it alone, may connect, and the script that tells it so."""

    def __init__(self, pid: int, wait_s: float = 0.0) -> None:
        """Make the folder. Raises SocketFolderUnwritable, NoWayHere.

        For ``wait_s`` the target's main thread waits for its agent at the most.
        """
        if not hasattr(socket, "AF_UNIX"):
            why = "Python has no Unix sockets on Windows, and nothing else keeps others out"
            raise errors.NoWayHere.of(pid, why=why)
        self._pid = pid
        root = _root_for(pid)
        uid, gid = _owner(pid)
        self._peer_uid = uid
        self._folder = _new_folder(pid, root)
        self._socket = socket.socket(socket.AF_UNIX)
        seen = self._folder[len(root) :]
        self.script_path = f"{seen}/agent.py"
        """The script's path as the target sees it."""
        own_uid = os.geteuid() if _same_namespace(pid, "user") else None
        self._settings = Settings(
            f"{seen}/agent",
            f"{seen}/socket",
            f"{seen}/failure",
            secrets.token_hex(16),
            secrets.token_hex(16),
            own_uid,
            wait_s,
        )
        try:
            self._fill(uid, gid)
        except OSError as error:
            self.close()
            raise errors.SocketFolderUnwritable.of(
                pid, path=self._folder, why=error.strerror
            ) from None

    def _fill(self, uid: int, gid: int) -> None:
        path = f"{self._folder}/socket"
        self._socket.bind(path)
        os.chmod(path, 0o600)  # until it listens, nobody can connect
        self._socket.listen(4)
        _write(f"{self._folder}/agent", agent_file())
        _write(f"{self._folder}/agent.py", script(self._settings).encode())
        self._notes_reads = self._can_note_reads()
        os.utime(f"{self._folder}/agent.py", (_LONG_AGO, _LONG_AGO))
        if uid != os.geteuid():
            for one in (path, f"{self._folder}/agent", f"{self._folder}/agent.py", self._folder):
                os.chown(one, uid, gid)

    def _can_note_reads(self) -> bool:
        """True if the file system notes when a file was read."""
        path = f"{self._folder}/read"
        with open(path, "w", encoding="utf-8") as file:
            file.write("x")
        os.utime(path, (_LONG_AGO, _LONG_AGO))
        with open(path, encoding="utf-8") as file:
            file.read()
        noted = os.stat(path).st_atime != _LONG_AGO
        os.unlink(path)
        return noted

    def was_read(self) -> bool | None:
        """Tell whether the target has read the script; None where that can't be told."""
        if not self._notes_reads:
            return None
        return os.stat(f"{self._folder}/agent.py").st_atime != _LONG_AGO

    def accept(self, limit_s: float) -> "Channel | None":
        """Return the agent's connection, None if none has come in time.

        Whoever else connects is sent away, and the agent waited for.
        """
        end = monotonic() + limit_s
        while (rest := end - monotonic()) > 0:
            self._socket.settimeout(rest)
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                return None
            connection.settimeout(max(end - monotonic(), 0.1))
            if self._is_targets(connection):
                return Channel(connection, self._pid, self._settings)
            connection.close()
        return None

    def failure(self) -> str:
        """Return what the agent says of why it doesn't connect; empty if it says nothing."""
        try:
            with open(f"{self._folder}/failure", encoding="utf-8") as file:
                return file.read(1000)
        except OSError:
            return ""

    def close(self) -> None:
        """Take everything away. May be called twice."""
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def disarm(self) -> None:
        """Have the script do nothing, should it still be run."""
        with suppress(OSError):
            os.truncate(f"{self._folder}/agent.py", 0)

    def _is_targets(self, connection: socket.socket) -> bool:
        """True if the target's process is at the other end, as the system says."""
        if not hasattr(socket, "SO_PEERCRED"):
            return True  # the token decides
        size = struct.calcsize("3i")
        cred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, _ = struct.unpack("3i", cred)
        return pid == self._pid and uid in (self._peer_uid, 0)


class Channel:
    """A connection with an agent, until the engine speaks on it."""

    def __init__(self, connection: socket.socket, pid: int, settings: Settings) -> None:
        self._connection = connection
        self._pid = pid
        self._settings = settings

    def greet(self, limit_s: float) -> Hello:
        """Hear who it is, and show who this is.

        Raises HelloTimeout, AgentRefused where the token or the protocol isn't ours, AgentCrashed.
        """
        told = self._receive(errors.HelloTimeout, limit_s, _GREETING_BYTES)
        token = told.get("token")
        if not isinstance(token, str) or not hmac.compare_digest(token, self._settings.token):
            raise errors.AgentRefused.of(self._pid, why="it doesn't know the token")
        if told.get("protocol") != PROTOCOL:
            spoken = f"it speaks protocol {told.get('protocol')}, and this is {PROTOCOL}"
            raise errors.AgentRefused.of(self._pid, why=spoken)
        self._send({"answer": self._settings.answer}, errors.HelloTimeout, limit_s)
        return Hello(
            self._pid,
            str(told.get("version")),
            bytes(told.get("magic") or b""),
            str(told.get("name")),
            int(told.get("threads") or 0),
        )

    def order_engine(self, order: Message, limit_s: float) -> Connection:
        """Have the agent load the engine; return the connection, on which DAP is spoken then.

        Raises EngineTimeout, AgentRefused, AgentCrashed.
        """
        end = monotonic() + limit_s
        self._send({"command": "engine", **order}, errors.EngineTimeout, limit_s)
        left_s = max(end - monotonic(), 0.0)
        told = self._receive(errors.EngineTimeout, left_s, _GREETING_BYTES)
        if not told.get("ready"):
            raise errors.AgentCrashed.of(self._pid, why=told.get("error") or "it says nothing")
        return adopt(self._connection.detach())

    def order_debugpy(self, order: Message, limit_s: float) -> None:
        """Have the agent put debugpy in, and go. Raises EngineTimeout, AgentCrashed."""
        self._send({"command": "debugpy", **order}, errors.EngineTimeout, limit_s)

    def look_for_failure(self) -> None:
        """Raise AgentRefused or AgentCrashed if the agent has said why debugpy doesn't come."""
        if not select.select([self._connection], [], [], 0)[0]:
            return
        told = self._receive(errors.EngineTimeout, 1.0, _GREETING_BYTES)
        if "refused" in told:
            raise errors.AgentRefused.of(self._pid, why=told["refused"])
        raise errors.AgentCrashed.of(self._pid, why=told.get("error") or "it says nothing")

    def close(self) -> None:
        """End the connection: the agent leaves."""
        self._connection.close()

    def _send(self, message: Message, timeout: type[errors.AttachTimeout], limit_s: float) -> None:
        data = marshal.dumps(message, OLDEST_FORMAT)
        try:
            self._connection.settimeout(max(limit_s, 0.001))
            self._connection.sendall(len(data).to_bytes(4, "little") + data)
        except TimeoutError:
            raise timeout.of(self._pid, limit_s=limit_s) from None
        except OSError as error:
            raise self._gone(error) from None

    def _receive(self, timeout: type[errors.AttachTimeout], limit_s: float, most: int) -> Message:
        end = monotonic() + limit_s
        try:
            size = int.from_bytes(self._read(4, end), "little")
            message = ast.literal_eval(self._read(min(size, most), end).decode())
        except TimeoutError:
            raise timeout.of(self._pid, limit_s=limit_s) from None
        except OSError as error:
            raise self._gone(error) from None
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise errors.AgentCrashed.of(
                self._pid, why=f"it said something else: {error}"
            ) from None
        if not isinstance(message, dict):
            raise errors.AgentCrashed.of(self._pid, why="it said something else")
        return message

    def _read(self, size: int, end: float) -> bytes:
        data = b""
        while len(data) < size:
            self._connection.settimeout(max(end - monotonic(), 0.001))
            got = self._connection.recv(size - len(data))
            if not got:
                raise ConnectionResetError("the connection ended")
            data += got
        return data

    def _gone(self, error: OSError) -> errors.AttachError:
        if not os.path.exists(f"/proc/{self._pid}") and os.path.exists("/proc/self"):
            return errors.ProcessEnded.of(self._pid, phase="hello")
        return errors.AgentCrashed.of(self._pid, why=str(error))


def _write(path: str, data: bytes) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)


def _owner(pid: int) -> tuple[int, int]:
    try:
        found = os.stat(f"/proc/{pid}")
        return found.st_uid, found.st_gid
    except OSError:
        return os.geteuid(), os.getegid()


def _same_namespace(pid: int, kind: str) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/ns/{kind}", f"/proc/self/ns/{kind}")
    except OSError:
        return True


def _root_for(pid: int) -> str:
    """Return what stands before a path of the target's here: nothing where both see the same."""
    try:
        same = _same_namespace(pid, "mnt") and os.path.samefile(f"/proc/{pid}/root", "/")
    except OSError:
        same = True
    return "" if same else f"/proc/{pid}/root"


def _new_folder(pid: int, root: str) -> str:
    """Make a folder of mode 0700 that both sides see; its path is short enough for a socket."""
    places = [tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"]
    if root:
        places = ["/tmp", "/var/tmp", "/run", "/dev/shm"]
    why, where = "its path is too long", places[0]
    for place in places:
        if not place or len(os.fsencode(f"{root}{place}/nbdebug-12345678/socket")) > _PATH_BYTES:
            continue
        try:
            return tempfile.mkdtemp(prefix="nbdebug-", dir=f"{root}{place}")
        except OSError as error:
            why, where = error.strerror or str(error), place
    raise errors.SocketFolderUnwritable.of(pid, path=where, why=why)
