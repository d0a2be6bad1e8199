"""What stands before the INSTRUCTION callback, and says no to what is surely unwanted.

Owns the way to `_quicksites.c`, which does so for every site, and without the compiled part the one
site that stands in the callback itself; must not know how a check decides. Started and stopped
under the site table's lock; any thread may warm and cool.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

from nbdebug.engine import dictwatch
from nbdebug.engine.fast_checks import callback_for
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
        due: dict[Any, Any],
        slot: object,
    ) -> None:
        self._monitor = monitor
        self._arguments = callback, steps, asked, due, slot
        self._native: Any = None
        self._is_warm = False

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

    def warm(self, check: object, code: CodeType, offset: int) -> None:
        """Have the callback make this check by itself, if it can, and C doesn't."""
        if self._native is None:
            callback, steps, asked, due, _ = self._arguments
            names = {"python": callback, "steps": steps, "asked": asked, "due": due}
            made = callback_for(check, code, offset, names)
            if made is not None:
                self._monitor.replace(INSTRUCTION, made)
                self._is_warm = True

    def cool(self) -> None:
        """Have the callback make no check by itself."""
        if self._is_warm:
            self._is_warm = False
            self._monitor.replace(INSTRUCTION, self._arguments[0])

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
