"""A DAP client on a socket uses a kernel's debugger: one client at a time, whoever it is."""

from collections.abc import Iterator

import pytest
from kernel_client import Kernel, line_of, running_kernel
from script import Client

CELL = "def f(n):\n    return n + 1  # @inside\nf(1)"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel(enable=False) as kernel:
        yield kernel


@pytest.fixture
def client(kernel: Kernel) -> Iterator[Client]:
    reply = kernel.run(
        "import nbdebug\nlistener = nbdebug.listen()\nprint(listener.address, listener.token)"
    )
    client = Client(*reply["output"].split())
    yield client
    client.close()
    assert kernel.run("listener.close()")["status"] == "ok"


def stop_in_cell(kernel: Kernel, client: Client) -> None:
    path = client.ask("dumpCell", code=CELL)["sourcePath"]
    line = line_of(CELL, "inside")
    client.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": line}])
    kernel.send_cell(CELL)
    assert client.stopped()["reason"] == "breakpoint"


def test_a_client_stops_a_cell_and_lets_it_run_on(kernel: Kernel, client: Client) -> None:
    client.begin()
    stop_in_cell(kernel, client)
    assert client.evaluate("n") == "1"
    client.resume()
    assert kernel.finish()["output"] == "2"


def test_a_dropped_connection_lets_the_cell_run_on_and_the_panel_attach(
    kernel: Kernel, client: Client
) -> None:
    client.begin()
    stop_in_cell(kernel, client)
    client.close()
    assert kernel.finish()["output"] == "2"
    kernel.enable()
    assert kernel.ask("debugInfo")["isStarted"]
    kernel.ask("disconnect")


def test_while_a_client_is_attached_the_panel_is_told_so(kernel: Kernel, client: Client) -> None:
    client.begin()
    assert kernel.refuse("initialize", clientID="jupyterlab") == "already-debugged"
    assert not kernel.ask("debugInfo")["isStarted"]
    stop_in_cell(kernel, client)
    assert kernel.refuse("continue", threadId=1) == "already-debugged"
    client.resume()
    kernel.finish()


def test_while_the_panel_is_attached_a_client_is_told_so(kernel: Kernel, client: Client) -> None:
    kernel.enable()
    client.ask("initialize", adapterID="x")
    assert client.refuse("attach", token=client.token) == "already-debugged"
    kernel.ask("disconnect")


def test_waiting_for_a_client_in_a_kernel_has_a_limit(kernel: Kernel, client: Client) -> None:
    assert kernel.run("print(listener.wait_for_client(0.0))")["output"] == "False\n"
    client.begin()
    assert kernel.run("print(listener.wait_for_client(30))")["output"] == "True\n"


def test_breakpoint_stops_in_the_client(kernel: Kernel, client: Client) -> None:
    client.begin()
    kernel.send_cell("nbdebug.breakpoint()\nx = 1")
    assert client.stopped()["reason"] == "breakpoint"
    client.resume()
    assert kernel.finish()["status"] == "ok"


def test_unloading_ends_the_listening() -> None:
    with running_kernel(enable=False) as kernel:
        reply = kernel.run("import nbdebug\nl = nbdebug.listen()\nprint(l.address, l.token)")
        client = Client(*reply["output"].split())
        client.begin()
        kernel.run("%unload_ext nbdebug")
        assert [event["event"] for event in client.until_closed()] == ["terminated"]


def test_a_kernel_that_listens_by_itself_cant_load_a_second_engine() -> None:
    with running_kernel(load=False, enable=False) as kernel:
        reply = kernel.run("import nbdebug\nl = nbdebug.listen()\nprint(l.address, l.token)")
        client = Client(*reply["output"].split())
        client.begin()
        assert "already debugs this process" in kernel.run("%load_ext nbdebug")["output"]
        client.close()
        kernel.run("l.close()")
        assert kernel.run("%load_ext nbdebug")["output"] == ""
