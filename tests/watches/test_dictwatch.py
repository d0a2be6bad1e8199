"""Watchers of dicts on every Python: what is recorded of a write, and where the writer is told."""

from pathlib import Path

from watched_dicts import logged, told

ERROR = "ZeroDivisionError('division by zero')"


# What a function does to the global x, which is 0 before, and what must be told of it.
WRITES: dict[str, list[list[str]]] = {
    "x = 1; y = 2": [told("modified", "0", "1", "x = 1; y = 2")],
    "x = 1; x = 2": [
        told("modified", "0", "1", "x = 1; x = 2"),
        told("modified", "1", "2", "x = 1; x = 2"),
    ],
    "for x in (5, 6):\n    pass": [
        told("modified", "0", "5", "for x in (5, 6):"),
        told("modified", "5", "6", "for x in (5, 6):"),
    ],
    "x += 3": [told("modified", "0", "3", "x += 3")],
    "y, x = 1, 2": [told("modified", "0", "2", "y, x = 1, 2")],
    "y, *x = 1, 2": [told("modified", "0", "[2]", "y, *x = 1, 2")],
    "str(x := 4)": [told("modified", "0", "4", "str(x := 4)")],
    "del x\nx = 0": [told("deleted", "0", "-", "del x"), told("added", "-", "0", "x = 0")],
    "try:\n    1 / 0\nexcept ZeroDivisionError as x:\n    y = 1": [
        told("modified", "0", ERROR, "except ZeroDivisionError as x:"),
        told("modified", ERROR, "None", "y = 1"),
        told("deleted", "None", "-", "y = 1"),
    ],
    "with open('/dev/null', 'w') as y: x = 1": [
        told("modified", "0", "1", "with open('/dev/null', 'w') as y: x = 1")
    ],
    "globals()['x'] = 1": [told("modified", "0", "1", "globals()['x'] = 1")],
    "globals().update(x=1)": [told("modified", "0", "1", "globals().update(x=1)")],
    "globals().pop('x')": [told("deleted", "0", "-", "globals().pop('x')")],
    "[x := n for n in (7, 8)]": [
        told("modified", "0", "7", "[x := n for n in (7, 8)]"),
        told("modified", "7", "8", "[x := n for n in (7, 8)]"),
    ],
    "try:\n    x = 1; 1 / 0\nexcept ZeroDivisionError:\n    pass": [
        told("modified", "0", "1", "x = 1; 1 / 0")
    ],
    "y = 1": [],
    "(lambda x: x)(3)": [],
    "[x for z in 'ab']": [],
    "x = x": [],
}


def test_each_write_of_a_global_is_told_in_its_frame_right_after_it(compiled: Path) -> None:
    program = f"""
results = {{}}
for body in {list(WRITES)!r}:
    source = "def f():\\n    global x, y\\n" + "".join(f"    {{l}}\\n" for l in body.splitlines())
    namespace = {{"y": None}}
    exec(source, namespace)
    for _ in range(200):
        namespace["x"] = 0
        namespace["f"]()
    namespace["x"], log[:] = 0, []
    handle = dictwatch.watch(namespace, "x")
    namespace["f"]()
    assert not dictwatch.take() and not dictwatch.lost()
    results[body] = list(log)
    handle.close()
log = results
"""
    assert logged(compiled, program) == WRITES


def test_generators_coroutines_callbacks_and_recursion_are_told_in_their_own_frames(
    compiled: Path,
) -> None:
    program = """
source = '''
import asyncio
def generate():
    global x
    x = 1; yield
    x = 2
async def wait(n):
    global x
    x = n; await asyncio.sleep(0)
    x = -n
async def both():
    await asyncio.gather(wait(3), wait(4))
def recur(n):
    global x
    x = 10 + n
    if n: recur(n - 1)
def key(v):
    global x
    x = v
class Adds:
    def __add__(self, other):
        global x
        x = "inner"
        return "outer"
def nested():
    global x
    x = Adds() + 1
'''
namespace = {}
exec(source, namespace)
handle = dictwatch.watch(namespace, "x")
list(namespace["generate"]())
namespace["asyncio"].run(namespace["both"]())
namespace["recur"](1)
list(map(namespace["key"], [20, 21]))
namespace["nested"]()
assert not dictwatch.take()
log = [(new, line) for kind, old, new, line in log]
"""
    assert logged(compiled, program) == [
        ["1", "x = 1; yield"],
        ["2", "x = 2"],
        ["3", "x = n; await asyncio.sleep(0)"],
        ["4", "x = n; await asyncio.sleep(0)"],
        ["-3", "x = -n"],
        ["-4", "x = -n"],
        ["11", "x = 10 + n"],
        ["10", "x = 10 + n"],
        ["20", "x = v"],
        ["21", "x = v"],
        ["'inner'", 'x = "inner"'],
        ["'outer'", "x = Adds() + 1"],
    ]


def test_items_attributes_and_class_attributes_are_told(compiled: Path) -> None:
    program = """
source = '''
class C:
    attribute = 1
thing, other, d, plain = C(), C(), {"k": 0, 5: 0}, {}
thing.a = other.a = 0
def attributes():
    other.a = 9
    thing.a = 1
    setattr(thing, "a", 2)
    thing.__dict__.update(a=3)
    del thing.a
def classes():
    C.attribute = 2
    del C.attribute
def items():
    global d
    d["k"] = 1
    d["".join("k")] = 2
    d[5.0] = 3
    d |= {"k": 4}
    d.setdefault("k", 9)
    d.popitem()
    d.clear()
    d.update(plain, k=5)
    d.pop("k")
    d.update({"k": 6})
def module():
    sys.marker = 1
    setattr(sys, "marker", 2)
    del sys.marker
'''
namespace = {"sys": sys}
exec(source, namespace)
for _ in range(100):
    namespace["other"].a = _
handles = [
    dictwatch.watch(dictwatch.namespace_of(namespace["thing"]), "a"),
    dictwatch.watch(dictwatch.namespace_of(namespace["C"]), "attribute"),
    dictwatch.watch(namespace["d"], "k"),
    dictwatch.watch(namespace["d"], 5),
    dictwatch.watch(dictwatch.namespace_of(sys), "marker"),
]
for name in ("attributes", "classes", "items", "module"):
    namespace[name]()
"""
    assert logged(compiled, program) == [
        told("modified", "0", "1", "thing.a = 1"),
        told("modified", "1", "2", 'setattr(thing, "a", 2)'),
        told("modified", "2", "3", "thing.__dict__.update(a=3)"),
        told("deleted", "3", "-", "del thing.a"),
        told("modified", "1", "2", "C.attribute = 2"),
        told("deleted", "2", "-", "del C.attribute"),
        told("modified", "0", "1", 'd["k"] = 1'),
        told("modified", "1", "2", 'd["".join("k")] = 2'),
        told("modified", "0", "3", "d[5.0] = 3"),
        told("modified", "2", "4", 'd |= {"k": 4}'),
        told("deleted", "3", "-", "d.popitem()"),
        told("deleted", "4", "-", "d.clear()"),
        told("added", "-", "5", "d.update(plain, k=5)"),
        told("deleted", "5", "-", 'd.pop("k")'),
        told("added", "-", "6", 'd.update({"k": 6})'),
        told("added", "-", "1", "sys.marker = 1"),
        told("modified", "1", "2", 'setattr(sys, "marker", 2)'),
        told("deleted", "2", "-", "del sys.marker"),
    ]


def test_code_that_writes_watched_and_other_dicts_in_turn_is_told_of_the_watched(
    compiled: Path,
) -> None:
    program = """
def write(one, value):
    one["k"] = value
watched, other = {"k": -1}, {"k": -1}
handle = dictwatch.watch(watched, "k")
for i in range(40):
    write(watched if i % 3 else other, i)
log = [int(new) for kind, old, new, line in log]
"""
    assert logged(compiled, program) == [i for i in range(40) if i % 3]


def test_keys_that_compare_in_python_are_told_and_compared_outside_of_the_write(
    compiled: Path,
) -> None:
    program = """
source = '''
class Key:
    def __init__(self, name): self.name = name
    def __hash__(self): return hash(self.name)
    def __eq__(self, other): return self.name == getattr(other, "name", other)
d = {}
def write():
    d[Key("a")] = 1
    d["a"] = 2
    d["b"] = 3
    d[Key("b")] = 4
    d[Key("c")] = 5
    del d["b"]
    d.clear()
'''
namespace = {}
exec(source, namespace)
handles = [dictwatch.watch(namespace["d"], key) for key in (namespace["Key"]("a"), "b")]
namespace["write"]()
"""
    assert logged(compiled, program) == [
        told("added", "-", "1", 'd[Key("a")] = 1'),
        told("modified", "?", "2", 'd["a"] = 2'),
        told("added", "-", "3", 'd["b"] = 3'),
        told("modified", "?", "4", 'd[Key("b")] = 4'),
        told("deleted", "4", "-", 'del d["b"]'),
        told("deleted", "2", "-", "d.clear()"),
    ]


def test_filters_drop_what_is_surely_unwanted_and_nothing_else(compiled: Path) -> None:
    program = """
def news(values, **filters):
    d = {"k": 0}
    handle = dictwatch.watch(d, "k", **filters)
    log.clear()
    for value in values:
        d["k"] = value
    handle.close()
    return [new for kind, old, new, line in log]

log = [
    news([1, 1.0, 1000, int("1000"), "ab", "".join("ab"), [1], [1]], only_changes=True),
    news([9, 11, 10.5, "text", [1], None, 10**30], condition="new > 10"),
    news([9, 11], condition="10 < new"),
    news([1, 2, 3], condition="new != 2"),
    news([1, -2], condition="new == -2"),
    news([1, 2], condition="new > limit"),
    news([1, 2], condition="new > 1 and old"),
    news([1, 2], condition="not an expression"),
]
"""
    assert logged(compiled, program) == [
        ["1", "1.0", "1000", "'ab'", "[1]", "[1]"],
        ["11", "10.5", "'text'", "[1]", "None", str(10**30)],
        ["11"],
        ["1", "3"],
        ["-2"],
        ["1", "2"],
        ["1", "2"],
        ["1", "2"],
    ]


def test_of_ten_thousand_watches_each_is_told_of_its_own_key(compiled: Path) -> None:
    program = """
d = dict.fromkeys(map(str, range(10_000)), 0)
handles = [dictwatch.watch(d, key) for key in d]
def write():
    d["5000"] = 1
    d["other"] = 1
    for handle in handles:
        handle.close()
    d["5001"] = 1
write()
"""
    assert logged(compiled, program) == [told("modified", "0", "1", "")]
