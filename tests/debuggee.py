"""A real program under the engine, in a thread of this process, and its client: the test.

A line is named by a ``# @mark`` at its end. Nothing here sleeps: every wait is for an event, with a
limit that only a failure reaches.
"""

import queue
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbdebug.engine.engine import Engine
from nbdebug.engine.model import (
    BreakpointInfo,
    BreakpointSpec,
    FrameInfo,
    FunctionTarget,
    LineTarget,
    Location,
    StepKind,
    Stop,
    Variable,
)
from nbdebug.engine.watch_model import WatchInfo

LIMIT_S = 20


class Client:
    """The engine's host: it puts what it is told into queues."""

    def __init__(self) -> None:
        self.attached = True
        self.stops: queue.Queue[Stop] = queue.Queue()
        self.passes: list[Stop] = []
        self.changes: list[tuple[BreakpointInfo, str]] = []
        self.outputs: list[tuple[str, str, Location | None]] = []
        self.watch_changes: list[tuple[WatchInfo, str]] = []
        self.continues: list[tuple[int, bool]] = []

    def can_resume(self) -> bool:
        return self.attached

    def stopped(self, stop: Stop) -> None:
        self.stops.put(stop)

    def passed(self, stop: Stop) -> None:
        self.passes.append(stop)

    def continued(self, thread_id: int, all_threads: bool) -> None:
        self.continues.append((thread_id, all_threads))

    def breakpoint_changed(self, info: BreakpointInfo, reason: str) -> None:
        self.changes.append((info, reason))

    def watch_changed(self, info: WatchInfo, reason: str) -> None:
        self.watch_changes.append((info, reason))

    def forget_parent(self) -> None:
        pass

    def output(self, text: str, category: str, location: Location | None) -> None:
        self.outputs.append((text, category, location))


class Debuggee:
    """A program in a file, run in a thread of its own, and what a client does with it."""

    def __init__(self, folder: Path) -> None:
        self.client = Client()
        self.engine = Engine(self.client)
        self.engine.user_code.configure(cells=(str(folder),), host=(__file__,))
        self.folder = folder
        self.path = ""
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None
        self.stop: Stop | None = None

    def write(self, text: str, name: str = "program.py") -> str:
        """Write a program; its marks are known from now on."""
        path = self.folder / name
        path.write_text(text)
        self.path, self.lines = str(path), text.splitlines()
        return self.path

    def line(self, mark: str) -> int:
        """Return the 1-based line that ends with ``# @mark``."""
        return next(
            n for n, line in enumerate(self.lines, 1) if line.rstrip().endswith(f"# @{mark}")
        )

    def mark(self, line: int) -> str:
        """Return the mark of a line, or the line's text where it has none."""
        text = self.lines[line - 1]
        return text.rpartition("# @")[2].strip() if "# @" in text else text.strip()

    def break_at(self, *marks: str, **extras: Any) -> list[BreakpointInfo]:
        """Make these lines of the program its breakpoints."""
        specs = [BreakpointSpec(LineTarget(self.path, self.line(mark)), **extras) for mark in marks]
        return self.engine.breakpoints.set_lines(self.path, specs, keep_extras=False)

    def break_in(self, *names: str, **extras: Any) -> list[BreakpointInfo]:
        """Make these functions the function breakpoints."""
        return self.engine.breakpoints.set_functions(
            [BreakpointSpec(FunctionTarget(name), **extras) for name in names]
        )

    def start(self, *, name: str = "program") -> None:
        """Run the program in a thread."""
        text = Path(self.path).read_text()
        self.namespace = {"__name__": name, "__file__": self.path}

        def run() -> None:
            try:
                exec(compile(text, self.path, "exec"), self.namespace)
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=run, name="program")
        self.thread.start()

    def wait_for_stop(self) -> str:
        """Return the mark of the line at which the program stops next."""
        self.stop = self.client.stops.get(timeout=LIMIT_S)
        return self.mark(self.stop.location.line)

    def run_to_stop(self) -> str:
        """Start the program and return the mark at which it stops."""
        self.start()
        return self.wait_for_stop()

    @property
    def thread_id(self) -> int:
        """The stopped thread's id."""
        assert self.stop is not None
        return self.stop.thread_id

    def step(self, kind: StepKind, **options: Any) -> str:
        """Make a step and return the mark at which it ends."""
        self.engine.motion.step(self.thread_id, kind, **options)
        return self.wait_for_stop()

    def next(self) -> str:
        return self.step(StepKind.OVER)

    def step_in(self) -> str:
        return self.step(StepKind.INTO)

    def step_out(self) -> str:
        return self.step(StepKind.OUT)

    def resume(self) -> None:
        """Let the program run on."""
        self.engine.stops.resume(self.thread_id)

    def resume_to_stop(self) -> str:
        self.resume()
        return self.wait_for_stop()

    def finish(self) -> dict[str, Any]:
        """Let the program run to its end without another stop; return its namespace."""
        if self.stop is not None and self.engine.stops.current is not None:
            self.resume()
        self.join()
        assert self.client.stops.empty(), f"stopped again: {self.client.stops.get()}"
        if self.error is not None:
            raise self.error
        return self.namespace

    def join(self) -> None:
        """Wait for the program's end."""
        assert self.thread is not None
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive(), "the program still runs"

    def frames(self) -> list[FrameInfo]:
        """Return the stopped thread's stack."""
        return self.engine.inspector.stack(self.thread_id)[0]

    def locals(self, frame: int = 0) -> dict[str, Variable]:
        """Return a frame's local variables by name."""
        scope = self.engine.inspector.scopes(self.frames()[frame].id)[0]
        return {v.name: v for v in self.engine.inspector.variables(scope.reference)}

    def evaluate(self, text: str, **options: Any) -> str:
        """Evaluate in the top frame; return the text of the value."""
        return self.engine.inspector.evaluate(text, self.frames()[0].id, **options).value

    def end(self) -> None:
        """Let everything go and take the engine out."""
        self.client.attached = False
        self.engine.close()
        if self.thread is not None:
            self.thread.join(LIMIT_S)


@contextmanager
def debuggee_in(folder: Path) -> Iterator[Debuggee]:
    """A debuggee whose client, this thread, is never stopped itself."""
    here = threading.current_thread()
    here.pydev_do_not_trace = True  # type: ignore[attr-defined]
    program = Debuggee(folder)
    program.engine.start()
    try:
        yield program
    finally:
        program.end()
        del here.pydev_do_not_trace  # type: ignore[attr-defined]


def load_module(path: str, name: str) -> types.ModuleType:
    """Import a file under a name, as an import statement would."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
