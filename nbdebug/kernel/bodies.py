"""The bodies of cell magics: compiled with their cell's file name and lines.

`%%time` and its like compile their body under a name of their own, so that no breakpoint, stack or
step could name the cell. Owns what is changed for that in the shell's compiler and in `%%prun`,
and must not know breakpoints. Runs on the thread that runs the cell.
"""

import ast
import copy
import linecache
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.interactiveshell import InteractiveShell

_REMEMBERED = 1000  # cells with a magic
_BODY = 1_000_000_000  # added to the lines of a body's nodes, until its magic has them compiled
_RUN_CELL_MAGIC = InteractiveShell.run_cell_magic.__code__


@dataclass(frozen=True, slots=True)
class Place:
    """Where the text of a magic's body stands: the cell's file name, the magic's 1-based line."""

    path: str
    header: int
    body: str


class Bodies:
    """While installed, what a cell magic compiles of its body is code of the cell.

    ``wanted`` says whether anyone could ask for it: if nobody, all is as IPython has it.
    """

    def __init__(self, shell: Any, wanted: Callable[[], bool]) -> None:
        self.compiled: set[str] = set()
        """Cells whose magic had its body compiled through here."""
        self.started: Callable[[str, int], None] = lambda path, number: None
        """Called with a cell's file name and number when the shell has given them to its text."""
        self.made: Callable[[CodeType], None] = lambda code: None
        """Called with what the shell has compiled."""
        self._shell = shell
        self._wanted = wanted
        self._texts: dict[str, str] = {}
        self._compiler_class: type[Any] = type(shell.compile)
        self._profile: Any = None

    def install(self) -> None:
        """Put ourselves between the shell and its compiler."""
        self._compiler_class = type(self._shell.compile)
        ours = (_Compiler, self._compiler_class)
        name = self._compiler_class.__name__
        self._shell.compile.__class__ = type(name, ours, {"bodies": self})

    def remove(self) -> None:
        """Undo `install`."""
        if getattr(type(self._shell.compile), "bodies", None) is self:
            self._shell.compile.__class__ = self._compiler_class
        if self._profile is not None:
            magics = _execution_magics()
            if getattr(magics._run_with_profiler, "bodies", None) is self:
                magics._run_with_profiler = self._profile

    def remember(self, path: str, text: str) -> None:
        """Take note of the text of a cell that is about to run."""
        if text.lstrip().startswith("%%"):
            while len(self._texts) >= _REMEMBERED:
                self.compiled.discard(next(iter(self._texts)))
                del self._texts[next(iter(self._texts))]
            self._texts[path] = text
            if "%%prun" in text and self._profile is None:
                magics = _execution_magics()
                self._profile = magics._run_with_profiler
                magics._run_with_profiler = _profiler_of(self._profile, self)

    def has_magic(self, path: str) -> bool:
        """True for a cell that has run and begins with a magic."""
        return path in self._texts

    def place(self) -> Place | None:
        """Return where the body of the innermost magic that the calling thread runs stands."""
        if not self._texts or not self._wanted():
            return None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not _RUN_CELL_MAGIC:
            frame = frame.f_back
        if frame is None or frame.f_back is None:
            return None
        path, header = frame.f_back.f_code.co_filename, frame.f_back.f_lineno or 0
        body = frame.f_locals.get("cell")
        if path not in self._texts or type(body) is not str:
            return None
        there = [line.strip() for line in self._texts[path].splitlines()]
        lines = [line.strip() for line in body.splitlines()]
        # Whoever calls run_cell_magic with a text of his own has no line of the cell to name.
        stands_there = there[header : header + len(lines)] == lines
        return Place(path, header, body) if lines and stands_there else None

    def shift_of(self, source: str, place: Place | None, filename: str) -> int | None:
        """Return what to add to a line of ``source`` for the cell's line, None if it isn't its."""
        if place is None:
            return leading_lines(self._texts.get(filename, "")) or None if self._wanted() else None
        texts = [place.body]
        if source != place.body:
            texts.append(self._shell.transform_cell(place.body))
        for text in texts:
            before = source.removesuffix(text)
            if before != source and before[-1:] in ("", "\n"):
                return place.header - before.count("\n") + leading_lines(place.body)
        return None

    def mark(self, tree: ast.AST, shift: int) -> None:
        """Give the nodes of a body their lines in the cell, and so that they are known for it."""
        for node in ast.walk(tree):
            if hasattr(node, "lineno"):
                _move(node, shift + _BODY)

    def settle(self, tree: ast.AST, place: Place | None, filename: str) -> tuple[ast.AST, str]:
        """Turn marked lines into the cell's, and the magic's own into that of its name.

        Returns what is to be compiled, and the file name for it. ``tree`` itself stays: `%%timeit`
        compiles a body twice.
        """
        if not self._texts:  # no magic has run: nothing is marked
            return tree, filename
        if not any(getattr(node, "lineno", 0) > _BODY for node in ast.walk(tree)):
            return tree, filename
        tree = copy.deepcopy(tree)
        for node in ast.walk(tree):
            line = getattr(node, "lineno", None)
            if line is None:
                continue
            if line > _BODY:
                _move(node, -_BODY)
            if place is not None and (line < _BODY or line - _BODY < place.header):
                _put(node, place.header)
        if place is None:
            return tree, filename
        self._show_text(place)
        self.compiled.add(place.path)
        return tree, place.path

    def compile(self, source: str, place: Place) -> CodeType | None:
        """Compile a body's text as the cell's code; None if it isn't that, or doesn't compile."""
        if self.shift_of(source, place, "") is None:
            return None
        compiler = self._shell.compile
        try:
            return compiler(compiler.ast_parse(source), place.path, "exec")  # type: ignore[no-any-return] # codeop has no types
        except SyntaxError:
            return None

    # -- inside

    def _show_text(self, place: Place) -> None:
        """Put the body below its magic where tracebacks look a cell's lines up."""
        known = linecache.cache.get(place.path)
        lines = list(known[2]) if known is not None and len(known) > 1 else []
        lines = lines[: place.header] + ["\n"] * (place.header - len(lines))
        dropped = leading_lines(place.body)
        text = "\n" * dropped + self._shell.transform_cell(place.body)
        lines += text.splitlines(keepends=True)
        linecache.cache[place.path] = sum(map(len, lines)), None, lines, place.path


def _execution_magics() -> Any:
    """Return the class with `%%prun`. IPython imports it, and makes its instance, when needed."""
    from IPython.core.magics.execution import ExecutionMagics

    return ExecutionMagics


def leading_lines(text: str) -> int:
    """Return how many empty lines IPython drops before a cell magic: those that it begins with."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    return first if lines and lines[first].lstrip().startswith("%%") else 0


def _move(node: Any, shift: int) -> None:
    node.lineno += shift
    if getattr(node, "end_lineno", None) is not None:
        node.end_lineno += shift


def _put(node: Any, line: int) -> None:
    node.lineno = node.end_lineno = line
    node.end_col_offset = max(node.col_offset, getattr(node, "end_col_offset", None) or 0)


def _profiler_of(run: Any, bodies: Bodies) -> Any:
    """Return what `%%prun` calls, with its body as code of the cell."""

    def _run_with_profiler(magics: Any, code: Any, *arguments: Any) -> Any:
        place = bodies.place()
        if place is not None and isinstance(code, str):
            code = bodies.compile(code, place) or code
        return run(magics, code, *arguments)

    _run_with_profiler.bodies = bodies  # type: ignore[attr-defined]
    return _run_with_profiler


class _Compiler(CachingCompiler):
    """Stands before the shell's own class of compilers; magics' bodies become their cells' code."""

    bodies: Bodies

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        place = self.bodies.place()
        if place is not None and raw_code == place.body:
            return place.path
        name = super().cache(transformed_code, number, raw_code)
        self.bodies.remember(name, raw_code or transformed_code)
        self.bodies.started(name, number)
        return name

    def ast_parse(self, source: str, filename: str = "<unknown>", symbol: str = "exec") -> ast.AST:
        tree = super().ast_parse(source, filename, symbol)
        shift = self.bodies.shift_of(source, self.bodies.place(), filename)
        if shift is not None:
            self.bodies.mark(tree, shift)
        return tree

    def __call__(
        self, source: Any, filename: str, symbol: str, *more: Any, **named: Any
    ) -> CodeType:
        place = self.bodies.place()
        if (
            isinstance(source, str)
            and place is not None
            and self.bodies.shift_of(source, place, filename) is not None
        ):
            source = self.ast_parse(source, filename, symbol)
        if isinstance(source, ast.AST):
            source, filename = self.bodies.settle(source, place, filename)
        code: CodeType = super().__call__(source, filename, symbol, *more, **named)
        if isinstance(code, CodeType):  # a flag of the caller's may ask for a tree
            self.bodies.made(code)
        return code
