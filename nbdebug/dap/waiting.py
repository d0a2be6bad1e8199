"""Waits of a main thread that Ctrl-C must end.

Owns the slices. Called on the main thread.
"""

import math
import threading
from time import monotonic

_SLICE_S = 0.5


def wait_for(event: threading.Event, limit_s: float | None = None) -> bool:
    """Wait until the event is set; False after ``limit_s``. Raises KeyboardInterrupt at Ctrl-C.

    In slices: a signal that comes just before a wait begins is seen by Python only after it.
    """
    end = math.inf if limit_s is None else monotonic() + limit_s
    while not event.wait(max(0.0, min(_SLICE_S, end - monotonic()))):
        if monotonic() >= end:
            return False
    return True
