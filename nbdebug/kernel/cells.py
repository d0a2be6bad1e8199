"""Cells: their file names, texts, ids and transformations, as ipykernel and IPython have them.

Owns what nbdebug changes in IPython's input transformer while it is loaded; what it changes in the
compiler is for bodies. The main thread loads and unloads; the control thread asks.
"""

import linecache
import os
import re
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

from ipykernel.compiler import get_file_name, get_tmp_directory
from IPython.core.inputtransformer2 import leading_empty_lines

from nbdebug import errors
from nbdebug.engine.sources import code_inside
from nbdebug.kernel.bodies import Bodies, leading_lines

_CELL_MAGIC = re.compile(r"\s*%%(\S+)")
_RUN_AS_CODE = ("time", "timeit", "capture", "prun")
"""IPython's own magics that run their cell as Python in this process."""
_REMEMBERED = 10_000  # cells
_HISTORY = re.compile(r"_(\d+|i\d*|ii|iii|_|__)?$")


class Cells:
    """Knows a kernel's cells by their file names."""

    def __init__(self, shell: Any, wanted: Callable[[], bool] = lambda: True) -> None:
        self.bodies = Bodies(shell, wanted)
        self._shell = shell
        self._opaque: set[str] = set()
        self.shared: Callable[[str], None] = lambda path: None
        """Called with a file name when the number of cells that have it changes."""
        self._paths: dict[str, str] = {}  # id of a cell -> the file name of its present text
        self._numbers: dict[str, int] = {}  # file name -> the number of its cell's last run
        self._running = threading.local()
        self._cells_of_code: dict[int, tuple[weakref.ref[CodeType], str]] = {}
        self.bodies.started, self.bodies.made = self._started, self._made

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the file names of cells begin with."""
        named = os.environ.get("IPYKERNEL_CELL_NAME")
        return (get_tmp_directory() + os.sep, *([named] if named else []))

    def is_cell(self, path: str) -> bool:
        """True if ``path`` is a cell's file name."""
        return path.startswith(self.prefixes)

    def running(self) -> str | None:
        """Return the file name of the cell that the calling thread runs, or None."""
        found, frame = None, sys._getframe()
        while frame is not None:
            if self.is_cell(frame.f_code.co_filename):
                found = frame.f_code.co_filename
            if frame.f_back is None:
                break
            frame = frame.f_back
        return found

    def starts(self, info: Any) -> None:
        """Take note of the id of a cell that begins to run; ipykernel has it from some clients."""
        if self.running() is None:  # else a magic runs a part of its cell
            self._running.cell = getattr(info, "cell_id", None) or ""

    def last(self) -> str | None:
        """Return the file name of the cell that the calling thread runs, or has just run."""
        path: str | None = getattr(self._running, "path", None)
        return path

    def ended(self) -> str | None:
        """Take note that a cell has ended; return its file name if its magic kept its body off."""
        path: str | None = getattr(self._running, "path", None)
        self._running.path = None
        if path is None or path in self.bodies.compiled or not self.bodies.has_magic(path):
            return None
        if len(self._opaque) > _REMEMBERED:
            self._opaque.clear()
        self._opaque.add(path)
        return path

    def paths(self) -> list[str]:
        """Return the file names of the cells that have run, the last one last."""
        return [path for path in self._shell.compile._filename_map.copy() if self.is_cell(path)]

    def count(self, path: str) -> int:
        """Return how many of the cells that have run have this file name, so this text."""
        return sum(1 for one in self._paths.values() if one == path)

    def cell_of(self, code: CodeType) -> str:
        """Return the id of the cell that defined ``code``, "" where no client told it."""
        known = self._cells_of_code.get(id(code))
        return known[1] if known is not None and known[0]() is code else ""

    def label(self, path: str) -> str:
        """Return what a user calls a cell: ``cell [7]``, by the number of its last run."""
        number = self._numbers.get(path)
        return "a cell" if number is None else f"cell [{number}]"

    def place(self, path: str, line: int) -> str:
        """Return what a user of notebooks calls a line of a source."""
        name = self.label(path) if self.is_cell(path) else os.path.basename(path)
        return f"{name} line {line}"

    def line(self, path: str, number: int) -> str:
        """Return the text of a cell's line, or "" where it isn't known."""
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = linecache.getlines(path)
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    def dump(self, text: str) -> str:
        """Write a cell's text where a client may look for it; return the file's name."""
        path = Path(get_file_name(text))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def transform(self, path: str, text: str) -> str:
        """Return what is compiled for a cell's text: magics and shell commands made Python.

        A magic's own line, and each line of its body, keeps its number. Raises InCellMagic; and
        SourceUnavailable for a body of which it isn't known yet whether it runs here.
        """
        if not self.is_cell(path):
            return text
        magic = _CELL_MAGIC.match(text)
        if magic is None:
            transformed: str = self._shell.transform_cell(text)
            return transformed
        self._check_magic(magic[1], path)
        header = leading_lines(text)
        body = "".join(text.splitlines(keepends=True)[header + 1 :])
        return "\n" * header + "get_ipython()\n" + self.transform(path, body)

    def keep_leading_lines(self) -> None:
        """Have IPython keep a cell's leading empty lines, so that line numbers are the cell's."""
        transforms = self._shell.input_transformer_manager.cleanup_transforms
        if leading_empty_lines in transforms:
            transforms[transforms.index(leading_empty_lines)] = _leading_lines_of_magics

    def restore_leading_lines(self) -> None:
        """Undo `keep_leading_lines`."""
        transforms = self._shell.input_transformer_manager.cleanup_transforms
        if _leading_lines_of_magics in transforms:
            transforms[transforms.index(_leading_lines_of_magics)] = leading_empty_lines

    def is_hidden(self, name: str, value: object, namespace: dict[str, Any]) -> bool:
        """True for a global that IPython keeps for itself, by what it is, not by its name alone.

        A user's own ``exit`` or ``_1`` is shown.
        """
        shell = self._shell
        if namespace is not shell.user_ns:
            return False
        missing = object()
        is_special = name.startswith("__") and name.endswith("__")
        if not is_special and shell.user_ns_hidden.get(name, missing) is value:
            return True
        match = _HISTORY.match(name)
        if match is None:
            return False
        if match[1] is not None and match[1].isdigit():
            outputs = namespace.get("_oh")
            return type(outputs) is dict and outputs.get(int(match[1]), missing) is value
        return name in shell.user_ns_hidden or match[1] is None or match[1].startswith(("i", "_"))

    def remove_files(self) -> None:
        """Remove the files that `dump` wrote, and their folder if nothing else is in it."""
        folder = Path(get_tmp_directory())
        for file in folder.glob("*.py"):
            file.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    # -- inside

    def _check_magic(self, name: str, path: str) -> None:
        """Raise InCellMagic or SourceUnavailable unless the magic runs its body as code here."""
        found = self._shell.find_cell_magic(name)
        module = str(getattr(found, "__module__", ""))
        if found is not None and module.partition(".")[0] in ("IPython", "ipykernel"):
            if name not in _RUN_AS_CODE:
                said = f"`%%{name}` doesn't run its cell as Python code here: no line can stop."
                raise errors.InCellMagic(said)
        elif path in self._opaque:
            said = f"`%%{name}` runs its cell in a way of its own: no line of it can stop."
            raise errors.InCellMagic(said)
        elif path not in self.bodies.compiled:
            raise errors.SourceUnavailable(f"It isn't known yet how `%%{name}` runs its cell.")

    def _started(self, path: str, number: int) -> None:
        """A cell's text has got its file name, on the thread that runs it."""
        self._running.path = path
        if len(self._numbers) > _REMEMBERED:
            self._numbers.clear()
        self._numbers[path] = number
        cell = getattr(self._running, "cell", "")
        before = self._paths.get(cell)
        if not cell or before == path:
            return
        if len(self._paths) > _REMEMBERED:
            self._paths.clear()
        self._paths[cell] = path
        for one in (before, path):
            if one is not None:
                self.shared(one)

    def _made(self, code: CodeType) -> None:
        """Code of a cell was compiled on the thread that runs it."""
        cell = getattr(self._running, "cell", "")
        if not cell:
            return
        for one in (code, *code_inside(code)):
            forget = partial(_forget, self._cells_of_code, id(one))
            self._cells_of_code[id(one)] = weakref.ref(one, forget), cell


def _forget(known: dict[int, Any], key: int, _: object) -> None:
    known.pop(key, None)


def _leading_lines_of_magics(lines: list[str]) -> list[str]:
    """Drop leading empty lines, as IPython does, where a cell magic must come first."""
    first = next((line for line in lines if line.strip()), "")
    if not first.lstrip().startswith("%%"):
        return lines
    dropped: list[str] = leading_empty_lines(lines)
    return dropped
