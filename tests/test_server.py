"""Any DAP client debugs a script: real processes, real sockets."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from interpreters import ROOT
from script import Client, debugging, running

from nbdebug import errors
from nbdebug.dap import framing, transport
from nbdebug.dap.transport import TcpAddress, UnixAddress, parse_address

LOOP = """\
def total_of(n):
    total = 0
    for i in range(n):
        total += i  # @add
    return total

print("begin")  # @first
print(total_of(5))  # @call
print("end")  # @last
"""

WAITS = """\
import sys
print("ready", flush=True)
for line in sys.stdin:
    seen = line.strip()  # @seen
    print("saw", seen, flush=True)
"""


# -- a program runs as it does without us


def plain(
    folder: Path,
    target: list[str],
    python: str | Path = sys.executable,
    options: tuple[str, ...] = (),
) -> tuple[int, str, str]:
    """Run something with the interpreter alone; return exit code, stdout, stderr."""
    done = subprocess.run(
        [str(python), *options, *target],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def served(
    folder: Path, target: list[str], python: str | Path = sys.executable
) -> tuple[int, str, str]:
    """Run the same under nbdebug, with no client."""
    with running(folder, target, options=(), python=python) as script:
        return script.finish()


SHOW = """\
import __main__, os, pickle, sys, threading
class Thing: pass
print(sys.argv, sys.path[0], __name__, __file__, __package__, __doc__, type(__builtins__).__name__)
print(__main__.Thing is Thing, type(pickle.loads(pickle.dumps(Thing()))) is Thing)
print(type(__loader__).__name__, __spec__ and __spec__.name, sorted(vars(__main__)))
print(os.path.dirname(sys._getframe().f_code.co_filename) == os.getcwd())
import neighbour
"""

PROGRAMS = {
    "shows": SHOW,
    "raises": "def f():\n    raise ValueError('no')\ntry:\n    f()\nexcept ValueError as e:\n"
    "    raise KeyError('x') from e\n",
    "exits_3": "import sys\nsys.exit(3)\n",
    "exits_with_words": "raise SystemExit('enough')\n",
    "is_interrupted": "raise KeyboardInterrupt\n",
    "is_killed": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n",
    "has_no_syntax": "x = (1,\n\ny = 2\n",
    "ends_late": "import atexit, threading, time\natexit.register(print, 'at exit')\n"
    "t = threading.Timer(0.05, print, ['thread'])\nt.start()\nprint('main')\n"
    "class D:\n    def __del__(self): print('del')\nd = D()\n",
    "has_a_hook": "import sys\nsys.excepthook = lambda *e: print('hook', e[0].__name__)\n1/0\n",
    "has_a_bad_hook": "import sys\nsys.excepthook = lambda *e: 1/0\nraise ValueError\n",
    "has_a_group": "raise ExceptionGroup('all', [ValueError(1), TypeError(2)])\n",
    "leaves_at_once": "import os\nprint('x', flush=True)\nos._exit(7)\n",
    "spawns": "import multiprocessing as mp\ndef f(x): return x * 2\n"
    "if __name__ == '__main__':\n"
    "    with mp.get_context('spawn').Pool(1) as pool: print(pool.map(f, [1, 2]))\n",
    "uses_last_exc": "import sys, atexit\n"
    "atexit.register(lambda: print(repr(sys.last_exc)))\n1/0\n",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_script_runs_and_ends_as_with_python_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAMS[name])
    (tmp_path / "neighbour.py").write_text("")
    target = ["program.py", "an", "--argument"]
    assert served(tmp_path, target) == plain(tmp_path, target)


@pytest.mark.parametrize("name", ["shows", "raises", "exits_3", "is_interrupted", "has_no_syntax"])
def test_a_module_runs_and_ends_as_with_python_alone(tmp_path: Path, name: str) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__main__.py").write_text(PROGRAMS[name])
    (tmp_path / "neighbour.py").write_text("")
    target = ["-m", "package", "-x"]
    assert served(tmp_path, target) == plain(tmp_path, target)


@pytest.mark.parametrize(
    "code",
    [
        "import sys; print(sys.argv, repr(sys.path[0]), sorted(globals()), __name__)",
        "def f():\n    1/0\nf()",
        "raise KeyboardInterrupt",
        "1 +",
    ],
)
def test_code_runs_and_ends_as_with_python_alone(tmp_path: Path, code: str) -> None:
    assert served(tmp_path, ["-c", code, "a"]) == plain(tmp_path, ["-c", code, "a"])


def test_a_folder_runs_as_with_python_alone(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "__main__.py").write_text("import sys\nprint(sys.argv, sys.path[0], __file__)\n1/0\n")
    assert served(tmp_path, ["app", "a"]) == plain(tmp_path, ["app", "a"])


def test_every_python_runs_a_script_as_it_does_alone(tmp_path: Path, each_python: Path) -> None:
    (tmp_path / "neighbour.py").write_text("")
    for name in ("shows", "raises", "is_interrupted"):
        (tmp_path / "program.py").write_text(PROGRAMS[name])
        target = ["program.py", "a"]
        assert served(tmp_path, target, each_python) == plain(tmp_path, target, each_python)


@pytest.mark.parametrize("target", [["missing.py"], ["-m", "missing_module"]])
def test_what_isnt_there_is_told_in_pythons_words(tmp_path: Path, target: list[str]) -> None:
    code, _, said = plain(tmp_path, target)
    ours = plain(tmp_path, target, options=("-m", "nbdebug", "--listen", "127.0.0.1:0"))
    assert ours[0] == code and said in ours[2]


def test_isolated_python_puts_no_folder_first_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; print(sys.path)")
    alone = plain(tmp_path, ["program.py"], options=("-P",))
    ours = plain(
        tmp_path, ["--listen", "127.0.0.1:0", "program.py"], options=("-P", "-m", "nbdebug")
    )
    assert ours[1] == alone[1]


# -- a session, from the first message to the last


def test_a_client_stops_a_script_looks_and_lets_it_end(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (script, client):
        stop = client.stopped()
        assert (stop["reason"], client.line()) == ("breakpoint", script.line("add"))
        assert client.evaluate("n") == "5"
        client.break_at(script)
        client.ask("next", threadId=1)
        assert client.stopped()["reason"] == "step"
        client.resume()
        assert client.event("exited")["body"] == {"exitCode": 0}
        client.event("terminated")
        assert script.finish() == (0, "begin\n10\nend\n", "")
        assert client.until_closed() == []


def test_a_session_works_on_every_python(tmp_path: Path, each_python: Path) -> None:
    with debugging(tmp_path, LOOP, "add", python=each_python) as (script, client):
        client.stopped()
        assert client.evaluate("(n, i, total)") == "(5, 0, 0)"
        client.break_at(script)
        client.resume()
        client.event("terminated")
        assert script.finish() == (0, "begin\n10\nend\n", "")


def test_what_vs_code_sends_is_understood(tmp_path: Path) -> None:
    """Its Python Debugger extension's attach arguments, with ``connect`` and its defaults."""
    with running(tmp_path, LOOP) as script:
        client = script.connect()
        client.ask(
            "initialize",
            clientID="vscode",
            clientName="Visual Studio Code",
            adapterID="debugpy",
            pathFormat="path",
            linesStartAt1=True,
            columnsStartAt1=True,
            supportsVariableType=True,
            supportsVariablePaging=True,
            supportsRunInTerminalRequest=True,
            locale="en",
            supportsProgressReporting=True,
            supportsInvalidatedEvent=True,
            supportsMemoryReferences=True,
            supportsArgsCanBeInterpretedByShell=True,
            supportsMemoryEvent=True,
            supportsStartDebuggingRequest=True,
            supportsANSIStyling=True,
        )
        client.ask(
            "attach",
            name="nbdebug: attach",
            type="debugpy",
            request="attach",
            connect={"host": "127.0.0.1", "port": 5678},
            justMyCode=True,
            token=script.token,
            debugOptions=["RedirectOutput", "ShowReturnValue"],
            showReturnValue=True,
            workspaceFolder=str(tmp_path),
            clientOS="unix",
            pathMappings=[{"localRoot": str(tmp_path), "remoteRoot": str(tmp_path)}],
            __configurationTarget=6,
            __sessionId="1",
        )
        client.event("initialized")
        client.break_at(script, "add", condition="i == 3")
        client.ask("setFunctionBreakpoints", breakpoints=[])
        client.ask("setExceptionBreakpoints", filters=[])
        client.ask("configurationDone")
        assert client.event("output")["body"]["output"] == "begin\n"
        client.stopped()
        assert client.evaluate("i") == "3"
        client.resume()
        client.event("terminated")
        client.close()


def test_stop_on_entry_stops_at_the_scripts_first_line(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, attach={"stopOnEntry": True}) as (_, client):
        assert client.stopped()["reason"] == "entry"
        assert client.line() == 1


def test_code_of_the_command_line_is_the_users(tmp_path: Path) -> None:
    with running(tmp_path, ["-c", "x = 1\nprint(x)"]) as script:
        client = script.connect()
        client.begin(stopOnEntry=True)
        client.ask("configurationDone")
        assert client.stopped()["reason"] == "entry"
        frames = client.ask("stackTrace", threadId=1)["stackFrames"]
        assert [frame["source"]["path"] for frame in frames] == ["<string>"]
        client.resume()
        assert script.finish() == (0, "1\n", "")
        client.close()


def test_many_that_only_connect_keep_nobody_out(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        where = parse_address(script.address)
        assert isinstance(where, TcpAddress)
        idle = [socket.create_connection((where.host, where.port)) for _ in range(20)]
        client = script.connect()
        client.begin()
        client.close()
        for one in idle:
            one.close()


def test_launch_is_understood_as_attach(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        client = script.connect()
        client.begin("launch", program="ignored.py", args=["x"], stopOnEntry=True)
        client.ask("configurationDone")
        assert client.stopped()["reason"] == "entry"
        client.resume()
        client.event("terminated")
        client.close()


def test_launch_without_debugging_stops_nowhere(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        client = script.connect()
        client.begin("launch", noDebug=True)
        client.break_at(script, "add")
        client.ask("configurationDone")
        names = [event["event"] for event in client.until_closed()]
        assert "stopped" not in names and names[-2:] == ["exited", "terminated"]
        assert script.finish() == (0, "begin\n10\nend\n", "")


def test_the_process_event_names_the_program(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        client = script.connect()
        client.begin()
        body = client.event("process")["body"]
        assert body["name"] == script.path and body["systemProcessId"] == script.process.pid
        client.close()


def test_the_program_waits_for_the_clients_configuration(tmp_path: Path) -> None:
    with running(tmp_path, "print('ran')\n") as script:
        client = script.connect()
        client.begin()
        assert client.ask("threads")["threads"]
        assert script.process.poll() is None
        client.ask("configurationDone")
        assert script.finish()[:2] == (0, "ran\n")
        client.close()


def test_a_client_that_never_says_that_it_is_done_is_waited_for_a_moment_only(
    tmp_path: Path,
) -> None:
    with running(tmp_path, "print('ran')\n") as script:
        client = script.connect()
        client.begin()
        client.event("terminated")
        assert script.finish()[:2] == (0, "ran\n")
        client.close()


def test_ctrl_c_ends_the_waiting_for_a_client(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        script.interrupt()
        code, out, err = script.finish()
        assert (code, out) == (130, "") and "interrupted while it waited" in err


def test_the_exit_code_is_told_before_the_process_ends(tmp_path: Path) -> None:
    with debugging(tmp_path, "import sys\nsys.exit(3)\n") as (script, client):
        assert client.event("exited")["body"] == {"exitCode": 3}
        client.event("terminated")
        assert script.finish()[0] == 3


def test_an_exit_handler_and_a_late_thread_can_stop(tmp_path: Path) -> None:
    program = """\
import atexit, threading
def late():
    print("late")  # @late
def last():
    print("last")  # @last
atexit.register(last)
threading.Timer(0.05, late).start()
"""
    with debugging(tmp_path, program, "late", "last") as (script, client):
        for mark in ("late", "last"):
            id_ = client.stopped()["threadId"]
            frames = client.ask("stackTrace", threadId=id_)["stackFrames"]
            assert frames[0]["line"] == script.line(mark)
            client.ask("continue", threadId=id_)
        client.event("terminated")
        assert script.finish() == (0, "late\nlast\n", "")


def test_the_stack_has_no_frames_of_ours(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (_, client):
        client.stopped()
        frames = client.ask("stackTrace", threadId=1)["stackFrames"]
        assert [frame["name"] for frame in frames] == ["total_of", "<module>"]


def test_our_threads_are_not_among_the_programs(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (_, client):
        client.stopped()
        assert [t["name"] for t in client.ask("threads")["threads"]] == ["MainThread"]


def test_a_breakpoint_call_stops_with_a_client_and_asks_pdb_without(tmp_path: Path) -> None:
    program = "x = 1\nbreakpoint()  # @call\nprint('after', x)\n"
    with debugging(tmp_path, program) as (script, client):
        client.stopped()
        assert client.line() in (script.line("call"), script.line("call") + 1)
        client.resume()
        assert script.finish() == (0, "after 1\n", "")
    with running(tmp_path, program, options=()) as script:
        code, out, _ = script.finish("p x\nc\n")
        assert code == 0 and "(Pdb) 1\n(Pdb) after 1" in out


def test_nbdebugs_breakpoint_does_nothing_without_a_client(tmp_path: Path) -> None:
    program = "import nbdebug\nnbdebug.breakpoint()\nprint('after')\n"
    with running(tmp_path, program, options=()) as script:
        assert script.finish() == (0, "after\n", "")
    with debugging(tmp_path, program) as (script, client):
        assert client.stopped()["reason"] == "breakpoint"
        client.resume()
        assert script.finish()[:2] == (0, "after\n")


# -- output


def test_output_is_told_when_asked_for_and_written_as_before(tmp_path: Path) -> None:
    program = (
        "import sys\nprint('a', 'b')\nprint('err', file=sys.stderr)\nprint('no end', end='')\n"
    )
    with debugging(tmp_path, program, attach={"redirectOutput": True}) as (script, client):
        told = [e["body"] for e in client.until_closed() if e["event"] == "output"]
        assert [(one["category"], one["output"]) for one in told] == [
            ("stdout", "a b\n"),
            ("stderr", "err\n"),
            ("stdout", "no end"),
        ]
        assert script.finish() == (0, "a b\nno end", "err\n")


def test_output_is_not_told_unless_asked_for(tmp_path: Path) -> None:
    with debugging(tmp_path, "print('a')\n") as (_, client):
        assert "output" not in [event["event"] for event in client.until_closed()]


def test_log_messages_come_in_order_and_none_is_lost(tmp_path: Path) -> None:
    program = "for i in range(20_000):\n    x = i  # @here\n"
    with running(tmp_path, program) as script:
        client = script.connect()
        client.begin()
        client.break_at(script, "here", logMessage="{i}")
        client.ask("configurationDone")
        told = [e["body"]["output"] for e in client.until_closed() if e["event"] == "output"]
        assert "".join(told) == "".join(f"{i}\n" for i in range(20_000))
        client.close()


# -- leaving


def test_disconnect_lets_the_program_run_on_without_its_breakpoints(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (script, client):
        client.stopped()
        client.ask("disconnect")
        assert script.finish() == (0, "begin\n10\nend\n", "")


def test_a_connection_that_drops_lets_the_program_run_on(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (script, client):
        client.stopped()
        client.close()
        assert script.finish() == (0, "begin\n10\nend\n", "")


def test_after_one_client_another_may_connect(tmp_path: Path) -> None:
    with debugging(tmp_path, WAITS, "seen") as (script, client):
        assert script.read_line() == "ready"
        script.say("one")
        client.stopped()
        client.close()
        assert script.read_line() == "saw one"
        second = script.connect()
        second.begin()
        script.say("two")  # the first one's breakpoint is gone
        assert script.read_line() == "saw two"
        second.break_at(script, "seen")
        script.say("three")
        second.stopped()
        assert second.evaluate("line") == "'three\\n'"
        second.resume()
        assert script.read_line() == "saw three"
        second.close()


@pytest.mark.parametrize("is_stopped", [True, False])
def test_disconnect_can_end_the_program_as_ctrl_c_would(tmp_path: Path, is_stopped: bool) -> None:
    program = """\
import time
try:
    print("ready", flush=True)
    here = 1  # @here
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
    raise SystemExit(5)
"""
    marks = ("here",) if is_stopped else ()
    with debugging(tmp_path, program, *marks) as (script, client):
        assert script.read_line() == "ready"
        if is_stopped:
            client.stopped()
        client.ask("disconnect", terminateDebuggee=True)
        assert script.finish()[:2] == (5, "interrupted\n")


def test_a_program_that_takes_no_interrupt_is_ended_all_the_same(tmp_path: Path) -> None:
    program = """\
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
    with debugging(tmp_path, program) as (script, client):
        assert script.read_line() == "ready"
        client.ask("disconnect", terminateDebuggee=True)
        assert script.finish()[0] == -signal.SIGTERM


@pytest.mark.parametrize("is_stopped", [True, False])
def test_terminate_interrupts_the_main_thread(tmp_path: Path, is_stopped: bool) -> None:
    program = "import time\nprint('ready', flush=True)\nx = 1  # @here\ntime.sleep(60)\n"
    with debugging(tmp_path, program, *(("here",) if is_stopped else ())) as (script, client):
        assert script.read_line() == "ready"
        if is_stopped:
            client.stopped()
        client.ask("terminate")
        assert client.event("exited")["body"] == {"exitCode": 130}
        client.event("terminated")
        code, _, err = script.finish()
        assert code == -signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt")
        assert "nbdebug" not in err


# -- who may connect


def test_without_the_token_nothing_is_answered_but_the_way_in(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        client = Client(script.address)
        assert client.refuse("threads") == "auth-required"
        assert client.ask("initialize", adapterID="x")["supportsConfigurationDoneRequest"]
        assert client.refuse("evaluate", expression="1") == "auth-required"
        assert client.refuse("attach") == "auth-required"
        assert client.refuse("attach", token=7) == "auth-required"
        client.ask("attach", token=script.token)
        assert client.ask("threads")["threads"]
        client.close()


def test_guessing_the_token_ends_the_connection(tmp_path: Path) -> None:
    with running(tmp_path, LOOP) as script:
        client = Client(script.address)
        client.ask("initialize", adapterID="x")
        for guess in ("a", "b", "ü"):
            assert client.refuse("attach", token=guess) == "auth-required"
        assert client.until_closed() == []
        with pytest.raises(errors.ConnectionLost):
            client.ask("attach", token=script.token)


@pytest.mark.parametrize("way", ["argument", "environment", "file"])
def test_a_token_can_be_given_and_is_then_not_printed(tmp_path: Path, way: str) -> None:
    (tmp_path / "token").write_text("secret\n")
    ways: dict[str, dict[str, Any]] = {
        "argument": {"options": ("--wait-for-client", "--token", "secret")},
        "environment": {"env": {"NBDEBUG_TOKEN": "secret"}},
        "file": {"options": ("--wait-for-client", "--token-file", str(tmp_path / "token"))},
    }
    with running(tmp_path, LOOP, **ways[way]) as script:
        assert script.token is None
        client = Client(script.address, "secret")
        client.begin()
        client.close()


def test_the_log_has_every_message_and_not_the_token(tmp_path: Path) -> None:
    options = ("--wait-for-client", "--log", str(tmp_path / "log"))
    with debugging(tmp_path, LOOP, options=options) as (script, client):
        client.event("terminated")
        script.finish()
    [log] = (tmp_path / "log").iterdir()
    text = log.read_text()
    assert '"command": "attach"' in text and "terminated" in text
    assert script.token is not None and script.token not in text


def test_no_auth_lets_a_client_on_loopback_in(tmp_path: Path) -> None:
    with running(tmp_path, LOOP, options=("--wait-for-client", "--no-auth")) as script:
        assert script.token is None
        client = script.connect()
        client.begin()
        client.ask("configurationDone")
        assert script.finish()[0] == 0
        client.close()


@pytest.mark.parametrize(
    ("arguments", "slug_text"),
    [
        (["--listen", "0.0.0.0:0", "--no-auth", "x.py"], "can be reached from other machines"),
        (["--listen", "nowhere", "x.py"], "has no port"),
        (["--listen", "unix:", "x.py"], "path behind `unix:` is missing"),
        (["--listen", "unix:/no/such/folder/s", "x.py"], "No such file"),
        (["--listen", "127.0.0.1:0"], "What is to be run is missing"),
        (["--listen", "127.0.0.1:0", "-m"], "What is to be run is missing"),
        (["--listen", "127.0.0.1:0", "--token-file", "none", "x.py"], "Can't read the token"),
    ],
)
def test_a_command_line_that_is_wrong_is_refused(
    tmp_path: Path, arguments: list[str], slug_text: str
) -> None:
    (tmp_path / "x.py").write_text("print('ran')")
    code, out, err = plain(tmp_path, ["-m", "nbdebug", *arguments])
    assert (code, out) == (2, "") and slug_text in err


def test_a_second_client_is_told_why_not_and_disturbs_nobody(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (script, client):
        client.stopped()
        second = script.connect()
        second.ask("initialize", adapterID="x")
        assert second.refuse("attach", token=script.token) == "already-debugged"
        assert second.until_closed() == []
        assert client.evaluate("i") == "0"


def test_a_second_client_without_a_token_is_told_at_initialize(tmp_path: Path) -> None:
    options = ("--wait-for-client", "--no-auth")
    with debugging(tmp_path, LOOP, "add", options=options) as (script, client):
        client.stopped()
        second = script.connect()
        assert second.refuse("initialize", adapterID="x") == "already-debugged"
        assert second.until_closed() == []
        assert client.evaluate("i") == "0"


def test_rubbish_ends_its_own_connection_only(tmp_path: Path) -> None:
    with debugging(tmp_path, LOOP, "add") as (script, client):
        client.stopped()
        where = parse_address(script.address)
        assert isinstance(where, TcpAddress)
        with socket.create_connection((where.host, where.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert raw.recv(10) == b""
        assert client.evaluate("i") == "0"


# -- sockets


def test_a_unix_socket_is_its_users_alone_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running(tmp_path, LOOP, address=f"unix:{path}") as script:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert script.token is None
        client = script.connect()
        client.begin()
        client.break_at(script, "add")
        client.ask("configurationDone")
        client.stopped()
        client.break_at(script)
        client.resume()
        client.event("terminated")
        assert script.finish()[0] == 0
        client.close()
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with running(tmp_path, LOOP, address=f"unix:{path}"):
        target = ["-m", "nbdebug", "--listen", f"unix:{path}", "-c", "1"]
        code, _, err = plain(tmp_path, target)
        assert code == 2 and "Address already in use" in err


def test_ipv6_works(tmp_path: Path) -> None:
    if not _has_ipv6():
        pytest.skip("no IPv6 on this machine")
    with running(tmp_path, LOOP, address="[::1]:0") as script:
        assert script.address.startswith("[::1]:")
        client = script.connect()
        client.begin()
        client.close()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5678", TcpAddress("127.0.0.1", 5678)),
        ("5678", TcpAddress("127.0.0.1", 5678)),
        ("[::1]:0", TcpAddress("::1", 0)),
        ("localhost:1", TcpAddress("localhost", 1)),
        ("unix:/tmp/s", UnixAddress("/tmp/s")),
    ],
)
def test_an_address_is_read(text: str, address: transport.Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":", ":80", "host", "host:x", "host:99999", "unix:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(errors.BadAddress):
        parse_address(text)


def test_a_client_that_reads_nothing_doesnt_hold_the_program_up_for_ever(tmp_path: Path) -> None:
    program = "for i in range(300_000):\n    x = i  # @here\nprint('done')\n"
    with running(tmp_path, program, options=("--wait-for-client", "--no-auth")) as script:
        where = parse_address(script.address)
        assert isinstance(where, TcpAddress)
        with socket.create_connection((where.host, where.port)) as raw:
            line = script.line("here")
            source: dict[str, Any] = {"path": script.path}
            text = "x" * 200
            requests: dict[str, Any] = {
                "initialize": {"adapterID": "x"},
                "attach": {},
                "setBreakpoints": {
                    "source": source,
                    "breakpoints": [{"line": line, "logMessage": text}],
                },
                "configurationDone": {},
            }
            for number, (command, arguments) in enumerate(requests.items(), 1):
                request = {"seq": number, "type": "request", "command": command}
                raw.sendall(framing.encode({**request, "arguments": arguments}))
            assert script.finish()[:2] == (0, "done\n")


# -- forks


def test_a_forked_child_has_nothing_of_the_debugger(tmp_path: Path) -> None:
    program = """\
import os
def work():
    return 7  # @work
child = os.fork()
if not child:
    os._exit(work())
print(os.waitpid(child, 0)[1] >> 8)
print(work())
"""
    with debugging(tmp_path, program, "work") as (script, client):
        client.stopped()
        client.resume()
        client.event("terminated")
        assert script.finish() == (0, "7\n7\n", "")


# -- nbdebug.listen()


def test_a_program_can_listen_by_itself(tmp_path: Path) -> None:
    program = """\
import nbdebug, sys
listener = nbdebug.listen()
print(listener.address, listener.token, flush=True)
print(listener.wait_for_client(timeout_s=0.0))
listener.wait_for_client()
x = 41
nbdebug.breakpoint()  # @here
print(x)  # @after
listener.close()
try:
    listener = nbdebug.listen("127.0.0.1:0", auth=False)
    nbdebug.listen()
except Exception as error:
    print(type(error).__name__, listener.token)
"""
    (tmp_path / "program.py").write_text(program)
    with _python(tmp_path, "program.py") as process:
        assert process.stdout is not None
        address, token = process.stdout.readline().split()
        client = Client(address, token)
        client.begin()
        client.ask("configurationDone")
        client.stopped()
        assert client.evaluate("x") == "41"
        client.resume()
        assert process.stdout.read() == "False\n41\nEngineInUse None\n"
        client.close()


def _python(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
