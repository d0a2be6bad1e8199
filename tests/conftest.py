"""What holds for the whole test run: its own temporary folder, no process left, no silent skip.

Set NBDEBUG_REQUIRE_ALL=1 (as .ci/run does) and any skip that EXPECTED_SKIPS doesn't name fails the
run. Processes that outlive the tests always do.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from debuggee import Debuggee, debuggee_in
from interpreters import VERSIONS, require
from kernel_client import Kernel, running_kernel

from nbdebug.engine.variables import VariableStore

# Reasons, as regular expressions, for which a test may be skipped even where everything must run.
EXPECTED_SKIPS: tuple[str, ...] = (
    "no hardware watches here: ",  # containers often forbid perf events, and many VMs lack them
    "no (user|mount) namespaces here: ",  # containers mostly forbid them, as some kernels do
    "not root, so ",
    "(no setpriv|setpriv doesn't take the capability away) here",
    r"no Python 3\.\d+ here, which isn't needed otherwise",  # those that are only looked at
)

if TYPE_CHECKING:  # what isn't installed everywhere
    from lab import LabServer, OpenNotebook
    from playwright.sync_api import Browser

_skips: list[tuple[str, str]] = []
_left: dict[int, str] = {}


@pytest.fixture(params=VERSIONS)
def each_python(request: pytest.FixtureRequest) -> Path:
    """Run the test once on every supported Python: the path of its interpreter."""
    return require(request.param)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Debuggee]:
    """A program under the engine, in a thread of this process; the test is its client."""
    with debuggee_in(tmp_path) as running:
        yield running


@pytest.fixture
def store() -> VariableStore:
    """A store that shows values as at a stop."""
    from looking import new_store

    return new_store()


@pytest.fixture
def hurried() -> VariableStore:
    """A store that gives user code little time."""
    from looking import HURRIED, new_store

    return new_store(HURRIED)


@pytest.fixture
def looking() -> VariableStore:
    """A store that runs no user code."""
    from looking import new_store

    return new_store(run_code=False)


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["LabServer"]:
    """A JupyterLab server of the module's own, with our kernelspec."""
    from lab import LabServer

    lab = LabServer(tmp_path_factory.mktemp("lab"))
    lab.install_kernelspec()
    with lab:
        yield lab


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium."""
    from lab import find_chromium, running_chromium

    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium on the PATH")
    with running_chromium(executable) as running:
        yield running


@pytest.fixture
def open_notebook(
    server: "LabServer", browser: "Browser", request: pytest.FixtureRequest
) -> Iterator["OpenNotebook"]:
    """Write a notebook and open it in a browser's window of its own."""
    from lab import Notebook, keep_screenshot

    name = request.node.name
    context = browser.new_context(viewport={"width": 1400, "height": 900})

    def open_(cells: Sequence[str], kernel: str = "python3") -> Notebook:
        server.write_notebook(f"{name}.ipynb", cells, kernel)
        return Notebook(context.new_page(), server, f"{name}.ipynb")

    yield open_
    print(server.log)
    for page in context.pages:
        keep_screenshot(page, f"{name}-end")
    context.close()
    server.shut_down_kernels()


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
