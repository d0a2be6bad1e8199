"""Conditions, hit conditions and log messages: from the user's text to functions of a frame.

Owns their grammar; must not know breakpoints. Compiling may happen on any thread; what is compiled
runs on the user's thread, in the frame that hit, and must be fast when it says no.
"""

import ast
import inspect
import re
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

from nbdebug import errors
from nbdebug.engine.sources import is_class_body

FrameTest = Callable[[FrameType], Any]
HitTest = Callable[[int], bool]

_HIT_CONDITION = re.compile(r"(>=|<=|==|=|>|<|%)?\s*(\d+)")


def check_expression(text: str) -> None:
    """Raise BadCondition if ``text`` isn't one Python expression."""
    try:
        compile(text.strip(), "<condition>", "eval")
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else error
        raise errors.BadCondition(f"The condition `{text}` isn't a Python expression: {why}.") from None


def compile_condition(text: str, code: CodeType) -> FrameTest:
    """Return a function that evaluates ``text`` in a frame of ``code``.

    The expression is compiled as a function of those of its names that are locals of ``code``, so
    that a look at them is all that a hit costs, and that a generator or lambda inside the
    expression sees them too. Raises BadCondition.
    """
    check_expression(text)
    return expression_test(ast.parse(text.strip(), mode="eval").body, code)


def expression_test(expression: ast.expr, code: CodeType) -> FrameTest:
    """Return a function that evaluates a parsed expression in a frame of ``code``."""
    evaluated = compile(ast.Expression(expression), "<nbdebug>", "eval")

    def test_in_namespaces(frame: FrameType) -> Any:
        return eval(evaluated, frame.f_globals, frame.f_locals)

    optimized = bool(code.co_flags & inspect.CO_OPTIMIZED)
    if is_class_body(code):
        return test_in_namespaces
    used = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    local_names = {*code.co_varnames, *code.co_cellvars, *code.co_freevars} if optimized else set()
    names = sorted(used & local_names)
    body = _function_code(names, expression)
    functions: dict[int, tuple[dict[str, Any], Callable[..., Any]]] = {}

    def function_for(frame_globals: dict[str, Any]) -> Callable[..., Any]:
        functions.clear()
        function: Callable[..., Any] = FunctionType(body, frame_globals)
        functions[id(frame_globals)] = frame_globals, function
        return function

    if not names:

        def test_of_globals(frame: FrameType) -> Any:
            if not optimized and frame.f_locals is not frame.f_globals:
                return test_in_namespaces(frame)
            found = functions.get(id(frame.f_globals))
            return found[1]() if found is not None else function_for(frame.f_globals)()

        return test_of_globals

    if len(names) == 1:
        name = names[0]

        def test_of_one(frame: FrameType) -> Any:
            found = functions.get(id(frame.f_globals))
            function = found[1] if found is not None else function_for(frame.f_globals)
            try:
                value = frame.f_locals[name]
            except KeyError:  # unbound yet: evaluating says so in Python's own words, if it matters
                return test_in_namespaces(frame)
            return function(value)

        return test_of_one

    def test_of_several(frame: FrameType) -> Any:
        found = functions.get(id(frame.f_globals))
        function = found[1] if found is not None else function_for(frame.f_globals)
        local = frame.f_locals
        try:
            values = [local[name] for name in names]
        except KeyError:
            return test_in_namespaces(frame)
        return function(*values)

    return test_of_several


def _function_code(names: list[str], expression: ast.expr) -> CodeType:
    parameters = ast.arguments(
        posonlyargs=[], args=[ast.arg(name) for name in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    tree = ast.Expression(ast.Lambda(parameters, expression))
    module = compile(ast.fix_missing_locations(tree), "<nbdebug>", "eval")
    return next(const for const in module.co_consts if isinstance(const, CodeType))


def compile_hit_condition(text: str) -> HitTest:
    """Return a function from the number of this hit (from 1) to whether it stops.

    ``5`` and ``==5`` stop at the fifth hit only, ``%5`` at every fifth. Raises BadHitCondition.
    """
    match = _HIT_CONDITION.fullmatch(text.strip())
    if match is None:
        raise errors.BadHitCondition(f"`{text}` isn't a hit condition.")
    number = int(match[2])
    if match[1] == "%" and number == 0:
        raise errors.BadHitCondition("`%0` isn't a hit condition: nothing is divisible by 0.")
    tests: dict[str, HitTest] = {
        ">=": lambda hit: hit >= number,
        "<=": lambda hit: hit <= number,
        ">": lambda hit: hit > number,
        "<": lambda hit: hit < number,
        "%": lambda hit: hit % number == 0,
    }
    return tests.get(match[1] or "==", lambda hit: hit == number)


def compile_log_message(text: str, code: CodeType, show: Callable[[object], str]) -> FrameTest:
    """Return a function that renders ``text`` with its ``{expressions}`` evaluated in a frame.

    What f-strings know is known: ``{x!r}``, ``{x:.2f}``, ``{x=}``, ``{{``. A value without a
    conversion or format goes through ``show``, which bounds it. Raises BadCondition.
    """
    template = _parse_template(text)
    shown = _ShowValues()
    body = ast.fix_missing_locations(shown.visit(template))
    return _bind_show(expression_test(body, code), show) if shown.used else expression_test(body, code)


class _ShowValues(ast.NodeTransformer):
    """Turns each plain ``{value}`` into a tuple item that the renderer passes through ``show``."""

    used = False

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        self.used = True
        items: list[ast.expr] = []
        for part in node.values:
            plain = isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None
            if plain and isinstance(part, ast.FormattedValue):
                items.append(ast.Tuple([part.value], ast.Load()))
            else:
                items.append(ast.JoinedStr([part]))
        return ast.Tuple(items, ast.Load())


def _bind_show(parts_of: FrameTest, show: Callable[[object], str]) -> FrameTest:
    def render(frame: FrameType) -> str:
        return "".join(show(part[0]) if type(part) is tuple else part for part in parts_of(frame))

    return render


def check_log_message(text: str) -> None:
    """Raise BadCondition if an expression in the log message isn't Python."""
    _parse_template(text)


def _parse_template(text: str) -> ast.expr:
    # A raw f-string whose quotes don't occur in the text: Python's own parser finds the braces.
    quote = next((q for q in ('"""', "'''") if q not in text and not text.endswith(q[0])), None)
    if quote is None:
        raise errors.BadCondition("A log message can't hold both kinds of triple quotes.")
    try:
        return ast.parse(f"rf{quote}{text}{quote}", mode="eval").body
    except SyntaxError as error:
        raise errors.BadCondition(f"The log message `{text}` doesn't parse: {error.msg}.") from None
