"""Watches on elements, slots, buffers and raw memory: by the processor, and where it may not be."""

import os
import subprocess
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import pytest
from debuggee import Debuggee
from interpreters import ROOT
from memory_corpus import BY_LINES, BY_PROCESSOR, BY_SITES, EVERYWHERE, READ_ATTRIBUTES, check
from watching import prepare, seen, watch, watch_at_stop

from nbdebug import errors
from nbdebug.engine import hardware, memory_targets, traps
from nbdebug.engine.hardware import NoWatchSlot
from nbdebug.engine.watch_model import Access, Action, CodePlace, Way


@pytest.fixture
def able() -> None:
    """Skip where this machine has no hardware watches."""
    reason = hardware.why_not()
    if reason is not None:
        pytest.skip(f"no hardware watches here: {reason}")


def run(python: Path, text: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(textwrap.dedent(text))
        return subprocess.run(
            [str(python), "-X", "faulthandler", str(program)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": path, **environment},
            check=False,
        )


# -- exactness


@pytest.mark.parametrize("case", [*EVERYWHERE, *READ_ATTRIBUTES])
def test_each_change_is_told_once(program: Debuggee, case: str) -> None:
    check(program, case)


@pytest.mark.parametrize("case", BY_SITES)
def test_store_sites_tell_each_change_once(program: Debuggee, case: str) -> None:
    check(program, case, Way.SITES)


@pytest.mark.parametrize("case", [*EVERYWHERE, *BY_LINES])
def test_the_line_that_has_run_is_told_whatever_wrote(program: Debuggee, case: str) -> None:
    check(program, case, Way.LINES)


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("case", BY_PROCESSOR)
def test_the_processor_sees_what_no_statement_says(program: Debuggee, case: str) -> None:
    check(program, case)


@pytest.mark.parametrize("forbidden", ["", "1"])
def test_the_corpus_is_told_exactly_on_each_python(each_python: Path, forbidden: str) -> None:
    text = (ROOT / "tests" / "memory_corpus.py").read_text()
    done = run(each_python, text, NBDEBUG_NO_HARDWARE=forbidden)
    assert done.returncode == 0, done.stderr
    able = not forbidden and hardware.why_not() is None
    number = len(EVERYWHERE) + len(READ_ATTRIBUTES) + len(BY_PROCESSOR) * able
    number += len(BY_SITES) + len(EVERYWHERE) + len(BY_LINES)
    assert done.stdout.startswith(f"{number} programs on")


THREADS = """
import array, threading
data = array.array('q', [0] * 8)
def work(n):
    for i in range(n):
        data[1] = i
    data[3] = n  # @write
def main(names):
    for n, name in enumerate(names, 1):
        one = threading.Thread(target=work, args=(n,), name=name)
        one.start()
        one.join()
"""


def test_a_write_in_a_thread_that_began_later_is_told_with_its_thread(program: Debuggee) -> None:
    prepare(program, THREADS)
    watched = watch(program, "data[3]")
    program.namespace["main"](["a", "b"])
    assert seen(program, watched) == [("write", "0", "1"), ("write", "1", "2")]
    assert [event.thread for event in watched.history] == ["a", "b"]


def test_a_hit_in_a_thread_that_runs_already_is_told_there(program: Debuggee) -> None:
    prepare(
        program,
        """
        import array, threading
        data = array.array('q', [0] * 8)
        go, done = threading.Event(), threading.Event()
        def work():
            go.wait()
            data[3] = 1  # @write
            done.set()
        def main():
            go.set()
            done.wait()
            running.join()
        running = threading.Thread(target=work, name="early")
        running.start()
        """,
    )
    watched = watch(program, "data[3]")
    program.namespace["main"]()
    assert seen(program, watched) == [("write", "0", "1")]
    assert watched.history[0].thread == "early"


def test_a_write_inside_of_a_library_is_told_with_its_place(
    program: Debuggee, able: None, tmp_path: Path
) -> None:
    library = tmp_path / "libs" / "site-packages"
    library.mkdir(parents=True)
    (library / "deep.py").write_text(
        "import operator\ndef poke(data):\n    operator.setitem(data, 3, 9)\n    return 1\n"
    )
    prepare(
        program,
        f"""
        import array, sys
        sys.path.insert(0, {str(library)!r})
        import deep
        sys.path.pop(0)
        data = array.array('q', [0] * 8)
        def main():
            deep.poke(data)
        """,
    )
    watched = watch(program, "data[3]")
    program.namespace["main"]()
    program.engine.watches.look("the end")
    [event] = watched.history
    assert (event.path, event.line, event.function) == (str(library / "deep.py"), 3, "poke")
    assert event.text == "data[3] changed: 0 -> 9 at deep.py line 3, in poke()"


# -- stops and actions


def test_it_stops_right_after_the_write(program: Debuggee, able: None) -> None:
    program.client.attached = True
    program.write(
        "import array\ndata = array.array('q', [0] * 4)\ndef fit():\n    x = 1  # @first\n"
        "    data[2] = x  # @write\n    y = x  # @after\nfit()\n"
    )
    program.break_at("first")
    program.run_to_stop()
    watched = watch_at_stop(program, "data[2]")
    assert program.resume_to_stop() == "after"
    assert program.stop is not None
    assert program.stop.reason == "data breakpoint"
    assert program.stop.breakpoint_ids == (watched.id,)
    assert program.stop.description == "data[2] changed: 0 -> 1 at program.py line 5, in fit()"
    assert program.evaluate("data[2]") == "1"
    program.finish()


def test_a_slot_stops_and_raises_right_after_the_write(program: Debuggee) -> None:
    prepare(
        program,
        """
        class P:
            __slots__ = ('a', '__weakref__')
        p = P()
        p.a = 1
        def main():
            global reached
            p.a = 2
            reached = True
        """,
    )
    watch(program, "p.a", action=Action.RAISE)
    with pytest.raises(errors.DataChanged, match=r"p.a changed: 1 -> 2 at program.py line"):
        program.namespace["main"]()
    assert "reached" not in program.namespace
    assert program.namespace["p"].a == 2


def test_that_a_class_is_swapped_is_said_aloud(program: Debuggee) -> None:
    prepare(program, "class P: pass\np = P()\np.a = 1\n")
    watched = watch(program, "p.a", accesses=(Access.READ,))
    [notice] = [text for text, category, _ in program.client.outputs if category == "important"]
    assert notice.startswith("`p.a`: While it is watched, the object's type() is a one-off")
    assert type(program.namespace["p"]) is not program.namespace["P"]
    program.engine.watches.remove([watched])
    assert type(program.namespace["p"]) is program.namespace["P"]


def test_a_read_stops_where_it_was_read(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "class P: pass\np = P()\np.a = 1\nx = 0  # @first\nx = p.a  # @read\ny = 1  # @after\n"
    )
    program.break_at("first")
    program.run_to_stop()
    watch_at_stop(program, "p.a", accesses=(Access.READ,))
    assert program.resume_to_stop() == "read"
    assert program.stop is not None
    assert program.stop.description == "p.a was read at program.py line 5: 1"
    assert program.evaluate("p.a") == "1"  # and no stop for the debugger's own read
    program.finish()


# -- what can't be had


def test_the_fifth_is_compared_unless_it_must_be_exact(program: Debuggee, able: None) -> None:
    prepare(
        program,
        """
        import array
        data = array.array('q', [0] * 8)
        def main():
            for i in range(8):
                data[i] = 1  # @write
        """,
    )
    watches = [watch(program, f"data[{i}]") for i in range(5)]
    mechanisms = [one.mechanism.name for one in watches]
    assert mechanisms == ["hardware watchpoint"] * 4 + ["compare at lines"]
    assert watches[4].info().why_not == "All 4 watchpoints of the processor are in use."
    for options in ({"accesses": (Access.READ,)}, {"way": Way.EXACT}):
        with pytest.raises(NoWatchSlot):
            watch(program, "data[6]", **options)
    assert len(program.engine.watches.every()) == 5
    program.namespace["main"]()
    assert [seen(program, one) for one in watches] == [[("write", "0", "1")]] * 5
    program.engine.watches.remove(watches[:1])
    assert watch(program, "data[6]", way=Way.EXACT).mechanism.name == "hardware watchpoint"


def test_what_is_too_large_for_the_processor_is_compared(program: Debuggee, able: None) -> None:
    prepare(program, "data = bytearray(100)\ndef main():\n    data[50] = 1  # @write\n")
    watched = watch(program, "data[10:90]")
    assert watched.mechanism.name == "compare at lines"
    assert "80 bytes need more than the 4 watchpoints" in watched.info().why_not
    program.namespace["main"]()
    assert [mark for mark, _, _ in seen(program, watched)] == ["write"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("d['k']", {"accesses": (Access.READ,)}, "an object doesn't tell who reads its parts"),
        ("table['a']", {"accesses": (Access.READ,)}, "isn't one place in memory"),
        ("final.a", {"accesses": (Access.READ,)}, "is final: it is to have no subclass"),
        (
            "data[1]",
            {"accesses": (Access.READ, Access.WRITE)},
            "doesn't tell a read from a write",
        ),
    ],
)
def test_an_access_that_nothing_sees_is_refused_with_the_reason(
    program: Debuggee, able: None, text: str, options: dict[str, Any], said: str
) -> None:
    prepare(
        program,
        """
        import array, pandas, typing
        d, data, table = {'k': 1}, array.array('q', [0] * 4), pandas.DataFrame({'a': [1]})
        @typing.final
        class F:
            __slots__ = ('a',)
        final = F()
        final.a = 1
        def main():
            data[0] = 1  # @write
        """,
    )
    other = watch(program, "data[0]")
    with pytest.raises(errors.BadWatch, match="can't be watched for every") as raised:
        watch(program, text, **options)
    assert said in str(raised.value)
    program.namespace["main"]()
    assert seen(program, other) == [("write", "0", "1")]


def test_where_hardware_is_forbidden_the_reason_is_told(each_python: Path) -> None:
    done = run(
        each_python,
        """
        import array, nbdebug
        from nbdebug import errors
        data = array.array('q', [0] * 4)
        with nbdebug.watch("data[1]") as seen:
            data[1] = 5
        print(seen.info.mechanism, seen.info.why_not)
        for options in ({"on": "read"}, {"way": "exact"}):
            try:
                nbdebug.watch("data[1]", **options)
            except errors.BadWatch as error:
                print(error)
        """,
        NBDEBUG_NO_HARDWARE="1",
    )
    assert (done.returncode, done.stderr) == (
        0,
        "data[1] changed: 0 -> 5 at program.py line 6\n",
    )
    reason = "NBDEBUG_NO_HARDWARE is set, so the processor's watchpoints aren't used."
    lines = done.stdout.splitlines()
    assert lines[0] == f"compare at lines {reason}"
    assert len(lines) == 3 and all(line.endswith(reason) for line in lines)


# -- the guest


def test_an_array_that_dies_ends_its_watch(program: Debuggee) -> None:
    prepare(program, "import numpy as np\ndata = np.zeros(1000)\n")
    watched = watch(program, "data[3]")
    del program.namespace["data"]
    program.engine.watches.look("the end")
    assert watched.info().state == "ended: the object that it watched has died"
    assert not watched.history


@pytest.mark.parametrize("made", ["[1, 2, 3]", "bytearray(b'abc')", "array.array('q', [1, 2])"])
def test_what_is_watched_is_not_kept_alive(program: Debuggee, made: str) -> None:
    prepare(program, f"import array\ndata = {made}\n")
    watched = watch(program, "data[1]")
    program.engine.watches.look("one cell's end")
    assert watched.info().state == "watching"
    del program.namespace["data"]
    program.engine.watches.look("another's")
    assert watched.info().state == "ended: the object that it watched has died"
    assert not watched.history


def test_signals_are_the_programs_again_and_those_it_has_stay_its_own(each_python: Path) -> None:
    done = run(
        each_python,
        """
        import array, faulthandler, nbdebug, os, signal, subprocess, sys
        data = array.array('q', [0] * 4)
        with nbdebug.watch("data[1]", call=lambda event: None) as seen:
            data[1] = 1
            # A child process has neither the watch nor its signal.
            code = "import signal; print(signal.getsignal(signal.SIGTRAP) is signal.SIG_DFL)"
            print(subprocess.check_output([sys.executable, "-c", code], text=True).strip())
            child = os.fork()
            if not child:
                data[1] = 2
                os._exit(signal.getsignal(signal.SIGTRAP) is not signal.SIG_DFL)
            print(os.waitpid(child, 0)[1])
        print(len(seen.history), signal.getsignal(signal.SIGTRAP) is signal.SIG_DFL)
        told = []
        def own(number, frame):
            told.append(number)
        signal.signal(signal.SIGTRAP, own)
        with nbdebug.watch("data[1]", call=lambda event: None) as seen:
            data[1] = 3
            assert signal.getsignal(signal.SIGTRAP) is own
            os.kill(os.getpid(), signal.SIGTRAP)
        print(len(seen.history), len(told))
        nbdebug.watch("data[2]", call=lambda event: None)
        data[2] = 5
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["True", "0", "1 True", "1 1"]


def test_a_watch_that_another_thread_sets_is_exact_as_well(each_python: Path) -> None:
    done = run(
        each_python,
        """
        import array, nbdebug, operator, threading
        data = array.array('q', [0] * 4)
        watches = []
        def set_it():
            watches.append(nbdebug.watch("data[1]", call=lambda event: None))
        setter = threading.Thread(target=set_it)
        setter.start()
        setter.join()
        operator.setitem(data, 1, 5)
        x = 1
        for i in range(3):
            operator.setitem(data, 1, i)
        watches[0].close()
        print([(e.kind, e.line, e.old, e.new) for e in watches[0].history])
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if hardware.why_not() is None:
        changes = [("change", 10, 0, 5)]
        changes += [("change", 13, old, new) for old, new in ((5, 0), (0, 1), (1, 2))]
        assert done.stdout.strip() == repr(changes)


def test_memory_that_was_freed_and_is_used_again_harms_nobody(each_python: Path) -> None:
    done = run(
        each_python,
        """
        import gc, nbdebug
        class Holder:
            pass
        for size in range(1, 60):
            items = [0] * size
            with nbdebug.watch("items[0]", call=lambda event: None) as seen:
                grow = items.extend
                grow(range(5000))  # its memory is anybody's now
                found = [[i] * size for i in range(300)]
                assert [one[0] for one in found] == list(range(300))
            assert not seen.history, (size, list(seen.history))
        print("fine")
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


# -- what faulthandler writes


def test_stacks_are_read_from_what_faulthandler_writes() -> None:
    text = (
        "Stack (most recent call first):\n"
        '  File "/a b/c.py", line 12 in f.<locals>.g\n'
        '  File "<cell \\xe9\\u20ac>", line 1 in <module>\n'
        "  ...\n"
        "Stack (most recent call first):\n"
        '  File "/x.py", line 3'
    )
    assert traps.stacks_in(text) == [
        (CodePlace("/a b/c.py", 12, "f.<locals>.g"), CodePlace("<cell é€>", 1, "<module>")),
        (),
    ]
    assert traps.stacks_in("") == []


def test_an_address_needs_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    hardware.why_not.cache_clear()
    monkeypatch.setenv("NBDEBUG_NO_HARDWARE", "1")
    try:
        with pytest.raises(errors.NoAddressWatch, match="NBDEBUG_NO_HARDWARE is set"):
            memory_targets.at_address("0x1000", 8)
    finally:
        hardware.why_not.cache_clear()


@pytest.mark.parametrize(
    ("text", "length", "said"),
    [
        ("nowhere", 8, "isn't an address"),
        ("0x10", 8, "Nothing can be read at 0x10"),
        ("0x10", 0, "Nothing can be read at 0x10"),
        ("4096", 100, "need more than the 4 watchpoints"),
        ("-8", 8, "Nothing can be read"),
        (str(1 << 70), 8, "Nothing can be read"),
    ],
)
def test_an_address_that_is_none_is_refused(able: None, text: str, length: int, said: str) -> None:
    with pytest.raises(errors.NotWatchable, match=said):
        memory_targets.at_address(text, length)
