"""What watching data costs, as ratios to the unwatched loop, beside how others do it.

Run by path, in the interpreter that is measured: ``python watching.py ITERATIONS``. Prints JSON:
{loop: {way: ratio}}, and under "mechanisms" {loop: {way: name}} for ours. The ways are ours, as it
chooses, by the watcher of dicts ("exact") and by store sites ("sites"), and where NBDEBUG_PURE is
set, in a process of its own, as it is without the compiled part; a LINE event with a comparison;
the compare of snapshots by eval and repr on each line, which is Dapper's; and bdb that steps and
compares. They are given fewer iterations. "control" is another loop that nobody watches. The
`watchpoints` package has a program of its own, watching_watchpoints.py.
"""

from __future__ import annotations

import bdb
import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nbdebug
from nbdebug.engine import dictwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

LOOPS = """
import numpy
data = numpy.zeros(8)
x = z = 0
class P:
    pass
p, q = P(), P()
p.a = q.a = 0
def local_never(n):
    x = y = 0
    for i in range(n):
        y = i & 3
        if y == 9:
            x = i
def local_written(n):
    x = y = 0
    for i in range(n):
        x = i
        y = x + 1
def global_other(n):
    global z
    for i in range(n):
        z = i
        y = i + 1
def global_written(n):
    global x
    for i in range(n):
        x = i
        y = i + 1
def attribute_other(n):
    one = q
    for i in range(n):
        one.a = i
        y = i + 1
def attribute_written(n):
    one = p
    for i in range(n):
        one.a = i
        y = i + 1
def element_other(n):
    one = data
    for i in range(n):
        one[i & 3] = i
        y = i + 1
def unwatched(n):
    total = 0
    for i in range(n):
        total = i + 1
"""
NEVER = "new == -1"
WATCHED = {
    "local_never": ("local_never:x", "x"),
    "local_written": ("local_written:x", "x"),
    "global_other": ("x", "x"),
    "global_written": ("x", "x"),
    "attribute_other": ("p.a", "p.a"),
    "attribute_written": ("p.a", "p.a"),
    "element_other": ("data[5]", "data[5]"),
    "unwatched": ("x", "x"),
}
"""loop -> what we watch, and the expression that the others compare."""
ELEMENT = "element_other"
OURS = ("ours", "exact", "sites", "control")
SLOWER = 20
REPEATS = 3
MANY = 10_000
TOOL = 2

Namespace = dict[str, Any]


def fresh() -> Namespace:
    """The loops, as code of their own that nothing has watched."""
    namespace: Namespace = {"__name__": "__main__", "__builtins__": __builtins__}
    # A file's name, for what has none is nobody's code: changes of content aren't looked for there.
    exec(compile(LOOPS, __file__.replace(".py", "_loops.py"), "exec"), namespace)
    return namespace


def best_s(loop: Callable[[int], object], size: int) -> float:
    """CPU seconds of one call, the best of some."""
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        loop(size)
        times.append(time.thread_time() - start)
    return min(times)


MECHANISMS: dict[str, dict[str, str]] = {}


def ours(way: str) -> Callable[[str, Namespace], Any]:
    """Our watch, by a way of ours."""

    @contextmanager
    def watching(name: str, namespace: Namespace) -> Iterator[None]:
        # What a text means is settled where the call stands.
        namespace["watch"] = nbdebug.watch
        text, options = WATCHED[name][0], f"condition={NEVER!r}, action='log', way={way!r}"
        with eval(f"watch({text!r}, {options})", namespace) as watch:
            MECHANISMS.setdefault(name, {})[way] = watch.mechanism
            yield

    return watching


@contextmanager
def by_lines(name: str, namespace: Namespace) -> Iterator[None]:
    """A LINE event on each line of the loop's function, and a comparison."""
    monitoring, code = sys.monitoring, namespace[name].__code__
    read, last = compile(WATCHED[name][1], "<watch>", "eval"), [None]

    def on_line(code: CodeType, line: int) -> None:
        frame = sys._getframe(1)
        try:
            value = eval(read, frame.f_globals, frame.f_locals)
        except NameError:
            return
        if value != last[0]:
            last[0] = value

    monitoring.use_tool_id(TOOL, "lines")
    monitoring.register_callback(TOOL, monitoring.events.LINE, on_line)
    monitoring.set_local_events(TOOL, code, monitoring.events.LINE)
    yield
    monitoring.set_local_events(TOOL, code, 0)
    monitoring.register_callback(TOOL, monitoring.events.LINE, None)
    monitoring.free_tool_id(TOOL)


@contextmanager
def by_snapshots(name: str, namespace: Namespace) -> Iterator[None]:
    """The expression's repr on each line, under sys.settrace."""
    expression, last = compile(WATCHED[name][1], "<watch>", "eval"), [""]

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            try:
                text = repr(eval(expression, frame.f_globals, frame.f_locals))
            except Exception as error:
                text = str(error)
            if text != last[0]:
                last[0] = text
        return trace

    sys.settrace(trace)
    yield
    sys.settrace(None)


class _Stepping(bdb.Bdb):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.read, self.last = compile(WATCHED[name][1], "<watch>", "eval"), None

    def user_line(self, frame: FrameType) -> None:
        try:
            self.last = eval(self.read, frame.f_globals, frame.f_locals)
        except NameError:
            pass
        self.set_step()


@contextmanager
def by_stepping(name: str, namespace: Namespace) -> Iterator[None]:
    """A bdb that steps through every line and compares."""
    debugger = _Stepping(name)
    debugger.reset()
    debugger.set_step()
    sys.settrace(debugger.trace_dispatch)
    yield
    sys.settrace(None)


@contextmanager
def by_nothing(name: str, namespace: Namespace) -> Iterator[None]:
    """Another loop that isn't watched."""
    yield


def ways() -> dict[str, Callable[[str, Namespace], Any]]:
    """Every way that is to be had here."""
    if os.environ.get("NBDEBUG_PURE"):
        return {"ours": ours("auto")}
    return {
        "ours": ours("auto"),
        "exact": ours("exact"),
        "sites": ours("sites"),
        "control": by_nothing,
        "line events": by_lines,
        "snapshots": by_snapshots,
        "bdb": by_stepping,
    }


def can_serve(way: str, name: str) -> bool:
    """False for the watcher of dicts where there is none, or of a local, which lies in no dict."""
    if way != "exact":
        return True
    in_dict = ":" not in WATCHED[name][0] and name != ELEMENT
    return dictwatch.why_not() is None and in_dict


def ratio(name: str, way: str, watching: Callable[[str, Namespace], Any], size: int) -> float:
    """How much slower the loop is while it is watched."""
    if way not in OURS or (name, way) == (ELEMENT, "sites"):
        size //= SLOWER
    plain, namespace = fresh()[name], fresh()
    plain(1000)
    namespace[name](1000)
    bare = best_s(plain, size)
    with watching(name, namespace):
        return best_s(namespace[name], size) / bare


def many() -> dict[str, float]:
    """Seconds to set 10,000 watches, and what they cost code that names nothing of them."""
    plain, namespace = fresh()["unwatched"], fresh()
    names = [f"v{i}" for i in range(MANY)]
    globals().update(dict.fromkeys(names, 0))
    bare = best_s(plain, 200_000)
    start = time.thread_time()
    watches = [nbdebug.watch(name) for name in names]
    seconds = time.thread_time() - start
    cost = best_s(namespace["unwatched"], 200_000) / bare
    for watch in watches:
        watch.close()
    return {"set": seconds, "ours": cost}


def main(size: int) -> None:
    """Measure all and print it."""
    found = {
        name: {
            way: ratio(name, way, watching, size)
            for way, watching in ways().items()
            if can_serve(way, name)
        }
        for name in WATCHED
    }
    print(json.dumps({**found, "many": many(), "mechanisms": MECHANISMS}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
