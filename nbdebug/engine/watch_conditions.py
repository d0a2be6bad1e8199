"""Conditions of watches: from the user's text to functions of the old and the new value.

Owns which conditions need the writer's frame. Compiling may happen on any thread; what is compiled
runs on the writer's.
"""

import ast
import builtins
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any, cast

from nbdebug.engine.conditions import check_expression
from nbdebug.engine.watch_values import MISSING, Shadow

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

    def test(frame: FrameType | None, old: object, new: object) -> Any:
        names = {"old": value_of(old), "new": value_of(new)}
        if frame is None:
            return eval(code, {**fallback, **names})
        # One namespace: what has a scope of its own in the condition sees all of it.
        return eval(code, {**frame.f_globals, **frame.f_locals, **names})

    return test


def value_of(remembered: object) -> Any:
    """Return the value for the user's code: None where there is none, a text where it is gone."""
    if remembered is MISSING:
        return None
    if type(remembered) is Shadow:
        value = remembered.ref() if remembered.ref is not None else None
        return remembered.text if value is None else value
    return remembered
