"""How far one step goes: statements over several lines, lines, instructions, exceptions."""

from debuggee import Debuggee

from nbdebug.engine.model import Granularity, StepKind


def by_line(program: Debuggee, kind: StepKind = StepKind.OVER) -> str:
    return program.step(kind, granularity=Granularity.LINE)


def by_instruction(program: Debuggee, kind: StepKind = StepKind.OVER) -> str:
    return program.step(kind, granularity=Granularity.INSTRUCTION)


LINES = """
def f(*args):
    return sum(args)  # @f
def run(n):
    t = f(  # @call
        n,  # @arg 1
        f(n),  # @arg 2
    )
    for i in (  # @for
        1,
        2,
    ):
        t += f(  # @add
            i,  # @i
            n,  # @n
        )
    if (
        t
        and n
    ):
        t = [
            f(v)
            for v in range(3)  # @list
        ]
    while f(  # @while
        len(t),
        -3,
    ):
        t.pop()  # @pop
    return t  # @ret
x = run(1)  # @top
"""


def test_a_statement_over_several_lines_is_one_step(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("call")
    program.run_to_stop()
    path = [program.next() for _ in range(9)]
    assert path == ["for", "add", "for", "add", "for", "t", "list", "while", "ret"]
    assert program.finish()["x"] == [0, 1, 2]


def test_by_lines_each_line_of_a_statement_is_a_step(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("call")
    program.run_to_stop()
    assert [by_line(program) for _ in range(3)] == ["arg 1", "arg 2", "call"]
    assert by_line(program) == "for"
    program.finish()


def test_stepping_out_into_a_statement_goes_on_in_it(program: Debuggee) -> None:
    program.write(LINES)
    program.break_at("f", hit_condition="1")
    program.run_to_stop()
    assert program.step_out() == "arg 2"
    assert program.step_in() == "f"
    assert program.step_out() == "call"
    assert program.next() == "for"
    program.finish()


def test_a_breakpoint_on_a_statement_over_several_lines_hits_once_each_time_it_runs(
    program: Debuggee,
) -> None:
    program.write(LINES)
    program.break_at("call", "add", "while")
    assert program.run_to_stop() == "call"
    assert [program.resume_to_stop() for _ in range(3)] == ["add", "add", "while"]
    program.finish()
    assert [info.hits for info in program.engine.breakpoints.infos()] == [1, 2, 1]


def test_a_breakpoint_on_a_loops_condition_over_several_lines_hits_at_each_turn(
    program: Debuggee,
) -> None:
    program.write(
        "def f(a, b):\n    return a < b\ndef run():\n    i = 0\n    while f(  # @while\n"
        "        i,\n        3,\n    ):\n        i += 1  # @inc\n    return i\nx = run()\n"
    )
    program.break_at("while")
    program.run_to_stop()
    assert [program.resume_to_stop() for _ in range(3)] == ["while"] * 3
    assert program.finish()["x"] == 3


def test_by_instructions_each_one_is_a_step_and_calls_are_one(program: Debuggee) -> None:
    program.write(
        "def f():\n    return 1  # @f\ndef run():\n    a = f() + f()  # @call\n"
        "    b = a  # @b\n    return b\nx = run()\n"
    )
    program.break_at("call")
    program.run_to_stop()
    seen = [program.frames()[0].instruction]
    marks: list[str] = []
    while not marks or marks[-1] != "b":
        marks.append(by_instruction(program))
        assert program.frames()[0].name == "run"
        seen.append(program.frames()[0].instruction)
    assert len(seen) == len(set(seen)) > 5
    assert seen == sorted(seen, key=lambda text: int(text, 16))
    program.finish()


def test_stepping_in_by_instructions_enters_a_call_at_its_first(program: Debuggee) -> None:
    program.write("def f():\n    return 1  # @f\ndef run():\n    return f()  # @call\nx = run()\n")
    program.break_at("call")
    program.run_to_stop()
    while program.frames()[0].name == "run":
        by_instruction(program, StepKind.INTO)
    assert program.frames()[0].name == "f"
    while program.frames()[0].name == "f":
        by_instruction(program, StepKind.INTO)
    assert program.mark(program.frames()[0].line) == "call"
    program.finish()


def test_a_loop_on_one_line_is_one_step(program: Debuggee) -> None:
    program.write(
        "def run():\n    t = 0  # @t\n    for i in range(2): t += i  # @loop\n"
        "    return t  # @ret\nrun()\n"
    )
    program.break_at("t")
    program.run_to_stop()
    assert [program.next() for _ in range(2)] == ["loop", "ret"]
    program.finish()


# -- exceptions


def test_a_step_whose_frame_is_left_by_an_exception_stops_at_the_callers_handler(
    program: Debuggee,
) -> None:
    program.write(
        "def f():\n    raise ValueError  # @raise\ndef g():\n    f()  # @call\n"
        "try:\n    g()  # @try\nexcept ValueError:  # @except\n    x = 1  # @handled\ny = x  # @y\n"
    )
    program.break_at("raise")
    program.run_to_stop()
    assert program.next() == "except"
    assert [program.next() for _ in range(2)] == ["handled", "y"]
    program.finish()


def test_a_step_out_of_a_frame_that_raises_stops_at_the_callers_handler(program: Debuggee) -> None:
    program.write(
        "def f():\n    x = 1  # @f\n    raise ValueError\ntry:\n    f()\n"
        "except ValueError:  # @except\n    y = 1\n"
    )
    program.break_at("f")
    program.run_to_stop()
    assert program.step_out() == "except"
    program.finish()


def test_a_with_statement_that_swallows_the_exception_ends_the_step(program: Debuggee) -> None:
    program.write(
        "import contextlib\ndef f():\n    raise ValueError  # @raise\ndef g():\n"
        "    with contextlib.suppress(ValueError):  # @with\n        f()\n    return 1  # @ret\n"
        "x = g()\n"
    )
    program.break_at("raise")
    program.run_to_stop()
    assert program.next() == "with"
    assert program.next() == "ret"
    program.finish()


def test_a_step_that_a_library_swallows_goes_on_with_the_callers_next_line(
    program: Debuggee,
) -> None:
    program.write(
        "import logging\nlogging.raiseExceptions = False\nclass H(logging.Handler):\n"
        "    def emit(self, record):\n        try:\n            self.format(record)\n"
        "        except Exception:\n            self.handleError(record)\n"
        "class Bad:\n    def __str__(self):\n        raise ValueError  # @raise\n"
        "log = logging.Logger('a')\nlog.addHandler(H())\n"
        "def run():\n    log.error(Bad())  # @log\n    return 1  # @ret\nx = run()\n"
    )
    program.break_at("raise")
    program.run_to_stop()
    assert program.next() == "except Exception:"
    program.finish()


def test_an_exception_that_ends_the_program_ends_the_step(program: Debuggee) -> None:
    program.write("def f():\n    raise ValueError(1)  # @raise\nf()\n")
    program.break_at("raise")
    program.run_to_stop()
    program.engine.motion.step(program.thread_id, StepKind.OVER)
    program.join()
    assert isinstance(program.error, ValueError)
    assert program.client.stops.empty()
