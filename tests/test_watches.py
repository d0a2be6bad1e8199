"""Watches: exactly the writes that happen are told, on real programs in this process."""

import json
import re
import textwrap
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from debuggee import Debuggee, debuggee_in

from nbdebug import errors
from nbdebug.engine.evaluate import NamespaceFrame
from nbdebug.engine.model import Granularity, StepKind
from nbdebug.engine.value_text import safe_text
from nbdebug.engine.watch_model import Access, Action, WatchSpec
from nbdebug.engine.watch_targets import resolve
from nbdebug.engine.watches import Watch


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Debuggee]:
    with debuggee_in(tmp_path) as running:
        running.client.attached = False
        yield running


def prepare(program: Debuggee, text: str) -> None:
    """Run a program's definitions, without what its function `main` does."""
    program.write(textwrap.dedent(text))
    program.start()
    program.join()
    if program.error is not None:
        raise program.error


def watch(program: Debuggee, text: str, *, pending: bool = False, **options: Any) -> Watch:
    options.setdefault("action", Action.LOG)
    target = resolve(text, NamespaceFrame(program.namespace), pending=pending)
    return program.engine.watches.add(target, WatchSpec(**options))


def seen(program: Debuggee, watch: Watch) -> list[tuple[str, str, str]]:
    """Return (mark or text of the line, old, new) of each event."""
    program.engine.watches.look("the end")
    return [
        (
            program.mark(e.line) if e.path == program.path else e.path or e.kind,
            e.old_text,
            e.new_text,
        )
        for e in watch.history
    ]


NOT = "<not there>"
JSON = safe_text(json)

# name -> (program with a function main, what is watched, [(mark, old, new)])
LOCALS: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "assignment": ("x = 1  # @a\nx = 2  # @b", [("a", NOT, "1"), ("b", "1", "2")]),
    "augmented": ("x = 1  # @a\nx += 5  # @b", [("a", NOT, "1"), ("b", "1", "6")]),
    "for": ("for x in range(2):  # @a\n    pass", [("a", NOT, "0"), ("a", "0", "1")]),
    "with-as": (
        "import contextlib\nwith contextlib.nullcontext(7) as x:  # @a\n    pass",
        [("a", NOT, "7")],
    ),
    "except-as": (
        "try:\n    raise KeyError(1)\nexcept KeyError as x:  # @a\n    y = 1  # @b\nz = 2",
        [("a", NOT, "KeyError(1)"), ("b", "KeyError(1)", NOT)],
    ),
    "walrus": (
        "if (x := 5) > 3:  # @a\n    y = [(x := i) for i in range(2)]  # @b",
        [("a", NOT, "5"), ("b", "5", "0"), ("b", "0", "1")],
    ),
    "unpacking": (
        "x, y = 1, 2  # @a\ny, x = x, y  # @b\n(a, (x, *b)) = 9, (8, 7)  # @c",
        [("a", NOT, "1"), ("b", "1", "2"), ("c", "2", "8")],
    ),
    "star-unpacking": ("a, *x = 1, 2, 3  # @a", [("a", NOT, "[2, 3]")]),
    "import": ("import json as x  # @a\nx = 1  # @b", [("a", NOT, JSON), ("b", JSON, "1")]),
    "delete": (
        "x = 1  # @a\ndel x  # @b\nx = 2  # @c",
        [("a", NOT, "1"), ("b", "1", NOT), ("c", NOT, "2")],
    ),
    "branch": (
        "for c in (True, False, True):\n    if c:\n        x = len(str(c))  # @a\n    y = 3",
        [("a", NOT, "4")],
    ),
    "equal values": ("x = 1  # @a\nx = 1\nx = 1.0  # @b", [("a", NOT, "1"), ("b", "1", "1.0")]),
    "comprehensions that shadow": (
        (
            "x = 10  # @a\ny = [x for x in range(3)]\nz = {x: 1 for x in range(2)}\n"
            "w = [x for q in range(2) for x in range(2) if x]\nx = 11  # @b"
        ),
        [("a", NOT, "10"), ("b", "10", "11")],
    ),
    "match": (
        "match {'k': 5}:\n    case {'k': x}:  # @a\n        pass",
        [("a", NOT, "5")],
    ),
    "try": (
        (
            "x = 0  # @a\ntry:\n    x = 1  # @b\n    raise ValueError\nexcept ValueError:\n"
            "    x = 2  # @c\nfinally:\n    x = 3  # @d"
        ),
        [("a", NOT, "0"), ("b", "0", "1"), ("c", "1", "2"), ("d", "2", "3")],
    ),
    "two on one line": (
        "x = 1; x = 2  # @a",
        [("a", NOT, "1"), ("a", "1", "2")],
    ),
    "chain": ("x = y = x = 7  # @a", [("a", NOT, "7")]),
    "nonlocal": (
        "x = 1  # @a\ndef inner():\n    nonlocal x\n    x = 2  # @b\ninner()\nx = 3  # @c",
        [("a", NOT, "1"), ("b", "1", "2"), ("c", "2", "3")],
    ),
    "another function's": (
        "x = 1  # @a\ndef shadow():\n    x = 99\nshadow()\nx = 2  # @b",
        [("a", NOT, "1"), ("b", "1", "2")],
    ),
    "objects": (
        "class A:\n    def __repr__(self):\n        return 'never'\nx = A  # @a\nx = None  # @b",
        [
            ("a", NOT, "<class 'program.main.<locals>.A'>"),
            ("b", "<class 'program.main.<locals>.A'>", "None"),
        ],
    ),
    "in place": (
        "x = [1]  # @a\nx.append(2)  # @b\nx[0] = 5  # @c\nx += [3]  # @d\nx = x",
        [
            ("a", NOT, "[1]"),
            ("b", "[1]", "[1, 2]"),
            ("c", "[1, 2]", "[5, 2]"),
            ("d", "[5, 2]", "[5, 2, 3]"),
        ],
    ),
    "write then exception": (
        "try:\n    x = 1; raise KeyError  # @a\nexcept KeyError:\n    pass",
        [("a", NOT, "1")],
    ),
    "exec": ("x = 1  # @a\nexec('x = 5')\nx = 2  # @b", [("a", NOT, "1"), ("b", "1", "2")]),
}


@pytest.mark.parametrize("case", LOCALS)
def test_each_change_of_a_local_is_told_once(program: Debuggee, case: str) -> None:
    body, expected = LOCALS[case]
    prepare(program, f"def main():\n{textwrap.indent(body, '    ')}\n")
    for _ in range(30):
        program.namespace["main"]()  # specialised code is watched as well
    watched = watch(program, "main:x")
    program.namespace["main"]()
    assert seen(program, watched) == expected


# name -> (program, whose function main is run; what is watched; [(mark, old, new)])
PLACES: dict[str, tuple[str, str, list[tuple[str, str, str]]]] = {
    "a global of functions": (
        """
        x = 3
        def main():
            global x
            x = 4  # @a
            x = 4
            del x  # @b
            x = 5  # @c
        """,
        "x",
        [("a", "3", "4"), ("b", "4", NOT), ("c", NOT, "5")],
    ),
    "a local of the same name is another": (
        """
        x = 3
        def main():
            x = 4
            class A:
                x = 5
            return x, A
        """,
        "x",
        [],
    ),
    "exec in the namespace": (
        """
        x = 3
        def main():
            exec('x = 4', globals())
            exec('x = 5', globals(), {})
        """,
        "x",
        [("<string>", "3", "4")],
    ),
    "another namespace": (
        """
        x = 3
        text = 'x = 1\\nfor i in range(3): x = i'
        def main():
            exec(text, {})
        """,
        "x",
        [],
    ),
    "what no site sees, at the next store": (
        """
        x = 3
        def main():
            global x
            globals()['x'] = 4
            x = 5  # @a
        """,
        "x",
        [("a", "3", "4"), ("a", "4", "5")],
    ),
    "what no site sees, at the end": (
        """
        x = 3
        def main():
            globals()['x'] = 4
        """,
        "x",
        [("outside", "3", "4")],
    ),
    "a generator's": (
        """
        x = 0
        def steps():
            global x
            x = 1  # @a
            yield
            x = 2  # @b
        running = steps()
        next(running)
        def main():
            list(running)
        """,
        "x",
        [("b", "1", "2")],
    ),
    "an attribute of one object": (
        """
        class P:
            def __init__(self):
                self.a = 1
            def set(self, value):
                self.a = value  # @set
        p, q = P(), P()
        def main():
            q.a = 7
            p.b = 8
            p.set(2)
            q.set(3)
            p.a += 1  # @add
            del p.a  # @del
            p.a = 9  # @again
        """,
        "p.a",
        [("set", "1", "2"), ("add", "2", "3"), ("del", "3", NOT), ("again", NOT, "9")],
    ),
    "setattr and __dict__ replaced": (
        """
        class P:
            pass
        p = P()
        p.a = 1
        def main():
            p.__dict__ = {'a': 2}
            p.a = 3  # @a
            setattr(p, 'a', 4)
        """,
        "p.a",
        [("a", "1", "2"), ("a", "2", "3"), ("outside", "3", "4")],
    ),
    "a slot": (
        """
        class P:
            __slots__ = ('a', '__weakref__')
        p = P()
        p.a = 1
        def main():
            p.a = 2  # @a
            del p.a  # @b
        """,
        "p.a",
        [("a", "1", "2"), ("b", "2", NOT)],
    ),
    "a class attribute": (
        """
        class P:
            count = 0
            def __init__(self):
                P.count += 1  # @a
        def main():
            one = P()
            one.count = 7
            P()
        """,
        "P.count",
        [("a", "0", "1"), ("a", "1", "2")],
    ),
    "an item of a dict": (
        """
        d = {'k': 1}
        e = {'k': 1}
        def main():
            e['k'] = 2
            d['j'] = 2
            d['k'] = 3  # @a
            d.update(k=4)  # @b
            d.setdefault('k', 5)
            d |= {'k': 6}  # @c
            del d['k']  # @d
            d['k'] = 7  # @e
            d.pop('k')  # @f
        """.replace("d |= {'k': 6}", "d.__ior__({'k': 6}); d['x'] = 1"),
        "d['k']",
        [
            ("a", "1", "3"),
            ("b", "3", "4"),
            ("c", "4", "6"),
            ("d", "6", NOT),
            ("e", NOT, "7"),
            ("f", "7", NOT),
        ],
    ),
    "an item of a list": (
        """
        items = [1, 2, 3]
        def main():
            items[0] = 9
            items[1] = 8  # @a
            items.insert(0, 0)  # @b
            items.sort(reverse=True)  # @c
            items[1:] = [5]  # @d
        """,
        "items[1]",
        [("a", "2", "8"), ("b", "8", "9"), ("c", "9", "8"), ("d", "8", "5")],
    ),
    "a whole list": (
        """
        items = [1]
        def main():
            other = items
            other.append(2)  # @a
            len(items)
            items[0] = 5  # @b
        """,
        "items",
        [("a", "[1]", "[1, 2]"), ("b", "[1, 2]", "[5, 2]")],
    ),
    "a value inside of an object": (
        """
        class P:
            pass
        p = P()
        p.values = {'a': 1}
        def main():
            p.values['a'] = 2  # @a
            p.values = None  # @b
        """,
        "p.values",
        [("a", "{'a': 1}", "{'a': 2}"), ("b", "{'a': 2}", "None")],
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_each_change_of_a_place_is_told_once(program: Debuggee, case: str) -> None:
    text, what, expected = PLACES[case]
    prepare(program, text)
    watched = watch(program, what)
    program.namespace["main"]()
    assert seen(program, watched) == expected


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
    watches: list[Watch] = []
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
