"""Watchers of dicts and their guest: dicts, values, threads and the process end as without them."""

from pathlib import Path

from interpreters import ROOT
from watched_dicts import logged, run

PROGRAMS = ROOT / "tests" / "programs"


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
    assert run(compiled, (PROGRAMS / "dictwatch_stress.py").read_text(), "3").startswith("rounds ")


def test_watches_come_and_go_at_random_while_threads_run_and_nothing_breaks(
    compiled: Path,
) -> None:
    assert run(compiled, (PROGRAMS / "dictwatch_fuzz.py").read_text(), "3") == "ends"
