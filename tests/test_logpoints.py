"""Log messages that come fast: all delivered, in order, among what the program prints."""

from collections.abc import Iterator

import pytest
from kernel_client import Json, Kernel, running_kernel

MANY = 50_000
LOOP = f"""def loop(n):
    for i in range(n):
        x = i  # @first
        y = i  # @second
    return n
loop({MANY})
"""
PRINTS = """for i in range(3):
    print('before', i)
    x = i  # @x
    print('after', i)
"""
CHILD = """import os, time
def f():
    x = 1  # @x
    return x
f()
time.sleep({pause})
child = os.fork()
if child == 0:
    print('in the child', flush=True)
    os._exit(0)
os.waitpid(child, 0)[1]
"""


@pytest.fixture
def here() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


def logged(kernel: Kernel, since: int) -> list[Json]:
    return [e["body"] for e in kernel.events[since:] if e["event"] == "output"]


def test_fifty_thousand_log_messages_all_come_in_order(here: Kernel) -> None:
    here.break_at(LOOP, "first", logMessage="i={i}")
    since = len(here.events)
    output = here.run(LOOP)["output"]
    expected = "".join(f"i={i}\n" for i in range(MANY))
    assert output == f"{expected}{MANY}"
    events = logged(here, since)
    assert "".join(event["output"] for event in events) == expected
    assert {(event["category"], event["line"]) for event in events} == {("console", 3)}
    assert all(event["source"]["path"] == here.path for event in events)


def test_log_messages_of_two_places_keep_their_order_and_their_lines(here: Kernel) -> None:
    code = LOOP.replace(str(MANY), "100")
    here.break_at(code, "first", "second", logMessage="i={i}")
    since = len(here.events)
    assert here.run(code)["status"] == "ok"
    told = [
        (event["line"], text) for event in logged(here, since) for text in event["output"].split()
    ]
    assert told == [(line, f"i={i}") for i in range(100) for line in (3, 4)]


def test_log_messages_stand_where_they_were_said_among_what_is_printed(here: Kernel) -> None:
    here.break_at(PRINTS, "x", logMessage="at {i}")
    lines = here.run(PRINTS)["output"].splitlines()
    assert lines == [word for i in range(3) for word in (f"before {i}", f"at {i}", f"after {i}")]
    here.ask("setBreakpoints", source={"path": here.path}, breakpoints=[])
    assert "nbdebug" not in here.run("import sys; vars(sys.stdout)")["output"]


def test_log_messages_come_before_the_stop_that_follows(here: Kernel) -> None:
    path = here.ask("dumpCell", code=LOOP)["sourcePath"]
    wanted = [{"line": 3, "logMessage": "at {i}"}, {"line": 4, "condition": "i == 2"}]
    here.ask("setBreakpoints", source={"path": path}, breakpoints=wanted)
    since = len(here.events)
    here.run_to_stop(LOOP)
    assert "".join(event["output"] for event in logged(here, since)) == "at 0\nat 1\nat 2\n"
    here.ask("setBreakpoints", source={"path": path}, breakpoints=[])
    assert here.resume()["status"] == "ok"


@pytest.mark.parametrize("pause", [0, 0.1])  # it waits with us, or was given to the stream
def test_a_forked_child_says_nothing_of_what_its_parent_logged(here: Kernel, pause: float) -> None:
    code = CHILD.format(pause=pause)
    here.break_at(code, "x", logMessage="x is set")
    output = here.run(code)["output"]
    assert output.count("x is set") == 1
    assert output.endswith("0")
