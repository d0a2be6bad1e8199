"""Ten thousand cells, with breakpoints, stops and evaluations: nothing grows, nothing is left."""

import json
import tempfile
from pathlib import Path

import pytest
from kernel_client import Json, Kernel, running_kernel

CELLS = 10_000
WARM = 1_000
EVERY = 20
"""Each so-manieth cell has a breakpoint, stops and is looked into."""
KIB_PER_CELL = 3.0
"""IPython itself keeps some 1.2 KiB of each cell."""

CENSUS = """
import collections as _c, gc as _g, json as _j, os as _o, sys as _s, threading as _t
_g.collect()
def _ours():
    found = _c.Counter()
    for thing in _g.get_objects():
        kind = type(thing)
        if str(getattr(kind, '__module__', '')).startswith('nbdebug'):
            found[kind.__qualname__] += 1
    return found
with open('/proc/self/statm') as _f:
    _pages = int(_f.read().split()[1])
print(_j.dumps({
    'objects': _ours(),
    'rss_kib': _pages * _o.sysconf('SC_PAGE_SIZE') // 1024,
    'descriptors': len(_o.listdir('/proc/self/fd')),
    'threads': sorted(t.name for t in _t.enumerate() if not t.name.startswith('nbdebug-')),
    'armed': len(get_ipython().kernel.debugger.session.engine._monitor._armed),
}))
"""


def census(kernel: Kernel) -> Json:
    found: Json = json.loads(kernel.run(CENSUS)["output"])
    return found


def run_cells(kernel: Kernel, first: int, last: int) -> None:
    for number in range(first, last):
        name = f"f{number % 50}"
        code = f"def {name}(a):\n    b = a + {number}  # @b\n    return b\nprint({name}(1))"
        if number % EVERY:
            assert kernel.run(code)["output"] == f"{number + 1}\n"
            continue
        kernel.break_at(code, "b")
        kernel.run_to_stop(code)
        assert kernel.evaluate("a + 1") == "2"
        assert kernel.scope()["a"]["value"] == "1"
        kernel.move("next")
        kernel.ask("setBreakpoints", source={"path": kernel.path}, breakpoints=[])
        assert kernel.resume()["output"] == f"{number + 1}\n"
        kernel.events.clear()
        kernel.streams.clear()


@pytest.mark.timeout(900)
def test_ten_thousand_cells_leave_nothing_behind() -> None:
    folder = Path(tempfile.gettempdir())
    before = set(folder.iterdir())
    with running_kernel() as kernel:
        run_cells(kernel, 0, WARM)
        warm = census(kernel)
        run_cells(kernel, WARM, CELLS)
        after = census(kernel)
        assert after["objects"] == warm["objects"]
        assert after["descriptors"] <= warm["descriptors"]
        assert after["threads"] == warm["threads"]
        assert after["armed"] <= warm["armed"]
        assert (after["rss_kib"] - warm["rss_kib"]) / (CELLS - WARM) < KIB_PER_CELL
        kernel.run("%unload_ext nbdebug")
    assert set(folder.iterdir()) <= before
