"""From when to when something is watched: what waits, what ends, what is refused and what stays."""

import os
import re
import subprocess
import textwrap
import weakref
from pathlib import Path

import pytest
from debuggee import Debuggee
from interpreters import ROOT
from watching import COUNTER, NOT, prepare, seen, watch, watch_at_stop

from nbdebug import errors
from nbdebug.engine.watch_model import Access, Action, WatchSpec
from nbdebug.engine.watch_targets import Target

# -- binding


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


def test_a_pending_watch_binds_at_the_first_write(program: Debuggee) -> None:
    prepare(program, "def main():\n    global later\n    later = 1  # @a\n")
    watched = watch(program, "later", pending=True)
    assert watched.info().state == "pending"
    program.namespace["main"]()
    assert seen(program, watched) == [("a", NOT, "1")]


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


# -- the end


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


def test_a_local_of_one_frame_is_watched_until_that_frame_ends(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "def f(n):\n    x = n  # @write\n    if n:\n        f(n - 1)\n"
        "    x = -n  # @up\n    return x  # @end\nf(2)\nf(0)\n"
    )
    program.break_at("write", condition="n == 1")
    program.run_to_stop()
    watched = watch_at_stop(program, "x", pending=True, action=Action.LOG)
    program.finish()
    assert [(event.old_text, event.new_text) for event in watched.history] == [
        (NOT, "1"),
        ("1", "-1"),
    ]
    assert watched.info().state == "ended: its frame, of f, has ended"
    assert [info.id for info, _ in program.client.watch_changes] == [watched.id]


def test_a_watch_of_one_frame_ends_when_an_exception_leaves_it(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "def f():\n    x = 1  # @set\n    raise KeyError  # @raise\n"
        "try:\n    f()\nexcept KeyError:\n    pass\n"
    )
    program.break_at("raise")
    program.run_to_stop()
    watched = watch_at_stop(program, "x", action=Action.LOG)
    program.finish()
    assert watched.info().state == "ended: its frame, of f, has ended"


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
