"""Steps, jumps, pauses and tasks in a real kernel, on each Python where the versions differ."""

import os
import time
from pathlib import Path
from typing import Any

from dap_schema import schema
from kernel_client import LIMIT_S, Json, Kernel, line_of

from nbdebug.dap.requests import NOT_SUPPORTED
from nbdebug.kernel.session import KernelSession


def step(kernel: Kernel, command: str = "next", **more: Any) -> int:
    """Make a step; return the line at which it ends."""
    since = len(kernel.events)
    kernel.ask(command, threadId=kernel.stop["threadId"], **more)
    kernel.stop = kernel.wait_for_event("stopped", since)
    return kernel.where()[1]


CELL = """
def h(x):
    return x + 1  # @h
def g(x):
    return x * 2
def f(a):
    b = g(h(a))  # @call
    c = g(  # @lines
        b,
    )
    return b + c  # @ret
try:
    r = f(1)
    raise ValueError(r)  # @raise
except ValueError:  # @except
    s = 1
t = 2  # @t
""".lstrip("\n")


def test_a_cell_is_stepped_by_statements_with_values_and_targets(kernel: Kernel) -> None:
    kernel.break_at(CELL, "call")
    kernel.run_to_stop(CELL)
    frame = kernel.frames()[0]
    targets = kernel.ask("stepInTargets", frameId=frame["id"])["targets"]
    assert [one["label"] for one in targets] == ["h(a)", "g(h(a))"]
    assert step(kernel, "stepIn", targetId=targets[0]["id"]) == line_of(CELL, "h")
    assert step(kernel, "stepOut") == line_of(CELL, "call")
    assert kernel.scope()["(return) h"]["value"] == "2"
    assert step(kernel) == line_of(CELL, "lines")
    shown = kernel.scope()["(return) g"]
    assert shown["value"] == "4"
    assert step(kernel) == line_of(CELL, "ret")
    kernel.resume()


def test_next_over_raise_goes_to_the_cells_own_handler(kernel: Kernel) -> None:
    kernel.break_at(CELL, "raise")
    kernel.run_to_stop(CELL)
    assert step(kernel) == line_of(CELL, "except")
    assert step(kernel) == line_of(CELL, "except") + 1
    assert step(kernel) == line_of(CELL, "t")
    assert kernel.resume()["status"] == "ok"


def test_a_cells_own_lines_show_what_they_called(kernel: Kernel) -> None:
    code = "def f(x):\n    return x\ndef g(x):\n    return -x\na = f(1); b = g(2)  # @two\nc = 3\n"
    kernel.break_at(code, "two")
    kernel.run_to_stop(code)
    assert step(kernel) == line_of(code, "two") + 1
    shown = {n: v["value"] for n, v in kernel.scope().items() if n.startswith("(return)")}
    assert shown == {"(return) f": "1", "(return) g": "-2"}
    kernel.resume()


def test_by_instructions_the_frames_pointer_moves(here: Kernel) -> None:
    here.ask("initialize", clientID="one that shows instructions", adapterID="python")
    here.ask("attach")
    here.break_at(CELL, "ret")
    here.run_to_stop(CELL)
    seen = {here.frames()[0]["instructionPointerReference"]}
    for _ in range(2):
        assert step(here, granularity="instruction") == line_of(CELL, "ret")
        seen.add(here.frames()[0]["instructionPointerReference"])
    assert len(seen) == 3
    here.resume()


ASYNC = """
import asyncio
async def work(n):
    await asyncio.sleep(0)  # @work 1
    await asyncio.sleep(0)  # @work 2
    return n  # @work 3
other = asyncio.ensure_future(work(1))
x = await work(2)  # @await
y = await asyncio.gather(work(3), other)  # @gather
z = 1  # @z
""".lstrip("\n")


def test_a_cell_with_top_level_await_is_stepped(kernel: Kernel) -> None:
    kernel.break_at(ASYNC, "await")
    kernel.run_to_stop(ASYNC)
    assert step(kernel, "stepIn") == line_of(ASYNC, "work 1")
    assert step(kernel) == line_of(ASYNC, "work 2")
    assert kernel.evaluate("n") == "2"
    assert step(kernel, "stepOut") == line_of(ASYNC, "await")
    assert kernel.scope()["(return) work"]["value"] == "2"
    assert step(kernel) == line_of(ASYNC, "gather")
    assert step(kernel) == line_of(ASYNC, "z")
    assert kernel.resume()["status"] == "ok"


def test_running_to_a_line_of_a_cell(kernel: Kernel) -> None:
    kernel.break_at(CELL, "call")
    kernel.run_to_stop(CELL)
    kernel.ask("setBreakpoints", source={"path": kernel.path}, breakpoints=[])
    arguments: Json = {"source": {"path": kernel.path}, "line": line_of(CELL, "t")}
    assert step(kernel, "nbdebug/runTo", **arguments) == line_of(CELL, "t")
    assert kernel.stop["reason"] == "step" and "hitBreakpointIds" not in kernel.stop
    assert (
        kernel.refuse("nbdebug/runTo", threadId=1, source={"path": kernel.path}, line=4711)
        == "no-code-at-line"
    )
    kernel.resume()
    assert kernel.ask("debugInfo")["breakpoints"] == []


def test_the_next_statement_is_set_in_a_function_and_refused_across_a_cell(kernel: Kernel) -> None:
    kernel.break_at(CELL, "call")
    kernel.run_to_stop(CELL)
    source: Json = {"path": kernel.path}
    [target] = kernel.ask("gotoTargets", source=source, line=line_of(CELL, "ret"))["targets"]
    assert target["line"] == line_of(CELL, "ret")
    assert kernel.refuse("gotoTargets", source=source, line=line_of(CELL, "t")) == "cannot-jump"
    assert step(kernel, "goto", targetId=target["id"]) == line_of(CELL, "ret")
    assert kernel.stop["reason"] == "goto"
    assert kernel.refuse("goto", threadId=1, targetId=4711) == "unknown-target"
    kernel.evaluate("b = c = 5")
    assert kernel.resume()["status"] == "ok"
    assert kernel.ask("evaluate", expression="r")["result"] == "10"


def test_pausing_a_cell_that_awaits_says_where_shows_it_and_stops_when_it_goes_on(
    kernel: Kernel, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        f"import asyncio, threading\nloop, event = asyncio.get_running_loop(), asyncio.Event()\n"
        f"def wake():\n    open({str(pipe)!r}).read()\n"
        "    loop.call_soon_threadsafe(event.set)\nthreading.Thread(target=wake).start()\n"
        "print('waits', flush=True)\nawait event.wait()  # @wait\nx = 1  # @x"
    )
    line = line_of(code, "wait")
    kernel.ask("dumpCell", code=code)
    kernel.wait_for_output(kernel.send_cell(code), "waits")
    assert f"awaits asyncio.Event.wait at line {line}" in pause_until(kernel, "awaits")
    since = len(kernel.events)
    [frame] = kernel.ask("stackTrace", threadId=1)["stackFrames"]
    assert (frame["name"], frame["line"]) == ("<module>", line)
    [task] = kernel.ask("nbdebug/tasks")["tasks"]
    assert (task["state"], task["awaits"]) == ("waiting", "asyncio.Event.wait")
    assert [one["line"] for one in task["frames"]] == [line]
    pipe.write_text("")
    kernel.stop = kernel.wait_for_event("stopped", since)
    assert (kernel.stop["reason"], kernel.stop["threadId"]) == ("pause", 1)
    assert step(kernel) == line_of(code, "x")
    assert kernel.resume()["status"] == "ok"


def test_pausing_a_blocked_cell_says_in_what_and_stops_after_it(
    kernel: Kernel, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        f"import os\nname = {str(pipe)!r}\nprint('waits', flush=True)\n"
        "os.close(os.open(name, os.O_RDONLY))  # @open\nx = 1  # @x"
    )
    kernel.ask("dumpCell", code=code)
    kernel.wait_for_output(kernel.send_cell(code), "waits")
    said = pause_until(kernel, "blocked")
    since = len(kernel.events)
    assert said == "Thread 1 is blocked in `os.open` at line 4; it stops when that returns."
    [frame] = kernel.ask("stackTrace", threadId=1)["stackFrames"]
    assert frame["line"] == line_of(code, "open")
    pipe.write_text("")
    kernel.stop = kernel.wait_for_event("stopped", since)
    assert kernel.stop["reason"] == "pause"
    assert kernel.resume()["status"] == "ok"


def pause_until(kernel: Kernel, word: str) -> str:
    """Pause until the reply says this; one that stopped on its way to where it waits goes on."""
    end, since = time.monotonic() + LIMIT_S, len(kernel.events)
    while True:
        said: str = (kernel.request("pause", threadId=1).get("body") or {}).get("message", "")
        if word in said:
            return said
        assert time.monotonic() < end, said
        if "stopped already" in said:
            kernel.wait_for_event("stopped", since)
            since = len(kernel.events)
            kernel.ask("continue", threadId=1)


def test_pausing_an_idle_kernel_is_refused_and_no_stop_comes_later(here: Kernel) -> None:
    assert here.refuse("pause", threadId=1) == "nothing-runs"
    since = len(here.events)
    assert here.run("x = 1\nx += 1")["status"] == "ok"
    assert not [e for e in here.events[since:] if e["event"] == "stopped"]
    assert here.refuse("pause", threadId=4711) == "unknown-thread"


def test_a_pause_while_only_a_background_task_waits_stops_no_later_cell(here: Kernel) -> None:
    here.run(
        "import asyncio\nasync def work():\n    await asyncio.sleep(60)\n"
        "t = asyncio.get_running_loop().create_task(work(), name='background')"
    )
    assert "background awaits" in pause_until(here, "awaits")
    since = len(here.events)
    assert here.run("x = 1\nt.cancel()\nx += 1")["status"] == "ok"
    assert not [e for e in here.events[since:] if e["event"] == "stopped"]


def test_tasks_of_the_notebook_are_listed_without_the_kernels_own(kernel: Kernel) -> None:
    assert kernel.ask("nbdebug/tasks")["tasks"] == []
    kernel.run(
        "import asyncio\nasync def work():\n    await asyncio.sleep(60)\n"
        "t = asyncio.get_running_loop().create_task(work(), name='background')"
    )
    end = time.monotonic() + LIMIT_S
    while (task := kernel.ask("nbdebug/tasks")["tasks"][0])["state"] != "waiting":
        assert time.monotonic() < end, task
    assert (task["name"], task["awaits"]) == ("background", "asyncio.sleep(60)")
    assert kernel.ask("stackTrace", threadId=1)["stackFrames"][0]["line"] == 3
    shown = kernel.run("print(get_ipython().run_line_magic('stack', 'tasks'))")["output"]
    assert "background" in shown and "asyncio.sleep(60)" in shown
    kernel.run("t.cancel()")


def test_what_cannot_be_done_is_refused_at_once_with_its_reason(here: Kernel) -> None:
    for command in ("continue", "next", "stepIn", "stepOut"):
        assert here.refuse(command, threadId=1) == "not-stopped"
    assert here.refuse("goto", threadId=1, targetId=1) == "not-stopped"
    assert here.refuse("nbdebug/runTo", threadId=1, source={"path": "a"}, line=1) == "not-stopped"
    assert here.refuse("stepInTargets", frameId=1) == "unknown-frame"
    here.break_at(CELL, "call")
    here.run_to_stop(CELL)
    assert here.refuse("next", threadId=4711) == "unknown-thread"
    assert here.refuse("next", threadId=1, granularity="page") == "bad-arguments"
    assert here.refuse("stepIn", threadId=1, targetId=4711) == "unknown-target"
    for command in NOT_SUPPORTED:
        reply = here.request(command)
        assert reply["body"]["error"]["variables"]["slug"] == "not-supported"
        assert reply["message"].startswith(f"`{command}` isn't supported: ")
    assert here.where()[1] == line_of(CELL, "call")
    here.resume()


def test_every_request_of_the_protocol_is_answered_or_has_its_reason() -> None:
    definitions = schema()["definitions"]
    requests = [one for name, one in definitions.items() if name.endswith("Request")]
    specific = [one["allOf"][1]["properties"] for one in requests if "allOf" in one]
    commands = {name for one in specific for name in one.get("command", {}).get("enum", ())}
    assert commands - KernelSession.requests.keys() <= NOT_SUPPORTED.keys()
    assert not NOT_SUPPORTED.keys() & KernelSession.requests.keys()


LIBRARY = """import textwrap
text = ' a'
text = textwrap.dedent(text)  # @dedent
done = text  # @done
"""


def test_with_just_my_code_off_a_module_that_the_kernel_had_loaded_is_stepped_into(
    kernel: Kernel,
) -> None:
    kernel.ask("attach", justMyCode=False)
    kernel.break_at(LIBRARY, "dedent")
    kernel.run_to_stop(LIBRARY)
    assert [frame["name"] for frame in kernel.frames()] == ["<module>"]
    step(kernel, "stepIn")
    assert [frame["name"] for frame in kernel.frames()] == ["dedent", "<module>"]
    assert kernel.frames()[0]["source"]["path"].endswith("textwrap.py")
    assert step(kernel, "stepOut") == line_of(LIBRARY, "dedent")
    assert step(kernel) == line_of(LIBRARY, "done")
    since = len(kernel.events)
    kernel.ask("stepIn", threadId=1)
    assert kernel.finish()["status"] == "ok"
    assert [event["event"] for event in kernel.events[since:]] == ["continued"]
    assert kernel.run("1 + 1")["output"] == "2"
