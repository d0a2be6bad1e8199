"""Watches by the watcher of dicts: what is told, and where it stops."""

import subprocess
import sys
from pathlib import Path

import pytest
from debuggee import Debuggee, debuggee_in
from interpreters import ROOT
from watching import NOT, prepare, seen, watch, watch_at_stop

from nbdebug import errors
from nbdebug.engine import dictwatch
from nbdebug.engine.watch_model import Access, Action, Way

pytestmark = pytest.mark.skipif(
    dictwatch.why_not() is not None, reason=f"{dictwatch.why_not()} Run `make setup`."
)


@pytest.fixture
def stopping(program: Debuggee) -> Debuggee:
    program.client.attached = True
    return program


PLACES = ["x", "p.a", "P.b", "d['k']"]
SET_EACH = """
class P:
    b = 0
x, p, d = 0, P(), {'k': 0}
p.a = 0
def main(*values):
    for value in values:
        globals()['x'] = value
        setattr(p, 'a', value)
        setattr(P, 'b', value)
        d.update(k=value)
"""


@pytest.mark.parametrize("text", PLACES)
def test_every_write_of_another_object_is_told_where_that_is_asked_for(
    program: Debuggee, text: str
) -> None:
    prepare(program, SET_EACH)
    big = 10**30
    watched = watch(program, text, way=Way.EXACT, accesses=(Access.WRITE,))
    assert watched.info().cannot_see.startswith("writes of the very object")
    program.namespace["main"](1, big, int(str(big)), 2)
    assert [(e.kind, e.new) for e in watched.history] == [
        ("change", 1),
        ("change", big),
        ("write", big),
        ("change", 2),
    ]


@pytest.mark.parametrize("text", ["p.a", "P.b", "d['k']"])
def test_deletions_alone_are_told_where_that_is_asked_for(program: Debuggee, text: str) -> None:
    prepare(program, SET_EACH + "def delete():\n    del p.a, P.b\n    d.pop('k')  # @pop\n")
    watched = watch(program, text, accesses=(Access.DELETE,))
    program.namespace["main"](1, 2)
    program.namespace["delete"]()
    assert [(e.kind, e.old, e.new) for e in watched.history] == [("delete", 2, None)]
    assert watched.info().state == "pending"


def test_every_write_of_an_item_needs_the_watcher_of_dicts(program: Debuggee) -> None:
    prepare(program, "d = {'k': 1}\n")
    with pytest.raises(errors.BadWatch, match="can't be watched for every write"):
        watch(program, "d['k']", accesses=(Access.WRITE,), way=Way.SITES)


def test_an_attribute_is_told_of_while_its_class_provides_it(program: Debuggee) -> None:
    prepare(
        program,
        """
        class Base:
            count = 1
        class P(Base):
            pass
        p, q = P(), P()
        def main():
            Base.count = 2  # @class
            q.count = 9
            p.count = 3  # @own
            Base.count = 4
            del p.count  # @back
        """,
    )
    watched = watch(program, "p.count", way=Way.EXACT)
    program.namespace["main"]()
    assert seen(program, watched) == [("class", "1", "2"), ("own", "2", "3"), ("back", "3", "4")]


@pytest.mark.parametrize("way", [Way.EXACT, Way.SITES])
def test_new_objects_are_others_at_whatever_address(program: Debuggee, way: Way) -> None:
    prepare(program, "class P: pass\np = P()\np.a = 1\ndef main(p):\n    p.a = 2\n    p.a = 3\n")
    watched = watch(program, "p.a", way=way)
    address = id(program.namespace["p"])
    del program.namespace["p"]
    others = [program.namespace["P"]() for _ in range(3000)]  # most often one lies there
    for other in sorted(others, key=lambda one: id(one) != address):
        program.namespace["main"](other)
    assert not watched.history
    program.engine.watches.look("the end")
    assert watched.info().state == "ended: the object that it watched has died"


def test_a_default_dict_gets_no_item_from_being_watched(program: Debuggee) -> None:
    prepare(
        program,
        """
        from collections import defaultdict
        d = defaultdict(list)
        def main():
            d['k'].append(1)  # @made
        """,
    )
    watched = watch(program, "d['k']", pending=True)
    assert "k" not in program.namespace["d"]
    program.namespace["main"]()
    assert seen(program, watched) == [("made", NOT, "[]"), ("made", "[]", "[1]")]


def test_what_is_in_an_item_is_watched_once_it_is_a_container(program: Debuggee) -> None:
    prepare(
        program,
        """
        d = {'k': 0}
        def main():
            d['k'] = []  # @list
            d['k'].append(1)  # @append
            d.update(k=[1])
            d.update(k=[2])  # @other
            d['k'] = 5  # @number
            d['k'] = 6  # @again
        """,
    )
    watched = watch(program, "d['k']", condition="new != -1")
    program.namespace["main"]()
    assert seen(program, watched) == [
        ("list", "0", "[]"),
        ("append", "[]", "[1]"),
        ("other", "[1]", "[2]"),
        ("number", "[2]", "5"),
        ("again", "5", "6"),
    ]


def test_conditions_that_were_false_leave_the_old_value_right(program: Debuggee) -> None:
    prepare(program, SET_EACH)
    for condition in ("new > 4", "new > 4 and old is not None", "new > 4 and __name__"):
        watched = watch(program, "p.a", condition=condition)
        program.namespace["main"](*range(7), 0)
        assert [(e.old, e.new) for e in watched.history] == [(4, 5), (5, 6)], condition
        program.namespace["main"](3)
        assert len(watched.history) == 2
        program.namespace["p"].__dict__ = {"a": 8}
        program.engine.watches.look("the end")
        assert [(e.old, e.new) for e in watched.history][2:] == [(3, 8)]
        program.namespace["main"](0)
        program.engine.watches.remove([watched])


def test_a_condition_sees_a_missing_value_as_none(program: Debuggee) -> None:
    prepare(program, "d = {}\ndef main():\n    d['k'] = 1\n    d['k'] = 2\n    del d['k']\n")
    first = watch(program, "d['k']", pending=True, condition="old is None")
    last = watch(program, "d['k']", pending=True, condition="new is None")
    program.namespace["main"]()
    assert [e.new for e in first.history] == [1]
    assert [e.old for e in last.history] == [2]


# -- stops


def test_it_stops_right_after_a_write_that_no_site_shows(stopping: Debuggee) -> None:
    program = stopping
    program.write(
        "x = 3\ndef fit():\n    globals()['x'] = 4  # @write\n    y = x  # @after\nfit()  # @call\n"
    )
    program.break_at("call")
    assert program.run_to_stop() == "call"
    watched = watch_at_stop(program, "x", way=Way.EXACT)
    assert program.resume_to_stop() == "after"
    assert program.stop is not None
    assert program.stop.description == "x changed: 3 -> 4 at program.py line 3, in fit()"
    assert program.stop.breakpoint_ids == (watched.id,)
    assert program.evaluate("x") == "4"
    program.finish()


def test_a_step_and_a_breakpoint_after_an_exact_write_are_one_stop(stopping: Debuggee) -> None:
    program = stopping
    program.write(
        "x = 0\ndef f(n):\n    global x\n    x = n  # @write\n    y = x  # @after\n    return y\n"
        "f(1)\nf(2)\n"
    )
    program.break_at("write")
    program.run_to_stop()
    watched = watch_at_stop(program, "x", way=Way.EXACT)
    assert program.next() == "after"
    assert program.stop is not None and program.stop.reason == "data breakpoint"
    [info] = program.break_at("after")
    assert program.resume_to_stop() == "after"
    assert program.stop.breakpoint_ids == (watched.id, info.id)
    program.finish()
    assert [event.new for event in watched.history] == [1, 2]


def test_a_write_in_a_frame_that_an_exception_leaves_is_a_stop_there(stopping: Debuggee) -> None:
    program = stopping
    program.write(
        "d = {'k': 0}\ndef f():\n    d.update((k, 7 // (k != 'z')) for k in 'kz')  # @write\n"
        "try:\n    f()  # @call\nexcept ZeroDivisionError:\n    pass\n"
    )
    program.break_at("call")
    program.run_to_stop()
    watched = watch_at_stop(program, "d['k']", way=Way.EXACT)
    assert program.resume_to_stop() == "write"
    assert program.stop is not None and program.stop.reason == "data breakpoint"
    program.finish()
    assert [(event.old, event.new) for event in watched.history] == [(0, 7)]


def test_it_raises_in_whoever_calls_what_writes(program: Debuggee) -> None:
    prepare(program, SET_EACH)
    watch(program, "p.a", action=Action.RAISE, condition="new > 1")
    with pytest.raises(errors.DataChanged, match="changed: 1 -> 2"):
        program.namespace["main"](1, 2, 3)
    assert program.namespace["p"].a == 2


def test_what_a_client_evaluates_at_a_stop_is_told_and_is_no_stop(
    stopping: Debuggee,
) -> None:
    program = stopping
    program.write("x = 0\ny = 1  # @here\nz = 2  # @there\nx = 9  # @write\nw = 3  # @after\n")
    program.break_at("here", "there")
    program.run_to_stop()
    watched = watch_at_stop(program, "x", way=Way.EXACT)
    program.evaluate("globals().update(x=5)")
    assert program.resume_to_stop() == "there"
    assert program.stop is not None and program.stop.reason == "breakpoint"
    assert program.resume_to_stop() == "after"
    program.finish()
    assert [(e.kind, e.old, e.new) for e in watched.history] == [
        ("change", 0, 5),
        ("change", 5, 9),
    ]


# -- what it says


def test_a_way_that_a_target_has_not_is_refused_with_the_reason(program: Debuggee) -> None:
    prepare(
        program,
        """
        items, x = [1], 1
        def f():
            y = 1
        """,
    )
    for text, said in (("items[:1]", "isn't one place in memory"), ("f:y", "in a dict")):
        with pytest.raises(errors.BadWatch, match=said):
            watch(program, text, way=Way.EXACT)
    with pytest.raises(errors.BadWatch, match="doesn't tell of reads"):
        watch(program, "x", way=Way.EXACT, accesses=(Access.READ,))
    assert not program.engine.watches.every()


def test_attributes_and_items_are_exact_by_themselves_and_names_by_sites(
    program: Debuggee,
) -> None:
    prepare(program, SET_EACH)
    mechanisms = {text: watch(program, text).info().mechanism for text in PLACES}
    exact = dict.fromkeys(PLACES, "dict watcher")
    assert mechanisms == exact | {"x": "store sites"}
    assert watch(program, "p.a", way=Way.SITES).info().mechanism == "store sites"


def test_without_the_compiled_part_the_reason_is_told() -> None:
    program = (
        "import nbdebug\nclass P: pass\np = P()\np.a = x = 1\n"
        "for text in ('x', 'p.a'):\n    print(nbdebug.watch(text)._watch.info().why_not)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "NBDEBUG_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "NBDEBUG_PURE is set, so nbdebug's compiled part isn't used.\n" * 2


def test_a_closed_engine_leaves_no_watcher_and_another_one_starts(tmp_path: Path) -> None:
    for _ in range(3):
        with debuggee_in(tmp_path) as program:
            program.client.attached = False
            prepare(program, SET_EACH)
            watched = watch(program, "p.a")
            program.namespace["main"](1)
            assert len(watched.history) == 1
        program.namespace["main"](2)
        assert len(watched.history) == 1
