"""What the agent does in another process, and that it leaves it as it was."""

import json
import marshal
import os
import signal
import socket
import struct
from pathlib import Path
from time import monotonic, sleep

import pytest
from attached import LIMIT_S, Told, attached, line_of, told
from interpreters import ROOT
from targets import TargetPython, require_target_python

from nbdebug import errors as base
from nbdebug.attach import (
    agent,
    attaching,
    bundle,
    channel,
    errors,
    loader,
    locking,
    runtime,
    writer,
)
from nbdebug.attach.memory import Memory

ROUNDS = 1000 if os.environ.get("NBDEBUG_REQUIRE_ALL") == "1" else 100
MIB = 1024 * 1024


def wait_until(path: Path) -> None:
    end = monotonic() + LIMIT_S
    while not path.exists():
        assert monotonic() < end, f"{path} didn't come"
        sleep(0.002)


# -- the engine there


def test_a_breakpoint_binds_in_a_function_that_runs_already(new_python: TargetPython) -> None:
    with told("busy", new_python) as target, attached(target.pid) as session:
        [found] = session.set_breakpoints(line_of("call"))
        assert found["verified"]
        stop = session.stopped()
        assert (stop["reason"], session.top(1)["line"]) == ("breakpoint", line_of("call"))
        session.set_breakpoints()
        session.ask("continue", threadId=1)
        before, after = target.report()["count"], target.report()["count"]
        assert after >= before > 0


def test_a_variable_is_changed_and_the_program_goes_on_with_it(new_python: TargetPython) -> None:
    with told("stuck", new_python) as target, attached(target.pid) as session:
        session.set_breakpoints(line_of("stuck"))
        session.stopped()
        frame = session.top(1)["id"]
        assert session.ask("evaluate", expression="done", frameId=frame)["result"] == "False"
        [scope, *_] = session.ask("scopes", frameId=frame)["scopes"]
        reference = scope["variablesReference"]
        session.ask("setVariable", variablesReference=reference, name="done", value="True")
        session.set_breakpoints()
        session.ask("continue", threadId=1)
        session.wait_for("terminated")
        code, output, _ = target.finish()
        assert code == 4 and output.startswith("let go\n")


def test_steps_and_watches_work_there(new_python: TargetPython) -> None:
    with told("busy", new_python) as target, attached(target.pid) as session:
        session.set_breakpoints(line_of("call"))
        session.stopped()
        session.set_breakpoints()
        session.ask("stepIn", threadId=1)
        assert session.stopped()["reason"] == "step"
        assert session.top(1)["line"] == line_of("doubled")
        frame = session.top(1)["id"]
        info = session.ask("dataBreakpointInfo", name="doubled", frameId=frame)
        session.ask("setDataBreakpoints", breakpoints=[{"dataId": info["dataId"]}])
        session.ask("continue", threadId=1)
        assert session.stopped()["reason"] == "data breakpoint"


@pytest.mark.parametrize("what", ["busy", "one_line", "naps"])
def test_a_running_program_can_be_paused(new_python: TargetPython, what: str) -> None:
    with told(what, new_python) as target, attached(target.pid) as session:
        session.ask("pause", threadId=1)
        assert session.stopped()["reason"] == "pause"
        assert (
            session.ask("evaluate", expression="STATE['stop']", frameId=session.top(1)["id"])[
                "result"
            ]
            == "False"
        )


def test_all_threads_are_there_and_stop(new_python: TargetPython) -> None:
    with told("threads", new_python) as target, attached(target.pid) as session:
        names = {one["name"] for one in session.ask("threads")["threads"]}
        assert names == {"MainThread", "worker 0", "worker 1"}
        session.set_breakpoints(line_of("call"))
        assert session.stopped()["allThreadsStopped"]


def test_threads_of_the_program_take_turns_as_ever_when_nothing_is_asked(
    new_python: TargetPython,
) -> None:
    with told("threads", new_python) as target:
        usual = target.report()["interval"]
        with attached(target.pid) as session:
            session.ask("threads")
            end = monotonic() + LIMIT_S
            while target.report()["interval"] != usual:
                assert monotonic() < end
                sleep(0.01)


def test_what_the_program_prints_is_told_if_asked_for(python314: TargetPython) -> None:
    with told("naps", python314) as target:
        with attached(target.pid, arguments={"redirectOutput": True}) as session:
            target.report()
            assert '"count"' in session.wait_for("output")["output"]
        assert target.report()["streams"] == [["mode"], ["mode"]]


# -- what is left of it


def differences(before: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    return {
        name: (before[name], after[name])
        for name in before
        if name not in ("count", "modules") and before[name] != after[name]
    }


@pytest.mark.parametrize("what", ["busy", "naps", "threads"])
def test_nothing_is_left_after_a_detach(new_python: TargetPython, what: str) -> None:
    with told(what, new_python) as target:
        before = target.report()
        with attached(target.pid) as session:
            session.set_breakpoints(line_of("call"), line_of("return"))
            session.stopped()
            during = target.report()
            assert during["ours"] == [] and "nbdebug" in during["tools"].values()
        after = target.settled(before)
        assert differences(before, after) == {}
        with attached(target.pid):
            pass
        again = target.settled(before)
        assert (differences(before, again), again["modules"]) == ({}, after["modules"])
        assert target.report()["count"] >= before["count"]


@pytest.mark.timeout(600)
def test_nothing_is_left_after_many_rounds_in_quick_succession(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        before = target.report()
        sizes = []
        for _ in range(ROUNDS):
            attaching.attach(target.pid, timeout_s=LIMIT_S).close()
            sizes.append(size_of(target.pid))
        after = target.settled(before)
        assert differences(before, after) == {}
        assert after["count"] > before["count"]
        # What the first rounds take, the allocator keeps; the later ones find room in it.
        assert sizes[-1] - max(sizes[: ROUNDS // 5]) < 4 * MIB
        assert target.finish() == (4, '"ended"\n', "")


def size_of(pid: int) -> int:
    """Return how much memory a process has, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_stopped_thread_goes_on_when_the_session_ends(python314: TargetPython) -> None:
    with told("threads", python314) as target:
        before = target.report()
        with attached(target.pid) as session:
            session.set_breakpoints(line_of("call"))
            session.stopped()
        count = target.settled(before)["count"]
        while target.report()["count"] == count:
            pass


def test_a_program_with_an_nbdebug_of_its_own_keeps_it(new_python: TargetPython) -> None:
    own = ROOT / "tests" / "programs" / "own_nbdebug.py"
    path = {"PYTHONPATH": str(bundle.FOLDER.parent)}
    with told("busy", new_python, environment=path, program=own) as target:
        before = target.report()
        assert "nbdebug.engine.engine" in before["ours"]
        with attached(target.pid) as session:
            session.set_breakpoints(line_of("call"))
            session.stopped()
            assert target.report()["ours"] == before["ours"]
        assert differences(before, target.settled(before)) == {}
        assert target.report()["ours"] == before["ours"]


def test_the_hello_alone_adds_one_module(new_python: TargetPython) -> None:
    with told("busy", new_python) as target:
        before = target.report()
        lock, door, line = come_in(target)
        line.greet(LIMIT_S)
        added = set(target.report()["modules"]) - set(before["modules"])
        assert added <= {"_socket"}
        line.close()
        door.close()
        lock.release()
        assert differences(before, target.settled(before)) == {}


def test_a_forked_child_has_nothing_of_ours(new_python: TargetPython, tmp_path: Path) -> None:
    trigger = tmp_path / "fork"
    with told("forks", new_python, str(trigger)) as target:
        usual = target.report()["interval"]
        with attached(target.pid) as session:
            session.set_breakpoints(line_of("call"))
            parent = target.report()
            trigger.touch()
            assert target.line() == 5
            session.ask("threads")  # the parent's session goes on
        child = json.loads((tmp_path / "fork.child").read_text())
        assert set(child["tools"].values()) == {None}
        assert len(child["descriptors"]) == len(parent["descriptors"]) - 1
        assert child["hooks"] != parent["hooks"] and child["atexit"] == parent["atexit"] - 1
        assert len(child["threads"]) == 1 and child["interval"] == usual


# -- an attacher that dies or hangs


def test_the_engine_leaves_when_the_attacher_dies(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        before = target.report()
        session = attached(target.pid)
        with session as one:
            one.set_breakpoints(line_of("call"))
            one.stopped()
            one.link._connection._socket.shutdown(socket.SHUT_RDWR)
            assert one.why_lost.get(timeout=LIMIT_S)
            assert differences(before, target.settled(before)) == {}


def test_the_engine_leaves_when_the_attacher_hangs(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        before = target.report()
        with attached(target.pid, silence_s=0.2) as session:
            session.set_breakpoints(line_of("call"))
            session.stopped()
            assert session.why_lost.get(timeout=LIMIT_S)
            assert differences(before, target.settled(before)) == {}


def test_the_attacher_hears_of_the_programs_end(new_python: TargetPython) -> None:
    with told("busy", new_python) as target, attached(target.pid) as session:
        target.process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        session.wait_for("terminated")
        assert target.process.wait(LIMIT_S) == 4
        assert session.why_lost.get(timeout=LIMIT_S)


def test_the_attacher_hears_of_a_killed_program(python314: TargetPython) -> None:
    with told("busy", python314) as target, attached(target.pid) as session:
        os.kill(target.pid, signal.SIGKILL)
        assert session.why_lost.get(timeout=LIMIT_S)
        with pytest.raises(base.ConnectionLost):
            session.ask("threads")


def test_output_and_exit_code_are_as_without_us(new_python: TargetPython) -> None:
    with told("busy", new_python) as target:
        with attached(target.pid) as session:
            session.set_breakpoints(line_of("call"))
            session.stopped()
        assert target.finish() == (4, '"ended"\n', "")


# -- who may speak with it


def come_in(target: Told) -> tuple[locking.PidLock, channel.Doorway, channel.Channel]:
    """Have the agent connect, and say nothing yet."""
    lock = locking.PidLock(target.pid)
    door = channel.Doorway(target.pid)
    memory = Memory(target.pid)
    writer.inject(memory, runtime.locate(memory), door.script_path)
    line = door.accept(LIMIT_S)
    assert line is not None
    return lock, door, line


def test_the_folder_is_its_users_alone_and_goes(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        door = channel.Doorway(target.pid)
        folder = Path(door.script_path).parent
        modes = {one.name: oct(one.stat().st_mode & 0o777) for one in folder.iterdir()}
        assert modes == dict.fromkeys(("agent", "agent.py", "socket"), "0o600")
        assert oct(folder.stat().st_mode & 0o777) == "0o700"
        door.close()
        assert not folder.exists()
        with attached(target.pid):
            assert not list(folder.parent.glob("nbdebug-*/socket"))


def test_another_process_of_the_user_isnt_taken_for_the_agent(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        door = channel.Doorway(target.pid)
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(Path(door.script_path).with_name("socket")))
            assert door.accept(0.2) is None
            assert stranger.recv(1) == b""
        door.close()


def test_an_agent_with_a_wrong_token_is_sent_away(
    python314: TargetPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = loader.agent_source().replace('"token": settings["token"]', '"token": "0" * 32')
    monkeypatch.setattr(loader, "agent_source", lambda: text)
    with told("busy", python314) as target:
        before = target.report()
        with pytest.raises(errors.AgentRefused, match="token"):
            attaching.attach(target.pid)
        assert differences(before, target.settled(before)) == {}


def test_an_agent_of_another_protocol_is_sent_away(
    python314: TargetPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "PROTOCOL", agent.PROTOCOL + 1)
    refused = pytest.raises(errors.AgentRefused, match="protocol")
    with told("busy", python314) as target, refused:
        attaching.attach(target.pid)


def test_the_agent_obeys_nobody_who_doesnt_know_the_answer(
    python314: TargetPython, tmp_path: Path
) -> None:
    with told("busy", python314) as target:
        before = target.report()
        lock, door, line = come_in(target)
        line._settings = loader.Settings("", "", "", line._settings.token, "1" * 32, None)
        line.greet(LIMIT_S)
        with pytest.raises(errors.AgentCrashed):
            line.order_engine({"modules": {}, "folder": "", "settings": {}}, LIMIT_S)
        door.close()
        lock.release()
        assert differences(before, target.settled(before)) == {}


def test_an_agent_that_fails_says_why_and_the_program_goes_on(
    new_python: TargetPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = loader.agent_source().replace("def _greet(", "def _greet_not(")
    monkeypatch.setattr(loader, "agent_source", lambda: text)
    with told("busy", new_python) as target:
        before = target.report()
        with pytest.raises(errors.AgentCrashed, match="_greet"):
            attaching.attach(target.pid)
        assert differences(before, target.settled(before)) == {}
        assert target.finish() == (4, '"ended"\n', "")


def test_an_engine_that_cant_start_says_why(
    python314: TargetPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = marshal.loads(bundle.modules_for(b""))
    modules["nbdebug.attach.resident"] = False, "raise ValueError('no engine today')"
    monkeypatch.setattr(bundle, "modules_for", lambda magic: marshal.dumps(modules))
    with told("busy", python314) as target:
        before = target.report()
        with pytest.raises(errors.AgentCrashed, match="no engine today"):
            attaching.attach(target.pid)
        assert differences(before, target.settled(before)) == {}


def test_a_process_is_attached_to_once_at_a_time(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        with attached(target.pid), pytest.raises(errors.AlreadyAttached):
            attaching.attach(target.pid)
        with attached(target.pid):
            pass


def test_after_a_detach_nothing_is_evaluated(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        with attached(target.pid) as session:
            session.set_breakpoints(line_of("call"))
            session.stopped()
        reply = session.link.request("evaluate", {"expression": "1"})
        with pytest.raises(base.ConnectionLost):
            reply.result(LIMIT_S)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_users_process_is_attached_to_by_root(new_python: TargetPython) -> None:
    with told("other_user", new_python) as target, attached(target.pid) as session:
        assert os.stat(f"/proc/{target.pid}").st_uid == 65534
        session.set_breakpoints(line_of("call"))
        session.stopped()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_gets_nothing(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        door = channel.Doorway(target.pid)
        path = str(Path(door.script_path).with_name("socket"))
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.setgid(65534)
            os.setuid(65534)
            try:
                socket.socket(socket.AF_UNIX).connect(path)
                os.write(writing, struct.pack("i", 0))
            except OSError as error:
                os.write(writing, struct.pack("i", error.errno or -1))
            os._exit(0)
        os.waitpid(pid, 0)
        assert struct.unpack("i", os.read(reading, 4)) == (13,)
        os.close(reading)
        os.close(writing)
        door.close()


PLAIN = """
import os, sys, time
assert "threading" not in sys.modules
os.write(int(os.environ.pop("TARGET_READY")), b"ready\\n")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
import threading
print(threading.current_thread() is threading.main_thread())
"""


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14", "3.15"])
def test_a_program_without_threading_has_the_right_main_thread(
    version: str, tmp_path: Path
) -> None:
    program, end = tmp_path / "plain.py", tmp_path / "end"
    program.write_text(PLAIN)
    with told(str(end), require_target_python(version), program=program) as target:
        with attached(target.pid, legacy=version < "3.14") as session:
            [main] = session.ask("threads")["threads"]
            assert main["name"] == "MainThread"
        end.touch()
        assert target.finish() == (0, "True\n", "")
