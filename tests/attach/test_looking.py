"""What is seen in another process agrees with what it says of itself, in every state."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import targets
from kernel_client import running_kernel
from self_told import SelfTold
from targets import NewTarget, TargetPython

from nbdebug.attach import errors, offsets, reports
from nbdebug.attach.looking import Look
from nbdebug.attach.memory import Memory
from nbdebug.attach.runtime import locate
from nbdebug.attach.stacks import Snapshot, ThreadStack

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


def places(thread: ThreadStack) -> list[list[object]]:
    return [[frame.function, frame.file, frame.line] for frame in thread.frames]


def by_name(snapshot: Snapshot) -> dict[str, ThreadStack]:
    return {thread.name: thread for thread in snapshot.threads}


def functions(thread: ThreadStack) -> list[str]:
    return [frame.function for frame in thread.frames]


def begun(look: Look) -> None:
    """Return when the target has come back from saying that it is ready."""
    targets.wait_until(
        lambda: not any("ready" in functions(thread) for thread in look.stacks(limit_s=5).threads)
    )


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
_WITH_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


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


def test_a_busy_process_shows_only_stacks_that_it_can_have(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("calls", target_python)
    line = (
        targets.PROGRAM.read_text().splitlines().index("        total = leaf(total)  # @mark call")
    )
    shapes = set()
    with Look(target.pid) as look:
        begun(look)
        for _ in range(300):
            main = look.stacks(limit_s=5).threads[0]
            assert main.problem == ""
            shown = functions(main)
            assert shown in (
                ["calls.<locals>.leaf", "calls", "<module>"],
                ["calls", "<module>"],
            )
            if len(shown) == 3:
                assert main.frames[1].line == line + 1
            shapes.add(len(shown))
    assert shapes == {2, 3}
    assert target.finish()[0] == 3


def test_a_call_depth_that_keeps_changing_gives_only_valid_stacks(
    tmp_path: Path, target_python: TargetPython
) -> None:
    program = tmp_path / "depths.py"
    program.write_text(DEPTHS)
    allowed = calls_in(DEPTHS)
    process = subprocess.Popen(
        [str(target_python.path), str(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, **target_python.environment},
    )
    shapes = set()
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with Look(process.pid) as look:
            for _ in range(500):
                (main,) = look.stacks(limit_s=5).threads
                assert main.problem == ""
                outwards = [(frame.function, frame.line) for frame in main.frames]
                for (callee, _), caller in itertools.pairwise(outwards):
                    assert callee in allowed[caller], outwards
                assert outwards[-1][0] == "<module>"
                shapes.add(tuple(name for name, _ in outwards))
    finally:
        process.kill()
        process.communicate()
    assert len(shapes) > 10


DEPTHS = """\
def a1():
    b1()
    b2()
def a2():
    b2()
    c1(3)
def b1():
    c1(1)
    c2()
def b2():
    c2()
    c1(2)
def c1(n):
    if n:
        c1(n - 1)
    sorted((1,), key=d)
def c2():
    for x in e(): pass
def d(x): pass
def e():
    yield 1
    a3()
def a3(): pass
def main():
    while True:
        a1()
        a2()
print(1, flush=True)
main()
"""


def calls_in(program: str) -> dict[tuple[str, int | None], set[str]]:
    """Return which functions each line of each function calls."""
    found: dict[tuple[str, int | None], set[str]] = {}
    function = "<module>"
    for number, line in enumerate(program.splitlines(), 1):
        match = re.match(r"def (\w+)", line)
        if match:
            function = match[1]
        elif not line.startswith(" "):
            function = "<module>"
        body = line.partition(":")[2] if match else line
        names = set(re.findall(r"\b(\w+)\(", body)) - {"sorted", "print"}
        found[function, number] = names | ({"d"} if "key=d" in line else set())
    return found


def test_a_call_into_c_that_holds_the_gil_is_told(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("native", target_python)
    with Look(target.pid) as look:
        main = look.stacks(limit_s=5).threads[0]
    assert (main.has_gil, main.problem) == (True, "")
    assert functions(main)[-2:] == ["native", "<module>"]


def test_200_threads_are_all_seen_with_their_names(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("threads", target_python)
    with Look(target.pid) as look:
        threads = look.stacks(limit_s=5).threads
    assert len({thread.id for thread in threads}) == 200
    assert {thread.problem for thread in threads} == {""}
    assert threads[0].name == "MainThread"
    assert {thread.name.split()[0].partition("-")[0] for thread in threads[1:]} == {"Thread"}
    assert all("Event.wait" in functions(thread) for thread in threads[1:])


def test_ten_busy_threads_are_each_seen(new_target: NewTarget, target_python: TargetPython) -> None:
    target = new_target("ten_busy_threads", target_python)
    with Look(target.pid) as look:
        begun(look)
        for _ in range(20):
            threads = look.stacks(limit_s=5).threads
            assert len(threads) == 10
            assert {thread.problem for thread in threads} == {""}
            assert all("ten_busy_threads.<locals>.spin" in functions(one) for one in threads)


def test_short_lived_threads_do_no_harm(new_target: NewTarget, target_python: TargetPython) -> None:
    target = new_target("short_threads", target_python)
    with Look(target.pid) as look:
        for _ in range(200):
            threads = look.stacks(limit_s=5).threads
            assert "short_threads" in functions(threads[0])
    assert target.finish()[0] == 3


def test_a_subinterpreter_is_seen(new_target: NewTarget, target_python: TargetPython) -> None:
    target = new_target("subinterpreter", target_python)
    with Look(target.pid) as look:
        interpreters = look.runtime.interpreters(look.memory)
        threads = look.stacks(limit_s=5).threads
    assert len(interpreters) == 2
    assert functions(threads[0])[-2:] == ["subinterpreter", "<module>"]


def test_a_subinterpreter_with_a_gil_of_its_own_is_seen_while_both_run(
    tmp_path: Path, new_python: TargetPython
) -> None:
    program = tmp_path / "two.py"
    program.write_text(TWO_INTERPRETERS)
    process = subprocess.Popen(
        [str(new_python.path), str(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, **new_python.environment},
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with Look(process.pid) as look:
            targets.wait_until(
                lambda: any("inner" in functions(one) for one in look.stacks(limit_s=5).threads)
            )
            threads = look.stacks(limit_s=5).threads
        seen = {one.interpreter: functions(one)[-2:] for one in threads[:1]}
        seen |= {one.interpreter: functions(one)[-2:] for one in threads if one.interpreter}
        assert seen == {0: ["outer", "<module>"], 1: ["inner", "<module>"]}
        assert {thread.problem for thread in threads} == {""}
    finally:
        process.kill()
        process.communicate()


TWO_INTERPRETERS = """\
import _interpreters, threading
other = _interpreters.create()
busy = "def inner():\\n    while True: sum(range(9))\\ninner()"
def outer():
    print("ready", flush=True)
    while True: sum(range(9))
threading.Thread(target=_interpreters.exec, args=(other, busy), daemon=True).start()
outer()
"""


def test_variables_of_a_program_that_never_rests_are_shown_without_a_failure(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("hostile", target_python)
    for _ in range(15):
        report = reports.stacks(target.pid, with_locals=True)
        assert len(report.threads) == 4
    assert target.finish()[0] == 3


def test_the_children_of_a_fork_are_seen(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("pool", target_python)
    children = targets.children_of(target.pid)
    assert len(children) == 3
    for pid in children:
        with Look(pid) as look:
            main = look.stacks(limit_s=5).threads[0]
        assert (main.id, main.problem) == (pid, "")
        assert functions(main)[-1] == "<module>"
        assert "worker" in functions(main)
    assert target.finish()[0] == 3  # a pool that is killed makes new children meanwhile


def test_a_stopped_process_is_seen(new_target: NewTarget, python314: TargetPython) -> None:
    target = new_target("busy", python314)
    with Look(target.pid) as look:
        begun(look)
    os.kill(target.pid, signal.SIGSTOP)
    targets.wait_for_state(target.pid, "T")
    with Look(target.pid) as look:
        main = look.stacks().threads[0]
    assert (functions(main), main.problem) == (["busy", "<module>"], "")


def test_a_frozen_process_runs_on_afterwards(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    target = new_target("ten_busy_threads", target_python)
    for _ in range(5):
        report = reports.stacks(target.pid, with_locals=True, freeze=True)
        assert len(report.threads) == 10
        assert {thread.problem + thread.note for thread in report.threads} == {""}
    assert targets.state_of(target.pid) in "RS"
    assert target.finish()[0] == 3


def test_a_process_that_ends_meanwhile_says_so(
    new_target: NewTarget, python314: TargetPython
) -> None:
    target = new_target("short_threads", python314)
    with Look(target.pid) as look:
        look.stacks()
        target.process.send_signal(signal.SIGTERM)
        with pytest.raises(errors.ProcessEnded):
            look_until_it_ends(look, target)
    with pytest.raises((errors.NoSuchProcess, errors.TargetZombie)):
        Look(target.pid)


def look_until_it_ends(look: Look, target: targets.Target) -> None:
    while True:
        look.stacks()
        target.process.poll()


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
    program = tmp_path / "tasks.py"
    program.write_text(TASKS)
    process = subprocess.Popen(
        [str(new_python.path), str(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, **new_python.environment},
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with Look(process.pid) as look:
            seen = {task.name: task for task in look.tasks()}
    finally:
        process.kill()
        process.communicate()
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


def test_one_bad_pointer_blanks_only_its_own_value(
    tmp_path: Path, any_python: TargetPython
) -> None:
    program = tmp_path / "broken.py"
    program.write_text(BROKEN)
    process = subprocess.Popen(
        [str(any_python.path), str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **any_python.environment},
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with Look(process.pid) as look:
            frame = look.stacks(with_slots=True).threads[0].frames[0]
            seen = {one.name: look.text(one.address).text for one in look.locals(frame)}
    finally:
        process.kill()
        process.communicate()
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


# -- where the runtime is


def test_the_runtime_is_found_again_where_it_was(
    new_target: NewTarget, target_python: TargetPython
) -> None:
    memory = Memory(new_target("sleep", target_python).pid)
    first, second = locate(memory), locate(memory)
    assert (first.cached, second.cached) == (False, True)
    assert first.address == second.address
    assert set(first.phases) == {"locate", "offsets"}


def test_a_process_that_has_become_another_program_is_looked_at_anew(
    tmp_path: Path,
) -> None:
    before, after = (targets.require_target_python(v) for v in ("3.13", "3.14"))
    program = tmp_path / "becomes.py"
    program.write_text(
        "import os, sys\n"
        "print('ready', flush=True)\n"
        "if sys.stdin.readline():\n"
        f"    os.execv({str(after.path)!r}, [{str(after.path)!r}, {str(program)!r}])\n"
    )
    process = subprocess.Popen(
        [str(before.path), str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        memory = Memory(process.pid)
        assert locate(memory).version == (3, 13)
        process.stdin.write("on\n")
        process.stdin.flush()
        process.stdout.readline()
        found = locate(memory)
        assert (found.version, found.cached) == ((3, 14), False)
    finally:
        process.kill()
        process.communicate()


def test_what_is_no_python_is_refused() -> None:
    process = subprocess.Popen(["sleep", "3600"])
    try:
        with pytest.raises(errors.NotPython):
            Look(process.pid)
    finally:
        process.kill()
        process.wait()
    with pytest.raises(errors.NoSuchProcess):
        Look(process.pid)
    with pytest.raises(errors.ThisProcess):
        Look(os.getpid())


def test_an_unknown_layout_is_refused(new_target: NewTarget, new_python: TargetPython) -> None:
    target = new_target("sleep", new_python)
    head = locate(Memory(target.pid)).head
    assert offsets.told_by(head, target.pid).version == new_python.minor
    unknown = head[:8] + (0x036300F0).to_bytes(8, "little") + head[16:]
    with pytest.raises(errors.UnknownVersion, match=r"3\.99"):
        offsets.told_by(unknown, target.pid)
    with pytest.raises(errors.FreeThreaded):
        offsets.told_by(head[:16] + (1).to_bytes(8, "little") + head[24:], target.pid)
    with pytest.raises(errors.MemoryInconsistent):
        offsets.told_by(head[:24] + bytes(800) + head[824:], target.pid)
    outside = head[:32] + (1 << 30).to_bytes(8, "little") + head[40:]
    with pytest.raises(errors.MemoryInconsistent):
        offsets.told_by(outside, target.pid)


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
