"""JupyterLab's own panel shows a launched script as it shows a cell, and the kernel again after it.

Screenshots are kept in artifacts/.
"""

import re

from lab import IN_BROWSER, LabServer, OpenNotebook, keep_screenshot
from playwright.sync_api import expect

pytestmark = IN_BROWSER

LOAD = "%load_ext nbdebug"
SCRIPT = """\
import sys

def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)

readings = [int(word) for word in sys.argv[1:]]
print("mean of", len(readings), "readings")
print("mean:", mean(readings))
"""
IN_LOOP = "        total += value"
LOOP = "    for value in values:"
CELL = """\
def double(x):
    return 2 * x

print(double(21))
"""


def test_the_panel_follows_a_script_to_its_end_and_then_stops_in_a_cell(
    open_notebook: OpenNotebook,
    server: LabServer,
) -> None:
    (server.notebooks / "train.py").write_text(SCRIPT)
    notebook = open_notebook([LOAD, "%debug_script --break train.py:6 train.py 1 2 6", CELL])
    notebook.run(0, count=1)
    notebook.open_debugger()
    notebook.start(1)

    expect(notebook.tab).to_have_text("train.py")  # read-only, with the stop
    expect(notebook.current_line).to_have_text([IN_LOOP])
    expect(notebook.frames).to_have_text([re.compile(r"^mean.*:6$"), re.compile("^<module>.*:11$")])
    expect(notebook.variable("values")).to_have_text("values" + "list (3)")
    expect(notebook.variable("total")).to_have_text("total" + "0")
    keep_screenshot(notebook.page, "session-stopped")

    notebook.press("Next")
    expect(notebook.current_line).to_have_text([LOOP])
    expect(notebook.variable("total")).to_have_text("total" + "1")
    assert notebook.evaluate("total * 100 + len(values)") == "103"

    notebook.press("Continue")
    expect(notebook.current_line).to_have_text([IN_LOOP])
    expect(notebook.variable("value")).to_have_text("value" + "2")
    notebook.press("Continue")
    expect(notebook.variable("value")).to_have_text("value" + "6")
    notebook.press("Continue")
    notebook.wait_for_end_of_stop()
    notebook.bring_to_front(f"{notebook.name}")
    notebook.wait_until_ran(1, count=2)
    expect(notebook.output(1)).to_have_text(
        re.compile(
            r"mean of 3 readings\s+mean: 3.0\s+train.py \(\d+\) ended with exit code 0; "
            r"the kernel is the current session again."
        )
    )
    keep_screenshot(notebook.page, "session-ended")

    notebook.toggle_breakpoint(2, line=2, total=1)
    notebook.start(2)
    notebook.wait_for_stop("    return 2 * x")
    expect(notebook.variable("x")).to_have_text("x" + "21")
    notebook.press("Continue")
    notebook.wait_for_end_of_stop()
    notebook.wait_until_ran(2, count=3)


def test_the_panel_shows_the_session_that_is_switched_to(
    open_notebook: OpenNotebook,
    server: LabServer,
) -> None:
    (server.notebooks / "steady.py").write_text(SCRIPT)
    cells = [
        LOAD,
        "%debug_script --no-wait --break steady.py:6 steady.py 1 2 6",
        "%session kernel",
        "%session steady.py",
    ]
    notebook = open_notebook(cells)
    notebook.run(0, count=1)
    notebook.open_debugger()
    notebook.start(1)
    expect(notebook.current_line).to_have_text([IN_LOOP])
    expect(notebook.frames).to_have_count(2)

    notebook.bring_to_front(notebook.name)
    expect(notebook.output(1)).to_contain_text("Stopped by breakpoint")
    notebook.run(2, count=3)
    expect(notebook.output(2).locator("tbody tr")).to_have_count(2)
    expect(notebook.frames).to_have_count(0)
    keep_screenshot(notebook.page, "session-kernel")

    notebook.start(3)
    expect(notebook.frames).to_have_count(2)
    expect(notebook.current_line).to_have_text([IN_LOOP])
    expect(notebook.variable("total")).to_have_text("total" + "0")
    notebook.bring_to_front(notebook.name)
    keep_screenshot(notebook.page, "session-switched")
    for _ in range(3):
        expect(notebook.frames).to_have_count(2)
        notebook.press("Continue")
    notebook.wait_for_end_of_stop()
    expect(notebook.output(1)).to_contain_text("ended with exit code 0")
    expect(notebook.output(1)).to_contain_text("mean: 3.0")
    keep_screenshot(notebook.page, "session-display")
