"""Blocked targets are woken and take the request; what they waited for goes on as it was."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import targets
from attach_script import Marker, ask
from interpreters import ROOT
from targets import NewTarget, TargetPython

from nbdebug.attach import errors, waking
from nbdebug.attach.tracer import TRACER, CannotTrace
from nbdebug.attach.waking import Wake


@pytest.mark.parametrize("scenario", targets.BLOCKED)
def test_a_blocked_target_is_woken_and_goes_on_waiting(
    new_target: NewTarget, new_python: TargetPython, marker: Marker, scenario: str
) -> None:
    target = new_target(scenario, new_python)
    asked = ask(target.pid, marker.script)
    assert asked.wake()
    marker.wait()
    assert asked.record.woken
    assert asked.told == []
    targets.wait_until_blocked(target.pid, [*targets.BLOCKS_IN[scenario], 219])
    code, output, problems = target.finish()
    assert (code, problems) == (3, "")
    assert "'numbers': [1, 2, 3]" in output


def test_many_wake_ups_in_a_row_each_bring_the_script(
    new_target: NewTarget, new_python: TargetPython, marker: Marker
) -> None:
    for scenario in ("sleep", "lock"):
        target = new_target(scenario, new_python)
        for _ in range(100):
            assert ask(target.pid, marker.script).wake()
            marker.wait()
        assert target.finish()[0] == 3


def test_who_isn_t_to_be_woken_takes_the_request_when_it_wakes_by_itself(
    new_target: NewTarget, marker: Marker
) -> None:
    target = new_target("read_line")
    asked = ask(target.pid, marker.script, wake=Wake.NEVER)
    assert not asked.wake(limit_s=0.2)
    assert isinstance(asked.waker.failure(0.2), errors.ClearedTimeout)
    assert not marker.has_run
    assert target.process.stdin is not None
    target.process.stdin.write("a line\n")
    target.process.stdin.flush()
    marker.wait()
    assert asked.record.woken == []


def test_a_request_that_timed_out_is_taken_back_and_never_run(
    new_target: NewTarget, marker: Marker
) -> None:
    target = new_target("read_line")
    asked = ask(target.pid, marker.script, wake=Wake.NEVER)
    assert not asked.wake(limit_s=0.05)
    assert asked.request.take_back()
    output, problems = target.process.communicate("a line\n", timeout=targets.LIMIT_S)
    assert (target.process.returncode, problems) == (0, "")
    assert output.startswith("started read_line\nended")
    assert not marker.has_run


def test_ten_busy_threads_are_given_the_time_and_none_is_interrupted(
    new_target: NewTarget, new_python: TargetPython, marker: Marker
) -> None:
    target = new_target("ten_busy_threads", new_python)
    asked = ask(target.pid, marker.script)
    assert asked.wake()
    assert asked.told == []
    marker.wait()


def test_c_code_that_holds_the_gil_is_told_at_once_with_who_it_is(
    new_target: NewTarget, new_python: TargetPython, marker: Marker
) -> None:
    target = new_target("native", new_python)
    asked = ask(target.pid, marker.script)
    targets.wait_until(lambda: asked.waker.step() is not None and bool(asked.told))
    [told] = asked.told
    assert isinstance(told, errors.HoldsGil)
    assert f"attach_target.py:{line_of('sum(range(10**12))')}, in native." in str(told)
    assert f"%stack {target.pid}" in told.advice
    assert asked.waker.failure(1) is told
    assert asked.request.take_back()


def line_of(text: str) -> int:
    lines = targets.PROGRAM.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_c_code_that_holds_the_gil_for_a_while_takes_the_request_after_it(
    new_target: NewTarget, new_python: TargetPython, marker: Marker
) -> None:
    target = new_target("native_for_a_while", new_python)
    assert ask(target.pid, marker.script).wake()
    marker.wait()
    assert target.finish()[0] == 3


def test_a_target_that_is_stopped_meanwhile_stays_stopped(
    new_target: NewTarget, marker: Marker
) -> None:
    target = new_target("sleep")
    asked = ask(target.pid, marker.script)
    os.kill(target.pid, signal.SIGSTOP)
    targets.wait_for_state(target.pid, "T")
    with pytest.raises(errors.TargetStopped):
        asked.wake()
    assert targets.state_of(target.pid) == "T"
    assert asked.request.take_back()
    os.kill(target.pid, signal.SIGCONT)
    assert target.finish()[0] == 3


def test_a_target_that_ends_meanwhile_is_said_to_have_ended(
    new_target: NewTarget, marker: Marker
) -> None:
    target = new_target("sleep")
    asked = ask(target.pid, marker.script)
    target.kill()
    with pytest.raises(errors.ProcessEnded, match="cleared"):
        asked.wake()
    assert asked.request.take_back()


TRACER_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from nbdebug.attach import nudge
nudge.ptrace(nudge.SEIZE, {pid})
print("seized", flush=True)
input()
"""


def test_a_target_with_another_tracer_is_said_to_have_one(
    new_target: NewTarget, marker: Marker
) -> None:
    target = new_target("sleep")
    program = TRACER_PROGRAM.format(root=str(ROOT), pid=target.pid)
    tracer = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert tracer.stdout is not None and tracer.stdout.readline() == "seized\n"
        asked = ask(target.pid, marker.script)
        assert not asked.wake(limit_s=0.1)
        reason = asked.waker.failure(0.1)
        assert isinstance(reason, errors.TargetTraced)
        assert f"process {tracer.pid}" in str(reason) and "--wake never" in reason.advice
        assert asked.told == [reason]
        assert asked.request.take_back()
    finally:
        tracer.communicate("\n", timeout=targets.LIMIT_S)


def test_a_target_that_can_t_be_woken_is_said_to_be_so(
    new_target: NewTarget, marker: Marker, monkeypatch: pytest.MonkeyPatch
) -> None:
    TRACER.close()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    target = new_target("sleep")
    asked = ask(target.pid, marker.script)
    assert not asked.wake(limit_s=0.1)
    reason = asked.waker.failure(0.1)
    assert isinstance(reason, errors.WakeFailed)
    assert "/nowhere/python doesn't start" in str(reason)
    assert asked.told == [reason]
    assert asked.request.take_back()


# -- the helper process


def test_the_helper_is_started_once_and_ends_when_it_is_closed(new_target: NewTarget) -> None:
    target = new_target("sleep")
    TRACER.close()
    TRACER.prepare()
    first = TRACER._process
    assert first is not None
    TRACER.nudge(target.pid)
    assert TRACER._process is first
    TRACER.close()
    assert first.returncode == 0


def test_a_helper_that_has_been_killed_is_replaced(new_target: NewTarget) -> None:
    target = new_target("sleep")
    TRACER.nudge(target.pid)
    assert TRACER._process is not None
    TRACER._process.kill()
    TRACER._process.wait()
    assert TRACER.nudge(target.pid).word in ("woken", "interrupted", "running")


def test_a_helper_that_dies_while_a_target_is_frozen_leaves_it_running(
    new_target: NewTarget,
) -> None:
    target = new_target("threads")

    def freeze_and_die() -> None:
        with TRACER.frozen(target.pid):
            assert targets.state_of(target.pid) == "t"
            assert TRACER._process is not None
            TRACER._process.kill()
            TRACER._process.wait()

    with pytest.raises(CannotTrace):
        freeze_and_die()
    targets.wait_for_state(target.pid, "SR")
    assert target.finish()[0] == 3


def test_all_threads_of_a_frozen_target_are_still(new_target: NewTarget) -> None:
    target = new_target("threads")
    with TRACER.frozen(target.pid):
        states = {
            (task / "stat").read_text().rpartition(")")[2].split()[0]
            for task in Path(f"/proc/{target.pid}/task").iterdir()
        }
    assert states == {"t"}
    assert target.finish()[0] == 3


def test_two_threads_may_ask_the_helper_at_once(new_target: NewTarget) -> None:
    some = [new_target("sleep") for _ in range(2)]

    def nudge(pid: int) -> None:
        for _ in range(50):
            assert TRACER.nudge(pid).word in ("woken", "interrupted", "running")

    threads = [threading.Thread(target=nudge, args=(target.pid,)) for target in some]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(target.finish()[0] == 3 for target in some)


def test_what_a_thread_waits_in_is_told_by_the_system(new_target: NewTarget) -> None:
    sleeping, busy = new_target("sleep"), new_target("busy")
    call = waking.call_of(sleeping.pid, sleeping.pid)
    assert call is not None and call.number in targets.BLOCKS_IN["sleep"]
    assert waking.call_of(busy.pid, busy.pid) is None


def test_ptrace_is_used_in_one_module_and_other_processes_memory_in_another() -> None:
    for path in (ROOT / "nbdebug").rglob("*.py"):
        text = path.read_text()
        assert "None).ptrace" not in text or path.name == "nudge.py", path
        assert "process_vm_" not in text or path.name == "memory.py", path
