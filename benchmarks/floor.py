"""What the interpreter itself charges for a false condition, without a kernel or a debugger.

Run by path, in the interpreter that is measured: ``python floor.py HITS``. Prints nanoseconds per
hit: a LINE callback, the frame, its locals, and the evaluation of a compiled condition. No
debugger that evaluates a Python expression in the frame can be cheaper. Standard library only.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FunctionType

LOOP = """
def loop(n):
    x = 0
    for i in range(n):
        x += i
    return x
"""
LINE = 5
TOOL = 3
REPEATS = 5

monitoring = sys.monitoring
condition = compile("i == -1", "<condition>", "eval")


def stop_if_true(code: CodeType, line: int) -> object:
    if line != LINE:
        return monitoring.DISABLE
    frame = sys._getframe(1)
    if eval(condition, frame.f_globals, frame.f_locals):
        raise AssertionError("the condition is never true")
    return None


def best_s(loop: FunctionType, hits: int) -> float:
    """CPU seconds of one call, the best of some."""
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        loop(hits)
        times.append(time.thread_time() - start)
    return min(times)


def floor_ns(hits: int) -> float:
    """Nanoseconds that one false condition adds."""
    namespace: dict[str, FunctionType] = {}
    exec(LOOP, namespace)
    loop = namespace["loop"]
    bare = best_s(loop, hits)
    monitoring.use_tool_id(TOOL, "floor")
    monitoring.register_callback(TOOL, monitoring.events.LINE, stop_if_true)
    monitoring.set_local_events(TOOL, loop.__code__, monitoring.events.LINE)
    return (best_s(loop, hits) - bare) / hits * 1e9


if __name__ == "__main__":
    print(floor_ns(int(sys.argv[1])))
