"""What holds for the whole test run: its own temporary folder, no process left, no silent skip.

Set NBDEBUG_REQUIRE_ALL=1 (as .ci/run does) and any skip that EXPECTED_SKIPS doesn't name fails the
run. Processes that outlive the tests always do.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from interpreters import VERSIONS, require
from kernel_client import Kernel, running_kernel

# Reasons, as regular expressions, for which a test may be skipped even where everything must run.
EXPECTED_SKIPS: tuple[str, ...] = (
    "no hardware watches here: ",  # containers often forbid perf events, and many VMs lack them
)

_skips: list[tuple[str, str]] = []
_left: dict[int, str] = {}


@pytest.fixture(params=VERSIONS)
def each_python(request: pytest.FixtureRequest) -> Path:
    """Run the test once on every supported Python: the path of its interpreter."""
    return require(request.param)


@pytest.fixture
def kernel(each_python: Path) -> Iterator[Kernel]:
    """A kernel of the test's own with nbdebug loaded, once on every supported Python."""
    with running_kernel(python=str(each_python)) as running:
        yield running


@pytest.fixture
def here() -> Iterator[Kernel]:
    """A kernel of the test's own with nbdebug loaded, on the Python that runs the tests."""
    with running_kernel() as running:
        yield running


# Everything that tests start inherits this folder: it shows whose a process is, and takes what
# kernels leave behind (ipykernel never removes the folder with its cells).


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # tmp_path stays there
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="nbdebug-tests-")
    config.add_cleanup(lambda: shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True))


def processes_left(limit_s: float) -> dict[int, str]:
    """Return the processes that tests started, by pid, after giving them the time to end."""
    deadline = time.monotonic() + limit_s
    while (found := _processes_of_tests()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _processes_of_tests() -> dict[int, str]:
    mark = f"TMPDIR={os.environ['TMPDIR']}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if "multiprocessing.resource_tracker" not in command:  # it ends with this process
                    found[int(folder.name)] = command.strip()
        except OSError:
            continue  # it has ended meanwhile, or is another user's
    return found


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skips.append((report.nodeid, _reason(report)))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skips.append((report.nodeid, _reason(report)))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _unexpected_skips() -> list[tuple[str, str]]:
    if os.environ.get("NBDEBUG_REQUIRE_ALL") != "1":
        return []
    return [
        (node, why) for node, why in _skips if not any(re.match(e, why) for e in EXPECTED_SKIPS)
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    _left.update(processes_left(limit_s=3))
    if session.exitstatus == 0 and (_left or _unexpected_skips()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for pid, command in _left.items():
        terminalreporter.write_line(f"LEFT BEHIND process {pid}: {command}", red=True)
    for node, why in _unexpected_skips():
        terminalreporter.write_line(f"UNEXPECTED SKIP {node}: {why}", red=True)
