"""Child processes that a client follows, each as a session of its own.

Owns what it puts around the calls that start processes, for as long as a client asks for it; and in
the child, the announcement to the parent and the waiting for the child's own client. Threads: the
wrapped calls run on the program's threads and wait for nothing; a forked child waits for its client
before the fork returns there, at most `_CLIENT_LIMIT_S`.

A child is started as ``python FLAGS nbdebug/child.py ORDERS PROGRAM``: its program runs as it would
have. Nothing is put into its environment. A process that isn't this Python's is left alone, and so
are multiprocessing's own helpers, but for the fork server, whose children are followed.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nbdebug import errors
from nbdebug.dap import transport
from nbdebug.dap.messages import Json
from nbdebug.dap.transport import Connection, Listener, TcpAddress, UnixAddress

if TYPE_CHECKING:
    from nbdebug.dap.listening import Listening

_CLIENT_LIMIT_S = 10.0
_ANNOUNCE_LIMIT_S = 2.0
_BOOTSTRAP = os.path.join(os.path.dirname(os.path.dirname(__file__)), "child.py")
_FLAGS_WITH_VALUE = "WX"
_FLAGS_THAT_END = "hVi?"  # with these the interpreter does something else
_RESOURCE_TRACKER = b"from multiprocessing.resource_tracker import main"
_FORK_SERVER = b"from multiprocessing.forkserver import main"
_LOOKED_AT = 80  # the code that starts these helpers begins with that


@dataclass(frozen=True, slots=True)
class Orders:
    """What a child is told: where its parent listens for it, and where it may listen itself.

    ``host`` is empty for a socket in ``folder``. ``forks_only``: it has no session of its own.
    """

    announce_to: str
    folder: str
    host: str = ""
    forks_only: bool = False

    @classmethod
    def parse(cls, text: str) -> "Orders":
        """Return the orders that `text` gave."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """Return the orders as one argument of a command line."""
        return json.dumps(asdict(self))


class Children:
    """Follows the children of this process from now on, until closed."""

    def __init__(self, host: str, tell: Callable[[Json], None]) -> None:
        """``host``: where children listen; empty for a socket. ``tell`` is given announcements."""
        self._tell = tell
        self._folder = tempfile.mkdtemp(prefix="nbdebug-")  # of mode 0700
        path = os.path.join(self._folder, "children")
        self._listener = Listener(UnixAddress(path), self._arrives)
        self._orders = Orders(path, self._folder, host)
        _follow(self._orders)

    def close(self) -> None:
        """Follow no more; the children that there are keep their sessions."""
        _follow(_state.origin)
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget(self) -> None:
        """In a forked child: what was made is the parent's."""
        self._listener.forget()

    def _arrives(self, connection: Connection) -> None:
        def receive(message: Json) -> None:
            self._tell(message)
            connection.send({"type": "heard"})
            connection.close(_ANNOUNCE_LIMIT_S)

        connection.expect_within(_ANNOUNCE_LIMIT_S)
        connection.start(receive, lambda why: None)


def begin(orders: Orders, program: str) -> Callable[[int], None]:
    """In a child: wait for its client, if the parent has one; return what is told of its end."""
    _state.origin = orders
    if orders.forks_only:
        _follow(orders)
        return lambda status: None
    listener = _serve(orders, program)
    if listener is None:
        return lambda status: None
    return listener.main_ended


def _serve(orders: Orders, program: str) -> "Listening | None":
    """Listen, tell the parent, and wait for the client; None if the parent has left off."""
    from nbdebug.dap import listening  # which imports the session, and that imports this module

    address = f"unix:{os.path.join(orders.folder, str(os.getpid()))}"
    if orders.host:
        address = str(TcpAddress(orders.host, 0))
    try:
        listener = listening.listen(address, program=program)
    except errors.NbdebugError:
        return None
    announcement = {
        "type": "child",
        "pid": os.getpid(),
        "name": program,
        "address": listener.address,
        "token": listener.token,
    }
    if not _announce(orders.announce_to, announcement):
        listener.close()
        return None
    if not listener.wait_for_client(_CLIENT_LIMIT_S) and sys.stderr is not None:
        sys.stderr.write(
            f"nbdebug: no client came for process {os.getpid()} within {_CLIENT_LIMIT_S:g} s; "
            "it runs on\n"
        )
    return listener


def _announce(path: str, announcement: Json) -> bool:
    heard = threading.Event()
    try:
        connection = transport.connect(UnixAddress(path), _ANNOUNCE_LIMIT_S)
    except errors.ConnectionLost:
        return False
    connection.start(lambda message: heard.set(), lambda why: None)
    connection.send(announcement)
    was_heard = heard.wait(_ANNOUNCE_LIMIT_S)
    connection.close()
    return was_heard


# -- around the calls that start processes


class _State:
    """What this process follows, as whose child it runs, and what is in the calls' places."""

    def __init__(self) -> None:
        self.orders: Orders | None = None
        self.origin: Orders | None = None
        self.before: dict[tuple[Any, str], Any] = {}
        self.follows_forks = False
        self.starting = threading.local()


_state = _State()


def _follow(orders: Orders | None) -> None:
    """Have children from now on be started with these orders; None: as without us."""
    _state.orders = orders
    if orders is None:
        for (module, name), before in _state.before.items():
            setattr(module, name, before)
        _state.before.clear()
        return
    if not _state.follows_forks and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)
        _state.follows_forks = True
    if not _state.before:
        import _posixsubprocess
        import subprocess

        _wrap(_posixsubprocess, "fork_exec", _around_fork_exec)
        _wrap(subprocess, "_fork_exec", _around_fork_exec)
        _wrap(os, "posix_spawn", _around_spawn)
        _wrap(os, "posix_spawnp", _around_spawn)
        _wrap(os, "execv", _around_exec)
        _wrap(os, "execve", _around_exec)


def _wrap(module: Any, name: str, around: Callable[[Any], Any]) -> None:
    before = getattr(module, name, None)
    if before is not None:
        _state.before[module, name] = before
        setattr(module, name, around(before))


def _around_fork_exec(before: Any) -> Any:
    def fork_exec(args: Any, executables: Any, *more: Any) -> Any:
        return _starting(before, _rewritten(args, executables, _state.orders), executables, *more)

    return fork_exec


def _around_spawn(before: Any) -> Any:
    def spawn(path: Any, args: Any, *more: Any, **options: Any) -> Any:
        return _starting(before, path, _rewritten(args, [path], _state.orders), *more, **options)

    return spawn


def _around_exec(before: Any) -> Any:
    def execute(path: Any, args: Any, *more: Any) -> Any:
        # What hears of this process's own children ends here: its parent is told of it again.
        return before(path, _rewritten(args, [path], _state.origin), *more)

    return execute


def _starting(call: Any, *arguments: Any, **options: Any) -> Any:
    """Make a call that starts a process; what runs in the child before its exec isn't followed."""
    _state.starting.now = True
    try:
        return call(*arguments, **options)
    finally:
        _state.starting.now = False


def _rewritten(args: Any, executables: Any, orders: Orders | None) -> Any:
    """Return a command line that lets us in, or the same where it isn't for us."""
    try:
        if orders is None or not _is_this_python(executables):
            return args
        words = [os.fsencode(word) for word in args]
        at = _program_at(words)
        if at is None:
            return args
        flags, program = words[: at[0]], at[1]
        if program[:1] == [b"-c"]:
            begins = program[1][:_LOOKED_AT]
            if _RESOURCE_TRACKER in begins:
                return args
            if _FORK_SERVER in begins:
                orders = Orders(orders.announce_to, orders.folder, orders.host, forks_only=True)
        changed = [*flags, os.fsencode(_BOOTSTRAP), orders.text().encode(), *program]
        return type(args)(changed) if isinstance(args, list | tuple) else changed
    except Exception:
        return args  # a command line that can't be read fails in its own words


def _is_this_python(executables: Sequence[Any]) -> bool:
    for path in executables:
        with suppress(OSError):
            name = os.fsdecode(path)
            if not os.path.isabs(name) and os.sep not in name:
                name = shutil.which(name) or name
            if os.path.exists(name):
                same_folder = os.path.dirname(os.path.abspath(name)) == os.path.dirname(
                    os.path.abspath(sys.executable)
                )
                return same_folder and os.path.samefile(name, sys.executable)
    return False


def _program_at(words: list[bytes]) -> tuple[int, list[bytes]] | None:
    """Return how many words are the interpreter's and its flags, and the program behind them.

    None where there is no program: the interpreter reads its stdin, or only tells its version.
    """
    at = 1
    while at < len(words):
        word = words[at].decode("latin-1")
        if word == "-" or word.startswith("--"):
            return None
        if not word.startswith("-"):
            return at, words[at:]
        for place, letter in enumerate(word[1:], 1):
            rest = word[place + 1 :].encode("latin-1")
            if letter in _FLAGS_THAT_END:
                return None
            if letter in _FLAGS_WITH_VALUE:
                at += 0 if rest else 1
                break
            if letter in "cm":
                value = [rest] if rest else words[at + 1 : at + 2]
                following = words[at + 1 :] if rest else words[at + 2 :]
                if not value:
                    return None
                if place > 1:  # flags in the same word, as in -um
                    words[at] = word[:place].encode("latin-1")
                    at += 1
                return at, [b"-" + letter.encode(), *value, *following]
        at += 1
    return None


def _forked() -> None:
    """In a forked child, before its code goes on: it is a session too, if children are followed."""
    orders = _state.orders
    if orders is None or getattr(_state.starting, "now", False):
        return
    _state.origin = orders
    _follow(None)
    with suppress(Exception):
        _serve(orders, sys.argv[0] if sys.argv else sys.executable)
