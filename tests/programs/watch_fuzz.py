"""Sets and ends watches at random while threads run: each must tell exactly what happened.

Run by test_watch_stress.py, as a process of its own: python watch_fuzz.py SECONDS WAYS [SEED], where
WAYS are the ways that are to be had, such as auto,exact,sites,lines. What the guests compute must be
as without it. It ends with live watches, on purpose.
"""

import gc
import random
import sys
import threading

import nbdebug

seconds, ways, seed = float(sys.argv[1]), sys.argv[2].split(","), int((*sys.argv, "1")[3])
over = threading.Event()
faults = []
told = []
x = y = 0
shared = {"k": 0, "j": 0}


class Thing:
    kind = 0

    def __init__(self):
        self.a = 0

    def count(self, n):
        for i in range(1, n + 1):
            self.a = i
        return self.a


def write_item(items, n):
    for i in range(1, n + 1):
        items["k"] = i
    return items["k"]


def write_local(n):
    value = 0
    for i in range(1, n + 1):
        value = i
    return value


def write_and_raise(items):
    items.update((key, 7 // (key != "z")) for key in "kz")


def write_shared(n):
    global x, y
    total = 0
    for i in range(n):
        x = i
        y = -i
        shared["k"] = i
        shared["j"] = [i]
        Thing.kind = i
        total += i
    return total


def guest(seed):
    chance = random.Random(seed)
    parts = [check_attribute, check_item, check_local]
    parts += [check_raised] if "exact" in ways else []
    while not over.is_set():
        assert write_shared(50) == 1225
        chance.choice(parts)(chance.randrange(1, 40), chance.choice(ways))
        if chance.random() < 0.02:
            gc.collect()


def changes(events):
    return [(event.kind, event.old, event.new) for event in events]


def counted(n):
    return [("change", i, i + 1) for i in range(n)]


def check_changes(events, n, way):
    found = changes(events)
    if way == "lines":  # another thread may have seen a change first, and tell of it last
        found.sort(key=lambda change: change[1])
    assert found == counted(n), (way, n, changes(events))


def check_attribute(n, way):
    thing, seen = Thing(), []
    with nbdebug.watch("thing.a", call=seen.append, way=way):
        assert thing.count(n) == n
    check_changes(seen, n, way)


def check_item(n, way):
    items, seen = {"k": 0}, []
    with nbdebug.watch("items['k']", call=seen.append, way=way):
        assert write_item(items, n) == n
    if way == "sites":  # any thread that changes some container may be the first to tell
        told = {part for event in seen for part in range(event.old, event.new)}
        assert told == set(range(n)), (n, changes(seen))
    else:
        check_changes(seen, n, way)


def check_raised(n, way):
    items, seen = {"k": 0}, []
    with nbdebug.watch("items['k']", call=seen.append, way="exact"):
        try:
            write_and_raise(items)
        except ZeroDivisionError:
            pass
    assert changes(seen) == [("change", 0, 7)], changes(seen)


def check_local(n, way):
    seen = []
    mine = threading.current_thread().name
    with nbdebug.watch("write_local:value", call=seen.append, thread=mine):
        assert write_local(n) == n
    wanted = [("change", None, 0), *counted(n)]
    assert changes(seen) == wanted, (n, changes(seen))


def arm(seed):
    chance, held = random.Random(seed), []
    texts = ["x", "y", "shared['k']", "shared['j']", "Thing.kind", "write_shared:total"]
    conditions = [None, "new == -99", "old == new", "new is old"]
    while not over.wait(0.0005):
        if len(held) < 8 and chance.random() < 0.6:
            text = chance.choice(texts)
            options = {} if ":" in text else {"way": chance.choice(ways)}
            options["condition"] = chance.choice(conditions)
            held.append(nbdebug.watch(text, call=told.append, hits="<20", **options))
        elif held:
            held.pop(chance.randrange(len(held))).close()
        del told[:-50]


def run(part, number):
    try:
        part(seed + number)
    except BaseException as error:
        faults.append(error)
        over.set()


sys.setswitchinterval(1e-5)
parts = [guest, guest, guest, arm, arm]
threads = [
    threading.Thread(target=run, args=(part, number), name=f"{part.__name__} {number}")
    for number, part in enumerate(parts)
]
for thread in threads:
    thread.start()
over.wait(seconds)
over.set()
for thread in threads:
    thread.join()
for fault in faults:
    raise fault
left = [nbdebug.watch(text) for text in ("x", "shared['k']", "Thing.kind", "write_shared:total")]
print("ends")
