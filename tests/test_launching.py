"""`nbdebug.launch`: real programs, started with the engine in them, and how each ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import line_of
from script import LIMIT_S

import nbdebug
from nbdebug import errors
from nbdebug.api.model import Outcome
from nbdebug.dap import launching, sessions

PROGRAM = """\
import sys
total = 0
def add(n):
    global total
    total += n  # @add
for n in range(3):  # @loop
    add(n)
print("total", total, sys.argv[1:])  # @print
print("to stderr", file=sys.stderr)
sys.exit(3)
"""

ENDLESS = """\
import time
print("ready", flush=True)
try:
    while True:
        time.sleep(0.01)  # @sleep
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


@pytest.fixture
def endless(tmp_path: Path) -> str:
    path = tmp_path / "endless.py"
    path.write_text(ENDLESS)
    return str(path)


def folders() -> set[Path]:
    return set(Path(os.environ["TMPDIR"]).glob("nbdebug-*/launched"))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = folders()
    yield
    assert not sessions.here.all() and folders() <= before


def test_a_program_stops_at_a_breakpoint_set_before_and_tells_output_and_exit_code(
    program: str,
) -> None:
    place = f"{program}:{line_of(PROGRAM, 'add')} if n == 2"
    with nbdebug.launch([program, "a", "b c"], breakpoints=[place], timeout_s=LIMIT_S) as session:
        wait = session.wait_for_stop(LIMIT_S)
        assert wait.stop is not None and wait.stop.line == line_of(PROGRAM, "add")
        assert session.evaluate("n").value == "2"
        assert sessions.here.current is not None and sessions.here.current.pid == session.pid
        session.resume()
        wait = session.wait_for_stop(LIMIT_S)
        assert (wait.outcome, wait.exit_code) == (Outcome.ENDED, 3)
        assert wait.output == "total 3 ['a', 'b c']\nto stderr\n"
        assert session.wait_for_end() == session.exit_code == 3


def test_a_watch_set_before_tells_who_first_makes_the_name(program: str) -> None:
    with nbdebug.launch([program], watches=["total --if 'new == 3'"]) as session:
        wait = session.wait_for_stop(LIMIT_S)
        assert wait.stop is not None and "total changed: 1 -> 3" in wait.stop.description


def test_a_program_stops_at_its_entry(program: str) -> None:
    with nbdebug.launch([program], stop_on_entry=True) as session:
        wait = session.wait_for_stop(LIMIT_S)
        assert wait.stop is not None and (wait.stop.reason, wait.stop.line) == ("entry", 1)


def test_a_module_code_and_flags_are_launched_as_python_would(program: str) -> None:
    folder = os.path.dirname(program)
    for args, printed in (
        (["-m", "program", "x"], "total 3 ['x']\n"),
        (["-X", "utf8", "-c", "import sys; print(sys.flags.utf8_mode, sys.argv)"], "1 ['-c']\n"),
        ([sys.executable, "-O", "program.py"], "total 3 []\n"),
    ):
        with nbdebug.launch(args, cwd=folder) as session:
            session.wait_for_end(LIMIT_S)
            assert session.output.startswith(printed)


def test_folder_and_environment_are_those_that_were_given(tmp_path: Path) -> None:
    (tmp_path / "where.py").write_text("import os; print(os.getcwd(), os.environ.get('MARK'))\n")
    environment = {**os.environ, "MARK": "here"}
    with nbdebug.launch(["where.py"], cwd=tmp_path, env=environment) as session:
        session.wait_for_end(LIMIT_S)
        assert session.output == f"{tmp_path} here\n"


def test_a_program_is_launched_by_another_python(program: str, each_python: Path) -> None:
    place = (program, line_of(PROGRAM, "print"))
    with nbdebug.launch([program], breakpoints=[place], python=str(each_python)) as session:
        assert session.wait_for_stop(LIMIT_S)
        prefix = session.evaluate("sys.executable").value
        assert prefix == repr(str(each_python))
        session.resume()
        assert session.wait_for_end(LIMIT_S) == 3


def test_what_runs_is_interrupted_and_may_end_as_it_likes(endless: str) -> None:
    with nbdebug.launch([endless]) as session:
        while "ready" not in session.output:
            session.wait_for_stop(0.05)
        session.interrupt()
        assert session.wait_for_end(LIMIT_S) == 0
        assert session.output == "ready\ninterrupted\n"


def test_what_is_stopped_is_interrupted_there(endless: str) -> None:
    place = f"{endless}:{line_of(ENDLESS, 'sleep')}"
    with nbdebug.launch([endless], breakpoints=[place]) as session:
        assert session.wait_for_stop(LIMIT_S)
        session.interrupt()
        assert session.wait_for_end(LIMIT_S) == 0


def test_a_program_that_is_killed_says_by_which_signal(endless: str) -> None:
    with nbdebug.launch([endless]) as session:
        os.kill(session.pid, signal.SIGKILL)
        wait = session.wait_for_stop(LIMIT_S)
        assert (wait.outcome, wait.exit_code) == (Outcome.ENDED, -9)


def test_the_end_of_the_block_ends_the_program(endless: str) -> None:
    with nbdebug.launch([endless]) as session:
        pass
    assert session.exit_code is not None


def test_a_program_that_is_let_go_runs_on(endless: str) -> None:
    place = f"{endless}:{line_of(ENDLESS, 'sleep')}"
    session = nbdebug.launch([endless], breakpoints=[place])
    assert session.wait_for_stop(LIMIT_S)
    session.detach()
    assert session.exit_code is None and not sessions.here.all()
    os.kill(session.pid, signal.SIGINT)
    assert session.wait_for_end(LIMIT_S) == 0


def test_a_program_ends_with_the_process_that_launched_it_even_if_that_is_killed(
    endless: str,
) -> None:
    launcher = (
        f"import nbdebug, time\ns = nbdebug.launch([{endless!r}])\n"
        "while 'ready' not in s.output: time.sleep(0.01)\n"
        "print(s.pid, flush=True)\n"
    )
    for way in ("", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"):
        done = subprocess.run(
            [sys.executable, "-c", launcher + way],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        pid = int(done.stdout)
        gone = threading.Event()
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            gone.wait(0.02)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_cannot_be_launched_is_refused_with_its_reason(tmp_path: Path, program: str) -> None:
    for args, options, said in (
        (["nowhere.py"], {}, "There is no file"),
        ([], {}, "There is no program"),
        ([program], {"cwd": tmp_path / "nowhere"}, "There is no folder"),
        ([program], {"python": "/nowhere/python"}, "can't be run"),
    ):
        with pytest.raises(errors.CannotLaunch, match=said):
            nbdebug.launch(args, **options)
    with pytest.raises(errors.BadCondition):
        nbdebug.launch([program], breakpoints=[f"{program}:1 if x >"])
    with pytest.raises(errors.UsageError):
        nbdebug.launch([program], breakpoints=["12"])


def test_a_python_that_dies_at_its_start_is_told_with_its_last_words(
    tmp_path: Path, program: str
) -> None:
    broken = tmp_path / "python-broken"
    broken.write_text("#!/bin/sh\necho 'no way' >&2\nexit 7\n")
    broken.chmod(0o755)
    with pytest.raises(errors.LaunchFailed, match="exit code 7: no way"):
        nbdebug.launch([program], python=str(broken))
    silent = tmp_path / "python-silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(errors.LaunchFailed, match="hasn't begun"):
        nbdebug.launch([program], python=str(silent), timeout_s=0.3)
    assert not launching._running


def test_child_processes_are_sessions_with_the_parents_breakpoints(tmp_path: Path) -> None:
    text = "import subprocess, sys\ndef work(n):\n    return n * 2  # @work\nif sys.argv[1:]:\n"
    text += "    print(work(21))\nelse:\n    subprocess.run([sys.executable, __file__, 'child'])\n"
    path = tmp_path / "parent.py"
    path.write_text(text)
    place = f"{path}:{line_of(text, 'work')}"
    with nbdebug.launch([str(path)], breakpoints=[place], follow_children=True) as session:
        waiting = threading.Event()
        while not (
            found := [one for one in sessions.here.all() if one.kind == "child" and one.stop]
        ):
            waiting.wait(0.01)
        [child] = found
        assert child.parent is sessions.here.current and child.pid != session.pid
        child.ask("continue", threadId=1)
        assert session.wait_for_end(LIMIT_S) == 0
        assert session.output == "42\n"
