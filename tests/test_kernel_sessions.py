"""A kernel's sessions: the panel and the magics follow the current one, whatever it reaches."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kernel_client import Kernel, line_of, running_kernel

PROGRAM = """\
import sys
total = 0
def add(n):
    global total
    total += n  # @add
    return total
for n in range(3):  # @loop
    add(n)
print("total", total)  # @print
sys.exit(3)
"""

ENDLESS = """\
import time
print("ready", flush=True)
n = 0
try:
    while True:
        time.sleep(0.01)
        n += 1  # @count
except KeyboardInterrupt:
    print("interrupted")
"""

CELL = "def double(x):\n    return 2 * x  # @inside\nprint(double(4))"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel(enable=False) as kernel:
        yield kernel


@pytest.fixture(autouse=True)
def no_session_is_left(kernel: Kernel) -> Iterator[None]:
    """What a test that failed has left mustn't fail the next."""
    yield
    kernel.run(
        "from nbdebug.dap import sessions as _sessions\n"
        "for _one in _sessions.here.all(): _one.close(terminate=True)"
    )


@pytest.fixture
def panel(kernel: Kernel) -> Iterator[Kernel]:
    """The kernel with the bug pressed."""
    kernel.enable()
    yield kernel
    kernel.ask("disconnect")


@pytest.fixture
def program(kernel: Kernel, tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    assert kernel.run(f"%cd -q {tmp_path}")["status"] == "ok"
    return str(path)


@pytest.fixture
def endless(kernel: Kernel, tmp_path: Path) -> str:
    path = tmp_path / "endless.py"
    path.write_text(ENDLESS)
    assert kernel.run(f"%cd -q {tmp_path}")["status"] == "ok"
    return str(path)


def rows(output: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in output.splitlines()]


def set_lines(kernel: Kernel, path: str, *lines: int) -> list[Json]:
    found: list[Json] = kernel.ask(
        "setBreakpoints", source={"path": path}, breakpoints=[{"line": one} for one in lines]
    )["breakpoints"]
    return found


def until_stopped(kernel: Kernel, since: int) -> Json:
    kernel.stop = kernel.wait_for_event("stopped", since)
    return kernel.stop


def launch(kernel: Kernel, path: str, *options: str) -> int:
    """Launch a program from a cell that doesn't wait; return its pid."""
    reply = kernel.run(f"%debug_script --no-wait {' '.join(options)} {path}")
    found = re.search(r"\((\d+)\)", reply["output"])
    assert found is not None, reply
    return int(found[1])


def end(kernel: Kernel, pid: int) -> None:
    since = len(kernel.events)
    os.kill(pid, signal.SIGKILL)
    kernel.wait_for_event("nbdebug/session", since, lambda body: body["id"] == 1)


def until_gone(pid: int) -> None:
    """Wait until a process has ended; it is the kernel's child, or nobody's any more."""
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists():
        with suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        time.sleep(0.01)


def test_a_launched_script_prints_into_the_cell_and_says_its_exit_code(
    kernel: Kernel, program: str
) -> None:
    reply = kernel.run(f"%debug_script {program}")
    assert reply["status"] == "ok"
    assert re.fullmatch(
        r"total 3\nprogram.py \(\d+\) ended with exit code 3; "
        r"the kernel is the current session again\.\n",
        reply["output"],
    )
    assert len(rows(kernel.run("%session")["output"])) == 2


def test_a_scripts_breakpoint_stops_in_the_panel_and_a_cells_still_works_after_it(
    panel: Kernel, program: str
) -> None:
    since = len(panel.events)
    panel.send_cell(f"%debug_script --break {program}:{line_of(PROGRAM, 'add')} program.py")
    stop = until_stopped(panel, since)
    assert (stop["reason"], stop["threadId"]) == ("breakpoint", 1)
    session = panel.wait_for_event("nbdebug/session", since)
    assert session["name"] == "program.py" and session["current"]

    info = panel.ask("debugInfo")
    assert info["isStarted"] and info["stoppedThreads"] == [1] and not info["copyToGlobals"]
    [there] = [one for one in info["breakpoints"] if one["source"] == program]
    assert [one["line"] for one in there["breakpoints"]] == [line_of(PROGRAM, "add")]

    frames = panel.frames()
    assert [frame["name"] for frame in frames] == ["add", "<module>"]
    assert frames[0]["source"]["path"] == program
    assert panel.ask("source", source={"path": program})["content"] == PROGRAM
    assert panel.scope()["n"]["value"] == "0"
    assert panel.evaluate("n + 40") == "40"
    assert panel.ask("modules")["modules"]
    assert panel.ask("inspectVariables") == {"variables": []}
    assert panel.refuse("copyToGlobals", srcVariableName="n", dstVariableName="n") == (
        "not-of-this-session"
    )
    assert panel.refuse("richInspectVariables", variableName="n") == "not-of-this-session"

    assert panel.move("next")["reason"] == "step"
    assert panel.where() == ("add", line_of(PROGRAM, "add") + 1)
    set_lines(panel, program, line_of(PROGRAM, "add"))  # which makes it the panel's
    set_lines(panel, program)
    panel.ask("continue", threadId=1)
    reply = panel.finish()
    assert "total 3\n" in reply["output"] and "exit code 3" in reply["output"]
    assert panel.wait_for_event("nbdebug/session", since, lambda body: body["id"] == 1)

    panel.break_at(CELL, "inside")
    panel.run_to_stop(CELL)
    assert panel.where()[0] == "double"
    assert panel.resume()["output"] == "8\n"
    set_lines(panel, panel.path)


def test_breakpoints_that_the_panel_has_in_the_file_hold_in_the_script(
    panel: Kernel, program: str
) -> None:
    set_lines(panel, program, line_of(PROGRAM, "print"))
    since = len(panel.events)
    panel.send_cell("%debug_script program.py")
    until_stopped(panel, since)
    assert panel.where() == ("<module>", line_of(PROGRAM, "print"))
    panel.resume()
    set_lines(panel, program)


def test_the_magics_speak_to_the_current_session_or_to_the_one_that_pid_names(
    panel: Kernel, endless: str
) -> None:
    pid = launch(panel, endless)
    listed = rows(panel.run("%session")["output"])
    assert listed[0] == ["id", "session", "pid", "kind", "state"]
    assert listed[2] == ["→", "2", "endless.py", str(pid), "launched", "running"] or (
        listed[2][2:] == ["endless.py", str(pid), "launched", "running"]
    )
    count = line_of(ENDLESS, "count")
    since = len(panel.events)
    assert "endless.py" in panel.run(f"%bp endless.py:{count} if n > 3")["output"]
    until_stopped(panel, since)
    assert f"endless.py:{count}" in panel.run("%stack")["output"]
    assert "bound" in panel.run("%bp")["output"]
    assert re.search(r"^\d+ +n +log", panel.run("%watch n --log")["output"], re.M)
    panel.run("%session kernel")
    panel.wait_for_event("continued", since)
    assert panel.run("%bp")["output"] == "No breakpoints."
    assert panel.run("%watch")["output"] == "Nothing is watched."
    assert "bound" in panel.run(f"%bp --pid {pid}")["output"]
    assert "cleared" in panel.run(f"%bp --pid {pid} clear all")["output"]
    assert f"endless.py:{count}" in panel.run(f"%stack --pid {pid}")["output"]
    assert re.search(r"^\d+ +n +log", panel.run(f"%watch --pid {pid}")["output"], re.M)
    assert "n" in panel.run(f"%unwatch --pid {pid} --all")["output"]

    since = len(panel.events)
    assert "endless.py" in panel.run(f"%session {pid}")["output"]
    until_stopped(panel, since)
    assert panel.where() == ("<module>", count)
    panel.ask("continue", threadId=1)
    end(panel, pid)


def test_a_lines_condition_from_a_magic_survives_the_panels_bare_lines(
    panel: Kernel, endless: str
) -> None:
    pid = launch(panel, endless)
    count = line_of(ENDLESS, "count")
    panel.run(f"%bp endless.py:{count} if n == -1")
    set_lines(panel, endless, count)
    assert "if n == -1" in panel.run("%bp")["output"]
    set_lines(panel, endless)
    assert panel.run("%bp")["output"] == "No breakpoints."
    end(panel, pid)


def test_a_cells_stop_takes_the_panel_from_a_script_that_runs(panel: Kernel, endless: str) -> None:
    pid = launch(panel, endless)
    panel.break_at(CELL, "inside")
    since = len(panel.events)
    panel.run_to_stop(CELL)
    assert panel.wait_for_event("nbdebug/session", since)["id"] == 1
    assert panel.where()[0] == "double"
    assert "goes back to endless.py" in panel.resume()["output"]
    set_lines(panel, panel.path)
    assert panel.run("%session endless.py")["status"] == "ok"
    end(panel, pid)


def test_the_panels_off_lets_the_script_run_on(kernel: Kernel, endless: str) -> None:
    kernel.enable()
    pid = launch(kernel, endless)
    since = len(kernel.events)
    kernel.run(f"%bp endless.py:{line_of(ENDLESS, 'count')} if n == 5")
    until_stopped(kernel, since)
    kernel.ask("disconnect")
    kernel.enable()
    assert kernel.ask("debugInfo")["stoppedThreads"] == []
    assert "running" in kernel.run("%session")["output"]
    end(kernel, pid)
    kernel.ask("disconnect")


def test_where_no_debugger_is_open_a_waiting_cells_script_passes_its_stops(
    kernel: Kernel, program: str
) -> None:
    reply = kernel.run(f"%debug_script --break {program}:{line_of(PROGRAM, 'add')} program.py")
    assert "total 3" in reply["output"] and "exit code 3" in reply["output"]
    assert reply["output"].count("no debugger is open") == 1


def test_an_interrupt_reaches_the_script_and_the_next_kills_it(
    kernel: Kernel, endless: str, tmp_path: Path
) -> None:
    cell = kernel.send_cell("%debug_script endless.py")
    kernel.wait_for_output(cell, "ready")
    kernel.manager.interrupt_kernel()
    reply = kernel.finish()
    assert reply["status"] == "error" and reply["ename"] == "KeyboardInterrupt"
    assert "ready\ninterrupted\n" in reply["output"] and "exit code 0" in reply["output"]

    (tmp_path / "stubborn.py").write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: print('no', flush=True))\n"
        "print('ready', flush=True)\nwhile True: time.sleep(0.01)\n"
    )
    cell = kernel.send_cell("%debug_script stubborn.py")
    kernel.wait_for_output(cell, "ready")
    kernel.manager.interrupt_kernel()
    kernel.wait_for_output(cell, "no")
    kernel.manager.interrupt_kernel()
    assert "was ended by signal 9" in kernel.finish()["output"]


def test_a_script_that_does_not_answer_blocks_neither_panel_nor_kernel(
    panel: Kernel, endless: str
) -> None:
    panel.run("%config Nbdebug.evaluate_limit_s = 0.1")
    pid = launch(panel, endless)
    os.kill(pid, signal.SIGSTOP)
    try:
        waiting = panel.post("evaluate", expression="1")
        assert panel.ask("debugInfo")["isStarted"]
        assert panel.run("1 + 1")["output"] == "2"
        reply = panel.reply_to(waiting)
        assert reply["body"]["error"]["variables"]["slug"] == "took-too-long"
    finally:
        os.kill(pid, signal.SIGCONT)
        panel.run("%config Nbdebug.evaluate_limit_s = 10.0")
    end(panel, pid)


def test_a_session_is_chosen_by_request_too(panel: Kernel, endless: str) -> None:
    pid = launch(panel, endless)
    listed = panel.ask("nbdebug/sessions")["sessions"]
    assert [one["kind"] for one in listed] == ["kernel", "launched"]
    assert [one["current"] for one in listed] == [False, True]
    assert listed[1]["pid"] == pid
    assert panel.ask("nbdebug/setSession", session=1)["session"]["current"]
    assert panel.refuse("nbdebug/setSession", session=77) == "no-session"
    panel.ask("nbdebug/setSession", session=listed[1]["id"])
    end(panel, pid)


def test_closing_a_session_ends_what_was_launched_and_detaching_lets_it_run(
    kernel: Kernel, endless: str
) -> None:
    kernel.enable()
    pid = launch(kernel, endless)
    assert "endless.py" not in kernel.run("%session close endless.py")["output"]
    until_gone(pid)
    pid = launch(kernel, endless)
    assert "endless.py" not in kernel.run(f"%session detach {pid}")["output"]
    os.kill(pid, signal.SIGINT)
    until_gone(pid)
    kernel.ask("disconnect")


def test_the_panels_exception_filters_hold_in_a_script(panel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("def f():\n    return 1 / 0\nf()\n")
    panel.run(f"%cd -q {tmp_path}")
    panel.ask("setExceptionBreakpoints", filters=["uncaught"])
    since = len(panel.events)
    panel.send_cell("%debug_script fails.py")
    assert until_stopped(panel, since)["reason"] == "exception"
    assert panel.ask("exceptionInfo", threadId=1)["exceptionId"].endswith("ZeroDivisionError")
    panel.ask("setExceptionBreakpoints", filters=[])
    output = panel.resume()["output"]
    assert "ZeroDivisionError" in output and "ended with exit code 1" in output


def test_what_a_script_logs_is_shown_where_it_prints(kernel: Kernel, program: str) -> None:
    place = f"{program}:{line_of(PROGRAM, 'add')}"
    reply = kernel.run(f"%debug_script --break \"--log 'n={{{{n}}}}' {place}\" program.py")
    assert [f"n={n}" in reply["output"] for n in range(3)] == [True] * 3, reply
    assert "no debugger is open" not in reply["output"]


def test_a_script_that_runs_is_paused_by_the_panel(panel: Kernel, endless: str) -> None:
    pid = launch(panel, endless)
    since = len(panel.events)
    panel.ask("pause", threadId=1)
    assert until_stopped(panel, since)["reason"] == "pause"
    assert panel.frames()[0]["source"]["path"] == endless
    end(panel, pid)


def test_the_notebooks_settings_hold_in_a_script(panel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "calls.py").write_text("import json\njson.dumps([1])  # @call\n")
    panel.run(f"%cd -q {tmp_path}\n%config Nbdebug.just_my_code = False")
    since = len(panel.events)
    panel.send_cell("%debug_script --break calls.py:2 calls.py")
    until_stopped(panel, since)
    panel.move("stepIn")
    assert panel.where()[0] == "dumps"
    panel.resume()
    panel.run("%config Nbdebug.just_my_code = True")


def test_much_output_comes_whole(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("for n in range(20_000): print('line', n)\n")
    output = kernel.run(f"%debug_script {tmp_path / 'loud.py'}")["output"]
    assert output.count("\n") == 20_001 and "line 19999\n" in output


def test_a_watch_set_before_stops_at_the_write(panel: Kernel, program: str) -> None:
    since = len(panel.events)
    panel.send_cell("%debug_script --watch \"total --if 'new == 3'\" program.py")
    stop = until_stopped(panel, since)
    assert stop["reason"] == "data breakpoint" and "1 -> 3" in stop["description"]
    panel.resume()


def test_a_scripts_children_are_sessions_with_its_breakpoints(
    panel: Kernel, tmp_path: Path
) -> None:
    text = (
        "import multiprocessing\ndef work(n):\n    return n * 2  # @work\n"
        "if __name__ == '__main__':\n    context = multiprocessing.get_context('spawn')\n"
        "    with context.Pool(1) as pool:\n        print(pool.map(work, [21]))\n"
    )
    (tmp_path / "pool.py").write_text(text)
    panel.run(f"%cd -q {tmp_path}")
    since = len(panel.events)
    panel.send_cell(f"%debug_script --break pool.py:{line_of(text, 'work')} pool.py")
    until_stopped(panel, since)
    listed = panel.ask("nbdebug/sessions")["sessions"]
    [script] = [one for one in listed if one["kind"] == "launched"]
    [child] = [one for one in listed if one["kind"] == "child"]
    assert child["parent"] == script["id"] and child["current"] and not script["current"]
    assert panel.where() == ("work", line_of(text, "work"))
    assert panel.evaluate("n") == "21"
    panel.ask("continue", threadId=panel.stop["threadId"])
    reply = panel.finish()
    assert "[42]" in reply["output"] and "is the current session." in reply["output"]


def test_a_session_launched_by_a_cells_code_is_listed_and_followed_too(
    panel: Kernel, program: str
) -> None:
    since = len(panel.events)
    panel.run(
        "import nbdebug\n"
        f"s = nbdebug.launch(['program.py'], breakpoints=[('program.py', "
        f"{line_of(PROGRAM, 'print')})])"
    )
    until_stopped(panel, since)
    assert panel.where() == ("<module>", line_of(PROGRAM, "print"))
    reply = panel.run("print(s.wait_for_stop().stop.line, s.evaluate('total').value)\ns.resume()")
    assert reply["output"].startswith(f"{line_of(PROGRAM, 'print')} 3\n")
    assert panel.run("print(s.wait_for_end(), s.output)")["output"].startswith("3 total 3\n\n")
    assert panel.run("%nbdebug")["output"].count("this notebook") == 1


def test_scripts_are_launched_on_every_python(each_python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    with running_kernel(python=str(each_python)) as kernel:
        kernel.run(f"%cd -q {tmp_path}")
        since = len(kernel.events)
        kernel.send_cell(f"%debug_script --break program.py:{line_of(PROGRAM, 'add')} program.py")
        until_stopped(kernel, since)
        assert kernel.where() == ("add", line_of(PROGRAM, "add"))
        assert kernel.scope()["n"]["value"] == "0"
        kernel.move("stepOut")
        kernel.ask("disconnect")
        assert "ended with exit code 3" in kernel.finish()["output"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%session nowhere", "No session is called `nowhere`."),
        ("%session close", "needs a session's number"),
        ("%session close kernel", "can't be left"),
        ("%bp --pid 1", "No session is with a process 1."),
        ("%bp --pid x mymod.py:1", "was given `x`"),
        ("%stack --pid", "needs the number of a process"),
        ("%debug_script", "needs a program"),
        ("%debug_script nowhere.py", "There is no file"),
        ("%debug_script --fast program.py", "no option `--fast`"),
        ("%debug_script --cwd", "needs a value"),
        ("%debug_script 'program.py", "can't be read"),
        ("%debug_script --break 12 program.py", "A line number alone means this cell"),
        ("%debug_script --watch 'x --fast' program.py", "`%watch` has no option `--fast`"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_reason(
    kernel: Kernel, program: str, line: str, said: str
) -> None:
    reply = kernel.run(line)
    assert reply["status"] == "ok" and said in reply["output"]
    assert len(rows(kernel.run("%session")["output"])) == 2


def test_scripts_end_with_their_kernel(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    for end_kernel in ("shutdown", "unload"):
        with running_kernel(enable=False) as kernel:
            kernel.run(f"%cd -q {tmp_path}")
            pid = launch(kernel, "endless.py")
            if end_kernel == "unload":
                kernel.run("%unload_ext nbdebug")
            else:
                kernel.manager.shutdown_kernel()
            until_gone(pid)
