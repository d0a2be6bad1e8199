"""Cells: their file names, texts and transformations, as ipykernel and IPython have them.

Owns what nbdebug changes in IPython's input transformer while it is loaded. The main thread loads
and unloads; the control thread asks.
"""

import linecache
import os
import re
import sys
from pathlib import Path
from typing import Any

from ipykernel.compiler import get_file_name, get_tmp_directory
from IPython.core.inputtransformer2 import leading_empty_lines

from nbdebug import errors

_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
_HISTORY = re.compile(r"_(\d+|i\d*|ii|iii|_|__)?$")


class Cells:
    """Knows a kernel's cells by their file names."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

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

        Raises InCellMagic.
        """
        if not self.is_cell(path):
            return text
        magic = _CELL_MAGIC.match(text)
        if magic is not None:
            said = f"`%%{magic[1]}` runs its cell in a way of its own: no line of it can stop."
            raise errors.InCellMagic(said)
        transformed: str = self._shell.transform_cell(text)
        return transformed

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


def _leading_lines_of_magics(lines: list[str]) -> list[str]:
    """Drop leading empty lines, as IPython does, where a cell magic must come first."""
    first = next((line for line in lines if line.strip()), "")
    if not first.lstrip().startswith("%%"):
        return lines
    dropped: list[str] = leading_empty_lines(lines)
    return dropped
