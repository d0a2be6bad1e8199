"""Post-mortem: a failed cell's traceback, opened as a stop in a real kernel."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import Kernel, running_kernel

FAILS = "def f(x):\n    y = [5]\n    return 1 / x\ndef g(a):\n    f(a - a)\nz = 1\ng(7)"


def open_last(kernel: Kernel) -> None:
    """Ask for a post-mortem and wait for its stop."""
    since = len(kernel.events)
    kernel.ask("nbdebug/postMortem")
    kernel.stop = kernel.wait_for_event("stopped", since)


def end(kernel: Kernel) -> None:
    """Continue, and see that the kernel runs cells again."""
    since = len(kernel.events)
    kernel.ask("continue", threadId=1)
    kernel.wait_for_event("continued", since)
    works(kernel)


def works(kernel: Kernel) -> None:
    assert kernel.run("2 + 2")["output"] == "4"
    assert kernel.ask("debugInfo")["stoppedThreads"] == []


def look(kernel: Kernel) -> None:
    """Look at the traceback of FAILS in each way that there is."""
    assert (kernel.stop["reason"], kernel.stop["description"]) == (
        "exception",
        "ZeroDivisionError: division by zero",
    )
    assert [(f["name"], f["line"]) for f in kernel.frames()] == [
        ("f", 3),
        ("g", 5),
        ("<module>", 7),
    ]
    assert kernel.scope()["x"]["value"] == "0"
    assert kernel.scope("Locals", 1)["a"]["value"] == "7"
    assert kernel.scope("Globals")["z"]["value"] == "1"
    assert kernel.evaluate("x, y, __exception__.args") == "(0, [5], ('division by zero',))"
    assert kernel.evaluate("[v + x for v in y]") == "[5]"
    frame = kernel.frames()[1]["id"]
    assert kernel.ask("evaluate", expression="a * 2", frameId=frame)["result"] == "14"
    reference = kernel.ask("scopes", frameId=kernel.frames()[0]["id"])["scopes"][0]
    kernel.ask(
        "setVariable", variablesReference=reference["variablesReference"], name="x", value="8"
    )
    assert kernel.evaluate("x + 1") == "9"
    info = kernel.ask("exceptionInfo", threadId=1)
    assert info["breakMode"] == "never" and info["details"]["stackTrace"].count("File ") == 3


def test_the_last_failure_is_opened_looked_at_and_ended(kernel: Kernel) -> None:
    assert kernel.refuse("nbdebug/postMortem") == "no-failure"
    kernel.run(FAILS)
    open_last(kernel)
    look(kernel)
    end(kernel)
    open_last(kernel)
    end(kernel)


@pytest.mark.parametrize("command", ["next", "stepIn", "stepOut", "pause"])
def test_what_has_ended_can_not_be_moved(shared: Kernel, command: str) -> None:
    shared.run(FAILS)
    open_last(shared)
    assert shared.refuse(command, threadId=1) == "is-over"
    assert shared.frames()
    end(shared)


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


def test_an_interrupt_ends_a_post_mortem(kernel: Kernel) -> None:
    kernel.run(FAILS)
    open_last(kernel)
    assert kernel.evaluate("x") == "0"  # it is answered by the thread that waits
    since = len(kernel.events)
    kernel.manager.signal_kernel(signal.SIGINT)
    kernel.wait_for_event("continued", since)
    works(kernel)


@pytest.mark.parametrize("terminate", [False, True])
def test_disconnecting_ends_a_post_mortem(here: Kernel, terminate: bool) -> None:
    here.run(FAILS)
    open_last(here)
    here.ask("disconnect", terminateDebuggee=terminate)
    works(here)
    here.enable()
    open_last(here)
    end(here)


def test_terminating_ends_a_post_mortem(here: Kernel) -> None:
    here.run(FAILS)
    open_last(here)
    here.ask("terminate")
    works(here)


def test_shutting_down_in_a_post_mortem_ends_the_kernel(here: Kernel) -> None:
    here.run(FAILS)
    open_last(here)
    here.client.shutdown()
    here.manager.provisioner.process.wait(timeout=20)  # type: ignore[union-attr]  # it has one
    assert not here.manager.is_alive()


def test_a_post_mortem_waits_for_no_cell_and_for_no_other_stop(here: Kernel) -> None:
    here.run(FAILS)
    message = here.send_cell("import time\nprint('on', flush=True)\nwhile True: time.sleep(0.01)")
    here.wait_for_output(message, "on")
    assert here.refuse("nbdebug/postMortem") == "thread-is-running"
    since = len(here.events)
    here.ask("pause", threadId=1)
    here.stop = here.wait_for_event("stopped", since)
    assert here.refuse("nbdebug/postMortem") == "thread-is-running"
    here.ask("terminate")
    here.finish()
    open_last(here)
    assert here.frames()[0]["name"] == "<module>"
    end(here)


def test_a_syntax_error_leaves_nothing_to_look_at(here: Kernel) -> None:
    here.run("x = = 1")
    assert here.refuse("nbdebug/postMortem") == "no-failure"


def test_the_magic_stops_in_its_cell_with_the_failed_stack(kernel: Kernel) -> None:
    kernel.run(FAILS)
    kernel.run_to_stop("%postmortem\nprint('after')")
    look(kernel)
    reply = kernel.resume()
    assert (reply["status"], reply["output"]) == ("ok", "after\n")
    kernel.run_to_stop("%postmortem\nprint('after')")
    assert kernel.evaluate("x") == "8"
    kernel.manager.signal_kernel(signal.SIGINT)
    assert kernel.finish()["output"] == "after\n"


def test_without_a_client_the_magic_shows_frames_and_variables(each_python: Path) -> None:
    with running_kernel(python=str(each_python), enable=False) as kernel:
        assert "Nothing has failed yet." in kernel.run("%postmortem")["output"]
        kernel.run(FAILS)
        shown = kernel.run("%postmortem")["output"]
        for text in (
            "ZeroDivisionError: division by zero",
            "x = 0; y = [5]",
            "g ",
            "press the bug",
        ):
            assert text in shown
        assert "takes nothing" in kernel.run("%postmortem 3")["output"]


def test_the_setting_opens_a_failed_cells_traceback_before_the_cell_ends(kernel: Kernel) -> None:
    kernel.run("%config Nbdebug.post_mortem = True")
    kernel.run_to_stop(FAILS)
    look(kernel)
    assert "ZeroDivisionError" in kernel.resume()["output"]
    kernel.run_to_stop(f"import asyncio\nawait asyncio.sleep(0)\n{FAILS}")
    assert kernel.where() == ("f", 5)
    assert "ZeroDivisionError" in kernel.resume()["output"]
    kernel.ask("setExceptionBreakpoints", filters=["uncaught"])
    kernel.run_to_stop(FAILS)
    stops = len(kernel.events)
    assert "ZeroDivisionError" in kernel.resume()["output"]
    assert not [e for e in kernel.events[stops:] if e["event"] == "stopped"]
    kernel.run("%config Nbdebug.post_mortem = False")
    kernel.ask("setExceptionBreakpoints", filters=[])
    assert kernel.run(FAILS)["status"] == "error"


def test_what_a_library_raised_is_opened_at_the_users_frame(here: Kernel) -> None:
    here.run("import json\ndef f(text):\n    return json.loads(text)\nf('{')")
    open_last(here)
    assert [(f["name"], f["line"]) for f in here.frames()] == [("f", 3), ("<module>", 4)]
    assert here.evaluate("text") == "'{'"
    end(here)
