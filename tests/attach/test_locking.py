"""One attacher per process, and nothing left behind."""

import os
import subprocess
import sys

import pytest
import targets
from interpreters import ROOT
from targets import NewTarget

from nbdebug.attach import errors, locking
from nbdebug.attach.locking import PidLock

HOLDER = """
import sys
sys.path.insert(0, {root!r})
from nbdebug.attach.locking import PidLock
lock = PidLock({pid})
print("locked", flush=True)
input()
"""


def test_a_second_attacher_is_kept_out_until_the_first_is_done(new_target: NewTarget) -> None:
    target = new_target("naps")
    with PidLock(target.pid):
        assert locking.holder_of(target.pid) == os.getpid()
        with pytest.raises(errors.AlreadyAttached):
            PidLock(target.pid)
    assert locking.holder_of(target.pid) == 0
    PidLock(target.pid).release()


def test_another_process_that_holds_the_lock_is_named_and_its_end_frees_it(
    new_target: NewTarget,
) -> None:
    target = new_target("naps")
    program = HOLDER.format(root=str(ROOT), pid=target.pid)
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        with pytest.raises(errors.AttachedByOther, match=str(other.pid)) as caught:
            PidLock(target.pid)
        assert f"process {other.pid}" in caught.value.advice
    finally:
        other.kill()
        other.communicate()
    PidLock(target.pid).release()


def test_a_lock_that_a_forked_child_has_inherited_is_freed_with_ours(new_target: NewTarget) -> None:
    target = new_target("naps")
    lock = PidLock(target.pid)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.read(reading, 1)
        os._exit(0)
    try:
        lock.release()
        PidLock(target.pid).release()
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_a_process_that_isn_t_there_can_t_be_locked() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(errors.NoSuchProcess):
        PidLock(process.pid)


def test_releasing_twice_changes_nothing(new_target: NewTarget) -> None:
    target = new_target("naps")
    lock = PidLock(target.pid)
    lock.release()
    with PidLock(target.pid):
        lock.release()
        assert locking.holder_of(target.pid) == os.getpid()
    assert targets.state_of(target.pid) in "SR"
