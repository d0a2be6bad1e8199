"""One attach as a whole: every kind of target, time limits, and what is taken back."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import targets
from attached import Attached, attached, told
from kernel_client import running_kernel
from targets import NewTarget, TargetPython

import nbdebug
from nbdebug.attach import attaching, errors, policy
from nbdebug.attach.waking import Wake

SHORT_S = 0.3


def folders() -> set[str]:
    return {one.name for one in Path(os.environ["TMPDIR"]).glob("nbdebug-*")}


def descriptors() -> list[str]:
    """Return what is open here, each by its kind or path: what a number names may change."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{name}").partition(":[")[0])
    return sorted(found)


@pytest.mark.parametrize(
    "scenario",
    [
        "busy", "ten_busy_threads", "sleep", "naps", "accept", "recv", "read_line", "lock",
        "timed_lock", "event", "queue", "join", "select", "child", "asyncio_idle", "threads",
        "subinterpreter", "toggling", "pool",
    ],
)  # fmt: skip
def test_every_kind_of_program_is_attached_to_and_left(
    new_python: TargetPython, new_target: NewTarget, scenario: str
) -> None:
    target = new_target(scenario, new_python)
    before = folders()
    with attached(target.pid, timeout_s=60) as session:
        assert [one for one in session.ask("threads")["threads"] if one["id"] == 1]
        assert folders() == before
    with attached(target.pid, timeout_s=60):
        pass
    code, output, complaints = target.finish()
    assert (code, complaints) == (3, "")
    assert output == (
        f"started {scenario}\nended {scenario} {{'text': 'unchanged', 'numbers': [1, 2, 3]}}\n"
    )


def test_a_python_in_a_shared_library_is_attached_to(
    shared_python: TargetPython, new_target: NewTarget
) -> None:
    target = new_target("busy", shared_python)
    with attached(target.pid) as session:
        assert session.ask("threads")["threads"]
    assert target.finish()[0] == 3


def test_a_program_of_many_threads_and_imports_stays_right(
    new_python: TargetPython, new_target: NewTarget
) -> None:
    target = new_target("hostile", new_python)
    for _ in range(5):
        with attached(target.pid, timeout_s=60):
            pass
    assert target.finish()[::2] == (3, "")


def test_what_a_program_computes_is_right_while_it_is_attached_to(
    new_python: TargetPython, new_target: NewTarget, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    target = new_target("working", new_python, arguments=[str(end)])
    for _ in range(5):
        with attached(target.pid):
            pass
    end.touch()
    code, output, complaints = target.result()
    assert (code, complaints) == (5, "") and "\nright\n" in output


def test_what_a_handler_of_a_signal_raises_meanwhile_is_raised_in_the_program(
    new_python: TargetPython, new_target: NewTarget
) -> None:
    target = new_target("ticks", new_python)
    for _ in range(10):
        with attached(target.pid):
            pass
        targets.wait_until(lambda: len(os.listdir(f"/proc/{target.pid}/task")) == 2)
    code, output, complaints = target.finish()
    assert (code, complaints) == (3, "")
    [(caught, fired)] = re.findall(r"caught (\d+) of (\d+) ", output)
    assert caught == fired and int(fired) > 5
    assert "SIGURG is True" in output


def test_a_kernel_is_attached_to_while_it_idles_and_while_it_runs() -> None:
    with running_kernel(load=False, enable=False) as kernel:
        pid = int(kernel.run("import os; print(os.getpid())")["output"])
        with attached(pid) as session:
            assert session.ask("threads")["threads"]
            assert kernel.run("1 + 1")["output"] == "2"
        assert kernel.run("2 + 2")["output"] == "4"


# -- time limits


def test_a_request_that_isnt_taken_in_time_is_taken_back(
    new_python: TargetPython, new_target: NewTarget
) -> None:
    target = new_target("sleep", new_python)
    before = folders()
    with pytest.raises(errors.ClearedTimeout):
        attaching.attach(target.pid, timeout_s=SHORT_S, wake=Wake.NEVER)
    assert folders() == before
    record = nbdebug.attach.records()[-1]
    assert (record.outcome, record.failure) == ("failed", "attach-timeout-cleared")
    with attached(target.pid):  # no request is left that would be in the way
        pass
    assert target.finish()[::2] == (3, "")


def test_ctrl_c_takes_the_request_back(new_target: NewTarget) -> None:
    target = new_target("sleep")
    before = folders()
    timer = threading.Timer(SHORT_S, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        attaching.attach(target.pid, timeout_s=30, wake=Wake.NEVER)
    timer.join()
    assert folders() == before
    with attached(target.pid):
        pass
    assert target.finish()[::2] == (3, "")


def test_c_code_that_holds_the_gil_is_named_at_once(new_target: NewTarget) -> None:
    target = new_target("native")
    said: list[object] = []
    with pytest.raises(errors.HoldsGil):
        attaching.attach(target.pid, timeout_s=1, told=said.append)
    assert isinstance(said[0], errors.HoldsGil)


def test_a_veto_of_the_program_is_named(new_target: NewTarget) -> None:
    target = new_target("veto")
    with pytest.raises(errors.ScriptNotRun):
        attaching.attach(target.pid)
    assert target.finish()[0] == 3


def test_an_agent_that_doesnt_come_is_waited_for_no_longer_than_asked(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbdebug.attach.loader._SCRIPT", "# {settings!r:.0}{failure:.0}")
    target = new_target("busy")
    with pytest.raises(errors.ConnectedTimeout):
        attaching.attach(target.pid, timeout_s=SHORT_S)


def test_an_agent_that_says_nothing_is_waited_for_no_longer_than_asked(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbdebug.attach import loader

    text = loader.agent_source()
    begin = text.index("def _greet")
    silent = (
        "def _greet(channel, settings):\n    channel.recv(1)\n\n\ndef _unused(channel, settings):"
    )
    rest = text[begin:].partition("\n")[2]
    monkeypatch.setattr(loader, "agent_source", lambda: f"{text[:begin]}{silent}\n{rest}")
    target = new_target("busy")
    with pytest.raises(errors.HelloTimeout):
        attaching.attach(target.pid, timeout_s=1)
    assert target.finish()[::2] == (3, "")


# -- refusals


def test_a_stopped_process_is_refused(new_target: NewTarget) -> None:
    target = new_target("busy")
    os.kill(target.pid, signal.SIGSTOP)
    targets.wait_for_state(target.pid, "T")
    with pytest.raises(errors.TargetStopped):
        attaching.attach(target.pid)
    os.kill(target.pid, signal.SIGCONT)
    assert target.finish()[0] == 3


def test_a_system_without_unix_sockets_is_refused(
    python314: TargetPython, new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_target("busy", python314)
    monkeypatch.delattr(socket, "AF_UNIX")  # as on Windows
    with pytest.raises(errors.NoWayHere, match="no Unix sockets on Windows"):
        attaching.attach(target.pid)
    assert target.finish()[::2] == (3, "")


def test_this_process_is_refused() -> None:
    with pytest.raises(errors.ThisProcess):
        attaching.attach(os.getpid())


def test_what_isnt_allowed_here_is_refused(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_target("busy")
    monkeypatch.setenv(policy.VARIABLE, "inspect")
    with pytest.raises(errors.NotAllowed):
        attaching.attach(target.pid)


def test_each_attach_and_detach_is_audited(new_target: NewTarget) -> None:
    target = new_target("busy")
    program = (
        "import sys; seen = []\n"
        "sys.addaudithook(lambda e, a: seen.append((e, a[0])) if e[:8] == 'nbdebug.' else None)\n"
        "from nbdebug.attach import attaching\n"
        "link = attaching.attach(int(sys.argv[1])); link.close(); print(seen)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(target.pid)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (
        done.stdout == str([("nbdebug.attach", target.pid), ("nbdebug.detach", target.pid)]) + "\n"
    )


def test_an_audit_hook_may_forbid_an_evaluation(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_target("busy")
    seen: list[tuple[str, int]] = []

    def audit(event: str, pid: int, **facts: object) -> None:
        seen.append((event, pid))
        if event == "evaluate":
            raise RuntimeError("not here")

    with attached(target.pid) as session:
        monkeypatch.setattr(policy, "audit", audit)
        with pytest.raises(errors.AttachError, match="not here"):
            session.ask("evaluate", expression="1")
    assert seen == [("evaluate", target.pid), ("detach", target.pid)]


def test_a_second_attacher_is_refused_and_the_first_goes_on(python314: TargetPython) -> None:
    program = "import sys; from nbdebug.attach import attaching; attaching.attach(int(sys.argv[1]))"
    with told("busy", python314) as target, attached(target.pid) as session:
        done = subprocess.run(
            [sys.executable, "-c", program, str(target.pid)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert f"AttachedByOther: Another debugger, process {os.getpid()}" in done.stderr
        assert session.ask("threads")["threads"]


def test_a_process_that_ends_in_the_middle_is_named(new_target: NewTarget) -> None:
    target = new_target("sleep")
    timer = threading.Timer(SHORT_S, target.process.kill)
    timer.start()
    with pytest.raises(errors.ProcessEnded):
        attaching.attach(target.pid, timeout_s=30, wake=Wake.NEVER)
    timer.join()


# -- elsewhere


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a mount namespace")
def test_a_process_with_its_own_mounts_is_attached_to(
    new_python: TargetPython, new_target: NewTarget
) -> None:
    own = f'mount -t tmpfs none {os.environ["TMPDIR"]} && exec "$@"'
    target = new_target("busy", new_python, prefix=["unshare", "-m", "sh", "-c", own, "sh"])
    there = f"/proc/{target.pid}/root{os.environ['TMPDIR']}"
    assert not os.path.samefile(there, os.environ["TMPDIR"])
    with attached(target.pid) as session:
        assert session.ask("threads")["threads"]
    assert os.listdir(there) == []
    assert target.finish()[0] == 3


def test_many_rounds_leave_no_folder_and_no_descriptor_here(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        Attached(target.pid).close()
        before, files = folders(), descriptors()
        for _ in range(10):
            Attached(target.pid).close()
        # The reader's thread closes its socket; what was open before may be closed meanwhile.
        targets.wait_until(lambda: not Counter(descriptors()) - Counter(files))
        assert folders() == before
