"""How a client names files, lines and columns, turned into the kernel's names and back.

Owns path mappings, `file:` URIs and counting from 0: all that `initialize` and `attach` may ask for
at this edge. Knows messages as JSON only, so that no request can forget it. Immutable; any thread.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

_WINDOWS = re.compile(r"[A-Za-z]:|\\\\")
_NAMED = ("source", "module", "modules", "sources")  # what holds objects with a `path`
_LINES, _COLUMNS = ("line", "endLine"), ("column", "endColumn")
# What stands below is the user's or another's, and none of these properties.
_OPAQUE = ("data", "metadata", "adapterData", "error", "pathMappings", "rules")


@dataclass(frozen=True, slots=True)
class Mapping:
    """A folder of the client's, and the same one as the debugged process has it."""

    local_root: str
    remote_root: str

    def to_remote(self, path: str) -> str | None:
        """Return the process's name of a client's file, None if it isn't below ``local_root``."""
        rest = _below(path, self.local_root)
        return None if rest is None else os.path.join(_remote(self.remote_root), *rest)

    def to_local(self, path: str) -> str | None:
        """Return the client's name of a file of the process, None if it isn't below its root."""
        root = _remote(self.remote_root)
        rest = _below(path, root)
        if rest is None:
            rest = _below(path, os.path.realpath(root))
        if rest is None:
            return None
        separator = "\\" if _is_windows(self.local_root) else "/"
        return separator.join([self.local_root.rstrip("/\\"), *rest])


@dataclass(frozen=True, slots=True)
class Edge:
    """One client's way to name places. The default is the kernel's own, and costs nothing."""

    mappings: tuple[Mapping, ...] = ()
    uses_uris: bool = False
    first_line: int = 1
    first_column: int = 1

    def received(self, arguments: Any) -> Any:
        """Return a request's arguments with the process's names and 1-based numbers."""
        return (
            arguments if self == _PLAIN else _changed(arguments, self._to_remote, self._shifts(1))
        )

    def told(self, body: Any) -> Any:
        """Return the body of a reply or event with the client's names and numbers."""
        if self == _PLAIN:
            return body
        return _changed(body, self._to_local, self._shifts(-1))

    def _shifts(self, sign: int) -> dict[str, int]:
        line, column = sign * (1 - self.first_line), sign * (1 - self.first_column)
        return {**dict.fromkeys(_LINES, line), **dict.fromkeys(_COLUMNS, column)}

    def _to_remote(self, path: str) -> str:
        if path.startswith("file:"):
            from urllib.parse import unquote, urlsplit  # few clients use URIs

            path = unquote(urlsplit(path).path)
            # file:///c:/a names c:/a; a path of the process itself keeps its slash.
            path = path[1:] if _is_windows(path[1:]) else path
        return self._first(path, (m.to_remote(path) for m in self._longest(lambda m: m.local_root)))

    def _to_local(self, path: str) -> str:
        longest = self._longest(lambda m: _remote(m.remote_root))
        path = self._first(path, (m.to_local(path) for m in longest))
        if not self.uses_uris or not (path.startswith("/") or _is_windows(path)):
            return path
        from urllib.parse import quote

        named = path.replace("\\", "/") if _is_windows(path) else path
        return "file://" + quote(named if named.startswith("/") else "/" + named, safe="/:")

    def _longest(self, root: Callable[[Mapping], str]) -> list[Mapping]:
        return sorted(self.mappings, key=lambda mapping: -len(root(mapping)))

    def _first(self, path: str, found: Iterable[str | None]) -> str:
        return next((one for one in found if one is not None), path)


_PLAIN = Edge()


def _changed(value: Any, path: Callable[[str], str], shifts: dict[str, int], key: str = "") -> Any:
    """Return a copy of JSON with the paths and the lines and columns in it changed."""
    if isinstance(value, list):
        return [_changed(one, path, shifts, key) for one in value]
    if not isinstance(value, dict):
        # debugInfo, which is Jupyter's, has a source's path alone.
        return path(value) if key == "source" and isinstance(value, str) else value
    found = {}
    for name, one in value.items():
        if name in _OPAQUE:
            found[name] = one
        elif name == "path" and key in _NAMED and isinstance(one, str):
            found[name] = path(one)
        elif name in shifts and type(one) is int:
            found[name] = max(one + shifts[name], 0)
        else:
            found[name] = _changed(one, path, shifts, name)
    return found


def _below(path: str, root: str) -> list[str] | None:
    """Return the parts of ``path`` below the folder ``root``, None if it isn't there."""
    parts, roots = _parts(path, root), _parts(root, root)
    same = [part.lower() for part in parts[: len(roots)]] if _is_windows(root) else parts
    wanted = [part.lower() for part in roots] if _is_windows(root) else roots
    return parts[len(roots) :] if roots and same[: len(roots)] == wanted else None


def _parts(path: str, root: str) -> list[str]:
    """Split a path; a backslash separates where ``root`` is of Windows."""
    text = path.replace("\\", "/") if _is_windows(root) else path
    head = ["/"] if text.startswith("/") else []
    return head + [part for part in text.split("/") if part]


def _is_windows(path: str) -> bool:
    return _WINDOWS.match(path) is not None


def _remote(root: str) -> str:
    return os.path.abspath(os.path.expanduser(root))  # "." is the process's working folder
