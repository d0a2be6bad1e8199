"""`%stack PID` in a notebook and `python -m nbdebug stack PID` in a shell."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from interpreters import ROOT
from kernel_client import running_kernel
from targets import NewTarget, Target

from nbdebug.attach import errors, reports


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "nbdebug", "stack", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_a_shell_shows_the_stacks(new_target: NewTarget) -> None:
    target = new_target("threads")
    done = run(str(target.pid))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Process {target.pid}: ")
    assert f"Thread {target.pid} MainThread" in done.stdout
    assert done.stdout.count("    Event.wait (") == 1
    assert "; and 194 more\n" in done.stdout  # they are all at the same place


def test_a_shell_shows_the_variables(new_target: NewTarget) -> None:
    target = new_target("lock")
    done = run(str(target.pid), "--locals")
    assert "        held = <_thread.lock object at 0x" in done.stdout
    assert "        ANSWER = {'text': 'unchanged', 'numbers': [1, 2, 3]}" in done.stdout


def test_a_program_gets_the_stacks_as_json(new_target: NewTarget) -> None:
    target = new_target("asyncio_idle")
    found: dict[str, Any] = json.loads(run(str(target.pid), "--json", "--locals").stdout)
    assert found["pid"] == target.pid
    (thread,) = found["threads"]
    assert thread["frames"][-1]["function"] == "<module>"
    assert found["tasks"][0]["awaits"] == "a Future"


def test_a_long_recursion_is_not_shown_frame_by_frame() -> None:
    frame = reports.FrameReport("f", "a.py", 1)
    thread = reports.ThreadReport(1, "MainThread", 0, True, (frame,) * 1000, "", "")
    text = str(reports.Report(1, "python a.py", "3.14.0", (thread,), (), False, 0.0))
    assert text.splitlines()[2:] == [
        "Thread 1 MainThread, holds the GIL",
        *["    f (a.py:1)"] * 3,
        "    ... and 997 more calls like the last",
    ]


def test_a_recursion_keeps_its_variables_where_it_is_shown(tmp_path: Path) -> None:
    program = tmp_path / "deep.py"
    program.write_text(
        "def down(n):\n"
        "    if n:\n"
        "        down(n - 1)\n"
        "    else:\n"
        "        print('ready', flush=True)\n"
        "        input()\n"
        "down(900)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        text = str(reports.stacks(process.pid, with_locals=True))
        process.kill()
    assert "        n = 1\n" in text and "        n = 3\n" in text
    assert "    ... and 897 more calls like the last\n" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["999999999"], "There is no process 999999999."),
        (["{pid}", "--native"], "Native frames of another process can't be shown yet"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(
    new_target: NewTarget, arguments: list[str], said: str
) -> None:
    target = new_target("sleep")
    done = run(*[one.format(pid=target.pid) for one in arguments])
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_shell_that_may_not_look_is_told_so(new_target: NewTarget) -> None:
    done = run(str(new_target("sleep").pid), NBDEBUG_ATTACH="off")
    assert done.returncode == 1
    assert "NBDEBUG_ATTACH" in done.stderr


@pytest.fixture
def target(new_target: NewTarget) -> Target:
    return new_target("lock")


def test_a_notebook_shows_the_stacks_as_a_table(target: Target) -> None:
    with running_kernel(enable=False) as kernel:
        found = kernel.run(
            f"found = %stack {target.pid} --locals\n"
            "print(found, found._repr_html_().count('<td'), sep='\\n')"
        )
        refused = kernel.run(f"%stack {target.pid} --nowhere")
    lines = found["output"].splitlines()
    assert f"Thread {target.pid} MainThread" in lines
    assert any(line.startswith("        held = <_thread.lock object") for line in lines)
    assert int(lines[-1]) == 6
    assert "doesn't know `--nowhere`" in refused["output"]


def test_python_gets_them_as_objects(target: Target) -> None:
    found = reports.stacks(target.pid, with_locals=True)
    inner = found.threads[0].frames[0]
    assert (inner.function, inner.locals[0].name, inner.locals[0].type) == ("lock", "held", "lock")
    with pytest.raises(errors.ThisProcess):
        reports.stacks(os.getpid())
