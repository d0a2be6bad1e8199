"""Stepping through coroutines and tasks: a step stays in its task, whatever else the loop runs."""

from debuggee import Debuggee

TWINS = """
import asyncio
async def work(n, out):
    out.append((n, 1))  # @1
    await asyncio.sleep(0)  # @2
    out.append((n, 2))  # @3
    await asyncio.sleep(0)  # @4
    out.append((n, 3))  # @5
    return n  # @6
async def main():
    out = []  # @out
    a = asyncio.create_task(work('a', out))  # @a
    b = asyncio.create_task(work('b', out))  # @b
    await asyncio.gather(a, b)  # @gather
    return out  # @ret
x = asyncio.run(main())  # @run
y = x  # @end
"""


def test_a_step_stays_in_its_task_while_another_runs_the_same_code(program: Debuggee) -> None:
    program.write(TWINS)
    program.break_at("1", condition="n == 'b'")
    program.run_to_stop()
    for mark in ("2", "3", "4", "5", "6"):
        assert program.next() == mark
        assert program.evaluate("n") == "'b'"
    program.break_at()
    assert program.finish()["x"][0] == ("a", 1)


def test_at_its_end_a_step_goes_on_in_the_task_that_awaits_this_one(program: Debuggee) -> None:
    program.write(TWINS)
    program.break_at("6", condition="n == 'b'")
    program.run_to_stop()
    assert program.next() == "ret"
    assert [frame.name for frame in program.frames()] == ["main", "<module>"]
    program.finish()


def test_stepping_out_of_a_task_that_nobody_awaits_goes_to_who_runs_the_loop(
    program: Debuggee,
) -> None:
    program.write(
        "import asyncio\nasync def alone():\n    await asyncio.sleep(0)\n    return 1  # @alone\n"
        "async def main():\n    t = asyncio.ensure_future(alone())\n"
        "    for _ in range(4):\n        await asyncio.sleep(0)\n    return t.result()\n"
        "x = asyncio.run(main())  # @run\ny = x  # @end\n"
    )
    program.break_at("alone")
    program.run_to_stop()
    assert program.step_out() == "run"
    assert program.next() == "end"
    program.finish()


def test_step_in_enters_an_awaited_coroutine_and_step_out_comes_back(program: Debuggee) -> None:
    program.write(
        "import asyncio\nasync def leaf():\n    await asyncio.sleep(0)  # @leaf 1\n"
        "    return 1  # @leaf 2\n"
        "async def other():\n    for _ in range(9):\n        await asyncio.sleep(0)  # @other\n"
        "async def main():\n    t = asyncio.create_task(other())\n    x = await leaf()  # @await\n"
        "    y = x  # @after\n    await t\n    return y\nz = asyncio.run(main())\n"
    )
    program.break_at("await")
    program.run_to_stop()
    assert program.step_in() == "leaf 1"
    assert program.step_in() == "leaf 2"
    assert program.step_out() == "await"
    assert program.next() == "after"
    assert program.finish()["z"] == 1


def test_step_in_at_a_library_await_stays_out_of_other_tasks(program: Debuggee) -> None:
    program.write(
        "import asyncio\nasync def other():\n    for _ in range(9):\n"
        "        await asyncio.sleep(0)  # @other\n"
        "async def main():\n    t = asyncio.create_task(other())\n"
        "    await asyncio.sleep(0.01)  # @await\n    y = 1  # @after\n    return y\n"
        "asyncio.run(main())\n"
    )
    program.break_at("await")
    program.run_to_stop()
    assert program.step_in() == "after"
    program.finish()


ITERATES = """
import asyncio
async def numbers():
    await asyncio.sleep(0)  # @sleep
    yield 1  # @yield 1
    await asyncio.sleep(0)
    yield 2  # @yield 2
class Lock:
    async def __aenter__(self):
        await asyncio.sleep(0)  # @enter
        return 5
    async def __aexit__(self, *args):
        await asyncio.sleep(0)
async def main():
    t = 0  # @t
    async for n in numbers():  # @for
        t += n  # @body
    async with Lock() as five:  # @with
        t += five  # @inside
    queue = asyncio.Queue()  # @queue
    asyncio.get_running_loop().call_later(0.01, queue.put_nowait, 1)  # @later
    t += await queue.get()  # @get
    return t  # @ret
x = asyncio.run(main())
"""


def test_next_through_async_for_async_with_and_queues(program: Debuggee) -> None:
    program.write(ITERATES)
    program.break_at("t")
    program.run_to_stop()
    path = [program.next() for _ in range(7)]
    assert path == ["for", "body", "for", "body", "for", "with", "inside"]
    assert [program.next() for _ in range(5)] == ["with", "queue", "later", "get", "ret"]
    assert program.finish()["x"] == 9


def test_an_async_generator_steps_to_its_consumer_and_back(program: Debuggee) -> None:
    program.write(ITERATES)
    program.break_at("for")
    program.run_to_stop()
    assert program.step_in() == "sleep"
    assert program.next() == "yield 1"
    assert program.next() == "for"
    program.break_at()
    assert program.next() == "body"
    assert program.next() == "for"
    program.finish()


def test_a_stepped_task_that_is_cancelled_stops_where_it_catches_that(program: Debuggee) -> None:
    program.write(
        "import asyncio\nasync def work():\n    try:\n        await asyncio.sleep(60)  # @await\n"
        "    except asyncio.CancelledError:  # @except\n        raise  # @raise\n"
        "async def main():\n    t = asyncio.create_task(work())\n    await asyncio.sleep(0)\n"
        "    asyncio.get_running_loop().call_soon(t.cancel)\n"
        "    try:\n        await t  # @task\n"
        "    except asyncio.CancelledError:  # @caught\n        return 'cancelled'  # @ret\n"
        "x = asyncio.run(main())\n"
    )
    program.break_at("await")
    program.run_to_stop()
    assert program.next() == "except"
    assert program.next() == "raise"
    assert program.next() == "caught"
    assert program.next() == "ret"
    assert program.finish()["x"] == "cancelled"


def test_a_stepped_task_that_is_cancelled_without_a_handler_lets_the_program_go_on(
    program: Debuggee,
) -> None:
    program.write(
        "import asyncio\nasync def work():\n    await asyncio.sleep(60)  # @await\n"
        "async def main():\n    t = asyncio.create_task(work())\n    await asyncio.sleep(0)\n"
        "    t.cancel()\n    await asyncio.sleep(0)\n    return t.cancelled()\n"
        "x = asyncio.run(main())  # @run\ny = x  # @end\n"
    )
    program.break_at("await")
    program.run_to_stop()
    assert program.next() == "end"
    assert program.finish()["x"] is True
