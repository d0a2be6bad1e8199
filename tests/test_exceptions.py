"""Stops where an exception is raised and where it leaves user code; what a filter chooses."""

import pytest
from debuggee import Debuggee
from raising import FAILS, end_with, names, stop_at

from nbdebug import errors
from nbdebug.engine.model import BreakMode, ExceptionFilter, StopReason

# -- raised


def test_raised_stops_once_where_an_exception_is_raised(program: Debuggee) -> None:
    program.write(FAILS)
    stop_at(program, "raised")
    assert program.run_to_stop() == "f"
    assert program.stop is not None and program.stop.reason is StopReason.EXCEPTION
    assert program.stop.description == "ZeroDivisionError: division by zero"
    assert program.stop.text == "Stopped where it was raised, at line 3 in f."
    assert names(program) == ["f", "g", "<module>"]
    assert program.locals()["x"].value == "0"
    end_with(program, ZeroDivisionError)


def test_raised_stops_at_what_is_caught_too_and_again_the_next_time(program: Debuggee) -> None:
    program.write(
        "def f():\n    raise KeyError('k')  # @raise\n"
        "for i in range(3):\n    try:\n        f()\n    except KeyError:\n        pass\n"
    )
    stop_at(program, "raised")
    assert program.run_to_stop() == "raise"
    assert [program.resume_to_stop() for _ in range(2)] == ["raise", "raise"]
    assert program.finish()["i"] == 2


def test_raised_stops_in_the_first_user_frame_for_what_a_library_raised(program: Debuggee) -> None:
    program.write(
        "import json\ndef f(text):\n    return json.loads(text)  # @loads\n"
        "try:\n    f('{')\nexcept ValueError:\n    pass\n"
    )
    stop_at(program, "raised")
    assert program.run_to_stop() == "loads"
    assert names(program) == ["f", "<module>"]
    program.finish()


def test_raised_passes_over_the_ends_of_loops_and_generators(program: Debuggee) -> None:
    program.write(
        "class It:\n    def __iter__(self): return self\n"
        "    def __next__(self): raise StopIteration\n"
        "def gen():\n    try:\n        yield 1\n        yield 2\n    finally:\n        pass\n"
        "for x in It(): pass\ny = list(It())\ng = gen()\nnext(g)\ng.close()\n"
        "z = next(iter([]), 5)\n"
        "try:\n    next(iter([]))\nexcept StopIteration:\n    pass\n"
    )
    stop_at(program, "raised", "userUnhandled", "uncaught")
    program.start()
    assert program.finish()["z"] == 5


def test_a_bare_raise_is_the_same_exception_and_a_raise_of_another_is_a_new_one(
    program: Debuggee,
) -> None:
    program.write(
        "def f():\n    raise KeyError('k')  # @first\n"
        "def g():\n    try:\n        f()\n    except KeyError:\n        raise  # @bare\n"
        "def h():\n    try:\n        g()\n    except KeyError as e:\n"
        "        raise ValueError('v') from e  # @new\n"
        "try:\n    h()\nexcept ValueError:\n    x = 1\n"
    )
    stop_at(program, "raised")
    assert program.run_to_stop() == "first"
    assert program.resume_to_stop() == "new"
    assert program.finish()["x"] == 1


def test_a_context_manager_that_is_told_of_an_exception_stops_no_second_time(
    program: Debuggee,
) -> None:
    program.write(
        "from contextlib import contextmanager\n@contextmanager\ndef cm():\n"
        "    try:\n        yield\n    finally:\n        pass\n"
        "try:\n    with cm():\n        1 / 0  # @raise\nexcept ZeroDivisionError:\n    x = 1\n"
    )
    stop_at(program, "raised")
    assert program.run_to_stop() == "raise"
    assert program.finish()["x"] == 1


# -- user unhandled


def test_user_unhandled_stops_at_what_a_library_would_catch(program: Debuggee) -> None:
    library = "from concurrent.futures import ThreadPoolExecutor\n"
    program.write(
        f"{library}def work(n):\n    try:\n        return 1 / n  # @raise\n    except KeyError:\n"
        "        pass\nwith ThreadPoolExecutor(1) as pool:\n"
        "    e = pool.submit(work, 0).exception()\n"
    )
    stop_at(program, "userUnhandled")
    assert program.run_to_stop() == "raise"
    mode, details = program.engine.inspector.exception(program.thread_id)
    assert (mode, details.message) == (BreakMode.USER_UNHANDLED, "division by zero")
    assert isinstance(program.finish()["e"], ZeroDivisionError)


def test_user_unhandled_lets_pass_what_user_code_catches(program: Debuggee) -> None:
    program.write(
        "def f(): raise ValueError\ndef g():\n    try: f()\n    except ValueError: return 1\n"
        "x = g()\n"
    )
    stop_at(program, "userUnhandled")
    program.start()
    assert program.finish()["x"] == 1


def test_user_unhandled_stops_at_the_librarys_door_where_the_raise_was_not_certain(
    program: Debuggee,
) -> None:
    program.write(
        "import json, contextlib\ndef default(o):\n    with contextlib.suppress(KeyError):\n"
        "        raise ValueError('no')  # @raise\n"
        "try:\n    json.dumps(object(), default=default)\nexcept ValueError:\n    x = 1\n"
    )
    stop_at(program, "userUnhandled")
    assert program.run_to_stop() == "raise"
    assert program.finish()["x"] == 1


# -- filters and their conditions


@pytest.mark.parametrize(
    ("condition", "marks"),
    [
        ("KeyError", ["key"]),
        ("LookupError", ["key", "index"]),
        ("KeyError, ValueError", ["key", "ours"]),
        ("Ours", ["ours"]),
        ("program.Ours", ["ours"]),
        ("builtins.IndexError", ["index"]),
        ("Other", []),
        ("exception.args == (2,)", ["ours"]),
        ("n == 1", ["index"]),
        ("if n == 1", ["index"]),
        ("LookupError if n == 0", ["key"]),
        ("LookupError if any(n == m for m in (1, 2))", ["index"]),
        ("n == 1 if True else False", ["index"]),
    ],
)
def test_a_filters_condition_chooses_by_class_and_expression(
    program: Debuggee, condition: str, marks: list[str]
) -> None:
    program.write(
        "class Ours(ValueError): pass\n"
        "def f(n):\n"
        "    if n == 0:\n        raise KeyError(0)  # @key\n"
        "    if n == 1:\n        raise IndexError(1)  # @index\n"
        "    raise Ours(2)  # @ours\n"
        "for n in range(3):\n    try:\n        f(n)\n    except Exception:\n        pass\n"
        "done = True\n"
    )
    stop_at(program, "raised", condition=condition)
    program.start()
    found = [program.resume_to_stop() if i else program.wait_for_stop() for i in range(len(marks))]
    assert found == marks
    assert program.finish()["done"]


@pytest.mark.parametrize("condition", ["x >", "KeyError,, ValueError", "KeyError if", "if", "a b"])
def test_a_condition_that_cannot_be_read_is_told_and_the_others_are_set(
    program: Debuggee, condition: str
) -> None:
    specs = [ExceptionFilter("raised", condition), ExceptionFilter("uncaught")]
    bad, good = program.engine.exceptions.set(specs)
    assert isinstance(bad, errors.BadExceptionCondition) and good is None
    program.write(FAILS)
    assert program.run_to_stop() == "f"
    end_with(program, ZeroDivisionError)


def test_a_filter_that_is_not_there_is_refused_and_nothing_is_changed(program: Debuggee) -> None:
    stop_at(program, "uncaught")
    with pytest.raises(errors.UnknownFilter):
        program.engine.exceptions.set([ExceptionFilter("sometimes")])
    program.write(FAILS)
    assert program.run_to_stop() == "f"
    end_with(program, ZeroDivisionError)


def test_a_condition_that_raises_stops_once_and_says_so(program: Debuggee) -> None:
    program.write(
        "for i in range(3):\n    try:\n        1 / 0  # @raise\n    except ArithmeticError:\n"
        "        pass\n"
    )
    stop_at(program, "raised", condition="exception.nothing")
    assert program.run_to_stop() == "raise"
    assert program.stop is not None and "AttributeError" in program.stop.error
    program.finish()
