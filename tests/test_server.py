"""Any DAP client debugs a script: real processes, real sockets."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from interpreters import ROOT
from script import LOOP, WAITS, Client, debugging, running

from nbdebug.dap.transport import TcpAddress, parse_address

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
