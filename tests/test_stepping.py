"""Stepping, on real programs in a thread of this process: each test is a path of marks."""

import sys

import pytest
from debuggee import Debuggee, load_module

from nbdebug import errors
from nbdebug.engine.model import StepKind
from nbdebug.engine.usercode import Rule

CALLS = """
def leaf(a):
    b = a + 1  # @leaf 1
    return b  # @leaf 2
def branch(a):
    x = leaf(a)  # @branch 1
    y = leaf(x)  # @branch 2
    return x + y  # @branch 3
r = branch(1)  # @top 1
s = r + 1  # @top 2
"""


def test_next_steps_over_calls_and_returns_to_the_calling_line(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("branch 1")
    assert program.run_to_stop() == "branch 1"
    assert [program.next() for _ in range(4)] == ["branch 2", "branch 3", "top 1", "top 2"]
    assert program.finish()["s"] == 6


def test_step_in_enters_and_step_out_leaves(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("top 1")
    assert program.run_to_stop() == "top 1"
    assert [program.step_in() for _ in range(2)] == ["branch 1", "leaf 1"]
    assert program.step_out() == "branch 1"
    assert program.step_in() == "branch 2"
    assert program.step_out() == "top 1"
    assert program.next() == "top 2"
    program.finish()


def test_a_step_stops_with_its_reason_and_the_frame_it_shows_is_the_top_one(
    program: Debuggee,
) -> None:
    program.write(CALLS)
    program.break_at("leaf 2", hit_condition="1")
    program.run_to_stop()
    assert program.next() == "branch 1"
    assert program.stop is not None and program.stop.reason == "step"
    assert [frame.name for frame in program.frames()] == ["branch", "<module>"]
    assert program.evaluate("a") == "1"
    program.finish()


def test_a_breakpoint_ends_a_step_over(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("branch 1", "leaf 2")
    assert program.run_to_stop() == "branch 1"
    assert program.next() == "leaf 2"
    assert program.next() == "branch 1"
    assert program.next() == "branch 2"
    program.break_at()
    program.finish()


def test_next_over_recursion_stays_in_its_own_frame(program: Debuggee) -> None:
    program.write(
        "def fact(n):\n    if n == 1:  # @if\n        return 1\n"
        "    m = fact(n - 1)  # @call\n    return n * m  # @return\nx = fact(4)  # @top\n"
    )
    program.break_at("call", condition="n == 4")
    assert program.run_to_stop() == "call"
    assert program.next() == "return"
    assert program.evaluate("n, m") == "(4, 6)"
    assert program.next() == "top"
    assert program.finish()["x"] == 24


def test_next_through_loops_and_branches(program: Debuggee) -> None:
    program.write(
        "def f():\n    t = 0  # @t\n    for i in range(2):  # @for\n        if i:  # @if\n"
        "            t += 1  # @inc\n    else:\n        t += 10  # @else\n    return t  # @ret\n"
        "x = f()\n"
    )
    program.break_at("t")
    program.run_to_stop()
    assert [program.next() for _ in range(7)] == ["for", "if", "for", "if", "inc", "for", "else"]
    assert program.finish()["x"] == 11


def test_next_over_raise_goes_to_the_handler(program: Debuggee) -> None:
    program.write(
        "def f():\n    raise ValueError(1)  # @raise\n"
        "def g():\n    try:\n        f()  # @call\n    except ValueError as e:  # @except\n"
        "        x = 1  # @handler\n    finally:\n        y = 2  # @finally\n"
        "    return x + y  # @ret\nz = g()\n"
    )
    program.break_at("raise")
    program.run_to_stop()
    assert [program.next() for _ in range(4)] == ["except", "handler", "finally", "ret"]
    assert program.finish()["z"] == 3


def test_next_through_with_and_finally(program: Debuggee) -> None:
    program.write(
        "class C:\n    def __enter__(self):\n        return 5  # @enter\n"
        "    def __exit__(self, *a):\n        return None  # @exit\n"
        "def f():\n    with C() as c:  # @with\n        d = c  # @body\n    return d  # @ret\n"
        "x = f()\n"
    )
    program.break_at("with")
    program.run_to_stop()
    assert program.step_in() == "enter"
    assert program.next() == "with"
    assert program.next() == "body"
    assert program.next() == "with"
    assert program.next() == "ret"
    assert program.finish()["x"] == 5


def test_generators_step_to_their_consumer_and_back(program: Debuggee) -> None:
    program.write(
        "def g():\n    a = 1  # @g1\n    yield a  # @g2\n    b = 2  # @g3\n    yield b  # @g4\n"
        "t = 0  # @top\nfor v in g():  # @for\n    t += v  # @body\n"
    )
    program.break_at("for")
    assert program.run_to_stop() == "for"
    assert program.step_in() == "g1"
    assert program.next() == "g2"
    assert program.next() == "for"
    assert program.next() == "body"
    assert program.next() == "for"
    assert program.step_in() == "g3"
    assert program.next() == "g4"
    assert program.next() == "for"
    program.break_at()
    assert program.finish()["t"] == 3


def test_next_steps_over_comprehensions_and_generator_expressions(program: Debuggee) -> None:
    program.write(
        "def f(n):\n    a = [i for i in range(n)]  # @list\n    b = sum(i for i in a)  # @gen\n"
        "    c = {i: i for i in a}  # @dict\n    return a, b, c  # @ret\nx = f(50)\n"
    )
    program.break_at("list")
    program.run_to_stop()
    assert [program.next() for _ in range(3)] == ["gen", "dict", "ret"]
    program.finish()


def test_step_in_through_a_c_callback(program: Debuggee) -> None:
    program.write(
        "def key(v):\n    k = -v  # @key 1\n    return k  # @key 2\n"
        "x = sorted([1, 2], key=key)  # @sorted\ny = x  # @y\n"
    )
    program.break_at("sorted")
    program.run_to_stop()
    assert program.step_in() == "key 1"
    assert program.evaluate("v") == "1"
    assert program.next() == "key 2"
    assert program.next() == "sorted"
    assert program.next() == "y"
    assert program.finish()["x"] == [2, 1]


def test_step_in_through_a_decorator_written_in_python(program: Debuggee) -> None:
    program.write(
        "import functools\ndef deco(f):\n    @functools.wraps(f)\n    def wrap(*a):\n"
        "        return f(*a)  # @wrap\n    return wrap\n@deco\ndef target(a):\n"
        "    return a  # @target\n"
        "x = target(3)  # @top\n"
    )
    program.break_at("top")
    program.run_to_stop()
    assert [program.step_in() for _ in range(2)] == ["wrap", "target"]
    assert program.step_out() == "wrap"
    program.finish()


def test_step_in_passes_through_library_code_to_the_users(program: Debuggee) -> None:
    program.write(
        "import functools\ndef add(a, b):\n    return a + b  # @add\n"
        "def f():\n    p = functools.partial(add, 1)  # @partial\n"
        "    import subprocess\n    subprocess.list2cmdline(['a'])  # @library\n"
        "    return p(2)  # @call\nx = f()\n"
    )
    program.break_at("library")
    program.run_to_stop()
    assert program.step_in() == "call"
    assert program.step_in() == "add"
    assert program.finish()["x"] == 3


def test_step_out_of_a_callback_of_a_library_returns_to_the_users_frame(program: Debuggee) -> None:
    program.write(
        "import re\ndef repl(m):\n    s = m[0]  # @repl 1\n    return s.upper()  # @repl 2\n"
        "def f():\n    t = re.sub('a', repl, 'bab')  # @sub\n    return t  # @ret\nx = f()\n"
    )
    program.break_at("repl 1")
    program.run_to_stop()
    assert program.step_out() == "sub"
    assert program.next() == "ret"
    assert program.finish()["x"] == "bAb"


def test_without_just_my_code_a_step_enters_libraries(program: Debuggee) -> None:
    program.engine.user_code.configure(just_my_code=False)
    program.write("import subprocess\nx = subprocess.list2cmdline(['a'])  # @call\n")
    program.break_at("call")
    program.run_to_stop()
    program.engine.motion.step(program.thread_id, StepKind.INTO)
    program.stop = program.client.stops.get(timeout=20)
    assert program.stop.location.function == "list2cmdline"
    program.finish()


def test_rules_include_and_exclude_by_path_and_module(program: Debuggee) -> None:
    include = Rule(include=True, module="subprocess")
    program.engine.user_code.configure(rules=(include,))
    program.write("import subprocess\nx = subprocess.list2cmdline(['a'])  # @call\ny = 1  # @y\n")
    program.break_at("call")
    program.run_to_stop()
    program.engine.motion.step(program.thread_id, StepKind.INTO)
    program.stop = program.client.stops.get(timeout=20)
    assert program.stop.location.function == "list2cmdline"
    assert program.step_out() == "call"
    program.finish()


def test_excluded_code_is_stepped_over(program: Debuggee) -> None:
    vendored = program.folder / "vendored.py"
    vendored.write_text("def f():\n    return 1\n")
    module = load_module(str(vendored), "vendored")
    program.engine.user_code.configure(rules=(Rule(include=False, module="vendored"),))
    program.engine.user_code.configure(cells=())
    program.write("import vendored\nx = vendored.f()  # @call\ny = x  # @y\n")
    program.break_at("call")
    program.run_to_stop()
    assert program.step_in() == "y"
    assert program.finish()["y"] == module.f()
    sys.modules.pop("vendored")


def test_several_statements_on_one_line_are_one_step(program: Debuggee) -> None:
    program.write(
        "def f():\n    a = 1; b = 2; c = 3  # @three\n    return a + b + c  # @ret\nx = f()\n"
    )
    program.break_at("three")
    program.run_to_stop()
    assert program.next() == "ret"
    assert program.finish()["x"] == 6


def test_a_call_over_several_lines_is_one_step(program: Debuggee) -> None:
    program.write(
        "def f(a, b):\n    return a + b  # @f\n"
        "def g():\n    x = f(  # @call\n        1,  # @one\n        2,  # @two\n    )\n"
        "    return x  # @ret\ny = g()\n"
    )
    program.break_at("call")
    program.run_to_stop()
    assert program.next() == "ret"
    assert program.finish()["y"] == 3


def test_a_coroutine_steps_over_its_awaits(program: Debuggee) -> None:
    program.write(
        "import asyncio\nasync def leaf():\n    await asyncio.sleep(0)\n    return 1  # @leaf\n"
        "async def other():\n    for _ in range(3):\n        await asyncio.sleep(0)  # @other\n"
        "async def main():\n    task = asyncio.ensure_future(other())  # @1\n"
        "    a = await leaf()  # @2\n"
        "    b = await leaf()  # @3\n    await task  # @4\n    return a + b  # @5\n"
        "x = asyncio.run(main())\n"
    )
    program.break_at("1")
    program.run_to_stop()
    assert [program.next() for _ in range(4)] == ["2", "3", "4", "5"]
    assert program.finish()["x"] == 2


def test_next_at_the_end_of_a_program_lets_it_end(program: Debuggee) -> None:
    program.write("x = 1\ny = 2  # @last\n")
    program.break_at("last")
    program.run_to_stop()
    program.engine.motion.step(program.thread_id, StepKind.OVER)
    program.join()
    assert program.client.stops.empty()
    assert program.engine.stops.thread_ids() == []


def test_properties_and_constructors_are_stepped_into(program: Debuggee) -> None:
    program.write(
        "class P:\n    def __init__(self):\n        self._v = 1  # @init\n"
        "    @property\n    def v(self):\n        return self._v  # @property\n"
        "p = P()  # @make\nw = p.v  # @get\n"
    )
    program.break_at("make")
    program.run_to_stop()
    assert program.step_in() == "init"
    assert program.next() == "make"
    assert program.next() == "get"
    assert program.step_in() == "property"
    program.finish()


def test_continuing_with_nothing_stopped_is_refused(program: Debuggee) -> None:
    program.write("x = 1\n")
    with pytest.raises(errors.NotStopped):
        program.engine.stops.resume(1)
    with pytest.raises(errors.NotStopped):
        program.engine.motion.step(1, StepKind.OVER)
    program.start()
    program.finish()


def test_after_stepping_nothing_stays_armed(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("branch 1")
    program.run_to_stop()
    program.step_in()
    program.break_at()
    program.finish()
    monitor = program.engine._monitor
    assert monitor._global_wants == {}
    assert all(not armed.wants for armed in monitor._armed.values())
