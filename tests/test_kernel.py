"""A real kernel's debug messages, in the order in which JupyterLab sends them, on every Python."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import Kernel, line_of, running_kernel

CELL = """def f(a):
    b = a + 1  # @b
    return b  # @return
x = 5; y = 6; z = 7  # @three
r = f(x)  # @call
print('r is', r)  # @print
"""


@pytest.fixture(params=["on each Python"])
def kernel(each_python: Path) -> Iterator[Kernel]:
    with running_kernel(python=str(each_python)) as running:
        yield running


@pytest.fixture
def here() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


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


def test_a_rerun_of_the_cell_hits_again_and_counts_anew(kernel: Kernel) -> None:
    kernel.break_at(CELL, "b", hitCondition="1")
    for _ in range(2):
        kernel.run_to_stop(CELL)
        assert kernel.where() == ("f", 2)
        assert kernel.resume()["status"] == "ok"


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


def test_interrupting_a_long_evaluation_ends_it_and_leaves_the_stop(kernel: Kernel) -> None:
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    frame = kernel.frames()[0]["id"]
    message = kernel.post("evaluate", expression="while True: pass", frameId=frame, context="repl")
    time.sleep(0.3)
    kernel.manager.interrupt_kernel()
    reply = kernel.reply_to(message)
    assert reply["success"] is False and "KeyboardInterrupt" in reply["message"]
    assert kernel.evaluate("a") == "5"
    assert kernel.resume()["output"] == "r is 6\n"


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


def test_a_deferred_breakpoint_in_a_module_is_pending_then_bound(
    kernel: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "later_mod.py").write_text("def g(a):\n    return a * 2\n")
    out = kernel.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n%bp later_mod:2")[
        "output"
    ]
    assert "pending" in out
    since = len(kernel.events)
    code = "import later_mod\nprint(later_mod.g(4))\n"
    kernel.run_to_stop(code)
    change = kernel.wait_for_event("breakpoint", since)
    assert change["reason"] == "changed" and change["breakpoint"]["verified"] is True
    assert kernel.where() == ("g", 2)
    assert kernel.resume()["output"] == "8\n"
    assert "bound" in kernel.run("%bp")["output"]


def test_autoreload_binds_an_edited_modules_breakpoints_again(here: Kernel, tmp_path: Path) -> None:
    module = tmp_path / "auto_mod.py"
    module.write_text("def g(a):\n    return a\n")
    here.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.dont_write_bytecode = True")
    here.run("%load_ext autoreload\n%autoreload 2\nimport auto_mod")
    path = str(module)
    [first] = here.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": 2}])[
        "breakpoints"
    ]
    assert first["verified"]
    here.run_to_stop("auto_mod.g(1)")
    here.resume()
    module.write_text("def g(a):\n    b = a * 3\n    return b\n")
    os.utime(module, (time.time() + 5, time.time() + 5))
    here.run_to_stop("auto_mod.g(2)")
    assert here.where() == ("g", 2)
    here.move("next")
    assert here.scope()["b"]["value"] == "6"
    here.resume()


def test_an_edited_cell_keeps_its_own_breakpoints(here: Kernel) -> None:
    here.break_at(CELL, "b")
    edited = CELL.replace("a + 1", "a + 100")
    assert here.run(edited)["output"] == "r is 105\n"
    here.break_at(edited, "return")
    here.run_to_stop(edited)
    assert here.where() == ("f", 3)
    here.resume()
    here.run_to_stop(CELL)
    assert here.where() == ("f", 2)
    here.resume()


def test_leading_empty_lines_keep_line_numbers(here: Kernel) -> None:
    code = "\n\n" + CELL
    here.break_at(code, "b")
    here.run_to_stop(code)
    assert here.where() == ("f", 4)
    here.resume()


def test_a_bare_list_of_lines_keeps_conditions_and_debug_info_tells_them(here: Kernel) -> None:
    code = "def f(a):\n    return a  # @b\nprint([f(i) for i in range(5)])"
    here.break_at(code, "b", condition="a == 3", hitCondition="1", logMessage=None)
    here.break_at(code, "b")
    [source] = here.ask("debugInfo")["breakpoints"]
    assert source["breakpoints"][0]["condition"] == "a == 3"
    here.run_to_stop(code)
    assert here.evaluate("a") == "3"
    here.resume()


def test_evaluating_and_setting_variables_in_a_frame(kernel: Kernel) -> None:
    code = "def f(a):\n    b = [a]  # @b\n    c = 1  # @c\n    return a, b, c  # @end\nprint(f(5))"
    kernel.break_at(code, "end")
    kernel.run_to_stop(code)
    frame = kernel.frames()[0]["id"]
    assert kernel.evaluate("a = 7; c = 9") == ""
    assert kernel.evaluate("(a, c)") == "(7, 9)"
    assert kernel.evaluate("[x + a for x in b if x != a]") == "[12]"
    assert (
        kernel.ask("setExpression", expression="b[0]", value="a + 1", frameId=frame)["value"] == "8"
    )
    scopes = kernel.ask("scopes", frameId=frame)["scopes"]
    reference = scopes[0]["variablesReference"]
    set_ = kernel.ask("setVariable", variablesReference=reference, name="c", value="'new'")
    assert (set_["value"], set_["type"]) == ("'new'", "str")
    assert kernel.resume()["output"] == "(7, [8], 'new')\n"


def test_evaluation_failures_are_pythons_words(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    frame = here.frames()[0]["id"]
    for text, said in [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("nosuch", "NameError: name 'nosuch' is not defined"),
        ("a +", "SyntaxError"),
        ("__import__('sys').exit(1)", "SystemExit: 1"),
    ]:
        for context in ("repl", "watch", "clipboard"):
            reply = here.request("evaluate", expression=text, frameId=frame, context=context)
            assert not reply["success"] and said in reply["message"], reply
    assert (
        here.refuse("evaluate", expression="f(1)", frameId=frame, context="hover")
        == "evaluation-failed"
    )
    assert here.ask("evaluate", expression="a", frameId=frame, context="hover")["result"] == "5"
    assert here.resume()["output"] == "r is 6\n"


def test_an_endless_evaluation_is_ended_at_its_limit(kernel: Kernel) -> None:
    assert kernel.run("%config Nbdebug.evaluate_limit_s = 0.5")["output"] == ""
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    frame = kernel.frames()[0]["id"]
    assert (
        kernel.refuse("evaluate", expression="while True: pass", frameId=frame) == "took-too-long"
    )
    assert kernel.evaluate("a") == "5"
    assert kernel.resume()["output"] == "r is 6\n"


def test_a_slow_repr_is_cut_and_says_so(here: Kernel) -> None:
    code = """class Slow:
    def __repr__(self):
        while True: pass
class Angry:
    def __repr__(self):
        raise ValueError('no')
def f():
    s, t, n = Slow(), Angry(), 3
    return n  # @end
print(f())"""
    here.break_at(code, "end")
    here.run_to_stop(code)
    shown = here.scope()
    assert "longer than 0.5 s" in shown["s"]["value"]
    assert "ValueError" in shown["t"]["value"]
    assert shown["n"]["value"] == "3"
    assert here.resume()["output"] == "3\n"


def test_completions_while_stopped(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    frame = here.frames()[0]["id"]
    words = here.ask("completions", text="a.bit_l", column=8, frameId=frame)["targets"]
    assert [word["label"] for word in words] == ["bit_length"]
    words = here.ask("completions", text="x + a", column=6, frameId=frame)["targets"]
    assert "a" in [word["label"] for word in words]
    here.resume()


def test_variables_are_paged(here: Kernel) -> None:
    code = "def f():\n    big = list(range(100_000))\n    return len(big)  # @end\nf()"
    here.break_at(code, "end")
    here.run_to_stop(code)
    big = here.scope()["big"]
    assert big["indexedVariables"] == 100_000
    page = here.ask(
        "variables",
        variablesReference=big["variablesReference"],
        filter="indexed",
        start=4000,
        count=3,
    )
    assert [(v["name"], v["value"]) for v in page["variables"]] == [
        ("4000", "4000"),
        ("4001", "4001"),
        ("4002", "4002"),
    ]
    here.resume()


def test_variables_while_nothing_is_stopped(kernel: Kernel) -> None:
    kernel.run(
        "text = 'hello'\nitems = [1, 2]\n_id = 1\nclass C:\n"
        "    def __repr__(self): raise SystemExit\nc = C()"
    )
    shown = {v["name"]: v for v in kernel.ask("inspectVariables")["variables"]}
    assert shown["text"]["value"] == "'hello'"
    assert {"_id", "c"} <= shown.keys() and not {
        "In",
        "Out",
        "_i1",
        "exit",
        "get_ipython",
    } & shown.keys()
    children = kernel.ask("variables", variablesReference=shown["items"]["variablesReference"])[
        "variables"
    ]
    assert [v["value"] for v in children if v["name"].isdigit()] == ["1", "2"]
    rich = kernel.ask("richInspectVariables", variableName="text")
    assert rich == {"data": {"text/plain": "'hello'"}, "metadata": {}}
    unknown = kernel.ask("richInspectVariables", variableName="nosuch")
    assert unknown == {"data": {}, "metadata": {}}
    assert kernel.refuse("richInspectVariables", variableName="a b") == "unknown-variable"


def test_users_names_are_shown_even_where_ipython_has_them_too(here: Kernel) -> None:
    code = "def f():\n    _1, _i, In, exit, _id = range(5)\n    return 1  # @end\nf()"
    here.break_at(code, "end")
    here.run_to_stop(code)
    assert {"_1", "_i", "In", "exit", "_id"} <= here.scope().keys()
    here.resume()


def test_evaluating_while_nothing_is_stopped_runs_on_the_main_thread(here: Kernel) -> None:
    name = here.ask(
        "evaluate", expression="__import__('threading').current_thread().name", context="repl"
    )
    assert name["result"] == "MainThread"
    here.ask("evaluate", expression="made_here = 1", context="repl")
    assert here.run("made_here")["output"] == "1"
    message = here.send_cell("import time; print('on', flush=True); time.sleep(4)")
    here.wait_for_output(message, "on")
    assert here.refuse("evaluate", expression="1", context="repl") == "thread-is-running"
    assert here.finish(message)["status"] == "ok"


def test_copy_to_globals(here: Kernel) -> None:
    code = "def f():\n    local = {'k': 1}\n    return local  # @end\nf();"
    here.break_at(code, "end")
    here.run_to_stop(code)
    frame = here.frames()[0]["id"]
    here.ask("copyToGlobals", srcVariableName="local", dstVariableName="copied", srcFrameId=frame)
    assert here.scope("Globals")["copied"]["value"] == "{'k': 1}"
    assert here.refuse(
        "copyToGlobals", srcVariableName="nosuch", dstVariableName="c", srcFrameId=frame
    )
    assert (
        here.refuse(
            "copyToGlobals", srcVariableName="local", dstVariableName="a b", srcFrameId=frame
        )
        == "bad-arguments"
    )
    here.resume()
    assert here.run("copied")["output"] == "{'k': 1}"


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


def test_bad_breakpoints_say_why_and_the_good_ones_hold(here: Kernel) -> None:
    path = here.ask("dumpCell", code=CELL)["sourcePath"]
    found = here.ask(
        "setBreakpoints",
        source={"path": path},
        breakpoints=[
            {"line": 99},
            {"line": 2, "condition": "a =="},
            {"line": 3, "hitCondition": "often"},
            {"line": 0},
            {"line": 5},
        ],
    )["breakpoints"]
    assert [b["verified"] for b in found] == [False, False, False, False, True]
    assert [b.get("reason") for b in found] == ["failed"] * 4 + [None]
    assert "past the last line with code" in found[0]["message"]
    here.run_to_stop(CELL)
    assert here.where() == ("<module>", 5)
    here.resume()


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


def test_settings_change_what_is_the_users_code(here: Kernel) -> None:
    code = "import textwrap\nx = textwrap.dedent(' a')  # @x\ny = 1\n"
    here.break_at(code, "x")
    here.run_to_stop(code)
    here.move("stepIn")
    assert here.where() == ("<module>", 3)
    here.resume()
    assert here.run("%config Nbdebug.include = ['textwrap']")["output"] == ""
    here.run_to_stop(code)
    here.move("stepIn")
    assert here.where()[0] == "dedent"
    here.resume()
    assert "just my code" in here.run("%nbdebug")["output"]
    assert "Nbdebug" in here.run("%config Nbdebug")["output"]


def test_settings_are_read_from_ipythons_config_file(tmp_path: Path) -> None:
    profile = tmp_path / "profile_default"
    profile.mkdir()
    lines = [
        "c.InteractiveShellApp.extensions = ['nbdebug']",
        "c.Nbdebug.condition_errors = 'output'",
        "c.Nbdebug.just_my_code = False",
    ]
    (profile / "ipython_config.py").write_text("\n".join(lines))
    with running_kernel(load=False, IPYTHONDIR=str(tmp_path)) as kernel:
        code = "def f(a):\n    return a  # @b\nprint(f(3))"
        kernel.break_at(code, "b", condition="nosuch")
        output = kernel.run(code)["output"]
        assert "3" in output and "NameError" in output and "nosuch" in output
        table = kernel.run("%nbdebug")["output"]
        assert ["just", "my", "code", "off"] in [line.split() for line in table.splitlines()]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%bp nosuch.py", "neither FILE:LINE nor a function's name"),
        ("%bp mymod.py:3 if", "no condition after `if`"),
        ("%bp mymod.py:3 if x >", "isn't a Python expression"),
        ("%bp --hits often f", "isn't a hit condition"),
        ("%bp --hits", "needs a value"),
        ("%bp --log '{x' f", "doesn't parse"),
        ("%bp --what f", "no option `--what`"),
        ("%bp f g", "names 2"),
        ("%bp 'f", "can't be read"),
        ("%bp clear", "needs the numbers"),
        ("%bp clear 99", "no breakpoint 99"),
        ("%bp enable x", "needs the numbers"),
        ("%stack nosuch", "doesn't know `nosuch`"),
        ("%nbdebug nosuch", "takes nothing"),
    ],
)
def test_a_magic_used_wrongly_says_how_it_is_used(shared: Kernel, line: str, said: str) -> None:
    reply = shared.run(line)
    assert reply["status"] == "ok" and said in reply["output"], reply["output"]
    assert "Traceback" not in reply["output"]
    assert shared.run("%bp")["output"] == "No breakpoints."


def test_magics_set_list_disable_and_clear(here: Kernel) -> None:
    out = here.run('def f(a):\n    return a\n%bp --hits ">=2" f if a > 0\n')["output"]
    assert "f()" in out and "if a > 0, hits >=2" in out and "bound" in out
    here.run("%bp --log 'a={a}' f")
    rows = here.run("%bp")["output"].splitlines()
    assert len(rows) == 2 and "log 'a={a}'" in rows[1]
    assert here.run("print(f(1))")["output"] == "a=1\n1\n"
    assert "bound, disabled" in here.run("%bp disable 1")["output"]
    assert here.run("print(f(1))")["output"] == "1\n"
    assert "cleared" in here.run("%bp clear all")["output"]
    assert here.run("%bp")["output"] == "No breakpoints."


def test_a_bare_line_number_is_a_line_of_this_cell(here: Kernel) -> None:
    code = "%bp 3\nx = 1\ny = x + 1\nprint(y)"
    here.run_to_stop(code)
    assert here.where() == ("<module>", 3)
    here.resume()


def test_every_magic_has_help_with_examples(shared: Kernel) -> None:
    for name in ("bp", "stack", "postmortem", "nbdebug"):
        message = shared.send_cell(f"%{name}?")
        payload = shared.finish(message)["payload"]
        assert f"%{name}" in payload[0]["data"]["text/plain"]


def test_the_stack_magic_shows_threads_and_the_stop(here: Kernel) -> None:
    rows = here.run("def f():\n    get_ipython().run_line_magic('stack', '')\n    %stack\n%stack")[
        "output"
    ]
    assert "MainThread (running)" in rows and "<module>" in rows


def test_asking_for_modules_runs_no_lazy_modules_code(here: Kernel) -> None:
    here.run(
        "import importlib.util, sys\nspec = importlib.util.find_spec('this')\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "lazy = importlib.util.module_from_spec(spec); sys.modules['this'] = lazy\n"
        "spec.loader.exec_module(lazy)"
    )
    here.ask("modules")
    here.run("%bp nosuchfile.py:3")
    assert "_LazyModule" in here.run("print(object.__getattribute__(lazy, '__class__'))")["output"]


def test_function_and_disabled_breakpoints_survive_the_panels_round_trip(here: Kernel) -> None:
    here.run(CELL)
    here.break_at(CELL, "b", "return")
    here.run("%bp f\n%bp disable 1")
    [source] = here.ask("debugInfo")["breakpoints"]
    assert [b["line"] for b in source["breakpoints"]] == [2, 3]
    lines = [{"line": b["line"]} for b in source["breakpoints"]]
    here.ask("setBreakpoints", source={"path": source["source"]}, breakpoints=lines)
    table = here.run("%bp")["output"]
    assert "bound, disabled" in table and "f()" in table
    assert here.run_to_stop(CELL)["reason"] == "function breakpoint"
    here.move("continue")
    assert here.where() == ("f", 3)
    here.resume()


def test_a_function_that_exists_is_bound_at_once(here: Kernel) -> None:
    here.run("import functools\ndef deco(f):\n    return functools.wraps(f)(lambda *a: f(*a))")
    here.run(
        "class C:\n    @staticmethod\n    def m():\n        return 1\n@deco\ndef g():\n"
        "    return 2\n"
    )
    for name in ("C.m", "g", "json.decoder.JSONDecoder.decode"):
        assert "bound" in here.run(f"%bp {name}")["output"], name
    assert "pending" in here.run("%bp nosuch.f")["output"]


def test_the_kernels_own_calls_of_a_library_are_no_hits(here: Kernel) -> None:
    here.run("import json\n%bp json.loads")
    for _ in range(3):
        here.run("1 + 1")
    assert here.run("%bp")["output"].split()[-2:] == ["bound", "0"]
    here.run_to_stop("json.loads('1')")
    assert here.where()[0] == "loads"
    here.resume()


def test_the_repl_shows_a_value_as_a_console_does_and_long_ones_cut(here: Kernel) -> None:
    code = (
        "def f():\n    import pandas as pd\n    df = pd.DataFrame({'a': range(500)})\n"
        "    long = list(range(1_000_000))\n    return df  # @end\nf();"
    )
    here.break_at(code, "end")
    here.run_to_stop(code)
    shown = here.evaluate("df")
    assert "..." in shown and "[500 rows x 1 columns]" in shown
    assert here.evaluate("df", context="watch") == "DataFrame (500, 1)"
    assert here.evaluate("list(range(300))") == repr(list(range(300)))
    assert "999,990 more" in here.evaluate("long")
    assert here.evaluate("long", context="clipboard") == repr(list(range(1_000_000)))
    here.resume()


def test_a_call_of_breakpoint_stops_in_the_panel(kernel: Kernel) -> None:
    code = "def f(a):\n    breakpoint()\n    b = a\n    return b\nprint(f(3))"
    stop = kernel.run_to_stop(code)
    assert (stop["reason"], stop["description"]) == (
        "breakpoint",
        "Stopped by breakpoint() at line 2 in f.",
    )
    assert kernel.where() == ("f", 2)
    kernel.move("next")
    assert kernel.where() == ("f", 3)
    assert kernel.resume()["output"] == "3\n"


def test_log_messages_stay_out_of_what_the_program_redirects(here: Kernel) -> None:
    code = (
        "import contextlib, io\ndef f(a):\n    return a  # @b\nkept = io.StringIO()\n"
        "with contextlib.redirect_stdout(kept):\n    print(f(1))\nprint(repr(kept.getvalue()))"
    )
    here.break_at(code, "b", logMessage="a is {a}")
    assert here.run(code)["output"] == "a is 1\n'1\\n'\n"


def test_the_repl_works_in_a_function_as_code_there_would(kernel: Kernel) -> None:
    code = "def f(n):\n    m = n + 1\n    return m  # @end\nprint(f(4))"
    kernel.break_at(code, "end")
    kernel.run_to_stop(code)
    assert kernel.evaluate("sorted(locals())") == "['m', 'n']"
    assert kernel.evaluate("eval('n')") == "4"
    assert kernel.evaluate("zz = 5") == ""
    assert kernel.evaluate("zz + n") == "9"
    assert kernel.evaluate("[zz + n for _ in 'ab']") == "[9, 9]"
    assert kernel.evaluate("list(map(lambda x: x + zz, [m]))") == "[10]"
    kernel.evaluate("import math")
    assert kernel.evaluate("math.floor(2.5)") == "2"
    kernel.evaluate("def g(a):\n    return a * 2\n")
    assert kernel.evaluate("g(m)") == "10"
    kernel.evaluate("m = 50")
    assert kernel.resume()["output"] == "50\n"


def test_an_interrupts_traceback_holds_no_frame_of_ours(kernel: Kernel) -> None:
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    kernel.manager.interrupt_kernel()
    shown = kernel.finish()["output"]
    assert "KeyboardInterrupt" in shown and "b = a + 1" in shown
    assert "nbdebug" not in shown and "tracing" not in shown


def test_a_frame_keeps_its_id_for_one_stop_and_has_another_at_the_next(here: Kernel) -> None:
    here.break_at(CELL, "b")
    here.run_to_stop(CELL)
    first = [frame["id"] for frame in here.frames()]
    here.evaluate("a")
    assert [frame["id"] for frame in here.frames()] == first
    here.move("next")
    assert not set(first) & {frame["id"] for frame in here.frames()}
    here.resume()


def test_the_panels_tree_shows_the_size_of_containers_as_their_type(here: Kernel) -> None:
    code = "def f():\n    many, one, text = [1, 2, 3], 1, 'a'\n    return one  # @end\nf();"
    here.break_at(code, "end")
    here.run_to_stop(code)
    types = {name: variable["type"] for name, variable in here.scope().items()}
    assert types == {"many": "list (3)", "one": "int", "text": "str"}
    here.resume()


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


def test_a_lone_surrogate_is_shown_escaped(here: Kernel) -> None:
    code = (
        "class Odd:\n    def __repr__(self):\n        return '\\ud800'\n"
        "def f(o):\n    return o  # @end\nf(Odd());"
    )
    here.break_at(code, "end")
    here.run_to_stop(code)
    assert here.scope()["o"]["value"] == "\\ud800"
    assert here.evaluate("o") == "\\ud800"
    here.break_at(code, "end", logMessage="{o}")
    here.resume()
    assert "\\ud800" in here.run(code)["output"]
    assert here.ask("evaluate", expression="'\\ud800'", context="repl")["result"] == "\\ud800"


def test_leading_empty_lines_before_a_cell_magic_do_no_harm(here: Kernel) -> None:
    assert here.run("\n\n%%capture out\nprint(1)")["status"] == "ok"
    assert here.run("out.stdout")["output"] == "'1\\n'"


def test_an_evaluation_that_sleeps_is_ended_and_the_stop_answers_on(kernel: Kernel) -> None:
    assert kernel.run("%config Nbdebug.evaluate_limit_s = 0.5")["output"] == ""
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    frame = kernel.frames()[0]["id"]
    sleep = "__import__('time').sleep(60)"
    assert kernel.refuse("evaluate", expression=sleep, frameId=frame) == "took-too-long"
    assert kernel.evaluate("a") == "5"
    assert kernel.resume()["output"] == "r is 6\n"


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
