"""Conditions of watches: from the user's text to functions of the old and the new value.

Owns which conditions need the writer's frame. Compiling may happen on any thread; what is compiled
runs on the writer's.
"""

import ast
import builtins
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any, cast

from nbdebug.engine.conditions import check_expression
from nbdebug.engine.watch_values import MISSING, Shadow

_SEEING_ALL = {"globals", "locals", "vars", "dir", "eval", "exec"}
"""Builtins through which a condition may see names that don't stand in it."""

Test = Callable[[object, object], Any]
FrameTest = Callable[[FrameType | None, object, object], Any]


def plain_test(text: str) -> Test | None:
    """Return ``text`` as a function of ``old`` and ``new``, None where it names anything else.

    Raises BadCondition.
    """
    check_expression(text)
    tree = ast.parse(f"lambda old, new: ({text.strip()}\n)", mode="eval")
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    bound = {
        name
        for node in ast.walk(tree)
        for name in (node.arg if isinstance(node, ast.arg) else getattr(node, "id", None),)
        if name and not isinstance(getattr(node, "ctx", None), ast.Load)
    }
    if not used <= {"old", "new", *bound, *vars(builtins)}:
        return None
    made = eval(compile(tree, "<nbdebug>", "eval"), {"__builtins__": builtins})
    return cast(FunctionType, made)


def frame_test(text: str, fallback: dict[str, Any]) -> FrameTest:
    """Return ``text`` as a function of the writer's frame, ``old`` and ``new``.

    Without a frame the names are those of ``fallback``. Raises BadCondition.
    """
    check_expression(text)
    code = compile(text.strip(), "<nbdebug>", "eval")
    used = frozenset(_names_in(code))
    sees_all = bool(used & _SEEING_ALL)

    def test(frame: FrameType | None, old: object, new: object) -> Any:
        names = {"old": value_of(old), "new": value_of(new)}
        if frame is None:
            return eval(code, {**fallback, **names})
        # One namespace: what has a scope of its own in the condition sees all of it.
        if sees_all:
            return eval(code, {**frame.f_globals, **frame.f_locals, **names})
        found = {}
        for namespace in (frame.f_globals, frame.f_locals):
            for name in used:
                if name in namespace:
                    found[name] = namespace[name]
        return eval(code, found | names)

    return test


def _names_in(code: CodeType) -> Iterator[str]:
    """Yield the names that code takes from outside, and where the builtins are."""
    yield "__builtins__"
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def value_of(remembered: object) -> Any:
    """Return the value for the user's code: None where there is none, a text where it is gone."""
    if remembered is MISSING:
        return None
    if type(remembered) is Shadow:
        value = remembered.ref() if remembered.ref is not None else None
        return remembered.text if value is None else value
    return remembered
