"""The comparison at lines beside stops, steps, threads and code that comes later."""

import sys
from types import CodeType
from typing import Any

import pytest
from debuggee import Debuggee
from watching import prepare, seen, watch

from nbdebug import errors
from nbdebug.engine import hardware
from nbdebug.engine.usercode import Rule
from nbdebug.engine.watch import Watch
from nbdebug.engine.watch_model import Access, Action, WatchSpec, Way
from nbdebug.engine.watch_targets import resolve

LINES = WatchSpec(way=Way.LINES)


@pytest.fixture
def program(program: Debuggee) -> Debuggee:
    # What stands here runs while the program is stopped, and is no user's.
    program.engine.user_code.configure(rules=(Rule(include=False, path=__file__),))
    return program


def watch_here(program: Debuggee, text: str, spec: WatchSpec = LINES) -> Watch:
    frame = program.engine.stops.require_current().frame
    return program.engine.watches.add(resolve(text, frame), spec)


WRITING = (
    "import array, operator\n"
    "data = array.array('q', [0] * 4)\n"
    "def fit(n):\n"
    "    y = n  # @first\n"
    "    operator.setitem(data, 2, n)  # @write\n"
    "    y = n + 1  # @after\n"
    "    return y  # @end\n"
    "fit(1)\n"
    "fit(2)\n"
)


def test_a_write_in_c_stops_at_the_next_line(program: Debuggee) -> None:
    program.client.attached = True
    program.write(WRITING)
    program.break_at("first", condition="n == 1")
    program.run_to_stop()
    watched = watch_here(program, "data[2]")
    assert program.resume_to_stop() == "after"
    assert program.stop is not None and program.stop.reason == "data breakpoint"
    assert program.stop.breakpoint_ids == (watched.id,)
    assert program.stop.description == "data[2] changed: 0 -> 1 at program.py line 5, in fit()"
    assert program.resume_to_stop() == "after"
    program.finish()
    assert [event.new for event in watched.history] == [1, 2]


def test_a_step_and_a_breakpoint_after_the_write_are_one_stop_with_it(program: Debuggee) -> None:
    program.client.attached = True
    program.write(WRITING)
    program.break_at("write")
    program.run_to_stop()
    watched = watch_here(program, "data[2]")
    assert program.next() == "after"
    assert program.stop is not None and program.stop.reason == "data breakpoint"
    assert program.next() == "end"
    assert program.stop.reason == "step"
    [info] = program.break_at("after")
    assert program.resume_to_stop() == "after"
    assert program.stop.breakpoint_ids == (watched.id, info.id)
    program.finish()
    assert [event.new for event in watched.history] == [1, 2]


def test_breakpoints_on_watched_lines_are_hit_as_without(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "data = [0] * 4\n"
        "def main():\n"
        "    for i in range(3):  # @loop\n"
        "        x = i  # @body\n"
        "    return x  # @end\n"
        "y = 0  # @before\n"
        "main()\n"
    )
    program.break_at("before")
    program.run_to_stop()
    watch_here(program, "data[1]")
    program.break_at("body", "end")
    assert [program.resume_to_stop() for _ in range(4)] == ["body", "body", "body", "end"]
    program.finish()


def test_what_is_changed_at_a_stop_is_no_lines(program: Debuggee) -> None:
    program.client.attached = True
    program.write(WRITING)
    program.break_at("first")
    program.run_to_stop()
    watched = watch_here(program, "data[2]", WatchSpec(way=Way.LINES, action=Action.LOG))
    program.evaluate("data.__setitem__(2, 7)")
    program.break_at()
    program.finish()
    kinds = [(event.kind, event.old, event.new) for event in watched.history]
    assert kinds == [("outside", 0, 7), ("change", 7, 1), ("change", 1, 2)]


def test_it_raises_after_the_line(program: Debuggee) -> None:
    prepare(program, WRITING.replace("fit(1)\nfit(2)\n", "def main(n):\n    fit(n)\n"))
    watch(program, "data[2]", way=Way.LINES, action=Action.RAISE, condition="new > 1")
    program.namespace["main"](1)
    with pytest.raises(errors.DataChanged, match=r"data\[2\] changed: 1 -> 2 at program.py line"):
        program.namespace["main"](2)


def test_a_frame_that_runs_already_is_asked_from_its_next_line_on(program: Debuggee) -> None:
    prepare(
        program,
        """
        import operator
        items = [0] * 4
        def main(begin):
            for i in range(3):
                if i == 1:
                    begin()
                operator.setitem(items, 1, i)  # @write
        """,
    )
    watches: list[Watch] = []
    program.namespace["main"](lambda: watches.append(watch(program, "items[1]", way=Way.LINES)))
    assert seen(program, watches[0]) == [("write", "0", "1"), ("write", "1", "2")]


def test_code_that_comes_later_is_asked_too(program: Debuggee) -> None:
    prepare(program, "import operator\nitems = [0] * 4\n")
    watched = watch(program, "items[1]", way=Way.LINES)
    text = "def late():\n    operator.setitem(items, 1, 5)\n    return 1\n"
    exec(compile(text, program.path, "exec"), program.namespace)
    program.namespace["late"]()
    assert [(event.kind, event.line, event.new) for event in watched.history] == [("change", 2, 5)]


def test_a_thread_is_told_with_its_own_lines(program: Debuggee) -> None:
    prepare(
        program,
        """
        import operator, threading
        items = [0] * 4
        def work(n):
            operator.setitem(items, 1, n)  # @write
            return n
        def main():
            for n, name in enumerate("ab", 1):
                one = threading.Thread(target=work, args=(n,), name=name)
                one.start()
                one.join()
        """,
    )
    watched = watch(program, "items[1]", way=Way.LINES)
    program.namespace["main"]()
    assert seen(program, watched) == [("write", "0", "1"), ("write", "1", "2")]
    assert [event.thread for event in watched.history] == ["a", "b"]


def test_libraries_are_asked_nothing_and_nobody_is_once_it_has_ended(program: Debuggee) -> None:
    prepare(
        program,
        """
        import fnmatch, operator
        items = [0] * 4
        def main():
            fnmatch.fnmatch('a', 'b')
            operator.setitem(items, 1, 5)
        """,
    )
    watched = watch(program, "items[1]", way=Way.LINES)
    main = program.namespace["main"]
    main()
    assert events_of(main.__code__)
    assert not events_of(program.namespace["fnmatch"].fnmatch.__code__)
    program.engine.watches.remove([watched])
    assert not events_of(main.__code__)


def events_of(code: CodeType) -> int:
    """Return the INSTRUCTION events that any tool wants of ``code``."""
    held = [tool for tool in range(6) if sys.monitoring.get_tool(tool) == "nbdebug"]
    wanted = sys.monitoring.events.INSTRUCTION
    return sum(sys.monitoring.get_local_events(tool, code) & wanted for tool in held)


@pytest.mark.parametrize("way", list(Way))
def test_a_condition_compares_numbers_of_numpys(program: Debuggee, way: Way) -> None:
    prepare(
        program,
        """
        import numpy as np
        data = np.zeros(4)
        def main():
            data[1] = 5  # @more
            data[1] = 3
            data.fill(4)  # @fill
        """,
    )
    if way is Way.EXACT and hardware.why_not() is not None:
        pytest.skip(f"no hardware watches here: {hardware.why_not()}")
    watched = watch(program, "data[1]", way=way, condition="old < new")
    program.namespace["main"]()
    assert seen(program, watched) == [("more", "0.0", "5.0"), ("fill", "3.0", "4.0")]
    assert [(event.old, event.new) for event in watched.history] == [(0.0, 5.0), (3.0, 4.0)]


def test_a_slice_of_a_list_is_told_by_its_content(program: Debuggee) -> None:
    prepare(program, "items = [0] * 4\ndef main():\n    items[1] = 5  # @write\n    x = 1\n")
    watches = [watch(program, text, way=Way.LINES) for text in ("items[1:2]", "items[1:3]")]
    program.namespace["main"]()
    events = [("write", "[0]", "[5]")], [("write", "[0, 0]", "[5, 0]")]
    assert tuple(seen(program, one) for one in watches) == events


def test_a_buffer_can_grow_and_a_list_can_die_while_watched(program: Debuggee) -> None:
    prepare(
        program,
        """
        import array
        data, more = bytearray(4), array.array('q', [0] * 4)
        def main():
            for _ in range(3):
                data.extend(bytes(1000))
                more.extend(more)
        """,
    )
    watches = [watch(program, text, way=Way.LINES) for text in ("data[1]", "more[1:3]")]
    program.namespace["main"]()
    assert [list(one.history) for one in watches] == [[], []]
    del program.namespace["data"], program.namespace["more"]
    program.engine.watches.look("the end")
    ended = "ended: the object that it watched has died"
    assert [one.info().state for one in watches] == [ended, ended]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("data[1]", {"accesses": (Access.READ,)}, "It sees no reads"),
        ("data[1]", {"accesses": (Access.WRITE,)}, "only changes"),
        ("main:x", {}, "A local is another variable in each frame"),
    ],
)
def test_what_it_cannot_see_is_refused_with_the_reason(
    program: Debuggee, text: str, options: dict[str, Any], said: str
) -> None:
    prepare(program, "data = [0] * 4\ndef main():\n    x = 1\n")
    with pytest.raises(errors.BadWatch, match="can't be compared at lines") as raised:
        watch(program, text, way=Way.LINES, **options)
    assert said in str(raised.value)
