"""`breakpoint()` in a program that a client debugs.

Owns `sys.breakpointhook` while it is installed. Called on whichever thread calls `breakpoint()`.
"""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbdebug.dap.session import Session


class BreakpointHook:
    """Makes ``breakpoint()`` stop in the client, while there is one."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._before: Callable[..., Any] | None = None

    def install(self) -> None:
        """Put it in the place of the present hook."""
        if self._before is None:
            self._before = sys.breakpointhook
            sys.breakpointhook = self._break

    def remove(self) -> None:
        """Put the former hook back, unless the program has set another."""
        if self._before is not None and sys.breakpointhook == self._break:
            sys.breakpointhook = self._before
        self._before = None

    def _break(self, *arguments: Any, **options: Any) -> Any:
        own = not arguments and not options and "PYTHONBREAKPOINT" not in os.environ
        if own and self._session.can_resume():
            self._session.engine.stops.stop_after(sys._getframe(1))
            return None
        return (self._before or sys.__breakpointhook__)(*arguments, **options)
