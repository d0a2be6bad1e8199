"""Where a breakpoint is: its file, its line, and whether that is known, awaited or impossible.

Owns the rules behind pending, bound, moved and failed; must not know events. Called with the lock
of `Breakpoints` held.
"""

import os
from types import CodeType, FrameType

from nbdebug import errors
from nbdebug.engine import modules
from nbdebug.engine.checks import Breakpoint, check_spec
from nbdebug.engine.model import (
    BreakpointSpec,
    BreakpointState,
    FunctionTarget,
    LineTarget,
    ModuleTarget,
)
from nbdebug.engine.sources import LineTable, Sources, lines_of, table_of_code


def judge(breakpoint_: Breakpoint, sources: Sources) -> None:
    """Decide the state of a new or changed breakpoint from what is known without running it."""
    target = breakpoint_.spec.target
    breakpoint_.state, breakpoint_.message = BreakpointState.PENDING, ""
    try:
        check_spec(breakpoint_.spec)
    except errors.BadBreakpoint as error:
        _fail(breakpoint_, error)
        return
    if isinstance(target, FunctionTarget):
        code = modules.code_of_function(target.name)
        if code is None:
            breakpoint_.message = f"There is no function {target.name} yet."
        else:
            settle_function(breakpoint_, code, sources)
        return
    path = breakpoint_.path = path_of(breakpoint_, sources)
    if path is None:
        name = target.module if isinstance(target, ModuleTarget) else str(target)
        breakpoint_.message = f"The module {name} isn't imported yet."
        return
    try:
        table = sources.table_of_text(path)
    except errors.BadBreakpoint as error:
        _fail(breakpoint_, error)
        return
    except SyntaxError as error:
        said = f"{error.msg} (line {error.lineno})"
        breakpoint_.message = f"The source doesn't compile now: {said}."
        return
    except (errors.SourceUnavailable, ValueError) as error:
        breakpoint_.message = f"{path} isn't there yet."
        if sources.is_cell(path):
            breakpoint_.message = str(error)
        return
    settle(breakpoint_, table)
    say_who_shares(breakpoint_, sources)
    runs = sources.is_cell(path) or sources.is_known_to_have_run(path)
    if breakpoint_.state is BreakpointState.BOUND and not runs:
        breakpoint_.state = BreakpointState.PENDING
        breakpoint_.message = breakpoint_.message or f"{os.path.basename(path)} hasn't run yet."


def settle_function(breakpoint_: Breakpoint, code: CodeType, sources: Sources) -> None:
    """Bind a function breakpoint to the first line of its function's body."""
    breakpoint_.state, breakpoint_.message = BreakpointState.BOUND, ""
    breakpoint_.path = sources.canonical(code.co_filename)
    breakpoint_.line = min(lines_of(code), default=code.co_firstlineno)


def settle(breakpoint_: Breakpoint, table: LineTable) -> None:
    """Bind to the line of ``table`` at or after the one that was asked for, or fail."""
    wanted = wanted_line(breakpoint_.spec)
    if wanted < 1:
        _fail(breakpoint_, errors.NoCodeAtLine(f"There is no line {wanted}: they count from 1."))
        return
    line = table.at_or_after(wanted)
    if line is None:
        last = table.last
        what = f"is past the last line with code, {last}" if last else "has no code after it"
        _fail(breakpoint_, errors.NoCodeAtLine(f"Line {wanted} {what}."))
        return
    breakpoint_.line, breakpoint_.state = line, BreakpointState.BOUND
    moved = f"Line {wanted} has no code: moved to line {line}."
    breakpoint_.message = "" if line == wanted else moved


def say_who_shares(breakpoint_: Breakpoint, sources: Sources) -> None:
    """Have a breakpoint tell that it is in several cells: nobody told them apart."""
    target = breakpoint_.spec.target
    if not isinstance(target, LineTarget) or target.cell or breakpoint_.path is None:
        return
    count = sources.cells_with(breakpoint_.path)
    if count > 1 and breakpoint_.state is BreakpointState.BOUND:
        where = "both" if count == 2 else "all of them"
        said = f"{count} cells have this text; the breakpoint is in {where}."
        breakpoint_.message = f"{breakpoint_.message} {said}".strip()


def table_for(code: CodeType, sources: Sources) -> LineTable:
    """Return the best line table for the source of running ``code``.

    A cell's statements are code objects of their own; only the text has all of its lines.
    """
    try:
        return sources.table_of_text(code.co_filename)
    except (errors.SourceUnavailable, errors.BadBreakpoint, SyntaxError, ValueError):
        return table_of_code(code)


def path_of(breakpoint_: Breakpoint, sources: Sources) -> str | None:
    """Return the source that a breakpoint is for, None while it isn't known."""
    match breakpoint_.spec.target:
        case LineTarget(path):
            return sources.canonical(path)
        case ModuleTarget(module):
            return breakpoint_.path or sources.module_path(module)
        case FunctionTarget():
            return None


def wanted_line(spec: BreakpointSpec) -> int:
    """Return the line that the user asked for, 0 for a function."""
    return 0 if isinstance(spec.target, FunctionTarget) else spec.target.line


def names_function(breakpoint_: Breakpoint, code: CodeType, frame: FrameType | None) -> bool:
    """True if a function breakpoint means ``code``; ``frame`` runs it, where there is one."""
    name = str(breakpoint_.spec.target)
    qualified = code.co_qualname.replace(".<locals>", "")
    if name in (code.co_qualname, qualified):
        return True
    if not name.endswith("." + qualified):
        return False
    if frame is None:
        return breakpoint_.state is BreakpointState.BOUND
    return name == f"{frame.f_globals.get('__name__')}.{qualified}"


def _fail(breakpoint_: Breakpoint, error: errors.BadBreakpoint) -> None:
    breakpoint_.state, breakpoint_.message = BreakpointState.FAILED, str(error)
