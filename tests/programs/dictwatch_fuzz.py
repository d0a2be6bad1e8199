"""Opens and closes watches at random while threads run, and starts the watcher anew now and then.

Run by test_dictwatch_guests.py, as a process of its own: python dictwatch_fuzz.py SECONDS. The
guests' results must be as without it. It ends with live watches, on purpose.
"""

import gc
import random
import sys
import threading
import time

from nbdebug import errors
from nbdebug.engine import dictwatch
from nbdebug.engine.monitor import DISABLE, INSTRUCTION, LINE, Monitor


def on_instruction(code, offset):
    records = dictwatch.at_event(sys._getframe(1))
    return DISABLE if records is None else None


class Thing:
    def __init__(self):
        self.a = self.b = 0

    def count(self):
        for i in range(200):
            self.a = i
            self.b = i + 1
        return i + self.a - self.a


space = {"x": 0, "y": 0}
exec("def loop(n):\n  global x, y\n  for i in range(n):\n    x = i; y = i\n  return i", space)
loop = space["loop"]
shared = dict.fromkeys(range(100), 0.0)
things = [Thing() for _ in range(20)]
over = threading.Event()
faults = []


def guest(seed):
    chance = random.Random(seed)
    try:
        while not over.is_set():
            own = Thing()
            assert own.count() == 199 and (own.a, own.b) == (199, 200)
            things[chance.randrange(20)].count()
            assert loop(50) == 49
            for i in range(100):
                shared[i] = chance.random()
            if chance.random() < 0.1:
                things[chance.randrange(20)] = Thing()
            exec("k = 1; z = k", {"k": own})
    except BaseException as error:
        faults.append(error)


def open_one(chance):
    kind = chance.randrange(4)
    if kind == 0:
        return dictwatch.watch(space, chance.choice("xyz"), only_changes=chance.random() < 0.5)
    if kind == 1:
        return dictwatch.watch(
            shared, chance.randrange(120), condition=chance.choice([None, "new > 0.99"])
        )
    if kind == 2:
        return dictwatch.watch(dictwatch.namespace_of(chance.choice(things)), chance.choice("ab"))
    return dictwatch.watch(dictwatch.namespace_of(Thing), "count")


def arm(seed):
    chance, held = random.Random(seed), []
    while not over.is_set():
        try:
            if len(held) < 100 and chance.random() < 0.6:
                held.append(open_one(chance))
            elif held:
                held.pop(chance.randrange(len(held))).close()
        except errors.NotSupported as error:
            if "gh-125608" not in str(error):
                faults.append(error)
        except RuntimeError as error:  # the watcher is just being started anew
            if "isn't started" not in str(error):
                faults.append(error)
        if chance.random() < 0.05:
            code = chance.choice([Thing.count.__code__, loop.__code__])
            monitor.arm(code, f"other {seed}", LINE)
            monitor.disarm(code, f"other {seed}")
        if chance.random() < 0.02:
            dictwatch.drain()
            dictwatch.lost()
            gc.collect()


sys.setswitchinterval(1e-5)
monitor = Monitor()
monitor.start({INSTRUCTION: on_instruction, LINE: lambda code, line: None})
dictwatch.start(monitor)
threads = [threading.Thread(target=guest, args=(seed,)) for seed in range(4)]
threads += [threading.Thread(target=arm, args=(seed,)) for seed in range(2)]
for thread in threads:
    thread.start()
ends = time.monotonic() + float(sys.argv[1])
while time.monotonic() < ends:
    time.sleep(0.5)
    dictwatch.stop()
    dictwatch.start(monitor)
over.set()
for thread in threads:
    thread.join()
assert not faults, faults
print("ends")
