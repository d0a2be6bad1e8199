"""What a step shows of calls, and which it enters: return values and step-in targets."""

from typing import Any

import pytest
from debuggee import Debuggee

from nbdebug import errors
from nbdebug.engine.model import StepKind


def returned(program: Debuggee) -> dict[str, str]:
    """Return what is shown of calls at the stop, by the function's name."""
    shown = program.locals().items()
    return {name[9:]: v.value for name, v in shown if name.startswith("(return) ")}


def targets(program: Debuggee) -> dict[str, int]:
    """Return the ids of the calls that the stopped line is still to make, by their text."""
    found = program.engine.motion.step_in_targets(program.frames()[0].id)
    return {call.label: id_ for id_, call in found}


CALLS = """
def h(x):
    return x + 1  # @h
def g(x):
    return x * 2  # @g
class A:
    def method(self, x):
        return h(x)  # @method
    def __enter__(self):
        return self  # @enter
    def __exit__(self, *args):
        return None
def run(a):
    x = g(h(1))  # @nested
    y = a.method(x).bit_length() + len([h(2), h(3)])  # @chain
    z = g(  # @lines
        h(x),
        )
    with a as b: pass  # @with
    return z  # @ret
r = run(A())  # @top
s = r  # @end
"""


def test_the_values_of_the_calls_on_a_line_are_shown_after_it(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("nested")
    program.run_to_stop()
    assert returned(program) == {}
    assert program.next() == "chain"
    assert returned(program) == {"h": "2", "g": "4"}
    assert list(program.locals())[:2] == ["(return) h", "(return) g"]
    assert program.locals()["(return) h"].attributes == ("readOnly",)
    assert program.next() == "lines"
    assert returned(program) == {"A.method": "5", "h": "3", "h (2)": "4"}
    assert program.next() == "with"
    assert returned(program) == {"h": "5", "g": "10"}
    assert program.next() == "ret"
    assert returned(program) == {}
    program.finish()


def test_the_value_of_the_function_that_was_stepped_out_of_is_shown(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("h", hit_condition="1")
    program.run_to_stop()
    assert program.step_out() == "nested"
    assert returned(program) == {"h": "2"}
    assert program.step_in() == "g"
    assert returned(program) == {}
    assert program.next() == "nested"
    assert returned(program) == {"g": "4"}
    program.finish()


def test_a_returned_value_can_be_opened_and_is_let_go_with_the_stop(program: Debuggee) -> None:
    program.write(
        "import weakref\nclass Thing:\n    pass\ndef make():\n    thing = Thing()\n"
        "    thing.part = [1, 2]\n    global ref\n    ref = weakref.ref(thing)\n    return thing\n"
        "def run():\n    make()  # @make\n    a = 1  # @a\n    b = ref() is None  # @b\n"
        "    return b  # @c\nx = run()\n"
    )
    program.break_at("make")
    program.run_to_stop()
    assert program.next() == "a"
    shown = program.locals()["(return) make"]
    names = [v.name for v in program.engine.inspector.variables(shown.reference)]
    assert "part" in names
    assert program.next() == "b"
    assert program.finish()["x"] is True


def test_of_many_calls_the_last_are_shown(program: Debuggee) -> None:
    program.write(
        "def f(i):\n    return i\ndef run():\n    [f(i) for i in range(30)]  # @many\n"
        "    return 1  # @ret\nrun()\n"
    )
    program.break_at("many")
    program.run_to_stop()
    assert program.next() == "ret"
    assert list(returned(program).values()) == [str(i) for i in range(20, 30)]
    program.finish()


def test_a_function_that_recurs_much_shows_no_value_and_others_do(program: Debuggee) -> None:
    program.write(
        "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
        "def one():\n    return 1\n"
        "def run():\n    x = fib(15) + one()  # @fib\n    y = fib(4)  # @less\n"
        "    return x  # @ret\n"
        "z = run()\n"
    )
    program.break_at("fib")
    program.run_to_stop()
    assert program.next() == "less"
    assert returned(program) == {"one": "1"}
    assert program.next() == "ret"
    assert returned(program) == {"fib": "3"}
    assert program.finish()["z"] == 611


def test_awaited_coroutines_show_their_values_and_generators_none(program: Debuggee) -> None:
    program.write(
        "import asyncio\nasync def leaf():\n    await asyncio.sleep(0)\n    return 'leaf'\n"
        "def gen():\n    yield 1\n    return 2\n"
        "async def main():\n    x = await leaf()  # @await\n    y = list(gen())  # @gen\n"
        "    return x  # @ret\nz = asyncio.run(main())\n"
    )
    program.break_at("await")
    program.run_to_stop()
    assert program.next() == "gen"
    assert returned(program) == {"leaf": "'leaf'"}
    assert program.next() == "ret"
    assert returned(program) == {}
    program.finish()


def test_the_calls_to_come_are_offered_with_their_text_and_place(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("nested", "chain", "lines", "with")
    program.run_to_stop()
    assert list(targets(program)) == ["h(1)", "g(h(1))"]
    [_, (_, outer)] = program.engine.motion.step_in_targets(program.frames()[0].id)
    line = program.lines[outer.line - 1]
    assert line[outer.column - 1 : outer.end_column - 1] == "g(h(1))"
    assert program.resume_to_stop() == "chain"
    assert list(targets(program)) == [
        "a.method(x)",
        "a.method(x).bit_length()",
        "h(2)",
        "h(3)",
        "len([h(2), h(3)])",
    ]
    assert program.resume_to_stop() == "lines"
    assert list(targets(program)) == ["h(x)", "g(h(x))"]
    assert program.resume_to_stop() == "with"
    assert list(targets(program)) == []
    program.break_at()
    program.finish()


def step_to(program: Debuggee, label: str, **options: Any) -> str:
    return program.step(StepKind.INTO, target_id=targets(program)[label], **options)


def test_stepping_into_a_target_skips_the_other_calls(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("nested")
    program.run_to_stop()
    assert step_to(program, "g(h(1))") == "g"
    assert program.evaluate("x") == "2"
    assert program.step_out() == "nested"
    assert targets(program) == {}
    assert program.next() == "chain"
    assert step_to(program, "h(3)") == "h"
    assert program.evaluate("x") == "3"
    assert program.step_out() == "chain"
    assert list(targets(program)) == ["len([h(2), h(3)])"]
    assert step_to(program, "len([h(2), h(3)])") == "lines"
    assert step_to(program, "g(h(x))") == "g"
    program.finish()


def test_a_target_that_is_not_called_ends_the_step_at_the_next_line(program: Debuggee) -> None:
    program.write(
        "def f():\n    return 1  # @f\ndef run(c):\n    x = c and f()  # @maybe\n"
        "    return x  # @ret\nrun(0)\n"
    )
    program.break_at("maybe")
    program.run_to_stop()
    assert step_to(program, "f()") == "ret"
    program.finish()


def test_decorators_and_comprehensions_are_targets(program: Debuggee) -> None:
    program.write(
        "def deco(n):\n    def wrap(f):\n        return f  # @wrap\n    return wrap  # @deco\n"
        "def sq(i):\n    return i * i  # @sq\n"
        "def run():\n    @deco(1)  # @dec\n    def inner(): pass\n"
        "    return [sq(i) for i in (1, 2)]  # @comp\nrun()\n"
    )
    program.break_at("dec")
    program.run_to_stop()
    assert list(targets(program)) == ["deco(1)", "@deco(1)"]
    assert step_to(program, "@deco(1)") == "wrap"
    program.break_at("comp")
    assert program.resume_to_stop() == "comp"
    assert step_to(program, "sq(i)") == "sq"
    program.finish()


def test_an_awaited_coroutine_and_a_generator_are_targets(program: Debuggee) -> None:
    program.write(
        "import asyncio\ndef g(x):\n    return x\nasync def f(x):\n    return x  # @f\n"
        "def gen(x):\n    yield x  # @gen\n"
        "async def main():\n    a = await f(await f(g(1)) + 1)  # @await\n"
        "    b = list(gen(g(a)))  # @list\n    return b  # @ret\nasyncio.run(main())\n"
    )
    program.break_at("await")
    program.run_to_stop()
    assert step_to(program, "f(await f(g(1)) + 1)") == "f"
    assert program.evaluate("x") == "2"
    assert program.step_out() == "await"
    assert program.next() == "list"
    assert step_to(program, "gen(g(a))") == "gen"
    program.finish()


def test_a_target_of_another_stop_is_refused(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("nested")
    program.run_to_stop()
    id_ = targets(program)["h(1)"]
    assert program.next() == "chain"
    with pytest.raises(errors.UnknownTarget):
        program.engine.motion.step(program.thread_id, StepKind.INTO, target_id=id_)
    with pytest.raises(errors.UnknownFrame):
        program.engine.motion.step_in_targets(4711)
    program.finish()


def test_a_frame_that_is_not_the_top_one_has_no_targets(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("g", hit_condition="1")
    program.run_to_stop()
    assert program.engine.motion.step_in_targets(program.frames()[1].id) == []
    program.finish()


def test_after_values_were_shown_nothing_stays_armed(program: Debuggee) -> None:
    program.write(CALLS)
    program.break_at("nested")
    program.run_to_stop()
    program.next()
    program.break_at()
    program.finish()
    assert all(not armed.wants for armed in program.engine._monitor._armed.values())
