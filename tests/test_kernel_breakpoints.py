"""Breakpoints of a real kernel: deferred, edited, kept, bad ones, and a client's list of lines."""

import os
import time
from pathlib import Path

from kernel_client import CELL, Kernel


def test_a_rerun_of_the_cell_hits_again_and_counts_anew(kernel: Kernel) -> None:
    kernel.break_at(CELL, "b", hitCondition="1")
    for _ in range(2):
        kernel.run_to_stop(CELL)
        assert kernel.where() == ("f", 2)
        assert kernel.resume()["status"] == "ok"


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


def test_leading_empty_lines_before_a_cell_magic_do_no_harm(here: Kernel) -> None:
    assert here.run("\n\n%%capture out\nprint(1)")["status"] == "ok"
    assert here.run("out.stdout")["output"] == "'1\\n'"
