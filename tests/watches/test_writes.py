"""Exactly the writes that happen are told, whoever makes them, on real programs in this process."""

import os
import subprocess
from pathlib import Path

import pytest
from debuggee import Debuggee
from interpreters import ROOT
from watch_corpus import GLOBALS, LOCALS, PLACES, check_global, check_local, check_place
from watching import NOT, prepare, seen, watch

from nbdebug.engine import dictwatch
from nbdebug.engine.watch_model import Access, Action, Way


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


def test_numbers_of_numpy_are_kept_as_numbers(program: Debuggee) -> None:
    pytest.importorskip("numpy", reason="numpy isn't installed for this Python")
    text = "import numpy as np\nx = 0\ndef main():\n    global x\n    x = np.float64(0.5)\n"
    prepare(program, text)
    watched = watch(program, "x")
    program.namespace["main"]()
    assert [(type(event.new), event.new_text) for event in watched.history] == [(float, "0.5")]
