"""A session with a process that is only looked at: what it shows, and what it refuses."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import targets
from dap_schema import check_message
from self_told import PROGRAM, SelfTold
from targets import NewTarget, TargetPython

from nbdebug import errors as base_errors
from nbdebug.attach import errors
from nbdebug.attach.inspection import inspect
from nbdebug.dap import sessions
from nbdebug.dap.points import remote_stacks, remote_tasks
from nbdebug.dap.remote import RemoteSession


class Looked:
    """A session with the waiting threads of tells_itself.py; every reply fits DAP's schema."""

    def __init__(self, session: RemoteSession) -> None:
        self.session = session

    def ask(self, command: str, **arguments: Any) -> Any:
        reply = self.session.request(command, arguments).result(10)
        check_message(reply)
        return self.session.ask(command, **arguments)

    def thread(self, name: str) -> int:
        threads = self.ask("threads")["threads"]
        found: int = next(one["id"] for one in threads if one["name"].split(" (")[0] == name)
        return found

    def frame(self, thread: str, function: str) -> int:
        frames = self.ask("stackTrace", threadId=self.thread(thread))["stackFrames"]
        found: int = next(one["id"] for one in frames if one["name"] == function)
        return found

    def scope(self, frame: int, name: str = "Locals") -> dict[str, dict[str, Any]]:
        scopes = self.ask("scopes", frameId=frame)["scopes"]
        reference = next(one["variablesReference"] for one in scopes if one["name"] == name)
        return self.children(reference)

    def children(self, reference: int, **page: Any) -> dict[str, dict[str, Any]]:
        found = self.ask("variables", variablesReference=reference, **page)["variables"]
        return {one["name"]: one for one in found}

    def value(self, expression: str) -> str:
        frame = self.frame("kind-values", "values")
        found = self.ask("evaluate", expression=expression, frameId=frame)
        assert isinstance(found["result"], str)
        return found["result"]


@pytest.fixture
def looked() -> Iterator[Looked]:
    told = SelfTold(targets.require_target_python("3.14"))
    session = inspect(told.pid)
    yield Looked(session)
    session.close()
    told.end()


@contextmanager
def looked_at(script: Path, program: str, python: TargetPython) -> Iterator[Looked]:
    """Look at a program of the test's own."""
    with (
        targets.running(script, program, python) as process,
        closing(inspect(process.pid)) as session,
    ):
        yield Looked(session)


def test_its_capabilities_say_that_it_only_looks(looked: Looked) -> None:
    found = looked.session.capabilities
    assert found["supportsEvaluateForHovers"]
    for what in (
        "supportsSetVariable",
        "supportsDataBreakpoints",
        "supportsConditionalBreakpoints",
    ):
        assert not found.get(what)


def test_a_look_is_a_stop_to_a_client(looked: Looked) -> None:
    assert looked.session.state == "looked at"
    found = remote_stacks(looked.session, only_stopped=False)
    stacks = {thread.name: frames for thread, frames in found}
    assert [frame.name for frame in stacks["kind-callback"]][:3] == [
        "wait",
        "callback.<locals>.<lambda>",
        "callback",
    ]
    assert stacks["kind-callback"][0].path == str(PROGRAM)


def test_a_page_of_a_deep_stack_is_given(looked: Looked) -> None:
    thread = looked.thread("kind-deep")
    found = looked.ask("stackTrace", threadId=thread, startFrame=10, levels=5)
    assert found["totalFrames"] > 1500
    assert {one["name"] for one in found["stackFrames"]} == {"recursion"}
    assert len(found["stackFrames"]) == 5


def test_variables_open_to_what_is_in_them(looked: Looked) -> None:
    found = looked.scope(looked.frame("kind-values", "values"))
    point = looked.children(found["point"]["variablesReference"])
    assert {name: one["value"] for name, one in point.items()} == {"x": "1", "y": "'a'"}
    mapping = looked.children(found["mapping"]["variablesReference"])
    assert list(mapping) == ["'a'", "2", "None"]
    assert mapping["2"]["evaluateName"] == "mapping[2]"
    nested = looked.children(found["items"]["variablesReference"])["1"]
    assert (nested["value"], nested["indexedVariables"]) == ("[2, [3]]", 2)
    assert found["number"]["variablesReference"] == 0
    failure = looked.children(found["failure"]["variablesReference"])
    assert failure["args"]["value"] == "('bad', 1)"


def test_free_variables_and_globals_have_scopes_of_their_own(looked: Looked) -> None:
    frame = looked.frame("kind-closure", "closure.<locals>.inside.<locals>.innermost")
    assert looked.scope(frame, "Nonlocals")["outer"]["value"] == "1"
    assert looked.scope(frame, "Globals")["gate"]["type"] == "lock"


def test_a_plain_path_is_read(looked: Looked) -> None:
    for path, text in (
        ("items[1][1][0]", "3"),
        ("items[-1]", "'x'"),
        ("mapping['a']", "1"),
        ("mapping[None]", "1.5"),
        ("point.y", "'a'"),
        ("named.left", "1"),
        ("queue[2]", "3"),
        ("failure.args[0]", "'bad'"),
        ("kind.__init__.__class__", "<class 'function'>"),
        ("Color.RED", "<Color.RED: 1>"),
        ("len", "<built-in function len>"),
    ):
        assert looked.value(path) == text, path


@pytest.mark.parametrize(
    "text", ["len(items)", "number + 1", "Thing.attribute", "items[1:]", "items.append", "[1]"]
)
def test_what_would_run_code_is_refused_with_the_reason(looked: Looked, text: str) -> None:
    with pytest.raises(errors.InspectOnly, match="would run code in process"):
        looked.value(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere", "NameError: name 'nowhere' is not defined"),
        ("items[9]", "IndexError: index out of range"),
        ("mapping['b']", "KeyError: 'b'"),
        ("point.z", "AttributeError: 'Point' object has no attribute 'z'"),
        ("items[", "`items[` isn't an expression."),
    ],
)
def test_what_is_not_there_is_said_as_python_does(looked: Looked, text: str, said: str) -> None:
    with pytest.raises(base_errors.EvaluationFailed) as caught:
        looked.value(text)
    assert str(caught.value) == said


@pytest.mark.parametrize("command", ["next", "setVariable", "nbdebug/setWatch", "goto", "modules"])
def test_what_it_cannot_do_is_refused_with_the_reason(looked: Looked, command: str) -> None:
    with pytest.raises(errors.InspectOnly):
        looked.session.ask(command, threadId=1)


def test_breakpoints_are_answered_and_not_verified(looked: Looked) -> None:
    (found,) = looked.ask(
        "setBreakpoints", source={"path": str(PROGRAM)}, breakpoints=[{"line": 3}]
    )["breakpoints"]
    assert found == {
        "verified": False,
        "message": "This process is only looked at: nothing can stop it.",
    }


def test_pause_looks_anew_and_what_was_handed_out_before_is_over(looked: Looked) -> None:
    frame = looked.frame("kind-values", "values")
    looked.session.ask("continue", threadId=1)
    with pytest.raises(base_errors.UnknownFrame):
        looked.session.ask("scopes", frameId=frame)
    assert looked.session.stop is None
    looked.session.ask("pause", threadId=1)
    with pytest.raises(base_errors.UnknownFrame):
        looked.session.ask("scopes", frameId=frame)
    assert looked.scope(looked.frame("kind-values", "values"))["number"]["value"] == "12"


def test_a_long_list_is_opened_in_pages(tmp_path: Path, python314: TargetPython) -> None:
    program = "items = list(range(1234))\nprint('ready', flush=True)\ninput()\n"
    with looked_at(tmp_path / "long.py", program, python314) as looked:
        reference = looked.scope(looked.frame("MainThread", "<module>"))["items"]
        reference = reference["variablesReference"]
        whole = looked.children(reference)
        assert len(whole) == 112
        last = looked.children(whole["[1,200 ... 1,233]"]["variablesReference"])
        assert (len(last), last["1233"]["value"]) == (34, "1233")
        page = looked.children(reference, start=500, count=3, filter="indexed")
        assert [one["value"] for one in page.values()] == ["500", "501", "502"]


def test_asyncio_tasks_are_told(new_target: NewTarget) -> None:
    target = new_target("asyncio_idle")
    session = inspect(target.pid)
    (task,) = remote_tasks(session)
    assert (task.name, task.state, task.frames[0].function) == ("Task-1", "waiting", "Event.wait")
    session.close()
    assert session.has_ended


def test_it_is_one_of_the_sessions_and_leaves_them_when_the_process_ends(
    new_target: NewTarget,
) -> None:
    target = new_target("sleep")
    session = inspect(target.pid, "sleeper")
    sessions.here.add(session)
    try:
        assert sessions.here.find("sleeper") is session
        target.kill()
        with pytest.raises(errors.ProcessEnded):
            session.ask("pause", threadId=1)
        deadline = time.monotonic() + targets.LIMIT_S
        while session in sessions.here.all():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert session.why_ended == "the process has ended"
    finally:
        session.close()


def test_nothing_is_looked_at_where_that_is_not_allowed(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBDEBUG_ATTACH", "off")
    with pytest.raises(errors.NotAllowed):
        inspect(new_target("sleep").pid)


def test_numpys_arrays_and_scalars_are_read(tmp_path: Path) -> None:
    program = (
        "import numpy as np\n"
        "line, grid = np.arange(20)[::2], np.zeros((3, 4), 'f4')\n"
        "swapped, one = np.arange(3, dtype='>i4'), np.float64(0.5)\n"
        "print('ready', flush=True)\n"
        "input()\n"
    )
    with looked_at(tmp_path / "arrays.py", program, targets.this_python()) as looked:
        frame = looked.frame("MainThread", "<module>")
        found = looked.scope(frame)
        assert found["line"]["value"] == "ndarray (10,) int64 [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]"
        assert found["grid"]["value"] == "ndarray (3, 4) float32"
        assert found["swapped"]["value"].startswith("ndarray (3,)")
        assert found["one"]["value"] == "np.float64(0.5)"
        items = looked.children(found["line"]["variablesReference"], start=2, count=2)
        assert [one["value"] for one in items.values()] == ["4", "6"]
        body = looked.ask("evaluate", expression="line[-1]", frameId=frame)
        assert body["result"] == "18"
