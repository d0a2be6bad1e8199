"""Stops at exceptions, on real programs in a thread of this process."""

import sys
import threading
import traceback

import pytest
from debuggee import Debuggee

from nbdebug import errors
from nbdebug.engine.model import BreakMode, ExceptionFilter, StepKind, StopReason


def stop_at(program: Debuggee, *filters: str, condition: str | None = None) -> None:
    specs = [ExceptionFilter(name, condition) for name in filters]
    assert program.engine.exceptions.set(specs) == [None] * len(specs)


def names(program: Debuggee) -> list[str]:
    return [frame.name for frame in program.frames()]


def end_with(program: Debuggee, error: type[BaseException]) -> BaseException:
    """Let the program run to its end without another stop; it ends with this exception."""
    with pytest.raises(error) as raised:
        program.finish()
    return raised.value


FAILS = """
def f(x):
    y = 1 / x  # @f
    return y
def g():
    f(0)  # @g
g()  # @top
"""


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


# -- uncaught: live where it is certain


@pytest.mark.parametrize(
    ("handled", "is_caught"),
    [
        ("except ZeroDivisionError: pass", True),
        ("except ArithmeticError: pass", True),
        ("except (KeyError, ArithmeticError): pass", True),
        ("except Exception as e: pass", True),
        ("except: pass", True),
        ("except mod.Ours: pass", False),
        ("except KeyError: pass", False),
        ("except (KeyError, ValueError) as e: pass", False),
        ("except KeyError: pass\n    except OSError: pass", False),
        ("except ArithmeticError: raise", False),
        ("finally: x = 1", False),
        ("except KeyError: pass\n    finally: x = 1", False),
        ("except ZeroDivisionError: pass\n    finally: x = 1", True),
    ],
)
def test_uncaught_stops_at_the_raise_where_no_handler_takes_it(
    program: Debuggee, handled: str, is_caught: bool
) -> None:
    program.write(
        "import types\nmod = types.SimpleNamespace()\nclass Ours(Exception): pass\n"
        "mod.Ours = Ours\n"
        f"def f(x):\n    1 / x  # @raise\ndef g():\n    try:\n        f(0)\n    {handled}\ng()\n"
    )
    stop_at(program, "uncaught")
    if is_caught:
        program.start()
        program.finish()
        return
    assert program.run_to_stop() == "raise"
    assert names(program) == ["f", "g", "<module>"]
    assert program.evaluate("x") == "0"
    end_with(program, ZeroDivisionError)


@pytest.mark.parametrize(
    "lines",
    [
        "with lock:\n        f(0)",
        "with open(__file__) as file:\n        f(0)",
        "[f(0) for _ in range(3)]",
        "sorted([1, 2], key=lambda _: f(0))",
        "list(map(f, [0]))",
        "json.dumps(object(), default=lambda _: f(0))",
        "functools.reduce(lambda a, b: f(0), [1, 2])",
        "for _ in gen(): pass",
        "C()",
        "C.made",
        "C.made + 1",
        "class D:\n        f(0)",
        "exec('f(0)', {'f': f})",
    ],
)
def test_uncaught_is_live_through_callbacks_generators_classes_and_locks(
    program: Debuggee, lines: str
) -> None:
    program.write(
        "import json, threading, functools\nlock = threading.Lock()\n"
        "def f(x):\n    return 1 / x  # @raise\n"
        "def gen():\n    yield f(0)\n"
        "class Meta(type):\n    @property\n    def made(cls): return f(0)\n"
        "class C(metaclass=Meta):\n    def __init__(self): f(0)\n"
        f"def g(x=7):\n    {lines}\ng()\n"
    )
    stop_at(program, "uncaught")
    assert program.run_to_stop() == "raise"
    assert names(program)[0] == "f" and "g" in names(program)
    program.resume()
    end_with(program, ZeroDivisionError)


@pytest.mark.parametrize(
    ("lines", "raised"),
    [
        ("with suppress(KeyError):\n        f(0)", ZeroDivisionError),
        ("try:\n        f(0)\n    except* KeyError: pass", ZeroDivisionError),
        (
            "try:\n        f(0)\n    except ZeroDivisionError:\n        if x: raise",
            ZeroDivisionError,
        ),
        ("for kind in (KeyError,):\n        handled(kind)", ZeroDivisionError),
    ],
)
def test_what_might_be_caught_and_is_not_stops_on_the_tracebacks_frames(
    program: Debuggee, lines: str, raised: type[BaseException]
) -> None:
    program.write(
        "from contextlib import suppress\n"
        "def f(y):\n    z = y + 1\n    return z / y  # @raise\n"
        "def handled(kind):\n    with suppress(kind):\n        f(0)\n"
        f"def g(x=7):\n    {lines}\ng()  # @top\n"
    )
    stop_at(program, "uncaught")
    assert program.run_to_stop() == "raise"
    assert program.stop is not None
    assert program.stop.text == "Stopped because nothing catches it, at line 4 in f."
    assert names(program)[0] == "f" and names(program)[-2:] == ["g", "<module>"]
    assert program.locals()["z"].value == "1"
    assert program.evaluate("z * 10") == "10"
    g = program.frames()[-2]
    assert program.engine.inspector.evaluate("x", g.id).value == "7"
    assert program.frames()[-1].line == program.line("top")
    end_with(program, raised)


@pytest.mark.parametrize(
    "lines",
    [
        "with suppress(ZeroDivisionError):\n        f(0)",
        "try:\n        f(0)\n    except* ZeroDivisionError: pass",
        "hasattr(Asked(), 'x')",
        "getattr(Asked(), 'x', None)",
        "list(Sized())",
        "try:\n        f(0)\n    finally: return",
        "try:\n        f(0)\n    except (k for k in [Exception]).__next__(): pass",
        "for _ in range(3):\n        try: f(0)\n        except Exception: continue",
    ],
)
@pytest.mark.filterwarnings("ignore:.*in a 'finally' block:SyntaxWarning")
def test_what_is_caught_in_the_end_stops_never(program: Debuggee, lines: str) -> None:
    program.write(
        "from contextlib import suppress\ndef f(x):\n    return 1 / x\n"
        "class Asked:\n    def __getattr__(self, name): raise AttributeError(name)\n"
        "class Sized:\n    def __len__(self): raise TypeError\n"
        "    def __iter__(self): return iter([])\n"
        f"def g():\n    {lines}\ng()\nended = True\n"
    )
    stop_at(program, "uncaught")
    program.start()
    assert program.finish()["ended"]


def test_a_live_stop_is_the_only_one_of_its_exception(program: Debuggee) -> None:
    program.write(
        "def f():\n    try:\n        raise ValueError('bad')  # @raise\n    finally:\n"
        "        x = 1\n"
        "def g():\n    try:\n        f()\n    except ValueError:\n        raise\ng()\n"
    )
    stop_at(program, "uncaught", "userUnhandled", "raised")
    assert program.run_to_stop() == "raise"
    end_with(program, ValueError)


def test_an_exception_in_a_users_thread_ends_the_thread(program: Debuggee) -> None:
    program.write(
        "import threading\ndef work(n):\n    return [][n]  # @raise\n"
        "threading.excepthook = lambda args: None\n"
        "t = threading.Thread(target=work, args=(3,))\nt.start()\nt.join()\nended = True\n"
    )
    hook = threading.excepthook
    stop_at(program, "uncaught")
    try:
        assert program.run_to_stop() == "raise"
        assert names(program) == ["work"] and program.evaluate("n") == "3"
        assert program.finish()["ended"]
    finally:
        threading.excepthook = hook


def test_what_a_pool_hands_on_is_uncaught_where_it_arrives(program: Debuggee) -> None:
    program.write(
        "from concurrent.futures import ThreadPoolExecutor\ndef work(n):\n    return 1 / n\n"
        "with ThreadPoolExecutor(1) as pool:\n    future = pool.submit(work, 0)\n"
        "    error = future.exception()\nfuture.result()  # @result\n"
    )
    stop_at(program, "uncaught")
    program.run_to_stop()
    assert [(f.name, f.line) for f in program.frames()][1] == ("<module>", program.line("result"))
    assert names(program)[0] == "work" and program.evaluate("n") == "0"
    end_with(program, ZeroDivisionError)


def test_an_awaited_tasks_error_is_uncaught_and_one_that_is_collected_is_not(
    program: Debuggee,
) -> None:
    program.write(
        "import asyncio\nasync def fails(n):\n    await asyncio.sleep(0)\n"
        "    return 1 / n  # @raise\n"
        "async def main():\n"
        "    found = await asyncio.gather(fails(0), return_exceptions=True)\n"
        "    await asyncio.create_task(fails(0))  # @await\n"
        "asyncio.run(main())  # @run\n"
    )
    stop_at(program, "uncaught")
    program.run_to_stop()
    assert program.stop is not None and program.stop.reason is StopReason.EXCEPTION
    assert {"fails", "main", "<module>"} <= set(names(program))
    end_with(program, ZeroDivisionError)


def test_system_exit_and_keyboard_interrupt_are_no_errors(program: Debuggee) -> None:
    program.write(
        "import sys\ntry:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt:\n    pass\n"
        "sys.exit(3)\n"
    )
    stop_at(program, "raised", "uncaught", "userUnhandled")
    program.start()
    end_with(program, SystemExit)


def test_a_recursion_without_an_end_stops_once_and_ends(program: Debuggee) -> None:
    program.write("def f(n):\n    return f(n + 1)  # @f\nf(0)\n")
    stop_at(program, "uncaught")
    assert program.run_to_stop() == "f"
    assert len(program.frames()) > 500
    end_with(program, RecursionError)


def test_a_deep_stack_is_judged_in_one_go(program: Debuggee) -> None:
    program.write(
        "import sys\nsys.setrecursionlimit(20_000)\n"
        "def f(n):\n    return f(n - 1) if n else 1 / 0  # @f\n"
        "try:\n    f(5000)\nexcept KeyError:\n    pass\n"
    )
    stop_at(program, "uncaught")
    limit = sys.getrecursionlimit()
    try:
        assert program.run_to_stop() == "f"
        assert len(program.frames()) == 5002
        end_with(program, ZeroDivisionError)
    finally:
        sys.setrecursionlimit(limit)


def test_an_error_passes_unchanged_through_a_stop(program: Debuggee) -> None:
    program.write(FAILS)
    program.start()
    program.join()
    before = "".join(traceback.format_exception(program.error))
    stop_at(program, "uncaught", "raised")
    program.run_to_stop()
    after = "".join(traceback.format_exception(end_with(program, ZeroDivisionError)))
    assert after.partition("    g()")[2].startswith(before.partition("    g()")[2])


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


# -- conditions


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


# -- what is seen at such a stop


def test_the_exception_is_shown_and_can_be_evaluated_and_is_not_written(program: Debuggee) -> None:
    program.write("def f():\n    a = 1\n    raise ValueError('bad')  # @raise\nf()\n")
    stop_at(program, "uncaught")
    program.run_to_stop()
    shown = program.locals()["(exception)"]
    assert (shown.value, shown.evaluate_name) == ("ValueError('bad')", "__exception__")
    assert program.evaluate("__exception__.args[0], a") == "('bad', 1)"
    assert program.evaluate("[a for _ in __exception__.args]") == "[1]"
    program.evaluate("a = str(__exception__)")
    assert program.evaluate("a") == "'bad'"
    assert set(program.locals()) == {"(exception)", "a"}
    scope = program.engine.inspector.scopes(program.frames()[0].id)[0]
    with pytest.raises(errors.NotAssignable):
        program.engine.inspector.set_variable(scope.reference, "(exception)", "1")
    assert "(exception)" not in program.locals(1)
    end_with(program, ValueError)


def test_what_is_raised_in_an_evaluation_stops_nothing(program: Debuggee) -> None:
    program.write("def f(): raise KeyError('k')\ndef g():\n    return 1 / 0  # @g\ng()\n")
    stop_at(program, "raised", "uncaught", "userUnhandled")
    assert program.run_to_stop() == "g"
    with pytest.raises(errors.EvaluationFailed):
        program.evaluate("f()")
    end_with(program, ZeroDivisionError)


def test_exception_info_has_causes_contexts_and_members_of_groups(program: Debuggee) -> None:
    program.write(
        "def f():\n    try:\n        {}['k']\n    except KeyError:\n        1 / 0\n"
        "def g():\n    try:\n        f()\n    except ZeroDivisionError as e:\n"
        "        inner = ExceptionGroup('in', [OSError(2, 'b')])\n"
        "        raise ExceptionGroup('both', [ValueError('a'), inner]) from e\n"
        "def h():\n    try:\n        {}['k']\n    except KeyError:\n"
        "        raise ValueError('alone') from None\n"
        "try:\n    g()\nexcept* ValueError: pass\nexcept* OSError: pass\nh()\n"
    )
    stop_at(program, "raised", condition="ExceptionGroup, ValueError")
    program.run_to_stop()
    mode, details = program.engine.inspector.exception(program.thread_id)
    assert (mode, details.full_type_name) == (BreakMode.ALWAYS, "ExceptionGroup")
    cause, first, second = details.inner
    assert (cause.type_name, cause.evaluate_name) == (
        "ZeroDivisionError",
        "__exception__.__cause__",
    )
    assert [one.type_name for one in cause.inner] == ["KeyError"]
    assert first.evaluate_name == "__exception__.exceptions[0]" and first.message == "a"
    assert [one.type_name for one in second.inner] == ["FileNotFoundError"]
    for one in (cause, cause.inner[0], first, second.inner[0]):
        assert one.type_name in program.evaluate(one.evaluate_name or "")
    program.resume_to_stop()
    _, details = program.engine.inspector.exception(program.thread_id)
    assert (details.message, details.inner) == ("alone", ())
    end_with(program, ValueError)


def test_an_exception_whose_text_raises_or_is_endless_is_told_all_the_same(
    program: Debuggee,
) -> None:
    program.write(
        "class Bad(Exception):\n    def __str__(self): raise SystemExit\n"
        "class Long(Exception):\n    def __str__(self): return 'x' * 10_000_000\n"
        "for kind in (Bad, Long):\n    try:\n        raise kind\n    except Exception:\n"
        "        pass\n"
    )
    stop_at(program, "raised")
    program.run_to_stop()
    assert program.stop is not None
    assert program.stop.description == "Bad: (its text can't be had)"
    program.resume_to_stop()
    assert len(program.stop.description) < 3000
    program.finish()


def test_a_thread_that_is_not_stopped_at_an_exception_has_no_exception_info(
    program: Debuggee,
) -> None:
    program.write("x = 1  # @x\n")
    program.break_at("x")
    program.run_to_stop()
    with pytest.raises(errors.NoException):
        program.engine.inspector.exception(program.thread_id)
    program.finish()


# -- stepping


def test_next_from_a_raise_goes_to_the_callers_handler(program: Debuggee) -> None:
    program.write(
        "def f():\n    raise KeyError('k')  # @raise\n"
        "def g():\n    try:\n        f()\n    except KeyError:  # @except\n"
        "        return 1  # @one\n"
        "x = g()\n"
    )
    stop_at(program, "raised")
    assert program.run_to_stop() == "raise"
    assert program.next() == "except"
    assert program.next() == "one"
    assert program.finish()["x"] == 1


@pytest.mark.parametrize("kind", list(StepKind))
def test_a_step_from_an_uncaught_exception_ends_with_the_run(
    program: Debuggee, kind: StepKind
) -> None:
    program.write(FAILS)
    stop_at(program, "uncaught")
    program.run_to_stop()
    program.engine.motion.step(program.thread_id, kind)
    program.join()
    assert program.client.stops.empty() and isinstance(program.error, ZeroDivisionError)


def test_a_step_from_the_tracebacks_frames_ends_with_the_run(program: Debuggee) -> None:
    program.write(
        "import contextlib\ndef f():\n    with contextlib.suppress(KeyError):\n"
        "        1 / 0  # @f\nf()\n"
    )
    stop_at(program, "uncaught")
    assert program.run_to_stop() == "f"
    program.engine.motion.step(program.thread_id, StepKind.OVER)
    program.join()
    assert program.client.stops.empty() and isinstance(program.error, ZeroDivisionError)


# -- nothing stays


def test_without_filters_no_event_is_on(program: Debuggee) -> None:
    stop_at(program, "raised", "uncaught")
    program.write(FAILS)
    program.run_to_stop()
    program.engine.exceptions.set([])
    assert program.engine._monitor._global_wants == {} or "exceptions" not in (
        program.engine._monitor._global_wants
    )
    end_with(program, ZeroDivisionError)


def test_filters_that_are_turned_off_at_a_stop_stop_nothing_more(program: Debuggee) -> None:
    program.write("import contextlib\nwith contextlib.suppress(KeyError):\n    1 / 0  # @raise\n")
    stop_at(program, "raised", "uncaught")
    assert program.run_to_stop() == "raise"
    stop_at(program)
    end_with(program, ZeroDivisionError)
    assert program.engine._monitor._global_wants == {}


def test_without_a_client_nothing_stops(program: Debuggee) -> None:
    program.write(FAILS)
    stop_at(program, "raised", "uncaught")
    program.client.attached = False
    program.start()
    end_with(program, ZeroDivisionError)
    assert program.client.stops.empty() and not program.client.passes


def test_no_exception_of_the_programs_is_kept_alive(program: Debuggee) -> None:
    program.write(
        "import gc, weakref\nclass Big(Exception): pass\n"
        "def f():\n    big = Big()\n    global ref\n    ref = weakref.ref(big)\n"
        "    raise big  # @raise\n"
        "try:\n    f()\nexcept Big:\n    pass\ngc.collect()\ngone = ref() is None\n"
    )
    stop_at(program, "raised", "uncaught")
    program.run_to_stop()
    program.locals()
    program.evaluate("__exception__")
    assert program.finish()["gone"]


@pytest.mark.parametrize("times", [5, 500])
def test_what_one_caller_has_caught_often_is_uncaught_in_another(
    program: Debuggee, times: int
) -> None:
    program.write(
        "def f(n):\n    return 1 / n  # @raise\n"
        "def catches(n):\n    try:\n        f(n)\n    except ZeroDivisionError:\n        pass\n"
        "def passes(n):\n    try:\n        f(n)\n    except KeyError:\n        pass\n"
        f"for _ in range({times}):\n    catches(0)\npasses(0)\n"
    )
    stop_at(program, "uncaught")
    assert program.run_to_stop() == "raise"
    assert names(program) == ["f", "passes", "<module>"]
    assert program.evaluate("n") == "0"
    end_with(program, ZeroDivisionError)
