"""Stops at exceptions in a real kernel, asked for as JupyterLab's menu does, on every Python."""

import signal

from kernel_client import Json, Kernel

FAILS = "def f(x):\n    y = 5\n    return 1 / x\nz = 1\nf(0)"


def set_filters(kernel: Kernel, *filters: str) -> None:
    body = kernel.ask("setExceptionBreakpoints", filters=list(filters))
    assert [one["verified"] for one in body["breakpoints"]] == [True] * len(filters)


def stops_of(kernel: Kernel, since: int = 0) -> list[Json]:
    return [e["body"] for e in kernel.events[since:] if e["event"] == "stopped"]


def test_raised_stops_once_at_one_division_by_zero(kernel: Kernel) -> None:
    set_filters(kernel, "raised")
    stop = kernel.run_to_stop("1/0")
    assert (stop["reason"], stop["description"]) == (
        "exception",
        "ZeroDivisionError: division by zero",
    )
    assert kernel.where() == ("<module>", 1)
    assert kernel.resume()["status"] == "error"
    assert kernel.run("2 + 2")["output"] == "4"
    assert len(stops_of(kernel)) == 1


def test_uncaught_stops_live_at_a_cells_error_whose_output_stays_as_it_was(kernel: Kernel) -> None:
    without = kernel.run(FAILS)
    set_filters(kernel, "uncaught")
    stop = kernel.run_to_stop(FAILS)
    assert stop["text"] == "Stopped because nothing catches it, at line 3 in f."
    assert [(f["name"], f["line"]) for f in kernel.frames()] == [("f", 3), ("<module>", 5)]
    assert kernel.scope()["y"]["value"] == "5"
    assert kernel.scope()["(exception)"]["evaluateName"] == "__exception__"
    assert kernel.evaluate("x, y, __exception__.args") == "(0, 5, ('division by zero',))"
    kernel.evaluate("y = 6")
    assert kernel.evaluate("y") == "6"
    info = kernel.ask("exceptionInfo", threadId=1)
    assert (info["exceptionId"], info["breakMode"]) == ("ZeroDivisionError", "unhandled")
    assert info["details"]["stackTrace"].count("File ") == 2
    ended = kernel.resume()
    assert ended["status"] == without["status"] == "error"
    assert plain(ended["output"]) == plain(without["output"])
    assert len(stops_of(kernel)) == 1


def plain(traceback: str) -> str:
    """Return a traceback's text without the number of the cell's run."""
    lines = traceback.splitlines()
    return "\n".join("Cell In" if line.startswith("Cell In") else line for line in lines)


def test_a_handled_error_of_a_cell_stops_no_uncaught(kernel: Kernel) -> None:
    set_filters(kernel, "uncaught", "userUnhandled")
    code = (
        "import json\ntry:\n    json.loads('{')\nexcept ValueError as e:\n    print('caught')\n"
        "class A:\n    def __getattr__(self, name): raise AttributeError(name)\nA()\n"
    )
    reply = kernel.run(code)
    assert reply["status"] == "ok" and reply["output"].startswith("caught")
    assert not stops_of(kernel)


def test_user_code_that_ipython_asks_to_show_a_value_stops_nothing(here: Kernel) -> None:
    set_filters(here, "raised", "uncaught", "userUnhandled")
    code = (
        "class A:\n    def __getattr__(self, name): raise AttributeError(name)\n"
        "    def _repr_html_(self): raise ValueError('html')\n"
        "    def __repr__(self): return 'A'\nA()"
    )
    assert "ValueError: html" in here.run(code)["output"]
    assert not stops_of(here)


def test_an_error_in_a_cell_with_top_level_await(kernel: Kernel) -> None:
    set_filters(kernel, "uncaught")
    code = (
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return 1 / n\n"
        "await f(0)\n"
    )
    kernel.run_to_stop(code)
    assert [(f["name"], f["line"]) for f in kernel.frames()] == [("f", 4), ("<module>", 5)]
    assert kernel.evaluate("n") == "0"
    assert "ZeroDivisionError" in kernel.resume()["output"]
    kernel.run_to_stop(f"{code.replace('await f', 'await asyncio.create_task(f')})")
    assert [f["name"] for f in kernel.frames()] == ["f", "<module>"]
    assert kernel.evaluate("n") == "0"
    assert "ZeroDivisionError" in kernel.resume()["output"]
    kernel.run("task = asyncio.create_task(f(0)); await asyncio.wait([task])\ndel task")
    assert len(stops_of(kernel)) == 2


def test_what_might_have_been_caught_stops_before_the_cells_error_is_shown(kernel: Kernel) -> None:
    set_filters(kernel, "uncaught")
    code = (
        "import contextlib\ndef f(x):\n"
        "    with contextlib.suppress(KeyError):\n        1 / x\nf(0)\n"
    )
    kernel.run_to_stop(code)
    assert kernel.streams.get(kernel.executing) is None
    assert [(f["name"], f["line"]) for f in kernel.frames()] == [("f", 4), ("<module>", 5)]
    assert kernel.scope()["x"]["value"] == "0"
    assert "ZeroDivisionError" in kernel.resume()["output"]


def test_interrupting_a_stop_at_an_exception_ends_the_cell(kernel: Kernel) -> None:
    set_filters(kernel, "uncaught")
    kernel.run_to_stop(FAILS)
    kernel.manager.signal_kernel(signal.SIGINT)
    assert "KeyboardInterrupt" in kernel.finish()["output"]
    kernel.run_to_stop(FAILS)
    assert "ZeroDivisionError" in kernel.resume()["output"]


def test_a_filters_bad_condition_is_told_and_the_others_are_on(here: Kernel) -> None:
    options = [
        {"filterId": "raised", "condition": "ValueError, "},
        {"filterId": "uncaught", "condition": "x >"},
    ]
    body = here.ask("setExceptionBreakpoints", filters=["userUnhandled"], filterOptions=options)
    assert [one["verified"] for one in body["breakpoints"]] == [True, True, False]
    assert "neither a list of exception classes" in body["breakpoints"][2]["message"]
    here.run_to_stop("try:\n    int('x')\nexcept ValueError: pass")
    here.resume()
    assert here.run("try:\n    1/0\nexcept ArithmeticError: pass")["status"] == "ok"


def test_disconnecting_turns_the_filters_off(here: Kernel) -> None:
    set_filters(here, "uncaught")
    here.run_to_stop(FAILS)
    here.ask("disconnect")
    assert "ZeroDivisionError" in here.finish()["output"]
    here.enable()
    assert here.run("1/0")["status"] == "error"
    assert len(stops_of(here)) == 1


def test_the_capabilities_offer_three_filters_with_conditions(here: Kernel) -> None:
    capabilities = here.enable()
    filters = capabilities["exceptionBreakpointFilters"]
    assert [one["filter"] for one in filters] == ["raised", "uncaught", "userUnhandled"]
    assert all(one["supportsCondition"] and one["conditionDescription"] for one in filters)
    assert capabilities["supportsExceptionInfoRequest"]


def test_an_evaluation_while_nothing_is_stopped_stops_at_none_of_its_errors(here: Kernel) -> None:
    here.run("def f(): raise KeyError('k')")
    set_filters(here, "raised", "uncaught", "userUnhandled")
    assert here.refuse("evaluate", expression="f()", context="repl") == "evaluation-failed"
    assert not stops_of(here)
