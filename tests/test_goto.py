"""Set next statement and run to cursor: a program goes on from, or up to, a line that is named."""

import threading

import pytest
from debuggee import Debuggee

from nbdebug import errors

LINES = """
log = []
def f():
    log.append(1)  # @one
    log.append(2)  # @two
    for i in range(2):  # @for
        log.append(i)  # @body
    try:
        log.append(3)  # @try
    except ValueError:
        log.append(4)  # @except
    # a remark  # @remark
    return log  # @ret
def g():
    return 1  # @g
x = f()  # @top
"""


def goto(program: Debuggee, mark: str) -> str:
    """Jump to a line; return the mark at which the thread then stands."""
    [(id_, _)] = program.engine.motion.goto_targets(program.path, program.line(mark))
    program.engine.motion.go_to(program.thread_id, id_)
    return program.wait_for_stop()


def test_the_next_statement_can_be_set_forwards_and_backwards(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("two")
    program.run_to_stop()
    assert goto(program, "one") == "one"
    assert program.stop is not None and program.stop.reason == "goto"
    assert "nothing has run" in program.stop.description
    assert program.frames()[0].line == program.line("one")
    assert program.evaluate("log") == "[1]"
    assert program.next() == "two"
    assert program.evaluate("log") == "[1, 1]"
    assert goto(program, "try") == "try"
    assert program.next() == "ret"
    assert program.finish()["x"] == [1, 1, 3]


def test_after_a_jump_the_breakpoint_on_its_line_does_not_stop_again(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("one", "two", "ret")
    program.run_to_stop()
    assert goto(program, "two") == "two"
    assert program.resume_to_stop() == "ret"
    assert program.evaluate("log") == "[2, 0, 1, 3]"
    program.finish()


def test_a_line_without_code_means_the_next_one_that_has_some(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("two")
    program.run_to_stop()
    assert goto(program, "remark") == "ret"
    assert program.finish()["x"] == [1]


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("body", "can't jump into the body of a for loop"),
        ("except", "can't jump into an 'except' block"),
        ("g", "isn't in `f`"),
        ("top", "isn't in `f`"),
    ],
)
def test_a_jump_that_python_cannot_make_is_refused_with_its_reason(
    program: Debuggee, mark: str, reason: str
) -> None:
    program.write(LINES)
    program.break_at("two")
    program.run_to_stop()
    with pytest.raises(errors.CannotJump, match=reason):
        goto(program, mark)
    assert program.frames()[0].line == program.line("two")
    assert program.evaluate("log") == "[1]"
    assert program.finish()["x"] == [1, 2, 0, 1, 3]


def test_a_jump_from_the_middle_of_a_line_is_refused(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("ret")
    program.run_to_stop()
    assert program.next() == "top"
    with pytest.raises(errors.CannotJump, match="in a line's call"):
        goto(program, "top")
    program.finish()


def test_targets_of_another_file_and_unknown_ones_are_refused(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("two")
    with pytest.raises(errors.NotStopped):
        program.engine.motion.goto_targets(program.path, 1)
    program.run_to_stop()
    with pytest.raises(errors.CannotJump, match=r"stopped in program\.py"):
        program.engine.motion.goto_targets(__file__, 1)
    with pytest.raises(errors.UnknownTarget):
        program.engine.motion.go_to(program.thread_id, 4711)
    program.finish()


def test_a_target_is_void_when_the_thread_has_run_on(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("one")
    program.run_to_stop()
    [(id_, _)] = program.engine.motion.goto_targets(program.path, program.line("ret"))
    program.next()
    with pytest.raises(errors.UnknownTarget):
        program.engine.motion.go_to(program.thread_id, id_)
    program.finish()


def test_names_that_a_jump_leaves_unbound_warn_nobody(
    program: Debuggee, recwarn: pytest.WarningsRecorder
) -> None:
    program.write("def f():\n    a = 1  # @a\n    b = 2\n    return b  # @ret\nx = f()\n")
    program.break_at("a")
    program.run_to_stop()
    assert goto(program, "ret") == "ret"
    assert program.finish()["x"] is None
    assert not recwarn.list


# -- run to cursor


def run_to(program: Debuggee, mark: str) -> str:
    program.engine.motion.run_to(program.thread_id, program.path, program.line(mark))
    return program.wait_for_stop()


def test_running_to_a_line_stops_there_once(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("one")
    program.run_to_stop()
    assert run_to(program, "body") == "body"
    assert program.stop is not None and program.stop.reason == "step"
    assert program.stop.description.startswith("Ran to the cursor, at line")
    assert program.stop.breakpoint_ids == ()
    assert [info.id for info in program.engine.breakpoints.infos()] == [1]
    assert {info.id for info, _ in program.client.changes} == {1}
    assert program.finish()["x"] == [1, 2, 0, 1, 3]


def test_a_stop_before_the_cursor_takes_it_away(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("one", "two")
    program.run_to_stop()
    assert run_to(program, "ret") == "two"
    program.finish()


def test_a_breakpoint_on_the_cursors_line_is_the_reason(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("one", "two")
    program.run_to_stop()
    assert run_to(program, "two") == "two"
    assert program.stop is not None and program.stop.reason == "breakpoint"
    assert program.stop.breakpoint_ids == (2,)
    program.finish()


def test_any_thread_may_come_to_the_cursor(program: Debuggee) -> None:
    program.write(
        "import threading\ndef work():\n    return 1  # @work\n"
        "t = threading.Thread(target=work, name='other')  # @start\n"
        "t.start()\nt.join()\ny = 1\n"
    )
    program.break_at("start")
    program.run_to_stop()
    main = program.thread_id
    assert run_to(program, "work") == "work"
    assert program.thread_id != main
    program.finish()


def test_a_line_without_code_is_no_cursor_and_the_thread_stays_stopped(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("one")
    program.run_to_stop()
    with pytest.raises(errors.NoCodeAtLine, match="the next that has some"):
        run_to(program, "remark")
    with pytest.raises(errors.NoCodeAtLine):
        program.engine.motion.run_to(program.thread_id, program.path, 4711)
    with pytest.raises(errors.SourceUnavailable):
        program.engine.motion.run_to(program.thread_id, "/nowhere/a.py", 1)
    assert program.engine.breakpoints.cursor is None
    assert program.next() == "two"
    program.finish()


def test_a_client_that_lists_its_breakpoints_neither_sees_nor_takes_the_cursor(
    program: Debuggee,
) -> None:
    program.write(
        "import threading\ngo = threading.Event()\ndef f():\n    go.wait()  # @wait\n"
        "    return 1  # @ret\nx = 0  # @x\ny = f()\n"
    )
    program.break_at("x")
    program.run_to_stop()
    program.engine.motion.run_to(program.thread_id, program.path, program.line("ret"))
    program.break_at("x")
    assert len(program.engine.breakpoints.infos()) == 1
    go: threading.Event = program.namespace["go"]
    go.set()
    assert program.wait_for_stop() == "ret"
    program.finish()
