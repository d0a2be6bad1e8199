"""Watches while many threads write, and while watches come and go: all is told, nothing breaks.

Each program runs in a process of its own: a fault here would end the interpreter. The fuzzer runs
for NBDEBUG_FUZZ_S seconds, a few without it.
"""

import os
import subprocess
from pathlib import Path

import pytest
from interpreters import ROOT

PROGRAMS = ROOT / "tests" / "programs"
SECONDS = float(os.environ.get("NBDEBUG_FUZZ_S", "3"))


def run(python: Path, program: str, *arguments: str, pure: bool = False) -> str:
    """Run a program, which must end well and without a complaint; return what it printed."""
    done = subprocess.run(
        [str(python), "-P", "-X", "faulthandler", str(PROGRAMS / program), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "NBDEBUG_PURE": "1" if pure else ""},
        capture_output=True,
        text=True,
        timeout=100 + SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("target", ["x", "thing.a", "items['k']"])
def test_each_write_of_many_threads_is_told_exactly(compiled: Path, target: str) -> None:
    assert run(compiled, "watch_threads.py", "5000", target, "exact") == "told 40000"


@pytest.mark.parametrize("target", ["x", "write_local:value"])
@pytest.mark.parametrize("pure", [False, True])
def test_each_write_of_many_threads_is_told_by_sites(
    each_python: Path, target: str, pure: bool
) -> None:
    assert run(each_python, "watch_threads.py", "5000", target, "auto", pure=pure) == "told 40000"


@pytest.mark.parametrize(("target", "way"), [("thing.a", "exact"), ("x", "sites")])
def test_a_hundred_thousand_writes_of_each_of_eight_threads_are_told(target: str, way: str) -> None:
    python = ROOT / ".venv" / "bin" / "python"
    assert run(python, "watch_threads.py", "100000", target, way) == "told 800000"


def test_watches_that_come_and_go_tell_exactly_what_happened(compiled: Path) -> None:
    assert run(compiled, "watch_fuzz.py", str(SECONDS), "auto,exact,sites,lines") == "ends"


def test_the_same_without_the_compiled_part(each_python: Path) -> None:
    assert run(each_python, "watch_fuzz.py", str(SECONDS), "sites,lines", pure=True) == "ends"


def test_a_forked_child_has_no_exact_watch_of_its_parent_and_may_set_its_own(
    compiled: Path,
) -> None:
    said = ["7", "child 7", "its own 3", "child ended 0", "20"]
    assert run(compiled, "watch_fork.py").splitlines() == said
