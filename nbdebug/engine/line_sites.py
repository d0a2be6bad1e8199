"""Where code is asked whether its last line has written somewhere, and which line that was.

Owns the reading of the bytecode: the ends of lines, jumps, returns, the beginnings of frames and of
handlers. What can't write anywhere, such as a load of a local, is asked nothing. Pure functions of
a code object; any thread may call. Source: `dis`.
"""

import dis
import weakref
from dataclasses import dataclass
from enum import Enum
from types import CodeType
from typing import Final

from nbdebug.engine.store_sites import content_sites

_REMEMBERED: Final = 64


class After(Enum):
    """What has run right before."""

    LINE = "a line of this code"
    CALLER = "what called or resumed this frame"
    RAISE = "what raised the exception that is handled here"


@dataclass(frozen=True, slots=True)
class LineEnd:
    """An offset in bytes before which is asked; ``line``, 1-based, is the one that has run."""

    offset: int
    line: int
    after: After


_BRANCHES = "POP_JUMP_IF_FALSE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE POP_JUMP_IF_TRUE"
_JUMPS = f"JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP_FORWARD {_BRANCHES}"
_RETURNS = "RETURN_CONST RETURN_VALUE YIELD_VALUE"
_LOADS = (
    "LOAD_CLOSURE LOAD_COMMON_CONSTANT LOAD_CONST LOAD_DEREF LOAD_FAST LOAD_FAST_AND_CLEAR "
    "LOAD_FAST_BORROW LOAD_FAST_BORROW_LOAD_FAST_BORROW LOAD_FAST_CHECK LOAD_FAST_LOAD_FAST "
    "LOAD_GLOBAL LOAD_NAME LOAD_SMALL_INT"
)
_STORES = (
    "STORE_DEREF STORE_FAST STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST STORE_GLOBAL STORE_NAME"
)
_BUILDS = "BUILD_LIST BUILD_MAP BUILD_SLICE BUILD_TUPLE LIST_APPEND MAKE_CELL MAKE_FUNCTION"
_TESTS = "CHECK_EXC_MATCH COMPARE_OP IS_OP TO_BOOL UNARY_NOT"
_OTHERS = (
    "CACHE COPY COPY_FREE_VARS KW_NAMES NOP NOT_TAKEN POP_EXCEPT POP_TOP PUSH_EXC_INFO "
    "PUSH_NULL RERAISE RESUME RETURN_GENERATOR SET_FUNCTION_ATTRIBUTE SWAP"
)
_LEAVES: Final = frozenset(f"{_JUMPS} {_RETURNS}".split())
"""What ends a run of instructions. FOR_ITER and SEND aren't here: where they jump to is still on
their line, and they may write by themselves."""
_WRITES_NOWHERE: Final = _LEAVES | frozenset(
    f"{_LOADS} {_STORES} {_BUILDS} {_TESTS} {_OTHERS}".split()
)
"""Whatever isn't named here may run code in C that writes anywhere."""
_BEGINS: Final = {"RESUME": After.CALLER, "PUSH_EXC_INFO": After.RAISE}

_known: dict[int, tuple[weakref.ref[CodeType], list[LineEnd]]] = {}


def line_ends(code: CodeType) -> list[LineEnd]:
    """Return where ``code`` is to be asked, in no order; found once while asked for lately."""
    known = _known.get(id(code))
    if known is not None and known[0]() is code:
        return known[1]
    found = list(_find(code).values())
    if len(_known) >= _REMEMBERED:
        _known.clear()
    _known[id(code)] = weakref.ref(code), found
    return found


def _find(code: CodeType) -> dict[int, LineEnd]:
    found: dict[int, LineEnd] = {}

    def ask(offset: int, line: int, after: After = After.LINE) -> None:
        found.setdefault(offset, LineEnd(offset, line, after))

    line, may_have_written = code.co_firstlineno, False
    start: int | None = None  # of the instruction with its EXTENDED_ARGs
    begun: After | None = None
    for one in dis.get_instructions(code):
        start = one.offset if start is None else start
        if one.opname == "EXTENDED_ARG":
            continue
        here = (one.positions.lineno if one.positions is not None else None) or line
        if begun is not None:
            ask(start, here, begun)
        elif may_have_written and (here != line or one.opname in _LEAVES):
            ask(start, line)
            may_have_written = False
        line, begun = here, _BEGINS.get(one.opname)
        may_have_written = may_have_written or one.opname not in _WRITES_NOWHERE
        start = None
    # A line that writes twice is told of each, where its statements say so.
    for site in content_sites(code):
        ask(site.after, site.line)
    return found
