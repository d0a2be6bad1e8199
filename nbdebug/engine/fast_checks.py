"""The checks after a store, while the value is plain: made as source, with the condition in it.

Owns what each write of a watched name costs without the compiled part: one call, in which all that
says no is decided, and for the hottest site not even that, for it stands in the callback itself.
What isn't plain, or isn't there, is left to the careful check. Made on any thread; they run on the
writer's.
"""

import ast
import builtins
import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from nbdebug.engine.watch_conditions import Test

# The value last known is read first, and changed only if no other thread has: its value is later.
_READ = """
    old = state.value
    try:
        new = {read}
    except Exception:
        return careful(depth + 1)
"""
_OF_PLACE = f"def check(depth):{_READ}"
_OF_LOCAL = f"""def check(depth):
    frame = getframe(depth)
    known, values, state = watch.cached
    if frame is not known:
        state = watch.state_of(frame)
        if state is None:
            return None
        values = watch.hold(frame, state)
{_READ}"""
_DECIDE = """
    if new is old:
        return None
    cls = type(new)
    if watch.is_careful or not (
        cls is int or cls is float or cls is str or cls is bool or new is None
    ):
        return careful(depth + 1)
    if state.value is not old:
        return careful(depth + 1)
    state.value = new
    if type(old) is cls:
{tested}
        if is_same(old, new):
            return None
    return tell({frame}, line, "change", old, new)
"""
_TESTED = """
        try:
            if not (
{condition}
            ):
                return None
        except Exception:  # told where it is tried again
            pass
"""


_HOT = """
def on_instruction(code, offset):
    if code is hot and offset == at and not (steps or asked or due or watch.is_careful):
        try:
{begin}
            old = state.value
            new = {read}
            if new is old:
                return None
            cls = type(new)
            if type(old) is cls and (
                cls is int or cls is float or cls is str or cls is bool or new is None
            ):
                if (
{unwanted}
                ):
                    if state.value is old:
                        state.value = new
                        return None
        except Exception:  # it isn't there, or the condition raised: found anew, and told
            pass
        except BaseException as error:
            error.__traceback__ = None
            raise
    return python(code, offset, 1)
"""
_HOT_LOCAL = """
            known, values, state = watch.cached
            if getframe(1) is not known:
                return python(code, offset, 1)
"""


@dataclass(frozen=True, slots=True)
class Hot:
    """What the callback itself needs of a check, to make it without a call."""

    source: str
    names: dict[str, Any]


def callback_for(
    check: Any, code: CodeType, offset: int, names: dict[str, Any]
) -> Callable[[CodeType, int], Any] | None:
    """Return a callback that makes this check by itself, and asks ``python`` of all else.

    ``names`` are ``python``, ``steps``, ``asked`` and ``due``. None for a check that can't stand
    there.
    """
    hot = getattr(check, "hot", None)
    if type(hot) is not Hot:
        return None
    namespace = {**hot.names, **names, "hot": code, "at": offset}
    exec(_compiled(hot.source), namespace)
    made: Callable[[CodeType, int], Any] = namespace["on_instruction"]
    return made


def check_of_place(read: str, condition: str | None, test: Test | None, **names: Any) -> Any:
    """Return a check of what the expression ``read`` yields, by these names."""
    return _made(_OF_PLACE, read, "getframe(depth)", condition, test, names)


def check_of_local(condition: str | None, test: Test | None, **names: Any) -> Any:
    """Return a check of the local ``name`` of whichever frame has written."""
    return _made(_OF_LOCAL, "values[name]", "frame", condition, test, names)


def _made(
    head: str,
    read: str,
    frame: str,
    condition: str | None,
    test: Test | None,
    names: dict[str, Any],
) -> Any:
    tested, unwanted = "", "is_same(old, new)"
    if condition is not None and test is not None:
        wanted = condition if _fits(condition) else "test(old, new)"
        tested, unwanted = _TESTED.format(condition=wanted), f"not (\n{wanted}\n)"
    source = head.format(read=read) + _DECIDE.format(tested=tested, frame=frame)
    namespace = {"__builtins__": builtins, "test": test, **names}
    exec(_compiled(source), namespace)
    check: Any = namespace["check"]
    begin = _HOT_LOCAL if head is _OF_LOCAL else ""
    check.hot = Hot(_HOT.format(begin=begin, read=read, unwanted=unwanted), namespace)
    return check


@functools.lru_cache(maxsize=100)
def _compiled(source: str) -> CodeType:
    return compile(source, __file__, "exec")


def _fits(condition: str) -> bool:
    """True if the condition can stand in the check: it binds no name there."""
    tree = ast.parse(f"(\n{condition}\n)", mode="eval")
    return not any(isinstance(node, ast.NamedExpr) for node in ast.walk(tree))
