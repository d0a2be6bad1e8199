"""`nbdebug.launch()`: a Python program as a child process under the engine, and a session with it.

Owns no process: that is dap.launching's. Called on the program's threads.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from nbdebug import errors
from nbdebug.api.model import Outcome, Wait
from nbdebug.api.session import Session
from nbdebug.dap import breakpoint_text, launching, listening, sessions, watch_text
from nbdebug.dap.launching import Before, Launched
from nbdebug.engine.model import BreakpointSpec, LineTarget

_END_S = 6.0
"""A program that takes no KeyboardInterrupt gets SIGTERM after five seconds."""
_LAST_WORDS_S = 2.0
"""The debugger's connection ends before the process does, and before its output."""


class LaunchedSession(Session):
    """A session with a program that `nbdebug.launch` has started; leaving its block ends it."""

    def __init__(self, launched: Launched, timeout_s: float) -> None:
        self._launched = launched
        launched.on_output = lambda stream, text: self.printed(text)
        launched.session.is_driven = True
        launched.session.on_console = self.printed
        super().__init__(launched.session, None, timeout_s)

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._launched.process.pid

    @property
    def exit_code(self) -> int | None:
        """As `subprocess` has it, negative where a signal has ended it; None while it runs."""
        return self._launched.exit_code

    @property
    def output(self) -> str:
        """What it has written so far, to stdout and stderr."""
        return self._output

    def wait_for_end(self, timeout_s: float = 30.0) -> int:
        """Wait until the program has ended; return its exit code. Raises TookTooLong."""
        code = self._launched.wait(timeout_s)
        if code is None:
            raise errors.TookTooLong(f"{self._launched.session.title} hasn't ended in time.")
        return code

    def wait_for_stop(self, timeout_s: float = 10.0) -> Wait:
        """Wait until something stops, the program ends, or the time is over; say which."""
        wait = super().wait_for_stop(timeout_s)
        if wait.outcome is not Outcome.ENDED:
            return wait
        self._launched.wait(_LAST_WORDS_S)
        return replace(super().wait_for_stop(0.0), exit_code=self.exit_code)

    def interrupt(self) -> None:
        """Have the program get a KeyboardInterrupt, also where it is stopped."""
        self._launched.interrupt()

    def detach(self) -> None:
        """Leave the program: it runs on without breakpoints, and doesn't end with this process."""
        self.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(terminate=True)
        if self._launched.wait(_END_S) is None and not self._launched.is_let_go:
            self._launched.kill()


def launch(
    args: Sequence[str],
    *,
    stop_on_entry: bool = False,
    breakpoints: Iterable[str | tuple[str, int]] = (),
    watches: Iterable[str] = (),
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    python: str | None = None,
    follow_children: bool | None = None,
    timeout_s: float = 30.0,
) -> LaunchedSession:
    """Start a program; see `nbdebug.launch`."""
    kernel = listening.shared()
    before = Before(
        stop_on_entry,
        (*launching.breakpoints_here(), *(_breakpoint(one, cwd) for one in breakpoints)),
        tuple(watch_text.parse(one) for one in watches),
        follows_children=kernel is not None if follow_children is None else follow_children,
    )
    command = launching.command_of(args, python)
    launched = launching.launch(command, before, cwd=cwd, env=env, timeout_s=timeout_s)
    session = LaunchedSession(launched, timeout_s)
    sessions.here.add(launched.session)
    launched.begin()
    return session


def _breakpoint(one: str | tuple[str, int], cwd: str | os.PathLike[str] | None) -> BreakpointSpec:
    def find(name: str) -> str:
        return os.path.abspath(os.path.join(cwd or "", os.path.expanduser(name)))

    if isinstance(one, str):
        return breakpoint_text.parse(one, find)
    path, line = one
    return BreakpointSpec(LineTarget(find(path), line))
