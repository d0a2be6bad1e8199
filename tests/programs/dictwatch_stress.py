"""Eight threads write one watched dict while dicts die, garbage is collected and watches come and go.

Run by test_dictwatch_guests.py, as a process of its own: python dictwatch_stress.py SECONDS. It
ends with live watches, on purpose.
"""

import gc
import sys
import threading
import time

from nbdebug.engine import dictwatch
from nbdebug.engine.monitor import DISABLE, INSTRUCTION, LINE, Monitor

THREADS, WRITES = 8, 12_500
monitor = Monitor()
seen = []


def on_instruction(code, offset):
    records = dictwatch.at_event(sys._getframe(1))
    if records is None:
        return DISABLE
    for record in records:
        if record.handle is handle:
            seen.append((record.new, record.frame is sys._getframe(1)))
    return None


def write(shared, number, round_):
    for i in range(WRITES):
        shared["x"] = (round_, number, i)


def write_by_c(shared, number, round_):
    for i in range(0, WRITES, 50):
        shared.update((("x", (round_, number, j)) for j in range(i, i + 50)), y=i)


def churn(until):
    """Watched dicts and objects that die, alone and in cycles; watches that are opened and closed."""

    class Thing:
        pass

    while not until.is_set():
        kept = []
        for i in range(50):
            thing = Thing()
            thing.me, thing.name = thing, i
            try:
                kept.append(dictwatch.watch(dictwatch.namespace_of(thing), "name"))
            except Exception as error:  # noqa: BLE001 - 3.13.0, where the dict is in use
                if "gh-125608" not in str(error):
                    raise
            thing.name = "changed"
            other = {"k": i}
            kept.append(dictwatch.watch(other, "k"))
            kept.append(dictwatch.watch(shared, ("no", i)))
            other["k"] = None
            del other["k"], thing, other
        for one in kept[::2]:
            one.close()
        del kept
        gc.collect()


def rearm(until):
    """Another purpose wants and drops events of the same code, as steps do."""
    while not until.is_set():
        monitor.arm(write.__code__, "other", LINE)
        time.sleep(0.002)
        monitor.disarm(write.__code__, "other")
        time.sleep(0.002)


sys.setswitchinterval(1e-5)
monitor.start({INSTRUCTION: on_instruction, LINE: lambda code, line: None})
dictwatch.start(monitor)
shared = {"x": None, "y": None}
handle = dictwatch.watch(shared, "x")
ends = time.monotonic() + float(sys.argv[1])
over = threading.Event()
helpers = [threading.Thread(target=run, args=(over,)) for run in (churn, rearm)]
for helper in helpers:
    helper.start()
total = 0
while True:
    seen.clear()
    writer = (write, write_by_c)[total % 2]
    threads = [threading.Thread(target=writer, args=(shared, n, total)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [record.new for record in dictwatch.drain() if record.handle is handle]
    lost = dictwatch.lost()
    expected = [(total, n, i) for n in range(THREADS) for i in range(WRITES)]
    assert sorted([new for new, _ in seen] + left) == expected, (len(seen), len(left), lost)
    assert not left, f"{len(left)} of {len(expected)} were told of too late"
    assert all(in_frame for _, in_frame in seen)
    total += 1
    if time.monotonic() > ends:
        break
over.set()
for helper in helpers:
    helper.join()
print("rounds", total)
