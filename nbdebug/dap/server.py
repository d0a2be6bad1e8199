"""A session behind an address: who may be its client, one at a time.

Owns the listener, the token, and which connection the session speaks to; must not know what is
debugged. `Server` is made and closed on the program's thread; clients come on the listener's, and
their messages on each one's reader.
"""

import hmac
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from nbdebug import errors
from nbdebug.dap.log import MessageLog
from nbdebug.dap.messages import Json
from nbdebug.dap.transport import Address, Connection, Listener, TcpAddress
from nbdebug.engine import forks
from nbdebug.engine.locks import hold, new_lock

_ENTRY_LIMIT_S = 10.0
"""A connection that isn't the session's client and says nothing for so long is closed."""
_WAITING_CLIENTS = 8
_WRONG_TOKENS = 3
_FLUSH_S = 1.0
_SESSION_ENTRIES = ("attach", "launch")


class Served(Protocol):
    """What a server has its client speak to: a session, or what stands for one elsewhere."""

    log: MessageLog
    is_attached: bool
    is_initialized: bool

    def take(self, send: Callable[[Json], None]) -> None:
        """Have events go to a client until `give_back`. Raises ClientBusy."""

    def give_back(self) -> None:
        """Have events go where they went before."""

    def capabilities(self) -> Json:
        """Return what it can do."""

    def submit(self, request: Json, reply: Callable[[Json], None]) -> None:
        """Have a request answered, once, now or later."""

    def accept(self, request: Json, body: Json | None = None) -> Json:
        """Return the reply to a request that was met elsewhere."""

    def refuse(self, request: object, error: errors.NbdebugError) -> Json:
        """Return the reply to a request that isn't to be run."""

    def answered(self, response: Json) -> None:
        """Take note of a client's reply to a request of the session's."""

    def client_left(self) -> None:
        """Take note that the client is gone."""


class Server:
    """Lets clients that connect to an address use a session, one after the other."""

    def __init__(self, session: Served, address: Address, token: str | None) -> None:
        """Begin to listen. ``token`` None lets everybody in who can connect. Raises BadAddress."""
        self.session = session
        self.token = token
        self._client: _Client | None = None
        self._clients: dict[_Client, None] = {}  # in the order in which they came
        self._lock = new_lock()  # held for moments: guards who is the client
        self._listener = Listener(address, self._arrives)
        _servers.append(self)
        forks.call_in_child(_forget_parent)

    @property
    def address(self) -> Address:
        """Where it listens; port 0 has become a real one."""
        return self._listener.address

    @property
    def has_client(self) -> bool:
        """True while a client uses the session."""
        return self._client is not None

    def close(self) -> None:
        """Let the client go, after it has been told what there was to tell, and listen no more."""
        self._listener.close()
        for client in list(self._clients):
            self.ended(client)
            client.connection.close(_FLUSH_S)
        with suppress(ValueError):
            _servers.remove(self)

    def forget(self) -> None:
        """In a forked child: the session is the parent's."""
        self._listener.forget()
        for client in list(self._clients):
            client.connection.forget()
        self._clients.clear()
        self._client = None
        self.session.is_attached = self.session.is_initialized = False

    # -- used by clients

    def admit(self, client: "_Client") -> None:
        """Make a connection the session's client. Raises ClientBusy."""

        def take() -> None:
            if self._client is not None:
                raise errors.ClientBusy("Another client debugs this program.")
            self.session.take(client.connection.send)
            self._client = client

        hold(self._lock, take)
        client.connection.expect_within(None)

    def is_client(self, client: "_Client") -> bool:
        """True for the connection that the session speaks to."""
        return self._client is client

    def release(self, client: "_Client") -> None:
        """Free the session for another client, if this one had it."""
        if not self.is_client(client):
            return
        try:
            self.session.client_left()
        finally:
            self.session.give_back()
            self._client = None

    def ended(self, client: "_Client") -> None:
        """Take note that a connection is over: what is stopped runs on."""
        self._clients.pop(client, None)
        self.release(client)

    def _arrives(self, connection: Connection) -> None:
        waiting = [client for client in list(self._clients) if not self.is_client(client)]
        if len(waiting) >= _WAITING_CLIENTS:
            waiting[0].connection.close()
        connection.expect_within(_ENTRY_LIMIT_S)
        client = _Client(self, connection)
        self._clients[client] = None
        connection.start(client.receive, lambda why: self._lost(client, why))

    def _lost(self, client: "_Client", why: str) -> None:
        self.session.log.write("!!", why)
        self.ended(client)


class _Client:
    """A connection, from its first message: it gets the session when it has shown the token.

    A client sends the token with `attach`, after `initialize`. So that one is answered before, and
    run when the client is let in.
    """

    def __init__(self, server: Server, connection: Connection) -> None:
        self.connection = connection
        self._server = server
        self._is_trusted = server.token is None
        self._initialize: Json | None = None
        self._attempts = 0

    def receive(self, message: Json) -> None:
        """Have one message of the client's answered."""
        if self._server.is_client(self) and message.get("type") == "response":
            self._server.session.answered(message)
        elif self._server.is_client(self):
            self._submit(message)
        else:
            try:
                self._enter(message)
            except errors.NbdebugError as error:
                self.connection.send(self._server.session.refuse(message, error))
                if isinstance(error, errors.ClientBusy) or self._attempts >= _WRONG_TOKENS:
                    self.connection.close(_FLUSH_S)

    def _submit(self, message: Json) -> None:
        ends = message.get("command") == "disconnect"

        def reply(response: Json) -> None:
            self.connection.send(response)
            if ends:
                self._server.release(self)
                self.connection.close(_FLUSH_S)

        self._server.session.submit(_without_token(message), reply)

    def _enter(self, message: Json) -> None:
        """Answer a connection that doesn't have the session yet."""
        session, command = self._server.session, message.get("command")
        if command == "disconnect":
            self.connection.send(session.accept(message))
            self.connection.close(_FLUSH_S)
        elif self._is_trusted:
            self._server.admit(self)
            self._submit(message)
        elif command == "initialize":
            self._initialize = message
            self.connection.send(session.accept(message, session.capabilities()))
        elif command not in _SESSION_ENTRIES:
            raise errors.AuthRequired(f"`{command}` needs the token, which comes with `attach`.")
        elif self._initialize is None:
            raise errors.NotStarted(f"`{command}` comes before `initialize`.")
        else:
            self._check_token(message.get("arguments"))
            self._server.admit(self)
            session.submit(self._initialize, lambda response: self._initialized(response, message))

    def _check_token(self, arguments: object) -> None:
        given = arguments.get("token") if isinstance(arguments, dict) else None
        expected = self._server.token or ""
        if not isinstance(given, str) or not _same(given, expected):
            self._attempts += 1
            what = "This isn't the token." if given else "The token is missing."
            raise errors.AuthRequired(what)

    def _initialized(self, response: Json, message: Json) -> None:
        if response["success"]:
            self._is_trusted = True
            self._submit(message)
            return
        answer = {**response, "command": message["command"], "request_seq": message.get("seq", 0)}
        self.connection.send(answer)
        self.connection.close(_FLUSH_S)


def new_token() -> str:
    """Return a token that nobody can guess."""
    return os.urandom(16).hex()


def token_for(address: Address, token: str | None, auth: bool) -> str | None:
    """Return the token that clients must show at an address; None where they need none.

    Raises TokenNeeded where others than this machine's users could connect without one.
    """
    if not isinstance(address, TcpAddress):
        return token
    if auth:
        return token or new_token()
    if not address.is_loopback:
        raise errors.TokenNeeded(f"{address} can be reached from other machines.")
    return None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _without_token(message: Json) -> Json:
    """Return a message as the session, and its log, may see it."""
    arguments = message.get("arguments")
    if not isinstance(arguments, dict) or "token" not in arguments:
        return message
    return {**message, "arguments": {**arguments, "token": "..."}}


_servers: list[Server] = []


def _forget_parent() -> None:
    for server in _servers:
        server.forget()
    _servers.clear()
