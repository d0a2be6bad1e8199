"""A stop at an exception: what it shows, how one steps on from it, what stays of it afterwards."""

import pytest
from debuggee import Debuggee
from raising import FAILS, end_with, stop_at

from nbdebug import errors
from nbdebug.engine.model import BreakMode, StepKind

# -- what is seen


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
