"""Starts a Python program as a child process with the engine in it, and reads what it writes.

Owns the process, its output, and its end; the session with it is a RemoteSession like any other.

Threads: "nbdebug-launched", one for each program, reads its output, tells it by `on_output`, waits
for its end, tells that by `on_end`, and ends then. `launch` and what the owner calls run on any
other thread; each wait has a limit. A program ends with this process, unless it was let go: it
hears of our end by its connection, also where we are killed.
"""

import atexit
import codecs
import os
import queue
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from nbdebug import errors
from nbdebug.dap import following, listening, process_starts, transport
from nbdebug.dap.following import Filters
from nbdebug.dap.links import SocketLink
from nbdebug.dap.messages import Json
from nbdebug.dap.points import RemoteBreakpoints, RemoteWatches
from nbdebug.dap.process_starts import Orders
from nbdebug.dap.remote import RemoteSession
from nbdebug.dap.transport import Connection, Listener, UnixAddress
from nbdebug.dap.watch_text import WatchText
from nbdebug.engine.model import BreakpointSpec, LineTarget, ModuleTarget, Target

_BOOTSTRAP = os.path.join(os.path.dirname(os.path.dirname(__file__)), "child.py")
_LOOK_AGAIN_S = 0.05
_CHUNK = 64 * 1024
_DRAIN_S = 0.2
"""How long after a program's end its output is waited for: what it started may hold the pipes."""
_HEARD_S = 2.0
_END_S = 3.0
"""What a program has for its own endings when this process ends."""
_SAID_CHARS = 300


@dataclass(frozen=True, slots=True)
class Command:
    """A Python program: the interpreter with its flags, and what it is to run."""

    interpreter: tuple[str, ...]
    program: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a user calls the program: its file, or its module."""
        return self.program[1] if self.program[0] == "-m" else self.program[0]


class Launched:
    """A program of ours, running or ended. `launch` makes it."""

    def __init__(self, command: Command, process: "subprocess.Popen[bytes]", folder: str) -> None:
        self.command = command
        self.process = process
        self.session: RemoteSession
        self.exit_code: int | None = None
        """As `subprocess` has it: negative where a signal has ended it. None while it runs."""
        self.on_output: Callable[[str, str], None] = lambda stream, text: None
        """Called with "stdout" or "stderr", and a text."""
        self.on_end: Callable[[], None] = lambda: None
        self.on_child: Callable[[Json], None] = lambda announcement: None
        """Called when it has replaced itself by another program, which waits for a client."""
        self.is_let_go = False
        self._folder = folder
        self._owner = os.getpid()
        self._announced: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self._said = ""  # the end of what it wrote to stderr
        self._is_begun = False
        self._over = threading.Event()
        self._listener = Listener(UnixAddress(os.path.join(folder, "launched")), self._arrives)
        transport.start_thread("nbdebug-launched", self._read)

    # -- for the owner

    def begin(self) -> None:
        """Let the program run. What is to be set before has been set."""
        self.session.ask("configurationDone")

    def interrupt(self) -> None:
        """End the program as Ctrl-C does, also where it is stopped; don't wait for that."""
        if self.exit_code is None:
            self.session.request("terminate", {})

    def kill(self) -> None:
        """End the program at once, by SIGKILL."""
        with suppress(OSError):
            self.process.kill()

    def wait(self, limit_s: float) -> int | None:
        """Wait for the end and all output; return the exit code, None where it runs still."""
        self._over.wait(limit_s)
        return self.exit_code

    @property
    def farewell(self) -> str:
        """How it has ended, as a sentence without its full stop."""
        code = self.exit_code or 0
        if code < 0:
            return f"{self.session.title} was ended by signal {-code}"
        return f"{self.session.title} ended with exit code {code}"

    # -- how it starts

    def connect(self, limit_s: float) -> None:
        """Wait until the program lets us in, and connect. Raises LaunchFailed."""
        end = monotonic() + limit_s
        while True:
            try:
                told = self._announced.get(timeout=_LOOK_AGAIN_S)
                break
            except queue.Empty:
                if self.exit_code is not None:
                    raise errors.LaunchFailed(self._died()) from None
                if monotonic() > end:
                    self.kill()
                    said = f"{self.command.name} hasn't begun within {limit_s:g} s."
                    raise errors.LaunchFailed(said) from None
        link = SocketLink(told["address"], limit_s)
        self.session = RemoteSession(
            link, kind="launched", name=self.command.name, pid=self.process.pid
        )
        self.session.ends_with_us = True
        self.session.on_close = self._closed
        self._is_begun = True
        _running.add(self)

    def _died(self) -> str:
        said = self._said.strip().splitlines()
        why = f": {said[-1][:_SAID_CHARS]}" if said else "."
        return f"{self.command.name} ended with exit code {self.process.returncode}{why}"

    def _closed(self, terminate: bool) -> None:
        self.is_let_go = not terminate

    def _arrives(self, connection: Connection) -> None:
        def receive(message: Json) -> None:
            (self.on_child if self._is_begun else self._announced.put)(message)
            connection.send({"type": "heard"})
            connection.close(_HEARD_S)

        connection.expect_within(_HEARD_S)
        connection.start(receive, lambda why: None)

    # -- on its own thread

    def _read(self) -> None:
        streams = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in streams}
        ended_by = None
        with selectors.DefaultSelector() as selector:
            for name, stream in streams.items():
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, name)
            pid_file = _pid_file(self.process.pid)
            if pid_file is not None:
                selector.register(pid_file, selectors.EVENT_READ, "")
            while any(key.data for key in selector.get_map().values()):
                ready = selector.select(_DRAIN_S)
                if ended_by is not None and (not ready or monotonic() > ended_by):
                    break
                if ended_by is None and self.process.poll() is not None:
                    ended_by = monotonic() + _DRAIN_S
                    if pid_file is not None:
                        selector.unregister(pid_file)
                for key, _ in ready:
                    if key.data and not self._read_some(key.data, key.fd, decoders[key.data]):
                        selector.unregister(key.fileobj)
            if pid_file is not None:
                os.close(pid_file)
        self._ended()

    def _read_some(self, name: str, file: int, decoder: codecs.IncrementalDecoder) -> bool:
        try:
            data = os.read(file, _CHUNK)
        except OSError:
            data = b""
        text = decoder.decode(data, final=not data)
        if text:
            if name == "stderr":
                self._said = (self._said + text)[-4 * _SAID_CHARS :]
            self.on_output(name, text)
        return bool(data)

    def _ended(self) -> None:
        code = self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        _running.discard(self)
        self.exit_code = code
        self._over.set()
        self.on_end()


def command_of(words: Sequence[str], python: str | None = None) -> Command:
    """Return the program that a command line names, with or without the interpreter before it.

    Raises CannotLaunch.
    """
    found = [os.fspath(word) for word in words]
    if found and os.path.basename(found[0]).startswith("python") and not found[0].endswith(".py"):
        python, found = found[0], found[1:]
    split = process_starts.program_at([b"python", *(os.fsencode(word) for word in found)])
    if split is None:
        raise errors.CannotLaunch("There is no program to be launched.")
    count, program = split
    flags = found[: count - 1]
    return Command(
        (python or sys.executable, "-u", *flags), tuple(os.fsdecode(word) for word in program)
    )


@dataclass(frozen=True, slots=True)
class Before:
    """What is set before a program begins."""

    stop_on_entry: bool = False
    breakpoints: tuple[BreakpointSpec, ...] = ()
    watches: tuple[WatchText, ...] = ()
    filters: Filters = lambda: None
    """The exception filters, for the program and each child that is followed."""
    follows_children: bool = False


def launch(
    command: Command,
    before: Before,
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Launched:
    """Start a program with the engine in it; it waits until `Launched.begin`.

    ``env`` is its whole environment, ours if None. Its stdin is empty. It has a session (and so a
    process group) of its own: Ctrl-C here doesn't reach it. Raises CannotLaunch, LaunchFailed, and
    what a breakpoint or watch is refused with.
    """
    launched = _start(command, cwd, env, timeout_s)
    try:
        launched.connect(timeout_s)
        _set(launched, before, timeout_s)
    except BaseException:
        launched.kill()
        launched.wait(_HEARD_S)
        raise
    return launched


def _set(launched: Launched, before: Before, limit_s: float) -> None:
    session = launched.session
    session.begin(
        limit_s,
        stopOnEntry=before.stop_on_entry,
        subProcess=before.follows_children,
        **_settings_here(),
    )
    breakpoints, watches = RemoteBreakpoints(session), RemoteWatches(session)
    for spec in before.breakpoints:
        breakpoints.add(spec)
    for watch in before.watches:
        # Nothing is there yet: each name is told of when it is first made.
        watches.add(watch.text, watch.spec, pending=True)
    if (wanted := before.filters()) is not None:
        session.ask("setExceptionBreakpoints", **wanted)
    if before.follows_children:
        launched.on_child = following.follow(session, before.filters).came


def _start(
    command: Command,
    cwd: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    timeout_s: float,
) -> Launched:
    _check(command, cwd)
    folder = tempfile.mkdtemp(prefix="nbdebug-")  # of mode 0700
    orders = Orders(
        os.path.join(folder, "launched"), folder, limit_s=timeout_s, ends_with_client=True
    )
    try:
        process = subprocess.Popen(
            [*command.interpreter, _BOOTSTRAP, orders.text(), *command.program],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise errors.CannotLaunch(f"{command.interpreter[0]} can't be run: {error}.") from None
    return Launched(command, process, folder)


def breakpoints_here() -> tuple[BreakpointSpec, ...]:
    """Return the breakpoints that the notebook's user has set in files: they hold there, too."""
    kernel = listening.shared()
    if kernel is None:
        return ()
    engine = kernel.engine
    return tuple(
        info.spec
        for info in engine.breakpoints.infos()
        if info.enabled and _is_in_file(info.spec.target, engine.sources.is_cell)
    )


def _settings_here() -> Json:
    """Return what the notebook's user has configured, as arguments of `attach`."""
    kernel = listening.shared()
    if kernel is None:
        return {}
    engine = kernel.engine
    rules = [
        {"include": rule.include, "path": rule.path, "module": rule.module}
        for rule in engine.user_code.rules
    ]
    stops_at_errors = engine.breakpoints.reports.stop_on_condition_error
    return {
        "justMyCode": engine.user_code.just_my_code,
        "rules": rules,
        "stopOtherThreads": engine.stops.stop_other_threads,
        "conditionErrors": "stop" if stops_at_errors else "output",
    }


def _is_in_file(target: Target, is_cell: Callable[[str], bool]) -> bool:
    if isinstance(target, LineTarget):
        return not is_cell(target.path)
    return isinstance(target, ModuleTarget)


def _check(command: Command, cwd: str | os.PathLike[str] | None) -> None:
    if cwd is not None and not os.path.isdir(cwd):
        raise errors.CannotLaunch(f"There is no folder {os.fspath(cwd)}.")
    first = command.program[0]
    if first.startswith("-"):
        return
    path = os.path.join(cwd or os.getcwd(), os.path.expanduser(first))
    if not os.path.exists(path):
        raise errors.CannotLaunch(f"There is no file {path}.")
    if not os.access(path, os.R_OK):
        raise errors.CannotLaunch(f"{path} can't be read.")


def _pid_file(pid: int) -> int | None:
    """Return a descriptor that can be read once the process has ended, where there are such."""
    with suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return None


_running: set[Launched] = set()


def end_all(limit_s: float = _END_S) -> None:
    """End what runs still and wasn't let go, each within the same limit."""
    ours = [one for one in list(_running) if one._owner == os.getpid() and not one.is_let_go]
    for one in ours:
        if one.process.poll() is None:
            one.session.request("disconnect", {"terminateDebuggee": True})
    until = monotonic() + limit_s
    for one in ours:
        if one.wait(max(until - monotonic(), 0.0)) is None:
            one.kill()


atexit.register(end_all)
