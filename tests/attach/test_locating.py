"""Where the runtime of another process is found, and which processes are refused."""

import os
import subprocess
from pathlib import Path

import pytest
import targets
from targets import NewTarget, TargetPython

from nbdebug.attach import errors, offsets
from nbdebug.attach.looking import Look
from nbdebug.attach.memory import Memory
from nbdebug.attach.runtime import locate


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
    script = tmp_path / "becomes.py"
    program = (
        "import os, sys\n"
        "print('ready', flush=True)\n"
        "if sys.stdin.readline():\n"
        f"    os.execv({str(after.path)!r}, [{str(after.path)!r}, {str(script)!r}])\n"
    )
    with targets.running(script, program, before) as process:
        assert process.stdin is not None and process.stdout is not None
        memory = Memory(process.pid)
        assert locate(memory).version == (3, 13)
        process.stdin.write("on\n")
        process.stdin.flush()
        process.stdout.readline()
        found = locate(memory)
        assert (found.version, found.cached) == ((3, 14), False)


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
