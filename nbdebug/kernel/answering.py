"""How a magic tells an error: as one line, without a traceback.

Owns that line. Run on the thread that runs the cell.
"""

import sys
from collections.abc import Callable

from nbdebug import errors


def answer[T](run: Callable[[], T]) -> T | None:
    """Return what a magic's work gives; an error of ours is printed, and gives None."""
    try:
        return run()
    except errors.NbdebugError as error:
        tell(error)
        return None


def tell(error: errors.NbdebugError) -> None:
    """Print an error and what to do about it."""
    print(f"{error} {error.advice}".strip(), file=sys.stderr)
