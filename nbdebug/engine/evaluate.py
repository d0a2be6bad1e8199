"""Running the user's text in a stopped frame.

Owns evaluation and assignment; must not know clients or handles. Everything here runs on the
stopped thread, which bounds it in time; what the text raises goes through unchanged.
"""

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, MutableMapping
from types import CodeType, FrameType
from typing import Any, cast

from nbdebug import compat, errors
from nbdebug.engine import awaiting, capi, conditions
from nbdebug.engine.code_flags import CO_COROUTINE
from nbdebug.engine.sources import is_class_body

_FILE = "<nbdebug evaluate>"


class NamespaceFrame:
    """Stands in for a frame where nothing is stopped: a namespace as a module's code sees it."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.f_globals = self.f_locals = namespace
        self.f_code = compile("", _FILE, "exec")


class FrameWith:
    """A frame in which one more name has a value, without being written into it."""

    def __init__(self, frame: FrameType, name: str, value: object) -> None:
        self.frame = frame
        self.f_globals, self.f_code = frame.f_globals, frame.f_code
        self.f_locals: Any = _Overlay(frame.f_locals, name, value)


class _Overlay(MutableMapping[str, Any]):
    """A frame's variables and one more, which hides one of theirs with the same name."""

    def __init__(self, behind: Any, name: str, value: object) -> None:
        self.behind = behind
        self._name = name
        self._value = value

    def __getitem__(self, key: str) -> Any:
        return self._value if key == self._name else self.behind[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.behind[key] = value

    def __delitem__(self, key: str) -> None:
        del self.behind[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.behind, self._name: None})

    def __len__(self) -> int:
        return len({**self.behind, self._name: None})


Frame = FrameType | NamespaceFrame | FrameWith


def evaluate(text: str, frame: Frame) -> Any:
    """Evaluate ``text`` in ``frame``; statements too, whose last expression is the result.

    What statements assign is written to the frame's own variables. `await` is run in an event loop
    of its own. Raises what the text raises, SyntaxError included.
    """
    tree = _parse(text)
    if _awaits(tree):
        return _execute_awaiting(tree, frame)
    only = tree.body[0] if len(tree.body) == 1 else None
    if isinstance(only, ast.Expr) and not any(isinstance(n, ast.NamedExpr) for n in ast.walk(only)):
        return _value_of(only.value, frame)
    return _execute(tree, frame)


def is_place(text: str) -> bool:
    """True if ``text`` is an expression that may be evaluated again at no cost: names and items."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return False
    looking = (
        ast.Name,
        ast.Attribute,
        ast.Subscript,
        ast.Constant,
        ast.Slice,
        ast.UnaryOp,
        ast.Tuple,
    )
    parts = ast.Expression, ast.expr_context, ast.unaryop
    return all(isinstance(node, (*looking, *parts)) for node in ast.walk(tree))


def assign(target: str, value: str, frame: Frame) -> Any:
    """Assign the value of an expression to a target such as ``x``, ``d['k']``; return the value."""
    try:
        tree = ast.parse(f"({target.strip()}) = 0", filename=_FILE)
        assignment = tree.body[0]
    except (SyntaxError, ValueError):
        assignment = None
    if not (isinstance(assignment, ast.Assign) and is_place(target)):
        raise errors.NotAssignable(f"`{target}` isn't something that can be assigned to.")
    assignment.value = ast.parse(value.strip(), filename=_FILE, mode="eval").body
    _execute(ast.fix_missing_locations(tree), frame)
    return evaluate(target, frame)


def completions(
    text: str, frame_names: Iterable[object], frame: Frame | None
) -> list[tuple[str, str]]:
    """Return (word, kind) for what may complete the end of ``text``; kinds are DAP's."""
    match = re.search(r"((?:\w+\.)*)(\w*)$", text)
    owner, prefix = (match[1][:-1], match[2]) if match else ("", "")
    if owner and frame is not None:
        try:
            names: Iterable[object] = dir(_value_of(ast.parse(owner, mode="eval").body, frame))
        except Exception:
            return []
        found_names = _starting(names, prefix)
        return [(n, "property") for n in found_names if prefix or not n.startswith("_")]
    found = dict.fromkeys(_starting(frame_names, prefix), "variable")
    if prefix:
        for name in sorted(vars(builtins)):
            if name.startswith(prefix):
                found.setdefault(name, "function")
    return list(found.items())


def _starting(names: Iterable[object], prefix: str) -> list[str]:
    return sorted(name for name in names if type(name) is str and name.startswith(prefix))


def _parse(text: str) -> ast.Module:
    import textwrap

    return ast.parse(textwrap.dedent(text).strip(), filename=_FILE, mode="exec")


def _value_of(expression: ast.expr, frame: Frame) -> Any:
    return conditions.expression_test(expression)(cast(FrameType, frame))


def _execute(tree: ast.Module, frame: Frame) -> Any:
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    _in_frame(compile(tree, _FILE, "exec"), frame)
    return _value_of(last.value, frame) if isinstance(last, ast.Expr) else None


def _awaits(tree: ast.Module) -> bool:
    """True if ``tree`` awaits outside of the functions that it defines."""
    parts = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.comprehension)
    if not any(isinstance(node, parts) for node in ast.walk(tree)):
        return False
    return bool(_compile_awaiting(tree, "exec").co_flags & CO_COROUTINE)


def _compile_awaiting(tree: ast.Module | ast.Expression, mode: str) -> CodeType:
    code: CodeType = compile(tree, _FILE, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


def _execute_awaiting(tree: ast.Module, frame: Frame) -> Any:
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    _run_awaiting(_compile_awaiting(tree, "exec"), frame)
    if not isinstance(last, ast.Expr):
        return None
    return _run_awaiting(_compile_awaiting(ast.Expression(last.value), "eval"), frame)


def _run_awaiting(code: CodeType, frame: Frame) -> Any:
    namespace = frame.f_locals
    result = eval(code, frame.f_globals, namespace)
    if code.co_flags & CO_COROUTINE:
        result = awaiting.run(result)
    write_back(frame, namespace)
    return result


def _in_frame(code: CodeType, frame: Frame) -> None:
    namespace: Any = frame.f_locals
    exec(code, frame.f_globals, namespace)
    if isinstance(frame, FrameWith):
        frame, namespace = frame.frame, namespace.behind
    write_back(frame, namespace)


def write_back(frame: Frame, namespace: Any) -> None:
    """Push a changed ``f_locals`` snapshot back to a function's fast locals, where it is one."""
    if (
        compat.FRAME_LOCALS_WRITE_THROUGH
        or is_class_body(frame.f_code)
        or namespace is frame.f_globals
    ):
        return
    capi.functions().locals_to_fast(frame, 1)
