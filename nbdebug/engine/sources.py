"""Where code comes from: file names, texts, and the lines that have code.

Owns the names of files and cells; must not know breakpoints or stops. Any thread may call; the
caches are plain dicts whose entries never change, and are bounded.
"""

import linecache
import opcode
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType

from nbdebug import errors
from nbdebug.engine import modules
from nbdebug.engine.code_flags import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_OPTIMIZED
from nbdebug.engine.statements import NONE, Statements, statements_of

_RESUME = opcode.opmap["RESUME"]
_CACHE = opcode.opmap["CACHE"]
_SUSPENDS = CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR
_CLEANUP_THROW = opcode.opmap["CLEANUP_THROW"]
_ALLOW_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_PARSED = 50  # texts whose statements are kept
_REMEMBERED = 10_000  # file names; each edited cell is a new one


@dataclass(frozen=True, slots=True)
class LineTable:
    """The 1-based lines of a source that have code; ``last`` is the source's last such line."""

    lines: frozenset[int]

    @property
    def last(self) -> int:
        return max(self.lines, default=0)

    def at_or_after(self, line: int) -> int | None:
        """Return the first line from ``line`` on that has code, or None."""
        return (
            line if line in self.lines else min((n for n in self.lines if n > line), default=None)
        )


class Sources:
    """What is known of each source. A cell is a source whose text isn't on a disk for good."""

    def __init__(self) -> None:
        self._canonical: dict[str, str] = {}
        self._ran: set[str] = set()
        self._references: list[str] = []
        self._statements: dict[str, tuple[str, Statements]] = {}
        self.transform: Callable[[str, str], str] = lambda path, text: text
        """Turns (path, text) into what is compiled; the kernel puts IPython's transform here."""
        self.is_cell: Callable[[str], bool] = lambda path: False
        """Says whether a path is a cell's; the kernel knows their names."""
        self.cell_of: Callable[[CodeType], str] = lambda code: ""
        """Gives the id of the cell that defined some code, "" where it isn't known."""
        self.cells_with: Callable[[str], int] = lambda path: 0
        """Counts the cells that have run and have this path, so the same text."""
        self.is_library: Callable[[str], bool] = lambda path: False
        """Says whether a path is no code of the user's."""

    def canonical(self, path: str) -> str:
        """Return the one name of a file: absolute, links resolved. A cell's name is itself."""
        known = self._canonical.get(path)
        if known is None:
            named = path.startswith("<") or self.is_cell(path)
            known = path if named else os.path.realpath(path)
            if len(self._canonical) > _REMEMBERED:
                self._canonical.clear()
            self._canonical[path] = known
        return known

    def text(self, path: str) -> str:
        """Return the source's text. Raises SourceUnavailable."""
        if not path.startswith("<"):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    return file.read()
            except OSError:
                pass
        # What was run last under this name: IPython puts each cell there, exec'd code its text.
        text = "".join(linecache.getlines(path)) or modules.text_in_archive(path)
        if not text:
            raise errors.SourceUnavailable(f"The text of {path} can't be had.")
        return text

    def reference_of(self, path: str) -> int:
        """Return a number by which the text of ``path`` can be asked for; 0 if it is a file's.

        0 too where there is no text. A number means the same source as long as the engine lives.
        """
        if not path.startswith("<") and os.path.exists(path):
            return 0
        if path in self._references:
            return self._references.index(path) + 1
        if len(self._references) >= _REMEMBERED or not self._has_text(path):
            return 0
        self._references.append(path)
        return len(self._references)

    def path_of(self, reference: int) -> str:
        """Return the source of a number that `reference_of` gave. Raises SourceUnavailable."""
        if not 0 < reference <= len(self._references):
            raise errors.SourceUnavailable(f"There is no source {reference}.")
        return self._references[reference - 1]

    def _has_text(self, path: str) -> bool:
        return bool(linecache.getlines(path) or modules.text_in_archive(path))

    def statements(self, path: str) -> Statements:
        """Return the statements of the source as it is compiled; none where it can't be read."""
        try:
            text = self.text(path)
        except errors.SourceUnavailable:
            return NONE
        known = self._statements.get(path)
        if known is None or known[0] != text:
            if len(self._statements) >= _PARSED:
                self._statements.clear()
            known = self._statements[path] = text, self._read_statements(path, text)
        return known[1]

    def is_known_to_have_run(self, path: str) -> bool:
        """True if code of this source has run or is loaded as a module."""
        path = self.canonical(path)
        return path in self._ran or self._is_module(path)

    def mark_ran(self, path: str) -> None:
        """Remember that code of this source was seen running."""
        if len(self._ran) > _REMEMBERED:
            self._ran.clear()
        self._ran.add(self.canonical(path))

    def module_path(self, name: str) -> str | None:
        """Return the file of an imported module, or None."""
        file = modules.file_of(name)
        return None if file is None else self.canonical(file)

    def table_of_text(self, path: str) -> LineTable:
        """Return the line table of the source's text as it is now.

        Raises SourceUnavailable, or SyntaxError where the text doesn't compile.
        """
        text = self.transform(path, self.text(path))
        flags = _ALLOW_TOP_LEVEL_AWAIT if self.is_cell(path) else 0
        return table_of_code(compile(text, path, "exec", flags=flags, dont_inherit=True))

    def columns_of_text(self, path: str) -> dict[int, int]:
        """Return the lines of the source's text that have code, with the column where each begins.

        Raises as `table_of_text` does.
        """
        lines = self.text(path).splitlines()
        return {
            line: len(lines[line - 1]) - len(lines[line - 1].lstrip()) + 1
            for line in self.table_of_text(path).lines
            if line <= len(lines)
        }

    def find(self, name: str) -> str:
        """Return the path that a user means by ``name``.

        In this order: a path that exists, the end of a loaded module's path, a file on sys.path;
        else the path under the working folder, where the file may still appear.
        """
        path = os.path.abspath(os.path.expanduser(name))
        if os.path.isabs(name) or os.path.exists(path):
            return path
        end = os.sep + os.path.normpath(name)
        for _, file in modules.files():
            if file.endswith(end):
                return file
        for folder in sys.path:
            candidate = os.path.join(folder or os.curdir, name)
            if os.path.isfile(candidate):
                return os.path.abspath(candidate)
        return path

    def _read_statements(self, path: str, text: str) -> Statements:
        try:
            return statements_of(self.transform(path, text))
        except (errors.BadBreakpoint, SyntaxError):
            return NONE

    def _is_module(self, path: str) -> bool:
        base = os.path.basename(path)
        return any(
            file.endswith(base) and self.canonical(file) == path for _, file in modules.files()
        )


def table_of_code(code: CodeType) -> LineTable:
    """Return the lines of ``code`` and of the code objects inside it."""
    return LineTable(frozenset().union(*map(lines_of, (code, *code_inside(code)))))


def code_inside(code: CodeType) -> Iterator[CodeType]:
    """Yield the code objects inside ``code``, at any depth."""
    waiting = [code]
    while waiting:
        inner = [const for const in waiting.pop().co_consts if isinstance(const, CodeType)]
        yield from inner
        waiting += inner


def lines_of(code: CodeType) -> set[int]:
    """Return the lines of this code object alone that a LINE event can name."""
    if is_type_parameters(code):
        return set()
    found = {line for _, _, line in code.co_lines() if line}
    if code.co_firstlineno in found and not _sends_first_line(code):
        found.discard(code.co_firstlineno)
    return found


def has_line(code: CodeType, line: int) -> bool:
    """True if `lines_of` has the line; cheaper where one line of a long function is asked for."""
    if is_type_parameters(code) or not any(line == known for _, _, known in code.co_lines()):
        return False
    return line != code.co_firstlineno or _sends_first_line(code)


def offsets_within(code: CodeType, line: int, last: int) -> frozenset[int]:
    """Return where a statement from ``line`` to ``last`` comes back to its first line, in bytes.

    A call over several lines does, when its arguments are made, and an await through which an
    exception comes. It is no other time that the statement runs.
    """
    found: set[int] = set()
    before: int | None = None
    for start, _, known in code.co_lines():
        if known == line and before is not None and line < before <= last:
            found.add(start)
        before = known
    if code.co_flags & _SUSPENDS:
        found |= {at for at in range(0, len(code.co_code), 2) if passes_exception(code, at)}
    first = next((start for start, _, known in code.co_lines() if known == line), 0)
    return frozenset(found - {first})


def passes_exception(code: CodeType, at: int) -> bool:
    """True where an await or a ``yield from`` looks at an exception that came into it."""
    return code.co_code[at] == _CLEANUP_THROW


def _sends_first_line(code: CodeType) -> bool:
    """False where the first line is RESUME's alone: what comes before its end sends no events.

    Nor is a class body's counted: on its ``class`` line the statement itself already stands.
    """
    if is_class_body(code):
        return False
    bytecode = code.co_code
    resume = next(at for at in range(0, len(bytecode), 2) if bytecode[at] == _RESUME)
    after = resume + 2
    while bytecode[after] == _CACHE:  # from 3.15 on RESUME has one
        after += 2
    first = code.co_firstlineno
    return any(line == first and end > after for _, end, line in code.co_lines())


def is_top_level(code: CodeType) -> bool:
    """True for a module's, a cell's or a cell statement's own code."""
    return code.co_name == "<module>"


def is_type_parameters(code: CodeType) -> bool:
    """True for the scope that `def f[T]` and `class A[T]` have around them."""
    return code.co_name.startswith("<generic parameters of")


def is_class_body(code: CodeType) -> bool:
    """True for the code of a ``class`` statement's body."""
    return not code.co_flags & CO_OPTIMIZED and not is_top_level(code)
