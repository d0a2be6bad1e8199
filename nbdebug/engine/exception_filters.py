"""The filters of exception stops, and their conditions: from the user's text to a test.

Owns their grammar and which exceptions are no errors; must not know frames' fates or stops.
Compiled on a client's thread; asked on the user's thread, while the exception is raised.

A condition is class names, an expression, or both:

    ValueError, mypkg.Error
    KeyError if exception.args[0] == name
    exception.errno == 2
    if retries > 3
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, cast

from nbdebug import errors
from nbdebug.engine import conditions, physical
from nbdebug.engine.evaluate import FrameWith
from nbdebug.engine.model import BreakMode, ExceptionFilter
from nbdebug.engine.value_text import error_text

EXCEPTION = "exception"
"""What a condition calls the exception."""

MODES = {
    "raised": BreakMode.ALWAYS,
    "uncaught": BreakMode.UNHANDLED,
    "userUnhandled": BreakMode.USER_UNHANDLED,
}
"""Filter -> DAP's break mode."""

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_NAMES = re.compile(rf"\s*{_NAME}(?:\s*,\s*{_NAME})*\s*,?\s*")
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Condition:
    """What a filter's text says: names of classes (none: all), and a test of the frame."""

    classes: frozenset[str] = frozenset()
    test: Callable[[FrameType], Any] | None = None


def parse_condition(text: str) -> Condition:
    """Return what a condition says. Raises BadExceptionCondition."""
    if not text.strip():
        return Condition()
    if _NAMES.fullmatch(text) and not _is_no_name(text):
        return Condition(_classes(text))
    head, is_split, rest = text.partition("if ") if text.lstrip().startswith("if ") else ("",) * 3
    if not is_split:
        match = re.match(rf"({_NAMES.pattern})\sif\s", text)
        head, rest = (match[1], text[match.end() :]) if match else ("", text)
    expression = _expression(rest) or (_expression(text) if head.strip() else None)
    if expression is None:
        raise errors.BadExceptionCondition(
            f"`{text}` is neither a list of exception classes nor a Python expression."
        )
    classes = _classes(head) if _expression(rest) is not None else frozenset()
    return Condition(classes, conditions.expression_test(expression))


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _is_no_name(text: str) -> bool:
    # `True` and `a.if` are no classes; Python's own parser knows which words are names. And what
    # begins with `exception` is asked of the exception.
    return f"{text.strip()}.".startswith(f"{EXCEPTION}.") or any(
        not isinstance(node, (ast.Name, ast.Attribute, ast.Tuple, ast.expr_context))
        for node in ast.walk(_expression(text) or ast.Constant(None))
    )


def _classes(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


class Filter:
    """A filter that is on."""

    def __init__(self, spec: ExceptionFilter) -> None:
        """Raises UnknownFilter, BadExceptionCondition."""
        if spec.id not in MODES:
            raise errors.UnknownFilter(f"There is no exception filter `{spec.id}`.")
        self.id = spec.id
        self.mode = MODES[spec.id]
        self.text = spec.condition or ""
        self._condition = parse_condition(self.text)
        self._has_failed = False
        # By id: a metaclass may have a hash of its own. The class is kept, so the id stays its.
        self._known: dict[int, tuple[type, bool]] = {}

    def concerns(self, cls: type) -> bool:
        """True if exceptions of this class may stop."""
        known = self._known.get(id(cls))
        if known is None:
            if len(self._known) > _REMEMBERED:
                self._known = {}
            known = self._known[id(cls)] = cls, self._decide(cls)
        return known[1]

    def holds(self, frame: FrameType, error: BaseException) -> str | None:
        """Return None if the condition says no, else "", or, once, what the condition raised."""
        test = self._condition.test
        if test is None:
            return ""
        seen = cast(FrameType, FrameWith(frame, EXCEPTION, error))
        try:
            return "" if test(seen) else None
        except KeyboardInterrupt:
            raise
        except BaseException as failure:
            if self._has_failed:
                return None
            self._has_failed = True
            return f"The condition `{self.text}` raised {error_text(failure)}"

    def _decide(self, cls: type) -> bool:
        if physical.inherits(cls, KeyboardInterrupt):
            return False
        classes = list(physical.mro(cls))
        ignored = next((c for c in classes if _is_no_error(c, self.mode)), None)
        wanted = self._condition.classes
        if ignored is not None:  # only where it is asked for by a name of its own
            classes = classes[: classes.index(ignored) + 1]
        elif not wanted:
            return True
        return any(not wanted.isdisjoint(_names_of(one)) for one in classes)


def _is_no_error(cls: type, mode: BreakMode) -> bool:
    """True for what ends loops, generators, tasks and programs in the ordinary course."""
    if cls is SystemExit or cls is GeneratorExit:
        return True
    if mode is BreakMode.UNHANDLED:
        return False
    is_cancelling = cls is physical.loaded("asyncio.exceptions", "CancelledError")
    return is_cancelling or cls is StopIteration or cls is StopAsyncIteration


def _names_of(cls: type) -> set[str]:
    """Return the names that a condition may call a class."""
    module, qualname = physical.module_of(cls), physical.qualname_of(cls)
    return {physical.name_of(cls), qualname, f"{module}.{qualname}"}
