"""3.8 to 3.11 under debugpy, which is put into a process that runs already."""

import importlib.metadata
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import targets
from attach_script import LIMIT_S
from targets import NewTarget, TargetPython

import nbdebug
from nbdebug.api.attaching import AttachedSession
from nbdebug.attach import errors, policy
from nbdebug.dap import sessions
from nbdebug.errors import NbdebugError, NotOfThisSession

PROGRAM = """\
import sys, threading, time
total, going = 0, True

def work(number):
    doubled = number * 2  # @mark here
    tripled = number * 3  # @mark next
    return doubled

threading.Thread(target=lambda: [time.sleep(0.01) for _ in range(10**6)], daemon=True).start()
before = list(sys.path), sys.dont_write_bytecode, sys.getswitchinterval()
print("ready", flush=True)
while going:
    total += work(total % 10)
    time.sleep(0.005)
assert before == (list(sys.path), sys.dont_write_bytecode, sys.getswitchinterval())
print("ended", flush=True)
sys.exit(7)
"""


def line_of(mark: str) -> int:
    return next(n for n, text in enumerate(PROGRAM.splitlines(), 1) if f"@mark {mark}" in text)


@pytest.fixture(params=["3.10", "3.11"])
def python(request: pytest.FixtureRequest) -> TargetPython:
    """Run the test once for each Python that debugpy runs on, and the engine doesn't."""
    return targets.require_older_python(request.param)


@pytest.fixture
def python311() -> TargetPython:
    return targets.require_older_python("3.11")


@contextmanager
def attached(pid: int) -> Iterator[AttachedSession]:
    with pytest.warns(UserWarning, match="debugpy .* goes into it, and stays there"):
        session = nbdebug.attach(pid, legacy=True, timeout_s=LIMIT_S)
    with session:
        yield session


def let_go(pid: int, script: Path) -> None:
    """Have the program end in its own way."""
    with attached(pid) as session:
        session.add_breakpoint(str(script), line_of("here"))
        assert session.wait_for_stop(LIMIT_S).stop is not None
        session.evaluate("globals().__setitem__('going', False)")


def test_debugpy_stops_shows_evaluates_steps_and_lets_the_program_go(
    python: TargetPython, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    with targets.running(script, PROGRAM, python) as process:
        for _ in range(2):  # what stays of the first time is used again
            with attached(process.pid) as session:
                assert session.record is not None and session.record.way == "debugpy"
                assert session.add_breakpoint(str(script), line_of("here")).verified
                stop = session.wait_for_stop(LIMIT_S).stop
                assert stop is not None and stop.reason == "breakpoint"
                assert stop.frame is not None and stop.frame.name == "work"
                assert session.evaluate("number >= 0").value == "True"
                scopes = session.ask("scopes", frameId=stop.frame.id)["scopes"]
                found = session.ask("variables", variablesReference=scopes[0]["variablesReference"])
                assert "number" in [one["name"] for one in found["variables"]]
                after = session.step_over().stop
                assert after is not None and after.frame is not None
                assert after.frame.line == line_of("next")
                assert session.evaluate("doubled == number * 2").value == "True"
        let_go(process.pid, script)
        assert process.communicate(timeout=LIMIT_S) == ("ended\n", "")
        assert process.returncode == 7


@pytest.mark.parametrize("scenario", ["hostile", "busy", "sleep", "lock", "asyncio_idle"])
def test_the_program_is_the_same_at_its_end(
    new_target: NewTarget, python: TargetPython, scenario: str
) -> None:
    target = new_target(scenario, python)
    for _ in range(3):
        with attached(target.pid) as session:
            assert session.ask("threads")["threads"]
    code, output, problems = target.finish()
    assert (code, problems) == (3, "")
    assert "'numbers': [1, 2, 3]" in output or scenario == "hostile"


def test_the_session_is_debugpy_s_and_its_requests_alone_are_answered(
    python311: TargetPython, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    with targets.running(script, PROGRAM, python311) as process:
        with attached(process.pid):
            remote = sessions.here.of_pid(process.pid)
            assert remote is not None and remote.kind == "debugpy"
            with pytest.raises(NotOfThisSession):
                remote.ask("nbdebug/breakpoints")
            shown = remote.ask("source", source={"path": str(script)}, sourceReference=0)
            assert shown["content"] == PROGRAM
            with pytest.raises(NbdebugError):
                remote.ask("source", source={"path": f"{script}.gone"}, sourceReference=0)
        assert remote.has_ended


def test_nobody_else_gets_in_while_it_is_there_and_nothing_listens(
    python311: TargetPython, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    with targets.running(script, PROGRAM, python311) as process, attached(process.pid):
        with pytest.raises(errors.AttachError):
            nbdebug.attach(process.pid, legacy=True)
        sockets = set()
        for one in Path(f"/proc/{process.pid}/fd").iterdir():
            name = os.readlink(one)
            if name.startswith("socket:["):
                sockets.add(name[8:-1])
        listening = [
            words[9]
            for table in ("tcp", "tcp6")
            for words in map(
                str.split, Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]
            )
            if words[3] == "0A"
        ]
        assert sockets and not sockets & set(listening)


KILLED = """\
import sys, nbdebug
session = nbdebug.attach(int(sys.argv[1]), legacy=True, timeout_s=30)
session.add_breakpoint(sys.argv[2], int(sys.argv[3]))
assert session.wait_for_stop(30).stop is not None
print("stopped", flush=True)
sys.stdin.read()
"""


def test_the_program_runs_on_when_the_attacher_is_killed_at_a_stop(
    python311: TargetPython, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    with targets.running(script, PROGRAM, python311) as process:
        attacher = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(process.pid), str(script), str(line_of("here"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert attacher.stdout is not None and attacher.stdout.readline() == "stopped\n"
        finally:
            attacher.send_signal(signal.SIGKILL)
            attacher.communicate()
        let_go(process.pid, script)
        assert process.communicate(timeout=LIMIT_S) == ("ended\n", "")
        assert process.returncode == 7


def test_a_program_that_is_traced_already_is_left_alone(
    python311: TargetPython, tmp_path: Path
) -> None:
    program = (
        "import sys, threading\nthreading.settrace(lambda *told: None)\n"
        "print('ready', flush=True)\nsys.stdin.read()\nprint('pydevd' in sys.modules)\n"
    )
    with targets.running(tmp_path / "traced.py", program, python311) as process:
        with (
            pytest.warns(UserWarning, match="debugpy"),
            pytest.raises(errors.AgentRefused, match="traced already, by __main__"),
        ):
            nbdebug.attach(process.pid, legacy=True)
        assert process.communicate(timeout=LIMIT_S)[0] == "False\n"


def test_a_debugpy_that_does_not_run_there_is_not_put_in(
    new_target: NewTarget,
) -> None:
    target = new_target("naps", targets.require_older_python("3.8"))
    needs = importlib.metadata.metadata("debugpy").get("Requires-Python")
    if needs is None or ">=3.8" in needs:
        pytest.skip("the debugpy that is installed runs on every older Python")
    with pytest.raises(errors.NoLegacyWay, match=r"debugpy [\d.]+, which is installed here, needs"):
        nbdebug.attach(target.pid, legacy=True)


def test_without_debugpy_the_error_names_the_fix(
    new_target: NewTarget, python311: TargetPython
) -> None:
    target = new_target("naps", python311)
    program = (
        "import sys\nsys.modules['debugpy'] = None\nimport nbdebug\n"
        "from nbdebug.attach import errors\n"
        "try:\n nbdebug.attach(int(sys.argv[1]), legacy=True)\n"
        "except errors.NoDebugpy as error:\n print(error.slug, error.advice)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(target.pid)],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    assert told.stdout.startswith("no-debugpy Install it: `python -m pip install debugpy`")
    assert target.finish()[0] == 3


def test_the_limit_of_this_process_holds_for_it_too(
    new_target: NewTarget, python311: TargetPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_target("naps", python311)
    monkeypatch.setenv(policy.VARIABLE, "safe")
    with pytest.raises(errors.NotAllowed, match="`legacy` isn't allowed"):
        nbdebug.attach(target.pid, legacy=True)
