"""Set next statement: a stopped frame goes on from another of its lines.

Owns the jump and which lines may be asked for; must not know stops. Python itself decides what is
possible (`frame_setlineno` in CPython's Objects/frameobject.c): the jump must be made by the thread
itself, at the beginning of a line, within one code object.
"""

import warnings
from types import CodeType, FrameType

from nbdebug import errors
from nbdebug.engine.sources import code_inside, lines_of


def jump(frame: FrameType, line: int) -> None:
    """Have ``frame`` go on from ``line``, on its own thread. Raises CannotJump."""
    try:
        with warnings.catch_warnings():
            # Names that the jump leaves unbound become None, with a warning that blames this file.
            warnings.simplefilter("ignore", RuntimeWarning)
            setattr(frame, "f_lineno", line)  # noqa: B010  # typeshed has it read-only
    except ValueError as error:
        reason = str(error)
        raise errors.CannotJump(f"Line {line}: {reason}.") from None


def line_to_jump_to(code: CodeType, line: int) -> int:
    """Return the line of ``code`` that a jump to ``line`` goes to: itself or the next with code.

    Raises CannotJump where it belongs to other code, or has none after it.
    """
    name = "this statement of the cell" if code.co_name == "<module>" else f"`{code.co_name}`"
    inner = next((one for one in code_inside(code) if line in lines_of(one)), None)
    lines = lines_of(code)
    if line not in lines and inner is not None:
        said = f"Line {line} belongs to `{inner.co_name}`, and a jump stays within {name}."
        raise errors.CannotJump(said)
    last = max(lines, default=0)
    if not code.co_firstlineno <= line <= last:
        said = f"Line {line} isn't in {name}, where the thread is stopped."
        raise errors.CannotJump(said)
    return min(one for one in lines if one >= line)
