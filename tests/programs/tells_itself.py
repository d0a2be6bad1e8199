"""A process that says of itself what another should see in it; runs on Python 3.8 and newer.

Its threads all wait, each in another kind of frame. For each line on standard input it writes one:
``stacks`` the stacks of these threads, ``locals`` the variables of the function ``values``.
"""

import collections
import contextlib
import dataclasses
import datetime
import enum
import functools
import json
import os
import sys
import threading

gate = threading.Lock()
gate.acquire()
at_gate = threading.Semaphore(0)


def wait():
    at_gate.release()
    gate.acquire()


def recursion(depth=40):
    if depth:
        return recursion(depth - 1)
    return wait()


def deep():
    sys.setrecursionlimit(5000)
    recursion(1500)


def generator():
    yield from inner_generator()


def inner_generator():
    wait()
    yield 1


def in_generator():
    for _ in generator():
        pass


def comprehension():
    return [wait() for _ in range(1)]


def callback():
    sorted([1], key=lambda one: wait())


def mapped():
    list(map(lambda one: wait(), [1]))


def decorated():
    @functools.lru_cache(None)
    def cached(number):
        return wait()

    cached(1)


class Thing:
    def __init__(self):
        self.begin()

    def begin(self):
        self.attribute

    @property
    def attribute(self):
        return wait()

    def __getitem__(self, index):
        wait()


def instance():
    Thing()


def item():
    Thing.__getitem__(Thing.__new__(Thing), 1)


def closure():
    outer = 1

    def inside():
        def innermost():
            return outer, wait()

        innermost()

    inside()


def executed():
    exec(compile("\n\nwait()\n", "<made up>", "exec"), {"wait": wait})


def class_body():
    class Body:
        wait()


async def coroutine():
    await inner_coroutine()


async def inner_coroutine():
    wait()


def sent():
    coroutine().send(None)


@contextlib.contextmanager
def managed():
    wait()
    yield


def context():
    with managed():
        pass


def handler():
    try:
        raise ValueError("caught")
    except ValueError:
        try:
            pass
        finally:
            wait()


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int = 1
    y: str = "a"


Pair = collections.namedtuple("Pair", "left right")


class Text(str):
    pass


class Plain:
    def __init__(self):
        self.number = 1
        self.text = "two"


class Slots:
    __slots__ = ("first", "second")

    def __init__(self):
        self.first = 1


def values(argument="given"):
    nothing, yes = None, True
    number, negative, big = 12, -12345678901234567890, 1 << 90
    real, infinite, imaginary = 1.5, float("inf"), 1 + 2j
    text, wide, data, array = "h\u00e9llo", "\u4e16 \U0001f600", b"ab\0", bytearray(b"xy")
    items, pair, mapping = [1, [2, [3]], "x"], (1,), {"a": 1, 2: (3,), None: 1.5}
    group, frozen, none_there = {1}, frozenset(["a"]), set()
    looped = [1]
    looped.append(looped)
    color, level, point, named, sub = Color.RED, Level.HIGH, Point(), Pair(1, 2), Text("sub")
    ordered, counted = collections.OrderedDict(a=1), collections.Counter("a")
    queue = collections.deque([1, 2, 3])
    failure, span, part = ValueError("bad", 1), range(1, 9, 2), slice(1, 2)
    moment, day = datetime.datetime(2020, 1, 2, 3, 4, 5, 6), datetime.date(2020, 1, 2)
    function, module, kind, builtin = wait, json, Plain, len
    in_cell = [9]

    def inner():
        return in_cell

    wait()


KINDS = [recursion, deep, in_generator, comprehension, callback, mapped, decorated, instance, item]
KINDS += [closure, executed, class_body, sent, context, handler, values]


def stacks():
    found = {}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        places = []
        while frame is not None:
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)
            places.append([name, code.co_filename, frame.f_lineno])
            frame = frame.f_back
        found[names[ident]] = places
    return found


def locals_of_values():
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_code is values.__code__:
                return {name: repr(value) for name, value in frame.f_locals.items()}
            frame = frame.f_back
    return {}


def main():
    for kind in KINDS:
        threading.Thread(target=kind, name="kind-" + kind.__name__, daemon=True).start()
        at_gate.acquire()
    print("ready", flush=True)
    for line in sys.stdin:
        answer = stacks() if line.strip() == "stacks" else locals_of_values()
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
