"""How long a look at another process takes, and how much of what it shows is valid.

Run by path, in the interpreter that looks: ``python looking.py LOOKS CHANGING PID ...``. Prints
JSON: {"times": [{"first": s, "warm": [s, ...]}, ...], "valid": share, "cpython": share or null},
for the waiting processes PID ... and one, CHANGING, whose call depth never stands still. The same
looks are made by CPython's own unwinder where it reads this version.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import TYPE_CHECKING

from nbdebug.attach.looking import Look

if TYPE_CHECKING:
    from collections.abc import Callable

WARM = 20


def times_of(pid: int) -> dict[str, object]:
    """The first look at a process, from nothing known of it, and some more."""
    start = time.perf_counter()
    with Look(pid) as look:
        look.stacks()
        first = time.perf_counter() - start
        warm = []
        for _ in range(WARM):
            start = time.perf_counter()
            look.stacks()
            warm.append(time.perf_counter() - start)
    return {"first": first, "warm": warm}


def is_valid(names: list[str]) -> bool:
    """Whether these calls, from the outermost in, can be a stack: see CHANGING in sections."""
    way = names[2].partition("_")[0] if len(names) > 2 else ""
    return names == ["<module>", "main", *(f"{way}_{depth}" for depth in range(len(names) - 2))]


def ours(pid: int, looks: int) -> float:
    """The share of the stacks that are shown and valid."""
    with Look(pid) as look:

        def stack() -> list[str] | None:
            (main,) = look.stacks().threads
            return [frame.function for frame in reversed(main.frames)] or None

        return share(stack, looks)


def cpythons(pid: int, looks: int) -> float | None:
    """The same of `_remote_debugging`, None where it doesn't read this process."""
    try:
        unwinder = importlib.import_module("_remote_debugging").RemoteUnwinder(pid)
    except (ImportError, RuntimeError, OSError):
        return None

    def stack() -> list[str] | None:
        try:
            found = unwinder.get_stack_trace()
        except (RuntimeError, OSError, UnicodeDecodeError, MemoryError):
            return []
        threads = getattr(found[0], "threads", found) if found else []
        if not threads:
            return []
        thread = threads[0]
        return [frame.funcname for frame in reversed(thread.frame_info)]

    return share(stack, looks)


def share(stack: Callable[[], list[str] | None], looks: int) -> float:
    """Of the stacks that are shown; None is one that is admitted not to be seen."""
    found = [one for one in (stack() for _ in range(looks)) if one is not None]
    return sum(map(is_valid, found)) / len(found)


def main() -> None:
    """Look, and print."""
    looks, changing, *waiting = map(int, sys.argv[1:])
    # CPython's first: after our looks this process is on the target's processor, for a while.
    cpython = cpythons(changing, looks)
    times = [times_of(pid) for pid in waiting]
    result = {"times": times, "valid": ours(changing, looks), "cpython": cpython}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
