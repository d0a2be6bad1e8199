"""How long a look at another process takes, and how much of what it shows is valid.

Run by path, in the interpreter that looks: ``python looking.py LOOKS CHANGING PID ...``. Prints
JSON: {"times": [{"first": s, "warm": [s, ...]}, ...], "valid": share, "cpython": share or null},
for the waiting processes PID ... and one, CHANGING, whose call depth never stands still. The same
looks are made by CPython's own unwinder where it reads this version.
"""

from __future__ import annotations

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
    """Whether these calls, from the outermost in, are a stack of ``depths`` in the target."""
    known = [int(name[1:]) for name in names[2:]]
    return names[:2] == ["<module>", "main"] and all(
        inner in (2 * outer, 2 * outer + 1)
        for outer, inner in zip([1, *known], known, strict=False)
    )


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
        import _remote_debugging

        unwinder = _remote_debugging.RemoteUnwinder(pid, all_threads=True)
    except (ImportError, RuntimeError, OSError):
        return None

    def stack() -> list[str] | None:
        try:
            found = unwinder.get_stack_trace()
        except (RuntimeError, OSError, UnicodeDecodeError, MemoryError):
            return []
        thread = found[0].threads[0] if hasattr(found[0], "threads") else found[0]
        return [frame.funcname for frame in reversed(thread.frame_info)]

    return share(stack, looks)


def share(stack: Callable[[], list[str] | None], looks: int) -> float:
    """Of the stacks that are shown; None is one that is admitted not to be seen."""
    found = [one for one in (stack() for _ in range(looks)) if one is not None]
    return sum(map(is_valid, found)) / len(found)


def main() -> None:
    """Look, and print."""
    looks, changing, *waiting = map(int, sys.argv[1:])
    result = {
        "times": [times_of(pid) for pid in waiting],
        "valid": ours(changing, looks),
        "cpython": cpythons(changing, looks),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
