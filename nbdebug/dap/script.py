"""The session of a program that isn't a kernel: a script, or what called `nbdebug.listen()`.

Owns what such a session has beside DAP's: the program's name, its end, its output. Must not know
sockets. Requests come on the reader's thread; `wait_until_configured` and `program_ended` are
called on the main thread.
"""

import os
import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from nbdebug.dap import arguments as a
from nbdebug.dap import messages as m
from nbdebug.dap import requests
from nbdebug.dap.breakpoint_hook import BreakpointHook
from nbdebug.dap.messages import Json
from nbdebug.dap.redirect import Redirect
from nbdebug.dap.requests import REQUESTS, Request
from nbdebug.dap.session import Session
from nbdebug.dap.transport import start_thread
from nbdebug.dap.waiting import wait_for
from nbdebug.engine.model import Stop

if TYPE_CHECKING:
    from nbdebug.dap.children import Children

_QUIET_S = 3.0
"""A client that has attached and sends nothing for so long won't send `configurationDone`."""
_API_CLIENT = "nbdebug"
"""Our own API's client id: a person at its keyboard may be quiet for long."""
_LOOK_AGAIN_S = 0.05
_GRACE_S = 5.0
"""What a program that a client ends has for its own endings, before SIGTERM."""


class ScriptSession(Session):
    """Serves one program; one client after the other may debug it."""

    def __init__(self, program: str) -> None:
        super().__init__(lambda event: None)
        self._program = program
        self.is_debugging = True
        self.on_client_lost: Callable[[], None] | None = None
        """Where it is set, a client that is lost, without having disconnected, ends the program."""
        self._attached = threading.Event()
        self._configured = threading.Event()
        self._last_request = 0.0
        self._is_configured = self._is_terminating = self._is_ending = False
        self._redirect: Redirect | None = None
        self._hook = BreakpointHook(self)
        self.children_host = ""
        """Where children listen that the client follows; empty for sockets in the file system."""
        self._children: Children | None = None
        self._of_children: Json = {}

    # -- requests

    def submit(self, request: object, reply: Callable[[Json], None]) -> None:
        """See Session. The program begins, and ends, when its client has the reply to that."""
        self._last_request = monotonic()

        def then(response: Json) -> None:
            reply(response)
            if self._is_configured:
                self._configured.set()
            if self._is_terminating:
                self._is_terminating = False
                self._interrupt()

        super().submit(request, then)

    def attach(self, stop_on_entry: bool = False) -> None:
        """See Session."""
        super().attach(stop_on_entry)
        self._hook.install()
        self.emit(
            "process",
            {
                "name": self._program,
                "systemProcessId": os.getpid(),
                "isLocalProcess": True,
                "startMethod": "attach",
            },
        )
        self._attached.set()

    def configuration_done(self) -> None:
        """See Session."""
        self._is_configured = True

    def terminate(self) -> None:
        """End the program as Ctrl-C would, once the client has its reply."""
        self._is_terminating = True

    def _interrupt(self) -> None:
        stopped = self.engine.stops.parked(threading.main_thread().ident or 0) is not None
        self.engine.stops.interrupt()
        self.engine.stops.resume_all()
        if not stopped:
            _interrupt()

    def disconnect(self, terminate: bool) -> None:
        """See Session; ``terminate`` ends the whole program, once the client has its reply."""
        if terminate:
            self._is_ending = True
        else:
            super().disconnect(terminate=False)
            self._leave()

    def client_left(self) -> None:
        """See Session."""
        if self.on_client_lost is not None and self.is_initialized and not self._is_ending:
            self.on_client_lost()
            self._is_ending = True
        if not self._is_ending:
            super().client_left()
            return
        self._is_ending = False
        runs = self.engine.stops.parked(threading.main_thread().ident or 0) is None
        super().disconnect(terminate=True)
        self._leave()
        if runs:
            _interrupt()
        start_thread("nbdebug-end", _terminate_later)

    def redirect(self, wanted: bool) -> None:
        """Tell the client what the program writes, or no longer."""
        if self._redirect is not None:
            self._redirect.close()
        self._redirect = Redirect(self._tell) if wanted else None

    def follow(self, arguments: a.AttachArguments) -> None:
        """Have child processes be sessions of their own, or no longer."""
        self._unfollow()
        if arguments.wants_children:
            self._of_children = m.without_nones(
                {
                    "justMyCode": arguments.just_my_code,
                    "redirectOutput": arguments.wants_output,
                    "subProcess": True,
                }
            )
            from nbdebug.dap.children import Children  # seldom needed, and imports much

            self._children = Children(self.children_host, self._child_came)

    def _unfollow(self) -> None:
        if self._children is not None:
            self._children.close()
            self._children = None

    def _child_came(self, announcement: Json) -> None:
        """Have the client debug a child, which waits for it."""
        pid, name, address = (announcement.get(key) for key in ("pid", "name", "address"))
        if not (self.takes_start_debugging and self.children_host):
            self.emit(
                "nbdebug/childProcess",
                m.without_nones(
                    {
                        "systemProcessId": pid,
                        "name": name,
                        "address": address,
                        "token": announcement.get("token"),
                    }
                ),
            )
            return
        host, _, port = str(address).rpartition(":")
        place = {"host": host.strip("[]"), "port": int(port)}
        configuration = {
            "name": f"{os.path.basename(str(name))} ({pid})",
            "connect": place,  # as VS Code has it; Neovim's settings read the two beside it
            **place,
            "token": announcement.get("token"),
            **self._of_children,
        }
        self.ask_client("startDebugging", {"request": "attach", "configuration": configuration})

    def forget_parent(self) -> None:
        """See Host."""
        super().forget_parent()
        if self._children is not None:
            self._children.forget()
            self._children = None

    def stopped(self, stop: Stop) -> None:
        """See Host."""
        if self._redirect is not None:
            self._redirect.flush()
        super().stopped(stop)

    def can_resume(self) -> bool:
        """See Host."""
        return self.is_attached and self.is_debugging

    # -- the program

    def wait_until_configured(self, limit_s: float | None = None) -> bool:
        """Wait until a client is attached and has said what it wants; False after ``limit_s``."""
        end = None if limit_s is None else monotonic() + limit_s
        if not wait_for(self._attached, limit_s):
            return False
        while not self._configured.is_set():
            now = monotonic()
            quiet_until = self._last_request + _QUIET_S
            if now >= quiet_until and self.client_id != _API_CLIENT:
                return True
            if end is not None and now >= end:
                return False
            until = quiet_until if end is None else min(quiet_until, end)
            self._configured.wait(max(until - now, _LOOK_AGAIN_S))
        return True

    def program_ended(self, exit_code: int | None) -> None:
        """Tell the client that the program has ended, and take the engine out."""
        if self.is_initialized:
            if exit_code is not None:
                self.emit("exited", {"exitCode": exit_code})
            super().disconnect(terminate=False)
        self._leave()
        self.close()

    def _leave(self) -> None:
        self._hook.remove()
        self._unfollow()
        self.redirect(False)
        self.engine.close()
        self.engine.user_code.configure(just_my_code=True, rules=())
        self.engine.stops.stop_other_threads = True
        self._attached.clear()
        self._configured.clear()
        self._is_configured = False
        self.is_debugging = True

    def _tell(self, category: str, text: str) -> None:
        self.emit("output", {"category": category, "output": m.sendable(text)})


def _interrupt() -> None:
    # A signal ends what waits in C, too, in the thread that gets it.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _terminate_later() -> None:
    threading.Event().wait(_GRACE_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _attach(session: ScriptSession, arguments: a.AttachArguments) -> None:
    session.redirect(arguments.wants_output)
    session.follow(arguments)
    requests.attach(session, arguments)


def _launch(session: ScriptSession, arguments: a.AttachArguments) -> None:
    session.is_debugging = not arguments.no_debug
    _attach(session, arguments)


_OWN: dict[str, Request[Any]] = {
    "attach": Request(a.AttachArguments, _attach),
    "launch": Request(a.AttachArguments, _launch),
}
ScriptSession.requests = {**REQUESTS, **_OWN}
