"""The asyncio tasks of a program: where each waits, for what, and who waits for it."""

import time
from collections.abc import Callable

from debuggee import LIMIT_S, Debuggee

from nbdebug.engine.model import TaskInfo


def tasks(program: Debuggee) -> dict[str, TaskInfo]:
    return {task.name: task for task in program.engine.tasks.all()}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def pause_until(program: Debuggee, thread_id: int, word: str) -> str:
    """Pause until this is said; what stopped on its way to where it waits goes on."""
    end = time.monotonic() + LIMIT_S
    while word not in (said := program.engine.motion.pause(thread_id)):
        assert time.monotonic() < end, said
        if "stopped already" in said:
            program.engine.motion.resume(program.client.stops.get().thread_id)
    return said


def marks(program: Debuggee, task: TaskInfo) -> list[str]:
    return [program.mark(at.line) for at in task.frames]


MANY = """
import asyncio
class Aw:
    def __await__(self):
        yield from asyncio.sleep(60).__await__()  # @aw
async def numbers():
    await asyncio.sleep(60)  # @numbers
    yield 1
async def sleeper():
    await asyncio.sleep(60)  # @sleeper
async def outer():
    await sleeper()  # @outer
async def iterates():
    async for n in numbers(): pass  # @iterates
async def awaits_object():
    await Aw()  # @object
async def event(e):
    await e.wait()  # @event
async def gets():
    await asyncio.Queue().get()  # @gets
async def gathers(*tasks):
    await asyncio.gather(*tasks)  # @gathers
async def joins(task):
    await task  # @joins
async def shields(task):
    await asyncio.shield(task)  # @shields
async def waits(task):
    await asyncio.wait([task])  # @waits
async def group():
    async with asyncio.TaskGroup() as g:  # @group
        g.create_task(sleeper(), name="member")
async def future():
    await asyncio.get_running_loop().create_future()  # @future
async def main():
    new = asyncio.create_task
    e = asyncio.Event()
    a = new(outer(), name="a")
    all = [
        a, new(iterates(), name="iterates"), new(awaits_object(), name="object"),
        new(event(e), name="event"), new(gets(), name="gets"), new(gathers(a), name="gathers"),
        new(joins(a), name="joins"), new(group(), name="group"), new(shields(a), name="shields"),
        new(waits(a), name="waits"), new(future(), name="future"),
        new(asyncio.sleep(60), name="library"),
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    late = new(sleeper(), name="late")
    here = 1  # @here
    for t in [*all, late]:
        t.cancel()
    there = 1  # @there
    await asyncio.gather(*all, late, return_exceptions=True)
asyncio.run(main())
"""


def test_tasks_tell_where_they_wait_and_for_what(program: Debuggee) -> None:
    program.write(MANY)
    program.break_at("here")
    program.run_to_stop()
    found = tasks(program)
    assert {name: (marks(program, t), t.awaits) for name, t in found.items() if t.awaits} == {
        "a": (["sleeper", "outer"], "asyncio.sleep(60)"),
        "iterates": (["numbers", "iterates"], "asyncio.sleep(60)"),
        "object": (["aw", "object"], "asyncio.sleep(60)"),
        "event": (["event"], "asyncio.Event.wait"),
        "gets": (["gets"], "asyncio.Queue.get"),
        "gathers": (["gathers"], "gather of a"),
        "joins": (["joins"], "task a"),
        "shields": (["shields"], "a Future"),
        "waits": (["waits"], "asyncio.wait"),
        "group": (["group"], "asyncio.TaskGroup.__aexit__"),
        "member": (["sleeper"], "asyncio.sleep(60)"),
        "future": (["future"], "a Future"),
        "library": ([], "asyncio.sleep(60)"),
    }
    assert {t.state for t in found.values() if t.awaits} == {"waiting"}
    assert {t.thread_id for t in found.values()} == {program.thread_id}
    program.finish()


def test_tasks_tell_who_waits_for_them(program: Debuggee) -> None:
    program.write(MANY)
    program.break_at("here")
    program.run_to_stop()
    found = tasks(program)
    assert sorted(found["a"].awaited_by) == ["gathers", "joins", "shields", "waits"]
    assert found["member"].awaited_by == ("group",)
    assert found["gets"].awaited_by == ()
    program.finish()


def test_the_task_that_runs_shows_its_frames_as_they_are(program: Debuggee) -> None:
    program.write(MANY)
    program.break_at("here", "there")
    program.run_to_stop()
    [running] = [task for task in tasks(program).values() if task.state == "running"]
    assert marks(program, running) == ["here"]
    assert (running.awaits, running.awaited_by) == ("", ())
    assert tasks(program)["late"].state == "ready"
    ids = {name: task.id for name, task in tasks(program).items()}
    assert program.resume_to_stop() == "there"
    assert {tasks(program)[name].state for name in ("a", "event", "late")} == {"cancelling"}
    assert {name: task.id for name, task in tasks(program).items()} == ids
    program.finish()


def test_the_tasks_of_a_loop_that_waits_in_another_thread_are_listed(program: Debuggee) -> None:
    program.write(
        "import asyncio, threading\nready = threading.Event()\nstop = None\n"
        "async def main():\n    global loop, stop\n    loop = asyncio.get_running_loop()\n"
        "    stop = loop.create_future()\n    loop.call_soon(ready.set)\n"
        "    await stop  # @stop\n"
        "t = threading.Thread(target=lambda: asyncio.run(main()))\nt.start()\nready.wait()\n"
        "x = 1  # @x\nloop.call_soon_threadsafe(stop.set_result, 1)\nt.join()\n"
    )
    program.break_at("x")
    program.run_to_stop()
    [task] = tasks(program).values()
    assert (marks(program, task), task.state) == (["stop"], "waiting")
    assert task.thread_id != program.thread_id
    program.finish()


def test_listing_runs_none_of_the_users_code(program: Debuggee) -> None:
    program.write(
        "import asyncio\nran = []\nclass Spy(asyncio.Task):\n"
        "    def get_name(self):\n        ran.append('get_name')\n        return 'spy'\n"
        "    def get_coro(self):\n        ran.append('get_coro')\n"
        "    def __repr__(self):\n        ran.append('repr')\n        return ''\n"
        "    @property\n    def _coro(self):\n        ran.append('_coro')\n"
        "async def work():\n    await asyncio.sleep(60)  # @work\n"
        "async def main():\n    loop = asyncio.get_running_loop()\n"
        "    t = Spy(work(), loop=loop, name='true name')\n    await asyncio.sleep(0)\n"
        "    ran.clear()\n    x = 1  # @x\n    y = list(ran)\n    t.cancel()\n    return y\n"
        "z = asyncio.run(main())\n"
    )
    program.break_at("x")
    program.run_to_stop()
    assert "true name" in tasks(program)
    assert program.finish()["z"] == []


def test_a_program_without_asyncio_has_no_tasks(program: Debuggee) -> None:
    program.write("x = 1  # @x\n")
    program.break_at("x")
    program.run_to_stop()
    assert tasks(program) == {}
    program.finish()


# -- pauses


def test_pausing_a_loop_that_waits_says_where_and_stops_at_the_first_step(
    program: Debuggee,
) -> None:
    program.write(
        "import asyncio, threading\nready = threading.Event()\n"
        "async def main():\n    global loop, go\n    loop = asyncio.get_running_loop()\n"
        "    go = asyncio.Event()\n    loop.call_soon(ready.set)\n    await go.wait()  # @wait\n"
        "    return 1  # @ret\nx = asyncio.run(main())\n"
    )
    program.start()
    wait_until(lambda: "go" in program.namespace)
    program.namespace["ready"].wait(LIMIT_S)
    [thread] = [t for t in program.engine.inspector.threads() if t.name == "program"]
    assert "awaits asyncio.Event.wait at line 8 in main" in pause_until(
        program, thread.id, "awaits"
    )
    program.namespace["loop"].call_soon_threadsafe(program.namespace["go"].set)
    assert program.wait_for_stop() == "wait"
    assert program.next() == "ret"
    assert program.finish()["x"] == 1


def test_pausing_a_blocked_thread_says_in_what_and_stops_when_that_returns(
    program: Debuggee,
) -> None:
    program.write(
        "import threading\nready, lock = threading.Event(), threading.Lock()\nlock.acquire()\n"
        "def f():\n    ready.set()\n    lock.acquire()  # @acquire\n    return 1  # @ret\nx = f()\n"
    )
    program.start()
    wait_until(lambda: "f" in program.namespace)
    program.namespace["ready"].wait(LIMIT_S)
    [thread] = [t for t in program.engine.inspector.threads() if t.name == "program"]
    said = pause_until(program, thread.id, "blocked")
    assert said.endswith("is blocked in `lock.acquire` at line 6; it stops when that returns.")
    [frame, _] = program.engine.inspector.stack(thread.id)[0]
    assert program.mark(frame.line) == "acquire"
    program.namespace["lock"].release()
    assert program.wait_for_stop() in ("acquire", "ret")
    assert program.stop is not None and program.stop.reason == "pause"
    program.finish()
