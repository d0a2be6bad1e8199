"""Watches: exactly the writes that happen are told, on real programs in this process."""

import os
import re
import subprocess
import textwrap
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from debuggee import Debuggee, debuggee_in
from interpreters import ROOT
from watch_corpus import (
    GLOBALS,
    LOCALS,
    NOT,
    PLACES,
    check_global,
    check_local,
    check_place,
    prepare,
    seen,
    watch,
)

from nbdebug import errors
from nbdebug.engine import dictwatch
from nbdebug.engine.model import Granularity, StepKind
from nbdebug.engine.watch_model import Access, Action, WatchSpec, Way
from nbdebug.engine.watch_targets import Target, resolve


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Debuggee]:
    with debuggee_in(tmp_path) as running:
        running.client.attached = False
        yield running


@pytest.mark.parametrize("case", LOCALS)
def test_each_change_of_a_local_is_told_once(program: Debuggee, case: str) -> None:
    check_local(program, case)


@pytest.fixture(params=[Way.SITES, Way.EXACT])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param is Way.EXACT and (reason := dictwatch.why_not()):
        pytest.skip(f"{reason} Run `make setup`.")
    found: Way = request.param
    return found


@pytest.mark.parametrize("case", GLOBALS)
def test_each_change_of_a_global_is_told_once(program: Debuggee, case: str, way: Way) -> None:
    check_global(program, case, way)


@pytest.mark.parametrize("case", PLACES)
def test_each_change_of_a_place_is_told_once(program: Debuggee, case: str, way: Way) -> None:
    check_place(program, case, way)


@pytest.mark.parametrize("pure", ["", "1"])
def test_the_corpus_is_told_exactly_on_each_python(each_python: Path, pure: str) -> None:
    path = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    path["NBDEBUG_PURE"] = pure
    done = subprocess.run(
        [str(each_python), str(ROOT / "tests" / "watch_corpus.py")],
        capture_output=True,
        text=True,
        timeout=60,
        env=path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "programs on" in done.stdout
    assert done.stdout.endswith("compiled part isn't used.\n") == bool(pure), done.stdout


def test_every_write_is_told_where_that_is_asked_for(program: Debuggee) -> None:
    prepare(
        program,
        """
        x = 1
        def main(c):
            global x
            x = 1  # @a
            if c:
                x = 1  # @b
            y = [x for x in (1, 2)]
            x = 2  # @c
        """,
    )
    watched = watch(program, "x", accesses=(Access.WRITE,))
    program.namespace["main"](False)
    program.namespace["main"](True)
    marks = [(mark, new) for mark, _, new in seen(program, watched)]
    assert marks == [("a", "1"), ("c", "2"), ("a", "1"), ("b", "1"), ("c", "2")]


def test_reads_and_deletions_are_told_where_they_are_asked_for(program: Debuggee) -> None:
    prepare(
        program,
        """
        x = 1
        def main():
            global x
            y = x + 1  # @a
            x = 5
            print(x, file=open('/dev/null', 'w'))  # @b
            del x  # @c
        """,
    )
    reads = watch(program, "x", accesses=(Access.READ,))
    deletions = watch(program, "x", accesses=(Access.DELETE,))
    program.namespace["main"]()
    assert [(e.kind, program.mark(e.line), e.new_text) for e in reads.history] == [
        ("read", "a", "1"),
        ("read", "b", "5"),
    ]
    assert [(e.kind, program.mark(e.line), e.old_text) for e in deletions.history] == [
        ("delete", "c", "5")
    ]


def test_each_frame_of_a_recursion_has_its_own_local(program: Debuggee) -> None:
    prepare(
        program,
        """
        def rec(n):
            x = n  # @down
            if n:
                rec(n - 1)
            x = -n  # @up
        """,
    )
    watched = watch(program, "rec:x")
    program.namespace["rec"](2)
    assert seen(program, watched) == [
        ("down", NOT, "2"),
        ("down", NOT, "1"),
        ("down", NOT, "0"),
        ("up", "1", "-1"),
        ("up", "2", "-2"),
    ]


def test_interleaved_tasks_and_generators_have_their_own_locals(program: Debuggee) -> None:
    prepare(
        program,
        """
        import asyncio
        async def work(n):
            x = n  # @a
            await asyncio.sleep(0)
            x += 10  # @b
        async def both():
            tasks = [asyncio.create_task(work(n), name=f"task {n}") for n in (1, 2)]
            await asyncio.gather(*tasks)
        """,
    )
    watched = watch(program, "work:x")
    import asyncio

    asyncio.run(program.namespace["both"]())
    assert seen(program, watched) == [
        ("a", NOT, "1"),
        ("a", NOT, "2"),
        ("b", "1", "11"),
        ("b", "2", "12"),
    ]
    assert {event.task for event in watched.history} == {"task 1", "task 2"}


def test_writes_of_many_threads_are_told_once_each(program: Debuggee) -> None:
    prepare(
        program,
        """
        import threading
        x = 0
        def work(n):
            global x
            for i in range(n):
                x = i
        def main(threads, n):
            running = [threading.Thread(target=work, args=(n,)) for _ in range(threads)]
            for one in running:
                one.start()
            for one in running:
                one.join()
        """,
    )
    told: list[int] = []
    watched = watch(
        program,
        "x",
        accesses=(Access.WRITE,),
        action=Action.CALL,
        call=lambda event: told.append(event.number),
        keep=10,
    )
    program.namespace["main"](8, 500)
    assert watched.hits == 8 * 500
    assert sorted(told) == list(range(1, 8 * 500 + 1))
    assert len(watched.history) == 10


def test_a_running_loop_is_watched_from_the_middle_on(program: Debuggee) -> None:
    prepare(
        program,
        """
        x = 0
        def main(arm):
            global x
            x = 1
            arm()
            x = 2  # @a
            for i in range(2):
                x = 10 + i  # @b
        """,
    )
    watches = []
    program.namespace["main"](lambda: watches.append(watch(program, "x")))
    assert seen(program, watches[0]) == [("a", "1", "2"), ("b", "2", "10"), ("b", "10", "11")]


def test_a_function_that_is_defined_anew_is_watched_on(program: Debuggee) -> None:
    prepare(program, "def f():\n    x = 1  # @a\n")
    watched = watch(program, "f:x")
    text = Path(program.path).read_text()
    exec(compile(text, program.path, "exec"), program.namespace)
    program.namespace["f"]()
    assert seen(program, watched) == [("a", NOT, "1")]


def test_an_array_that_changes_in_place_is_told(program: Debuggee) -> None:
    pytest.importorskip("numpy", reason="numpy isn't installed for this Python")
    prepare(
        program,
        """
        import numpy as np
        a = np.zeros(6)
        def main():
            a[0] = 1
            a[2] = 2  # @item
            b = a
            b += 1  # @add
            np.add(a, 1, out=a)  # @out
            a.fill(0)  # @fill
            np.copyto(a, 7)  # @copyto
        """,
    )
    part = watch(program, "a[1:3]")
    whole = watch(program, "a")
    program.namespace["main"]()
    assert [mark for mark, _, _ in seen(program, part)] == ["item", "add", "out", "fill", "copyto"]
    assert len(seen(program, whole)) == 6


def test_a_column_of_a_data_frame_is_watched(program: Debuggee) -> None:
    pytest.importorskip("pandas", reason="pandas isn't installed for this Python")
    prepare(
        program,
        """
        import pandas as pd
        df = pd.DataFrame({'a': [1, 2], 'b': [3, 4]})
        def main():
            df['b'] = df['b'] * 2
            df['a'] = [1, 2]
            df['a'] = df['a'] + 1  # @set
            df.loc[0, 'a'] = 9  # @loc
        """,
    )
    watched = watch(program, "df['a']")
    program.namespace["main"]()
    assert [mark for mark, _, _ in seen(program, watched)] == ["set", "loc"]


# -- conditions and actions


COUNTER = """
x = 0
def main(n):
    global x
    for i in range(1, n + 1):
        x = i  # @write
    return x
"""


def test_a_condition_sees_the_old_and_the_new_value(program: Debuggee) -> None:
    prepare(program, COUNTER)
    watched = watch(program, "x", condition="old is not None and new - old == 1 and new % 4 == 0")
    with_frame = watch(program, "x", condition="new == n and i == new")
    program.namespace["main"](9)
    assert [event.new for event in watched.history] == [4, 8]
    assert [event.new for event in with_frame.history] == [9]


def test_hit_conditions_once_and_threads_choose_what_is_told(program: Debuggee) -> None:
    prepare(program, COUNTER)
    from_third = watch(program, "x", hit_condition=">=3")
    once = watch(program, "x", once=True)
    elsewhere = watch(program, "x", thread="another")
    program.namespace["main"](5)
    assert [event.new for event in from_third.history] == [3, 4, 5]
    assert [event.new for event in once.history] == [1]
    assert once.info().state == "ended: it was asked for once"
    assert not elsewhere.history


def test_a_watch_that_raises_does_so_in_the_writer(program: Debuggee) -> None:
    prepare(program, COUNTER)
    watch(program, "x", action=Action.RAISE, condition="new > 2")
    with pytest.raises(
        errors.DataChanged, match=r"x changed: 2 -> 3 at program.py line 6, in main"
    ):
        program.namespace["main"](5)
    assert program.namespace["x"] == 3


def test_a_watch_raises_at_a_breakpoint_as_well(program: Debuggee) -> None:
    program.client.attached = True
    program.write("x = 0\ndef f(n):\n    global x\n    x = n\n    y = x  # @after\nf(0)\nf(1)\n")
    program.break_at("after")
    program.run_to_stop()
    target = resolve("x", program_frame(program))
    program.engine.watches.add(target, WatchSpec(action=Action.RAISE))
    with pytest.raises(errors.DataChanged, match="x changed: 0 -> 1"):
        program.finish()


def test_a_function_that_raises_is_told_once_and_harms_nobody(program: Debuggee) -> None:
    prepare(program, COUNTER)
    other = watch(program, "x")
    watch(program, "x", action=Action.CALL, call=lambda event: 1 / 0)
    assert program.namespace["main"](3) == 3
    assert len(other.history) == 3
    notices = [text for text, category, _ in program.client.outputs if category == "important"]
    assert notices == ["Watch 2: its function raised ZeroDivisionError: division by zero"]


def test_a_condition_that_raises_is_told_once_and_the_others_go_on(program: Debuggee) -> None:
    prepare(program, COUNTER)
    program.engine.breakpoints.reports.stop_on_condition_error = False
    other = watch(program, "x")
    watch(program, "x", condition="new / 0")
    program.namespace["main"](3)
    assert len(other.history) == 3
    notices = [text for text, category, _ in program.client.outputs if category == "important"]
    assert len(notices) == 1 and "`new / 0` raised ZeroDivisionError" in notices[0]


def test_the_stack_is_kept_on_demand(program: Debuggee) -> None:
    prepare(program, COUNTER)
    watched = watch(program, "x", with_stack=True)
    program.namespace["main"](1)
    assert watched.history[0].stack[0] == f"{program.path}:6 in main"


# -- stops


def test_a_watch_stops_right_after_the_write(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "x = 3\ndef fit():\n    global x\n    x = 4  # @write\n    y = x  # @after\nfit()\n"
    )
    program.break_at("write")
    assert program.run_to_stop() == "write"
    target = resolve("x", program_frame(program))
    watched = program.engine.watches.add(target, WatchSpec())
    assert program.resume_to_stop() == "after"
    assert program.stop is not None
    assert program.stop.reason == "data breakpoint"
    assert program.stop.breakpoint_ids == (watched.id,)
    assert program.stop.description == "x changed: 3 -> 4 at program.py line 4, in fit()"
    assert program.evaluate("x") == "4"
    program.finish()


def test_a_step_and_a_breakpoint_after_the_write_are_one_stop_with_it(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "x = 0\ndef f(n):\n    global x\n    x = n  # @write\n    y = x  # @after\n    return y\n"
        "f(1)\nf(2)\n"
    )
    program.break_at("write")
    program.run_to_stop()
    target = resolve("x", program_frame(program))
    watched = program.engine.watches.add(target, WatchSpec())
    assert program.next() == "after"
    assert program.stop is not None and program.stop.reason == "data breakpoint"
    [info] = program.break_at("after")
    assert program.resume_to_stop() == "after"
    assert program.stop.breakpoint_ids == (watched.id, info.id)
    program.finish()
    assert [event.new for event in watched.history] == [1, 2]


def test_a_local_of_one_frame_is_watched_until_that_frame_ends(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "def f(n):\n    x = n  # @write\n    if n:\n        f(n - 1)\n"
        "    x = -n  # @up\n    return x  # @end\nf(2)\nf(0)\n"
    )
    program.break_at("write", condition="n == 1")
    program.run_to_stop()
    target = resolve("x", program_frame(program), pending=True)
    watched = program.engine.watches.add(target, WatchSpec(action=Action.LOG))
    program.finish()
    assert [(event.old_text, event.new_text) for event in watched.history] == [
        (NOT, "1"),
        ("1", "-1"),
    ]
    assert watched.info().state == "ended: its frame, of f, has ended"
    assert [info.id for info, _ in program.client.watch_changes] == [watched.id]


def program_frame(program: Debuggee) -> Any:
    parked = program.engine.stops.require_current()
    return parked.frame


# -- lifetime


@pytest.mark.parametrize(
    ("text", "source", "call"),
    [
        ("later:x", "def later():\n    x = 1  # @a\n    x = 2  # @b\n", "later()"),
        ("program.later:x", "def later():\n    x = 1  # @a\n    x = 2  # @b\n", "later()"),
        ("old:x", "def old():\n    x = 1  # @a\n    x = 2  # @b\n", "old()"),
        (
            "Later.run:x",
            "class Later:\n    def run():\n        x = 1  # @a\n        x = 2  # @b\n",
            "Later.run()",
        ),
    ],
)
def test_a_pending_local_is_watched_once_its_function_runs(
    program: Debuggee, text: str, source: str, call: str
) -> None:
    prepare(program, "def old():\n    pass\n")
    with pytest.raises(errors.UnknownVariable):
        watch(program, text)
    watched = watch(program, text, pending=True)
    assert watched.info().state == "pending"
    program.write(f"{source}def other():\n    x = 7\nother()\n{call}\n")
    exec(compile(Path(program.path).read_text(), program.path, "exec"), program.namespace)
    assert seen(program, watched) == [("a", NOT, "1"), ("b", "1", "2")]
    assert watched.info().state == "watching"


def test_a_watch_ends_with_its_object_and_keeps_nothing_alive(program: Debuggee) -> None:
    prepare(program, "class P: pass\np = P()\np.a = 1\nd = {'k': 1}\ndef main(p):\n    p.a = 2\n")
    of_object, of_dict = watch(program, "p.a"), watch(program, "d['k']")
    gone = weakref.ref(program.namespace["p"])
    del program.namespace["p"]
    assert gone() is None
    other = program.namespace["P"]()
    program.namespace["main"](other)
    program.engine.watches.look("the end")
    assert of_object.info().state == "ended: the object that it watched has died"
    assert of_dict.info().state == "watching"
    del program.namespace["d"]
    program.engine.watches.look("the end")
    assert of_dict.info().state == "ended: the object that it watched has died"
    assert not of_object.history and not of_dict.history


def test_old_values_are_not_kept_alive(program: Debuggee) -> None:
    prepare(program, "class P: pass\nx = P()\ndef main():\n    global x\n    x = 1\n")
    watched = watch(program, "x")
    gone = weakref.ref(program.namespace["x"])
    program.namespace["main"]()
    assert len(watched.history) == 1
    assert gone() is None


def test_what_is_unwatched_costs_and_tells_nothing(program: Debuggee) -> None:
    prepare(program, COUNTER)
    watched = watch(program, "x")
    program.engine.watches.remove([watched])
    program.namespace["main"](3)
    assert not watched.history
    assert not program.engine.watches.table.checks


def test_a_watch_is_bound_where_another_one_was_removed_since(program: Debuggee) -> None:
    prepare(
        program,
        """
        x = y = z = 0
        def main(n):
            global x, y, z
            x = y = z = n  # @write
        """,
    )
    watch(program, "x")
    removed = watch(program, "y")
    program.namespace["main"](1)
    watched = watch(program, "z")
    program.engine.watches.remove([removed])
    program.namespace["main"](2)
    assert seen(program, watched) == [("write", "1", "2")]


def test_a_watch_of_one_frame_ends_when_an_exception_leaves_it(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "def f():\n    x = 1  # @set\n    raise KeyError  # @raise\n"
        "try:\n    f()\nexcept KeyError:\n    pass\n"
    )
    program.break_at("raise")
    program.run_to_stop()
    target = resolve("x", program_frame(program))
    watched = program.engine.watches.add(target, WatchSpec(action=Action.LOG))
    program.finish()
    assert watched.info().state == "ended: its frame, of f, has ended"


def test_a_better_mechanism_is_taken_where_it_is_offered(program: Debuggee) -> None:
    prepare(program, COUNTER)
    asked = []

    def decline(target: Target, spec: WatchSpec, tell: object) -> str:
        asked.append((target.text, spec.accesses))
        return "It isn't there."

    program.engine.watches.offers[:] = [decline]
    info = watch(program, "x").info()
    assert (info.mechanism, info.why_not) == ("store sites", "It isn't there.")
    assert asked == [("x", (Access.CHANGE,))]


def test_numbers_of_numpy_are_kept_as_numbers(program: Debuggee) -> None:
    pytest.importorskip("numpy", reason="numpy isn't installed for this Python")
    text = "import numpy as np\nx = 0\ndef main():\n    global x\n    x = np.float64(0.5)\n"
    prepare(program, text)
    watched = watch(program, "x")
    program.namespace["main"]()
    assert [(type(event.new), event.new_text) for event in watched.history] == [(float, "0.5")]


# -- what can't be watched


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("x +", errors.NotWatchable, "isn't an expression"),
        ("3", errors.NotWatchable, "is a literal"),
        ("f()", errors.NotWatchable, "is a call"),
        ("nope", errors.UnknownVariable, "no variable `nope`"),
        ("box.area", errors.NotWatchable, "is a property"),
        ("box.nope", errors.UnknownVariable, "isn't there"),
        ("pair[0]", errors.NotWatchable, "never changes"),
        ("d['nope']", errors.UnknownVariable, "isn't there"),
        ("f:nope", errors.UnknownVariable, "no local variable `nope`; it has a"),
        ("nope:x", errors.UnknownVariable, "no Python function `nope`"),
        ("(5).real", errors.NotWatchable, "can't be watched"),
        ("1 / 0 .x", errors.NotWatchable, "neither a name"),
    ],
)
def test_what_cannot_be_watched_says_why(
    program: Debuggee, text: str, error: type[errors.NbdebugError], said: str
) -> None:
    prepare(
        program,
        """
        class Box:
            area = property(lambda self: 1)
        box, pair, d = Box(), (1, 2), {'k': 1}
        def f(a):
            pass
        """,
    )
    with pytest.raises(error, match=re.escape(said)):
        watch(program, text)


def test_options_that_a_target_has_not_are_refused(program: Debuggee) -> None:
    prepare(program, "d = {'k': 1}\nx = 1\n")
    with pytest.raises(errors.BadWatch, match="can't be watched for every read"):
        watch(program, "d['k']", accesses=(Access.READ,))
    with pytest.raises(errors.BadCondition):
        watch(program, "x", condition="new >")
    with pytest.raises(errors.BadHitCondition):
        watch(program, "x", hit_condition="often")
    assert program.engine.watches.every() == []


def test_a_pending_watch_binds_at_the_first_write(program: Debuggee) -> None:
    prepare(program, "def main():\n    global later\n    later = 1  # @a\n")
    watched = watch(program, "later", pending=True)
    assert watched.info().state == "pending"
    program.namespace["main"]()
    assert seen(program, watched) == [("a", NOT, "1")]


# -- beside breakpoints, steps and pauses


def test_steps_by_instruction_and_breakpoints_leave_watches_exact(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "x = 0\ndef f():\n    global x\n    for i in range(3):  # @loop\n"
        "        x = i + 1  # @write\n"
        "        y = x  # @after\n    return x  # @end\nf()\n"
    )
    program.break_at("loop")
    program.run_to_stop()
    target = resolve("x", program_frame(program))
    watched = program.engine.watches.add(target, WatchSpec(action=Action.LOG))
    for _ in range(12):
        program.step(StepKind.OVER, granularity=Granularity.INSTRUCTION)
    program.next()
    program.break_at("after")
    program.resume_to_stop()
    program.break_at()
    program.finish()
    assert [(event.old, event.new) for event in watched.history] == [(0, 1), (1, 2), (2, 3)]


# -- the process


def run_program(python: Path, text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(python), *options, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_a_script_watches_without_a_kernel_and_exits_clean(each_python: Path) -> None:
    done = run_program(
        each_python,
        """
        import nbdebug, os, threading
        x = 0
        def work(n):
            global x
            for i in range(n):
                x = i
        seen = nbdebug.watch("x", condition="new == 7")
        work(10)
        child = os.fork()
        if not child:
            work(10)  # the child runs as without a debugger
            os._exit(0)
        os.waitpid(child, 0)
        threading.Thread(target=work, args=(10,), daemon=True).start()
        nbdebug.watch("work:i", action="log", condition="new == -1")
        """,
    )
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "x changed: 6 -> 7 at <string> line 7, in work()"
    assert set(lines) == {lines[0]} and len(lines) <= 2
