"""3.8 to 3.13, by the way that is only taken when it is asked for."""

import os
import signal
from pathlib import Path

import pytest
import targets
from attach_script import LIMIT_S, Asked, Marker
from targets import NewTarget, TargetPython

import nbdebug
from nbdebug.attach import errors, legacy, runtime
from nbdebug.attach.legacy import LegacyRequest, LegacyWaker
from nbdebug.attach.memory import Memory
from nbdebug.attach.records import Record
from nbdebug.attach.waking import Wake
from nbdebug.attach.writer import State
from nbdebug.errors import NbdebugError

RUNNING = ("busy", "naps", "threads", "ten_busy_threads", "subinterpreter", "pool", "short_threads")


def ask(pid: int, script: Path, *, wake: Wake = Wake.AUTO) -> Asked[LegacyRequest]:
    memory = Memory(pid)
    found = runtime.locate(memory)
    record = Record(pid, "legacy")
    request = legacy.inject(memory, found, str(script), wake=wake, record=record)
    told = list[NbdebugError]()
    waker = LegacyWaker(memory, found, request, wake=wake, record=record, told=told.append)
    return Asked(memory, found, request, record, told, waker)


@pytest.mark.parametrize("scenario", [*targets.BLOCKED, *RUNNING])
def test_an_older_python_runs_the_script_and_goes_on_as_it_was(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker, scenario: str
) -> None:
    target = new_target(scenario, legacy_python)
    for _ in range(3):
        asked = ask(target.pid, marker.script)
        assert asked.wake()
        marker.wait()
        assert asked.request.state() is State.TAKEN
        assert not asked.request.take_back()
        asked.request.finish()
    code, output, problems = target.finish()
    assert (code, problems) == (3, "")
    assert "'numbers': [1, 2, 3]" in output


@pytest.mark.parametrize("rounds", [50])
def test_a_hostile_program_of_many_threads_survives_many_requests(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker, rounds: int
) -> None:
    target = new_target("hostile", legacy_python)
    for _ in range(rounds):
        asked = ask(target.pid, marker.script)
        assert asked.wake()
        marker.wait()
        asked.request.finish()
    code, _, problems = target.finish()
    assert (code, problems) == (3, "")


def test_what_a_program_computes_is_the_same_with_requests_and_without(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    target = new_target("working", legacy_python, arguments=[str(stop)])
    for _ in range(30):
        asked = ask(target.pid, marker.script)
        assert asked.wake()
        marker.wait()
        asked.request.finish()
    stop.touch()
    code, output, problems = target.result()
    assert (code, problems) == (5, "")
    assert "right" in output


def test_the_script_leaves_no_name_in_main_and_what_it_raises_stays_in_it(
    new_target: NewTarget, legacy_python: TargetPython, tmp_path: Path
) -> None:
    target = new_target("naps", legacy_python)
    report = tmp_path / "report"
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nleft_behind = 1\n"
        f"names = sorted(vars(sys.modules['__main__']))\n"
        f"open({str(report)!r} + '.new', 'w').write(repr(names))\n"
        f"import os\nos.rename({str(report)!r} + '.new', {str(report)!r})\n"
        "raise SystemExit(9)\n"
    )
    for _ in range(2):
        asked = ask(target.pid, script)
        assert asked.wake()
        targets.wait_until(report.exists)
        names = report.read_text()
        report.unlink()
        asked.request.finish()
    assert "'ANSWER'" in names
    assert not any(f"'{name}'" in names for name in ("left_behind", "path", "file", "code"))
    code, _, problems = target.finish()
    assert (code, problems) == (3, "")


def test_a_program_whose_names_hide_the_builtins_runs_the_script(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker, tmp_path: Path
) -> None:
    hiding = tmp_path / "hide.py"
    hiding.write_text(
        "import sys\nmain = sys.modules['__main__']\nmain.open = main.exec = main.dict = None\n"
    )
    target = new_target("naps", legacy_python)
    assert ask(target.pid, hiding).wake()
    assert ask(target.pid, marker.script).wake()
    marker.wait()


def test_the_code_is_wiped_when_it_has_been_run(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker
) -> None:
    target = new_target("sleep", legacy_python)
    asked = ask(target.pid, marker.script)
    assert asked.wake()
    marker.wait()
    memory = Memory(target.pid)
    assert memory.read(asked.request.at, 9) == b"'nbdebug'"
    asked.request.finish()
    assert memory.read(asked.request.at, 9) == bytes(9)


def test_a_request_that_is_taken_back_is_never_run(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker
) -> None:
    target = new_target("read_line", legacy_python)
    asked = ask(target.pid, marker.script, wake=Wake.NEVER)
    assert not asked.wake(limit_s=0.05)
    assert asked.request.state() is State.PENDING
    assert asked.request.take_back()
    output, problems = target.process.communicate("a line\n", timeout=targets.LIMIT_S)
    assert (target.process.returncode, problems) == (0, "")
    assert "ended read_line" in output
    assert not marker.has_run


def test_c_code_that_holds_the_gil_is_told_at_once(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker
) -> None:
    target = new_target("native", legacy_python)
    asked = ask(target.pid, marker.script)
    targets.wait_until(lambda: asked.waker.step() is not None and bool(asked.told))
    assert isinstance(asked.told[0], errors.HoldsGil)
    assert asked.request.take_back()


def test_a_program_that_doesn_t_want_to_be_debugged_isn_t(
    new_target: NewTarget, old_python: TargetPython, marker: Marker
) -> None:
    target = new_target("naps", old_python, environment={"PYTHON_DISABLE_REMOTE_DEBUG": "1"})
    with pytest.raises(errors.DisabledByVariable):
        ask(target.pid, marker.script)


def test_a_new_python_is_never_attached_to_by_the_old_way(
    new_target: NewTarget, new_python: TargetPython, marker: Marker
) -> None:
    target = new_target("naps", new_python)
    with pytest.raises(errors.NoLegacyWay, match=r"only 3\.8 to 3\.13"):
        ask(target.pid, marker.script)


def test_a_stopped_target_and_one_that_ends_are_said_to_be_so(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker
) -> None:
    target = new_target("busy", legacy_python)
    os.kill(target.pid, signal.SIGSTOP)
    targets.wait_for_state(target.pid, "T")
    with pytest.raises(errors.TargetStopped):
        ask(target.pid, marker.script)
    os.kill(target.pid, signal.SIGCONT)
    other = new_target("lock", legacy_python)
    asked = ask(other.pid, marker.script)
    other.kill()
    with pytest.raises(errors.ProcessEnded):
        asked.wake()


def test_a_queue_that_stays_full_is_no_moment_to_write(
    new_target: NewTarget, legacy_python: TargetPython, marker: Marker
) -> None:
    target = new_target("full_queue", legacy_python)
    with pytest.raises(errors.NoSafeMoment, match="queue of pending calls is full"):
        ask(target.pid, marker.script)
    assert target.finish()[0] == 3
    assert not marker.has_run


# -- the whole of it: the engine in an older Python

PROGRAM = """
import threading, time
total, going = 0, True

def work(number):
    doubled = number * 2  # @mark here
    return doubled

threading.Thread(target=lambda: [time.sleep(0.01) for _ in range(10**6)], daemon=True).start()
print("ready", flush=True)
while going:
    total += work(total % 10)
    time.sleep(0.005)
print("ended", total, flush=True)
"""


def test_the_engine_stops_evaluates_and_leaves_an_older_python(
    old_python: TargetPython, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    line = next(n for n, text in enumerate(PROGRAM.splitlines(), 1) if "@mark here" in text)
    with targets.running(script, PROGRAM, old_python) as process:
        with pytest.raises(errors.PythonTooOld):
            nbdebug.attach(process.pid)
        for _ in range(3):
            with nbdebug.attach(process.pid, legacy=True) as session:
                assert session.record is not None and session.record.way == "legacy"
                assert session.add_breakpoint(str(script), line).verified
                stop = session.wait_for_stop().stop
                assert stop is not None and stop.reason == "breakpoint"
                assert session.evaluate("number >= 0").value == "True"
        with nbdebug.attach(process.pid, legacy=True) as session:
            assert session.add_breakpoint(str(script), line).verified
            assert session.wait_for_stop().stop is not None
            session.evaluate("globals().__setitem__('going', False)")
        output, problems = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, problems) == (0, "")
        assert output.startswith("ended ")


def test_the_older_way_is_limited_by_policy(
    new_target: NewTarget, old_python: TargetPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_target("naps", old_python)
    monkeypatch.setenv("NBDEBUG_ATTACH", "safe")
    with pytest.raises(errors.NotAllowed, match="`legacy` isn't allowed"):
        nbdebug.attach(target.pid, legacy=True)


def test_a_newer_python_is_attached_to_as_ever(
    new_target: NewTarget, new_python: TargetPython
) -> None:
    target = new_target("naps", new_python)
    with nbdebug.attach(target.pid, legacy=True) as session:
        assert session.record is not None and session.record.way == "safe"
