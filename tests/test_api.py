"""The Python API, on real kernels and scripts."""

import asyncio
import dataclasses
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interpreters import ROOT
from kernel_client import Kernel, line_of, running_kernel
from script import LIMIT_S, debugging, running

import nbdebug
from nbdebug import errors
from nbdebug.api import model
from nbdebug.api.model import Event, Outcome
from nbdebug.api.session import Session

CELL = """\
def mean(values):
    total = 0
    for value in values:
        total += value  # @add
    return total / len(values)  # @return
print("begin")
mean([1, 2, 3])  # @call
"""

PROGRAM = """\
def double(x):
    y = x * 2  # @inside
    return y  # @return
print(double(1))  # @first
print(double(2))  # @second
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel(load=False, enable=False) as kernel:
        yield kernel


@pytest.fixture
def session(kernel: Kernel) -> Iterator[Session]:
    with nbdebug.connect(kernel.client, timeout_s=LIMIT_S) as session:
        yield session
    assert "nbdebug-kernel" not in [thread.name for thread in threading.enumerate()]


# -- kernels


def test_a_cell_is_stopped_looked_at_stepped_and_run_to_its_end(session: Session) -> None:
    cell = session.cell(CELL)
    found = session.add_breakpoint(cell, line_of(CELL, "add"), condition="value == 2")
    assert found.verified and found.path == cell.path
    session.run(cell)
    wait = session.wait_for_stop(LIMIT_S)
    assert wait and wait.outcome is Outcome.STOPPED
    assert wait.stop is not None
    assert (wait.stop.reason, wait.stop.line) == ("breakpoint", line_of(CELL, "add"))
    assert wait.stop.hit_breakpoint_ids == (found.id,)
    assert [frame.name for frame in session.stack()] == ["mean", "<module>"]
    names = {one.name: one.value for one in session.variables()}
    assert names["value"] == "2" and names["total"] == "1"
    [values] = [one for one in session.variables() if one.name == "values"]
    assert [one.value for one in session.variables(values, count=2, start=1)][:2] == ["2", "3"]
    assert session.evaluate("total + value").value == "3"
    assert session.evaluate("mean", session.stack()[1]).type == "function"
    step = session.step_over()
    assert step.stop is not None and step.stop.line == 3
    out = session.step_out()
    assert out.stop is not None and out.stop.line == line_of(CELL, "call")
    session.resume()
    end = session.wait_for_stop(LIMIT_S)
    assert not end and end.outcome is Outcome.ENDED
    assert (end.output, end.error) == ("begin\n2.0\n", "")


def test_a_run_that_raises_ends_with_its_error(session: Session) -> None:
    session.run("1/0")
    wait = session.wait_for_stop(LIMIT_S)
    assert (wait.outcome, wait.error) == (Outcome.ENDED, "ZeroDivisionError: division by zero")


def test_waiting_says_that_it_runs_when_the_time_is_over_and_pause_stops_it(
    session: Session,
) -> None:
    session.run("go = True\nwhile go:\n    pass\n")
    assert session.wait_for_stop(0.05).outcome is Outcome.RUNNING
    assert session.status().outcome is Outcome.RUNNING
    with pytest.raises(errors.ThreadIsRunning):
        session.run("2")
    session.pause()
    assert session.wait_for_stop(LIMIT_S)
    assert session.status().outcome is Outcome.STOPPED
    session.evaluate("go = False")
    session.resume()
    assert session.wait_for_stop(LIMIT_S).outcome is Outcome.ENDED


def test_function_breakpoints_and_log_messages_and_clearing(session: Session) -> None:
    session.run("def f(x):\n    return x\n")
    session.wait_for_stop(LIMIT_S)
    found = session.add_function_breakpoint("f", hit_condition="2")
    cell = session.cell("for i in range(3):\n    f(i)\n")
    session.add_breakpoint(cell, 2, log_message="i={i}")
    assert len(session.breakpoints()) == 2
    told: list[Event] = []
    session.on_event = told.append
    session.run(cell)
    stop = session.wait_for_stop(LIMIT_S).stop
    assert stop is not None and stop.reason == "function breakpoint"
    assert stop.hit_breakpoint_ids == (found.id,)
    session.clear_breakpoints()
    assert session.breakpoints() == []
    session.resume()
    assert session.wait_for_stop(LIMIT_S).outcome is Outcome.ENDED
    assert "".join(e.body["output"] for e in told if e.name == "output") == "i=0\ni=1\n"


def test_a_pending_breakpoint_is_seen_to_be_bound(session: Session) -> None:
    session.add_function_breakpoint("later")
    assert [one.reason for one in session.status().breakpoints] == ["pending"]
    session.run("def later():\n    return 1\nlater()")
    assert session.wait_for_stop(LIMIT_S)
    assert [one.verified for one in session.status().breakpoints] == [True]


def test_closing_lets_what_is_stopped_run_on(kernel: Kernel) -> None:
    with nbdebug.connect(kernel.client, timeout_s=LIMIT_S) as session:
        session.run("done = 0\nbreakpoint()\ndone = 1")
        assert session.wait_for_stop(LIMIT_S)
    assert kernel.run("print(done)")["output"] == "1\n"
    with pytest.raises(errors.ConnectionLost):
        session.stack()
    session.close()


def test_errors_are_nbdebugs_own(session: Session) -> None:
    with pytest.raises(errors.NotStopped):
        session.stack()
    with pytest.raises(errors.NotStopped):
        session.resume()
    with pytest.raises(errors.EvaluationFailed, match="ZeroDivisionError"):
        session.evaluate("1/0")
    with pytest.raises(errors.UnknownCommand):
        session.ask("noSuchRequest")
    with pytest.raises(errors.BadArguments):
        session.run()
    assert session.evaluate("6 * 7").value == "42"


def test_while_another_front_end_debugs_the_kernel_one_is_told_so(kernel: Kernel) -> None:
    kernel.run("%load_ext nbdebug")
    kernel.enable()
    with pytest.raises(errors.ClientBusy):
        nbdebug.connect(kernel.client, timeout_s=LIMIT_S)
    kernel.ask("disconnect")
    nbdebug.connect(kernel.client, timeout_s=LIMIT_S).close()


def test_another_front_ends_run_can_be_stopped(kernel: Kernel) -> None:
    with nbdebug.connect(kernel.client, timeout_s=LIMIT_S) as session:
        cell = session.cell(CELL)
        session.add_breakpoint(cell, line_of(CELL, "return"))
        kernel.send_cell(CELL)
        stop = session.wait_for_stop(LIMIT_S).stop
        assert stop is not None and stop.line == line_of(CELL, "return")
    assert kernel.finish()["status"] == "ok"


def test_a_connection_file_and_a_manager_name_a_kernel(kernel: Kernel) -> None:
    for target in (kernel.manager.connection_file, Path(kernel.manager.connection_file)):
        nbdebug.connect(target, timeout_s=LIMIT_S).close()
    nbdebug.connect(kernel.manager, timeout_s=LIMIT_S).close()


def test_a_kernel_that_is_gone_is_told_in_the_given_time(tmp_path: Path, kernel: Kernel) -> None:
    info = json.loads(Path(kernel.manager.connection_file).read_text())
    info |= {"control_port": 1, "shell_port": 1, "iopub_port": 1}
    (tmp_path / "gone.json").write_text(json.dumps(info))
    with pytest.raises(errors.ConnectionLost):
        nbdebug.connect(tmp_path / "gone.json", timeout_s=0.2)


# -- scripts


def test_a_script_is_debugged_by_its_address(tmp_path: Path) -> None:
    with running(tmp_path, PROGRAM) as script:
        with nbdebug.connect(script.address, token=script.token, timeout_s=LIMIT_S) as session:
            session.add_breakpoint(script.path, script.line("inside"))
            assert session.wait_for_stop(0.0).outcome is Outcome.RUNNING
            session.run()
            stop = session.wait_for_stop(LIMIT_S).stop
            assert stop is not None and stop.line == script.line("inside")
            assert session.evaluate("x").value == "1"
            into = session.step_into()
            assert into.stop is not None and into.stop.line == script.line("return")
            session.clear_breakpoints(script.path)
            session.resume()
            end = session.wait_for_stop(LIMIT_S)
            assert (end.outcome, end.exit_code, end.output) == (Outcome.ENDED, 0, "2\n4\n")
        assert script.finish() == (0, "2\n4\n", "")


def test_a_script_can_be_ended(tmp_path: Path) -> None:
    with running(tmp_path, "import time\ntime.sleep(60)\n") as script:
        session = nbdebug.connect(script.address, token=script.token, timeout_s=LIMIT_S)
        session.run()
        session.close(terminate=True)
        assert script.finish()[0] != 0


def test_a_script_has_no_cells_and_runs_no_other_code(tmp_path: Path) -> None:
    with (
        running(tmp_path, PROGRAM) as script,
        nbdebug.connect(script.address, token=script.token, timeout_s=LIMIT_S) as session,
    ):
        with pytest.raises(errors.NotSupported):
            session.cell("1")
        with pytest.raises(errors.NotSupported):
            session.run("1")


def test_a_wrong_token_and_a_second_client_are_told_apart(tmp_path: Path) -> None:
    with debugging(tmp_path, PROGRAM, "inside") as (script, client):
        client.stopped()
        with pytest.raises(errors.AuthRequired):
            nbdebug.connect(script.address, token="wrong", timeout_s=LIMIT_S)
        with pytest.raises(errors.ClientBusy):
            nbdebug.connect(script.address, token=script.token, timeout_s=LIMIT_S)
        assert client.evaluate("x") == "1"


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("127.0.0.1:1", errors.ConnectionLost),
        ("unix:/no/such/socket", errors.ConnectionLost),
        ("nowhere", errors.BadAddress),
        ("missing.json", errors.BadAddress),
        (7, errors.BadAddress),
    ],
)
def test_a_target_that_isnt_one_is_told(target: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        nbdebug.connect(target, timeout_s=1)


# -- asyncio


def test_asyncio_has_the_same_session(tmp_path: Path) -> None:
    async def debug(address: str, token: str | None, path: str, line: int) -> list[str]:
        seen = []
        async with await nbdebug.aconnect(address, token=token, timeout_s=LIMIT_S) as session:
            await session.add_breakpoint(path, line)
            await session.run()
            # Both at once: the loop goes on while the session waits.
            wait, _ = await asyncio.gather(session.wait_for_stop(LIMIT_S), asyncio.sleep(0))
            while wait:
                seen.append((await session.evaluate("x")).value)
                await session.resume()
                wait = await session.wait_for_stop(LIMIT_S)
            seen.append(wait.outcome.value)
        return seen

    with running(tmp_path, PROGRAM) as script:
        place = script.address, script.token, script.path, script.line("inside")
        assert asyncio.run(debug(*place)) == ["1", "2", "ended"]


def test_the_async_session_has_every_method_of_the_other() -> None:
    from nbdebug.api.asynchronous import AsyncSession

    told = {"event", "printed", "run_ended", "lost"}
    public = {name for name in vars(Session) if not name.startswith("_")} - told
    assert public <= set(vars(AsyncSession))


def test_api_md_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    told = {"event", "printed", "run_ended", "lost"}
    calls = {name for name in vars(Session) if not name.startswith("_")} - told
    shapes = [one for one in vars(model).values() if dataclasses.is_dataclass(one)]
    fields = {field.name for shape in shapes for field in dataclasses.fields(shape)}
    names = {shape.__name__ for shape in shapes if isinstance(shape, type)}
    for name in calls | fields | names | {"connect", "aconnect", "on_event", "timeout_s"}:
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", page), name
    for outcome in Outcome:
        assert f"`{outcome.name}`" in page
