"""Which code objects have breakpoints: what the LINE and PY_START callbacks look up.

Owns the tables from code to checks, and the events that they need. Each code object is looked at
once: with the module or cell that defines it, or at its first start; code that already runs is
found on the threads' stacks. Changed under `Breakpoints`' lock; read by user threads without it, so
a table's values are replaced, not changed.
"""

import os
import sys
import weakref
from collections.abc import Callable, Iterable
from types import CodeType, FrameType

from nbdebug.engine import modules, monitor
from nbdebug.engine.checks import Breakpoint, Check, Hit, Reports, check_of
from nbdebug.engine.model import BreakpointState, FunctionTarget, LineTarget, ModuleTarget
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.placement import (
    names_function,
    path_of,
    say_who_shares,
    settle,
    settle_function,
    table_for,
    wanted_line,
)
from nbdebug.engine.sources import (
    LineTable,
    Sources,
    code_inside,
    has_line,
    is_top_level,
    offsets_within,
    table_of_code,
)

PURPOSE = "breakpoint"
CURSOR = "cursor"
"""The origin of the breakpoint behind "run to cursor", of which nobody is told."""
_REMEMBERED = 10_000  # file names; each edited cell is a new one


class Bindings:
    """The code that breakpoints are bound to. ``every`` gives the breakpoints there are."""

    def __init__(
        self,
        every: Callable[[], Iterable[Breakpoint]],
        monitor_: Monitor,
        sources: Sources,
        reports: Reports,
    ) -> None:
        self.line_checks: dict[int, dict[int, Check]] = {}
        """id of code -> line -> check."""
        self.start_checks: dict[int, Check] = {}
        """id of code -> check at its start, for function breakpoints."""
        self.uninteresting_files: set[str] = set()
        """Files none of whose code can matter: empty while a function or module is looked for."""
        self._every = every
        self._monitor = monitor_
        self._sources = sources
        self._reports = reports
        self._bound: dict[int, weakref.ref[CodeType]] = {}
        # What `concerns` asks, made anew at each change.
        self._base_names: frozenset[str] = frozenset()
        self._function_names: frozenset[str] = frozenset()
        self._modules: frozenset[str] = frozenset()
        # The first statement of the running cell on each line that has a breakpoint.
        self._first_statements: dict[tuple[str, int], CodeType] = {}
        self._started_cells: set[str] = set()

    def refresh(self) -> None:
        """Bring tables and events in line with the breakpoints after a change of them."""
        self._remember_names()
        for breakpoint_ in self._functions():
            known = modules.code_of_function(str(breakpoint_.spec.target))
            if known is not None and breakpoint_.is_live:
                self.look(known, None)
        for ref in list(self._bound.values()):
            code = ref()
            if code is not None:
                self.look(code, None)
        active = any(breakpoint_.is_live for breakpoint_ in self._every())
        self._monitor.want_globally(PURPOSE, monitor.STARTS if active else 0)
        if active:
            self._look_at_running_code()
            self._monitor.look_again()

    def new_run(self) -> None:
        """Take note that a cell is run: hits are counted from the start, lines are new."""
        self._first_statements = {}
        self._started_cells = set()

    def concerns(self, code: CodeType) -> bool:
        """True if some breakpoint may belong into ``code``. Takes no lock."""
        if code.co_name in self._function_names or (self._modules and is_top_level(code)):
            return True
        name = code.co_filename
        if name.rpartition(os.sep)[2] in self._base_names:
            return True
        if os.path.islink(name) and os.path.basename(os.path.realpath(name)) in self._base_names:
            return True
        if not (self._function_names or self._modules):
            if len(self.uninteresting_files) > _REMEMBERED:
                self.uninteresting_files = set()
            self.uninteresting_files.add(name)
        return False

    def look(self, code: CodeType, frame: FrameType | None) -> None:
        """Bind what belongs into ``code``; ``frame`` is one that runs it, where there is one."""
        starts = frame is not None and is_top_level(code)
        if starts and frame is not None:
            self._resolve_modules(code, frame)
        path = self._sources.canonical(code.co_filename)
        here = [b for b in self.lines_in(path) if b.is_live and self._is_for(b, code)]
        if here:
            if starts:
                self._start_counting(path, here)
            self._sources.mark_ran(path)
            self._place(here, code, starts)
        functions = [b for b in self._functions() if b.is_live and names_function(b, code, frame)]
        self._bind(code, here, functions)
        if starts and here:
            self._bind_inside(code, here)

    def lines_in(self, path: str) -> list[Breakpoint]:
        """Return the line breakpoints of a source, however the user named it."""
        return [
            b
            for b in self._every()
            if not isinstance(b.spec.target, FunctionTarget)
            and path in (b.path, path_of(b, self._sources))
        ]

    # -- inside

    def _is_for(self, breakpoint_: Breakpoint, code: CodeType) -> bool:
        """False for a breakpoint of one cell in code of another that has the same text."""
        target = breakpoint_.spec.target
        cell = target.cell if isinstance(target, LineTarget) else ""
        return not cell or self._sources.cell_of(code) == cell

    def _functions(self) -> list[Breakpoint]:
        return [b for b in self._every() if isinstance(b.spec.target, FunctionTarget)]

    def _remember_names(self) -> None:
        paths = {b.path or path_of(b, self._sources) for b in self._every()}
        self._base_names = frozenset(os.path.basename(path) for path in paths if path)
        functions = [str(b.spec.target) for b in self._functions()]
        self._function_names = frozenset(name.rpartition(".")[2] for name in functions)
        targets = [b.spec.target for b in self._every() if b.path is None]
        self._modules = frozenset(t.module for t in targets if isinstance(t, ModuleTarget))
        self.uninteresting_files = set()

    def _look_at_running_code(self) -> None:
        seen: set[int] = set()
        for top in sys._current_frames().values():
            frame: FrameType | None = top
            while frame is not None:
                code = frame.f_code
                if id(code) not in seen:
                    seen.add(id(code))
                    if self.concerns(code):
                        self.look(code, frame)
                frame = frame.f_back
        # Else this frame would refer to itself, and keep its callers' variables alive.
        top = frame = None  # type: ignore[assignment]  # a loop's variable can't be declared

    def _resolve_modules(self, code: CodeType, frame: FrameType) -> None:
        name = frame.f_globals.get("__name__")
        if name not in self._modules:
            return
        for breakpoint_ in self._every():
            target = breakpoint_.spec.target
            if isinstance(target, ModuleTarget) and target.module == name:
                breakpoint_.path = self._sources.canonical(code.co_filename)
        self._remember_names()

    def _start_counting(self, path: str, here: list[Breakpoint]) -> None:
        """Count a source's hits from the start at the first of its statements in a run."""
        if path not in self._started_cells:
            self._started_cells.add(path)
            functions = [b for b in self._functions() if b.path == path]
            for breakpoint_ in (*here, *functions):
                breakpoint_.reset_hits()

    def _place(self, here: list[Breakpoint], code: CodeType, starts: bool) -> None:
        """Give this file's breakpoints their lines; those of a file that is run anew, once more."""
        reread = starts and not self._sources.is_cell(code.co_filename)
        table: LineTable | None = None
        for breakpoint_ in here:
            if breakpoint_.state is BreakpointState.BOUND and not reread:
                continue
            table = table or (table_of_code(code) if reread else table_for(code, self._sources))
            # A function's lines aren't the file's, nor a statement's its cell's.
            is_whole = is_top_level(code) and not self._sources.is_cell(code.co_filename)
            if wanted_line(breakpoint_.spec) > table.last and not is_whole:
                continue
            before = breakpoint_.info()
            breakpoint_.path = self._sources.canonical(code.co_filename)
            settle(breakpoint_, table)
            say_who_shares(breakpoint_, self._sources)
            if breakpoint_.info() != before and breakpoint_.origin != CURSOR:
                self._reports.changed(breakpoint_.info(), "changed")

    def _bind(self, code: CodeType, here: list[Breakpoint], functions: list[Breakpoint]) -> None:
        key = id(code)
        by_line: dict[int, list[Breakpoint]] = {}
        for breakpoint_ in here:
            line = breakpoint_.line
            if line is not None and has_line(code, line) and self._is_first_statement(code, line):
                by_line.setdefault(line, []).append(breakpoint_)
        if not by_line and not functions:
            if key in self._bound:
                self._forget(key)
                self._monitor.disarm(code, PURPOSE)
            return
        self.line_checks[key] = {
            line: self._check_at(line, found, code) for line, found in by_line.items()
        }
        mask = monitor.LINE
        self.start_checks.pop(key, None)
        if functions:
            self.start_checks[key] = self._check_of(functions, code)
            mask |= monitor.PY_START
        elif code.co_firstlineno in by_line:
            # From 3.13 on, the line that RESUME is on is sent only while PY_START is, too.
            self.start_checks[key] = _never
            mask |= monitor.PY_START
        self._bound[key] = weakref.ref(code, lambda _: self._forget(key))
        self._monitor.arm(code, PURPOSE, mask)
        for breakpoint_ in functions:
            self._found_function(breakpoint_, code)

    def _bind_inside(self, code: CodeType, here: list[Breakpoint]) -> None:
        """Bind the functions that ``code`` defines: their first run then costs nothing more.

        One that a function breakpoint may mean is left to its start, which tells its module.
        """
        lines = [breakpoint_.line for breakpoint_ in here if breakpoint_.line is not None]
        for inner in code_inside(code):
            if inner.co_name not in self._function_names and any(
                line >= inner.co_firstlineno for line in lines
            ):
                self._bind(inner, here, [])

    def _check_at(self, line: int, found: list[Breakpoint], code: CodeType) -> Check:
        """Return the check of a line; a statement over several lines is hit once when it runs."""
        check = self._check_of(found, code)
        last = line
        if offsets_within(code, line, line) != offsets_within(code, line, sys.maxsize):
            first, end = self._sources.statements(code.co_filename).around(line)  # parses the file
            last = end if first == line else line
        within = offsets_within(code, line, last)
        if not within:
            return check

        def check_once(frame: FrameType) -> Hit | None:
            return None if frame.f_lasti in within else check(frame)

        return check_once

    def _check_of(self, found: list[Breakpoint], code: CodeType) -> Check:
        check = check_of(found, code, self._reports)
        if not self._sources.is_library(code.co_filename):
            return check
        serves_user = self._reports.serves_user

        def check_for_user(frame: FrameType) -> Hit | None:
            # The host calls libraries too, and must neither be stopped nor counted.
            return check(frame) if serves_user(frame) else None

        return check_for_user

    def _is_first_statement(self, code: CodeType, line: int) -> bool:
        """False for a cell's statement on a line where one before it in the same run begins.

        IPython compiles each statement of a cell on its own; `a; b; c` is one line to the user. A
        magic may run its body several times, each compiled anew.
        """
        if not (is_top_level(code) and self._sources.is_cell(code.co_filename)):
            return True
        first = self._first_statements.setdefault((code.co_filename, line), code)
        return first is code or first == code

    def _found_function(self, breakpoint_: Breakpoint, code: CodeType) -> None:
        if breakpoint_.state is BreakpointState.PENDING:
            settle_function(breakpoint_, code, self._sources)
            self._reports.changed(breakpoint_.info(), "changed")

    def _forget(self, key: int) -> None:
        # Called by the collector too, on any thread, even while that thread holds the lock.
        self._bound.pop(key, None)
        self.line_checks.pop(key, None)
        self.start_checks.pop(key, None)


def _never(frame: FrameType) -> Hit | None:
    return None
