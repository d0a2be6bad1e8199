"""Breakpoints, watches, stacks and tasks of a session elsewhere are what its own engine says."""

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
from script import LIMIT_S, Script, running, session_of

from nbdebug import errors
from nbdebug.dap import breakpoint_text, watch_text
from nbdebug.dap.points import RemoteBreakpoints, RemoteWatches, remote_stacks, remote_tasks
from nbdebug.dap.remote import RemoteSession
from nbdebug.engine.model import BreakpointState, FunctionTarget, LineTarget
from nbdebug.engine.watch_model import Access, Action

PROGRAM = """\
import asyncio
total = 0

def add(n):
    global total
    total += n  # @add

async def nap():
    add(1)
    await asyncio.sleep(0)

async def main():
    task = asyncio.create_task(nap(), name="napping")
    await task

for n in range(3):
    add(n)
asyncio.run(main())
"""


class Stops:
    """A receiver that waits for stops."""

    def __init__(self) -> None:
        self.bodies: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()

    def event(self, name: str, body: dict[str, object]) -> None:
        if name == "stopped":
            self.bodies.put(body)

    def printed(self, text: str) -> None: ...
    def run_ended(self, error: str) -> None: ...
    def lost(self, why: str) -> None: ...


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with running(tmp_path, PROGRAM) as script:
        yield script


@pytest.fixture
def session(script: Script) -> Iterator[RemoteSession]:
    with session_of(script) as session:
        yield session


@pytest.fixture
def stops(session: RemoteSession) -> Stops:
    found = Stops()
    session.start(found)
    return found


def test_breakpoints_are_added_listed_changed_and_removed(
    session: RemoteSession, script: Script, stops: Stops
) -> None:
    breakpoints = RemoteBreakpoints(session)
    place = f"{script.path}:{script.line('add')}"
    added = breakpoints.add(breakpoint_text.parse(f"{place} if n > 0"))
    assert added.state is BreakpointState.PENDING
    assert breakpoints.add(breakpoint_text.parse("nap")).spec.target == FunctionTarget("nap")
    session.ask("configurationDone")
    stops.bodies.get(timeout=LIMIT_S)

    [line, function] = breakpoints.infos()
    assert line.spec.target == LineTarget(script.path, script.line("add"))
    assert (line.spec.condition, line.hits, line.state) == ("n > 0", 1, BreakpointState.BOUND)
    assert function.state is BreakpointState.PENDING  # it hasn't been called
    assert [one.enabled for one in breakpoints.enable([line.id], False)] == [False]
    assert [one.id for one in breakpoints.remove([line.id])] == [line.id]
    assert [one.id for one in breakpoints.infos()] == [function.id]
    with pytest.raises(errors.UnknownBreakpoint):
        breakpoints.remove([line.id])
    with pytest.raises(errors.BadCondition):
        breakpoints.add(breakpoint_text.parse(f"{place} if n >"))
    with pytest.raises(errors.BadArguments, match=r"source\.path"):
        session.ask("nbdebug/setBreakpoint", breakpoint={"line": 1})


def test_watches_are_set_listed_and_ended_and_tell_their_history(
    session: RemoteSession, script: Script, stops: Stops
) -> None:
    RemoteBreakpoints(session).add(breakpoint_text.parse(f"{script.path}:{script.line('add')}"))
    session.ask("configurationDone")
    stops.bodies.get(timeout=LIMIT_S)

    watches = RemoteWatches(session)
    asked = watch_text.parse("total --log --on write,delete --if 'new < 100' --keep 5 --stack")
    watch = watches.add(asked.text, asked.spec)
    assert (watch.text, watch.value, watch.state) == ("total", "0", "watching")
    assert watch.spec.accesses == (Access.WRITE, Access.DELETE)
    assert (watch.spec.action, watch.spec.condition) == (Action.LOG, "new < 100")
    for _ in range(2):
        session.ask("continue", threadId=1)
        stops.bodies.get(timeout=LIMIT_S)
    [seen] = watches.every()
    assert (seen.hits, seen.value) == (2, "1")
    text, events = watches.history(watch.id)
    assert text == "total" and [(one.old, one.new) for one in events] == [(0, 0), (0, 1)]
    assert events[-1] == seen.last and events[-1].stack
    assert [one.id for one in watches.remove([watch.id])] == [watch.id]
    with pytest.raises(errors.UnknownWatch):
        watches.named("total")
    with pytest.raises(errors.NotThereYet):
        watches.add("nobody", asked.spec)


def test_stacks_and_tasks_are_those_of_the_session(
    session: RemoteSession, script: Script, stops: Stops
) -> None:
    RemoteBreakpoints(session).add(breakpoint_text.parse("nap"))
    session.ask("configurationDone")
    stops.bodies.get(timeout=LIMIT_S)

    [(thread, frames)] = remote_stacks(session, only_stopped=True)
    assert (thread.id, thread.state) == (1, "stopped")
    assert (frames[0].name, frames[0].path) == ("nap", script.path)
    names = {task.name: task for task in remote_tasks(session)}
    assert names["napping"].frames[0].function == "nap" and names["napping"].awaited_by
