"""Processes that tests attach to: which Pythons there are, and how one is started and ended.

A target says that it is ready, and one that blocks is waited for until it does; nothing here
sleeps for a time that a test relies on.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from interpreters import ROOT

PROGRAM = ROOT / "tests" / "programs" / "attach_target.py"
EMBEDDER = ROOT / "tests" / "programs" / "embedder.c"
LIMIT_S = 30

NEW = ("3.14", "3.15")
"""Pythons with a safe way in."""
OLD = ("3.12", "3.13")
"""Those that only ``--legacy`` gets into."""
OLDER = ("3.8", "3.9", "3.10", "3.11")
"""Those that the engine can't run on."""

# Where each scenario blocks, as Linux's numbers of system calls on x86-64.
BLOCKS_IN = {
    "sleep": (35, 230, 23, 270),
    "accept": (43, 288),
    "recv": (45,),
    "read_line": (0,),
    "lock": (202,),
    "timed_lock": (202,),
    "event": (202,),
    "queue": (202,),
    "join": (202, 230),
    "select": (23, 270),
    "child": (61, 247),
    "asyncio_idle": (232, 281),
}
BLOCKED = tuple(BLOCKS_IN)
COMPUTING = ("native", "native_for_a_while")
"""Scenarios that are in C code once they have used some of the processor's time."""


@dataclass(frozen=True, slots=True)
class TargetPython:
    """An interpreter that targets run on; ``environment`` is what it needs to find itself."""

    version: str
    path: Path
    is_shared: bool
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def minor(self) -> tuple[int, int]:
        major, minor = self.version.split(".")
        return int(major), int(minor)


@functools.cache
def find_target_python(version: str) -> TargetPython | None:
    """Return this Python as the machine has it, without ipykernel; None if there is none.

    Where everything must run, Debian's is fetched if there is none.
    """
    command = [str(ROOT / "tools" / "find-python"), version]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    path = found.stdout.strip()
    if not path and os.environ.get("NBDEBUG_REQUIRE_ALL") == "1":
        fetched = subprocess.run(
            [str(ROOT / "tools" / "get-python"), version],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        path = fetched.stdout.strip().splitlines()[-1] if fetched.returncode == 0 else ""
    if not path:
        return None
    base = ask(path, "import sys; print(getattr(sys, '_base_executable', sys.executable))")
    return TargetPython(version, Path(base).resolve(), _maps_libpython(base))


def require_target_python(version: str) -> TargetPython:
    """As ``find_target_python``; skips the test where there is none."""
    python = find_target_python(version)
    if python is None:
        pytest.skip(f"no Python {version} for targets: `tools/get-python {version}` fetches one")
    return python


def require_older_python(version: str) -> TargetPython:
    """As ``require_target_python``, of one that nothing else needs."""
    python = find_target_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here, which isn't needed otherwise")
    return python


@functools.cache
def _embedded(version: str) -> TargetPython | str:
    python = find_target_python(version)
    if python is None:
        return f"no Python {version} for targets: `tools/get-python {version}` fetches one"
    if python.is_shared:
        return python
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return "no C compiler for a program that embeds Python"
    program = (
        "import sys, sysconfig as s; print(sys.prefix, s.get_config_var('LIBDIR'), "
        "s.get_path('include'), sep='\\n')"
    )
    prefix, configured, include = ask(str(python.path), program).splitlines()
    places = [Path(configured), *Path(prefix).glob("lib/*-linux-gnu"), Path(prefix, "lib")]
    name = f"libpython{version}.so"
    library = next((place for place in places if (place / name).exists()), None)
    if library is None:
        return f"Python {version} has no shared library to embed"
    if not Path(include, "Python.h").exists():
        include = str(Path(prefix, "include", f"python{version}"))
    result = Path(os.environ["TMPDIR"]) / f"embedded-{version}"
    command = [
        compiler,
        str(EMBEDDER),
        "-o",
        str(result),
        f"-I{include}",
        f"-I{Path(include).parent}",
    ]
    command += [f"-L{library}", f"-lpython{version}", f"-Wl,-rpath,{library},--disable-new-dtags"]
    command += ["-Wl,--allow-shlib-undefined"]
    loader = library / "ld-linux-x86-64.so.2"
    if loader.exists():  # Debian's own came with the C library that it needs
        command += [f"-Wl,--dynamic-linker={loader}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        return f"no program that embeds Python {version} can be compiled: {done.stderr[-200:]}"
    return TargetPython(version, result, True, {"PYTHONHOME": prefix})


def require_shared_python(version: str) -> TargetPython:
    """Return a program that has Python in a shared library; skips where there is none."""
    python = _embedded(version)
    if isinstance(python, str):
        pytest.skip(python)
    return python


def ask(python: str, program: str) -> str:
    """Run a program in this interpreter; return what it prints."""
    return subprocess.run(
        [python, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def _maps_libpython(path: str) -> bool:
    return ask(path, "print('libpython' in open('/proc/self/maps').read())") == "True"


@dataclass(slots=True)
class Target:
    """A running process, and what it writes."""

    scenario: str
    python: TargetPython
    process: subprocess.Popen[str]
    pid: int

    def finish(self) -> tuple[int, str, str]:
        """End it in its own way; return its exit code, output and error output.

        What a signal raises is lost where it comes in the middle of a script of ours, or of a
        ``__del__``: then it is asked again.
        """
        deadline = time.monotonic() + LIMIT_S
        is_ending = False
        while True:
            if self.process.poll() is None and not is_ending:
                self.process.send_signal(signal.SIGTERM)
            try:
                output, errors = self.process.communicate(timeout=2)
            except subprocess.TimeoutExpired as error:
                if time.monotonic() > deadline:
                    raise
                is_ending = b"\nended " in (error.stdout or b"")  # it has no handler any more
            else:
                return self.process.returncode, output, errors

    def result(self) -> tuple[int, str, str]:
        """Wait for its end; return its exit code, output and error output."""
        output, errors = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, output, errors

    def kill(self) -> None:
        """End it whatever it does, and collect it."""
        self.process.kill()
        self.process.communicate()

    def status(self, name: str) -> str:
        """Return one line of /proc/PID/status."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return line.partition(":")[2].strip()
        raise LookupError(name)


NewTarget = Callable[..., Target]
"""What the fixture ``new_target`` is: ``start``, with an end."""


def start(
    scenario: str,
    python: TargetPython,
    *,
    options: Sequence[str] = (),
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    user: int | None = None,
    cwd: Path | None = None,
) -> Target:
    """Start a scenario of attach_target.py; return when it is ready and, if it blocks, blocked.

    ``options`` are the interpreter's, ``prefix`` a command that starts it. What Python is told by
    the tests' own environment, it doesn't see.
    """
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*prefix, str(python.path), *options, str(PROGRAM), scenario, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[writing],
        user=user,
        cwd=cwd,
        env={
            **_inherited(),
            "PYTHONDONTWRITEBYTECODE": "1",
            **python.environment,
            "TARGET_READY": str(writing),
            **(environment or {}),
        },
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.readline()
    target = Target(scenario, python, process, process.pid)
    if told != b"ready\n":
        target.kill()
        raise AssertionError(f"{scenario} on {python.path} didn't start")
    if scenario in BLOCKS_IN:
        wait_until_blocked(target.pid, BLOCKS_IN[scenario])
    if scenario in COMPUTING:
        wait_for_ticks(target.pid, ticks_of(target.pid) + 5)
    return target


@contextmanager
def running(script: Path, program: str, python: TargetPython) -> Iterator["subprocess.Popen[str]"]:
    """Write a program and run it: once it has said that it is ready, until the test is over.

    What Python is told by the tests' own environment, it doesn't see.
    """
    script.write_text(program)
    process = subprocess.Popen(
        [str(python.path), str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**_inherited(), **python.environment},
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == "ready\n", said or process.communicate(timeout=LIMIT_S)
        yield process
    finally:
        process.kill()
        process.communicate()


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}


def wait_until_blocked(pid: int, calls: Sequence[int]) -> None:
    """Return when the main thread is in one of these system calls."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        words = Path(f"/proc/{pid}/syscall").read_text().split()
        if words[0].isdigit() and (int(words[0]) in calls or os.uname().machine != "x86_64"):
            return
        time.sleep(0.001)
    raise AssertionError(f"{pid} doesn't block: {words}")


def ticks_of(pid: int) -> int:
    """Return how much of the processor's time a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def wait_for_ticks(pid: int, ticks: int) -> None:
    """Return when a process has used so much of the processor's time."""
    deadline = time.monotonic() + LIMIT_S
    while ticks_of(pid) < ticks:
        assert time.monotonic() < deadline, f"{pid} computes nothing"
        time.sleep(0.001)


def state_of(pid: int) -> str:
    """Return a process's state, as /proc has it: R, S, T, t, Z ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for_state(pid: int, states: str) -> None:
    """Return when the process is in one of these states."""
    deadline = time.monotonic() + LIMIT_S
    while state_of(pid) not in states:
        assert time.monotonic() < deadline, f"{pid} is {state_of(pid)}, not {states}"
        time.sleep(0.001)


def this_python() -> TargetPython:
    """Return the interpreter of the tests themselves, with all that is installed in it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return TargetPython(version, Path(sys.executable), False)


def children_of(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        found = [int(p) for task in tasks for p in (task / "children").read_text().split()]
    except OSError:
        return []
    return [one for child in found for one in [*children_of(child), child]]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return when something is so; fail if it never is."""
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.001)
