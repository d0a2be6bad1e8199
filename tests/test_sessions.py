"""The list of sessions: which one is current, how each is named, and what its end does."""

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_client import line_of
from script import LIMIT_S, Json, Script, running, session_of

from nbdebug import errors
from nbdebug.dap.links import SocketLink
from nbdebug.dap.points import RemoteBreakpoints, remote_stacks
from nbdebug.dap.remote import RemoteSession
from nbdebug.dap.sessions import Sessions

PROGRAM = """\
for n in range(3):
    print(n)  # @loop
"""


class Seen:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()

    def switched(self, before: RemoteSession | None, now: RemoteSession | None) -> None:
        self.told.put(("switched", now))

    def session_event(self, session: RemoteSession, name: str, body: Json) -> None:
        self.told.put((name, body))

    def session_ended(self, session: RemoteSession, was_current: bool) -> None:
        self.told.put(("ended", was_current))

    def next(self, name: str) -> object:
        """Return what was told under this name, and drop what was before."""
        while True:
            told, what = self.told.get(timeout=LIMIT_S)
            if told == name:
                return what


@pytest.fixture
def sessions() -> Sessions:
    found = Sessions()
    found.observer = Seen()
    return found


def seen(sessions: Sessions) -> Seen:
    assert isinstance(sessions.observer, Seen)
    return sessions.observer


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with running(tmp_path, PROGRAM) as script:
        yield script


@pytest.fixture
def session(script: Script) -> Iterator[RemoteSession]:
    with session_of(script) as session:
        yield session


def stop_in(session: RemoteSession, script: Script) -> None:
    at = {"line": script.line("loop")}
    session.ask("setBreakpoints", source={"path": script.path}, breakpoints=[at])
    session.ask("configurationDone")


def test_a_session_that_is_added_is_the_current_one_and_found_by_number_pid_and_name(
    sessions: Sessions, session: RemoteSession, script: Script
) -> None:
    sessions.add(session)
    assert sessions.current is session and seen(sessions).next("switched") is session
    for name in (session.id, script.process.pid, "program.py", script.path):
        assert sessions.find(name) is session
    for name in ("kernel", 1, os.getpid()):
        assert sessions.find(name) is None
    assert sessions.of_pid(script.process.pid) is session
    sessions.switch(None)
    assert seen(sessions).next("switched") is None


def test_a_name_that_no_session_has_is_refused(sessions: Sessions) -> None:
    with pytest.raises(errors.NoSession):
        sessions.find("nowhere.py")
    with pytest.raises(errors.NoSession):
        sessions.of_pid(1)


def test_a_name_that_two_sessions_have_is_refused(
    sessions: Sessions, session: RemoteSession, script: Script, tmp_path: Path
) -> None:
    sessions.add(session)
    with running(tmp_path, PROGRAM) as other, session_of(other) as second:
        sessions.add(second, switch=False)
        assert sessions.current is session
        with pytest.raises(errors.AmbiguousSession):
            sessions.find("program.py")


def test_events_are_told_and_the_state_follows_them(
    sessions: Sessions, session: RemoteSession, script: Script
) -> None:
    sessions.add(session)
    assert session.state == "running"
    stop_in(session, script)
    body = seen(sessions).next("stopped")
    assert session.stop == body and "breakpoint" in session.state.lower()
    session.ask("continue", threadId=1)
    seen(sessions).next("stopped")


def test_the_end_of_the_current_session_leaves_our_own_current(
    sessions: Sessions, session: RemoteSession, script: Script
) -> None:
    sessions.add(session)
    session.ask("configurationDone")
    assert seen(sessions).next("ended") is True
    assert sessions.current is None and sessions.all() == []
    assert session.has_ended and session.exit_code == 0
    with pytest.raises(errors.ConnectionLost):
        session.ask("threads")
    with pytest.raises(errors.NoSession):
        sessions.switch(session)


def test_a_session_that_is_closed_lets_its_debuggee_run_on(
    sessions: Sessions, session: RemoteSession, script: Script
) -> None:
    sessions.add(session)
    stop_in(session, script)
    seen(sessions).next("stopped")
    session.close()
    assert script.finish() == (0, "0\n1\n2\n", "")
    assert seen(sessions).next("ended") is True


def test_a_debuggee_that_does_not_answer_is_waited_for_within_a_limit(
    session: RemoteSession, script: Script
) -> None:
    script.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(errors.TookTooLong):
            session.ask("threads", 0.1)
    finally:
        script.process.send_signal(signal.SIGCONT)
    assert session.ask("threads")["threads"]


@pytest.fixture
def debugpy(tmp_path: Path) -> Iterator[RemoteSession]:
    """A session with a script that debugpy debugs."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-Xfrozen_modules=off", "-m", "debugpy", "--listen", str(port)]
    process = subprocess.Popen(
        [*command, "--wait-for-client", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        link = connected(port)
        session = RemoteSession(link, kind="debugpy", name=str(path), pid=process.pid)
        session.begin(LIMIT_S, justMyCode=True)
        yield session
        session.close()
        process.wait(LIMIT_S)
    finally:
        process.kill()
        process.wait()


def connected(port: int) -> SocketLink:
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            return SocketLink(f"127.0.0.1:{port}", LIMIT_S)
        except errors.ConnectionLost:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_debugpy_behind_our_client_is_a_session_too(
    sessions: Sessions, debugpy: RemoteSession
) -> None:
    sessions.add(debugpy)
    assert debugpy.capabilities["supportsConditionalBreakpoints"]
    at = {"line": line_of(PROGRAM, "loop"), "condition": "n == 1"}
    debugpy.ask("setBreakpoints", source={"path": debugpy.name}, breakpoints=[at])
    debugpy.ask("configurationDone")
    stop = seen(sessions).next("stopped")
    assert debugpy.stop == stop and debugpy.state == "stopped"
    [(_, frames)] = remote_stacks(debugpy, only_stopped=True)
    assert frames[0].line == line_of(PROGRAM, "loop")
    with pytest.raises(errors.NotOfThisSession, match="it isn't nbdebug that debugs it"):
        RemoteBreakpoints(debugpy).infos()
    debugpy.ask("continue", threadId=1)
    assert debugpy.stop is None
    assert seen(sessions).next("ended") is True
