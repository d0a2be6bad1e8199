"""Sockets: listening, connecting, and carrying messages.

Owns every socket, and the threads that read and write them; must not know what a message means.

Threads: for each connection "nbdebug-reader" calls ``on_message`` and, at its end, ``on_end``;
"nbdebug-writer" sends what `send` was given. "nbdebug-listener" accepts. All are daemons that no
debugger stops. `send` may be called on any thread, the user's too: it hands the message over and
goes on. Only where a client reads too slowly does it wait, and a client that reads nothing at all
for some seconds is given up, so that what it debugs runs on.
"""

import _socket  # all that a connection needs: `socket` would take 0.2 MiB in a target
import functools
import os
import socket
import stat
import threading
from _queue import SimpleQueue  # without the rest of `queue`, as above
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from nbdebug import errors
from nbdebug.dap import framing
from nbdebug.engine.locks import hold, new_lock

Json = dict[str, Any]

_CHUNK = 256 * 1024
_QUEUED_BYTES = 16 * 1024 * 1024
"""From here on `send` waits until the client has read some of it."""
_STALLED_S = 5.0
"""A client that has read nothing for so long while `send` waited is given up."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port. Port 0 asks for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system, which only its user may use."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Return the address that ``HOST:PORT``, ``PORT`` or ``unix:PATH`` names. Raises UsageError."""
    if text.startswith("unix:"):
        if len(text) == len("unix:"):
            raise errors.BadAddress("The path behind `unix:` is missing.")
        return UnixAddress(os.path.abspath(text.removeprefix("unix:")))
    host, colon, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise errors.BadAddress(f"`{text}` has no port.")
    if colon and not host:
        raise errors.BadAddress(f"`{text}` has no host.")
    return TcpAddress(host.strip("[]") or "127.0.0.1", int(port))


class Connection:
    """One stream of messages, both ways."""

    def __init__(self, socket_: _socket.socket) -> None:
        self._socket = socket_
        if socket_.family != _socket.AF_UNIX:
            # Small messages in both directions: Nagle's algorithm would cost 40 ms for each.
            socket_.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._outgoing: SimpleQueue[bytes | Callable[[], None] | None] = SimpleQueue()
        self._queued = 0
        self._sent = 0
        self._lock = new_lock()  # held for moments: guards the count of what is queued
        self._room = threading.Lock()
        self._room.acquire()  # released when the writer has made room: a bare lock as a signal
        self._is_open = True
        self._written = threading.Event()
        self._silence_s: float | None = None
        self._lull: tuple[float, Callable[[], None]] | None = None
        self._on_message: Callable[[Json], None] = lambda message: None
        self._on_end: Callable[[str], None] = lambda why: None

    def start(
        self, on_message: Callable[[Json], None], on_end: Callable[[str], None]
    ) -> threading.Thread:
        """Begin to read and write; return the thread that reads.

        ``on_end`` is told why the connection has ended.
        """
        self._on_message, self._on_end = on_message, on_end
        start_thread("nbdebug-writer", self._write)
        return start_thread("nbdebug-reader", self._read)

    @property
    def is_open(self) -> bool:
        """False once either side has closed it."""
        return self._is_open

    def send(self, message: Json) -> None:
        """Have a message sent; on a connection that has ended, nothing happens."""
        data = framing.encode(message)
        if self._queued > _QUEUED_BYTES:
            self._wait_for_room()
        if self._is_open:
            hold(self._lock, functools.partial(self._count, len(data)))
            self._outgoing.put(data)

    def call_when_sent(self, call: Callable[[], None]) -> None:
        """Have ``call`` called on the writer's thread when all that came before it is sent."""
        self._outgoing.put(call)

    def close(self, flush_s: float = 0.0) -> None:
        """End the connection, after waiting at most ``flush_s`` for what is to be sent."""
        if self._is_open and flush_s:
            self._outgoing.put(None)
            self._written.wait(flush_s)
        self._is_open = False
        self._outgoing.put(None)
        with suppress(OSError):
            self._socket.shutdown(_socket.SHUT_RDWR)
        with suppress(RuntimeError):
            self._room.release()

    def forget(self) -> None:
        """In a forked child: let the parent alone have the connection."""
        self._is_open = False
        self._socket.close()

    def expect_within(self, seconds: float | None) -> None:
        """End the connection if nothing comes for ``seconds``; None: wait as long as it takes."""
        self._silence_s = seconds
        self._socket.settimeout(seconds)

    def call_at_lull(self, seconds: float, call: Callable[[], None]) -> None:
        """Have ``call`` called once, on the reader's thread, when nothing has come for so long.

        For that thread, and before it starts. Another call takes this one's place.
        """
        self._lull = seconds, call

    # -- inside

    def _count(self, change: int) -> None:
        self._queued += change

    def _wait_for_room(self) -> None:
        seen, since = self._sent, monotonic()
        while self._is_open and self._queued > _QUEUED_BYTES:
            self._room.acquire(timeout=0.1)
            if self._sent != seen:
                seen, since = self._sent, monotonic()
            elif monotonic() - since > _STALLED_S:
                self.close()

    def _write(self) -> None:
        try:
            while (data := self._outgoing.get()) is not None:
                if not isinstance(data, bytes):
                    data()
                    continue
                self._write_all(memoryview(data))
                hold(self._lock, functools.partial(self._count, -len(data)))
                with suppress(RuntimeError):  # it rings already
                    self._room.release()
        except OSError:
            self.close()  # the reader tells of it
        self._written.set()

    def _write_all(self, data: memoryview) -> None:
        while data:
            try:
                sent = self._socket.send(data[:_CHUNK])
            except TimeoutError:  # of `expect_within`, which speaks of reading
                if not self._is_open:
                    return
                continue
            self._sent += sent
            data = data[sent:]

    def _read(self) -> None:
        why = "The other side closed the connection."
        reader = framing.Reader()
        try:
            while data := self._receive():
                for message in reader.feed(data):
                    self._on_message(message)
                    if not self._is_open:
                        return
        except TimeoutError:
            why = "Nothing came in time."
        except errors.MalformedMessage as error:
            why = str(error)
        except OSError as error:
            why = f"The connection broke: {error}."
        except Exception as error:  # a fault of ours ends this connection, and nothing else
            why = f"nbdebug failed: {error!r}"
        finally:
            self.close()
            try:
                self._on_end(why)
            finally:
                self._socket.close()

    def _receive(self) -> bytes:
        since = monotonic()
        while self._lull is not None:
            seconds, call = self._lull
            self._socket.settimeout(seconds)
            try:
                return self._socket.recv(_CHUNK)
            except TimeoutError:
                if self._silence_s is not None and monotonic() - since > self._silence_s:
                    raise
                self._lull = None
                call()  # it may ask to be called again
            finally:
                self._socket.settimeout(self._silence_s)
        return self._socket.recv(_CHUNK)


class Listener:
    """Accepts connections at one address until closed."""

    def __init__(self, address: Address, on_connection: Callable[[Connection], None]) -> None:
        """Begin to listen; connections are told of on the listener's thread. Raises BadAddress."""
        self._inode: tuple[int, int] | None = None
        try:
            self._socket = self._bind(address)
        except OSError as error:
            raise errors.BadAddress(
                f"Can't listen on {address}: {error.strerror or error}."
            ) from None
        self.address = address
        if isinstance(address, TcpAddress):
            self.address = TcpAddress(address.host, self._socket.getsockname()[1])
        self._on_connection = on_connection
        self._is_open = True
        start_thread("nbdebug-listener", self._accept)

    def close(self) -> None:
        """Accept no more, and remove the socket's file."""
        self._is_open = False
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the listener up
        self._socket.close()
        if isinstance(self.address, UnixAddress):
            with suppress(OSError):
                if _inode_of(self.address.path) == self._inode:
                    os.unlink(self.address.path)

    def forget(self) -> None:
        """In a forked child: let the parent alone listen."""
        self._is_open = False
        self._socket.close()

    def _bind(self, address: Address) -> socket.socket:
        if isinstance(address, UnixAddress):
            return self._bind_unix(address.path)
        [(family, kind, protocol, _, where), *_] = socket.getaddrinfo(
            _host(address), address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(where)
            made.listen(8)
        except OSError:
            made.close()
            raise
        return made

    def _bind_unix(self, path: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        try:
            _remove_stale(path)
            made.bind(path)
            os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)  # until it listens, nobody can connect
            self._inode = _inode_of(path)
            made.listen(8)
        except OSError:
            made.close()
            raise
        return made

    def _accept(self) -> None:
        while self._is_open:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                if self._is_open:  # out of descriptors, or a client that went away at once
                    threading.Event().wait(0.1)
                continue
            try:
                self._on_connection(Connection(accepted))
            except (OSError, RuntimeError):  # it went away at once, or no thread can be had
                accepted.close()


def connect(address: Address, limit_s: float) -> Connection:
    """Return a connection to a listener; it reads once it is started. Raises ConnectionLost."""
    try:
        if isinstance(address, UnixAddress):
            made = socket.socket(socket.AF_UNIX)
            made.settimeout(limit_s)
            try:
                made.connect(address.path)
            except OSError:
                made.close()
                raise
        else:
            made = socket.create_connection((_host(address), address.port), limit_s)
    except OSError as error:
        raise errors.ConnectionLost(
            f"Can't connect to {address}: {error.strerror or error}."
        ) from None
    made.settimeout(None)
    return Connection(made)


def adopt(descriptor: int) -> Connection:
    """Return a connection over a connected socket's descriptor, which it closes at its end."""
    adopted = _socket.socket(fileno=descriptor)
    adopted.settimeout(None)
    return Connection(adopted)


def start_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a daemon that neither our engine nor another debugger stops."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    thread.start()
    return thread


def _host(address: TcpAddress) -> Any:
    # As bytes: for a str the codec of international names is imported, which takes 5 ms.
    return address.host.encode("ascii") if address.host.isascii() else address.host


def _inode_of(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _remove_stale(path: str) -> None:
    """Remove a socket that a process left behind; one that somebody listens on stays."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
