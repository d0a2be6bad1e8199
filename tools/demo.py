"""The debugger at work, in this terminal: a real kernel, driven over debug_request.

JupyterLab's panel sends the same requests. Each act shows one thing, and what doesn't happen as it
should ends the demo with a sentence and exit code 1.
"""

import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

from demo_kernel import DidNotHappen, Kernel

import nbdebug

IN_COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, code: int) -> str:
    """Return the text in one of the terminal's colours, where it has any."""
    return f"\x1b[{code}m{text}\x1b[0m" if IN_COLOUR else text


def title(text: str) -> None:
    """Begin an act."""
    print(f"\n{paint(text, 1)}")


def say(what: str, text: object) -> None:
    """Show one thing that happened."""
    print(f"  {paint(what.ljust(10), 36)} {text}")


def show(code: str, breakpoint_line: int = 0, note: str = "") -> None:
    """Show a cell as a notebook does, with the breakpoint in its gutter."""
    for number, line in enumerate(code.splitlines(), 1):
        here = number == breakpoint_line
        gutter, remark = (paint("●", 31), paint(f"    <- {note}", 31)) if here else (" ", "")
        print(f"    {gutter} {number}  {line}{remark}")


def expect(truth: object, what: str) -> None:
    """Raise DidNotHappen unless this is so."""
    if not truth:
        raise DidNotHappen(f"expected {what}")


def set_breakpoint(kernel: Kernel, path: str, line: int, **extras: str) -> dict[str, Any]:
    """Make this the only breakpoint of the source; return it as DAP tells it."""
    wanted = [{"line": line, **extras}]
    [found] = kernel.ask("setBreakpoints", source={"path": path}, breakpoints=wanted)["breakpoints"]
    return dict(found)


def break_in_cell(kernel: Kernel, code: str, line: int, note: str, **extras: str) -> None:
    """Set a breakpoint in a cell that is yet to be run, and show both."""
    path = kernel.ask("dumpCell", code=code)["sourcePath"]
    found = set_breakpoint(kernel, path, line, **extras)
    expect(found["verified"] and found["line"] == line, f"a breakpoint at line {line}, not {found}")
    show(code, line, note)


def show_stop(kernel: Kernel) -> tuple[int, dict[str, str]]:
    """Wait for a stop; show it with stack and variables; return its line and its variables."""
    stop = kernel.event("stopped")
    frames = kernel.ask("stackTrace", threadId=stop["threadId"])["stackFrames"]
    scope = kernel.ask("scopes", frameId=frames[0]["id"])["scopes"][0]["variablesReference"]
    found = kernel.ask("variables", variablesReference=scope)["variables"]
    values = {one["name"]: one["value"] for one in found}
    say("stopped", stop["description"])
    say("stack", " < ".join(f"{frame['name']}:{frame['line']}" for frame in frames))
    say("variables", ", ".join(f"{name} = {value}" for name, value in values.items()))
    return frames[0]["line"], values


# -- the acts


def turn_on(kernel: Kernel, folder: str) -> None:
    title("1. A kernel, and the debugger in it")
    say("started", f"CPython {sys.version.split()[0]} in {kernel.start_s * 1000:.0f} ms")
    begun = time.perf_counter()
    kernel.run("%load_ext nbdebug")
    kernel.finish()
    kernel.ask("initialize", clientID="demo", adapterID="python")
    kernel.ask("attach")
    took_s = time.perf_counter() - begun
    expect(kernel.ask("debugInfo")["isStarted"], "the debugger to be on")
    say("on", f"in {took_s * 1000:.0f} ms: {took_s / kernel.start_s:.2f} of the kernel's start")
    expect(not kernel.children(), "no new process")
    say("processes", "still one: the debugger is inside the kernel")


MEAN = """\
def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)
print(mean([1, 5, 2, 8]))"""


def stop_and_step(kernel: Kernel, folder: str) -> None:
    title("2. A breakpoint with a condition, then a step")
    break_in_cell(kernel, MEAN, 4, "if value > 6", condition="value > 6")
    kernel.run(MEAN)
    line, values = show_stop(kernel)
    expect((line, values["total"], values["value"]) == (4, "8", "8"), "a stop where value is 8")
    say("asked", "next")
    kernel.ask("next", threadId=1)
    line, values = show_stop(kernel)
    expect((line, values["total"]) == (3, "16"), "the step to end at line 3, and a total of 16")
    kernel.ask("continue", threadId=1)
    [printed] = kernel.finish()
    say("printed", printed)


PRICES = """\
%%writefile prices.py
def gross(net):
    tax = net * 0.25
    return net + tax"""
USE_PRICES = "import prices\nprint(prices.gross(80))"


def stop_in_a_file_to_come(kernel: Kernel, folder: str) -> None:
    title("3. A breakpoint in a file that doesn't exist yet")
    pending = set_breakpoint(kernel, str(Path(folder).resolve() / "prices.py"), 3)
    expect(pending.get("reason") == "pending", f"a pending breakpoint, not {pending}")
    say("pending", Path(pending["message"]).name)
    show(PRICES, 4, "line 3 of the file")
    kernel.run(PRICES)
    kernel.finish()
    show(USE_PRICES)
    kernel.run(USE_PRICES)
    bound = kernel.event("breakpoint")["breakpoint"]
    expect(bound["verified"] and bound["id"] == pending["id"], f"it to be bound, not {bound}")
    say(
        "bound",
        f"to {os.path.basename(bound['source']['path'])}:{bound['line']}, while that is imported",
    )
    line, values = show_stop(kernel)
    expect((line, values.get("tax")) == (3, "20.0"), "a stop at line 3, and a tax of 20.0")
    kernel.ask("continue", threadId=1)
    [printed] = kernel.finish()
    say("printed", printed)


GREET = """\
for name in ["Ada", "Grace"]:
    greeting = f"Hello, {name}"
    print(greeting)"""


def log(kernel: Kernel, folder: str) -> None:
    title("4. A log message instead of a stop")
    message = "{name} has {len(name)} letters"
    break_in_cell(kernel, GREET, 2, f"log {message}", logMessage=message)
    kernel.run(GREET)
    logged: list[str] = []
    while len(logged) < 2:  # messages that come fast share an event
        logged += kernel.event("output")["output"].splitlines()
    for text, said in zip(("Ada has 3 letters", "Grace has 5 letters"), logged, strict=True):
        say("logged", said)
        expect(said == text, f"the log message {text!r}")
    say("printed", " | ".join(kernel.finish()))


BASKET = """\
def discount(basket):
    for name in basket:
        basket[name] -= 1
print(sum(prices.values()))
discount(prices)
print(sum(prices.values()))"""


def watch(kernel: Kernel, folder: str) -> None:
    title("5. A watch that names the line that changed a value")
    for cell in ("prices = {'tea': 3, 'cake': 5}", "%watch prices['tea']"):
        show(cell)
        kernel.run(cell)
        kernel.finish()
    show(BASKET)
    kernel.run(BASKET)
    line, values = show_stop(kernel)
    expect(values.get("name") == "'tea'" and line in (2, 3), "a stop where 'tea' was changed")
    kernel.ask("continue", threadId=1)
    say("printed", " | ".join(kernel.finish()))
    kernel.run("%unwatch --all")
    kernel.finish()


LOOP = """\
done, count = False, 0
print("looping")
while not done:
    count += 1
print("left the loop")"""


def pause(kernel: Kernel, folder: str) -> None:
    title("6. A running loop, paused and ended from the debugger")
    show(LOOP)
    kernel.run(LOOP)
    kernel.wait_for_print("looping")
    begun = time.perf_counter()
    kernel.ask("pause", threadId=1)
    stop = kernel.event("stopped")
    say("paused", f"in {(time.perf_counter() - begun) * 1000:.0f} ms. {stop['description']}")
    frame = kernel.ask("stackTrace", threadId=1)["stackFrames"][0]
    expect(stop["reason"] == "pause" and frame["line"] in (3, 4), "a stop inside the loop")
    for text in ("count", "done = True"):
        result = kernel.ask("evaluate", expression=text, frameId=frame["id"])["result"]
        say("evaluated", f"{text}{result and ' is '}{result}")
    kernel.ask("continue", threadId=1)
    say("printed", printed := kernel.finish()[-1])
    expect(printed == "left the loop", "the loop to end")


CHILDREN = """\
import multiprocessing, subprocess, sys
def square(n):
    return n * n
with multiprocessing.get_context("fork").Pool(2) as pool:
    print("pool:", pool.map(square, range(4)))
run = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True)
print("child:", run.stdout.strip())
!echo shell: unharmed"""


def run_children(kernel: Kernel, folder: str) -> None:
    title("7. Child processes run as without a debugger")
    break_in_cell(kernel, CHILDREN, 3, "passed in the pool's processes only, which run on")
    kernel.run(CHILDREN)
    printed = kernel.finish()
    for line in ("pool: [0, 1, 4, 9]", "child: 42", "shell: unharmed"):
        expect(line in printed, f"the cell to print {line!r}, not {printed}")
        say("printed", line)


WORKER = """\
import time
def wait_for_more(closed):
    print("waiting", flush=True)
    while not closed:
        time.sleep(0.01)
wait_for_more(closed=False)
print("let go")"""


def attach(kernel: Kernel, folder: str) -> None:
    title("8. A process that runs already is stuck: looked at, put right, let go")
    if platform.system() != "Linux" or platform.python_version_tuple() < ("3", "14"):
        say("not here", "it needs Linux and, unless --legacy is given, Python 3.14")
        return
    show(WORKER, 5, "the breakpoint that the attach brings")
    path = Path(folder) / "worker.py"
    path.write_text(WORKER)
    worker = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        worker.stdout.readline()
        with nbdebug.attach(worker.pid) as session:
            frames = session.stacks().threads[0].frames
            say("looked", f"{frames[0].function}, line {frames[0].line}: nothing was run there")
            assert session.record is not None
            say("attached", f"in {session.record.total_s * 1000:.0f} ms")
            session.add_breakpoint(str(path), 5)
            stop = session.wait_for_stop().stop
            if stop is None:
                raise DidNotHappen("expected a stop in the worker")
            say("stopped", stop.description)
            session.evaluate("closed = True", context="repl")
            say("evaluated", "closed = True")
        printed = worker.communicate(timeout=10)[0].strip()
        say("printed", printed)
        expect(printed == "let go", "the worker to end")
    finally:
        worker.kill()
        worker.communicate()


ACTS = (turn_on, stop_and_step, stop_in_a_file_to_come, log, watch, pause, run_children, attach)
CLOSING = """
    All of this happened in real processes.
    The same with gutter and panel, in JupyterLab:  make lab"""


def main() -> int:
    """Play all acts; return the exit code."""
    print(f"nbdebug {nbdebug.__version__}, a debugger for notebooks, inside the kernel")
    with tempfile.TemporaryDirectory(prefix="nbdebug-demo-") as folder:
        kernel = Kernel(folder)
        try:
            for act in ACTS:
                act(kernel, folder)
        except DidNotHappen as failure:
            print(f"\n{paint('The demo failed:', 31)} {failure}", file=sys.stderr)
            return 1
        finally:
            kernel.close()
    print(textwrap.dedent(CLOSING))
    return 0


if __name__ == "__main__":
    sys.exit(main())
