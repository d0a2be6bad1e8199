"""A request is written into real processes: it is run, or refused, or put back as it was."""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import targets
from attach_script import Marker, ask
from targets import NewTarget, TargetPython

from nbdebug.attach import errors, runtime, writer
from nbdebug.attach.memory import Memory, Unreadable
from nbdebug.attach.records import Record
from nbdebug.attach.writer import State, Step

RUNNING = ("busy", "naps", "threads", "subinterpreter", "toggling", "pool", "short_threads")


@pytest.mark.parametrize("scenario", RUNNING)
def test_a_running_target_runs_the_script_and_ends_as_it_would_have(
    new_target: NewTarget, new_python: TargetPython, marker: Marker, scenario: str
) -> None:
    target = new_target(scenario, new_python)
    asked = ask(target.pid, marker.script)
    marker.wait()
    assert asked.request.state() is State.TAKEN
    assert not asked.request.take_back()
    code, output, problems = target.finish()
    assert (code, problems) == (3, "")
    assert "'numbers': [1, 2, 3]" in output


def test_a_target_with_a_shared_library_runs_the_script(
    new_target: NewTarget, shared_python: TargetPython, marker: Marker
) -> None:
    target = new_target("naps", shared_python)
    ask(target.pid, marker.script)
    marker.wait()


def test_every_byte_that_is_written_is_accounted_for_and_verified(
    new_target: NewTarget, marker: Marker
) -> None:
    asked = ask(new_target("naps").pid, marker.script)
    steps = [one.step for one in asked.request.outcomes]
    assert steps == [Step.SELECT, Step.PATH, Step.FLAG, Step.BREAKER, Step.VERIFY]
    size = len(os.fsencode(marker.script)) + 1 + 4 + 1
    assert asked.record.bytes_written == asked.record.bytes_verified == size
    assert asked.record.phases_s.keys() == {"select", "write"}


def test_a_target_that_changes_its_monitoring_all_the_time_survives_many_requests(
    new_target: NewTarget, new_python: TargetPython, marker: Marker
) -> None:
    target = new_target("toggling", new_python)
    for _ in range(300):
        ask(target.pid, marker.script)
        marker.wait()
    assert target.finish()[0] == 3


def test_what_a_program_computes_is_the_same_with_requests_and_without(
    new_target: NewTarget, new_python: TargetPython, marker: Marker, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    target = new_target("working", new_python, arguments=[str(stop)])
    for _ in range(50):
        ask(target.pid, marker.script)
        marker.wait()
    stop.touch()
    code, output, problems = target.result()
    assert (code, problems) == (5, "")
    assert "right" in output


def test_a_request_that_is_taken_back_is_never_run(new_target: NewTarget, marker: Marker) -> None:
    target = new_target("sleep")
    asked = ask(target.pid, marker.script)
    site = runtime.site(asked.memory, asked.runtime)
    assert asked.request.state() is State.PENDING
    assert asked.request.take_back()
    assert asked.request.state() is State.TAKEN
    assert asked.memory.read(site.script_path, 4) == bytes(4)
    assert target.finish()[0] == 3
    assert not marker.has_run


def test_a_second_request_isn_t_written_over_a_first(new_target: NewTarget, marker: Marker) -> None:
    target = new_target("sleep")
    ask(target.pid, marker.script)
    with pytest.raises(errors.RequestPending) as caught:
        ask(target.pid, marker.script)
    assert caught.value.pid == target.pid


def test_a_path_that_doesn_t_fit_is_refused(new_target: NewTarget, marker: Marker) -> None:
    target = new_target("naps")
    folder, name = str(marker.script.parent), marker.script.name
    padding = 511 - len(folder) - len(name) - 1
    fits = f"{folder}{'/.' * (padding // 2)}{'/' * (padding % 2)}/{name}"
    assert len(fits) == 511
    memory = Memory(target.pid)
    found = runtime.locate(memory)
    with pytest.raises(errors.BadScriptPath, match=r"has 512 bytes, and .* at most 511"):
        writer.inject(memory, found, f"/{fits}")
    writer.inject(memory, found, fits)
    marker.wait()


def test_a_script_that_the_target_can_t_read_isn_t_asked_for(
    new_target: NewTarget, tmp_path: Path
) -> None:
    target = new_target("sleep")
    for path, why in (
        (tmp_path / "missing.py", "no such file"),
        (tmp_path, "isn't a file"),
        (Path("/tmp/a\0b"), "NUL"),
    ):
        with pytest.raises(errors.ScriptUnreadable, match=why):
            ask(target.pid, path)
    code, _, problems = target.finish()
    assert (code, problems) == (3, "")


def test_a_script_in_another_mount_namespace_isn_t_asked_for(
    new_target: NewTarget, marker: Marker
) -> None:
    hide = f'mount -t tmpfs none {marker.script.parent} && exec "$@"'
    prefix = ["unshare", "-m", "sh", "-c", hide, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here: only root may make one")
    target = new_target("naps", prefix=prefix)
    with pytest.raises(errors.ScriptUnreadable, match="where the process looks"):
        ask(target.pid, marker.script)


# -- who can't be asked


def test_a_process_that_isn_t_there_is_said_to_be_so(marker: Marker) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(errors.NoSuchProcess):
        ask(process.pid, marker.script)


def test_a_zombie_is_said_to_have_ended(marker: Marker) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    targets.wait_for_state(process.pid, "Z")
    with pytest.raises(errors.TargetZombie, match=f"its parent {os.getpid()}"):
        ask(process.pid, marker.script)
    process.wait()


def test_a_stopped_target_is_left_alone(new_target: NewTarget, marker: Marker) -> None:
    target = new_target("busy")
    os.kill(target.pid, signal.SIGSTOP)
    targets.wait_for_state(target.pid, "T")
    with pytest.raises(errors.TargetStopped) as caught:
        ask(target.pid, marker.script)
    assert f"kill -CONT {target.pid}" in caught.value.advice
    assert targets.state_of(target.pid) == "T"


def test_what_isn_t_python_is_named(marker: Marker) -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        with pytest.raises(errors.NotPython, match="sleep"):
            ask(process.pid, marker.script)
    finally:
        process.kill()
        process.wait()


def test_a_target_that_shuts_down_is_left_alone(
    new_target: NewTarget, new_python: TargetPython, marker: Marker
) -> None:
    target = new_target("slow_exit", new_python)
    with pytest.raises(errors.TargetExiting):
        ask(target.pid, marker.script)
    assert target.result()[0] == 0


def test_an_older_python_has_no_safe_way_in(
    new_target: NewTarget, old_python: TargetPython, marker: Marker
) -> None:
    target = new_target("naps", old_python)
    with pytest.raises(errors.PythonTooOld) as caught:
        ask(target.pid, marker.script)
    assert f"%attach {target.pid} --legacy" in caught.value.advice


@pytest.mark.parametrize(
    ("options", "environment", "error"),
    [
        (["-X", "disable-remote-debug"], {}, errors.DisabledByFlag),
        (["-Xdisable-remote-debug"], {}, errors.DisabledByFlag),
        (["-B", "-OXdisable-remote-debug"], {}, errors.DisabledByFlag),
        ([], {"PYTHON_DISABLE_REMOTE_DEBUG": "0"}, errors.DisabledByVariable),
        ([], {"PYTHON_DISABLE_REMOTE_DEBUG": "1"}, errors.DisabledByVariable),
    ],
)
def test_a_program_that_doesn_t_want_to_be_debugged_isn_t(
    new_target: NewTarget,
    new_python: TargetPython,
    marker: Marker,
    options: list[str],
    environment: dict[str, str],
    error: type[errors.AttachError],
) -> None:
    target = new_target("naps", new_python, options=options, environment=environment)
    with pytest.raises(error):
        ask(target.pid, marker.script)
    assert target.finish()[0] == 3


def test_an_interpreter_that_says_no_by_itself_is_taken_for_built_so(
    new_target: NewTarget, marker: Marker
) -> None:
    target = new_target("naps")
    memory = Memory(target.pid)
    found = runtime.locate(memory)
    enabled = (
        runtime.site(memory, found).interpreter
        + found.offsets["debugger_support.remote_debugging_enabled"]
    )
    memory.write(enabled, bytes(4))
    with pytest.raises(errors.DisabledByBuild):
        ask(target.pid, marker.script)


# -- what goes wrong on the way


class Faulty(Memory):
    """Memory whose writes to one address go wrong."""

    __slots__ = ("_at", "_fault")

    def __init__(self, pid: int, at: Callable[[Memory], int], fault: str) -> None:
        super().__init__(pid)
        self._at = at(Memory(pid))
        self._fault = fault

    def write(self, address: int, data: bytes) -> None:
        if address != self._at or not any(data):
            super().write(address, data)
        elif self._fault == "lost":
            return
        elif self._fault == "partial":
            super().write(address, data[: len(data) // 2])
        else:
            super().write(address, data[:1])
            raise Unreadable(f"1 of {len(data)} bytes written at {address:#x}")


def site_of(memory: Memory) -> runtime.Site:
    return runtime.site(memory, runtime.locate(memory))


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("script_path", "lost"),
        ("script_path", "partial"),
        ("script_path", "refused"),
        ("pending", "refused"),
    ],
)
def test_a_write_that_goes_wrong_is_noticed_and_undone(
    new_target: NewTarget, marker: Marker, field: str, fault: str
) -> None:
    target = new_target("sleep")
    before = site_of(Memory(target.pid))
    memory = Faulty(target.pid, lambda there: getattr(site_of(there), field), fault)
    with pytest.raises(errors.WriteFailed, match="has been put back"):
        ask(target.pid, marker.script, memory=memory)
    there = Memory(target.pid)
    assert there.int32(before.pending) == 0
    assert there.read(before.script_path, 8) == bytes(8)
    assert target.finish()[0] == 3
    assert not marker.has_run


@pytest.mark.parametrize("step", list(Step))
def test_a_process_that_ends_at_any_step_is_said_to_have_ended(
    new_target: NewTarget, marker: Marker, step: Step
) -> None:
    target = new_target("sleep")

    def end(reached: Step) -> None:
        if reached is step:
            target.kill()

    with pytest.raises(errors.ProcessEnded, match=r"\(write\)"):
        ask(target.pid, marker.script, before=end)


@pytest.mark.parametrize("step", [Step.SELECT, Step.FLAG])
def test_a_main_thread_that_is_gone_isn_t_written_to(
    new_target: NewTarget, marker: Marker, step: Step
) -> None:
    target = new_target("sleep")
    memory = Memory(target.pid)
    found = runtime.locate(memory)
    there = runtime.site(memory, found)
    main = there.interpreter + found.offsets["interpreter_state.threads_main"]

    def forget_thread(reached: Step) -> None:
        if reached is step:
            memory.write(main, bytes(8))

    with pytest.raises((errors.TargetStarting, errors.ProcessEnded)):
        ask(target.pid, marker.script, before=forget_thread)
    memory.write(main, struct.pack("<Q", there.thread))
    assert memory.int32(there.pending) == 0
    assert memory.read(there.script_path, 8) == bytes(8)


def test_a_stale_cache_is_noticed_when_another_program_runs_in_the_process(
    new_target: NewTarget, marker: Marker, tmp_path: Path
) -> None:
    first = targets.require_target_python("3.15")
    second = targets.require_target_python("3.14")
    target = new_target("naps", first)
    old = runtime.locate(Memory(target.pid))
    assert runtime.locate(Memory(target.pid)).cached
    replace = tmp_path / "replace.py"
    program = [str(second.path), str(targets.PROGRAM), "naps"]
    replace.write_text(f"import os\nos.execv({program[0]!r}, {program!r})\n")
    ask(target.pid, replace)
    targets.wait_until(lambda: str(second.path) in os.readlink(f"/proc/{target.pid}/exe"))
    targets.wait_until(lambda: runtime_version(target.pid) == (3, 14))
    new = runtime.locate(Memory(target.pid))
    assert (old.version, new.version) == ((3, 15), (3, 14))
    ask(target.pid, marker.script)
    marker.wait()


def runtime_version(pid: int) -> tuple[int, int] | None:
    """Return the version once its interpreter has begun to run its program."""
    try:
        memory = Memory(pid)
        found = runtime.locate(memory)
        runtime.site(memory, found)
    except (errors.AttachError, Unreadable):
        return None
    return found.version


# -- time-outs of what doesn't wait by itself


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (None, errors.LocateTimeout),
        (Step.SELECT, errors.SelectTimeout),
        (Step.FLAG, errors.WriteTimeout),
        (Step.VERIFY, errors.WriteTimeout),
    ],
)
def test_a_phase_that_takes_too_long_is_named_and_nothing_is_left(
    new_target: NewTarget, marker: Marker, step: Step | None, error: type[errors.AttachTimeout]
) -> None:
    target = new_target("sleep")
    memory = Memory(target.pid)
    record = Record(target.pid, "safe", limit_s=0.5)

    def is_over() -> bool:
        return record.remaining_s == 0

    def wait(reached: Step | None) -> None:
        if reached is step:
            targets.wait_until(is_over)

    def get_in() -> None:
        with record.phase("locate"):
            found = runtime.locate(memory)
            wait(None)
        writer.inject(memory, found, str(marker.script), record=record, before=wait)

    with pytest.raises(error, match=r"0\.5 s"):
        get_in()
    assert memory.int32(site_of(memory).pending) == 0
    assert target.finish()[0] == 3
    assert not marker.has_run


# -- the standard library's way


def test_a_target_of_the_same_version_is_asked_by_the_standard_library(
    new_target: NewTarget, marker: Marker
) -> None:
    if not hasattr(sys, "remote_exec"):
        pytest.skip("sys.remote_exec came with Python 3.14")
    target = new_target("busy", targets.require_target_python("3.14"))
    record = Record(target.pid, "remote_exec")
    request = writer.hand_over(target.pid, str(marker.script), record=record)
    marker.wait()
    assert request.state() is State.UNKNOWN
    assert not request.take_back()
    assert record.phases_s.keys() == {"write"}


def test_what_the_standard_library_can_t_do_is_said(new_target: NewTarget, marker: Marker) -> None:
    target = new_target("naps", targets.require_target_python("3.15"))
    with pytest.raises(errors.NoWayHere, match=r"sys\.remote_exec"):
        writer.hand_over(target.pid, str(marker.script))
