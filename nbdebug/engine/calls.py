"""The calls that stand in a code object: where each is, and which are still to come in a statement.

Owns the reading of call instructions; must not know steps. Reads code objects only, so any thread
may call.
"""

import dis
import itertools
from collections.abc import Iterator
from types import CodeType

from nbdebug.engine.model import CallTarget
from nbdebug.engine.statements import Statements


def calls_to_come(
    code: CodeType, line: int, at: int, is_calling: bool, statements: Statements
) -> list[CallTarget]:
    """Return the calls of the statement on ``line`` that come after the offset ``at``.

    With ``is_calling`` the call at ``at`` is under way, and isn't one of them.
    """
    first, last = statements.around(line)
    found = []
    for call in calls_in(code, statements):
        is_here = first <= call.end_line and call.line <= last
        if is_here and (call.first > at or (call.first == at and not is_calling)):
            found.append(call)
    return found


def call_at(code: CodeType, at: int, statements: Statements) -> CallTarget | None:
    """Return the call whose instruction is at the offset ``at``, or None."""
    return next((c for c in calls_in(code, statements) if c.first <= at < c.end), None)


def calls_in(code: CodeType, statements: Statements) -> Iterator[CallTarget]:
    """Yield the calls and decorators of a code object in the order of its instructions."""
    seen: set[tuple[int, int]] = set()
    instructions = itertools.pairwise([*dis.get_instructions(code), None])
    for one, following in instructions:
        if one is None or not _calls(one) or one.positions is None:
            continue
        place = one.positions
        end = place.end_lineno or 0, place.end_col_offset or 0
        # A with statement calls __exit__ where its expression stands, and a decorator with
        # arguments is called where it is made.
        known = statements.decorators if end in seen else statements.calls
        found = known.get(end) or (None if end in seen else statements.decorators.get(end))
        seen.add(end)
        if found is not None:
            (line, column, end_line, end_column), label = found
            after = len(code.co_code) if following is None else following.offset
            yield CallTarget(label, line, column + 1, end_line, end_column + 1, one.offset, after)


def _calls(instruction: dis.Instruction) -> bool:
    name = instruction.opname
    return name.startswith("CALL") and not name.startswith("CALL_INTRINSIC")
