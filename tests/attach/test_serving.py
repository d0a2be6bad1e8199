"""`python -m nbdebug attach`: a DAP client debugs a process that runs already."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import targets
from attached import PROGRAM, Told, line_of, told
from dap_schema import check_message
from interpreters import ROOT
from targets import NewTarget, TargetPython

from nbdebug import errors
from nbdebug.attach import errors as attach_errors
from nbdebug.dap.client import DapClient

LIMIT_S = 30


class Server:
    """One `python -m nbdebug attach`, and the clients that a test connects to it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nbdebug", "attach", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        found = re.fullmatch(r"nbdebug: listening on (\S+?)(?:, token (\S+))?\n", said)
        assert found is not None, said + self.process.stderr.read()
        self.address, self.token = found[1], found[2]

    def connect(self) -> DapClient:
        client = DapClient(self.address, LIMIT_S)
        client.on_message = check_message
        return client

    def begin(self, **arguments: Any) -> DapClient:
        client = self.connect()
        client.ask("initialize", adapterID="x")
        client.ask("attach", token=self.token, **arguments)
        client.event("initialized")
        return client


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    server = Server(*arguments)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGINT)
        server.process.communicate(timeout=LIMIT_S)


def stops_and_goes(client: DapClient) -> None:
    source = {"path": str(PROGRAM)}
    lines = [{"line": line_of("call")}]
    [found] = client.ask("setBreakpoints", source=source, breakpoints=lines)["breakpoints"]
    assert found["verified"]
    client.ask("configurationDone")
    stop = client.event("stopped")["body"]
    [frame, *_] = client.ask("stackTrace", threadId=stop["threadId"])["stackFrames"]
    assert frame["line"] == line_of("call")
    assert client.ask("evaluate", expression="1 + 1", frameId=frame["id"])["result"] == "2"


def test_a_client_debugs_a_process_that_runs(new_python: TargetPython) -> None:
    with told("busy", new_python) as target:
        before = target.report()
        with serving(str(target.pid)) as server:
            client = server.begin()
            stops_and_goes(client)
            client.ask("disconnect")
            client.close()
            assert target.settled(before)["tools"] == before["tools"]
            again = server.begin(processId=target.pid)
            stops_and_goes(again)
            again.close()  # without a word
            assert target.settled(before)["tools"] == before["tools"]
        assert target.finish() == (4, '"ended"\n', "")


def test_the_client_names_the_process(python314: TargetPython) -> None:
    with told("busy", python314) as target, serving() as server:
        client = server.begin(processId=target.pid)
        stops_and_goes(client)
        client.ask("disconnect")
        client.close()


def refused(server: Server, **arguments: Any) -> errors.NbdebugError:
    client = server.connect()
    client.ask("initialize", adapterID="x")
    with pytest.raises(errors.NbdebugError) as found:
        client.ask("attach", token=server.token, **arguments)
    client.close()
    return found.value


def test_a_client_is_told_why_it_cant_attach(python314: TargetPython) -> None:
    with serving() as server:
        assert isinstance(refused(server), errors.BadArguments)
        assert isinstance(refused(server, processId=2**22 + 1), attach_errors.NoSuchProcess)
    with told("busy", python314) as target, serving(str(target.pid)) as server:
        assert isinstance(refused(server, processId=target.pid + 1), errors.BadArguments)
        client = server.connect()
        client.ask("initialize", adapterID="x")
        with pytest.raises(errors.AuthRequired):
            client.ask("attach")
        client.close()


def test_the_process_is_left_on_ctrl_c(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        before = target.report()
        with serving(str(target.pid)) as server:
            stops_and_goes(server.begin())
        assert server.process.returncode == 130
        assert target.settled(before)["tools"] == before["tools"]


def test_it_ends_with_the_process(python314: TargetPython) -> None:
    with told("busy", python314) as target:
        server = Server(str(target.pid))
        client = server.begin()
        Told.kill(target)
        client.event("terminated")
        assert server.process.wait(LIMIT_S) == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == "nbdebug: the process has ended\n"
        server.process.stderr.close()
        client.close()


def test_what_is_only_looked_at_is_served_too(python314: TargetPython) -> None:
    with told("busy", python314) as target, serving(str(target.pid), "--inspect") as server:
        before = target.report()
        client = server.begin()
        [main, *_] = client.ask("threads")["threads"]
        assert client.ask("stackTrace", threadId=main["id"])["stackFrames"]
        assert target.report()["modules"] == before["modules"]
        client.close()


def test_a_process_that_isnt_there_is_named_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbdebug", "attach", str(2**22 + 1)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("nbdebug: There is no process")


def test_a_client_debugs_an_older_python_by_debugpy_and_is_told_what_that_can(
    new_target: NewTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_target("naps", targets.require_older_python("3.11"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # the first line is to be the server's
    with serving("--legacy", "--timeout", "30", str(target.pid)) as server:
        client = server.connect()
        capabilities = client.ask("initialize", adapterID="x")
        assert "pydevd" in capabilities and "supportsReadMemoryRequest" in capabilities
        client.ask("attach", token=server.token)
        client.event("initialized")
        client.ask("configurationDone")
        thread = client.ask("threads")["threads"][0]["id"]
        client.ask("pause", threadId=thread)
        client.event("stopped")
        assert client.ask("stackTrace", threadId=thread)["stackFrames"]
        client.ask("disconnect")
        client.close()
        assert target.finish()[0] == 3
