"""The policy in conftest.py, on small test runs of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from interpreters import ROOT

# The child ends with the pipe, that is with the test run itself, and not before.
LEAVES_A_PROCESS = """
import subprocess, sys
children = []
def test_it():
    program = [sys.executable, "-c", "print(flush=True); input()"]
    child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    children.append(child)
"""

SKIPS_IN_THE_TEST_AND_BEFORE = """
import pytest
def test_it(): pytest.skip("one reason")
@pytest.mark.skip(reason="another reason")
def test_that(): pass
"""

SKIPS_THE_FILE = "import pytest; pytest.skip('a third reason', allow_module_level=True)"


def run_pytest(
    folder: Path, *tests: str, require_all: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run test files of these contents under a copy of our conftest."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    for number, test in enumerate(tests):
        (folder / f"test_{number}.py").write_text(test)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder],
        cwd=folder,
        env=os.environ
        | {
            "NBDEBUG_REQUIRE_ALL": "1" if require_all else "",
            "PYTHONPATH": str(ROOT / "tests"),  # for what conftest itself imports
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_skips_are_fine_unless_everything_is_required(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, SKIPS_IN_THE_TEST_AND_BEFORE, SKIPS_THE_FILE)
    assert done.returncode == 0, done.stdout


def test_each_unexpected_skip_fails_the_run_where_everything_is_required(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, SKIPS_IN_THE_TEST_AND_BEFORE, SKIPS_THE_FILE, require_all=True)
    assert done.returncode == 1, done.stdout
    for what in ("test_0.py::test_it: one", "test_0.py::test_that: another", "test_1.py: a third"):
        assert f"UNEXPECTED SKIP {what} reason" in done.stdout


def test_a_run_without_skips_passes_where_everything_is_required(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "def test_it(): pass", require_all=True)
    assert done.returncode == 0, done.stdout


def test_a_process_left_behind_fails_the_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, LEAVES_A_PROCESS)
    assert done.returncode == 1, done.stdout
    assert "LEFT BEHIND process" in done.stdout
