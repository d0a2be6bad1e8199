"""What the `watchpoints` package makes of the loops of watching.py: a peer, in its own process.

Run by path: ``python watching_watchpoints.py ITERATIONS``. Prints JSON: {loop: ratio}. In a file of
its own because it reads the source of its callers, and in a process because on some versions of
Python it ends that.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_package: Any = importlib.import_module("watchpoints")  # which has no types
watch, unwatch = _package.watch, _package.unwatch

x = z = 0


class P:
    """An object with one attribute."""

    a = 0


p, q = P(), P()
REPEATS = 3


def never(value: object) -> bool:
    """The condition, which never holds."""
    return False


def local_never(n: int, is_watched: bool) -> None:
    """A local that isn't written."""
    x = y = 0
    if is_watched:
        watch(x, when=never)
    for i in range(n):
        y = i & 3
        if y == 9:
            x = i


def local_written(n: int, is_watched: bool) -> None:
    """A local that is."""
    x = y = 0
    if is_watched:
        watch(x, when=never)
    for i in range(n):
        x = i
        y = x + 1  # noqa: F841


def global_other(n: int, is_watched: bool) -> None:
    """Another global."""
    global z  # noqa: PLW0603 # that is what is measured
    if is_watched:
        watch(x, when=never)
    for i in range(n):
        z = i
        y = i + 1  # noqa: F841


def global_written(n: int, is_watched: bool) -> None:
    """The global."""
    global x  # noqa: PLW0603
    if is_watched:
        watch(x, when=never)
    for i in range(n):
        x = i
        y = i + 1  # noqa: F841


def attribute_other(n: int, is_watched: bool) -> None:
    """Another object's attribute."""
    one = q
    if is_watched:
        watch(p.a, when=never)
    for i in range(n):
        one.a = i
        y = i + 1  # noqa: F841


def attribute_written(n: int, is_watched: bool) -> None:
    """The object's."""
    one = p
    if is_watched:
        watch(p.a, when=never)
    for i in range(n):
        one.a = i
        y = i + 1  # noqa: F841


def element_other(n: int, is_watched: bool) -> None:
    """Another element of the array."""
    import numpy as np

    data: Any = np.zeros(8)
    if is_watched:
        watch(data[5], when=never)
    for i in range(n):
        data[i & 3] = i
        y = i + 1  # noqa: F841


LOOPS = (
    local_never,
    local_written,
    global_other,
    global_written,
    attribute_other,
    attribute_written,
    element_other,
)


def best_s(loop: Callable[[int, bool], object], size: int, is_watched: bool) -> float:
    """CPU seconds of one call, the best of some."""
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        loop(size, is_watched)
        times.append(time.thread_time() - start)
        unwatch()
    return min(times)


def main(size: int) -> None:
    """Measure all and print it."""
    found = {}
    for loop in LOOPS:
        loop(1000, False)
        found[loop.__name__] = best_s(loop, size, True) / best_s(loop, size, False)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
