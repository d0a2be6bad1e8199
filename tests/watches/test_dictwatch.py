"""Dict watchers on every Python: what is recorded, where the writer is told; nothing breaks.

Each program runs in a process of its own: a fault here would end the interpreter.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from interpreters import ROOT

from nbdebug import errors
from nbdebug.engine import dictwatch

STRESS = ROOT / "tests" / "programs" / "dictwatch_stress.py"
FUZZ = ROOT / "tests" / "programs" / "dictwatch_fuzz.py"

# A record is shown as its kind, the old and the new value, and the line of `source` that wrote.
PRELUDE = """
import gc, json, sys, threading
from nbdebug.engine import dictwatch
from nbdebug.engine.monitor import DISABLE, INSTRUCTION, LINE, Monitor

log, source = [], ""

def text(value):
    native = dictwatch.native
    return "-" if value is native.ABSENT else "?" if value is native.UNKNOWN else repr(value)

def on_instruction(code, offset):
    frame = sys._getframe(1)
    records = dictwatch.at_event(frame)
    if records is None:
        return DISABLE
    for record in records:
        if record.kind != "ended":
            assert record.frame is frame
            assert record.thread_ident == threading.get_ident()
            line = source.splitlines()[dictwatch.line_of(record) - 1].strip() if source else ""
            log.append([record.kind, text(record.old), text(record.new), line])

monitor = Monitor()
monitor.start({INSTRUCTION: on_instruction, LINE: lambda code, line: None})
dictwatch.start(monitor)
"""


@pytest.fixture
def compiled(each_python: Path) -> Path:
    """Each Python for which the compiled part is there."""
    reason = run(each_python, "from nbdebug.engine import dictwatch; print(dictwatch.why_not())")
    if reason != "None":
        pytest.skip(f"{each_python}: {reason} Run `make setup`.")
    return each_python


def run(python: Path, program: str, *arguments: str, **variables: str) -> str:
    """Run a program, which must end well and without a complaint; return what it printed."""
    done = subprocess.run(
        [str(python), "-P", "-X", "faulthandler", "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def logged(python: Path, program: str) -> Any:
    """Run a program after the prelude; return its ``log``."""
    return json.loads(run(python, f"{PRELUDE}\n{program}\nprint(json.dumps(log))"))


def told(kind: str, old: str, new: str, line: str) -> list[str]:
    return [kind, old, new, line]


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


def test_a_dict_may_die_while_it_is_watched_and_the_last_record_says_so(compiled: Path) -> None:
    program = """
def watched():
    class Thing: pass
    thing = Thing()
    thing.me, thing.name = thing, 1
    return [dictwatch.watch({"k": 1}, "k"),
            dictwatch.watch(dictwatch.namespace_of(thing), "name")]
handles = watched()
gc.collect()
ended = [r for r in dictwatch.drain() if r.kind == "ended"]
log = [[h.closed for h in handles], sorted(handles.index(r.handle) for r in ended),
       [r.frame is None for r in ended]]
for handle in handles:
    handle.close()
"""
    assert logged(compiled, program) == [[True, True], [0, 1], [True, True]]


def test_a_watch_ends_with_its_handle_and_keeps_neither_dict_nor_value(compiled: Path) -> None:
    program = """
import weakref
class Value: pass
class Dict(dict): pass
def write():
    d, e = Dict(k=1), {"k": 1}
    handle, forgotten = dictwatch.watch(d, "k"), dictwatch.watch(e, "k")
    handle.close(); handle.close()
    del forgotten
    d["k"] = e["k"] = 2
    value = Value()
    third = dictwatch.watch(d, "k")
    d["k"] = value
    refs = weakref.ref(value), weakref.ref(d)
    del value
    d["k"] = None
    return handle.closed, third, refs
closed, third, refs = write()
gc.collect()
log = [len(log), closed, third.closed, [ref() is None for ref in refs]]
"""
    assert logged(compiled, program) == [2, True, True, [True, True]]


def test_writes_above_the_queues_length_are_counted(compiled: Path) -> None:
    program = """
d = {"k": None}
handle = dictwatch.watch(d, "k")
monitor.stop()
dictwatch.native.arm_nothing()
for i in range(5000):
    d["k"] = i
records = dictwatch.drain()
log = [len(records), records[0].new, dictwatch.lost(), dictwatch.lost()]
"""
    assert logged(compiled, program) == [4096, 0, 904, 0]


def test_what_others_want_of_the_writers_code_stays_on(compiled: Path) -> None:
    program = """
def write(n):
    for i in range(n):
        d["k"] = i
lines = []
d = {"k": None}
sys.monitoring.register_callback(monitor.tool_id, LINE, lambda code, line: lines.append(line))
handle = dictwatch.watch(d, "k")
body = write.__code__.co_firstlineno + 2
monitor.arm(write.__code__, "other", LINE)
write(2)
monitor.disarm(write.__code__, "other")
write(2)
monitor.arm(write.__code__, "other", LINE)
write(1)
handle.close()
dictwatch.stop()
mask = sys.monitoring.get_local_events(monitor.tool_id, write.__code__)
log = [[new for kind, old, new, line in log], lines.count(body), mask == LINE]
"""
    assert logged(compiled, program) == [["0", "1", "0", "1", "0"], 3, True]


def test_an_exception_that_is_on_its_way_stays_as_it_is(compiled: Path) -> None:
    program = """
def fail():
    local = {"z": 1}
    handles.append(dictwatch.watch(local, "z"))
    d["k"] = handles
    [].pop(*(d.__setitem__("k", n) or n for n in (1, 2)))
d, handles = {"k": None}, []
handle = dictwatch.watch(d, "k")
try:
    fail()
except TypeError as error:
    log = [str(error), handles[0].closed]
"""
    said, is_closed = logged(compiled, program)
    assert said == "pop expected at most 1 argument, got 2"
    assert not is_closed  # the traceback has the frame, which has the dict


def test_a_process_ends_well_with_live_watches_whatever_is_alive(compiled: Path) -> None:
    program = """
import builtins, atexit
class Late:
    def __del__(self):
        self.x = 1
        builtins.late = 2
late = Late(); late.x = 0; late.me = late
space = {"n": 0, "range": range}
loop = "for n in range(10**9): pass"
daemon = threading.Thread(target=exec, args=(loop, space), daemon=True)
handles = [dictwatch.watch(space, "n"), dictwatch.watch(vars(builtins), "late"),
           dictwatch.watch(vars(sys), "path"), dictwatch.watch(dictwatch.namespace_of(late), "x")]
atexit.register(lambda: space.__setitem__("n", "atexit"))
monitor.stop()
daemon.start()
log = "ends"
"""
    for _ in range(3):
        assert logged(compiled, program) == "ends"


def test_a_forked_child_leaves_its_parents_watches(compiled: Path) -> None:
    program = """
import os
d = {"k": 0}
handle = dictwatch.watch(d, "k")
pid = os.fork()
if pid == 0:
    monitor.forget_parent()
    dictwatch.stop()
    d["k"] = 1
    os._exit(0 if handle.closed and not log else 1)
d["k"] = 2
log = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(log), handle.closed]
"""
    assert logged(compiled, program) == [0, 1, False]


def test_eight_threads_that_write_one_dict_are_told_of_each_write_once(compiled: Path) -> None:
    assert run(compiled, STRESS.read_text(), "3").startswith("rounds ")


def test_watches_come_and_go_at_random_while_threads_run_and_nothing_breaks(
    compiled: Path,
) -> None:
    assert run(compiled, FUZZ.read_text(), "3") == "ends"


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


WITHOUT = """
from nbdebug import errors
from nbdebug.engine import dictwatch, monitor
try:
    dictwatch.start(monitor.Monitor())
except errors.NotSupported as error:
    assert str(error) == dictwatch.why_not()
    print(error)
dictwatch.stop()
"""


def test_without_the_compiled_part_the_reason_is_told(each_python: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "nbdebug", tmp_path / "nbdebug", ignore=shutil.ignore_patterns("*.so"))
    reason = run(each_python, WITHOUT, PYTHONPATH=str(tmp_path))
    assert reason.startswith("This nbdebug has no compiled part: ")


def test_the_compiled_part_can_be_imported_anew_and_not_in_a_second_interpreter(
    compiled: Path,
) -> None:
    program = """
dictwatch.stop()
for name in [name for name in sys.modules if name.startswith("nbdebug")]:
    del sys.modules[name]
from nbdebug.engine import dictwatch
from nbdebug.engine.monitor import Monitor
dictwatch.start(Monitor())
d = {"k": 0}
handle = dictwatch.watch(d, "k")
d["k"] = 1
log = [record.new for record in dictwatch.take()]
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
second = interpreters.create()
said = interpreters.run_string(second, '''if 1:
    from nbdebug.engine import dictwatch
    assert "interpreter" in dictwatch.why_not(), dictwatch.why_not()
''')
interpreters.destroy(second)
assert said is None, said
"""
    assert logged(compiled, program) == [1]


def test_the_compiled_part_can_be_turned_off(each_python: Path) -> None:
    assert "NBDEBUG_PURE is set" in run(each_python, WITHOUT, NBDEBUG_PURE="1")


def test_where_all_watchers_of_the_interpreter_are_taken_the_reason_is_told(compiled: Path) -> None:
    taken = """
import ctypes
callback = ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(lambda *_: 0)
try:
    while True:
        ctypes.pythonapi.PyDict_AddWatcher(callback)
except RuntimeError:
    pass
"""
    assert run(compiled, taken + WITHOUT).startswith("Python gives no watcher of dicts: ")


@pytest.mark.parametrize("value", [int, 5, object(), (1,)])
def test_what_has_no_dict_of_attributes_is_refused_with_the_reason(value: object) -> None:
    with pytest.raises(errors.NotSupported, match=r"has no __dict__|attributes are fixed"):
        dictwatch.namespace_of(value)


def test_an_instances_dict_that_is_in_use_is_refused_only_where_python_is_deaf(
    compiled: Path,
) -> None:
    program = """
class Thing: pass
thing = Thing(); thing.a = 1
held = thing.__dict__
try:
    dictwatch.namespace_of(thing)
    log = "served"
except Exception as error:
    log = str(error)
assert thing.__dict__ is held
"""
    said = logged(compiled, program)
    assert said == "served" or ("3.13.0" in said and "gh-125608" in said)
