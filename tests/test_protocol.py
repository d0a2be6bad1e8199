"""Parts of the protocol that JupyterLab's panel doesn't use, over a real kernel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import Json, Kernel, line_of, running_kernel

CELL = """class Box:  # @Box
    def open(self):  # @open
        return 1
async def coroutine():  # @coroutine
    pass
def look(box, method, run):
    return 0  # @look
run = coroutine()
look(Box, Box().open, run)
run.close()
"""


@pytest.fixture
def client(each_python: Path) -> Iterator[Kernel]:
    """A kernel with a client that asks for more than JupyterLab does."""
    with running_kernel(python=str(each_python), enable=False) as kernel:
        kernel.ask("initialize", clientID="tests", adapterID="x", supportsInvalidatedEvent=True)
        kernel.ask("attach")
        kernel.break_at(CELL, "look")
        kernel.run_to_stop(CELL)
        yield kernel


def described(client: Kernel, name: str) -> Json:
    return client.ask("evaluate", expression=name, frameId=client.frames()[0]["id"])


def test_a_value_tells_where_it_was_defined(client: Kernel) -> None:
    for name, mark in (("box", "Box"), ("method", "open"), ("run", "coroutine")):
        reference = described(client, name)["valueLocationReference"]
        found = client.ask("locations", locationReference=reference)
        # Before 3.13 a class doesn't know its own line: its first method's is told.
        lines = {line_of(CELL, mark), line_of(CELL, "open" if mark == "Box" else mark)}
        assert found["line"] in lines
        assert found["source"]["path"] == client.path
    assert "valueLocationReference" not in described(client, "1 + 1")
    client.resume()
    assert client.refuse("locations", locationReference=reference) == "stale-reference"
    assert client.refuse("locations") == "bad-arguments"


def test_a_client_is_told_that_variables_may_have_changed(client: Kernel) -> None:
    frame = client.frames()[0]["id"]
    since = len(client.events)
    client.ask("evaluate", expression="method", frameId=frame, context="repl")
    client.ask("evaluate", expression="box", frameId=frame, context="watch")
    client.ask("evaluate", expression="box = 3", frameId=frame, context="repl")
    assert client.wait_for_event("invalidated", since) == {"areas": ["variables"]}
    client.ask("setExpression", expression="box", value="4", frameId=frame)
    reference = client.ask("scopes", frameId=frame)["scopes"][0]["variablesReference"]
    client.ask("setVariable", variablesReference=reference, name="box", value="5")
    client.resume()
    told = [event["event"] for event in client.events[since:]]
    assert told == ["invalidated"] * 3 + ["continued"]


def test_a_client_that_did_not_ask_for_it_is_not_told() -> None:
    with running_kernel() as kernel:
        kernel.break_at(CELL, "look")
        kernel.run_to_stop(CELL)
        since = len(kernel.events)
        kernel.evaluate("box = 3")
        kernel.resume()
        assert [event["event"] for event in kernel.events[since:]] == ["continued"]
