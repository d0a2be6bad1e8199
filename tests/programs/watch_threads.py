"""Eight threads write one watched place; each write must be told once.

Run by test_watch_stress.py, as a process of its own: python watch_threads.py WRITES TARGET WAY, where
TARGET is x, thing.a, items['k'] or work:x.
"""

import sys
import threading

import nbdebug

THREADS = 8
writes, target, way = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Thing:
    a = None


x, thing, items = None, Thing(), {"k": None}


def write_global(number):
    global x
    for i in range(writes):
        x = i * THREADS + number


def write_attribute(number):
    for i in range(writes):
        thing.a = i * THREADS + number


def write_item(number):
    for i in range(writes):
        items["k"] = i * THREADS + number


def write_local(number):
    for i in range(writes):
        value = i * THREADS + number
    return value


WRITERS = {
    "x": write_global,
    "thing.a": write_attribute,
    "items['k']": write_item,
    "write_local:value": write_local,
}
told = []
watch = nbdebug.watch(
    target, on="write", call=lambda event: told.append(event.new), keep=1, way=way
)
threads = [threading.Thread(target=WRITERS[target], args=(n,)) for n in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert watch.hits == len(told) == THREADS * writes, (watch.hits, len(told))
expected = set(range(THREADS * writes))
if way == "exact" or ":" in target:
    assert set(told) == expected, list(expected - set(told))[:5]
print("told", len(told))
