"""Breakpoints of every kind, on real programs in a thread of this process."""

import gc
import importlib
import sys
from pathlib import Path

import pytest
from debuggee import Debuggee, load_module

from nbdebug import errors
from nbdebug.engine.model import (
    BreakpointSpec,
    BreakpointState,
    FunctionTarget,
    LineTarget,
    ModuleTarget,
)

PENDING, BOUND, FAILED = BreakpointState.PENDING, BreakpointState.BOUND, BreakpointState.FAILED


LOOP = """
def f(a):
    b = a + 1  # @b
    return b  # @return
total = 0
for i in range(10):
    total += f(i)  # @loop
done = True  # @done
"""


def test_a_line_breakpoint_stops_with_reason_place_and_id(program: Debuggee) -> None:
    program.write(LOOP)
    [info] = program.break_at("b")
    assert program.run_to_stop() == "b"
    assert program.stop is not None
    assert program.stop.reason == "breakpoint"
    assert program.stop.breakpoint_ids == (info.id,)
    assert program.stop.description == f"Stopped by breakpoint {info.id} at line 3 in f."
    assert [frame.name for frame in program.frames()] == ["f", "<module>"]
    program.break_at()
    assert program.finish()["total"] == 55


def test_a_condition_stops_only_where_it_holds(program: Debuggee) -> None:
    program.write(LOOP)
    program.break_at("b", condition="a == 7 and any(x == a for x in range(a + 1))")
    assert program.run_to_stop() == "b"
    assert program.evaluate("a") == "7"
    assert program.finish()["total"] == 55


@pytest.mark.parametrize(
    ("hit_condition", "stops_at"),
    [
        ("5", [4]),
        ("==5", [4]),
        (">8", [8, 9]),
        (">=9", [8, 9]),
        ("%4", [3, 7]),
        ("< 3", [0, 1]),
        ("<=1", [0]),
    ],
)
def test_a_hit_condition_counts(program: Debuggee, hit_condition: str, stops_at: list[int]) -> None:
    program.write(LOOP)
    program.break_at("b", hit_condition=hit_condition)
    program.start()
    seen = []
    for _ in stops_at:
        program.wait_for_stop()
        seen.append(int(program.evaluate("a")))
        if len(seen) < len(stops_at):
            program.resume()
    assert seen == stops_at
    program.finish()


def test_a_hit_counts_only_where_the_condition_holds(program: Debuggee) -> None:
    program.write(LOOP)
    program.break_at("b", condition="a % 2 == 0", hit_condition="3")
    program.run_to_stop()
    assert program.evaluate("a") == "4"
    program.finish()


def test_a_log_message_evaluates_its_expressions_and_goes_on(program: Debuggee) -> None:
    program.write(LOOP)
    program.break_at("return", condition="a > 7", log_message="a={a} {a!r:>3} {{b}} {b:.1f} {a=}")
    program.start()
    program.finish()
    assert [text for text, _, _ in program.client.outputs] == [
        "a=8   8 {b} 9.0 a=8",
        "a=9   9 {b} 10.0 a=9",
    ]
    location = program.client.outputs[0][2]
    assert location is not None and program.mark(location.line) == "return"


def test_a_log_message_that_raises_says_so_and_goes_on(program: Debuggee) -> None:
    program.write(LOOP)
    program.break_at("b", condition="a == 1", log_message="{nosuch}")
    program.start()
    program.finish()
    [(text, _, _)] = program.client.outputs
    assert "NameError" in text and "nosuch" in text


def test_a_condition_that_raises_stops_once_and_says_so(program: Debuggee) -> None:
    program.write(LOOP)
    program.break_at("b", condition="a.nosuch == 1")
    assert program.run_to_stop() == "b"
    assert program.stop is not None
    assert (
        "a.nosuch == 1" in program.stop.description and "AttributeError" in program.stop.description
    )
    program.finish()


def test_a_condition_that_raises_is_output_once_where_the_user_chose_that(
    program: Debuggee,
) -> None:
    program.engine.breakpoints.reports.stop_on_condition_error = False
    program.write(LOOP)
    program.break_at("b", condition="nosuch")
    program.start()
    program.finish()
    [(text, category, _)] = program.client.outputs
    assert "NameError" in text and category == "important"


def test_a_line_without_code_moves_to_the_next_that_has(program: Debuggee) -> None:
    program.write("x = 1\n# a comment\n\nif x == 2:\n    y = 1\nelse:\n    y = 2  # @else\nz = 3\n")
    load = program.engine.breakpoints
    specs = [BreakpointSpec(LineTarget(program.path, line)) for line in (2, 6)]
    comment, other = load.set_lines(program.path, specs, keep_extras=False)
    assert (comment.line, comment.message) == (4, "Line 2 has no code: moved to line 4.")
    assert (other.line, other.message) == (7, "Line 6 has no code: moved to line 7.")
    assert program.run_to_stop() == "if x == 2:"
    assert program.resume_to_stop() == "else"
    assert program.finish()["z"] == 3


def test_a_line_past_the_end_fails_and_says_where_the_code_ends(program: Debuggee) -> None:
    program.write("x = 1\n")
    spec = BreakpointSpec(LineTarget(program.path, 99))
    [info] = program.engine.breakpoints.set_lines(program.path, [spec], keep_extras=False)
    assert info.state is FAILED
    assert info.message == "Line 99 is past the last line with code, 1."


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({"condition": "x ="}, "isn't a Python expression"),
        ({"hit_condition": "often"}, "isn't a hit condition"),
        ({"hit_condition": "%0"}, "nothing is divisible by 0"),
        ({"log_message": "{x"}, "doesn't parse"),
    ],
)
def test_a_breakpoint_that_cannot_be_read_fails_with_the_reason(
    program: Debuggee, extras: dict[str, str], message: str
) -> None:
    program.write(LOOP)
    [info] = program.break_at("b", **extras)
    assert info.state is FAILED and message in info.message
    with pytest.raises(errors.BadBreakpoint, match=message.split(maxsplit=1)[0]):
        program.engine.breakpoints.add(BreakpointSpec(LineTarget(program.path, 3), **extras))
    program.start()
    program.finish()


def test_a_function_breakpoint_stops_at_the_first_line_of_the_body(program: Debuggee) -> None:
    program.write(LOOP)
    [info] = program.break_in("f", condition="a == 3")
    assert info.state is PENDING
    assert program.run_to_stop() == "b"
    assert program.stop is not None
    assert program.stop.reason == "function breakpoint"
    assert program.evaluate("a") == "3"
    assert [(i.state, reason) for i, reason in program.client.changes] == [(BOUND, "changed")]
    program.finish()


@pytest.mark.parametrize("name", ["A.method", "program.A.method", "outer.inner", "gen"])
def test_functions_are_named_by_qualified_name(program: Debuggee, name: str) -> None:
    program.write(
        "class A:\n    def method(self):\n        return 1  # @A.method\n"
        "def outer():\n    def inner():\n        return 2  # @outer.inner\n    return inner()\n"
        "def gen():\n    yield 3  # @gen\n"
        "A().method(); outer(); list(gen())\n"
    )
    program.break_in(name)
    assert program.run_to_stop() == name.removeprefix("program.")
    program.finish()


def test_line_and_function_breakpoints_on_one_line_make_one_stop(program: Debuggee) -> None:
    program.write("def f():\n    return 1  # @body\nf()\n")
    [line] = program.break_at("body")
    [function] = program.break_in("f")
    assert program.run_to_stop() == "body"
    assert program.stop is not None
    assert set(program.stop.breakpoint_ids) == {line.id, function.id}
    program.finish()


def test_a_breakpoint_in_a_file_that_is_not_there_binds_when_it_is_run(
    program: Debuggee, tmp_path: Path
) -> None:
    path = str(tmp_path / "later.py")
    spec = BreakpointSpec(LineTarget(path, 2))
    [info] = program.engine.breakpoints.set_lines(path, [spec], keep_extras=False)
    assert info.state is PENDING and "isn't there yet" in info.message
    program.write("x = 1\ny = 2  # @y\n", "later.py")
    assert program.run_to_stop() == "y"
    assert [(i.state, reason) for i, reason in program.client.changes] == [(BOUND, "changed")]
    program.finish()


def test_a_breakpoint_in_a_file_not_yet_run_is_pending_with_its_line_known(
    program: Debuggee,
) -> None:
    program.write("# comment\nx = 1  # @x\n")
    spec = BreakpointSpec(LineTarget(program.path, 1))
    [info] = program.engine.breakpoints.set_lines(program.path, [spec], keep_extras=False)
    assert (info.state, info.line) == (PENDING, 2)
    assert program.run_to_stop() == "x"
    program.finish()


def test_a_module_breakpoint_waits_for_the_import(
    program: Debuggee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nbd_mod.py").write_text("def f():\n    return 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    info = program.engine.breakpoints.add(BreakpointSpec(ModuleTarget("nbd_mod", 2)))
    assert info.state is PENDING and "isn't imported yet" in info.message
    function = program.engine.breakpoints.add(BreakpointSpec(FunctionTarget("nbd_mod.f")))
    program.write("import nbd_mod\nx = nbd_mod.f()\n")
    program.start()
    program.stop = program.client.stops.get(timeout=20)
    assert program.stop.location.line == 2 and program.stop.location.path.endswith("nbd_mod.py")
    assert set(program.stop.breakpoint_ids) == {info.id, function.id}
    assert program.finish()["x"] == 42
    sys.modules.pop("nbd_mod")


def test_a_reloaded_module_has_its_breakpoints_bound_again(
    program: Debuggee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nbd_reload.py"
    path.write_text("def f():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module("nbd_reload")
    [info] = program.engine.breakpoints.set_lines(
        str(path), [BreakpointSpec(LineTarget(str(path), 2))], keep_extras=False
    )
    assert info.state is BOUND
    path.write_text("x = 5\n\n\ndef f():\n    y = 2\n    return y\n")
    program.write("import importlib, nbd_reload\nimportlib.reload(nbd_reload)\nnbd_reload.f()\n")
    program.start()
    program.stop = program.client.stops.get(timeout=20)
    # Line 2 is empty now; the next with code is `def f`, when it is run again.
    assert program.stop.location.line == 4
    assert module.x == 5
    program.finish()
    sys.modules.pop("nbd_reload")


def test_breakpoints_bind_in_code_that_already_runs(program: Debuggee) -> None:
    program.write(
        "import threading\ngo, here = threading.Event(), threading.Event()\n"
        "def f():\n    here.set()\n    go.wait(20)\n    x = 1  # @after\n    return x\nf()\n"
    )
    program.start()
    while "here" not in program.namespace:
        pass
    program.namespace["here"].wait(20)
    [info] = program.break_at("after")
    program.namespace["go"].set()
    assert program.wait_for_stop() == "after"
    assert program.stop is not None and program.stop.breakpoint_ids == (info.id,)
    program.finish()


def test_breakpoints_bind_in_a_generator_that_is_suspended(program: Debuggee) -> None:
    program.write(
        "def g():\n    yield 1\n    x = 2  # @in generator\n    yield x\n"
        "it = g()\nnext(it)  # @first\nnext(it)  # @second\n"
    )
    program.break_at("second")
    assert program.run_to_stop() == "second"
    program.break_at("in generator")
    assert program.resume_to_stop() == "in generator"
    program.finish()


def test_disabled_breakpoints_are_kept_and_do_not_stop(program: Debuggee) -> None:
    program.write(LOOP)
    [info] = program.break_at("b")
    program.engine.breakpoints.enable([info.id], enabled=False)
    program.start()
    program.finish()
    [info] = program.engine.breakpoints.enable([info.id], enabled=True)
    assert program.run_to_stop() == "b"
    program.break_at()
    program.finish()


def test_a_bare_list_of_lines_keeps_conditions_where_the_client_drops_them(
    program: Debuggee,
) -> None:
    program.write(LOOP)
    table = program.engine.breakpoints
    line = program.line("b")
    added = table.add(BreakpointSpec(LineTarget(program.path, line), condition="a == 2"))
    bare = [BreakpointSpec(LineTarget(program.path, line))]
    [kept] = table.set_lines(program.path, bare, keep_extras=True)
    assert (kept.id, kept.spec.condition) == (added.id, "a == 2")
    [plain] = table.set_lines(program.path, bare, keep_extras=False)
    assert (plain.id, plain.spec.condition) == (added.id, None)
    assert table.set_lines(program.path, [], keep_extras=True) == []
    assert table.infos() == []


def test_what_add_made_stays_when_a_client_lists_other_lines(program: Debuggee) -> None:
    program.write(LOOP)
    table = program.engine.breakpoints
    added = table.add(BreakpointSpec(LineTarget(program.path, program.line("b"))))
    program.break_at("done")
    assert added.id in [info.id for info in table.infos()]
    assert len(table.infos()) == 2


def test_removing_an_unknown_breakpoint_says_so_and_loses_nothing(program: Debuggee) -> None:
    program.write(LOOP)
    [info] = program.break_at("b")
    with pytest.raises(errors.UnknownBreakpoint, match="no breakpoint 999"):
        program.engine.breakpoints.remove([info.id, 999])
    assert len(program.engine.breakpoints.infos()) == 1


def test_without_a_client_a_stop_is_reported_and_the_run_goes_on(program: Debuggee) -> None:
    program.client.attached = False
    program.write(LOOP)
    program.break_at("done")
    program.start()
    assert program.finish()["done"] is True
    [stop] = program.client.passes
    assert program.mark(stop.location.line) == "done"


def test_breakpoints_in_a_library_stop_and_show_its_frame(program: Debuggee) -> None:
    program.write("import nbd_lib\nx = nbd_lib.f()\n")
    path = program.folder / "site-packages" / "nbd_lib.py"
    path.parent.mkdir()
    path.write_text("def f():\n    return 1\n")
    program.engine.user_code.configure(cells=(program.path,))
    load_module(str(path), "nbd_lib")
    program.engine.breakpoints.add(BreakpointSpec(LineTarget(str(path), 2)))
    program.start()
    program.stop = program.client.stops.get(timeout=20)
    assert [frame.name for frame in program.frames()] == ["f", "<module>"]
    program.finish()
    sys.modules.pop("nbd_lib")


def test_a_function_breakpoint_stops_once_for_each_call_even_where_the_first_line_loops(
    program: Debuggee,
) -> None:
    program.write(
        "def f():\n    for i in range(3):  # @for\n        pass\n    return i\nf(); f()\n"
    )
    program.break_in("f")
    assert program.run_to_stop() == "for"
    assert program.resume_to_stop() == "for"
    program.finish()


def test_a_function_breakpoint_outlives_a_rerun_of_its_file(program: Debuggee) -> None:
    program.write("def f():\n    return 1  # @f\nf()\n")
    program.break_in("f")
    for _ in range(2):
        assert program.run_to_stop() == "f"
        program.finish()
    [info] = program.engine.breakpoints.infos()
    assert (info.state, info.line) == (BOUND, 2)


def test_a_condition_that_raises_in_a_function_without_its_name_bound_says_so(
    program: Debuggee,
) -> None:
    program.write("def f():\n    x = 1  # @x\n    y = x\n    return y\nf()\n")
    program.break_at("x", condition="y > 1")
    assert program.run_to_stop() == "x"
    assert program.stop is not None and "NameError" in program.stop.description
    program.finish()


def test_lambdas_and_one_line_functions_hit_at_every_call(program: Debuggee) -> None:
    program.write("f = lambda x: x + 1  # @f\ny = [f(i) for i in range(4)]\n")
    program.break_at("f", condition="'x' in locals() and x == 3")
    assert program.run_to_stop() == "f"
    assert program.evaluate("x") == "3"
    program.finish()


def test_generic_functions_hit_once(program: Debuggee) -> None:
    program.write("def f[T](a: T) -> T:  # @def\n    return a  # @f\nx = f(1)\n")
    program.break_at("def", "f")
    assert program.run_to_stop() == "def"
    assert program.resume_to_stop() == "f"
    assert program.finish()["x"] == 1


def test_a_generator_that_is_closed_or_thrown_into_hits_in_its_handlers(program: Debuggee) -> None:
    program.write(
        "def g():\n    try:\n        yield 1\n    finally:\n        x = 1  # @finally\n"
        "it = g()\nnext(it)\nit2 = g()\nnext(it2)\ny = 1  # @suspended\nit.close()\n"
        "try:\n    it2.throw(KeyError)\nexcept KeyError:\n    z = 1\n"
    )
    program.break_at("suspended")
    assert program.run_to_stop() == "suspended"
    program.break_at("finally")
    assert program.resume_to_stop() == "finally"
    assert program.resume_to_stop() == "finally"
    assert program.finish()["z"] == 1


def test_a_condition_that_exits_is_reported_and_the_program_goes_on(program: Debuggee) -> None:
    program.write(LOOP)
    program.break_at("b", condition="exit()")
    assert program.run_to_stop() == "b"
    assert program.stop is not None and "SystemExit" in program.stop.description
    assert program.finish()["done"] is True


def test_a_file_behind_a_link_is_the_file(program: Debuggee, tmp_path: Path) -> None:
    path = program.write("x = 1  # @x\n", "real_name.py")
    link = tmp_path / "other_name.py"
    link.symlink_to(path)
    program.break_at("x")
    program.path = str(link)
    assert program.run_to_stop() == "x"
    program.finish()


def test_code_objects_with_conditions_are_let_go(program: Debuggee) -> None:
    program.write("def f(a):\n    return a  # @f\nf(1)\n")
    program.break_at("f", condition="a == -1")
    for _ in range(50):
        program.start(name=f"nbd_fresh_{_}")
        program.finish()
    program.namespace.clear()
    gc.collect()
    assert len(program.engine.breakpoints.bindings.line_checks) <= 2


def test_a_breakpoint_near_the_limit_of_recursion_passes_and_the_debugger_stays(
    program: Debuggee,
) -> None:
    program.write(
        "deepest = n = 0\ndef down(n):\n    global deepest\n    deepest = n  # @n\n"
        "    down(n + 1)\ndef dive():\n    try:\n        down(1)\n    except RecursionError:\n"
        "        pass\n    return deepest\nfree = dive()\nx = 1  # @x\nwatched = dive()\n"
    )
    program.break_at("n", "x", condition="n is None or n == 0")
    assert program.run_to_stop() == "x"
    names = program.finish()
    assert names["free"] - names["watched"] < 20
    assert program.engine.is_started
    assert not program.client.outputs
