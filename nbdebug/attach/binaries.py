"""Which Python a program file is: told from the file, which needs no right to look into a process.

Owns the reading of these facts, and keeps them by the file's identity. Knows nothing of processes.
Thread rule: everything here may be called from any thread.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from . import elf, offsets

_MAINS = (b"\0_PyRuntime\0", b"\0Py_Main\0", b"\0Py_BytesMain\0")
_REST = rb"[\d.]{1,6}(?:(?:a|b|rc)\d+)?\+?\0"
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Binary:
    """What a program or a library is."""

    is_python: bool = False
    needs_library: bool = False  # it has its Python in a libpython
    release: str = ""  # "3.14.8"; "" where the file doesn't tell
    is_free_threaded: bool = False


NOTHING = Binary()

_known: dict[tuple[int, int, int], Binary] = {}


def binary_of(path: str) -> Binary:
    """Return what the file is; ``NOTHING`` if it isn't a Python.

    Raises:
        OSError: it can't be read.
    """
    there = os.stat(path)
    key = there.st_dev, there.st_ino, there.st_mtime_ns
    found = _known.get(key)
    if found is None:
        try:
            found = _read(Path(path))
        except (elf.NotElf, struct.error):
            found = NOTHING
        if len(_known) > _MOST:
            _known.clear()
        _known[key] = found
    return found


def _read(path: Path) -> Binary:
    told = elf.contents(path, [".PyRuntime", ".dynstr"])
    head = told.get(".PyRuntime", b"")
    if head.startswith(offsets.COOKIE):
        version, free_threaded = struct.unpack_from("<QQ", head, len(offsets.COOKIE))
        return Binary(True, False, offsets.release_of(version), bool(free_threaded))
    names = told.get(".dynstr", b"")
    if b"libpython" in names and b"_PyRuntime\0" not in names:
        return Binary(needs_library=True)
    if not head and not any(name in names for name in _MAINS):
        return NOTHING
    return Binary(True, False, _release(path, elf.contents(path, [".rodata"]).get(".rodata", b"")))


def _release(path: Path, constants: bytes) -> str:
    """Find the version among a program's constants; a file's name mostly tells the most of it."""
    match = re.search(r"python(\d\.\d+)", os.path.realpath(path))
    named = match[1] if match else ""
    start = re.escape(named or "3.").encode()  # the search is fast only if it begins so
    for found in re.finditer(start + _REST, constants):
        if not re.match(rb"[\w.]", constants[max(0, found.start() - 1) : found.start()]):
            return found[0][:-1].decode()
    return named
