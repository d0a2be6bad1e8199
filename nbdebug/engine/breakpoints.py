"""Breakpoints: from what the user means, over pending, to the code that they are bound to.

Owns every breakpoint, its state and hit count, and the tables that the LINE and PY_START callbacks
read. Must not know stops or clients. Changes come from any thread under ``_lock``; the tables
``line_checks`` and ``start_checks`` are read by user threads without it, so their values are
replaced, never changed.
"""

import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FrameType

from nbdebug import errors
from nbdebug.engine import conditions, monitor
from nbdebug.engine.model import (
    BreakpointInfo,
    BreakpointSpec,
    BreakpointState,
    FunctionTarget,
    LineTarget,
    Location,
    ModuleTarget,
)
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.sources import (
    LineTable,
    Sources,
    has_line,
    is_top_level,
    lines_of,
    table_of_code,
)

PURPOSE = "breakpoint"
_REMEMBERED = 10_000  # file names; each edited cell is a new one


@dataclass(frozen=True, slots=True)
class Hit:
    """What a check found: the breakpoints that stop here; ``error`` if a condition raised."""

    ids: tuple[int, ...]
    error: str = ""


Check = Callable[[FrameType], Hit | None]


class Breakpoint:
    """One logical breakpoint. ``path`` and ``line`` are where it is or will be, once known."""

    def __init__(self, id_: int, spec: BreakpointSpec, origin: str) -> None:
        self.id = id_
        self.spec = spec
        self.origin = origin
        self.enabled = True
        self.state = BreakpointState.PENDING
        self.path: str | None = None
        self.line: int | None = None
        self.message = ""
        self.error_reported = False
        self.reset_hits()

    def reset_hits(self) -> None:
        """Count from the start again; ``next(counter)`` is one step even with many threads."""
        self.hits = 0
        self.counter = itertools.count(1)

    def info(self) -> BreakpointInfo:
        """Return how it stands now."""
        return BreakpointInfo(
            self.id,
            self.spec,
            self.state,
            self.path,
            self.line,
            self.message,
            self.hits,
            self.enabled,
        )


@dataclass(slots=True)
class Reports:
    """What the table tells its owner; each is called on the thread where it happened."""

    changed: Callable[[BreakpointInfo, str], None] = lambda info, reason: None
    log: Callable[[str, Location], None] = lambda text, location: None
    condition_failed: Callable[[BreakpointInfo, str, Location], None] = (
        lambda info, text, location: None
    )
    show: Callable[[object], str] = str


class BreakpointTable:
    """All breakpoints of the process, and the code that each is bound to."""

    def __init__(self, monitor_: Monitor, sources: Sources, reports: Reports) -> None:
        self.line_checks: dict[int, dict[int, Check]] = {}
        self.start_checks: dict[int, Check] = {}
        self.stop_on_condition_error = True
        self._monitor = monitor_
        self._sources = sources
        self._reports = reports
        self._breakpoints: dict[int, Breakpoint] = {}
        self._ids = itertools.count(1)
        self._bound: dict[int, weakref.ref[CodeType]] = {}
        self._lock = threading.RLock()
        # What `concerns` asks, made anew at each change.
        self.uninteresting_files: set[str] = set()
        """Files none of whose code can matter: empty while a function or module is looked for."""
        self._base_names: frozenset[str] = frozenset()
        self._function_names: frozenset[str] = frozenset()
        self._modules: frozenset[str] = frozenset()
        # The first statement of the running cell on each line that has a breakpoint.
        self._first_statements: dict[tuple[str, int], CodeType] = {}
        self._started_cells: set[str] = set()

    # -- what clients ask for

    def set_lines(
        self, path: str, specs: Sequence[BreakpointSpec], keep_extras: bool
    ) -> list[BreakpointInfo]:
        """Make ``specs`` the client's breakpoints in the source ``path``; return each as it is.

        One that was there keeps its id and hits. With ``keep_extras`` a plain spec keeps the
        condition, hit condition and log message that the line already has.
        """
        with self._lock:
            canonical = self._sources.canonical(path)
            there = {
                b.spec.target.line: b
                for b in self._lines_in(canonical)
                if isinstance(b.spec.target, LineTarget)
            }
            moved = {b.line: b for b in there.values() if b.line is not None}
            kept: list[Breakpoint] = []
            for spec in specs:
                assert isinstance(spec.target, LineTarget)
                known = there.get(spec.target.line) or moved.get(spec.target.line)
                if known is None or any(known is other for other in kept):
                    kept.append(self._new(spec, "client"))
                    continue
                known.origin = "client"
                if not (keep_extras and spec.is_plain):
                    self._change_spec(known, replace(spec, target=known.spec.target))
                kept.append(known)
            keep_ids = {b.id for b in kept}
            for old in there.values():
                if old.origin == "client" and old.id not in keep_ids:
                    del self._breakpoints[old.id]
            self._rebind(kept)
            return [b.info() for b in kept]

    def set_functions(self, specs: Sequence[BreakpointSpec]) -> list[BreakpointInfo]:
        """Make ``specs`` the client's function breakpoints; return each as it is."""
        with self._lock:
            there = {str(b.spec.target): b for b in self._functions() if b.origin == "client"}
            kept = []
            for spec in specs:
                known = there.pop(str(spec.target), None)
                if known is None:
                    known = self._new(spec, "client")
                else:
                    self._change_spec(known, spec)
                kept.append(known)
            for old in there.values():
                del self._breakpoints[old.id]
            self._rebind(kept)
            return [b.info() for b in kept]

    def add(self, spec: BreakpointSpec) -> BreakpointInfo:
        """Add one breakpoint that no client's list replaces until that client names its line.

        Where the line or function has one already, that one takes over the new conditions. Raises
        BadCondition or BadHitCondition, and nothing is added.
        """
        _check(spec)
        with self._lock:
            same = (b for b in self._breakpoints.values() if b.spec.target == spec.target)
            known = next(same, None)
            if known is None:
                known = self._new(spec, "user")
            else:
                self._change_spec(known, spec)
            self._rebind([known])
            self._reports.changed(known.info(), "new")
            return known.info()

    def remove(self, ids: Iterable[int]) -> list[BreakpointInfo]:
        """Remove the breakpoints; return them as they were. Raises UnknownBreakpoint."""
        with self._lock:
            found = [self._get(id_) for id_ in ids]
            for breakpoint_ in found:
                self._breakpoints.pop(breakpoint_.id, None)
            self._rebind([])
            for breakpoint_ in found:
                self._reports.changed(breakpoint_.info(), "removed")
            return [b.info() for b in found]

    def enable(self, ids: Iterable[int], enabled: bool) -> list[BreakpointInfo]:
        """Turn breakpoints on or off; what they count and where they are stays."""
        with self._lock:
            found = [self._get(id_) for id_ in ids]
            for breakpoint_ in found:
                breakpoint_.enabled = enabled
            self._rebind([])
            for breakpoint_ in found:
                self._reports.changed(breakpoint_.info(), "changed")
            return [b.info() for b in found]

    def clear(self) -> None:
        """Remove every breakpoint."""
        with self._lock:
            self._breakpoints.clear()
            self._rebind([])

    def clear_of_client(self) -> None:
        """Remove the breakpoints of a client that leaves; those that `add` made stay."""
        with self._lock:
            self._breakpoints = {i: b for i, b in self._breakpoints.items() if b.origin != "client"}
            self._rebind([])

    def infos(self) -> list[BreakpointInfo]:
        """Return all breakpoints in the order in which they were set."""
        with self._lock:
            return [b.info() for b in self._breakpoints.values()]

    def new_run(self) -> None:
        """Take note that a cell is run: its breakpoints' hits are counted from the start."""
        with self._lock:
            self._first_statements = {}
            self._started_cells = set()

    # -- what events ask

    def concerns(self, code: CodeType) -> bool:
        """True if some breakpoint may belong into ``code``. Called at each code's first start."""
        if code.co_name in self._function_names or (self._modules and is_top_level(code)):
            return True
        name = code.co_filename
        if name.rpartition(os.sep)[2] in self._base_names:
            return True
        if not (self._function_names or self._modules):
            if len(self.uninteresting_files) > _REMEMBERED:
                self.uninteresting_files = set()
            self.uninteresting_files.add(name)
        return False

    def look(self, code: CodeType, frame: FrameType | None) -> None:
        """Bind what belongs into ``code``; ``frame`` is one that runs it, where there is one."""
        with self._lock:
            if frame is not None:
                self._resolve_module(code, frame)
            path = self._sources.canonical(code.co_filename)
            here = [
                b
                for b in self._lines_in(path)
                if b.enabled and b.state is not BreakpointState.FAILED
            ]
            if here:
                if frame is not None and is_top_level(code):
                    self._start_counting(path, here)
                self._sources.mark_ran(path)
                self._place(here, code, starts_anew=frame is not None and is_top_level(code))
            functions = [
                b for b in self._functions() if b.enabled and _names_function(b, code, frame)
            ]
            self._bind(code, here, functions)

    # -- inside

    def _new(self, spec: BreakpointSpec, origin: str) -> Breakpoint:
        breakpoint_ = Breakpoint(next(self._ids), spec, origin)
        self._breakpoints[breakpoint_.id] = breakpoint_
        return breakpoint_

    def _get(self, id_: int) -> Breakpoint:
        try:
            return self._breakpoints[id_]
        except KeyError:
            raise errors.UnknownBreakpoint(f"There is no breakpoint {id_}.") from None

    def _change_spec(self, breakpoint_: Breakpoint, spec: BreakpointSpec) -> None:
        if spec != breakpoint_.spec:
            breakpoint_.spec = spec
            breakpoint_.error_reported = False
            breakpoint_.reset_hits()

    def _lines_in(self, path: str) -> list[Breakpoint]:
        """Return the line breakpoints of a source, however the user named it."""
        return [
            b
            for b in self._breakpoints.values()
            if not isinstance(b.spec.target, FunctionTarget)
            and path in (b.path, _path_of(b, self._sources))
        ]

    def _functions(self) -> list[Breakpoint]:
        return [b for b in self._breakpoints.values() if isinstance(b.spec.target, FunctionTarget)]

    def _rebind(self, changed: list[Breakpoint]) -> None:
        """Bring states, tables and events in line with the breakpoints after a change."""
        for breakpoint_ in changed:
            self._judge(breakpoint_)
        self._remember_names()
        for ref in list(self._bound.values()):
            code = ref()
            if code is not None:
                self.look(code, None)
        active = any(
            b.enabled and b.state is not BreakpointState.FAILED for b in self._breakpoints.values()
        )
        self._monitor.want_globally(PURPOSE, monitor.PY_START | monitor.PY_RESUME if active else 0)
        if active:
            self._look_at_running_code()
            self._monitor.look_again()

    def _remember_names(self) -> None:
        paths = {b.path or _path_of(b, self._sources) for b in self._breakpoints.values()}
        self._base_names = frozenset(os.path.basename(p) for p in paths if p)
        self._function_names = frozenset(
            str(b.spec.target).rpartition(".")[2] for b in self._functions()
        )
        targets = [b.spec.target for b in self._breakpoints.values() if b.path is None]
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

    def _judge(self, breakpoint_: Breakpoint) -> None:
        """Decide the state of a new or changed breakpoint from what is known without running it."""
        target = breakpoint_.spec.target
        breakpoint_.state, breakpoint_.message = BreakpointState.PENDING, ""
        try:
            _check(breakpoint_.spec)
        except errors.BadBreakpoint as error:
            _fail(breakpoint_, error)
            return
        if isinstance(target, FunctionTarget):
            breakpoint_.message = f"No function {target.name} has run yet."
            return
        path = _path_of(breakpoint_, self._sources)
        if path is None:
            breakpoint_.message = f"The module {target} isn't imported yet."
            return
        breakpoint_.path = path
        try:
            table = self._sources.table_of_text(path)
        except SyntaxError as error:
            breakpoint_.message = (
                f"The source doesn't compile now: {error.msg} (line {error.lineno})."
            )
            return
        except (errors.SourceUnavailable, ValueError):
            breakpoint_.message = f"{path} isn't there yet."
            return
        self._settle(breakpoint_, table)
        runs = self._sources.is_cell(path) or self._sources.is_known_to_have_run(path)
        if breakpoint_.state is BreakpointState.BOUND and not runs:
            breakpoint_.state = BreakpointState.PENDING
            breakpoint_.message = breakpoint_.message or f"{os.path.basename(path)} hasn't run yet."

    def _settle(self, breakpoint_: Breakpoint, table: LineTable) -> None:
        """Bind to the line of ``table`` at or after the one that was asked for, or fail."""
        wanted = _line_of(breakpoint_)
        line = table.at_or_after(wanted) if wanted > 0 else None
        if line is None:
            what = (
                f"is past the last line with code, {table.last}"
                if table.last
                else "has no code after it"
            )
            _fail(breakpoint_, errors.NoCodeAtLine(f"Line {wanted} {what}."))
            return
        breakpoint_.line, breakpoint_.state = line, BreakpointState.BOUND
        breakpoint_.message = (
            "" if line == wanted else f"Line {wanted} has no code: moved to line {line}."
        )

    def _place(self, here: list[Breakpoint], code: CodeType, starts_anew: bool) -> None:
        """Give this file's breakpoints their lines; those of a file that is run anew, once more."""
        reread = starts_anew and not self._sources.is_cell(code.co_filename)
        table: LineTable | None = None
        for breakpoint_ in here:
            if breakpoint_.state is BreakpointState.BOUND and not reread:
                continue
            table = table or (table_of_code(code) if reread else self._best_table(code))
            before = breakpoint_.info()
            if _line_of(breakpoint_) > table.last and not is_top_level(code):
                continue
            breakpoint_.path = self._sources.canonical(code.co_filename)
            self._settle(breakpoint_, table)
            if breakpoint_.info() != before:
                self._reports.changed(breakpoint_.info(), "changed")

    def _start_counting(self, path: str, here: list[Breakpoint]) -> None:
        """Count a source's hits from the start at the first of its statements in a run."""
        if path not in self._started_cells:
            self._started_cells.add(path)
            functions = [b for b in self._functions() if b.path == path]
            for breakpoint_ in (*here, *functions):
                breakpoint_.reset_hits()

    def _best_table(self, code: CodeType) -> LineTable:
        # A cell's statements are code objects of their own; only the text has all of its lines.
        try:
            return self._sources.table_of_text(code.co_filename)
        except (errors.SourceUnavailable, SyntaxError, ValueError):
            return table_of_code(code)

    def _resolve_module(self, code: CodeType, frame: FrameType) -> None:
        if not (self._modules and is_top_level(code)):
            return
        name = frame.f_globals.get("__name__")
        for breakpoint_ in self._breakpoints.values():
            target = breakpoint_.spec.target
            if isinstance(target, ModuleTarget) and target.module == name:
                breakpoint_.path = self._sources.canonical(code.co_filename)
        self._remember_names()

    def _bind(self, code: CodeType, here: list[Breakpoint], functions: list[Breakpoint]) -> None:
        key = id(code)
        by_line: dict[int, list[Breakpoint]] = {}
        for breakpoint_ in here:
            line = breakpoint_.line
            if line is not None and has_line(code, line) and self._is_first_statement(code, line):
                by_line.setdefault(line, []).append(breakpoint_)
        if not by_line and not functions:
            if self._bound.pop(key, None) is not None:
                self.line_checks.pop(key, None)
                self.start_checks.pop(key, None)
                self._monitor.disarm(code, PURPOSE)
            return
        self.line_checks[key] = {
            line: self._check_of(found, code) for line, found in by_line.items()
        }
        mask = monitor.LINE
        if functions:
            self.start_checks[key] = self._check_of(functions, code)
            mask |= monitor.PY_START
        else:
            self.start_checks.pop(key, None)
        self._bound[key] = weakref.ref(code, lambda _: self._forget(key))
        self._monitor.arm(code, PURPOSE, mask)
        for breakpoint_ in functions:
            self._found_function(breakpoint_, code)

    def _is_first_statement(self, code: CodeType, line: int) -> bool:
        """False for a cell's statement on a line where one before it in the same run begins.

        IPython compiles each statement of a cell on its own; `a; b; c` is one line to the user.
        """
        if not (is_top_level(code) and self._sources.is_cell(code.co_filename)):
            return True
        return self._first_statements.setdefault((code.co_filename, line), code) is code

    def _found_function(self, breakpoint_: Breakpoint, code: CodeType) -> None:
        if breakpoint_.state is BreakpointState.PENDING:
            breakpoint_.state, breakpoint_.message = BreakpointState.BOUND, ""
            breakpoint_.path = self._sources.canonical(code.co_filename)
            breakpoint_.line = min(lines_of(code), default=code.co_firstlineno)
            self._reports.changed(breakpoint_.info(), "changed")

    def _forget(self, key: int) -> None:
        # Called by the collector, on any thread, even while that thread holds the lock.
        self._bound.pop(key, None)
        self.line_checks.pop(key, None)
        self.start_checks.pop(key, None)

    def _check_of(self, found: list[Breakpoint], code: CodeType) -> Check:
        checks = [_check_one(b, code, self) for b in found]
        if len(checks) == 1:
            return checks[0]

        def check_all(frame: FrameType) -> Hit | None:
            hits = [hit for check in checks if (hit := check(frame)) is not None]
            if not hits:
                return None
            return Hit(
                tuple(i for hit in hits for i in hit.ids),
                next((h.error for h in hits if h.error), ""),
            )

        return check_all

    def condition_raised(
        self, breakpoint_: Breakpoint, frame: FrameType, error: Exception
    ) -> Hit | None:
        """Report a condition that raised, once for each breakpoint; a Hit if that is to stop."""
        if breakpoint_.error_reported:
            return None
        breakpoint_.error_reported = True
        spec = breakpoint_.spec
        text = f"The condition `{spec.condition}` raised {type(error).__name__}: {_text_of(error)}"
        if self.stop_on_condition_error:
            return Hit((breakpoint_.id,), text)
        self._reports.condition_failed(breakpoint_.info(), text, location_of(frame))
        return None

    def log(self, text: str, frame: FrameType) -> None:
        """Pass a log message on."""
        self._reports.log(text, location_of(frame))

    def show(self, value: object) -> str:
        """Return a bounded text of a value for a log message."""
        return self._reports.show(value)


def location_of(frame: FrameType) -> Location:
    """Return where a frame is."""
    return Location(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname)


def _check_one(breakpoint_: Breakpoint, code: CodeType, table: BreakpointTable) -> Check:
    """Return the function that decides, on the user's thread, whether this breakpoint stops.

    It is built of only what the breakpoint has: the plainest and the most frequent are the fastest.
    """
    spec = breakpoint_.spec
    hit = Hit((breakpoint_.id,))
    counter = breakpoint_
    hit_test = conditions.compile_hit_condition(spec.hit_condition) if spec.hit_condition else None
    message = (
        conditions.compile_log_message(spec.log_message, code, table.show)
        if spec.log_message
        else None
    )

    def count(frame: FrameType) -> Hit | None:
        number = next(counter.counter)
        counter.hits = number
        if hit_test is not None and not hit_test(number):
            return None
        if message is None:
            return hit
        try:
            text = message(frame)
        except Exception as error:
            text = f"{spec.log_message}  [{type(error).__name__}: {_text_of(error)}]"
        table.log(text, frame)
        return None

    if not spec.condition:
        return count

    def raised(frame: FrameType, error: Exception) -> Hit | None:
        return table.condition_raised(breakpoint_, frame, error)

    return conditions.compile_gate(spec.condition, code, count, raised)


def _check(spec: BreakpointSpec) -> None:
    if spec.condition:
        conditions.check_expression(spec.condition)
    if spec.hit_condition:
        conditions.compile_hit_condition(spec.hit_condition)
    if spec.log_message:
        conditions.check_log_message(spec.log_message)


def _fail(breakpoint_: Breakpoint, error: errors.BadBreakpoint) -> None:
    breakpoint_.state, breakpoint_.message = BreakpointState.FAILED, str(error)


def _path_of(breakpoint_: Breakpoint, sources: Sources) -> str | None:
    match breakpoint_.spec.target:
        case LineTarget(path):
            return sources.canonical(path)
        case ModuleTarget(module):
            return breakpoint_.path or sources.module_path(module)
        case FunctionTarget():
            return None


def _line_of(breakpoint_: Breakpoint) -> int:
    target = breakpoint_.spec.target
    return 0 if isinstance(target, FunctionTarget) else target.line


def _names_function(breakpoint_: Breakpoint, code: CodeType, frame: FrameType | None) -> bool:
    name = str(breakpoint_.spec.target)
    qualified = code.co_qualname.replace(".<locals>", "")
    if name in (code.co_qualname, qualified):
        return True
    if not name.endswith("." + qualified):
        return False
    if frame is None:
        return breakpoint_.state is BreakpointState.BOUND
    return name == f"{frame.f_globals.get('__name__')}.{qualified}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text can't be had)"
