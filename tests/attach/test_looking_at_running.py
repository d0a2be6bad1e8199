"""A process that runs on while it is looked at: it shows what it can have, and is not harmed."""

import itertools
import os
import re
import signal
from pathlib import Path

import pytest
import targets
from seen_stacks import begun, functions
from targets import NewTarget, TargetPython

from nbdebug.attach import errors, reports
from nbdebug.attach.looking import Look


def test_a_busy_process_shows_only_stacks_that_it_can_have(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("calls", target_python)
    line = (
        targets.PROGRAM.read_text().splitlines().index("        total = leaf(total)  # @mark call")
    )
    shapes = set()
    with Look(target.pid) as look:
        begun(look)
        for _ in range(300):
            main = look.stacks(limit_s=5).threads[0]
            assert main.problem == ""
            shown = functions(main)
            assert shown in (
                ["calls.<locals>.leaf", "calls", "<module>"],
                ["calls", "<module>"],
            )
            if len(shown) == 3:
                assert main.frames[1].line == line + 1
            shapes.add(len(shown))
    assert shapes == {2, 3}
    assert target.finish()[0] == 3


def test_a_call_depth_that_keeps_changing_gives_only_valid_stacks(
    tmp_path: Path, target_python: TargetPython
) -> None:
    allowed = calls_in(DEPTHS)
    shapes = set()
    with (
        targets.running(tmp_path / "depths.py", DEPTHS, target_python) as process,
        Look(process.pid) as look,
    ):
        for _ in range(500):
            (main,) = look.stacks(limit_s=5).threads
            assert main.problem == ""
            outwards = [(frame.function, frame.line) for frame in main.frames]
            for (callee, _), caller in itertools.pairwise(outwards):
                assert callee in allowed[caller], outwards
            assert outwards[-1][0] == "<module>"
            shapes.add(tuple(name for name, _ in outwards))
    assert len(shapes) > 10


DEPTHS = """\
def a1():
    b1()
    b2()
def a2():
    b2()
    c1(3)
def b1():
    c1(1)
    c2()
def b2():
    c2()
    c1(2)
def c1(n):
    if n:
        c1(n - 1)
    sorted((1,), key=d)
def c2():
    for x in e(): pass
def d(x): pass
def e():
    yield 1
    a3()
def a3(): pass
def main():
    while True:
        a1()
        a2()
print("ready", flush=True)
main()
"""


def calls_in(program: str) -> dict[tuple[str, int | None], set[str]]:
    """Return which functions each line of each function calls."""
    found: dict[tuple[str, int | None], set[str]] = {}
    function = "<module>"
    for number, line in enumerate(program.splitlines(), 1):
        match = re.match(r"def (\w+)", line)
        if match:
            function = match[1]
        elif not line.startswith(" "):
            function = "<module>"
        body = line.partition(":")[2] if match else line
        names = set(re.findall(r"\b(\w+)\(", body)) - {"sorted", "print"}
        found[function, number] = names | ({"d"} if "key=d" in line else set())
    return found


def test_a_call_into_c_that_holds_the_gil_is_told(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("native", target_python)
    with Look(target.pid) as look:
        main = look.stacks(limit_s=5).threads[0]
    assert (main.has_gil, main.problem) == (True, "")
    assert functions(main)[-2:] == ["native", "<module>"]


def test_200_threads_are_all_seen_with_their_names(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("threads", target_python)
    with Look(target.pid) as look:
        threads = look.stacks(limit_s=5).threads
    assert len({thread.id for thread in threads}) == 200
    assert {thread.problem for thread in threads} == {""}
    assert threads[0].name == "MainThread"
    assert {thread.name.split()[0].partition("-")[0] for thread in threads[1:]} == {"Thread"}
    assert all("Event.wait" in functions(thread) for thread in threads[1:])


def test_ten_busy_threads_are_each_seen(new_target: NewTarget, target_python: TargetPython) -> None:
    target = new_target("ten_busy_threads", target_python)
    with Look(target.pid) as look:
        begun(look)
        for _ in range(20):
            threads = look.stacks(limit_s=5).threads
            assert len(threads) == 10
            assert {thread.problem for thread in threads} == {""}
            assert all("ten_busy_threads.<locals>.spin" in functions(one) for one in threads)


def test_short_lived_threads_do_no_harm(new_target: NewTarget, target_python: TargetPython) -> None:
    target = new_target("short_threads", target_python)
    with Look(target.pid) as look:
        for _ in range(200):
            threads = look.stacks(limit_s=5).threads
            assert "short_threads" in functions(threads[0])
    assert target.finish()[0] == 3


def test_a_subinterpreter_is_seen(new_target: NewTarget, target_python: TargetPython) -> None:
    target = new_target("subinterpreter", target_python)
    with Look(target.pid) as look:
        interpreters = look.runtime.interpreters(look.memory)
        threads = look.stacks(limit_s=5).threads
    assert len(interpreters) == 2
    assert functions(threads[0])[-2:] == ["subinterpreter", "<module>"]


def test_a_subinterpreter_with_a_gil_of_its_own_is_seen_while_both_run(
    tmp_path: Path, new_python: TargetPython
) -> None:
    with (
        targets.running(tmp_path / "two.py", TWO_INTERPRETERS, new_python) as process,
        Look(process.pid) as look,
    ):
        targets.wait_until(
            lambda: any("inner" in functions(one) for one in look.stacks(limit_s=5).threads)
        )
        threads = look.stacks(limit_s=5).threads
    seen = {one.interpreter: functions(one)[-2:] for one in threads[:1]}
    seen |= {one.interpreter: functions(one)[-2:] for one in threads if one.interpreter}
    assert seen == {0: ["outer", "<module>"], 1: ["inner", "<module>"]}
    assert {thread.problem for thread in threads} == {""}


TWO_INTERPRETERS = """\
import _interpreters, threading
other = _interpreters.create()
busy = "def inner():\\n    while True: sum(range(9))\\ninner()"
def outer():
    print("ready", flush=True)
    while True: sum(range(9))
threading.Thread(target=_interpreters.exec, args=(other, busy), daemon=True).start()
outer()
"""


def test_variables_of_a_program_that_never_rests_are_shown_without_a_failure(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("hostile", target_python)
    for _ in range(15):
        report = reports.stacks(target.pid, with_locals=True)
        assert len(report.threads) == 4
    assert target.finish()[0] == 3


def test_the_children_of_a_fork_are_seen(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("pool", target_python)
    children = targets.children_of(target.pid)
    assert len(children) == 3
    for pid in children:
        with Look(pid) as look:
            main = look.stacks(limit_s=5).threads[0]
        assert (main.id, main.problem) == (pid, "")
        assert functions(main)[-1] == "<module>"
        assert "worker" in functions(main)
    assert target.finish()[0] == 3  # a pool that is killed makes new children meanwhile


def test_a_stopped_process_is_seen(new_target: NewTarget, python314: TargetPython) -> None:
    target = new_target("busy", python314)
    with Look(target.pid) as look:
        begun(look)
    os.kill(target.pid, signal.SIGSTOP)
    targets.wait_for_state(target.pid, "T")
    with Look(target.pid) as look:
        main = look.stacks().threads[0]
    assert (functions(main), main.problem) == (["busy", "<module>"], "")


def test_a_frozen_process_runs_on_afterwards(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("ten_busy_threads", target_python)
    for _ in range(5):
        report = reports.stacks(target.pid, with_locals=True, freeze=True)
        assert len(report.threads) == 10
        assert {thread.problem + thread.note for thread in report.threads} == {""}
    assert targets.state_of(target.pid) in "RS"
    assert target.finish()[0] == 3


def test_a_process_that_ends_meanwhile_says_so(
    new_target: NewTarget, python314: TargetPython
) -> None:
    target = new_target("short_threads", python314)
    with Look(target.pid) as look:
        look.stacks()
        target.process.send_signal(signal.SIGTERM)
        with pytest.raises(errors.ProcessEnded):
            look_until_it_ends(look, target)
    with pytest.raises((errors.NoSuchProcess, errors.TargetZombie)):
        Look(target.pid)


def look_until_it_ends(look: Look, target: targets.Target) -> None:
    while True:
        look.stacks()
        target.process.poll()
