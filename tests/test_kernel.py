"""A real kernel's debug messages, in the order in which JupyterLab sends them, on every Python."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import CELL, Kernel, line_of, running_kernel


def test_a_cell_stops_is_shown_stepped_and_goes_on(kernel: Kernel) -> None:
    [breakpoint_] = kernel.break_at(CELL, "b")
    assert breakpoint_["verified"] and breakpoint_["line"] == 2
    stop = kernel.run_to_stop(CELL)
    assert (stop["reason"], stop["threadId"], stop["hitBreakpointIds"]) == (
        "breakpoint",
        1,
        [breakpoint_["id"]],
    )
    assert [(f["name"], f["line"]) for f in kernel.frames()] == [("f", 2), ("<module>", 5)]
    assert kernel.scope()["a"]["value"] == "5"
    assert {"x", "y", "z", "special variables", "function variables"} <= kernel.scope(
        "Globals"
    ).keys()
    assert kernel.evaluate("a * 100") == "500"
    kernel.move("next")
    assert kernel.where() == ("f", 3)
    kernel.move("next")
    assert kernel.where() == ("<module>", 5)
    kernel.move("next")
    assert kernel.where() == ("<module>", 6)
    reply = kernel.resume()
    assert (reply["status"], reply["output"]) == ("ok", "r is 6\n")
    assert kernel.wait_for_event("continued")["allThreadsContinued"]


def test_statements_on_one_line_of_a_cell_stop_once(kernel: Kernel) -> None:
    kernel.break_at(CELL, "three")
    kernel.run_to_stop(CELL)
    assert kernel.where() == ("<module>", line_of(CELL, "three"))
    kernel.move("next")
    assert kernel.where() == ("<module>", line_of(CELL, "call"))
    assert kernel.resume()["output"] == "r is 6\n"


def test_next_at_the_end_of_a_cell_ends_the_run_and_the_next_cell_runs_free(kernel: Kernel) -> None:
    kernel.break_at(CELL, "print")
    kernel.run_to_stop(CELL)
    since = len(kernel.events)
    kernel.ask("next", threadId=1)
    assert kernel.finish()["output"] == "r is 6\n"
    assert kernel.run("q = 1\nq")["output"] == "1"
    assert [e["event"] for e in kernel.events[since:]] == ["continued"]


def test_step_in_from_a_cell_to_the_next_statement_stays_out_of_the_kernel(here: Kernel) -> None:
    code = "a = 1  # @a\nb = 2\nc = len('abc')\nd = 4\n"
    here.break_at(code, "a")
    here.run_to_stop(code)
    lines = []
    for _ in range(3):
        here.move("stepIn")
        lines.append(here.where()[1])
    assert lines == [2, 3, 4]
    here.ask("stepIn", threadId=1)
    assert here.finish()["status"] == "ok"


def test_interrupting_a_stop_ends_the_cell_and_the_next_run_hits_again(kernel: Kernel) -> None:
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    kernel.manager.interrupt_kernel()
    reply = kernel.finish()
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert kernel.ask("debugInfo")["stoppedThreads"] == []
    kernel.run_to_stop(CELL)
    assert kernel.where() == ("f", 2)
    assert kernel.resume()["output"] == "r is 6\n"


def test_interrupting_a_stop_in_a_cell_with_top_level_await(kernel: Kernel) -> None:
    code = (
        "import asyncio\nawait asyncio.sleep(0)\nx = 1  # @x\nawait asyncio.sleep(0)\n"
        "print('end')\n"
    )
    kernel.break_at(code, "x")
    kernel.run_to_stop(code)
    assert kernel.where() == ("<module>", 3)
    kernel.manager.interrupt_kernel()
    reply = kernel.finish()
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    kernel.run_to_stop(code)
    kernel.move("next")
    kernel.move("next")
    assert kernel.where() == ("<module>", 5)
    assert kernel.resume()["output"] == "end\n"


@pytest.mark.parametrize("restart", [False, True])
def test_shutdown_while_stopped_ends_the_kernel(here: Kernel, restart: bool) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    here.client.shutdown(restart=restart)
    end = time.monotonic() + 20
    while here.manager.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    assert not here.manager.is_alive()


def test_disconnecting_while_stopped_lets_the_cell_end(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    here.ask("disconnect", restart=False, terminateDebuggee=False)
    assert here.finish()["output"] == "r is 6\n"
    assert here.run(CELL)["output"] == "r is 6\n"
    info = here.ask("debugInfo")
    assert (info["isStarted"], info["breakpoints"], info["stoppedThreads"]) == (False, [], [])
    here.enable()
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    here.resume()


def test_terminating_while_stopped_ends_the_cell(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    here.ask("disconnect", terminateDebuggee=True)
    reply = here.finish()
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")


def test_no_debugpy_process_is_started(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    pid = int(here.evaluate("__import__('os').getpid()"))
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text().split() == []
    assert here.evaluate(
        "'debugpy' in __import__('sys').modules or any('nbdebug' in t.name "
        "for t in __import__('threading').enumerate()) is None"
    ) in ("True", "False")
    here.resume()


def test_children_and_shell_commands_run_as_without_a_debugger(kernel: Kernel) -> None:
    code = """import multiprocessing, os, subprocess, sys
def square(n):
    return n * n  # @square
print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True, text=True).stdout)
with multiprocessing.get_context('fork').Pool(2) as pool:
    print(pool.map(square, [1, 2, 3]))
!echo shell
"""
    kernel.break_at(code, "square")
    reply = kernel.run(code)
    assert reply["status"] == "ok", reply
    assert "[1, 4, 9]" in reply["output"] and "shell" in reply["output"]


def test_without_a_client_a_stop_prints_one_line_and_the_run_goes_on(each_python: Path) -> None:
    with running_kernel(python=str(each_python), enable=False) as kernel:
        kernel.run("%bp f")
        reply = kernel.run("def f(a):\n    return a\nprint([f(i) for i in range(3)])")
        assert reply["status"] == "ok"
        lines = reply["output"].splitlines()
        assert "[0, 1, 2]" in lines
        [said] = [line for line in lines if line.startswith("nbdebug:")]
        assert "function breakpoint 1 at line 2 in f" in said and "press the bug" in said


def test_unloading_gives_the_kernel_back(each_python: Path) -> None:
    state = (
        "import sys, threading; k = get_ipython().kernel; t = "
        "get_ipython().input_transformer_manager\n"
        "print([type(k.debugger).__module__ if hasattr(k, 'debugger') else None, "
        "'do_debug_request' in vars(k),"
        " 'do_shutdown' in vars(k), [getattr(f, '__name__', '') for f in t.cleanup_transforms],"
        " [sys.monitoring.get_tool(i) for i in range(6)], sorted(t.name for t in "
        "threading.enumerate()),"
        " 'bp' in get_ipython().magics_manager.magics['line'], "
        "len(get_ipython().events.callbacks['post_execute'])])"
    )
    with running_kernel(python=str(each_python), load=False, enable=False) as kernel:
        before = kernel.run(state)["output"]
        kernel.run("%load_ext nbdebug")
        kernel.enable()
        kernel.break_at(CELL, "b")
        kernel.run_to_stop(CELL)
        kernel.evaluate("a")
        kernel.resume()
        assert kernel.run(state)["output"] != before
        kernel.run("%unload_ext nbdebug")
        assert kernel.run(state)["output"] == before
        assert kernel.run(CELL)["output"] == "r is 6\n"
        kernel.run("%load_ext nbdebug")
        kernel.enable()
        kernel.break_at(CELL, "b")
        kernel.run_to_stop(CELL)
        kernel.resume()


def test_loading_takes_a_started_stock_debugger_over_with_its_breakpoints(here: Kernel) -> None:
    pytest.importorskip("debugpy")
    with running_kernel(load=False, enable=False) as kernel:
        kernel.ask_stock("initialize", clientID="jupyterlab", adapterID="python")
        kernel.ask_stock("attach")
        path = kernel.ask_stock("dumpCell", code=CELL)["sourcePath"]
        line = line_of(CELL, "b")
        kernel.ask_stock("setBreakpoints", source={"path": path}, breakpoints=[{"line": line}])
        reply = kernel.run("%load_ext nbdebug")
        assert reply["status"] == "ok", reply
        told = kernel.wait_for_event("capabilities")["capabilities"]
        assert told["supportsEvaluateForHovers"] is True
        info = kernel.ask("debugInfo")
        assert info["isStarted"] is True
        assert [
            (s["source"], [b["line"] for b in s["breakpoints"]]) for s in info["breakpoints"]
        ] == [(path, [line])]
        kernel.run_to_stop(CELL)
        assert kernel.where() == ("f", 2)
        assert kernel.resume()["output"] == "r is 6\n"


def test_pausing_a_running_cell(kernel: Kernel) -> None:
    kernel.run("go = True")
    code = "i = 0\nprint('on', flush=True)\nwhile go:\n    i += 1\n"
    since = len(kernel.events)
    message = kernel.send_cell(code)
    kernel.wait_for_output(message, "on")
    kernel.ask("pause", threadId=1)
    kernel.stop = kernel.wait_for_event("stopped", since)
    assert kernel.stop["reason"] == "pause"
    assert kernel.where()[0] == "<module>" and kernel.where()[1] in (2, 3, 4)
    kernel.evaluate("go = False")
    assert kernel.resume()["status"] == "ok"


def test_the_kernels_own_threads_are_not_the_users(here: Kernel) -> None:
    here.run(
        "import threading; ev = threading.Event(); t = threading.Thread(target=ev.wait, "
        "name='mine'); t.start()"
    )
    assert [t["name"] for t in here.ask("threads")["threads"]] == ["MainThread", "mine"]
    here.run("ev.set()")


def test_sources_and_modules(here: Kernel) -> None:
    here.break_at(CELL, "b")
    assert here.ask("source", source={"path": here.path})["content"] == CELL
    assert here.refuse("source", source={"path": "/no/such/file.py"}) == "source-unavailable"
    modules = here.ask("modules", startModule=0, moduleCount=2)
    assert len(modules["modules"]) == 2 and modules["totalModules"] > 100


@pytest.mark.parametrize(
    ("command", "arguments", "slug"),
    [
        ("continue", {"threadId": 1}, "not-stopped"),
        ("next", {"threadId": 1}, "not-stopped"),
        ("scopes", {"frameId": 12345}, "unknown-frame"),
        ("variables", {"variablesReference": 12345}, "stale-reference"),
        ("stackTrace", {"threadId": 4711}, "unknown-thread"),
        ("pause", {"threadId": 4711}, "unknown-thread"),
        ("pause", {"threadId": "one"}, "bad-arguments"),
        ("setBreakpoints", {}, "bad-arguments"),
        (
            "setBreakpoints",
            {"source": {"path": "x.py"}, "breakpoints": [{"line": "2"}]},
            "bad-arguments",
        ),
        ("setBreakpoints", {"source": {"path": "x.py"}, "breakpoints": 3}, "bad-arguments"),
        ("evaluate", {}, "bad-arguments"),
        ("dumpCell", {}, "bad-arguments"),
        ("setVariable", {"variablesReference": 1, "name": "x", "value": "1"}, "not-stopped"),
        ("restart", {"program": "x.py"}, "not-supported"),
        ("restartFrame", {"frameId": 1}, "not-supported"),
        ("dataBreakpointInfo", {}, "bad-arguments"),
        ("nbdebug/nothing", {}, "unknown-command"),
        ("setExceptionBreakpoints", {"filters": ["sometimes"]}, "unknown-filter"),
        ("exceptionInfo", {"threadId": 1}, "no-exception"),
        ("terminate", {}, "not-stopped"),
        ("source", {}, "bad-arguments"),
    ],
)
def test_bad_requests_are_refused_at_once(
    shared: Kernel, command: str, arguments: dict[str, object], slug: str
) -> None:
    assert shared.refuse(command, dict(arguments)) == slug
    assert shared.ask("debugInfo")["isStarted"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


def test_requests_before_initialize_are_refused(here: Kernel) -> None:
    with running_kernel(enable=False) as kernel:
        assert kernel.refuse("attach") == "not-started"
        assert kernel.refuse("setBreakpoints", source={"path": "x.py"}) == "not-started"
        info = kernel.ask("debugInfo")
        assert info["isStarted"] is False


def test_every_message_is_logged_where_the_user_asked_for_it(tmp_path: Path) -> None:
    with running_kernel(NBDEBUG_LOG=str(tmp_path)) as kernel:
        kernel.break_at(CELL, "b")
        kernel.run_to_stop(CELL)
        kernel.resume()
        assert str(tmp_path) in kernel.run("%nbdebug")["output"]
        [file] = tmp_path.iterdir()
        text = file.read_text()
        for part in (
            "request initialize",
            "response attach",
            "event stopped",
            '"hitBreakpointIds"',
        ):
            assert part in text


def test_a_stop_in_a_users_thread_while_the_main_thread_is_idle(here: Kernel) -> None:
    code = """import threading
def work():
    x = 1  # @x
    done.append(x)
done = []
t = threading.Thread(target=work, name='worker')
"""
    here.break_at(code, "x")
    here.run(code)
    since = len(here.events)
    message = here.send_cell("t.start()")
    here.stop = here.wait_for_event("stopped", since)
    assert here.stop["threadId"] != 1
    assert here.where() == ("work", 3)
    here.ask("continue", threadId=1)  # as JupyterLab asks, whichever thread has stopped
    here.finish(message)
    assert here.run("t.join(); print(done)")["output"] == "[1]\n"


def test_signals_reach_the_program_as_they_were(here: Kernel) -> None:
    code = """import signal
seen = []
old = signal.signal(signal.SIGUSR1, lambda *a: seen.append(1))
signal.raise_signal(signal.SIGUSR1)
x = 1  # @x
print(seen, signal.getsignal(signal.SIGINT).__name__)
"""
    assert signal.SIGUSR1
    without = here.run(code)["output"]
    here.break_at(code, "x")
    here.run_to_stop(code)
    assert here.resume()["output"] == without


def test_a_client_can_ask_for_a_stop_at_entry(here: Kernel) -> None:
    here.ask("attach", stopOnEntry=True)
    code = "\nx = 1\ny = 2\n"
    stop = here.run_to_stop(code)
    assert (stop["reason"], here.where()) == ("entry", ("<module>", 2))
    here.move("next")
    assert here.where() == ("<module>", 3)
    here.resume()
    assert here.run(code)["status"] == "ok"


def test_an_interrupts_traceback_holds_no_frame_of_ours(kernel: Kernel) -> None:
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    kernel.manager.interrupt_kernel()
    shown = kernel.finish()["output"]
    assert "KeyboardInterrupt" in shown and "b = a + 1" in shown
    assert "nbdebug" not in shown and "tracing" not in shown


def test_the_guests_own_exceptions_leave_a_stop_as_they_are(kernel: Kernel) -> None:
    code = (
        "import signal, os\nclass Timeout(Exception): pass\ndef late(*_): raise Timeout\n"
        "old = signal.signal(signal.SIGALRM, late)\ntry:\n    x = 1  # @x\n"
        "except Timeout:\n    print('timed out')\nsignal.signal(signal.SIGALRM, old);"
    )
    kernel.break_at(code, "x")
    kernel.run_to_stop(code)
    pid = int(kernel.evaluate("os.getpid()"))
    os.kill(pid, signal.SIGALRM)
    reply = kernel.finish()
    assert (reply["status"], reply["output"]) == ("ok", "timed out\n")
    kernel.run_to_stop(code)
    assert kernel.resume()["status"] == "ok"


def test_interrupting_a_stopped_background_task_lets_it_run_on(here: Kernel) -> None:
    code = (
        "import asyncio\nasync def later():\n    await asyncio.sleep(0.2)\n    x = 1  # @x\n"
        "    done.append(x)\ndone = []\ntask = asyncio.ensure_future(later())\n"
    )
    here.break_at(code, "x")
    since = len(here.events)
    here.run(code)
    here.stop = here.wait_for_event("stopped", since)
    here.manager.interrupt_kernel()
    here.wait_for_event("continued", since)
    assert here.run("await task; print(done)")["output"] == "[1]\n"


def test_disconnecting_lets_a_loop_run_on_without_a_word(here: Kernel) -> None:
    code = "def f(a):\n    return a  # @b\nprint(sum(f(i) for i in range(50_000)))"
    here.break_at(code, "b")
    here.run_to_stop(code)
    here.ask("disconnect", restart=False, terminateDebuggee=False)
    assert here.finish()["output"] == "1249975000\n"
