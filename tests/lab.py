"""A real JupyterLab server, and a notebook in a headless Chromium as a person uses it.

Every wait is for something that the page shows, with a limit that only a failure reaches. A test
file that imports this is skipped where playwright or JupyterLab isn't installed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright isn't installed: run `make setup`")
pytest.importorskip("jupyterlab", reason="JupyterLab isn't installed: run `make setup`")

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

# The page answers some clicks only after it has settled, and says nowhere when that is.
IN_BROWSER = [pytest.mark.browser, pytest.mark.timeout(240), pytest.mark.flaky(reruns=2)]

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
LIMIT_S = 60
Json = dict[str, Any]
SERVER_OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.port=0",
    "--ServerApp.ip=127.0.0.1",
    "--IdentityProvider.token=",
    "--ServerApp.disable_check_xsrf=True",
    "--LabApp.extension_manager=readonly",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A person who has used JupyterLab before: no question about news, no completer over the code.
SETTINGS = {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}


def keep_screenshot(page: Page, name: str) -> None:
    """Keep what a page shows now, in artifacts/."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name.removeprefix('test_')}.png")


def find_chromium() -> str | None:
    """Return the path of this machine's Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def running_chromium(executable: str) -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*CHROMIUM_OPTIONS])
        try:
            yield browser
        finally:
            browser.close()


class LabServer:
    """A JupyterLab server whose every folder lies below ``folder``.

    Kernels run in this interpreter. Use it in a ``with`` statement.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = ""
        self.url = ""
        self.notebooks = folder / "notebooks"
        self._settings = folder / "settings"
        self._ready = threading.Event()
        self.notebooks.mkdir(parents=True)
        for name, values in SETTINGS.items():
            file = self._settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))

    def install_kernelspec(self) -> None:
        """Install our kernelspec as a person does; call it before the server starts."""
        command = [sys.executable, "-m", "nbdebug", "install", "--prefix", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "JUPYTERLAB_SETTINGS_DIR": str(self._settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_PATH": str(self.folder / "share" / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *SERVER_OPTIONS, str(self.notebooks)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(LIMIT_S) or not self.url:
            self.close()
            raise RuntimeError(f"JupyterLab didn't start:\n{self.log}")
        return self

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log += line
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if found and not self.url:
                self.url = found[0]
                self._ready.set()
        self._ready.set()

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and its kernels, whatever they do."""
        self._process.terminate()
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(LIMIT_S)

    def kernels(self) -> list[str]:
        """Return the ids of the kernels that run."""
        with urllib.request.urlopen(f"{self.url}api/kernels", timeout=LIMIT_S) as reply:
            return [kernel["id"] for kernel in json.load(reply)]

    def shut_down_kernels(self) -> None:
        """End all kernels, as the user's menu does."""
        for kernel in self.kernels():
            request = urllib.request.Request(f"{self.url}api/kernels/{kernel}", method="DELETE")
            urllib.request.urlopen(request, timeout=LIMIT_S).close()

    def write_notebook(self, name: str, cells: Sequence[str], kernel: str = "python3") -> None:
        """Write a notebook for a kernel; a cell that starts with ``# `` is Markdown, else code."""
        written: list[Json] = []
        code: Json = {"cell_type": "code", "execution_count": None, "outputs": []}
        for number, source in enumerate(cells):
            kind = {"cell_type": "markdown"} if source.startswith("# ") else code
            written.append({"id": f"cell-{number}", "metadata": {}, "source": source, **kind})
        spec = {"name": kernel, "display_name": kernel}
        notebook = {"cells": written, "metadata": {"kernelspec": spec}, "nbformat": 4}
        (self.notebooks / name).write_text(json.dumps({**notebook, "nbformat_minor": 5}))

    def processes(self) -> list[str]:
        """Return the command lines of all that the server and its kernels started, and theirs."""
        mark = f"JUPYTER_RUNTIME_DIR={self.folder / 'runtime'}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended meanwhile, or is another user's
        return found


class Notebook:
    """The notebook in front in a page of JupyterLab. Cells are counted from 0, lines from 1."""

    def __init__(self, page: Page, server: LabServer, name: str) -> None:
        self.page = page
        self.name = name
        self.errors: list[str] = []
        page.set_default_timeout(LIMIT_S * 1000)
        expect.set_options(timeout=LIMIT_S * 1000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{server.url}lab/tree/{name}?reset", wait_until="domcontentloaded")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the kernel is idle and offers a debugger."""
        expect(self.bug).to_have_attribute("aria-disabled", "false")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        expect(self.panel.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle"
        )

    # -- notebooks

    @property
    def panel(self) -> Locator:
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    @property
    def tab(self) -> Locator:
        return self.page.locator("#jp-main-dock-panel .lm-TabBar-tab.jp-mod-current")

    def open_too(self, name: str) -> None:
        """Open another notebook in the same page, from the file browser."""
        self.page.locator(".jp-DirListing-item").filter(has_text=name).dblclick()
        expect(self.tab).to_have_text(name)
        self.wait_until_ready()

    def bring_to_front(self, name: str) -> None:
        """Click the tab of a notebook that is open."""
        self.page.locator("#jp-main-dock-panel .lm-TabBar-tab").filter(has_text=name).click()
        expect(self.tab).to_have_text(name)

    # -- cells

    def cell(self, index: int) -> Locator:
        return self.panel.locator(".jp-Cell").nth(index)

    def start(self, index: int) -> None:
        """Run a cell; don't wait for its end."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def run(self, index: int, count: int) -> None:
        """Run a cell to its end; it must be the kernel's ``count``-th."""
        self.start(index)
        self.wait_until_ran(index, count)

    def wait_until_ran(self, index: int, count: int) -> None:
        expect(self.cell(index).locator(".jp-InputPrompt")).to_have_text(f"[{count}]:")

    def prompt(self, index: int, count: int) -> Locator:
        """The cell's prompt, there once the cell's run number ``count`` has ended."""
        return self.cell(index).locator(".jp-InputPrompt", has_text=f"[{count}]:")

    def output(self, index: int) -> Locator:
        return self.cell(index).locator(".jp-OutputArea-output")

    def press_toolbar(self, title: str) -> None:
        """Press a button of the notebook's toolbar, such as Interrupt the kernel."""
        button = f'.jp-NotebookPanel-toolbar jp-button[title^="{title}"]'
        self.panel.locator(button).first.click()

    def restart_kernel(self) -> None:
        """Restart the kernel with the toolbar's button; wait until it is idle again."""
        self.press_toolbar("Restart the kernel")
        with self.page.expect_response(re.compile(r"/api/kernels/[^/]+/restart")):
            self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.wait_until_idle()

    # -- the debugger's panel

    @property
    def bug(self) -> Locator:
        return self.panel.locator(".jp-NotebookPanel-toolbar .jp-DebuggerBugButton")

    @property
    def sidebar(self) -> Locator:
        return self.page.locator("#jp-debugger-sidebar")

    @property
    def breakpoints(self) -> Locator:
        return self.page.locator(".jp-DebuggerBreakpoints-body .jp-DebuggerBreakpoint")

    @property
    def frames(self) -> Locator:
        return self.page.locator(".jp-DebuggerCallstack-body .jp-DebuggerCallstackFrame")

    @property
    def variables(self) -> Locator:
        return self.page.locator(".jp-DebuggerVariables-body").first

    @property
    def current_line(self) -> Locator:
        return self.page.locator(".jp-DebuggerEditor-highlight")

    @property
    def overlay(self) -> Locator:
        return self.page.locator(".jp-DebuggerPausedOverlay")

    def open_debugger(self) -> None:
        """Press the bug and wait for the panel."""
        self.bug.click()
        expect(self.sidebar).to_be_visible()
        expect(self.bug).to_have_attribute("aria-pressed", "true")

    def close_debugger(self) -> None:
        """Press the bug again."""
        self.bug.click()
        expect(self.bug).to_have_attribute("aria-pressed", "false")

    def toggle_breakpoint(self, index: int, line: int, total: int) -> None:
        """Click the gutter; wait until the panel lists ``total`` breakpoints."""
        gutter = self.cell(index).locator(".cm-gutter.cm-breakpoint-gutter > .cm-gutterElement")
        gutter.nth(line).click()  # the first is there for its width only
        expect(self.breakpoints).to_have_count(total)

    def press(self, title: str) -> None:
        """Press a button of the call stack's toolbar, such as Continue or Next."""
        self.page.locator(f'#jp-debugger-sidebar jp-button[title^="{title}"]').first.click()

    def choose_exception_filter(self, name: str) -> None:
        """Choose in the menu of the breakpoints' toolbar."""
        self.page.locator("#jp-debugger-sidebar jp-button.jp-PauseOnExceptions").click()
        self.page.locator(".lm-Menu-item", has_text=name).click()

    @property
    def console(self) -> Locator:
        return self.page.locator(".jp-DebugConsole")

    def evaluate(self, expression: str) -> str:
        """Evaluate in the debug console; return what it shows."""
        console = self.console
        if console.count() == 0:
            self.press("Evaluate")
        outputs = console.locator(".jp-OutputArea-output")
        count = outputs.count()
        console.locator(".jp-CodeConsole-promptCell .cm-content").click()
        self.page.keyboard.insert_text(expression)
        self.page.keyboard.press("Shift+Enter")
        expect(outputs).to_have_count(count + 1)
        return outputs.last.inner_text()

    def wait_for_stop(self, line: str) -> None:
        """Wait until the page shows a stop at this text, everywhere that it should."""
        expect(self.current_line).to_have_text([line])
        expect(self.overlay).to_be_visible()
        expect(self.frames.first).to_be_visible()

    def wait_for_end_of_stop(self) -> None:
        expect(self.overlay).to_have_count(0)
        expect(self.current_line).to_have_count(0)
        expect(self.frames).to_have_count(0)

    def variable(self, name: str) -> Locator:
        """Return the row of a variable in the tree."""
        return self.variables.locator(
            f"jp-tree-item:has(> .jp-DebuggerVariables-name:text-is({json.dumps(name)}))"
        )


OpenNotebook = Callable[..., Notebook]
"""What the fixture `open_notebook` gives."""
