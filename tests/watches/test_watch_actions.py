"""What a watch does at a write: on which condition, whether it logs, calls, raises or stops."""

import pytest
from debuggee import Debuggee
from watching import COUNTER, prepare, watch, watch_at_stop

from nbdebug import errors
from nbdebug.engine.model import Granularity, StepKind
from nbdebug.engine.watch_model import Action

# -- conditions and actions


def test_a_condition_sees_the_old_and_the_new_value(program: Debuggee) -> None:
    prepare(program, COUNTER)
    watched = watch(program, "x", condition="old is not None and new - old == 1 and new % 4 == 0")
    with_frame = watch(program, "x", condition="new == n and i == new")
    program.namespace["main"](9)
    assert [event.new for event in watched.history] == [4, 8]
    assert [event.new for event in with_frame.history] == [9]


def test_hit_conditions_once_and_threads_choose_what_is_told(program: Debuggee) -> None:
    prepare(program, COUNTER)
    from_third = watch(program, "x", hit_condition=">=3")
    once = watch(program, "x", once=True)
    elsewhere = watch(program, "x", thread="another")
    program.namespace["main"](5)
    assert [event.new for event in from_third.history] == [3, 4, 5]
    assert [event.new for event in once.history] == [1]
    assert once.info().state == "ended: it was asked for once"
    assert not elsewhere.history


def test_a_watch_that_raises_does_so_in_the_writer(program: Debuggee) -> None:
    prepare(program, COUNTER)
    watch(program, "x", action=Action.RAISE, condition="new > 2")
    with pytest.raises(
        errors.DataChanged, match=r"x changed: 2 -> 3 at program.py line 6, in main"
    ):
        program.namespace["main"](5)
    assert program.namespace["x"] == 3


def test_a_watch_raises_at_a_breakpoint_as_well(program: Debuggee) -> None:
    program.client.attached = True
    program.write("x = 0\ndef f(n):\n    global x\n    x = n\n    y = x  # @after\nf(0)\nf(1)\n")
    program.break_at("after")
    program.run_to_stop()
    watch_at_stop(program, "x", action=Action.RAISE)
    with pytest.raises(errors.DataChanged, match="x changed: 0 -> 1"):
        program.finish()


def test_a_function_that_raises_is_told_once_and_harms_nobody(program: Debuggee) -> None:
    prepare(program, COUNTER)
    other = watch(program, "x")
    watch(program, "x", action=Action.CALL, call=lambda event: 1 / 0)
    assert program.namespace["main"](3) == 3
    assert len(other.history) == 3
    notices = [text for text, category, _ in program.client.outputs if category == "important"]
    assert notices == ["Watch 2: its function raised ZeroDivisionError: division by zero"]


def test_a_condition_that_raises_is_told_once_and_the_others_go_on(program: Debuggee) -> None:
    prepare(program, COUNTER)
    program.engine.breakpoints.reports.stop_on_condition_error = False
    other = watch(program, "x")
    watch(program, "x", condition="new / 0")
    program.namespace["main"](3)
    assert len(other.history) == 3
    notices = [text for text, category, _ in program.client.outputs if category == "important"]
    assert len(notices) == 1 and "`new / 0` raised ZeroDivisionError" in notices[0]


def test_the_stack_is_kept_on_demand(program: Debuggee) -> None:
    prepare(program, COUNTER)
    watched = watch(program, "x", with_stack=True)
    program.namespace["main"](1)
    assert watched.history[0].stack[0] == f"{program.path}:6 in main"


# -- stops


def test_a_watch_stops_right_after_the_write(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "x = 3\ndef fit():\n    global x\n    x = 4  # @write\n    y = x  # @after\nfit()\n"
    )
    program.break_at("write")
    assert program.run_to_stop() == "write"
    watched = watch_at_stop(program, "x")
    assert program.resume_to_stop() == "after"
    assert program.stop is not None
    assert program.stop.reason == "data breakpoint"
    assert program.stop.breakpoint_ids == (watched.id,)
    assert program.stop.description == "x changed: 3 -> 4 at program.py line 4, in fit()"
    assert program.evaluate("x") == "4"
    program.finish()


def test_a_step_and_a_breakpoint_after_the_write_are_one_stop_with_it(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "x = 0\ndef f(n):\n    global x\n    x = n  # @write\n    y = x  # @after\n    return y\n"
        "f(1)\nf(2)\n"
    )
    program.break_at("write")
    program.run_to_stop()
    watched = watch_at_stop(program, "x")
    assert program.next() == "after"
    assert program.stop is not None and program.stop.reason == "data breakpoint"
    [info] = program.break_at("after")
    assert program.resume_to_stop() == "after"
    assert program.stop.breakpoint_ids == (watched.id, info.id)
    program.finish()
    assert [event.new for event in watched.history] == [1, 2]


def test_steps_by_instruction_and_breakpoints_leave_watches_exact(program: Debuggee) -> None:
    program.client.attached = True
    program.write(
        "x = 0\ndef f():\n    global x\n    for i in range(3):  # @loop\n"
        "        x = i + 1  # @write\n"
        "        y = x  # @after\n    return x  # @end\nf()\n"
    )
    program.break_at("loop")
    program.run_to_stop()
    watched = watch_at_stop(program, "x", action=Action.LOG)
    for _ in range(12):
        program.step(StepKind.OVER, granularity=Granularity.INSTRUCTION)
    program.next()
    program.break_at("after")
    program.resume_to_stop()
    program.break_at()
    program.finish()
    assert [(event.old, event.new) for event in watched.history] == [(0, 1), (1, 2), (2, 3)]
