"""Whatever phase an attach is in when its time is over: it is named, and nothing is left."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import targets
from targets import NewTarget, TargetPython

from nbdebug.attach import attaching, errors, records, runtime
from nbdebug.attach.memory import Memory
from nbdebug.attach.records import Record


def limits_s() -> Iterator[float]:
    """Longer and longer ones."""
    limit_s = 0.0005
    while limit_s < targets.LIMIT_S:
        yield limit_s
        limit_s *= 1.3


def test_each_time_limit_ends_in_one_phase_and_leaves_the_target_as_it_was(
    new_target: NewTarget, new_python: TargetPython
) -> None:
    target = new_target("sleep", new_python)
    seen, told = set(), []
    for limit_s in limits_s():
        try:
            link = attaching.attach(target.pid, timeout_s=limit_s)
        except errors.AttachTimeout as error:
            seen.add(type(error))
            told.append((records.latest().failure, error.slug))
        else:
            link.close()
            break
    assert errors.EngineTimeout in seen
    assert len(seen) > 1
    assert all(recorded == raised for recorded, raised in told)
    there = Memory(target.pid)
    assert there.int32(runtime.site(there, runtime.locate(there)).pending) == 0
    code, _, problems = target.finish()
    assert (code, problems) == (3, "")


def test_the_longest_phase_is_the_one_that_is_named() -> None:
    for phase in ("locate", "offsets"):
        record = Record(1, "safe", limit_s=0.0)
        with pytest.raises(errors.TIMEOUTS[phase]):
            record.spent({"locate": 0.1, "offsets": 0.1, phase: 0.2})


def test_a_folder_that_can_t_be_made_is_named(new_target: NewTarget) -> None:
    places = [place for place in ("/tmp", "/var/tmp", "/run", "/dev/shm") if Path(place).is_dir()]
    lock = " && ".join(f"mount --bind {p} {p} && mount -o remount,bind,ro {p}" for p in places)
    prefix = ["unshare", "-m", "sh", "-c", f'{lock} && exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here: only root may make one")
    target = new_target("naps", prefix=prefix)
    before = sorted(os.listdir("/tmp"))
    with pytest.raises(errors.SocketFolderUnwritable, match="Read-only file system"):
        attaching.attach(target.pid)
    assert sorted(os.listdir("/tmp")) == before
