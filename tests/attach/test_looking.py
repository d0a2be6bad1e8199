"""What is seen in another process agrees with what it says of itself, and with what py-spy sees."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import targets
from kernel_client import running_kernel
from seen_stacks import begun, by_name, functions, places
from self_told import SelfTold
from targets import NewTarget, TargetPython

from nbdebug.attach import reports
from nbdebug.attach.looking import Look

OLDEST = ("3.8", "3.9", "3.10", "3.11")


@pytest.fixture(params=[*OLDEST, *targets.OLD, *targets.NEW])
def any_python(request: pytest.FixtureRequest) -> TargetPython:
    """Run the test once for each Python that can be looked at; the oldest where there is one."""
    return targets.require_target_python(request.param)


@pytest.fixture
def told(any_python: TargetPython) -> Iterator[SelfTold]:
    found = SelfTold(any_python)
    yield found
    found.end()


def test_stacks_are_those_that_the_process_says_that_it_has(told: SelfTold) -> None:
    expected = told.ask("stacks")
    with Look(told.pid) as look:
        seen = by_name(look.stacks())
    assert {name: places(seen[name]) for name in expected} == expected
    assert seen["MainThread"].id == told.pid
    tasks = {int(task.name) for task in Path(f"/proc/{told.pid}/task").iterdir()}
    assert {thread.id for thread in seen.values()} == tasks


# What a process says otherwise than by `repr`: it has our forms, or those of another version.
_OTHER_FORMS = {"ordered": "OrderedDict({'a': 1})", "level": "<Level.HIGH: 2>"}


def test_variables_are_those_that_the_process_says_that_it_has(told: SelfTold) -> None:
    expected = told.ask("locals")
    with Look(told.pid) as look:
        thread = by_name(look.stacks(with_slots=True))["kind-values"]
        frame = next(frame for frame in thread.frames if frame.function == "values")
        seen = {one.name: look.text(one.address).text for one in look.locals(frame)}
    assert seen.keys() == expected.keys()
    for name, text in expected.items():
        assert seen[name] == _OTHER_FORMS.get(name, text), name


@pytest.mark.parametrize("scenario", targets.BLOCKED)
def test_a_blocked_process_shows_where_it_waits(
    new_target: NewTarget, python314: TargetPython, scenario: str
) -> None:
    target = new_target(scenario, python314)
    with Look(target.pid) as look:
        main = look.stacks().threads[0]
    assert (main.problem, main.id, main.has_gil) == ("", target.pid, False)
    assert functions(main)[-2:] == [scenario, "<module>"]


def test_one_bad_pointer_blanks_only_its_own_value(
    tmp_path: Path, any_python: TargetPython
) -> None:
    with (
        targets.running(tmp_path / "broken.py", BROKEN, any_python) as process,
        Look(process.pid) as look,
    ):
        frame = look.stacks(with_slots=True).threads[0].frames[0]
        seen = {one.name: look.text(one.address).text for one in look.locals(frame)}
    assert seen["items"] == "['first', <unreadable>, <unreadable>, 'last']"
    assert (seen["before"], seen["after"]) == ("1", "'two'")


BROKEN = """\
import ctypes, gc
gc.disable()
def broken():
    before, after = 1, "two"
    items = ["first", "second", "third", "last"]
    slots = ctypes.c_void_p.from_address(id(items) + 24)
    array = (ctypes.c_uint64 * 4).from_address(slots.value)
    array[1], array[2] = 0x1238, (1 << 63) + 8
    print("ready", flush=True)
    input()
broken()
"""


def test_asyncio_tasks_tell_where_they_wait(
    new_target: NewTarget, new_python: TargetPython
) -> None:
    target = new_target("asyncio_idle", new_python)
    with Look(target.pid) as look:
        (task,) = look.tasks()
    assert (task.name, task.state, task.awaits) == ("Task-1", "waiting", "a Future")
    assert [frame.function for frame in task.frames] == [
        "Event.wait",
        "asyncio_idle.<locals>.main",
    ]


def test_the_way_from_a_task_to_what_it_waits_for_is_followed(
    tmp_path: Path, new_python: TargetPython
) -> None:
    with (
        targets.running(tmp_path / "tasks.py", TASKS, new_python) as process,
        Look(process.pid) as look,
    ):
        seen = {task.name: task for task in look.tasks()}
    frames = {name: [f.function for f in task.frames] for name, task in seen.items()}
    assert frames == {
        "main": ["main"],
        "leaf": ["leaf"],
        "waiter": ["waits"],
        "nested": ["leaf", "generated", "over"],
    }
    assert (seen["waiter"].awaits, seen["leaf"].awaited_by) == ("task leaf", ("waiter",))
    assert {seen[name].state for name in ("leaf", "waiter", "nested")} == {"waiting"}


TASKS = """\
import asyncio
async def leaf(future):
    await future
async def generated(future):
    await leaf(future)
    yield 1
async def over(future):
    async for _ in generated(future):
        pass
async def waits(task):
    await task
async def main():
    asyncio.current_task().set_name("main")
    never = asyncio.get_running_loop().create_future()
    first = asyncio.create_task(leaf(never), name="leaf")
    others = [asyncio.create_task(waits(first), name="waiter")]
    others.append(asyncio.create_task(over(never), name="nested"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    print("ready", flush=True)
    await never
asyncio.run(main())
"""


def test_a_shared_library_is_looked_into(
    new_target: NewTarget, shared_python: TargetPython
) -> None:
    target = new_target("sleep", shared_python)
    with Look(target.pid) as look:
        assert "libpython" in look.runtime.module
        assert functions(look.stacks().threads[0]) == ["sleep", "<module>"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a mount namespace")
def test_a_process_that_sees_other_files_is_looked_into(
    new_target: NewTarget, shared_python: TargetPython, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own = f'mount -t tmpfs none {elsewhere} && cp "$1" {elsewhere}/other && P={elsewhere}/other'
    own += ' && shift && exec "$P" "$@"'
    target = new_target("sleep", shared_python, prefix=["unshare", "-m", "sh", "-c", own, "sh"])
    program = Path(f"/proc/{target.pid}/exe").readlink()
    assert not program.exists()
    with Look(target.pid) as look:
        assert functions(look.stacks().threads[0]) == ["sleep", "<module>"]


def test_a_kernel_is_seen_from_another_process() -> None:
    with running_kernel(enable=False) as kernel:
        pid = int(kernel.run("import os; print(os.getpid())")["output"])
        report = reports.stacks(pid)
    names = {thread.name for thread in report.threads}
    assert {"MainThread", "IOPub"} <= names
    assert report.version.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")


# -- beside py-spy


def spied(pid: int) -> dict[int, list[list[object]]]:
    """Return the stacks that py-spy sees, by the threads' ids."""
    command = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if command is None:
        pytest.skip("no py-spy: `make setup` installs it")
    done = subprocess.run(
        [command, "dump", "--json", "--pid", str(pid)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {
        thread["os_thread_id"]: [
            [frame["name"], frame["filename"], frame["line"]] for frame in thread["frames"]
        ]
        for thread in json.loads(done.stdout)
    }


@pytest.mark.peer
def test_py_spy_sees_the_same_stacks(told: SelfTold) -> None:
    expected = spied(told.pid)
    with Look(told.pid) as look:
        seen = {thread.id: places(thread) for thread in look.stacks().threads}
    assert seen == expected


@pytest.mark.peer
@pytest.mark.parametrize("scenario", ["busy", "naps", "native", "toggling", "asyncio_idle"])
def test_py_spy_sees_the_same_functions_in_a_program_that_runs(
    new_target: NewTarget, new_python: TargetPython, scenario: str
) -> None:
    target = new_target(scenario, new_python)
    with Look(target.pid) as look:
        begun(look)
        (seen,) = look.stacks(limit_s=5).threads
    ((_, expected),) = spied(target.pid).items()
    outwards = [name for name, _, _ in expected][::-1]
    assert functions(seen)[::-1][:2] == outwards[:2] == ["<module>", scenario]
