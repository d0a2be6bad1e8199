"""The notebooks run without a panel, in a kernel of this Python, and show what they promise."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pytest
from interpreters import ROOT
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from kernel_client import Kernel, running_kernel
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


class ThisPython(AsyncKernelManager):
    """Starts kernels of this interpreter, whatever kernelspecs are installed."""

    kernel_spec = KernelSpec(argv=make_ipkernel_cmd(extra_arguments=["--log-level=ERROR"]))


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell: what it says, printed, complained of, and showed as its result."""

    source: str
    printed: str
    complained: str
    result: str

    def rows(self) -> dict[str, str]:
        """Return the rows of a table of breakpoints by their place."""
        found = (line.split(maxsplit=2) for line in self.result.splitlines()[1:])
        return {place: rest for _, place, rest in found}


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@cache
def ran(name: str) -> list[Cell]:
    """Run a notebook from its first cell to its last; return its code cells."""
    notebook = read(ROOT / "notebooks" / f"{name}.ipynb")
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_manager_class=ThisPython,
            timeout=60,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
        assert not list(Path(folder).iterdir()), "the notebook leaves files behind"
    return [shown(cell) for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any) -> Cell:
    streams = {"stdout": "", "stderr": ""}
    result = ""
    for output in cell.outputs:
        if output.output_type == "stream":
            streams[output.name] += output.text
        elif output.output_type == "execute_result":
            result = output.data["text/plain"]
    return Cell(cell.source, streams["stdout"], streams["stderr"], result)


def the_cell(name: str, text: str) -> Cell:
    """Return the only code cell of a notebook that contains ``text``."""
    [found] = [cell for cell in ran(name) if text in cell.source]
    return found


def after(name: str, cell: Cell) -> Cell:
    """Return the code cell behind another."""
    cells = ran(name)
    return cells[cells.index(cell) + 1]


def stops(cell: Cell) -> list[str]:
    """Return the lines that say where the run would have stopped."""
    return [line for line in cell.complained.splitlines() if line.startswith("nbdebug:")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_with_a_title_and_is_kept_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"


# -- tour


def test_the_tour_says_that_the_engine_is_on() -> None:
    assert re.search(r"engine +on", the_cell("tour", "%nbdebug").result)


def test_the_tours_breakpoint_is_pending_then_prints_its_stop_then_is_bound() -> None:
    cell = next(cell for cell in ran("tour") if cell.source == "%bp mean")
    assert "pending" in cell.rows()["mean()"]
    run = the_cell("tour", "mean([1, 5, 2, 8])")
    [line] = stops(run)
    assert "function breakpoint 1 at line 2 in mean" in line and "press the bug" in line
    assert run.result == "4.0"
    assert after("tour", run).rows()["mean()"].split() == ["bound", "1"]


def test_the_tours_condition_holds_for_one_of_two_calls() -> None:
    cell = the_cell("tour", "print(mean([1, 2])")
    assert len(stops(cell)) == 1 and cell.printed == "1.5 2.5\n"


def test_the_tours_log_messages_stand_in_the_output() -> None:
    cell = the_cell("tour", '%bp --log "{name}')
    assert cell.printed.splitlines() == [
        "Ada has 3 letters",
        "Hello, Ada",
        "Grace has 5 letters",
        "Hello, Grace",
    ]


def test_the_tours_deferred_breakpoint_goes_from_pending_to_bound() -> None:
    assert "pending" in the_cell("tour", "%bp prices.py:3").rows()["prices.py:3"]
    run = the_cell("tour", "prices.gross(80)")
    [line] = stops(run)
    assert "at line 3 in gross" in line
    assert run.result == "100.0"
    assert "bound" in after("tour", run).rows()["prices.py:3"]


# -- breakpoints


def test_a_breakpoint_on_a_comment_moves_to_the_next_line_with_code() -> None:
    [line] = stops(the_cell("breakpoints", "answer = 6 * 7"))
    assert "at line 4" in line


def test_functions_and_methods_stop_by_name() -> None:
    first, second = stops(the_cell("breakpoints", "class Square"))
    assert "in Square.scaled" in first and "in area" in second


def test_breakpoints_of_a_file_a_module_and_its_function_wait_for_them() -> None:
    places = {"shapes.py:3", "shapes:6", "shapes.Circle.area()"}
    before = the_cell("breakpoints", "%bp shapes:6").rows()
    assert before.keys() == places and all("pending" in row for row in before.values())
    run = the_cell("breakpoints", "import shapes")
    assert [re.search(r"line \d+", line)[0] for line in stops(run)] == [  # type: ignore[index]
        "line 6",
        "line 3",
        "line 12",
    ]
    after_it = after("breakpoints", run).rows()
    assert after_it.keys() == places and all("bound" in row for row in after_it.values())


def test_a_condition_is_told_once_a_run_and_one_that_raises_is_reported() -> None:
    cell = the_cell("breakpoints", "startswith")
    assert len(stops(cell)) == 1 and cell.result == "[1, 4, 2, 4, 5]"
    [line] = stops(the_cell("breakpoints", "wrod"))
    assert "NameError: name 'wrod' is not defined" in line


def test_hit_conditions_and_log_messages_print() -> None:
    cell = the_cell("breakpoints", '--hits "%3"')
    assert cell.printed.splitlines() == [
        "after 3 steps: 3",
        "after 6 steps: 15",
        "after 9 steps: 36",
    ]
    [row] = after("breakpoints", cell).rows().values()
    assert "hits %3" in row and row.endswith("9")
    assert the_cell("breakpoints", "{share:.1%}").printed == "step=3 75.0%\nstep=4 100.0%\n"


def test_breakpoints_go_off_and_on() -> None:
    printed = {n: the_cell("breakpoints", f"double({n})").printed.splitlines() for n in (1, 2, 3)}
    assert printed == {
        1: ["doubling 1", "tripling 1", "2 3"],
        2: ["4 6"],
        3: ["doubling 3", "tripling 3", "6 9"],
    }
    assert "disabled" in the_cell("breakpoints", "%bp disable all").rows()["double()"]


def test_mistakes_are_answered() -> None:
    cell = the_cell("breakpoints", "--hits often")
    condition, hits, place = cell.complained.splitlines()
    assert "isn't a Python expression" in condition
    assert "isn't a hit condition" in hits
    assert "needs one place" in place
    [row] = cell.rows().values()
    assert "1000" in row and "failed" in row


# -- stepping and variables


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


def lines_to_click() -> list[Any]:
    """Return (cell, line) for each cell whose text says left of which line to click."""
    found, text = [], ""
    for cell in read(ROOT / "notebooks" / "stepping_and_variables.ipynb").cells:
        if cell.cell_type == "markdown":
            text = cell.source
        elif match := re.search(r"left of line (\d+)", " ".join(text.split())):
            name = cell.source.splitlines()[int(match[1]) - 1].strip()
            found.append(pytest.param(cell.source, int(match[1]), id=name))
    return found


def test_stepping_and_variables_runs_without_a_panel() -> None:
    results = [cell.result for cell in ran("stepping_and_variables") if cell.result]
    assert results == [
        "11.25",
        "'fig'",
        "[1, None, 3]",
        "14",
        "(1000000, -8.0)",
        "(3000000, (1000000, 2))",
        "'fine'",
        "125.0",
    ]
    assert not any(cell.complained for cell in ran("stepping_and_variables"))


@pytest.mark.parametrize(("code", "line"), lines_to_click())
def test_the_lines_to_click_are_lines_that_stop(kernel: Kernel, code: str, line: int) -> None:
    path = kernel.ask("dumpCell", code=code)["sourcePath"]
    source = {"path": path}
    [found] = kernel.ask("setBreakpoints", source=source, breakpoints=[{"line": line}])[
        "breakpoints"
    ]
    assert found["verified"] and found["line"] == line
    kernel.run_to_stop(code)
    assert kernel.frames()[0]["line"] == line
    kernel.ask("setBreakpoints", source=source, breakpoints=[])
    assert kernel.resume()["status"] == "ok"


def test_every_cell_with_something_to_click_is_tested() -> None:
    assert len(lines_to_click()) == 8


# -- scripting


def test_the_script_finds_the_bug_and_cures_it_without_a_hand_on_the_mouse() -> None:
    assert "[10, 12, 9]" in the_cell("scripting", "session.run(program)").result
    stop = the_cell("scripting", "wait.stop.description").result
    assert "stopped" in stop and "in bill" in stop
    assert the_cell("scripting", "session.stack()").result == "[('bill', 8), ('<module>', 13)]"
    assert "discounts = {'tea': 1}" in the_cell("scripting", "session.variables()").printed
    assert the_cell("scripting", "__defaults__").result == "'True'"
    assert "[10, 12, 10]" in the_cell("scripting", "discounts.clear()").result


# -- watches


def test_the_watch_names_the_helper_that_overwrites_the_column() -> None:
    assert the_cell("watches", "expected = report").result == "(909.0, 1010.0)"
    printed = the_cell("watches", "tidy = clean").printed
    assert re.fullmatch(
        r"orders\['price'\] changed: Series\(\[2.0, 150.0, 30.0\]\) -> "
        r"Series\(\[1.8, 135.0, 27.0\]\) at cell \[\d+\] line 10, in discount\(\)\n",
        printed,
    )


def test_watches_of_numbers_have_a_history_and_hidden_writes_are_told() -> None:
    history = the_cell("watches", "%watch rate --history").result
    assert len(history.splitlines()) == 6 and "in train()" in history
    spent = the_cell("watches", "def spend").printed
    assert [line.partition(" changed")[0] for line in spent.splitlines()] == [
        "limits['day']",
        "mine.total",
        "mine.total",
        "limits['day']",
    ]
    hidden = the_cell("watches", 'globals()["rate"] = 0').complained
    assert "rate changed outside watched code between" in hidden


def test_an_element_of_an_array_is_watched_through_its_views() -> None:
    printed = the_cell("watches", "def normalise(values):").printed
    assert [re.sub(r" at cell .*", "", line) for line in printed.splitlines()] == [
        "weights[2] changed: 0.0 -> 1.0",
        "weights[2] changed: 1.0 -> 0.3333333333333333",
    ]


def test_watches_in_python_have_a_frame_and_may_raise() -> None:
    framed = the_cell("watches", "seen.history.to_frame()").result
    assert len(framed.splitlines()) == 5
    assert the_cell("watches", "careless()").printed.startswith("DataChanged: limits changed:")


# -- scripts


def test_a_script_is_run_stopped_mended_and_run_to_its_end() -> None:
    fine = the_cell("scripts", "roof=21.5")
    assert fine.printed.startswith("roof 21.8\ncellar 12.2\nstations.py (")
    failing = the_cell("scripts", "%debug_script {script} roof=-21.5")
    assert "exit code 1" in failing.printed and "ZeroDivisionError" in failing.complained
    assert "line 7 in mean" in the_cell("scripts", "nbdebug.launch").printed
    assert "stations.py" in the_cell("scripts", "%session").result
    assert the_cell("scripts", 'evaluate("stations")').printed.startswith("0.0 {'roof': []")
    assert the_cell("scripts", "session.resume()").printed == "0 roof -21.5\ncellar 12.2\n\n"


# -- exceptions


def test_postmortem_shows_the_frames_and_the_innermost_ones_variables() -> None:
    first, second = [cell for cell in ran("exceptions") if cell.source == "%postmortem"]
    assert "ZeroDivisionError: division by zero" in first.printed
    rows = first.result.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["share", "shares", "<module>"]
    assert "total = 12; people = 0" in rows[0]
    assert "ConfigError: the configuration is no JSON" in second.printed
    assert second.result.splitlines()[1].startswith("read")


def test_attach_finds_why_a_worker_is_stuck_and_lets_it_go() -> None:
    assert "worker.py" in the_cell("attach", '"processes"').result
    stack = the_cell("attach", '"stack"').result
    assert "wait_for_more" in stack and "closed = False" in stack and "todo = []" in stack
    assert the_cell("attach", "record.line()").printed.startswith("Attached to process")
    assert "line 7 in wait_for_more" in the_cell("attach", "add_breakpoint").result
    assert "closed = False" in the_cell("attach", "session.variables").printed
    assert "ENDED" in the_cell("attach", "closed = True").result
    ended = the_cell("attach", "worker.wait()")
    assert (ended.printed, ended.result) == ("the worker has ended\n\n", "0")
    assert "safe attached ['locate', " in the_cell("attach", "records()").printed
