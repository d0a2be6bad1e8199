"""One process, one address: what `nbdebug.listen()` and `python -m nbdebug --listen` make.

Owns which session and which server this process has. Called on the program's threads.
"""

import atexit
import os
import sys
from collections.abc import Callable
from time import monotonic, sleep
from types import FrameType

from nbdebug import errors
from nbdebug.dap.log import MessageLog
from nbdebug.dap.script import ScriptSession
from nbdebug.dap.server import Server, token_for
from nbdebug.dap.session import Session
from nbdebug.dap.transport import Address, TcpAddress, parse_address
from nbdebug.engine import forks
from nbdebug.engine.model import Location

_LOOK_AGAIN_S = 0.05


class Listening:
    """This process, listening for debug clients. `listen` makes it."""

    def __init__(self, session: Session, address: Address, token: str | None) -> None:
        self._session = session
        self._server = Server(session, address, token)
        if isinstance(session, ScriptSession) and isinstance(address, TcpAddress):
            session.children_host = address.host
        self._filter = forks.ignore_warning() if isinstance(session, ScriptSession) else None
        self._is_open = True
        self._exit_code: int | None = None
        atexit.register(self.close)  # first registered, last called: what the program does at exit

    @property
    def address(self) -> str:
        """Where clients connect, as ``HOST:PORT`` or ``unix:PATH``."""
        return str(self._server.address)

    @property
    def token(self) -> str | None:
        """What clients must send as ``token`` when they attach; None where they need none."""
        return self._server.token

    def wait_for_client(self, timeout_s: float | None = None) -> bool:
        """Wait until a client is attached and has set its breakpoints; False after ``timeout_s``.

        Ctrl-C ends the waiting. In a kernel any client counts, JupyterLab's panel too.
        """
        if isinstance(self._session, ScriptSession):
            return self._session.wait_until_configured(timeout_s)
        end = None if timeout_s is None else monotonic() + timeout_s
        while not self._session.is_attached:
            if end is not None and monotonic() >= end:
                return False
            sleep(_LOOK_AGAIN_S)
        return True

    def close(self) -> None:
        """Listen no more. What is stopped runs on, and the client's breakpoints go."""
        if not self._is_open:
            return
        self._is_open = False
        atexit.unregister(self.close)
        if isinstance(self._session, ScriptSession):
            self._session.program_ended(self._exit_code)
        self._server.close()
        _state.listening = None
        forks.heed_warning(self._filter)

    def end_with_client(self, lost: Callable[[], None]) -> None:
        """Have the program end when its client is lost without having disconnected.

        ``lost`` is called then, on a thread of ours.
        """
        if isinstance(self._session, ScriptSession):
            self._session.on_client_lost = lost

    def is_users(self, name: str) -> None:
        """Take code of files whose names begin so for the user's."""
        self._session.engine.user_code.configure(cells=(name,))

    def main_ended(self, exit_code: int) -> None:
        """Take note of how the main thread has ended: clients are told when the process does."""
        self._exit_code = exit_code
        self._session.engine.run_ended()

    def forget(self) -> None:
        """In a forked child: it is the parent that listens."""
        self._is_open = False
        atexit.unregister(self.close)


class _State:
    """What this process has: a kernel's session to share, and what listens."""

    def __init__(self) -> None:
        self.shared: Session | None = None
        self.listening: Listening | None = None
        self._alone: dict[str, Session] = {}

    @property
    def alone(self) -> Session | None:
        """The session of a process that doesn't listen, once there is one."""
        return self._alone.get("session")

    def only(self, session: Session) -> Session:
        """Return the session of this process: the first one that any thread has brought."""
        return self._alone.setdefault("session", session)

    def forget(self) -> None:
        """Have none."""
        self.shared = None
        self._alone.clear()


_state = _State()


def listen(
    address: str | tuple[str, int] = "127.0.0.1:0",
    *,
    token: str | None = None,
    auth: bool = True,
    wait: bool = False,
    program: str | None = None,
    log_dir: str | None = None,
) -> Listening:
    """Let a debug client connect to this process; see `nbdebug.listen`.

    ``program`` is what clients show as the process's name, ``log_dir`` a folder for a record of
    every message. Raises BadAddress, TokenNeeded, EngineInUse if this process listens already.
    """
    if _state.listening is not None:
        raise errors.EngineInUse(
            f"nbdebug listens on {_state.listening.address} already; a process does it once."
        )
    if not isinstance(address, str):
        host, port = address
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    where = parse_address(address)
    session = _state.shared or _state.alone
    if session is None:
        session = ScriptSession(program or sys.argv[0] or sys.executable)
        session.log = MessageLog(log_dir or os.environ.get("NBDEBUG_LOG"))
    listening = Listening(session, where, token_for(where, token, auth))
    _state.listening = listening
    forks.call_in_child(_forget_parent)
    if wait:
        listening.wait_for_client()
    return listening


def shared() -> Session | None:
    """Return the session of the kernel that this process is, None where it isn't one."""
    return _state.shared


def session_here() -> Session:
    """Return the session of this process: the kernel's, that which listens, or one of its own.

    Raises NoToolId, EngineInUse.
    """
    if _state.shared is not None:
        return _state.shared
    if _state.listening is not None:
        session = _state.listening._session
    else:
        session = _state.alone or _state.only(ScriptSession(sys.argv[0] or sys.executable))
        session.engine.watches.reports.log = lambda text, location: _tell(session, text, location)
    session.engine.start()
    return session


def _tell(session: Session, text: str, location: Location | None) -> None:
    """Tell the client, or where none is, whoever reads what the program writes."""
    if session.is_attached:
        session.output(text, "console", location)
    else:
        sys.stderr.write(f"{text}\n")


def share(session: Session | None) -> None:
    """Have `listen` use a kernel's session; None: the kernel takes it back."""
    if _state.listening is not None and session is None:
        _state.listening.close()
    _state.shared = session


def stop_in(frame: FrameType) -> None:
    """Stop in ``frame``, a caller of this one, if a client is there to let it run on."""
    listening = _state.listening
    session = _state.shared or (listening._session if listening is not None else None)
    if session is not None and session.can_resume():
        session.engine.stops.stop_after(frame)
    elif _state.shared is not None:
        sys.breakpointhook()  # noqa: T100  # the kernel's own, which knows what to do


def _forget_parent() -> None:
    if _state.listening is not None:
        _state.listening.forget()
        _state.listening = None
    _state.forget()
