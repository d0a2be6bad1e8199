"""Which sources are loaded: the files of modules, and cells that have run.

Owns what was last told of them; looks only when it is asked, so imports cost nothing more. Any
thread may ask, one at a time.
"""

from collections.abc import Callable, Iterable

from nbdebug.engine import modules
from nbdebug.engine.locks import locked, new_lock

_CELLS = 1000  # the last that ran


class LoadedSources:
    """The sources that are loaded, and how that differs from when they were last asked for."""

    def __init__(self) -> None:
        self.cells: Callable[[], Iterable[str]] = tuple
        """Gives the file names of the cells that have run, the first to run first."""
        self._known: dict[str, object] = {}
        self._lock = new_lock()

    @locked
    def look_again(self) -> list[str]:
        """Return the paths of the sources that are loaded."""
        self._known = self._now()
        return list(self._known)

    @locked
    def changes(self) -> list[tuple[str, str]]:
        """Return (reason, path) of what has come ("new"), was reloaded or has gone since."""
        before, now = self._known, self._now()
        self._known = now
        new = [("new", path) for path in now if path not in before]
        changed = [
            ("changed", path) for path, spec in now.items() if before.get(path, spec) is not spec
        ]
        return [*new, *changed, *(("removed", path) for path in before if path not in now)]

    def _now(self) -> dict[str, object]:
        found = {path: spec for path, spec in modules.specs() if path.endswith(".py")}
        return {**found, **dict.fromkeys(list(self.cells())[-_CELLS:])}
