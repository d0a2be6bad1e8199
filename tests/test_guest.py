"""The guest's own children, tracers and signals: all as without a debugger, in a real kernel.

Each program runs in two kernels, one without nbdebug; with it, the debugger is on and breakpoints
are set in the code that only children run, and must end up with the same output and status.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from interpreters import VERSIONS, require
from kernel_client import LIMIT_S, Json, Kernel, line_of, running_kernel

WORK = """import os, sys, threading

def square(n):
    return n * n  # @square

def leave(code):
    os._exit(code)  # @leave

def fail(n):
    raise ValueError(n)  # @fail

def loop(n):
    total = 0
    for i in range(n):
        total += i  # @total
    return total

def call_breakpoint():
    breakpoint()
    return 1
"""


class Pair(NamedTuple):
    """A kernel with nbdebug and one without; the module ``work`` can be imported in both."""

    ours: Kernel
    plain: Kernel
    work: str


@pytest.fixture(scope="module", params=VERSIONS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    python = str(require(request.param))
    folder = tmp_path_factory.mktemp("guest")
    work = folder / "guestwork.py"
    work.write_text(WORK)
    with (
        running_kernel(python=python) as ours,
        running_kernel(python=python, load=False, enable=False) as plain,
    ):
        for kernel in (ours, plain):
            kernel.run(f"%cd -q {folder}\nimport sys; sys.path.insert(0, {str(folder)!r})")
            # That a fork is made beside threads is a warning, on stderr, in no order with stdout.
            kernel.run("import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)")
        yield Pair(ours, plain, str(work))


def set_marks(kernel: Kernel, path: str, *marks: str) -> None:
    lines = [{"line": line_of(WORK, mark)} for mark in marks]
    kernel.ask("setBreakpoints", source={"path": path}, breakpoints=lines)


def steady(text: str) -> str:
    """Return an output without what differs between any two runs."""
    return re.sub(r"ipykernel_\d+|0x[0-9a-f]+|pid=\d+|\bpid \d+|ForkPoolWorker-\d+", "", text)


CHILDREN = {
    "subprocess": """
import subprocess, sys
done = subprocess.run([sys.executable, '-c', 'import guestwork; print(guestwork.square(3))'],
                      capture_output=True, text=True)
print(done.returncode, done.stdout, done.stderr)
""",
    "a subprocess that fails": """
import subprocess, sys
done = subprocess.run([sys.executable, '-c', 'import guestwork; guestwork.leave(3)'])
print(done.returncode)
""",
    "a shell command": "!echo hello && false\nprint(_exit_code)\nfiles = !ls guestwork.py\nfiles",
    "bash": "%%bash\necho one\necho two >&2\n",
    "os.fork": """
import os, guestwork
pid = os.fork()
if not pid:
    guestwork.leave(guestwork.square(3))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
    "os.fork on another thread": """
import os, threading, guestwork
found = []
def fork():
    pid = os.fork()
    if not pid:
        guestwork.leave(guestwork.square(4))
    found.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
thread = threading.Thread(target=fork); thread.start(); thread.join()
print(found)
""",
    "os.posix_spawn": """
import os, sys
pid = os.posix_spawn(sys.executable, [sys.executable, '-c', 'import guestwork as g; g.leave(5)'],
                     os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
    **{
        f"multiprocessing {method}": f"""
import multiprocessing, guestwork
context = multiprocessing.get_context({method!r})
process = context.Process(target=guestwork.leave, args=(7,)); process.start(); process.join()
print(process.exitcode)
with context.Pool(2) as pool:
    print(pool.map(guestwork.square, range(5)))
    try:
        pool.apply(guestwork.fail, (1,))
    except ValueError as error:
        print('failed', error)
"""
        for method in ("fork", "spawn", "forkserver")
    },
    "ProcessPoolExecutor": """
import concurrent.futures, multiprocessing, guestwork
for method in ('fork', 'spawn'):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        print(list(pool.map(guestwork.square, range(5))))
""",
}


@pytest.mark.parametrize("name", CHILDREN)
def test_children_run_as_without_a_debugger(pair: Pair, name: str) -> None:
    set_marks(pair.ours, pair.work, "square", "leave", "fail")
    assert same(pair, CHILDREN[name])["status"] == "ok"


def same(pair: Pair, code: str) -> Json:
    """Run a cell in both kernels; see that nothing stops and all is the same."""
    since = len(pair.ours.events)
    plain, ours = pair.plain.run(code.lstrip()), pair.ours.run(code.lstrip())
    assert ours["status"] == plain["status"], ours
    assert steady(ours["output"]) == steady(plain["output"])
    assert "stopped" not in [event["event"] for event in pair.ours.events[since:]]
    return ours


def test_breakpoint_in_a_forked_child_calls_the_hook_that_was_there(each_python: Path) -> None:
    with running_kernel(python=str(each_python), load=False, enable=False) as kernel:
        kernel.run("import sys; calls = []; sys.breakpointhook = lambda: calls.append(1)")
        kernel.run("%load_ext nbdebug")
        kernel.enable()
        reply = kernel.run(
            "import os, warnings\n"
            "warnings.simplefilter('ignore')\n"
            "if not (pid := os.fork()):\n"
            "    breakpoint()\n"
            "    os._exit(40 + len(calls))\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        )
        assert reply["output"] == "41\n"


FORK_WHILE_STOPPED = """
import os, subprocess, sys, threading, guestwork
def work():
    for i in range(3):
        pid = os.fork()
        if not pid:
            os._exit(guestwork.square(i))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout)
    done.set()
done = threading.Event()
threading.Thread(target=work).start()
stopped = 1  # @stop
done.wait();
"""


def test_children_are_made_while_another_thread_is_stopped(pair: Pair) -> None:
    kernel = pair.ours
    kernel.ask("attach", stopOtherThreads=False)
    set_marks(kernel, pair.work, "square")
    kernel.break_at(FORK_WHILE_STOPPED, "stop")
    kernel.run_to_stop(FORK_WHILE_STOPPED)
    kernel.wait_for_output(kernel.executing, "b'1\\n'")
    assert kernel.resume()["output"] == "0\n1\n4\nb'1\\n'\n"
    kernel.ask("setBreakpoints", source={"path": kernel.path}, breakpoints=[])
    kernel.ask("attach", stopOtherThreads=True)


# -- tracers and profilers

TRACERS = {
    "cProfile": """
import cProfile, guestwork
profile = cProfile.Profile()
print(profile.runcall(guestwork.loop, 10))
found = [s for s in profile.getstats() if 'guestwork' in getattr(s.code, 'co_filename', '')]
print(sorted((s.code.co_name, s.callcount) for s in found))
""",
    "profile": """
import profile, guestwork
p = profile.Profile()
print(p.runcall(guestwork.loop, 10))
print(sorted((k[2], v[0]) for k, v in p.timings.items() if 'guestwork' in k[0]))
""",
    "sys.settrace": """
import sys, guestwork
seen = []
def tracer(frame, event, arg):
    if 'guestwork' in frame.f_code.co_filename:
        seen.append((event, frame.f_lineno))
    return tracer
sys.settrace(tracer)
total = guestwork.loop(3)
sys.settrace(None)
print(total, seen)
""",
    "sys.setprofile": """
import sys, guestwork
seen = []
sys.setprofile(lambda frame, event, arg: seen.append((event, frame.f_code.co_name)))
total = guestwork.loop(3)
sys.setprofile(None)
print(total, [one for one in seen if one[1] == 'loop'])
""",
    "sys.monitoring": """
import sys, guestwork
m = sys.monitoring
free = next(i for i in (5, 3, 1) if m.get_tool(i) is None)
m.use_tool_id(free, 'guest')
seen = []
m.register_callback(free, m.events.LINE, lambda code, line: seen.append(line))
m.set_local_events(free, guestwork.loop.__code__, m.events.LINE)
total = guestwork.loop(3)
m.set_local_events(free, guestwork.loop.__code__, 0)
m.register_callback(free, m.events.LINE, None)
m.free_tool_id(free)
print(total, seen)
""",
    "tracemalloc": """
import tracemalloc, guestwork
tracemalloc.start(); print(guestwork.loop(3)); tracemalloc.stop()
""",
}


@pytest.mark.parametrize("name", TRACERS)
def test_tracers_and_profilers_see_what_they_see_without_a_debugger(pair: Pair, name: str) -> None:
    kernel = pair.ours
    set_marks(kernel, pair.work, "square")  # in the file, not in what runs
    same(pair, TRACERS[name])
    set_marks(kernel, pair.work, "total")
    kernel.run_to_stop(TRACERS[name].lstrip())
    assert kernel.where() == ("loop", line_of(WORK, "total"))
    assert kernel.evaluate("n") in ("3", "10")
    kernel.move("next")
    set_marks(kernel, pair.work)
    assert steady(kernel.resume()["output"]) == steady(
        pair.plain.run(TRACERS[name].lstrip())["output"]
    )


PDB = "import pdb\nx = 41\npdb.set_trace()\nprint('after', x)\n"


def test_pdb_in_a_cell_works_beside_the_debugger(pair: Pair) -> None:
    outputs = []
    for kernel in (pair.plain, pair.ours):
        if kernel is pair.ours:
            set_marks(kernel, pair.work, "square")
        message = kernel.send_cell(PDB)
        for answer in ("p x + 1", "c"):
            kernel.client.get_stdin_msg(timeout=LIMIT_S)
            kernel.client.input(answer)
        reply = kernel.finish(message)
        assert reply["status"] == "ok" and "42" in reply["output"]
        outputs.append(reply["output"].splitlines()[-1])
    assert outputs[0] == outputs[1] == "after 41"
    pair.ours.run_to_stop("import guestwork\nguestwork.square(2)")
    assert pair.ours.where()[0] == "square"
    pair.ours.resume()


COVERAGE = """
import os
os.environ['COVERAGE_CORE'] = {core!r}
import coverage, guestwork
cover = coverage.Coverage(data_file=None, config_file=False, messages=False)
cover.start()
total = guestwork.loop(3)
cover.stop()
print(total, sorted(cover.get_data().lines(guestwork.__file__)))
"""


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_coverage_measures_what_it_measures_without_a_debugger(core: str, tmp_path: Path) -> None:
    (tmp_path / "guestwork.py").write_text(WORK)
    code = COVERAGE.format(core=core)
    with (
        running_kernel() as ours,
        running_kernel(load=False, enable=False) as plain,
    ):
        for kernel in (ours, plain):
            kernel.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
        work = str(tmp_path / "guestwork.py")
        expected = plain.run(code)["output"]
        assert expected.startswith("3 [")
        assert ours.run(code)["output"] == expected
        set_marks(ours, work, "total")
        ours.run_to_stop(code)
        stops = 1
        while stops < 3:
            ours.move("continue")
            assert ours.where() == ("loop", line_of(WORK, "total"))
            stops += 1
        ours.move("next")
        ours.move("stepOut")
        assert ours.resume()["output"] == expected


def test_a_debugpy_that_the_user_starts_works_beside_ours() -> None:
    with running_kernel() as kernel:
        reply = kernel.run("import debugpy\ndebugpy.listen(('127.0.0.1', 0))[0]")
        assert reply["status"] == "ok", reply
        code = "def f(a):\n    return a + 1  # @in\nprint(f(1))\n"
        kernel.break_at(code, "in")
        kernel.run_to_stop(code)
        assert kernel.where()[0] == "f" and kernel.evaluate("a") == "1"
        kernel.move("next")
        assert kernel.resume()["output"] == "2\n"


# -- a client that comes and goes

CELL = "def f(a):\n    b = a + 1  # @b\n    return b\nr = f(5)\nprint('r is', r)\n"


def test_a_refreshed_page_finds_the_stop_and_goes_on(pair: Pair) -> None:
    kernel = pair.ours
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    assert kernel.ask("debugInfo")["stoppedThreads"] == [1]
    kernel.enable()  # no disconnect came before
    kernel.ask(
        "setBreakpoints",
        source={"path": kernel.path},
        breakpoints=[{"line": line_of(CELL, "b")}],
    )
    info = kernel.ask("debugInfo")
    assert (info["isStarted"], info["stoppedThreads"]) == (True, [1])
    assert kernel.where() == ("f", 2) and kernel.evaluate("a") == "5"
    kernel.move("next")
    assert kernel.where() == ("f", 3)
    assert kernel.resume()["output"] == "r is 6\n"


def test_initialize_and_attach_sent_twice_keep_the_stop(pair: Pair) -> None:
    kernel = pair.ours
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    for _ in range(2):
        kernel.ask("initialize", clientID="jupyterlab", adapterID="python")
        kernel.ask("attach")
        kernel.ask("configurationDone")
    assert kernel.where() == ("f", 2)
    assert kernel.resume()["output"] == "r is 6\n"


def test_terminate_ends_the_cell_and_runs_none_of_what_follows(pair: Pair) -> None:
    kernel = pair.ours
    kernel.break_at(CELL, "b")
    kernel.run("r = None")
    kernel.run_to_stop(CELL)
    kernel.ask("terminate")
    reply = kernel.finish()
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert "r is" not in reply["output"].replace("print('r is', r)", "")
    assert kernel.run("print(r)")["output"] == "None\n"
    kernel.run_to_stop(CELL)  # the session goes on
    assert kernel.resume()["output"] == "r is 6\n"


def test_a_restart_request_is_refused_and_the_stop_stays(pair: Pair) -> None:
    kernel = pair.ours
    kernel.break_at(CELL, "b")
    kernel.run_to_stop(CELL)
    assert kernel.refuse("restart") == "not-supported"
    assert kernel.where() == ("f", 2)
    assert kernel.resume()["output"] == "r is 6\n"


def test_without_a_client_a_call_of_breakpoint_reaches_its_hook_from_the_caller() -> None:
    with running_kernel(enable=False) as kernel:
        kernel.run(
            "import sys\ncalls = []\n"
            "sys.breakpointhook = lambda: calls.append(sys._getframe(1).f_code.co_name)\n"
            "def f():\n    breakpoint()\n"
        )
        assert kernel.run("f(); calls")["output"] == "['f']"
        kernel.enable()
        kernel.run_to_stop("f()")
        assert kernel.resume()["status"] == "ok"
        kernel.ask("disconnect")
        assert kernel.run("f(); calls")["output"] == "['f', 'f']"
