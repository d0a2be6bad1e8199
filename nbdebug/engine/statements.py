"""The statements of a source: which lines belong to one, and which calls stand in it.

Owns what is read from the syntax tree of a text; must not know frames or code objects. Any thread
may call; nothing of the user's runs.
"""

import ast
from dataclasses import dataclass
from typing import Final

Span = tuple[int, int, int, int]
"""First line, column in bytes, last line, column in bytes: as ``co_positions`` has them."""

End = tuple[int, int]
"""Line and column in bytes behind an expression: one call ends there at most."""

_LABEL_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Statements:
    """What a text's tree tells: lines of statements, texts of calls and of decorators."""

    lines: dict[int, tuple[int, int]]
    calls: dict[End, tuple[Span, str]]
    decorators: dict[End, tuple[Span, str]]

    def around(self, line: int) -> tuple[int, int]:
        """Return the first and last line of the statement, or of its head, that has ``line``."""
        return self.lines.get(line, (line, line))


NONE: Final = Statements({}, {}, {})


def statements_of(text: str) -> Statements:
    """Return the statements of ``text``; none where it doesn't parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return NONE
    lines: dict[int, tuple[int, int]] = {}
    calls: dict[End, tuple[Span, str]] = {}
    decorators: dict[End, tuple[Span, str]] = {}
    source = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as Python counts
    # Outer nodes come first, so the innermost statement on a line has the last word.
    for node in ast.walk(tree):
        first, last = _head_of(node)
        for line in range(first, last + 1):
            lines[line] = first, last
        if isinstance(node, ast.Call):
            span = _span(node)
            calls[span[2:]] = span, _text(source, node)
        for decorator in getattr(node, "decorator_list", []):
            span = _span(decorator)
            decorators[span[2:]] = span, f"@{_text(source, decorator)}"
    several = {n: span for n, span in lines.items() if span[0] != span[1]}
    return Statements(several, calls, decorators)


def _head_of(node: ast.AST) -> tuple[int, int]:
    """Return the lines of a statement; of one with a body, those before the body."""
    if isinstance(node, ast.match_case):
        return node.pattern.lineno, _first_line(node.body[0]) - 1
    if not isinstance(node, (ast.stmt, ast.excepthandler)):
        return 0, -1
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return node.lineno, node.end_lineno or node.lineno
    below = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
    first = _first_line(node)
    return first, max(_first_line(below) - 1, node.lineno)


def _first_line(node: ast.AST) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    line: int = getattr(node, "lineno", 0)
    return min([line, *(one.lineno for one in decorators)])


def _span(node: ast.expr) -> Span:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


def _text(source: list[str], node: ast.expr) -> str:
    first, column, last, end = _span(node)
    if first != last:
        text = ast.unparse(node)  # on one line, without comments
    else:
        text = source[first - 1].encode()[column:end].decode(errors="replace")
    return text if len(text) <= _LABEL_CHARS else text[:_LABEL_CHARS] + "..."
