#!/usr/bin/env python
"""screenshot.py - renew docs/images/panel.png: JupyterLab's panel at a stop in a small notebook.

Run it with .venv/bin/python; it needs Chromium.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lab import LabServer, Notebook, find_chromium, running_chromium  # noqa: E402
from playwright.sync_api import Locator, Page, ViewportSize, expect  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "panel.png"
SIZE: ViewportSize = {"width": 1400, "height": 900}
SIDEBAR_PX = 430
COLUMN_PX = 64  # of the table, before it is made wider
CELLS = (
    "# Which readings are off?\nTwo thermometers, one reading an hour.",
    "%load_ext nbdebug",
    """\
import numpy as np
import pandas as pd

rng = np.random.default_rng(7)
readings = pd.DataFrame({
    "sensor": np.repeat(["cellar", "roof"], 48),
    "hour": np.tile(np.arange(48), 2),
    "celsius": np.repeat([12.0, 21.0], 48) + rng.normal(0, 2, 96),
})
readings.iloc[[0, 1, 48]]""",
    """\
def outliers(frame, limit=2.0):
    found = []
    for sensor, group in frame.groupby("sensor"):
        celsius = group["celsius"].to_numpy()
        scores = (celsius - celsius.mean()) / celsius.std()
        found.append(group[abs(scores) > limit])
    return pd.concat(found)

off = outliers(readings)
off""",
)
STOP = "        found.append(group[abs(scores) > limit])"


def main() -> int:
    """Take the picture; return the exit code."""
    executable = find_chromium()
    if executable is None:
        print("screenshot: no Chromium on the PATH", file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="nbdebug-screenshot-") as folder,
        LabServer(Path(folder)) as server,
        running_chromium(executable) as browser,
    ):
        server.write_notebook("thermometers.ipynb", CELLS)
        page = browser.new_page(viewport=SIZE)
        notebook = Notebook(page, server, "thermometers.ipynb")
        stop(notebook)
        arrange(page)
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
        server.shut_down_kernels()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KiB")
    return 0


def stop(notebook: Notebook) -> None:
    """Run the cells up to a stop in the last one."""
    notebook.run(1, count=1)
    notebook.run(2, count=2)
    notebook.open_debugger()
    notebook.toggle_breakpoint(3, line=6, total=1)
    notebook.toggle_breakpoint(3, line=9, total=2)
    notebook.start(3)
    notebook.wait_for_stop("off = outliers(readings)")
    notebook.press("Continue")
    notebook.wait_for_stop(STOP)
    expect(notebook.variable("scores")).to_be_visible()


def arrange(page: Page) -> None:
    """Give the panel the room that the file browser has, and show the variables as a table."""
    page.keyboard.press("Control+b")
    left, _ = corner(page.locator("#jp-right-stack"))
    drag(page, (left - 2, 300), (SIZE["width"] - SIDEBAR_PX, 300))
    page.locator(".jp-TableView-Button").first.click()
    table = page.locator(".jp-DebuggerVariables-grid, .jp-DebuggerVariables .lm-DataGrid").first
    left, top = corner(table)
    drag(page, (left + 2 * COLUMN_PX, top + 10), (left + 2 * COLUMN_PX + 40, top + 10))
    page.mouse.move(600, 850)


def corner(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"], box["y"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()


if __name__ == "__main__":
    sys.exit(main())
