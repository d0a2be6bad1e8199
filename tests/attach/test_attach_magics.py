"""%attach and %detach in a real kernel, and `nbdebug.attach`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import targets
from attached import PROGRAM, line_of, told
from kernel_client import Kernel, running_kernel
from targets import NewTarget, TargetPython

import nbdebug
from nbdebug.attach import errors
from nbdebug.dap import sessions


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel(enable=False) as kernel:
        yield kernel


def test_attach_shows_the_stacks_and_makes_a_session(
    kernel: Kernel, python314: TargetPython
) -> None:
    with told("busy", python314) as target:
        before = target.report()
        output = kernel.run(f"%attach {target.pid}")["output"]
        assert f"Process {target.pid}" in output and "work" in output
        assert f"Attached to process {target.pid}" in output and "%detach" in output
        assert "attached" in kernel.run("%session")["output"]
        place = f"{PROGRAM}:{line_of('call')}"
        assert "bound" in kernel.run(f"%bp {place}")["output"]
        named = kernel.run(f"%bp agent_target.py:{line_of('return')}")["output"]
        assert "bound" in named and "isn't there" not in named
        output = kernel.run("%detach")["output"]
        assert output == f"Detached from agent_target.py ({target.pid}); it runs on.\n"
        after = target.settled(before)
        assert (after["tools"], after["ours"]) == (before["tools"], [])


def test_a_process_is_found_by_a_part_of_its_command(
    kernel: Kernel, python314: TargetPython, tmp_path: Path
) -> None:
    name = f"only-{tmp_path.name}"
    with told("busy", python314, name):
        assert "Attached to process" in kernel.run(f"%attach --quiet {name}")["output"]
        assert "Detached from" in kernel.run("%detach agent_target.py")["output"]


def test_what_cant_be_done_is_told_in_one_line(kernel: Kernel, python314: TargetPython) -> None:
    assert "There is no process" in kernel.run("%attach --quiet 4194305")["output"]
    assert "needs a process" in kernel.run("%attach")["output"]
    assert "has no option `--wrong`" in kernel.run("%attach 1 --wrong")["output"]
    assert "can't be `maybe`" in kernel.run("%attach 1 --wake maybe")["output"]
    assert "needs one of the attached sessions (none)" in kernel.run("%detach")["output"]
    with told("busy", python314) as target:
        kernel.run(f"%attach --quiet {target.pid}")
        again = kernel.run(f"%attach --quiet {target.pid}")["output"]
        assert "attached" in again and "already" in again
        target.kill()


def test_a_process_may_only_be_looked_at(kernel: Kernel, python314: TargetPython) -> None:
    with told("busy", python314) as target:
        before = target.report()
        output = kernel.run(f"%attach {target.pid} --inspect")["output"]
        assert "nothing is run in it" in output
        assert target.report()["modules"] == before["modules"]
        kernel.run("%detach")


def test_a_hand_over_to_debugpy_is_told_before_and_at_the_end(
    kernel: Kernel, new_target: NewTarget
) -> None:
    target = new_target("naps", targets.require_older_python("3.11"))
    output = kernel.run(f"%attach --quiet --legacy --timeout 30 {target.pid}")["output"]
    said = output.index("goes into it, and stays there until the process ends")
    assert said < output.index(f"Attached to process {target.pid}")
    assert "debugpy" in kernel.run("%session")["output"]
    assert "it isn't nbdebug that debugs it" in kernel.run("%bp")["output"]
    output = kernel.run("%detach")["output"]
    assert (
        output
        == f"Detached from attach_target.py ({target.pid}); it runs on, with debugpy in it.\n"
    )
    assert target.finish()[0] == 3


def test_a_session_in_python(new_python: TargetPython) -> None:
    with told("busy", new_python) as target:
        before = target.report()
        with nbdebug.attach(target.pid) as session:
            assert session.record is not None and session.record.outcome == "attached"
            assert "work" in str(session.stacks())
            assert session.add_breakpoint(str(PROGRAM), line_of("call")).verified
            stop = session.wait_for_stop().stop
            assert stop is not None and stop.reason == "breakpoint"
            assert session.evaluate("STATE['stop']").value == "False"
            step = session.step_into().stop
            assert step is not None and step.frame is not None
            assert step.frame.line == line_of("doubled")
            assert sessions.here.of_pid(target.pid) is sessions.here.current
        assert sessions.here.current is None
        assert target.settled(before)["tools"] == before["tools"]
    assert nbdebug.attach.records()[-1].pid == target.pid


def test_a_session_in_python_that_only_looks(python314: TargetPython) -> None:
    with told("busy", python314) as target, nbdebug.attach(target.pid, inspect=True) as session:
        assert session.record is None
        assert not session.add_breakpoint(str(PROGRAM), line_of("call")).verified
        with pytest.raises(errors.InspectOnly):
            session.ask("setExpression", expression="STATE", value="1")
