"""The front ends without a debugger panel: nothing hangs there, and a stop says where it was."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient


def test_jupyter_console_prints_the_stop_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("jupyter_console")
    typed = [
        "%load_ext nbdebug",
        "%bp f",
        "def f(a): return a + 1",
        "",
        "print(f(41))",
        "%bp",
        "exit",
    ]
    command = [sys.executable, "-m", "jupyter_console", "--simple-prompt", "--no-confirm-exit"]
    done = subprocess.run(
        command,
        input="\n".join(typed) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=True,
    )
    said = done.stdout + done.stderr
    assert "42" in done.stdout
    assert "function breakpoint 1 at line 1 in f" in said and "no debugger is open" in said
    assert "bound" in done.stdout


@pytest.mark.parametrize("kernel", ["python3", "nbdebug-batch"])
def test_a_batch_run_with_breakpoints_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    load = "%load_ext nbdebug\n" if kernel == "python3" else ""
    if not load:
        install = [sys.executable, "-m", "nbdebug", "install", "--name", kernel]
        subprocess.run([*install, "--prefix", str(tmp_path)], check=True, capture_output=True)
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    cells = [load + "%bp f", "def f(a):\n    return a * 2\n", "print([f(i) for i in range(3)])"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=60, kernel_name=kernel).execute(cwd=str(tmp_path))
    texts = [o["text"] for o in notebook.cells[2].outputs if o["output_type"] == "stream"]
    assert "[0, 2, 4]\n" in texts
    [said] = [text for text in texts if text.startswith("nbdebug:")]
    assert said.count("\n") == 1 and "function breakpoint 1 at line 2 in f of another cell" in said
