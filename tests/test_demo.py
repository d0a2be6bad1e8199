"""The demo runs to its end on a real kernel, and fails loudly where something doesn't happen."""

import importlib
import os
import subprocess
import sys
from types import ModuleType

import pytest
from interpreters import ROOT

DEMO = ROOT / "tools" / "demo.py"


def test_the_demo_shows_everything_and_says_where_to_go_on() -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-2:] == [
        "All of this happened in real processes.",
        "The same with gutter and panel, in JupyterLab:  make lab",
    ]
    assert sum(line[:1].isdigit() for line in lines) == 8, "eight acts"
    assert "\x1b" not in done.stdout, "colours, although this is no terminal"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEMO.parent))
    return importlib.import_module("demo")


class NoKernel:
    """Stands in for a kernel; remembers whether it was closed."""

    closed = 0

    def __init__(self, folder: str) -> None:
        assert os.path.isdir(folder)

    def close(self) -> None:
        NoKernel.closed += 1


def test_what_does_not_happen_is_said_and_ends_the_demo(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(kernel: object, folder: str) -> None:
        demo.expect(1 + 1 == 3, "arithmetic to fail")

    monkeypatch.setattr(demo, "Kernel", NoKernel)
    monkeypatch.setattr(demo, "ACTS", (act, act))
    assert demo.main() == 1
    said = capsys.readouterr()
    assert said.err == "\nThe demo failed: expected arithmetic to fail\n"
    assert "All of this happened" not in said.out
    assert NoKernel.closed == 1
