"""The first half of the INSTRUCTION callback, in C: it says no to what is surely unwanted.

Owns the way to `_quicksites.c`; must not know how a check decides. Without the compiled part the
callback in Python does it all. Started and stopped under the site table's lock.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

from nbdebug.engine import dictwatch
from nbdebug.engine.monitor import INSTRUCTION, Monitor

if TYPE_CHECKING:
    from nbdebug.engine._dictwatch import Place
    from nbdebug.engine._dictwatch import Site as Handle


@dataclass(frozen=True, slots=True)
class Quick:
    """A check that C can make: of the value that ``owner`` has under ``name``.

    ``owner`` is a dict, a weak reference to an object, or None for a local of the frame. ``test``
    and ``condition`` are of the old and the new value.
    """

    place: Any  # a Place; as a text it would need a module in sys.modules
    owner: object
    name: str
    test: Callable[[object, object], Any] | None
    condition: str | None


class Front:
    """What stands before the callback in Python, once something is watched."""

    def __init__(
        self,
        monitor: Monitor,
        callback: Callable[[CodeType, int], Any],
        steps: dict[Any, Any],
        asked: dict[Any, Any],
        slot: object,
    ) -> None:
        self._monitor = monitor
        self._arguments = callback, steps, asked, slot
        self._native: Any = None

    def start(self) -> None:
        """Stand before the callback from now on, if there is a compiled part."""
        if self._native is None:
            self._native = dictwatch.compiled()
            if self._native is not None:
                self._native.front(*self._arguments)
                self._monitor.replace(INSTRUCTION, self._native.on_instruction)

    def stop(self) -> None:
        """Do nothing more; the monitor's callbacks are gone, or will be."""
        if self._native is not None:
            self._native.no_front()
            self._native = None

    def place(self) -> "Place | None":
        """Return a new place for `Quick`; None without a compiled part."""
        return None if self._native is None else self._native.Place()

    def sites(
        self, code: CodeType, checks: Iterable[tuple[int, Quick | None]]
    ) -> "tuple[Handle, ...]":
        """Check these offsets; without a `Quick` by Python alone. To be closed with the code."""
        if self._native is None:
            return ()
        return tuple(self._site(code, offset, quick) for offset, quick in checks)

    def _site(self, code: CodeType, offset: int, quick: Quick | None) -> "Handle":
        if quick is None:
            alone: Handle = self._native.Site(code, offset, None, None, "", None, -1, None)
            return alone
        comparison, bound = dictwatch.comparison_of(quick.condition)
        made: Handle = self._native.Site(
            code, offset, quick.place, quick.owner, quick.name, quick.test, comparison, bound
        )
        return made
