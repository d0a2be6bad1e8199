"""JupyterLab's own debugger panel on our engine, as a person uses it, in a headless Chromium.

Screenshots are kept in artifacts/.
"""

import re

from lab import IN_BROWSER, LabServer, OpenNotebook, keep_screenshot
from playwright.sync_api import expect

pytestmark = IN_BROWSER

LOAD = "%load_ext nbdebug"
MEAN = """\
def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)

result = mean([1, 2, 6])
print("mean:", result)
"""
IN_LOOP = "        total += value"
LOOP = "    for value in values:"


def debugpy_processes(server: LabServer) -> list[str]:
    return [command for command in server.processes() if "debugpy" in command]


def test_the_panel_stops_shows_steps_evaluates_and_goes_on(
    open_notebook: OpenNotebook, server: LabServer
) -> None:
    notebook = open_notebook([LOAD, MEAN])
    notebook.run(0, count=1)
    notebook.open_debugger()
    notebook.toggle_breakpoint(1, line=4, total=1)
    expect(notebook.breakpoints).to_have_text([re.compile(r"^Cell \[ \]4$")])

    notebook.start(1)
    notebook.wait_for_stop(IN_LOOP)
    expect(notebook.frames).to_have_text(["meanCell [*]:4", "<module>Cell [*]:7"])
    expect(notebook.variable("values")).to_have_text("values" + "list (3)")
    expect(notebook.variable("value")).to_have_text("value" + "1")
    expect(notebook.variable("total")).to_have_text("total" + "0")
    keep_screenshot(notebook.page, "panel-stopped")

    notebook.press("Next")
    notebook.wait_for_stop(LOOP)
    expect(notebook.frames.first).to_have_text("meanCell [*]:3")
    expect(notebook.variable("total")).to_have_text("total" + "1")

    assert notebook.evaluate("total * 100 + len(values)") == "103"
    notebook.frames.first.click()  # JupyterLab empties the variables at each evaluation
    expect(notebook.variable("total")).to_have_text("total" + "1")
    keep_screenshot(notebook.page, "panel-evaluated")

    notebook.press("Continue")
    expect(notebook.variable("value")).to_have_text("value" + "2")
    notebook.wait_for_stop(IN_LOOP)
    assert debugpy_processes(server) == []

    notebook.toggle_breakpoint(1, line=4, total=0)
    notebook.press("Continue")
    notebook.wait_for_end_of_stop()
    notebook.wait_until_ran(1, count=2)
    expect(notebook.output(1)).to_have_text("mean: 3.0\n")

    notebook.close_debugger()
    expect(notebook.breakpoints).to_have_count(0)
    notebook.run(1, count=3)
    assert debugpy_processes(server) == []
    assert notebook.errors == []


def test_an_uncaught_error_stops_live_and_postmortem_opens_it_again(
    open_notebook: OpenNotebook,
) -> None:
    failing = "def share(total, people):\n    return total / people\n\nprint(share(12, 0))"
    notebook = open_notebook([LOAD, failing, "%postmortem"])
    notebook.run(0, count=1)
    notebook.open_debugger()
    notebook.choose_exception_filter("uncaught")

    notebook.start(1)
    notebook.wait_for_stop("    return total / people")
    expect(notebook.frames).to_have_text(["shareCell [*]:2", "<module>Cell [*]:4"])
    expect(notebook.variable("people")).to_have_text("people" + "0")
    expect(notebook.variable("(exception)")).to_have_text("(exception)" + "ZeroDivisionError")
    keep_screenshot(notebook.page, "exception-stopped")
    notebook.press("Continue")
    notebook.wait_for_end_of_stop()
    expect(notebook.output(1)).to_contain_text("ZeroDivisionError: division by zero")

    notebook.start(2)
    notebook.wait_for_stop("    return total / people")
    expect(notebook.frames).to_have_text(["shareCell [2]:2", "<module>Cell [2]:4"])
    expect(notebook.variable("total")).to_have_text("total" + "12")
    keep_screenshot(notebook.page, "post-mortem")
    notebook.press("Continue")
    notebook.wait_for_end_of_stop()
    notebook.wait_until_ran(2, count=3)


def test_loading_takes_over_from_the_stock_debugger_and_keeps_its_breakpoints(
    open_notebook: OpenNotebook, server: LabServer
) -> None:
    notebook = open_notebook([LOAD, MEAN])
    notebook.open_debugger()
    notebook.toggle_breakpoint(1, line=4, total=1)
    assert debugpy_processes(server) != []

    notebook.run(0, count=1)
    expect(notebook.bug).to_have_attribute("aria-pressed", "true")
    expect(notebook.breakpoints).to_have_count(1)
    notebook.start(1)
    notebook.wait_for_stop(IN_LOOP)
    expect(notebook.variable("value")).to_have_text("value" + "1")
    keep_screenshot(notebook.page, "panel-taken-over")
    notebook.close_debugger()
    notebook.wait_for_end_of_stop()
    notebook.wait_until_ran(1, count=2)
    expect(notebook.output(1)).to_have_text("mean: 3.0\n")


def test_an_interrupt_ends_a_stopped_cell_and_the_next_run_stops_again(
    open_notebook: OpenNotebook,
) -> None:
    notebook = open_notebook([MEAN], kernel="nbdebug")
    notebook.open_debugger()
    notebook.toggle_breakpoint(0, line=4, total=1)
    notebook.start(0)
    notebook.wait_for_stop(IN_LOOP)
    notebook.press_toolbar("Interrupt the kernel")
    notebook.wait_for_end_of_stop()
    notebook.wait_until_ran(0, count=1)
    expect(notebook.output(0)).to_contain_text("KeyboardInterrupt")
    keep_screenshot(notebook.page, "panel-interrupted")
    assert "nbdebug" not in notebook.output(0).inner_text()
    notebook.start(0)
    notebook.wait_for_stop(IN_LOOP)


def test_a_stop_leaves_the_user_where_they_are(
    open_notebook: OpenNotebook, server: LabServer
) -> None:
    """In the console, or in another notebook: JupyterLab goes to a frame whose id is new."""
    server.write_notebook("another.ipynb", ["6 * 7"])
    notebook = open_notebook([MEAN], kernel="nbdebug")
    notebook.open_debugger()
    notebook.toggle_breakpoint(0, line=4, total=1)
    notebook.start(0)
    notebook.wait_for_stop(IN_LOOP)
    assert notebook.evaluate("value + 1") == "2"
    assert notebook.console.locator(":focus").count() == 1
    notebook.press("Evaluate")
    expect(notebook.console).to_have_count(0)

    notebook.open_too("another.ipynb")
    notebook.run(0, count=1)
    expect(notebook.output(0)).to_have_text("42")
    expect(notebook.tab).to_have_text("another.ipynb")
    notebook.bring_to_front(notebook.name)
    expect(notebook.frames.first).to_contain_text("mean")


def test_the_installed_kernel_needs_no_load_ext(
    open_notebook: OpenNotebook, server: LabServer
) -> None:
    notebook = open_notebook([MEAN], kernel="nbdebug")
    notebook.open_debugger()
    notebook.toggle_breakpoint(0, line=5, total=1)
    notebook.start(0)
    notebook.wait_for_stop("    return total / len(values)")
    expect(notebook.variable("total")).to_have_text("total" + "9")
    assert debugpy_processes(server) == []
    notebook.press("Continue")
    notebook.wait_until_ran(0, count=1)
    expect(notebook.output(0)).to_have_text("mean: 3.0\n")


def test_a_stop_is_still_there_after_the_page_is_reloaded(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([MEAN], kernel="nbdebug")
    notebook.open_debugger()
    notebook.toggle_breakpoint(0, line=4, total=1)
    notebook.start(0)
    notebook.wait_for_stop(IN_LOOP)

    notebook.page.reload(wait_until="domcontentloaded")
    expect(notebook.bug).to_have_attribute("aria-pressed", "true")
    expect(notebook.overlay).to_be_visible()
    expect(notebook.variable("value")).to_have_text("value" + "1")
    expect(notebook.breakpoints).to_have_count(1)
    notebook.frames.first.click()  # JupyterLab may have seen the frame before it had its editors
    notebook.wait_for_stop(IN_LOOP)
    keep_screenshot(notebook.page, "panel-reloaded")

    notebook.press("Next")
    notebook.wait_for_stop(LOOP)
    notebook.toggle_breakpoint(0, line=4, total=0)
    notebook.press("Continue")
    notebook.wait_for_end_of_stop()
    notebook.wait_until_idle()
    notebook.run(0, count=2)
    expect(notebook.output(0)).to_have_text("mean: 3.0\n")


def test_breakpoints_hit_after_the_kernel_is_restarted(
    open_notebook: OpenNotebook, server: LabServer
) -> None:
    notebook = open_notebook([MEAN], kernel="nbdebug")
    notebook.open_debugger()
    notebook.toggle_breakpoint(0, line=4, total=1)
    notebook.restart_kernel()
    notebook.wait_until_idle()
    expect(notebook.bug).to_have_attribute("aria-pressed", "true")
    expect(notebook.breakpoints).to_have_count(1)
    # The page tells the new kernel of the breakpoints some moments later, and says nowhere when:
    # a run that was quicker has ended.
    for count in range(1, 10):
        notebook.start(0)
        stopped, ended = notebook.variable("value"), notebook.prompt(0, count)
        expect(stopped.or_(ended).first).to_be_visible()
        if stopped.count():
            break
    expect(notebook.variable("value")).to_have_text("value" + "1")
    assert debugpy_processes(server) == []
    notebook.press("Continue")
    expect(notebook.variable("value")).to_have_text("value" + "2")
