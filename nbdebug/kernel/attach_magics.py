"""The magics %attach and %detach.

Owns their grammar and what they print. Run on the thread that runs the cell; Ctrl-C ends an attach,
and what was asked of the process is taken back.
"""

import shlex
import sys
from dataclasses import dataclass, replace

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from nbdebug import errors
from nbdebug.attach import attaching, processes, reports
from nbdebug.attach.errors import AttachError
from nbdebug.attach.waking import Wake
from nbdebug.dap import sessions
from nbdebug.dap.remote import RemoteSession
from nbdebug.kernel.answering import answer, tell

_KINDS = ("attached", "debugpy", "looked at")


class _Usage(errors.UsageError):
    advice = "Write `%attach 4711`, `%attach train.py`, `%attach --inspect 4711`, `%detach`."


@magics_class
class AttachMagics(Magics):
    """What a notebook's user types to debug other processes."""

    @line_magic
    def attach(self, line: str) -> None:
        """Debug a Python process that runs already: `%processes` lists them.

        %attach 4711                  by its pid
        %attach train.py              by its program, a notebook's path, or a part of its command
        %attach 4711 --inspect        only look at it: nothing is ever run in it
        %attach 4711 --timeout 30     how many seconds it may take; 10 unless told
        %attach 4711 --wake never     don't wake it if it sleeps, but wait
        %attach 4711 --legacy         into 3.8 to 3.13, by an older way; before 3.12 with debugpy
        %attach 4711 --quiet          don't show its stacks first

        First come its stacks, read from its memory, at once. Then the debugger goes in, and the
        panel, %bp, %watch and %stack speak to that process; %session goes back and forth. %detach
        leaves it as it was before. It may run another Python than this one: 3.14 or newer.
        """
        answer(lambda: self._attach(_parse(line)))

    @line_magic
    def detach(self, line: str) -> None:
        """Leave a process that %attach has attached to: it runs on, as it was before.

        %detach          the current session's, or the only one
        %detach 4711     by its pid, or the session's number or name
        """
        answer(lambda: self._detach(line.strip()))

    # -- inside

    def _attach(self, options: "_Options") -> None:
        pid = processes.find(options.target)
        if not options.quiet:
            _show_stacks(pid)
        session = attaching.open_session(
            pid,
            timeout_s=options.timeout_s,
            inspect=options.inspect,
            wake=options.wake,
            legacy=options.legacy,
            told=tell,
        )
        print(_line_of(session))

    def _detach(self, line: str) -> None:
        session = _chosen(line)
        session.close()
        stays = ", with debugpy in it" if session.kind == "debugpy" else ""
        print(f"Detached from {session.title}; it runs on{stays}.")


def _show_stacks(pid: int) -> None:
    """Show what can be read from outside; where that can't be had, the attach says more."""
    try:
        display(reports.stacks(pid))
    except AttachError as error:
        print(f"No stacks to show: {error}", file=sys.stderr)


def _line_of(session: RemoteSession) -> str:
    said = f"Looking at {session.title}: nothing is run in it."
    if isinstance(session, attaching.AttachedSession):
        said = session.record.line()
    return f"{said} It is session {session.id}, the current one; `%detach` leaves it."


def _chosen(line: str) -> RemoteSession:
    every = [one for one in sessions.here.all() if one.kind in _KINDS]
    if line:
        found = sessions.here.find(line)
    elif sessions.here.current in every:
        found = sessions.here.current
    else:
        found = every[0] if len(every) == 1 else None
    if found is None or found.kind not in _KINDS:
        there = ", ".join(f"{one.id}: {one.title}" for one in every) or "none"
        raise _Usage(f"`%detach` needs one of the attached sessions ({there}).")
    return found


@dataclass(frozen=True, slots=True)
class _Options:
    """What `%attach` was given."""

    target: str = ""
    inspect: bool = False
    quiet: bool = False
    legacy: bool = False
    timeout_s: float = attaching.TIMEOUT_S
    wake: Wake = Wake.AUTO


def _parse(line: str) -> _Options:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _Usage(f"`{line}` can't be read: {error}.") from None
    options, target = _Options(), []
    while words:
        word, equals, value = words.pop(0).partition("=")
        if word in ("--inspect", "--quiet", "--legacy") and not equals:
            options = replace(
                options,
                inspect=options.inspect or word == "--inspect",
                quiet=options.quiet or word == "--quiet",
                legacy=options.legacy or word == "--legacy",
            )
        elif word in ("--timeout", "--wake"):
            if not equals and not words:
                raise _Usage(f"`{word}` needs a value after it.")
            options = _with(options, word, value if equals else words.pop(0))
        elif word.startswith("--"):
            raise _Usage(f"`%attach` has no option `{word}`.")
        else:
            target.append(f"{word}{equals}{value}")
    if not target:
        raise _Usage("`%attach` needs a process.")
    return replace(options, target=" ".join(target))


def _with(options: _Options, word: str, value: str) -> _Options:
    try:
        if word == "--wake":
            return replace(options, wake=Wake(value))
        return replace(options, timeout_s=float(value))
    except ValueError:
        raise _Usage(f"`{word}` can't be `{value}`.") from None
