"""What stands in a kernel's ``debugger`` attribute while nbdebug is loaded.

Owns the seam to ipykernel: what is replaced on load and put back on unload. Loaded and unloaded on
the main thread; asked on the control thread.
"""

import asyncio
import atexit
import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import ipykernel.debugger as stock
from ipykernel.jsonutil import json_clean

from nbdebug import errors
from nbdebug.dap import listening
from nbdebug.dap.log import MessageLog
from nbdebug.dap.messages import Json
from nbdebug.engine import modules
from nbdebug.engine.model import BreakpointSpec, LineTarget
from nbdebug.kernel import hashing
from nbdebug.kernel.cells import Cells
from nbdebug.kernel.config import Nbdebug
from nbdebug.kernel.panel import Panel
from nbdebug.kernel.session import KernelSession

_MISSING = object()
_ANSWERED_MEANWHILE = ("dumpCell", "debugInfo", "inspectVariables", "modules")
"""What a front end asks for with the debugger off, also while another client has the session."""
_PATIENCE_S = 0.005
"""How long a request may keep the control channel, on which interrupt and shutdown come too."""
_HOST_PACKAGES = frozenset(
    ("ipykernel", "IPython", "jupyter_client", "tornado", "traitlets", "zmq", "comm", "debugpy")
)


class KernelDebugger:
    """nbdebug in one kernel. `install` puts it there, `remove` gives the kernel back."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.kernel = shell.kernel
        self.config = Nbdebug(parent=shell)
        self.cells = Cells(shell, self._is_asked_for)
        self.session = KernelSession(self.kernel, self.cells, self.config.limits)
        self.panel = Panel(self.session, lambda: self.config.evaluate_limit_s)
        self._before: Any = _MISSING
        self._stock_available = stock._is_debugpy_available
        self._removed: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- what ipykernel calls

    async def process_request(self, message: Json) -> Json:
        """Answer a debug_request; called on the control thread."""
        return await asyncio.wrap_future(self._submit(message))

    async def debug_request(self, stream: Any, ident: Any, parent: Json) -> None:
        """Answer a debug_request message, one that takes its time after this has returned.

        ipykernel handles the next control message only then.
        """
        answer = self._submit(parent["content"])
        try:
            # Waiting here is quicker than to be told through the event loop.
            self._reply(stream, ident, parent, answer.result(_PATIENCE_S))
            return
        except TimeoutError:
            loop = asyncio.get_running_loop()

        def late(content: Json) -> None:
            # Clients take what comes between busy and idle for the request's own.
            self.kernel._publish_status("busy", "control", parent)
            self._reply(stream, ident, parent, content)
            self.kernel._publish_status("idle", "control", parent)

        def answered(done: Future[Json]) -> None:
            with contextlib.suppress(RuntimeError):  # the kernel has ended meanwhile
                loop.call_soon_threadsafe(late, done.result())

        answer.add_done_callback(answered)

    def _submit(self, message: object) -> Future[Json]:
        answer: Future[Json] = Future()
        if self._is_refused(message):
            busy = errors.ClientBusy("Another debug client, on a socket, debugs this kernel.")
            answer.set_result(self.session.refuse(message, busy))
        elif (elsewhere := self.panel.submit(message)) is not None:
            return elsewhere
        else:
            self.session.submit(message, answer.set_result)
        return answer

    def _is_refused(self, message: Any) -> bool:
        # While a client on a socket has the session, the front end is told no more than with the
        # debugger off.
        taken = self.session.is_taken and isinstance(message, dict)
        return taken and message.get("command") not in _ANSWERED_MEANWHILE

    def _reply(self, stream: Any, ident: Any, parent: Json, content: Json) -> None:
        self.kernel.session.send(stream, "debug_reply", json_clean(content), parent, ident)

    async def handle_stopped_event(self) -> None:
        """Wait: ipykernel asks again and again for stopped events of debugpy's, and has none."""
        self._loop, self._removed = asyncio.get_running_loop(), asyncio.Event()
        await self._removed.wait()

    @property
    def tcp_client(self) -> "KernelDebugger":
        """Where ipykernel hands in what debugpy's socket receives."""
        return self

    def receive_dap_frame(self, frame: str) -> None:
        """Drop what a stock debugger that was disconnected may still send."""

    # -- life

    def install(self) -> None:
        """Take the kernel's debug messages over, from a stock debugger that runs as well.

        Raises NoToolId, and nothing is changed.
        """
        engine = self.session.engine
        engine.sources.is_cell = self.cells.is_cell
        engine.sources.transform = self.cells.transform
        engine.loaded.cells = self.cells.paths
        engine.sources.cell_of = self.cells.cell_of
        engine.sources.cells_with = self.cells.count
        self.cells.shared = engine.breakpoints.judge_again
        engine.watches.reports.place = self.cells.place
        engine.inspector.hidden = self.cells.is_hidden
        engine.inspector.around = self.session.without_input
        engine.threads.is_service = _serves_kernel
        engine.tasks.host_packages = _HOST_PACKAGES
        engine.exceptions.is_host = _is_of_host
        engine.user_code.configure(
            cells=self.cells.prefixes,
            host=tuple(_host_folders()),
        )
        self.config.apply(engine)
        self.session.path_mappings = lambda: self.config.mappings
        engine.start()
        self.shell.configurables.append(self.config)  # where %config looks
        self.session.log = MessageLog(self.config.log_dir or None)
        self._take_over()
        kernel = self.kernel
        kernel.debugger = self
        kernel.do_debug_request = self.process_request
        kernel.control_handlers["debug_request"] = self.debug_request
        # Read by kernel_info for "debugger", which clients ask before they offer the bug.
        stock._is_debugpy_available = True
        self._before_shutdown = kernel.do_shutdown
        kernel.do_shutdown = self._shut_down
        self.session.on_attached = self._hook_breakpoint
        self.cells.keep_leading_lines()
        self.cells.bodies.install()
        hashing.install()
        self.shell.events.register("pre_execute", self.session.run_starts)
        self.shell.events.register("pre_run_cell", self.cells.starts)
        self.shell.events.register("post_execute", self.session.run_ended)
        self.shell.events.register("post_run_cell", self._cell_ended)
        atexit.register(self.cells.remove_files)
        listening.share(self.session)
        self.panel.install()

    def remove(self) -> None:
        """Give the kernel back as it was before `install`."""
        self.panel.remove()
        listening.share(None)
        self.session.is_attached = False
        self.session.engine.close()
        self.session.close()
        self.shell.events.unregister("pre_execute", self.session.run_starts)
        self.shell.events.unregister("pre_run_cell", self.cells.starts)
        self.shell.events.unregister("post_execute", self.session.run_ended)
        self.shell.events.unregister("post_run_cell", self._cell_ended)
        self.shell.configurables.remove(self.config)
        self.cells.restore_leading_lines()
        self.cells.bodies.remove()
        hashing.remove()
        kernel = self.kernel
        if self._before is _MISSING:
            del kernel.debugger
        else:
            kernel.debugger = self._before
        del kernel.do_debug_request
        kernel.control_handlers["debug_request"] = kernel.debug_request
        del kernel.do_shutdown
        stock._is_debugpy_available = self._stock_available
        if self._loop is not None and self._removed is not None:
            self._loop.call_soon_threadsafe(self._removed.set)
        if self.session.is_initialized:
            self.session.emit("terminated")
        self.session.log.close()
        atexit.unregister(self.cells.remove_files)
        self.cells.remove_files()

    def _take_over(self) -> None:
        """Keep the stock debugger for later; if it runs, take its breakpoints and its client."""
        before = self.kernel.__dict__.get("debugger", getattr(self.kernel, "debugger", _MISSING))
        self._before = before
        if not getattr(before, "is_started", False):
            return
        breakpoints = dict(before.breakpoint_list)
        loop = self.kernel.control_thread.io_loop.asyncio_loop
        request = {"type": "request", "seq": 0, "command": "disconnect", "arguments": {}}
        done = asyncio.run_coroutine_threadsafe(before.process_request(request), loop)
        try:
            done.result(timeout=5)
        except Exception as error:
            print(f"nbdebug: the stock debugger didn't disconnect: {error!r}", file=sys.stderr)
        self.session.initialize("jupyterlab")
        self.session.is_attached = True
        self.session.emit("capabilities", {"capabilities": self.session.capabilities()})
        for path, lines in breakpoints.items():
            specs = [
                BreakpointSpec(
                    LineTarget(path, one["line"]),
                    one.get("condition"),
                    one.get("hitCondition"),
                    one.get("logMessage"),
                )
                for one in lines
            ]
            self.session.engine.breakpoints.set_lines(path, specs, keep_extras=True)

    def _is_asked_for(self) -> bool:
        return self.session.is_attached or bool(self.session.engine.breakpoints.infos())

    def _hook_breakpoint(self, attached: bool) -> None:
        """Have `breakpoint()` mean the client's debugger as long as there is a client.

        Otherwise pdb is to start in the caller's frame, which it finds as its own caller's.
        """
        if attached and sys.breakpointhook != self._break:
            self._before_breakpoint = sys.breakpointhook
            sys.breakpointhook = self._break
        elif not attached and sys.breakpointhook == self._break:
            sys.breakpointhook = self._before_breakpoint

    def _break(self, *arguments: Any, **options: Any) -> Any:
        """Stop where `breakpoint()` is called; with arguments, do what it did before."""
        own = not arguments and not options and "PYTHONBREAKPOINT" not in os.environ
        # In a forked child the client isn't there, and the engine is off.
        if not (own and self.session.can_resume() and self.session.engine.is_started):
            return self._before_breakpoint(*arguments, **options)
        self.session.engine.stops.stop_after(sys._getframe(1))
        return None

    def _cell_ended(self, result: Any) -> None:
        """Open a failed cell's traceback where the user has asked for it once and for all."""
        error = result.error_in_exec
        if not self.config.post_mortem or not isinstance(error, Exception):
            return
        if not self.session.engine.exceptions.was_told(error):
            with contextlib.suppress(errors.NoFailure):
                self.session.engine.post_mortem(error)

    def _shut_down(self, restart: bool) -> Any:
        """End what is stopped before the kernel waits for its threads to end."""
        self.session.is_attached = False
        self.panel.end_launched()
        self.session.engine.stops.interrupt()
        return self._before_shutdown(restart)


def _host_folders() -> Iterator[str]:
    for name in _HOST_PACKAGES:
        file = modules.file_of(name)
        if file is not None:
            yield os.path.dirname(file) + os.sep
    launcher = importlib.util.find_spec("ipykernel_launcher")  # which runs as __main__
    if launcher is not None and launcher.origin is not None:
        yield launcher.origin


def _serves_kernel(thread: Any) -> bool:
    # Most of ipykernel's threads carry pydevd's mark, which the engine knows; these are the rest.
    runs = getattr(thread, "_target", None) or type(thread).run
    package = str(getattr(runs, "__module__", "")).partition(".")[0]
    return package in ("ipykernel", "IPython", "zmq", "tornado")


def _is_of_host(module: str) -> bool:
    # They call reprs, completers and hooks of the user's, and catch what these raise.
    return module.partition(".")[0] in {*_HOST_PACKAGES, "jedi", "traitlets"}


def debugger_of(shell: Any) -> KernelDebugger:
    """Return the debugger that is loaded in a shell. Raises NotStarted."""
    found = getattr(getattr(shell, "kernel", None), "debugger", None)
    if not isinstance(found, KernelDebugger):
        raise errors.NotStarted("nbdebug isn't loaded here.")
    return found
