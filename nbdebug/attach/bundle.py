"""What is sent into a target: the modules of the engine, as code where it can be, else as text.

Owns the choice of modules and a cache of them; knows no process. Code is fit for a target whose
bytecode is this Python's; another one compiles the text, which takes it some tenths of a second.
Any thread may call.
"""

import functools
import importlib.util
import marshal
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

FOLDER = Path(__file__).resolve().parent.parent
_PACKAGES = ("engine", "dap")
_ALONE = ("__init__", "_version", "errors", "compat", "attach/resident", "attach/lightclasses")

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
"""What most sessions never need. Marshalled, it takes half as much of the target's memory."""

Modules = dict[str, tuple[bool, CodeType | bytes | str]]
"""Module name -> is it a package, and its code, as it is or marshalled, or its text."""


def modules_for(magic: bytes) -> Modules:
    """Return what a target with this magic number of bytecode is sent; the dict is the caller's."""
    return dict(_modules(magic == importlib.util.MAGIC_NUMBER))


@functools.cache
def _modules(as_code: bool) -> Modules:
    paths = [FOLDER / f"{name}.py" for name in _ALONE]
    for package in _PACKAGES:
        paths += sorted((FOLDER / package).glob("*.py"))
    found: Modules = {"nbdebug.attach": (True, "")}  # ours looks itself up in sys.modules
    for path in paths:
        parts = ["nbdebug", *path.relative_to(FOLDER).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        loader = SourceFileLoader(name, str(path))
        if name not in _CLIENTS:
            found[name] = is_package, _code(loader, name) if as_code else _text(loader, name)
    return found


def _code(loader: SourceFileLoader, name: str) -> CodeType | bytes:
    code = loader.get_code(name)
    assert code is not None
    return marshal.dumps(code) if name in LATER else code


def _text(loader: SourceFileLoader, name: str) -> str:
    text = loader.get_source(name)
    assert text is not None
    return text
