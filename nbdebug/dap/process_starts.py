"""The calls that start processes, wrapped so that a Python child lets us in.

Owns what stands in their places, for as long as a client follows children, and how a command line
is read. Must not know sessions. The wrapped calls run on the program's threads, and wait for
nothing.

A child is started as ``python FLAGS nbdebug/child.py ORDERS PROGRAM``: its program runs as it would
have. Nothing is put into its environment. A process that isn't this Python's is left alone, and so
are multiprocessing's own helpers, but for the fork server, whose children are followed.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

_BOOTSTRAP = os.path.join(os.path.dirname(os.path.dirname(__file__)), "child.py")
_FLAGS_WITH_VALUE = "WX"
_FLAGS_THAT_END = "hVi?"  # with these the interpreter does something else
_RESOURCE_TRACKER = b"from multiprocessing.resource_tracker import main"
_FORK_SERVER = b"from multiprocessing.forkserver import main"
_LOOKED_AT = 80  # the code that starts these helpers begins with that


@dataclass(frozen=True, slots=True)
class Orders:
    """What a child is told: where its parent listens for it, and where it may listen itself.

    ``host`` is empty for a socket in ``folder``. ``forks_only``: it has no session of its own. It
    waits ``limit_s`` for its client. ``ends_with_client``: a client that is lost, without having
    disconnected, takes it along.
    """

    announce_to: str
    folder: str
    host: str = ""
    forks_only: bool = False
    limit_s: float = 10.0
    ends_with_client: bool = False

    @classmethod
    def parse(cls, text: str) -> "Orders":
        """Return the orders that `text` gave."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """Return the orders as one argument of a command line."""
        return json.dumps(asdict(self))


class _State:
    """With which orders children are started, and what the calls were before they were wrapped."""

    def __init__(self) -> None:
        self.orders: Orders | None = None
        self.origin: Orders | None = None
        """The orders that this process was itself started with."""
        self.before: dict[tuple[Any, str], Any] = {}
        self.starting = threading.local()


_state = _State()


def run_as_child(orders: Orders) -> None:
    """Take note of the orders that this process was started with: it may replace itself."""
    _state.origin = orders
    follow(None)


def follow(orders: Orders | None) -> None:
    """Have children from now on be started with these orders; None: as without us."""
    _state.orders = orders
    if orders is None and _state.origin is None:
        for (module, name), before in _state.before.items():
            setattr(module, name, before)
        _state.before.clear()
        return
    if not _state.before:
        import _posixsubprocess
        import subprocess

        _wrap(_posixsubprocess, "fork_exec", _around_fork_exec)
        _wrap(subprocess, "_fork_exec", _around_fork_exec)
        _wrap(os, "posix_spawn", _around_spawn)
        _wrap(os, "posix_spawnp", _around_spawn)
        _wrap(os, "execv", _around_exec)
        _wrap(os, "execve", _around_exec)


def followed_fork() -> Orders | None:
    """In a forked child: return the orders that it runs with, None where it isn't followed.

    From then on it runs as a child. What runs between a fork and its exec isn't followed.
    """
    orders = _state.orders
    if orders is None or getattr(_state.starting, "now", False):
        return None
    run_as_child(orders)
    return orders


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
        at = program_at(words)
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


def program_at(words: list[bytes]) -> tuple[int, list[bytes]] | None:
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
