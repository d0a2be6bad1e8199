"""The modules that are loaded, read as they physically are.

Owns nothing. A module in sys.modules may be lazy, or any object with code behind its attributes:
only its namespace is read, so none of that runs. Any thread may call.
"""

import sys
import zipimport
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

_WRAPPERS = 10


def namespaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, namespace) of each loaded module."""
    for name, module in sys.modules.copy().items():
        namespace = _namespace_of(module)
        if namespace is not None:
            yield name, namespace


def file_of(name: str) -> str | None:
    """Return the source file that a loaded module names, or None."""
    return _file_in(_namespace_of(sys.modules.get(name)))


def files() -> Iterator[tuple[str, str]]:
    """Yield (name, source file) of each loaded module that has one."""
    for name, namespace in namespaces():
        file = _file_in(namespace)
        if file is not None:
            yield name, file


def specs() -> Iterator[tuple[str, object]]:
    """Yield (source file, spec) of each loaded module; a reload gives it another spec."""
    for _, namespace in namespaces():
        file = _file_in(namespace)
        if file is not None:
            yield file, namespace.get("__spec__")


def text_in_archive(path: str) -> str:
    """Return the source of a module that was imported from a zip file, "" for any other path."""
    for _, namespace in namespaces():
        if _file_in(namespace) == path:
            loader = namespace.get("__loader__")
            if type(loader) is zipimport.zipimporter:  # another's get_source is the user's code
                try:
                    return loader.get_source(str(namespace.get("__name__"))) or ""
                except (ImportError, OSError):
                    return ""
    return ""


def is_loaded(namespace: dict[str, Any]) -> bool:
    """True if ``namespace`` is that of a loaded module."""
    return _namespace_of(sys.modules.get(str(namespace.get("__name__")))) is namespace


def code_of_function(name: str) -> CodeType | None:
    """Return the code of a function that exists: ``f`` of __main__, ``Class.m``, ``pkg.mod.f``."""
    parts = name.split(".")
    for split in range(len(parts) - 1, -1, -1):
        namespace = _namespace_of(sys.modules.get(".".join(parts[:split]) or "__main__"))
        found = _function_in(namespace, parts[split:])
        if found is not None and found.co_name == parts[-1]:
            return found
    return None


def _namespace_of(module: object) -> dict[str, Any] | None:
    try:
        namespace = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return None
    return namespace if type(namespace) is dict else None


def _file_in(namespace: dict[str, Any] | None) -> str | None:
    file = (namespace or {}).get("__file__")
    return file if type(file) is str else None


def _function_in(namespace: Any, path: list[str]) -> CodeType | None:
    value: object = None
    for part in path:
        if namespace is None or part not in namespace:
            return None
        value = namespace[part]
        namespace = type.__dict__["__dict__"].__get__(value) if isinstance(value, type) else None
    if type(value) in (staticmethod, classmethod):
        value = value.__func__  # type: ignore[attr-defined]
    elif type(value) is property:
        value = value.fget
    for _ in range(_WRAPPERS):
        if type(value) is not FunctionType:
            return None
        wrapped = value.__dict__.get("__wrapped__")
        if wrapped is None:
            return value.__code__
        value = wrapped
    return None
