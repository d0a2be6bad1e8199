"""Conditions, hit conditions and log messages: from the user's text to functions of a frame.

Owns their grammar; must not know breakpoints. Compiling may happen on any thread; what is compiled
runs on the user's thread, in the frame that hit, and must be fast when it says no.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType
from typing import Any

from nbdebug import errors
from nbdebug.engine import modules
from nbdebug.engine.code_flags import CO_OPTIMIZED
from nbdebug.engine.sources import is_class_body

FrameTest = Callable[[FrameType], Any]
Gate = Callable[[FrameType], Any]
RaisedGate = Callable[[FrameType, BaseException], Any]

_HIT_CONDITION = re.compile(r"(>=|<=|==|=|>|<|%)?\s*(\d+)")


def check_expression(text: str) -> None:
    """Raise BadCondition if ``text`` isn't one Python expression."""
    try:
        compile(text.strip(), "<condition>", "eval")
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else error
        raise errors.BadCondition(
            f"The condition `{text}` isn't a Python expression: {why}."
        ) from None


def compile_gate(text: str, code: CodeType, passed: Gate, raised: RaisedGate) -> Gate:
    """Return a function of a frame of ``code`` that goes on to ``passed`` where ``text`` is true.

    Where ``text`` raises, ``raised`` is called with the frame and the exception. This is what runs
    at each hit of a conditional breakpoint: the expression is a function of its names, and that
    function's call is most of what a hit costs. Raises BadCondition.
    """
    check_expression(text)
    expression = ast.parse(text.strip(), mode="eval").body
    names = _local_names(expression, code)
    if names is None or len(names) != 1:
        return _general_gate(expression_test(expression), passed, raised)
    [name] = names
    body = _function_code(names, expression)
    function: Callable[[Any], Any] = FunctionType(body, {})
    bound: dict[str, Any] | None = None

    def gate(frame: FrameType) -> Any:
        nonlocal bound, function
        try:
            if frame.f_globals is bound:
                found = function(frame.f_locals[name])
            else:
                fresh = FunctionType(body, frame.f_globals)
                if modules.is_loaded(frame.f_globals):  # another namespace would be kept alive
                    function, bound = fresh, frame.f_globals
                found = fresh(frame.f_locals[name])
            return passed(frame) if found else None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if name in frame.f_locals:
                return raised(frame, error)
            return raised(frame, NameError(f"name '{name}' has no value yet"))

    return gate


def _general_gate(test: FrameTest, passed: Gate, raised: RaisedGate) -> Gate:
    def gate(frame: FrameType) -> Any:
        try:
            if not test(frame):
                return None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return raised(frame, error)
        return passed(frame)

    return gate


def expression_test(expression: ast.expr) -> FrameTest:
    """Return a function that evaluates a parsed expression in a frame.

    Where a lambda or comprehension in it has a scope of its own, which would not see the frame's
    locals, the expression is compiled as a function of those that it names.
    """
    evaluated = compile(ast.Expression(expression), "<nbdebug>", "eval")
    scopes = ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp
    if not any(isinstance(node, scopes) for node in ast.walk(expression)):
        return lambda frame: eval(evaluated, frame.f_globals, frame.f_locals)
    used = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}

    def test(frame: FrameType) -> Any:
        namespace = frame.f_locals
        if namespace is frame.f_globals:
            return eval(evaluated, frame.f_globals)
        names = sorted(name for name in used if name in namespace)
        function = FunctionType(_function_code(names, expression), frame.f_globals)
        return function(*[namespace[name] for name in names])

    return test


def _local_names(expression: ast.expr, code: CodeType) -> list[str] | None:
    """Return the locals of ``code`` that the expression names; None if they are in a mapping."""
    if is_class_body(code):
        return None
    if not code.co_flags & CO_OPTIMIZED:
        return []
    used = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return sorted(used & {*code.co_varnames, *code.co_cellvars, *code.co_freevars})


def _function_code(names: list[str], expression: ast.expr) -> CodeType:
    parameters = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(name) for name in names],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )
    tree = ast.Expression(ast.Lambda(parameters, expression))
    module = compile(ast.fix_missing_locations(tree), "<nbdebug>", "eval")
    return next(const for const in module.co_consts if isinstance(const, CodeType))


@dataclass(frozen=True, slots=True)
class HitCondition:
    """``passes(n)`` tells whether the n-th hit (from 1) stops; none before ``first`` does."""

    passes: Callable[[int], bool]
    first: int


def compile_hit_condition(text: str) -> HitCondition:
    """Return what a hit condition asks for.

    ``5`` and ``==5`` stop at the fifth hit only, ``%5`` at every fifth. Raises BadHitCondition.
    """
    match = _HIT_CONDITION.fullmatch(text.strip())
    if match is None:
        raise errors.BadHitCondition(f"`{text}` isn't a hit condition.")
    number = int(match[2])
    if match[1] == "%" and number == 0:
        raise errors.BadHitCondition("`%0` isn't a hit condition: nothing is divisible by 0.")
    conditions = {
        ">=": HitCondition(lambda hit: hit >= number, number),
        "<=": HitCondition(lambda hit: hit <= number, 1),
        ">": HitCondition(lambda hit: hit > number, number + 1),
        "<": HitCondition(lambda hit: hit < number, 1),
        "%": HitCondition(lambda hit: hit % number == 0, number),
    }
    return conditions.get(match[1] or "==", HitCondition(lambda hit: hit == number, number))


def compile_log_message(text: str, show: Callable[[object], str]) -> FrameTest:
    """Return a function that renders ``text`` with its ``{expressions}`` evaluated in a frame.

    What f-strings know is known: ``{x!r}``, ``{x:.2f}``, ``{x=}``, ``{{``. A value without a
    conversion or format goes through ``show``, which bounds it. Raises BadLogMessage.
    """
    template = _parse_template(text)
    return _bind_show(expression_test(ast.fix_missing_locations(_parts(template))), show)


def _parts(template: ast.JoinedStr) -> ast.expr:
    """Return a tuple of the parts; a plain ``{value}`` is a tuple itself, for ``show``."""
    items: list[ast.expr] = []
    for part in template.values:
        match part:
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                items.append(ast.Tuple([value], ast.Load()))
            case _:
                items.append(ast.JoinedStr([part]))
    return ast.Tuple(items, ast.Load())


def _bind_show(parts_of: FrameTest, show: Callable[[object], str]) -> FrameTest:
    def render(frame: FrameType) -> str:
        return "".join(show(part[0]) if type(part) is tuple else part for part in parts_of(frame))

    return render


def check_log_message(text: str) -> None:
    """Raise BadLogMessage if an expression in the log message isn't Python."""
    _parse_template(text)


def _parse_template(text: str) -> ast.JoinedStr:
    # A raw f-string whose quotes don't occur in the text: Python's own parser finds the braces.
    quote = next((q for q in ('"""', "'''") if q not in text and not text.endswith(q[0])), None)
    if quote is None:
        raise errors.BadLogMessage("A log message can't hold both kinds of triple quotes.")
    try:
        template = ast.parse(f"rf{quote}{text}{quote}", mode="eval").body
    except SyntaxError as error:
        said = f"The log message `{text}` doesn't parse: {error.msg}."
        raise errors.BadLogMessage(said) from None
    assert isinstance(template, ast.JoinedStr)
    return template
