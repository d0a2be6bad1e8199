"""The magics: %bp, %stack, %postmortem and %nbdebug.

Owns their grammar and what they print; each is a thin line over the kernel's session. Run on the
thread that runs the cell.
"""

import os
import re
from functools import partial
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class

from nbdebug import errors
from nbdebug._version import __version__
from nbdebug.dap import breakpoint_text, sessions
from nbdebug.dap.points import RemoteBreakpoints, find_in, remote_stacks, remote_tasks
from nbdebug.dap.remote import RemoteSession
from nbdebug.engine.breakpoints import Breakpoints
from nbdebug.engine.model import (
    BreakpointInfo,
    BreakpointSpec,
    BreakpointState,
    FunctionTarget,
    LineTarget,
    Location,
    ModuleTarget,
    TaskInfo,
)
from nbdebug.kernel.answering import answer
from nbdebug.kernel.choosing import chosen
from nbdebug.kernel.debugger import KernelDebugger, debugger_of
from nbdebug.kernel.tables import Table

if TYPE_CHECKING:
    from nbdebug.attach.reports import Report

_VERBS = ("clear", "enable", "disable", "list")
_OTHER = re.compile(r"(\d+)((?:\s+\S+)*)$")
_PLACE_CHARS = 60
_VALUE_CHARS = 80
_LINE_CHARS = 1000


@magics_class
class NbdebugMagics(Magics):
    """What a notebook's user types."""

    @line_magic
    def bp(self, line: str) -> Table | None:
        """Set, list, clear, enable or disable breakpoints.

        %bp                                 list them, with their state and hits
        %bp 5                               line 5 of this cell
        %bp mymod.py:12                     line 12 of a file, even if it isn't imported yet
        %bp pkg.mod:12                      line 12 of a module, by its import name
        %bp pkg.mod.func                    a function, by its qualified name; also Class.method
        %bp mymod.py:12 if x > 3            only where the condition holds
        %bp --hits ">=5" mymod.py:12        from the fifth hit on; also 5, ==5, >5, %5
        %bp --log "x={x}" mymod.py:12       print instead of stopping
        %bp clear 1 2    %bp clear all      remove
        %bp disable 1    %bp enable all     turn off and on
        %bp --pid 4711 mymod.py:12          in the session with this process; `%session` lists them

        It speaks to the current session; a line of this cell is the kernel's whatever is current.
        Where no debugger is open that could go on from a stop, the stop is printed as one line and
        the run goes on.
        """
        return answer(lambda: self._bp(line.strip()))

    @line_magic
    def stack(self, line: str) -> "Table | Report | None":
        """Show the stack of the stopped thread, or those of all threads while nothing is stopped.

        %stack              the stopped thread's stack, or all threads'
        %stack all          all threads' stacks
        %stack tasks        the asyncio tasks: where each waits, for what, and who waits for it
        %stack --pid 4711   of the session with this process, where it isn't the current one
        %stack 4711         of another Python process, read from its memory; nothing runs in it
        %stack 4711 --locals    with the variables of each frame
        %stack 4711 --freeze    its threads are held still for some milliseconds meanwhile
        """
        return answer(lambda: self._stack_in(line.strip()))

    @line_magic
    def postmortem(self, line: str) -> Table | None:
        """Open the traceback of the last failure as a stop: its stack, variables, evaluation.

        %postmortem         look at the last cell that failed

        The cell that says so waits there; Continue ends it. Nothing can be stepped, as the code has
        ended. `%config Nbdebug.post_mortem = True` does it whenever a cell fails. Where no debugger
        is open, the frames are shown as a table, with the variables of the innermost.
        """
        return answer(lambda: self._postmortem(line.strip()))

    @line_magic
    def nbdebug(self, line: str) -> Table | None:
        """Show what is on, what is not, and why.

        %nbdebug            the debugger's state
        """
        return answer(lambda: self._status(line.strip()))

    # -- inside

    @property
    def _debugger(self) -> KernelDebugger:
        return debugger_of(self.shell)

    def _bp(self, line: str) -> Table | None:
        line, session = chosen(line)
        breakpoints = self._breakpoints(session)
        verb, _, rest = line.partition(" ")
        if not line or line == "list":
            return self._list(breakpoints.infos())
        if verb in _VERBS:
            ids = _ids(rest, [info.id for info in breakpoints.infos()], verb)
            if verb == "clear":
                return self._list(breakpoints.remove(ids), "cleared")
            return self._list(breakpoints.enable(ids, verb == "enable"))
        find = self._debugger.session.engine.sources.find
        if session is not None:
            find = partial(find_in, session, find)
        spec = breakpoint_text.parse(line, find, self._this_cell)
        if isinstance(spec.target, LineTarget) and self._debugger.cells.is_cell(spec.target.path):
            breakpoints = self._breakpoints(None)  # cells are the kernel's, whatever is current
        return self._list([breakpoints.add(spec)])

    def _breakpoints(self, session: RemoteSession | None) -> Breakpoints | RemoteBreakpoints:
        if session is None:
            return self._debugger.session.engine.breakpoints
        return RemoteBreakpoints(session)

    def _this_cell(self) -> str:
        path = self._debugger.cells.running()
        if path is None:
            return breakpoint_text.no_cell()
        return path

    def _list(self, infos: list[BreakpointInfo], state: str = "") -> Table:
        rows = [
            [
                str(info.id),
                self._place(info),
                _extras(info.spec),
                state or _state(info),
                str(info.hits),
                info.message,
            ]
            for info in infos
        ]
        return Table(["id", "place", "when", "state", "hits", "note"], rows, "No breakpoints.")

    def _place(self, info: BreakpointInfo) -> str:
        target = info.spec.target
        if isinstance(target, FunctionTarget):
            return f"{target.name}()"
        line = info.line or target.line
        if isinstance(target, ModuleTarget):
            return f"{target.module}:{line}"
        cells = self._debugger.cells
        if cells.is_cell(target.path):
            return f"cell, line {line}: {cells.line(target.path, line)}"[:_PLACE_CHARS]
        return (
            f"{os.path.relpath(target.path)}:{line}"
            if _is_below(target.path)
            else f"{target.path}:{line}"
        )

    def _stack_in(self, line: str) -> "Table | Report":
        match = _OTHER.match(line)
        return self._stack(line) if match is None else self._stack_of(int(match[1]), match[2])

    def _stack(self, line: str) -> Table:
        line, session = chosen(line)
        if line not in ("", "all", "tasks"):
            raise errors.UsageError(f"`%stack` doesn't know `{line}`.")
        if line == "tasks":
            own = self._debugger.session.engine.tasks
            return self._tasks(own.all() if session is None else remote_tasks(session))
        engine = self._debugger.session.engine
        if session is not None:
            found = remote_stacks(session, only_stopped=not line)
        else:
            stop = engine.stops.current
            threads = engine.inspector.threads()
            if stop is not None and not line:
                threads = [thread for thread in threads if thread.id == stop.thread_id]
            found = [(thread, engine.inspector.stack(thread.id)[0]) for thread in threads]
        rows = []
        for thread, frames in found:
            for index, frame in enumerate(frames):
                name = "" if index else f"{thread.name} ({thread.state})"
                path = "this cell" if self._debugger.cells.is_cell(frame.path) else frame.path
                rows.append([name, frame.name, f"{path}:{frame.line}"])
        return Table(["thread", "function", "place"], rows, "No thread runs code of yours.")

    def _stack_of(self, pid: int, rest: str) -> "Report":
        options = rest.split()
        unknown = set(options) - {"--locals", "--freeze", "--native"}
        if unknown:
            raise errors.UsageError(f"`%stack` doesn't know `{min(unknown)}`.")
        from nbdebug.attach import reports

        return reports.stacks(
            pid,
            with_locals="--locals" in options,
            freeze="--freeze" in options,
            is_native="--native" in options,
        )

    def _postmortem(self, line: str) -> Table | None:
        if line:
            raise errors.UsageError(f"`%postmortem` takes nothing, and was given `{line}`.")
        session = self._debugger.session
        error = session.last_failure()
        if session.can_resume():
            session.engine.post_mortem(error)
            return None
        inspector = session.engine.inspector
        failure = inspector.failure_of(error)
        print(f"{failure.title}. To open it in the panel, press the bug and run %postmortem again.")
        is_cell = self._debugger.cells.is_cell
        rows = []
        for index, (frame, number, _) in enumerate(failure.places):
            variables = [] if index else inspector.failed_variables(failure.places[0])
            shown = "; ".join(f"{v.name} = {v.value}"[:_VALUE_CHARS] for v in variables if v.value)
            path = "a cell" if is_cell(frame.f_code.co_filename) else frame.f_code.co_filename
            rows.append([frame.f_code.co_qualname, f"{path}:{number}", shown[:_LINE_CHARS]])
        return Table(["function", "place", "variables"], rows)

    def _tasks(self, tasks: list[TaskInfo]) -> Table:
        headings = ["task", "state", "function", "place", "awaits", "awaited by"]
        rows = []
        for task in tasks:
            name, state, awaits = task.name, task.state, task.awaits
            awaited_by = ", ".join(task.awaited_by)
            for at in task.frames:
                rows.append([name, state, at.function, self._place_of(at), awaits, awaited_by])
                name = state = awaits = awaited_by = ""
            if not task.frames:
                rows.append([name, state, "", "", awaits, awaited_by])
        return Table(headings, rows, "No tasks of yours.")

    def _place_of(self, at: Location) -> str:
        cells = self._debugger.cells
        if not cells.is_cell(at.path):
            return f"{at.path}:{at.line}"
        return f"cell, line {at.line}: {cells.line(at.path, at.line)}"[:_PLACE_CHARS]

    def _status(self, line: str) -> Table:
        if line:
            raise errors.UsageError(f"`%nbdebug` takes nothing, and was given `{line}`.")
        debugger = self._debugger
        session = debugger.session
        engine = session.engine
        client = f"open ({session.client_id or 'unnamed'})" if session.is_attached else "not open"
        hint = "" if session.is_attached else "; stops are printed and the run goes on"
        stop = engine.stops.current
        current = sessions.here.current
        rows = [
            ["version", __version__],
            [
                "engine",
                "on"
                if engine.is_started
                else "off: it failed, see the message above; reload to try again",
            ],
            ["debugger client", client + hint],
            ["current session", "this notebook" if current is None else current.title],
            ["stopped", stop.description if stop is not None else "no"],
            ["breakpoints", str(len(engine.breakpoints.infos()))],
            ["just my code", "on" if engine.user_code.just_my_code else "off"],
            ["message log", session.log.path or "off; set NBDEBUG_LOG to a folder"],
        ]
        return Table(["nbdebug", ""], rows)


def _state(info: BreakpointInfo) -> str:
    names = {
        BreakpointState.PENDING: "pending",
        BreakpointState.BOUND: "bound",
        BreakpointState.FAILED: "failed",
    }
    return names[info.state] + ("" if info.enabled else ", disabled")


def _extras(spec: BreakpointSpec) -> str:
    parts = []
    if spec.condition:
        parts.append(f"if {spec.condition}")
    if spec.hit_condition:
        parts.append(f"hits {spec.hit_condition}")
    if spec.log_message:
        parts.append(f"log {spec.log_message!r}")
    return ", ".join(parts)


def _ids(text: str, all_ids: list[int], verb: str) -> list[int]:
    words = text.replace(",", " ").split()
    if words == ["all"]:
        return all_ids
    if not words or not all(word.isdigit() for word in words):
        raise breakpoint_text.BadBreakpointText(
            f"`%bp {verb}` needs the numbers of breakpoints, or `all`."
        )
    return [int(word) for word in words]


def _is_below(path: str) -> bool:
    return path.startswith(os.getcwd() + os.sep)
