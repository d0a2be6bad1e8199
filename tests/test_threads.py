"""Threads: which stop, which don't, pausing, and what a program keeps when the debugger goes."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from debuggee import LIMIT_S, Debuggee
from watching import prepare, watch

from nbdebug import errors
from nbdebug.engine.model import StepKind, StopReason

WORKERS = """
import threading, time
ticks = [0] * 3
end = threading.Event()
started = threading.Barrier(4)
def work(i):
    started.wait(20)
    while not end.is_set():
        ticks[i] += 1
        time.sleep(0.001)
threads = [threading.Thread(target=work, args=(i,), name=f"worker {i}") for i in range(3)]
[t.start() for t in threads]
started.wait(20)
def here():
    x = 1  # @here
    return x
try:
    here()
finally:
    end.set()
    [t.join() for t in threads]
"""


def test_a_stop_stops_the_other_user_threads_too(program: Debuggee) -> None:
    program.write(WORKERS)
    program.break_at("here")
    program.run_to_stop()
    names = {t.name: t for t in program.engine.inspector.threads()}
    assert {"program", "worker 0", "worker 1", "worker 2"} <= names.keys()
    wait_until(lambda: len(program.engine.stops.thread_ids()) == 4)
    before = list(program.namespace["ticks"])
    assert [t.state for name, t in names.items() if name == "program"] == ["stopped"]
    assert program.evaluate("list(ticks)") == repr(before)
    assert list(program.namespace["ticks"]) == before
    program.finish()


def test_every_stopped_threads_stack_can_be_seen(program: Debuggee) -> None:
    program.write(WORKERS)
    program.break_at("here")
    program.run_to_stop()
    wait_until(lambda: len(program.engine.stops.thread_ids()) == 4)
    for thread in program.engine.inspector.threads():
        frames, depth = program.engine.inspector.stack(thread.id)
        assert depth == len(frames) > 0
        assert frames[0].name == ("here" if thread.name == "program" else "work")
        if thread.name != "program":
            [scope, *_] = program.engine.inspector.scopes(frames[0].id)
            assert [v.name for v in program.engine.inspector.variables(scope.reference)] == ["i"]
    program.finish()


def test_other_threads_run_on_where_the_user_asked_for_it(program: Debuggee) -> None:
    program.engine.stops.stop_other_threads = False
    program.write(WORKERS)
    program.break_at("here")
    program.run_to_stop()
    assert program.stop is not None and program.stop.all_threads is False
    before = list(program.namespace["ticks"])
    wait_until(
        lambda: all(
            now > then for now, then in zip(program.namespace["ticks"], before, strict=True)
        )
    )
    assert len(program.engine.stops.thread_ids()) == 1
    program.finish()


def test_two_threads_at_one_breakpoint_stop_one_after_the_other(program: Debuggee) -> None:
    program.write(
        "import threading\ngate = threading.Barrier(2)\nseen = []\n"
        "def work(i):\n    gate.wait(20)\n    seen.append(i)  # @hit\n"
        "ts = [threading.Thread(target=work, args=(i,)) for i in range(2)]\n"
        "[t.start() for t in ts]\n[t.join() for t in ts]\n"
    )
    program.break_at("hit")
    assert program.run_to_stop() == "hit"
    first = program.thread_id
    assert program.resume_to_stop() == "hit"
    assert program.thread_id != first
    program.finish()
    assert sorted(program.namespace["seen"]) == [0, 1]


@pytest.mark.parametrize(
    "loop",
    [
        "while go: i += 1",
        "while go:\n    i += 1",
        "while go: f(i)",
        "def spin():\n    i = 0\n    while go:\n        i = f(i)\nspin()",
        "def spin():\n    for i in iter(int, 1):\n        if not go: return\nspin()",
        "import time\nwhile go: time.sleep(0.001)",
    ],
)
def test_a_running_loop_can_be_paused(program: Debuggee, loop: str) -> None:
    program.write(f"def f(a):\n    return a + 1\ngo = True\ni = 0\nrunning = True\n{loop}\n")
    program.start()
    wait_until(lambda: "running" in program.namespace)
    [thread_id] = [t.id for t in program.engine.inspector.threads() if t.name == "program"]
    program.engine.motion.pause(thread_id)
    program.wait_for_stop()
    assert program.stop is not None and program.stop.reason is StopReason.PAUSE
    assert program.stop.description.startswith("Paused at line ")
    program.evaluate("globals().__setitem__('go', False)")
    program.finish()


def test_a_paused_thread_can_be_stepped(program: Debuggee) -> None:
    program.write(
        "go = True\ni = 0\nrunning = True\nwhile go:  # @while\n    i += 1  # @inc\n"
        "    i -= 1  # @dec\n"
    )
    program.start()
    wait_until(lambda: "running" in program.namespace)
    [thread_id] = [t.id for t in program.engine.inspector.threads() if t.name == "program"]
    program.engine.motion.pause(thread_id)
    program.wait_for_stop()
    seen = {program.next() for _ in range(3)}
    assert seen == {"while", "inc", "dec"}
    program.namespace["go"] = False
    program.finish()


def test_an_unknown_thread_is_refused(program: Debuggee) -> None:
    program.write("x = 1  # @x\n")
    program.break_at("x")
    program.run_to_stop()
    for call in (
        program.engine.motion.pause,
        program.engine.inspector.stack,
        program.engine.stops.resume,
    ):
        with pytest.raises(errors.UnknownThread, match="no user thread 4711"):
            call(4711)
    program.finish()


def test_service_threads_are_neither_listed_nor_stopped(program: Debuggee) -> None:
    ticks = []
    end = threading.Event()

    def serve() -> None:
        while not end.wait(0.001):
            ticks.append(1)

    service = threading.Thread(target=serve, name="service")
    service.pydev_do_not_trace = True  # type: ignore[attr-defined]
    service.start()
    program.engine.user_code.configure(host=())
    program.write("x = 1  # @x\n")
    program.break_at("x")
    program.run_to_stop()
    assert "service" not in [t.name for t in program.engine.inspector.threads()]
    before = len(ticks)
    wait_until(lambda: len(ticks) > before)
    end.set()
    service.join()
    program.finish()


def test_closing_while_stopped_lets_the_program_end(program: Debuggee) -> None:
    program.write("x = 1  # @x\ny = 2\n")
    program.break_at("x")
    program.run_to_stop()
    program.engine.close()
    program.join()
    assert program.namespace["y"] == 2
    assert [sys.monitoring.get_tool(i) for i in range(5)].count("nbdebug") == 0


def test_a_failure_of_ours_is_said_once_and_never_reaches_the_program(
    program: Debuggee, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write("def f(a):\n    return a  # @f\nx = [f(i) for i in range(5)]\n")
    program.break_at("f")

    def broken(*_: object) -> None:
        raise RuntimeError("a fault in the engine")

    monkeypatch.setattr(program.engine._tracer, "_at_line", broken)
    program.start()
    assert program.finish()["x"] == [0, 1, 2, 3, 4]
    [(text, category, _)] = program.client.outputs
    assert category == "important" and "a fault in the engine" in text
    assert not program.engine.is_started


def test_a_thread_that_was_looked_at_keeps_nothing_alive(program: Debuggee) -> None:
    prepare(
        program,
        """
        import threading, weakref
        class Big:
            pass
        begun, end = threading.Event(), threading.Event()
        x = 0
        def main():
            global ref, x
            big = Big()
            ref = weakref.ref(big)
            begun.set()
            end.wait(20)
            x = 1  # @x
            return x  # @stop
        """,
    )
    names = program.namespace
    gc.collect()
    gc.disable()
    try:
        thread = threading.Thread(target=names["main"])
        thread.start()
        assert names["begun"].wait(LIMIT_S)
        seen = program.engine.inspector.threads()
        program.break_at("stop")
        watched = watch(program, "x")
        ours = next(one for one in seen if one.name == thread.name)
        assert program.engine.inspector.stack(ours.id)[0]
        names["end"].set()
        assert program.wait_for_stop() == "stop"
        assert len(watched.history) == 1
        program.resume()
        thread.join(LIMIT_S)
        assert names["ref"]() is None
    finally:
        gc.enable()


def test_an_exception_of_the_program_passes_through_a_stop_unchanged(program: Debuggee) -> None:
    program.write("def f():\n    x = 1  # @x\n    raise KeyError('k')\nf()\n")
    program.break_at("x")
    program.run_to_stop()
    with pytest.raises(KeyError, match="k"):
        program.finish()


def test_a_forked_child_runs_without_the_debugger(program: Debuggee) -> None:
    program.write(
        "import os, warnings\nwarnings.simplefilter('ignore')\ndef f():\n    return 7  # @f\n"
        "pid = os.fork()\nif pid == 0:\n    os._exit(f())\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
    )
    program.break_at("f")
    program.start()
    assert program.finish()["status"] == 7


def test_an_engine_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    text = textwrap.dedent(
        """
        import sys, threading
        from debuggee import Debuggee, debuggee_in
        from pathlib import Path
        before = set(threading.enumerate())
        with debuggee_in(Path(sys.argv[1])) as program:
            program.write("def f():\\n    return 1  # @f\\nf()\\n")
            program.break_at("f")
            program.run_to_stop()
            code = program.namespace["f"].__code__
            program.evaluate("1 + 1")
            program.finish()
        assert [sys.monitoring.get_tool(i) for i in range(6)] == [None] * 6
        for tool in range(6):
            sys.monitoring.use_tool_id(tool, "check")
            assert sys.monitoring.get_events(tool) == 0
            assert sys.monitoring.get_local_events(tool, code) == 0, tool
        print(set(threading.enumerate()) - before)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path)],
        check=False,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread will do; fail where it doesn't."""
    pause = threading.Event()
    for _ in range(LIMIT_S * 100):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")


TWO_LOOPS = """
import threading
import time
ready, go = threading.Barrier(3), threading.Event()
def work(n):
    ready.wait()
    i = 0
    while not go.is_set():
        i += 1  # @inc
        j = helper(i)  # @call
    return i
def helper(i):
    return i  # @helper
threads = [threading.Thread(target=work, args=(n,), name=f"loop {n}") for n in range(2)]
for t in threads:
    t.start()
ready.wait()
x = 1  # @x
y = 2  # @y
go.set()
for t in threads:
    t.join()
"""


def test_a_thread_that_stopped_because_another_has_can_be_stepped_alone(program: Debuggee) -> None:
    program.write(TWO_LOOPS)
    program.break_at("x")
    program.run_to_stop()
    main = program.thread_id
    stopped = wait_for_stopped(program, 3)
    other = next(id_ for id_ in stopped if id_ != main)
    for _ in range(4):
        program.engine.motion.step(other, StepKind.OVER, single=True)
        program.wait_for_stop()
        assert program.thread_id == other
        assert sorted(program.engine.stops.thread_ids()) == sorted(stopped)
    program.engine.motion.step(main, StepKind.OVER, single=True)
    assert program.wait_for_stop() == "y"
    assert program.thread_id == main
    program.break_at()
    program.finish()


def test_a_single_thread_that_runs_on_can_stop_again_while_the_others_wait(
    program: Debuggee,
) -> None:
    program.write(TWO_LOOPS)
    program.break_at("x")
    program.run_to_stop()
    stopped = wait_for_stopped(program, 3)
    other = next(id_ for id_ in stopped if id_ != program.thread_id)
    program.break_at("helper")
    program.engine.motion.resume(other, single=True)
    assert program.wait_for_stop() == "helper"
    assert program.thread_id == other
    assert sorted(program.engine.stops.thread_ids()) == sorted(stopped)
    program.break_at()
    program.finish()


def test_a_running_thread_is_refused_with_what_it_does(program: Debuggee) -> None:
    program.write(
        "import threading, time\nlock = threading.Lock()\nlock.acquire()\n"
        "def blocked():\n    started.set()\n    lock.acquire()  # @acquire\n"
        "started = threading.Event()\nt = threading.Thread(target=blocked)\nt.start()\n"
        "started.wait()\nx = 1  # @x\nlock.release()\nt.join()\n"
    )
    program.break_at("x")
    program.run_to_stop()
    threads = program.engine.inspector.threads()
    other = next(t.id for t in threads if "blocked" in t.name)
    motion = program.engine.motion
    calls: list[Callable[[], object]] = [
        lambda: motion.step(other, StepKind.OVER),
        lambda: motion.resume(other),
        lambda: motion.go_to(other, 1),
        lambda: motion.run_to(other, program.path, 1),
    ]
    for call in calls:
        with pytest.raises(errors.ThreadIsRunning, match=r"blocked in `lock\.acquire` at line 6"):
            call()
    program.finish()


def wait_for_stopped(program: Debuggee, count: int) -> list[int]:
    """Return the ids of the stopped threads once there are so many."""
    end = time.monotonic() + LIMIT_S
    while len(found := program.engine.stops.thread_ids()) < count:
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found
