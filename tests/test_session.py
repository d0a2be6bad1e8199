"""A session under requests that no client should send: malformed, reordered, repeated.

Each is answered, once, with what the schema allows; nothing is raised; the session lives on.
"""

import gc
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dap_schema import check_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbdebug.dap import arguments as a
from nbdebug.dap.requests import REQUESTS
from nbdebug.dap.session import Session

LIMIT_S = 60
Json = dict[str, Any]

PROGRAM = """def step(n):
    doubled = n * 2  # @doubled
    return doubled
def run(stop):
    n = 0
    while not stop.wait(0.001):
        n = step(n) % 1000
"""

COMMANDS = sorted(REQUESTS)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(
        ["doubled", "n", "repl", "hover", "line", "<x>", "/nowhere.py", "\x00", "\ud800"]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def keys_of(command: str) -> list[str]:
    return [key for _, key, _, _ in a._keys_of(REQUESTS[command].arguments)]


def arguments_of(command: str) -> st.SearchStrategy[Any]:
    shaped = st.fixed_dictionaries({}, optional=dict.fromkeys(keys_of(command), VALUES))
    return st.one_of(shaped, VALUES)


KNOWN = st.sampled_from(COMMANDS).flatmap(
    lambda command: st.fixed_dictionaries(
        {"type": st.just("request"), "command": st.just(command)},
        optional={"arguments": arguments_of(command)},
    )
)
REQUEST = st.one_of(KNOWN, KNOWN, KNOWN, st.dictionaries(st.text(max_size=8), VALUES), VALUES)


class Client:
    """A session in this process, a program that it may stop, and what it answers."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "program.py")
        Path(self.path).write_text(PROGRAM)
        self.replies: queue.Queue[Json] = queue.Queue()
        self.session = Session(lambda event: None)
        self.sequence = 0
        self.stop = threading.Event()
        namespace: Json = {"__name__": "program"}
        exec(compile(PROGRAM, self.path, "exec"), namespace)
        self.thread = threading.Thread(target=self.run, args=(namespace["run"],))
        self.thread.start()

    def run(self, program: Any) -> None:
        while not self.stop.is_set():
            try:
                program(self.stop)
            except KeyboardInterrupt:
                continue  # `terminate` was among the requests

    def answer(self, *requests: object) -> list[Json]:
        """Submit requests without waiting; return the answers in the order of the requests."""
        numbered: list[int] = []
        for request in requests:
            self.sequence += 1
            numbered.append(self.sequence if isinstance(request, dict) else 0)
            sent = request | {"seq": self.sequence} if isinstance(request, dict) else request
            self.session.submit(sent, self.replies.put)
        found = [self.replies.get(timeout=LIMIT_S) for _ in requests]
        assert self.replies.empty()
        for reply in found:
            # The schema has no answer to what isn't a request: it has no number.
            check_message(
                json.loads(json.dumps({**reply, "request_seq": reply["request_seq"] or 1}))
            )
        assert sorted(reply["request_seq"] for reply in found) == sorted(numbered)
        return sorted(found, key=lambda reply: numbered.index(reply["request_seq"]))

    def ask(self, command: str, **arguments: Any) -> Json:
        [reply] = self.answer({"type": "request", "command": command, "arguments": arguments})
        assert reply["success"], reply
        body: Json = reply.get("body", {})
        return body

    def close(self) -> None:
        self.stop.set()
        self.session.engine.close()
        self.session.close()
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    here = threading.current_thread()
    here.pydev_do_not_trace = True  # type: ignore[attr-defined]
    running = Client(tmp_path)
    yield running
    running.close()
    del here.pydev_do_not_trace  # type: ignore[attr-defined]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(requests=st.lists(REQUEST, max_size=8), stops=st.booleans())
def test_whatever_is_asked_is_answered_once_and_the_session_lives(
    client: Client, requests: list[Any], stops: bool
) -> None:
    client.ask("initialize", clientID="tests")
    client.ask("attach")
    if stops:
        client.ask("setBreakpoints", source={"path": client.path}, breakpoints=[{"line": 2}])
    for reply in client.answer(*requests):
        if not reply["success"]:
            error = reply["body"]["error"]
            assert error["variables"]["slug"] != "internal", reply
    client.ask("disconnect")
    client.ask("initialize", clientID="tests")
    assert client.ask("threads")["threads"]
    client.ask("disconnect")


def test_a_request_sent_again_and_again_leaves_nothing_behind(client: Client) -> None:
    client.ask("initialize", clientID="tests")
    client.ask("attach")
    client.ask("setBreakpoints", source={"path": client.path}, breakpoints=[{"line": 2}])
    requests = [
        {"type": "request", "command": command, "arguments": {}}
        for command in COMMANDS
        if command not in ("initialize", "attach", "disconnect")
    ]
    sizes = []
    for _ in range(4):
        for _ in range(20):
            client.answer(*requests)
        gc.collect()
        sizes.append(len(gc.get_objects()))
    # What grew with each request would grow by 20 times the number of commands, at least.
    assert sizes[-1] - sizes[1] < 10 * len(requests)
