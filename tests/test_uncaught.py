"""Stops at what nothing catches: live where that's certain, else on the traceback's frames."""

import sys
import threading
import traceback

import pytest
from debuggee import Debuggee
from raising import FAILS, end_with, names, stop_at

from nbdebug.engine.model import StopReason


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
