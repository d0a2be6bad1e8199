"""The one user of psutil: finds and weighs the processes of a kernel, helpers included."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

TAG = "NBDEBUG_BENCHMARK"
"""Environment variable that marks a kernel and whatever it starts, daemons too."""


def tagged(tag: str) -> list[int]:
    """Process ids of all living processes that carry ``tag``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TAG) == tag and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def rss_bytes(pid: int) -> int:
    """Resident memory of one process."""
    return int(psutil.Process(pid).memory_info().rss)


def own_bytes(tag: str) -> int:
    """Memory of all processes that carry ``tag``, shared pages divided among those that share.

    That is Linux's PSS; elsewhere the resident memory, which counts shared pages in full.
    """
    total = 0
    for pid in tagged(tag):
        with suppress(psutil.Error):
            memory = psutil.Process(pid).memory_full_info()
            total += int(getattr(memory, "pss", memory.rss))
    return total


def kill_tagged(tag: str) -> None:
    """Kill every process that carries ``tag`` and wait until none runs, for at most 5 s.

    One whose parent doesn't fetch its exit status stays as a zombie, which holds nothing.
    """
    limit = time.monotonic() + 5
    while (left := tagged(tag)) and time.monotonic() < limit:
        for pid in left:
            with suppress(psutil.Error):
                psutil.Process(pid).kill()
        time.sleep(0.01)
