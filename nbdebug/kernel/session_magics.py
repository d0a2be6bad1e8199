"""The magics %session and %debug_script.

Owns their grammar and what they print. Run on the thread that runs the cell; %debug_script waits
there for its program, and Ctrl-C reaches it.
"""

import os
import queue
import shlex
import sys
import threading
from dataclasses import dataclass, replace
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from nbdebug import errors
from nbdebug.dap import breakpoint_text, launching, sessions, watch_text
from nbdebug.dap.launching import Before, Launched
from nbdebug.dap.messages import Json
from nbdebug.kernel.answering import answer
from nbdebug.kernel.debugger import KernelDebugger, debugger_of
from nbdebug.kernel.live_output import LiveOutput
from nbdebug.kernel.session import session_body
from nbdebug.kernel.tables import Table

_LEAVES = ("close", "detach")
_QUEUED = 1000  # pieces of output; then the program waits, as before a slow terminal
_LEFT_S = 1.0
"""How long after a program's end that of its session is waited for, and told with it."""


class _SessionUsage(errors.UsageError):
    advice = "Write `%session`, `%session 2`, `%session kernel` or `%session close 2`."


class _ScriptUsage(errors.UsageError):
    advice = "Write, for instance, `%debug_script --stop-on-entry train.py --fast`."


@magics_class
class SessionMagics(Magics):
    """What a notebook's user types about sessions."""

    @line_magic
    def session(self, line: str) -> Table | None:
        """List the sessions, and choose the one that the panel and the magics speak to.

        %session              list them: the notebook's kernel, launched scripts, other processes
        %session 2            make a session the current one; also by pid or name
        %session kernel       go back to the notebook's own
        %session close 2      leave a session: what was launched ends, another process runs on
        %session detach 2     leave it, and let it run on, what was launched too

        Breakpoints, steps and values of the panel are those of the current session, and so are
        %bp, %watch and %stack, where they don't name one by --pid.
        """
        return answer(lambda: self._session(line.strip()))

    @line_magic
    def debug_script(self, line: str) -> None:
        """Run a Python program in a process of its own, under the debugger.

        %debug_script train.py --fast                 its output comes here, and its exit code
        %debug_script -m pkg.tool x                   a module; also -c CODE
        %debug_script --stop-on-entry train.py        stop at its first line
        %debug_script --break train.py:12 train.py    with a breakpoint, as %bp has it
        %debug_script --watch total train.py          with a watch, as %watch has it
        %debug_script --no-wait train.py              the cell ends, and the program runs on
        %debug_script --cwd DIR train.py              in a folder
        %debug_script --python PATH train.py          by another interpreter, 3.12 or newer

        It becomes the current session (%session), and breakpoints that you have in files hold in
        it. Interrupt the cell once, and the program gets a KeyboardInterrupt; twice, and it is
        killed. It ends with the kernel.
        """
        answer(lambda: self._debug_script(line.strip()))

    # -- inside

    @property
    def _debugger(self) -> KernelDebugger:
        return debugger_of(self.shell)

    def _session(self, line: str) -> Table:
        verb, _, rest = line.partition(" ")
        if verb in _LEAVES:
            if not rest.strip():
                raise _SessionUsage(f"`%session {verb}` needs a session's number, pid or name.")
            found = sessions.here.find(rest)
            if found is None:
                raise _SessionUsage("The notebook's own session can't be left; see %unload_ext.")
            found.close(terminate=verb == "close" and found.ends_with_us)
        elif line:
            sessions.here.switch(sessions.here.find(line))
        return self._table()

    def _table(self) -> Table:
        own = self._debugger.session
        rows = []
        for one in (None, *sessions.here.all()):
            body = session_body(one, own)
            name = os.path.basename(body["name"]) or body["name"]
            parent = f" of {body['parent']}" if "parent" in body else ""
            pid = str(body.get("pid", ""))
            marker = "\N{RIGHTWARDS ARROW}" if body["current"] else ""
            kind = "this notebook" if one is None else body["kind"] + parent
            rows.append([marker, str(body["id"]), name, pid, kind, body["state"].rstrip(".")])
        return Table(["", "id", "session", "pid", "kind", "state"], rows)

    def _debug_script(self, line: str) -> None:
        options = _parse(line)
        debugger = self._debugger
        find = debugger.session.engine.sources.find
        before = Before(
            options.stop_on_entry,
            (
                *launching.breakpoints_here(),
                *(breakpoint_text.parse(one, find) for one in options.breakpoints),
            ),
            tuple(watch_text.parse(one) for one in options.watches),
            lambda: debugger.panel.filters,
            follows_children=True,
        )
        command = launching.command_of(options.program, options.python)
        launched = launching.launch(command, before, cwd=options.cwd)
        if options.no_wait:
            _show_later(launched, self.shell)
        else:
            _Waiting(launched).run()


def _show_later(launched: Launched, shell: Any) -> None:
    """Let a program run, with its output in a display of this cell's, and don't wait."""
    session = launched.session
    display = LiveOutput(shell, session.title)
    farewell = _Farewell(launched)
    session.start(_State(display))
    launched.on_output = display.add
    session.on_console = lambda text: display.add("stdout", text)
    launched.on_end = lambda: display.say(
        "failed" if launched.exit_code else "ended",
        farewell.text().removeprefix(f"{session.title} "),
    )
    sessions.here.add(session)
    launched.begin()


class _Farewell:
    """The one line about a program's end and its session's, which come on two threads."""

    def __init__(self, launched: Launched) -> None:
        self._launched = launched
        self._left = threading.Event()
        self._was_current = False
        launched.session.tells_end = self._session_ended

    def text(self) -> str:
        """Return the line without its full stop, once the program has ended."""
        self._left.wait(_LEFT_S)
        again = "; the kernel is the current session again" if self._was_current else ""
        return f"{self._launched.farewell}{again}"

    def _session_ended(self, was_current: bool) -> None:
        self._was_current = was_current
        self._left.set()


class _State:
    """A session's receiver that shows in a display whether it is stopped."""

    def __init__(self, display: LiveOutput) -> None:
        self._display = display

    def event(self, name: str, body: Json) -> None:
        if name == "stopped":
            self._display.say("stopped", (body.get("description") or "stopped").rstrip("."))
        elif name == "continued":
            self._display.say("running", "running")

    def printed(self, text: str) -> None:
        """What it writes comes another way."""

    def run_ended(self, error: str) -> None:
        """It has runs only in a kernel."""

    def lost(self, why: str) -> None:
        """The program's end is told once it is over."""


class _Waiting:
    """A cell that waits for its program, and writes what that writes."""

    def __init__(self, launched: Launched) -> None:
        self._launched = launched
        self._written: queue.Queue[tuple[str, str] | None] = queue.Queue(_QUEUED)
        self._farewell = _Farewell(launched)
        self._interrupts = 0

    def run(self) -> None:
        """Let the program run, and wait for its end."""
        launched = self._launched
        launched.session.passes_stops = True
        launched.on_output = lambda stream, text: self._written.put((stream, text))
        launched.session.on_console = lambda text: self._written.put(("stdout", text))
        launched.on_end = lambda: self._written.put(None)
        try:
            sessions.here.add(launched.session)
            launched.begin()
        except BaseException:
            launched.on_output, launched.on_end = (lambda stream, text: None), (lambda: None)
            launched.kill()
            raise
        while self._write():
            pass
        print(f"{self._farewell.text()}.")
        if self._interrupts:
            raise KeyboardInterrupt

    def _write(self) -> bool:
        """Write what comes next; False at the program's end."""
        try:
            item = self._written.get()
            if item is not None:
                (sys.stdout if item[0] == "stdout" else sys.stderr).write(item[1])
        except KeyboardInterrupt:
            self._interrupts += 1
            if self._interrupts == 1:
                self._launched.interrupt()
            else:
                self._launched.kill()
            return True
        return item is not None


@dataclass(frozen=True, slots=True)
class _Options:
    """What `%debug_script` was given."""

    program: tuple[str, ...] = ()
    stop_on_entry: bool = False
    no_wait: bool = False
    breakpoints: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    cwd: str | None = None
    python: str | None = None


def _parse(line: str) -> _Options:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _ScriptUsage(f"`{line}` can't be read: {error}.") from None
    options = _Options()
    while words and words[0].startswith("--"):
        word, equals, value = words.pop(0).partition("=")
        if word == "--stop-on-entry" and not equals:
            options = replace(options, stop_on_entry=True)
            continue
        if word == "--no-wait" and not equals:
            options = replace(options, no_wait=True)
            continue
        if word not in ("--break", "--watch", "--cwd", "--python"):
            raise _ScriptUsage(f"`%debug_script` has no option `{word}`.")
        if not equals:
            if not words:
                raise _ScriptUsage(f"`{word}` needs a value after it.")
            value = words.pop(0)
        match word:
            case "--break":
                options = replace(options, breakpoints=(*options.breakpoints, value))
            case "--watch":
                options = replace(options, watches=(*options.watches, value))
            case "--cwd":
                options = replace(options, cwd=os.path.expanduser(value))
            case _:
                options = replace(options, python=os.path.expanduser(value))
    if not words:
        raise _ScriptUsage("`%debug_script` needs a program.")
    first = words[0] if words[0].startswith("-") else os.path.expanduser(words[0])
    return replace(options, program=(first, *words[1:]))
