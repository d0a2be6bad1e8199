"""What is sent into a target: the modules of the engine, as code where it can be, else as text.

Owns the choice of modules and a cache of them; knows no process. Code is fit for a target whose
bytecode is this Python's; another one compiles the text, which takes it some tenths of a second.
Any thread may call.
"""

import contextlib
import functools
import importlib.util
import marshal
import os
import sys
import zlib
from pathlib import Path
from types import CodeType

from nbdebug.attach import lean

FOLDER = Path(__file__).resolve().parent.parent
_KEPT = Path(importlib.util.cache_from_source(__file__)).with_suffix(".modules")
OLDEST_FORMAT = 4
"""Of marshal: every Python that we come into reads it."""
_PACKAGES = ("engine", "dap")
_ALONE = ("__init__", "_version", "errors", "compat", "attach/resident", "attach/lightclasses")
_TYPING = "attach/lighttyping"
"""Only for lean code: without annotations, little of `typing` is needed."""

_CLIENTS = {
    f"nbdebug.dap.{name}"
    for name in (
        "breakpoint_text",
        "client",
        "following",
        "launching",
        "links",
        "points",
        "remote",
        "sessions",
        "watch_history",
        "watch_text",
        "watching",
    )
}
"""What only a client needs: it isn't sent."""
LATER = {
    "nbdebug.dap.children",
    "nbdebug.dap.listening",
    "nbdebug.dap.process_starts",
    "nbdebug.dap.server",
    "nbdebug.engine.hardware",
    "nbdebug.engine.hardware_watches",
    "nbdebug.engine.line_sites",
    "nbdebug.engine.line_watches",
    "nbdebug.engine.memory",
    "nbdebug.engine.memory_targets",
    "nbdebug.engine.traps",
}
"""What most sessions never need. Packed, it takes a fifth as much of the target's memory."""

Module = tuple[bool, CodeType | bytes | str]
"""Is it a package, and its code, as it is or packed, or its text."""
Stamp = tuple[str, int, int]


def modules_for(magic: bytes) -> bytes:
    """Return what a target with this magic number of bytecode is sent.

    That is a marshalled dict of module name -> `Module`. As code it takes some tenths of a second
    to make, and is kept beside our own bytecode where that can be written.
    """
    return _code() if magic == importlib.util.MAGIC_NUMBER else _text()


def prepare() -> None:
    """Have at hand what most targets are sent; the first call in a process may take a moment."""
    _code()


@functools.cache
def _text() -> bytes:
    found: dict[str, Module] = {"nbdebug.attach": (True, "")}  # ours looks itself up in sys.modules
    for name, path in _paths(*_ALONE).items():
        found[name] = path.stem == "__init__", path.read_text(encoding="utf-8")
    return marshal.dumps(found, OLDEST_FORMAT)


@functools.cache
def _code() -> bytes:
    paths = _paths(*_ALONE, _TYPING)
    stamps = [_stamp(path) for path in (*paths.values(), Path(__file__), Path(lean.__file__))]
    kept = _kept(stamps)
    if kept is None:
        found: dict[str, Module] = {"nbdebug.attach": (True, lean.code_of("", "<nbdebug.attach>"))}
        for name, path in paths.items():
            code = lean.code_of(path.read_text(encoding="utf-8"), str(path))
            found[name] = path.stem == "__init__", _packed(code) if name in LATER else code
        kept = marshal.dumps(found)
        _keep(stamps, kept)
    return kept


def _packed(code: CodeType) -> bytes:
    return zlib.compress(marshal.dumps(code))


def _paths(*alone: str) -> dict[str, Path]:
    """Return module name -> path of these files, and of all of the packages that are sent."""
    paths = [FOLDER / f"{name}.py" for name in alone]
    for package in _PACKAGES:
        paths += sorted((FOLDER / package).glob("*.py"))
    found = {}
    for path in paths:
        parts = ["nbdebug", *path.relative_to(FOLDER).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name not in _CLIENTS:
            found[name] = path
    return found


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


def _kept(stamps: list[Stamp]) -> bytes | None:
    """Return what was kept, if it was made of these files as they are."""
    try:
        of, kept = marshal.loads(_KEPT.read_bytes())
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return kept if of == stamps and isinstance(kept, bytes) else None


def _keep(stamps: list[Stamp], made: bytes) -> None:
    if sys.dont_write_bytecode:
        return
    new = _KEPT.with_name(f"{_KEPT.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        _KEPT.parent.mkdir(exist_ok=True)
        new.write_bytes(marshal.dumps((stamps, made)))
        new.replace(_KEPT)
