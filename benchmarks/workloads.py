"""The cells that are run. Each prints the CPU seconds of what it measures behind ``@@``.

A breakpoint's place is a line's mark: ``# @NEVER`` stands on a line that is never reached,
``# @HERE`` on one that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# CPU time of the thread, not wall time: the machine is shared with others.
BEGIN = "import time as _time; _start = _time.thread_time()\n"
END = "\nprint('@@%r' % (_time.thread_time() - _start))"


def cpu_s(output: str) -> float:
    """What a timed cell has printed."""
    return float(output.partition("@@")[2].split()[0])


def timed(prepare: str, run: str) -> str:
    """A cell that measures ``run`` and nothing of ``prepare``."""
    return prepare + BEGIN + run + END


@dataclass(frozen=True, slots=True)
class Workload:
    """Code with one size, N.

    ``size`` takes some 10 ms without a debugger. ``slow_size`` is for the stock debugger with a
    breakpoint in the function, which would take minutes for ``size``; its ratio is taken to a
    kernel without a debugger that runs ``slow_size`` too. ``quick``: part of the smoke test.
    Not ``runs_again``: each function is called once, so that the time is that of a first look.
    """

    name: str
    prepare: str
    run: str
    size: int
    slow_size: int
    quick: bool = True
    runs_again: bool = True

    def cell(self, size: int) -> str:
        """The cell's text for this size."""
        return timed(self.prepare, re.sub(r"\bN\b", str(size), self.run))


FIB = """\
def fib(n):
    if n < 0:
        n = 0  # @NEVER
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)
"""
TOP_LOOP = """\
x = 0
for i in range(N):
    if i < 0:
        x = 0  # @NEVER
    x = x + i * 2
    x = x & 0xffff"""
LOOP = """\
def loop(n):
    x = 0
    for i in range(n):
        if i < 0:
            x = 0  # @NEVER
        x = x + i * 2
        x = x & 0xffff
    return x
"""
EXCEPTIONS = """\
def thrower(i):
    raise ValueError(i)
def catcher(n):
    c = 0
    for i in range(n):
        if i < 0:
            c = 0  # @NEVER
        try:
            thrower(i)
        except ValueError:
            c += 1
    return c
"""
GENERATORS = """\
def gen(n):
    for i in range(n):
        if i < 0:
            i = 0  # @NEVER
        yield i
"""
GENERATORS_RUN = "sum(gen(N)); sum(x * x for x in range(N)); [x + 1 for x in range(N)]"
NUMPY = """\
import numpy as np
def work(n):
    a = np.arange(100000, dtype=float)
    s = 0.0
    for i in range(n):
        if i < 0:
            s = 0.0  # @NEVER
        b = np.sqrt(a) + a * 2
        s += float(b.sum())
    return s
"""
SHORT_FUNCTIONS = """\
if 'many' not in globals():
    import importlib.util, pathlib, tempfile
    _file = pathlib.Path(tempfile.mkdtemp(), 'many_mod.py')
    _def = 'def f{}(a):\\n    b = a + 1\\n    return b\\n'
    _file.write_text(''.join(_def.format(i) for i in range(2000)))
    _spec = importlib.util.spec_from_file_location('many_mod', _file)
    many_mod = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(many_mod)
    many = [getattr(many_mod, f'f{i}') for i in range(2000)]
def call_all(k):
    s = 0
    for i in range(k):
        if i < 0:
            s = 0  # @NEVER
        for f in many:
            s += f(1)
    return s
"""
PANDAS = """\
import numpy as np, pandas as pd
if 'frame' not in globals():
    frame = pd.DataFrame({'k': np.arange(20000) % 200, 'v': np.arange(20000.0)})
def spread(group):
    if len(group) < 0:
        return 0  # @NEVER
    return group.v.max() - group.v.min()
"""
NEW_FUNCTIONS = """\
_names = {}
_text = ''.join(f'def f{i}(a):\\n    return a + 1\\n' for i in range(2000))
exec(compile(_text, f'new_{id(_names)}.py', 'exec'), _names)
_new = [_names[f'f{i}'] for i in range(2000)]
def first_calls(functions):
    for f in functions:
        if f is None:
            pass  # @NEVER
        f(1)
"""
LONG_FUNCTION = (
    "def long(n):\n    x = 0\n    if n < 0:\n        x = 0  # @NEVER\n"
    + "        x += 1\n" * 2000
    + "    for i in range(n):\n        x = x + i\n    return x\n"
)
ASYNCIO = """\
import asyncio
async def leaf(i):
    if i < 0:
        i = 0  # @NEVER
    return i
async def drive(n):
    s = 0
    for i in range(n):
        s += await leaf(i)
        if i % 10 == 0:
            await asyncio.sleep(0)
    return s
"""

WORKLOADS = (
    Workload("fib(25)", FIB, "fib(N)", 25, 21),
    Workload("top-level loop of 500k", "", TOP_LOOP, 500_000, 50_000, quick=False),
    Workload("loop of 1M in a function", LOOP, "loop(N)", 1_000_000, 50_000),
    Workload("100k exceptions raised and caught", EXCEPTIONS, "catcher(N)", 100_000, 20_000),
    Workload("generators, 300k items", GENERATORS, GENERATORS_RUN, 300_000, 50_000),
    Workload("numpy, 200 operations", NUMPY, "work(N)", 200, 200, quick=False),
    Workload("2000 short functions x 20", SHORT_FUNCTIONS, "call_all(N)", 20, 20, quick=False),
    Workload("pandas groupby.apply", PANDAS, "frame.groupby('k').apply(spread)", 0, 0, quick=False),
    Workload(
        "first call of 2000 functions",
        NEW_FUNCTIONS,
        "first_calls(_new)",
        0,
        0,
        quick=False,
        runs_again=False,
    ),
    Workload("loop of 100k in 2000 lines", LONG_FUNCTION, "long(N)", 100_000, 2_000),
    Workload("asyncio, 20k awaits", ASYNCIO, "await drive(N)", 20_000, 20_000, quick=False),
)

ELSEWHERE = """\
def elsewhere(a):
    b = a + 1  # @HERE
    return b
"""
IMPORT_PANDAS = timed("", "import pandas")

CONDITION = """\
def loop(n):
    x = 0
    for i in range(n):
        x += i  # @HERE
    return x
"""

STOP = """\
def f(a):
    b = a + 1  # @HERE
    return b
f(1)
"""
STEPS = """\
def g(a):
    b = a + 1
    return b
def f(n):
    s = 0
    for i in range(n):
        s += g(i)  # @HERE
        s += 1
        s -= 1
    return s
f(300)
"""
# The callee takes its own time: the cost of the stops before and after isn't in it.
STEP_OVER = """\
import time
def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)
def spent(n):
    start = time.thread_time()
    fib(n)
    return time.thread_time() - start
def h():
    seconds = spent(22)  # @HERE
    print('@@%r' % seconds)
h()
"""
DEPTH = 5000
DEEP = f"""\
import sys
sys.setrecursionlimit(50000)
def descend(n):
    if n == 0:
        return 0  # @HERE
    return descend(n - 1) + 1
descend({DEPTH})
"""

BIG_DATA = """\
import numpy as np, pandas as pd
data = (list(range(1000000)), {f'k{i}': i for i in range(100000)},
        pd.DataFrame(np.zeros((1000000, 10)), columns=list('abcdefghij')), np.zeros(12500000))
"""
BIG = """\
def look(big_list, big_dict, frame, array):
    return 0  # @HERE
look(*data)
"""
MANY_LOCALS = (
    "def many():\n" + "".join(f"    v{i} = {i}\n" for i in range(1000)) + "    return v0  # @HERE\n"
    "many()\n"
)

TOP_SPIN = """\
print('running', flush=True)
i = 0
while True:
    i += 1
"""
SPIN = """\
def spin():
    i = 0
    while True:
        i += 1
print('running', flush=True)
spin()
"""

THREADS = 50
START_THREADS = f"""\
import threading, time
def work(i):
    while True:
        time.sleep(0.002)
for i in range({THREADS}):
    threading.Thread(target=work, args=(i,), daemon=True).start()
"""
