"""Child processes are followed when asked for, and run as without us."""

import os
import queue
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from script import LIMIT_S, Client, Script, debugging, running

from nbdebug.dap.process_starts import program_at

CHILD = """\
import sys
def work(n):
    return n * 2  # @work
print("child", sys.argv[1:], __name__, work(21))
sys.exit(3)
"""

PARENT = {
    "subprocess": """\
import subprocess, sys
done = subprocess.run([sys.executable, "-X", "utf8", "child.py", "a", "-b"], capture_output=True)
print(done.returncode, done.stdout, done.stderr)
""",
    "module": """\
import subprocess, sys
print(subprocess.run([sys.executable, "-um", "child", "x"], stdout=subprocess.PIPE).stdout)
""",
    "posix_spawn": """\
import os, sys
pid = os.posix_spawn(sys.executable, [sys.executable, "child.py", "a"], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
    "fork_and_exec": """\
import os, sys
pid = os.fork()
if not pid:
    os.execv(sys.executable, [sys.executable, "child.py", "b"])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
    "spawn_and_exec": """\
import os, sys
print(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "child.py", "b"]))
""",
}

POOLS = """\
import multiprocessing, sys
def work(n):
    return n * 2  # @work
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    process = context.Process(target=work, args=(21,))
    process.start()
    process.join()
    print(process.exitcode)
"""


class Follower(Client):
    """A client that is told of children, as VS Code is."""

    def __init__(self, script: Script, **more: Any) -> None:
        self.told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        super().__init__(script.address, script.token)
        self.reverse["startDebugging"] = self._start_debugging
        self.ask("initialize", adapterID="x", supportsStartDebuggingRequest=True)
        token = {} if script.token is None else {"token": script.token}
        self.ask("attach", subProcess=True, **token, **more)
        self.ask("configurationDone")

    def _start_debugging(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.told.put(arguments)
        return {}

    def child(self) -> "Client":
        """Return the next child's client, attached and not configured."""
        told = self.told.get(timeout=LIMIT_S)
        assert told["request"] == "attach"
        configuration = told["configuration"]
        assert configuration["connect"]["port"] == configuration["port"]
        client = Client(f"{configuration['host']}:{configuration['port']}", configuration["token"])
        client.begin()
        return client


@contextmanager
def following(folder: Path, program: str, **options: Any) -> Iterator[tuple[Script, Follower]]:
    with running(folder, program, **options) as script:
        client = Follower(script)
        yield script, client
        client.close()
    assert not list(Path(os.environ["TMPDIR"]).glob("nbdebug-*/children"))


def stop_in_child(client: Client, path: str, text: str) -> None:
    line = next(n for n, one in enumerate(text.splitlines(), 1) if one.endswith("# @work"))
    client.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": line}])
    client.ask("configurationDone")
    stop = client.stopped()
    frames = client.ask("stackTrace", threadId=stop["threadId"])["stackFrames"]
    frame = frames[0]["id"]
    assert client.ask("evaluate", expression="n", frameId=frame)["result"] == "21"
    client.ask("setBreakpoints", source={"path": path}, breakpoints=[])
    client.ask("continue", threadId=stop["threadId"])


def alone(folder: Path, *arguments: str) -> str:
    """Return what the parent prints with no debugger about."""
    done = subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("way", PARENT)
def test_a_child_is_a_session_of_its_own_and_ends_as_without(tmp_path: Path, way: str) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    with following(tmp_path, PARENT[way]) as (script, client):
        child = client.child()
        if way.endswith("exec"):  # the fork is one, and what it executes another
            child.request("configurationDone")  # whose answer may come too late
            child = client.child()
        stop_in_child(child, str(tmp_path / "child.py"), CHILD)
        assert child.event("exited")["body"] == {"exitCode": 3}
        child.close()
        _, out, _ = script.finish()
    assert out == alone(tmp_path)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_processes_of_multiprocessing_are_sessions(tmp_path: Path, method: str) -> None:
    with following(tmp_path, POOLS, arguments=(method,)) as (script, client):
        child = client.child()
        stop_in_child(child, script.path, POOLS)
        child.until_closed()
        child.close()
        assert script.finish()[:2] == (0, "0\n")


def test_a_child_follows_its_own_children(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "middle.py").write_text(PARENT["subprocess"])
    program = "import subprocess, sys\nsubprocess.run([sys.executable, 'middle.py'])\n"
    with following(tmp_path, program) as (script, client):
        told = client.told.get(timeout=LIMIT_S)["configuration"]
        middle = Client(f"{told['host']}:{told['port']}", told["token"])
        middle.begin(subProcess=True)
        middle.ask("configurationDone")
        told = middle.event("nbdebug/childProcess")["body"]
        child = Client(told["address"], told["token"])
        child.begin()
        stop_in_child(child, str(tmp_path / "child.py"), CHILD)
        child.until_closed()
        assert script.finish()[0] == 0
        middle.close()
        child.close()


def test_over_a_unix_socket_children_have_sockets_too_and_an_event_tells_of_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    address = f"unix:{tmp_path / 's'}"
    with following(tmp_path, PARENT["subprocess"], address=address) as (script, client):
        told = client.event("nbdebug/childProcess")["body"]
        assert told["name"] == "child.py" and re.match("unix:", told["address"])
        child = Client(told["address"])
        child.begin()
        stop_in_child(child, str(tmp_path / "child.py"), CHILD)
        child.until_closed()
        child.close()
        assert script.finish()[0] == 0


def test_children_are_left_alone_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    with debugging(tmp_path, PARENT["subprocess"]) as (script, client):
        names = [event["event"] for event in client.until_closed()]
        assert "nbdebug/childProcess" not in names
        assert script.finish()[1] == alone(tmp_path)


def test_after_disconnect_children_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    program = "input()\n" + PARENT["subprocess"] + "import os\nprint(os.execv)\n"
    with following(tmp_path, program) as (script, client):
        client.ask("disconnect")
        _, out, _ = script.finish("\n")
    (tmp_path / "program.py").write_text(program.replace("input()", ""))
    assert out == alone(tmp_path)


def test_other_programs_and_helpers_are_no_children(tmp_path: Path) -> None:
    program = """\
import subprocess, sys
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(create=True, size=1)
memory.close()
memory.unlink()
print(subprocess.run("echo shell", shell=True, capture_output=True).stdout)
print(subprocess.run([sys.executable, "-V"], capture_output=True).returncode)
print(subprocess.run([sys.executable], input=b"print(1)", capture_output=True).stdout)
print(subprocess.run(["true"], preexec_fn=lambda: None).returncode)
"""
    with following(tmp_path, program) as (script, client):
        assert script.finish()[:2] == (0, "b'shell\\n'\n0\nb'1\\n'\n0\n")
        assert client.told.empty()


def test_a_child_whose_client_doesnt_come_runs_on_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    with following(tmp_path, PARENT["subprocess"]) as (script, client):
        client.told.get(timeout=LIMIT_S)
        _, out, _ = script.finish()
    assert out.startswith("3 b\"child ['a', '-b'] __main__ 42\\n\"") and "no client came" in out


@pytest.mark.parametrize(
    ("line", "flags", "program"),
    [
        ("python x.py -m a", 1, ["x.py", "-m", "a"]),
        ("python -u -W error -Xutf8 x.py", 5, ["x.py"]),
        ("python -m mod a", 1, ["-m", "mod", "a"]),
        ("python -Immod a", 2, ["-m", "mod", "a"]),
        ("python -Ic code a", 2, ["-c", "code", "a"]),
        ("python -ccode", 1, ["-c", "code"]),
    ],
)
def test_a_python_command_line_is_read(line: str, flags: int, program: list[str]) -> None:
    found = program_at([word.encode() for word in line.split()])
    assert found == (flags, [word.encode() for word in program])


@pytest.mark.parametrize(
    "line", ["python", "python -", "python -V", "python --version", "python -i x.py", "python -m"]
)
def test_a_python_without_a_program_is_left_alone(line: str) -> None:
    assert program_at([word.encode() for word in line.split()]) is None


def test_children_work_on_every_python(tmp_path: Path, each_python: Path) -> None:
    with following(tmp_path, POOLS, arguments=("spawn",), python=each_python) as (script, client):
        child = client.child()
        stop_in_child(child, script.path, POOLS)
        child.until_closed()
        child.close()
        assert script.finish()[:2] == (0, "0\n")
