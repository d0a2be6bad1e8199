"""What the front end sees: the current session, be it the kernel's or one with another process.

Owns where each debug request goes, and which events are told. Must not know how a session is
reached. Requests come on the control thread, which never waits here: what goes to another process
is answered when its reply comes, or refused after a limit. Events come on the sessions' links'
threads; a stop of the kernel's on the thread that stops.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from nbdebug import errors
from nbdebug.dap import messages as m
from nbdebug.dap import sessions
from nbdebug.dap.messages import Json
from nbdebug.dap.points import RemoteBreakpoints
from nbdebug.dap.remote import RemoteSession
from nbdebug.dap.worker import Worker
from nbdebug.engine.locks import hold, new_lock
from nbdebug.engine.model import BreakpointInfo, FunctionTarget, Stop
from nbdebug.kernel.session import KernelSession, by_source, session_body

_OF_KERNEL = frozenset(
    (
        "initialize",
        "attach",
        "launch",
        "configurationDone",
        "cancel",
        "dumpCell",
        "nbdebug/postMortem",
        "nbdebug/sessions",
        "nbdebug/setSession",
    )
)
"""What is the kernel's, whichever session is current."""
_OF_NOTEBOOK = frozenset(("richInspectVariables", "copyToGlobals"))
_TOLD = frozenset(("stopped", "continued", "breakpoint", "invalidated", "loadedSource"))
"""The events that speak of one session's state: only those of the current one are told."""
_SAID = frozenset(("console", "important"))
"""The categories of output that are the debugger's words, not the program's."""
_LISTING_S = 2.0
_MORE_S = 5.0
"""What a reply may take beyond the limit of an evaluation."""


class Panel:
    """The front end's view of the sessions. `install` has it follow the current one."""

    def __init__(self, session: KernelSession, evaluate_limit_s: Callable[[], float]) -> None:
        self.filters: Json | None = None
        """The arguments of the last `setExceptionBreakpoints`: they hold in every session."""
        self._session = session
        self._evaluate_limit_s = evaluate_limit_s
        self._worker = Worker("nbdebug-sessions")
        self._passed: set[tuple[int, tuple[int, ...]]] = set()
        # Held while an event is told or the session changes, so that the front end hears both in
        # their order; what is called sends messages and waits for nothing.
        self._lock = new_lock()
        self._is_taking_over = False

    def install(self) -> None:
        """Follow the sessions of this process."""
        sessions.here.observer = self
        self._session.shows = self._shows
        self._session.on_stop = self._kernel_stops
        self._session.on_attach = self._show_stop

    def remove(self) -> None:
        """Leave all sessions; what was launched ends."""
        for session in sessions.here.all():
            session.close(terminate=session.ends_with_us)
        sessions.here.observer = None
        self._worker.close()

    def end_launched(self) -> None:
        """Have what was launched end, and don't wait: the kernel is about to."""
        for session in sessions.here.all():
            if session.ends_with_us:
                session.request("disconnect", {"terminateDebuggee": True})

    # -- requests

    def submit(self, message: object) -> Future[Json] | None:
        """Have a request answered by the current session; None where it is the kernel's."""
        current = sessions.here.current
        if not isinstance(message, dict) or self._session.is_taken:
            return None
        command, arguments = str(message.get("command", "")), message.get("arguments")
        arguments = arguments if isinstance(arguments, dict) else {}
        if command == "setExceptionBreakpoints":
            self._take_filters(arguments)
        if current is None or command in _OF_KERNEL or self._is_of_cell(arguments):
            return None
        if command == "debugInfo":
            return self._in_turn(message, lambda: self._debug_info(message, current))
        if not self._session.is_initialized or command == "setExceptionBreakpoints":
            return None
        if command == "disconnect":
            for thread in current.stops.copy():
                current.request("continue", {"threadId": thread})
            return None
        if command == "inspectVariables":
            return self._answered(self._session.accept(message, {"variables": []}))
        if command in _OF_NOTEBOOK:
            said = f"`{command}` is the notebook's: {current.title} has its own variables."
            return self._answered(self._session.refuse(message, errors.NotOfThisSession(said)))
        if command == "setBreakpoints" and self._session.sends_lines_only:
            return self._in_turn(
                message, lambda: self._set_breakpoints(message, current, arguments)
            )
        return self._forward(message, current, command, self._meant(current, arguments))

    def _forward(
        self, message: Json, session: RemoteSession, command: str, arguments: Json
    ) -> Future[Json]:
        """Send a request on; its reply comes on the link's thread, or a refusal on this one."""
        answer: Future[Json] = Future()
        limit_s = self._limit_s()

        def settle(content: Json) -> None:
            with suppress(InvalidStateError):  # the other was first
                answer.set_result(content)

        def replied(sent: Future[Json]) -> None:
            try:
                settle(self._session.relayed(message, self._adapted(command, sent.result())))
            except errors.NbdebugError as error:
                settle(self._session.refuse(message, error))

        def late() -> None:
            if not answer.done():
                settle(self._session.refuse(message, session.silent(command, limit_s)))

        self._session.log.write("<-", message)
        timer = asyncio.get_running_loop().call_later(limit_s, late)
        loop = asyncio.get_running_loop()

        def cancel(done: Future[Json]) -> None:
            with suppress(RuntimeError):  # the kernel has ended meanwhile
                loop.call_soon_threadsafe(timer.cancel)

        answer.add_done_callback(cancel)
        session.request(command, arguments).add_done_callback(replied)
        return answer

    def _adapted(self, command: str, reply: Json) -> Json:
        """Return a reply as this front end reads it."""
        found = (reply.get("body") or {}).get("variables")
        if command != "variables" or not self._session.is_brief or not isinstance(found, list):
            return reply
        return {**reply, "body": {"variables": [m.brief_variable(one) for one in found]}}

    def _in_turn(self, message: Json, call: Callable[[], Json]) -> Future[Json]:
        """Have a request answered that takes several of another process's answers."""
        answer: Future[Json] = Future()

        def run() -> None:
            try:
                answer.set_result(call())
            except errors.NbdebugError as error:
                answer.set_result(self._session.refuse(message, error))
            except Exception as error:
                said = errors.NbdebugError(f"{type(error).__name__}: {error}")
                answer.set_result(self._session.refuse(message, said))

        def dropped() -> None:
            gone = errors.ConnectionLost("nbdebug was unloaded.")
            answer.set_result(self._session.refuse(message, gone))

        self._worker.put(message.get("seq"), run, dropped)
        return answer

    def _answered(self, reply: Json) -> Future[Json]:
        answer: Future[Json] = Future()
        answer.set_result(reply)
        return answer

    def _limit_s(self) -> float:
        return self._evaluate_limit_s() + _MORE_S

    def _is_of_cell(self, arguments: Json) -> bool:
        source = arguments.get("source")
        path = source.get("path") if isinstance(source, dict) else None
        return isinstance(path, str) and self._session.cells.is_cell(path)

    def _meant(self, session: RemoteSession, arguments: Json) -> Json:
        """Return the arguments with the thread that JupyterLab means when it names 1."""
        stop = session.stop
        if stop is None or not self._session.sends_lines_only or arguments.get("threadId") != 1:
            return arguments
        return {**arguments, "threadId": stop.get("threadId", 1)}

    def _debug_info(self, message: Json, session: RemoteSession) -> Json:
        reply = self._session.handle(message)
        if not reply["success"]:
            return reply
        body = reply["body"]
        is_cell = self._session.cells.is_cell
        body["breakpoints"] = [one for one in body["breakpoints"] if is_cell(one["source"])]
        body["breakpoints"] += by_source(_listed(session))
        body["stoppedThreads"] = list(session.stops)
        body["richRendering"] = body["copyToGlobals"] = False
        return reply

    def _set_breakpoints(self, message: Json, session: RemoteSession, arguments: Json) -> Json:
        """Set lines as JupyterLab lists them: what a line has beside is kept."""
        self._session.log.write("<-", message)
        path = (arguments.get("source") or {}).get("path")
        known = {
            line: info.spec
            for info in _listed(session)
            if info.path == path and not isinstance(info.spec.target, FunctionTarget)
            for line in (info.spec.target.line, info.line)
            if not info.spec.is_plain
        }
        wanted = []
        for one in arguments.get("breakpoints") or []:
            spec = known.get(one.get("line")) if isinstance(one, dict) else None
            extras: Json = {}
            if spec is not None:
                extras = {"condition": spec.condition, "hitCondition": spec.hit_condition}
                extras = m.without_nones({**extras, "logMessage": spec.log_message})
            wanted.append({**extras, **one} if isinstance(one, dict) else one)
        sent = session.request("setBreakpoints", {**arguments, "breakpoints": wanted})
        limit_s = self._limit_s()
        try:
            return self._session.relayed(message, sent.result(limit_s))
        except TimeoutError:
            raise session.silent("setBreakpoints", limit_s) from None

    def _take_filters(self, arguments: Json) -> None:
        """Have the exception filters hold in the sessions there are, as in those to come."""
        self.filters = arguments
        for session in sessions.here.all():
            if session.capabilities.get("exceptionBreakpointFilters"):
                session.request("setExceptionBreakpoints", arguments)

    # -- what sessions tell

    def switched(self, before: RemoteSession | None, now: RemoteSession | None) -> None:
        """See Observer: have the front end show the session that is current now."""

        def show() -> None:
            if self._is_open:
                self._hide(before)
                self._session.emit_of_any("nbdebug/session", session_body(now, self._session))
                if not self._is_taking_over:
                    self._show_stop()

        hold(self._lock, show)

    def session_event(self, session: RemoteSession, name: str, body: Json) -> None:
        """See Observer."""
        hold(self._lock, lambda: self._told(session, name, body))

    def session_ended(self, session: RemoteSession, was_current: bool) -> None:
        """See Observer."""
        if session.tells_end is not None:
            session.tells_end(was_current)
        elif not session.was_closed:
            again = "; the kernel is the current session again" if was_current else ""
            code = session.exit_code
            how = "" if code is None else f" with exit code {code}"
            self._session.notice(f"{session.title} has ended{how}{again}.")

    @property
    def _is_open(self) -> bool:
        """True while a front end is there that could let what is stopped run on."""
        return self._session.is_attached and not self._session.is_taken

    def _told(self, session: RemoteSession, name: str, body: Json) -> None:
        if name == "output":
            self._logged(session, body)
        elif name == "stopped" and not self._is_open:
            self._stopped_unseen(session, body)
        elif sessions.here.current is session:
            if name in _TOLD and self._is_open:
                self._session.emit_of_any(name, body)
        elif name == "stopped" and self._is_at_rest():
            self._session.notice(f"{session.title} has stopped, and is the current session.")
            sessions.here.switch(session)
        elif name == "stopped":
            why = str(body.get("description") or "stopped").rstrip(".")
            self._session.notice(f"{session.title}: {why}. `%session {session.id}` shows it.")

    def _logged(self, session: RemoteSession, body: Json) -> None:
        """Show log messages and notices, as the kernel's own are shown."""
        if body.get("category", "console") not in _SAID:
            return
        if session.on_console is not None:
            session.on_console(str(body.get("output", "")))
        elif self._session.shows_output_events:
            self._session.emit_of_any("output", body)
        else:
            self._session.write(str(body.get("output", "")))

    def _stopped_unseen(self, session: RemoteSession, body: Json) -> None:
        said = str(body.get("description") or "a stop").rstrip(".")
        if not session.passes:
            if not session.is_driven:
                self._session.notice(f"{session.title}: {said}. Press the bug to see it.")
            return
        session.request("continue", {"threadId": body.get("threadId", 1)})
        key = session.id, tuple(body.get("hitBreakpointIds") or ())
        if key not in self._passed:
            self._passed.add(key)
            self._session.notice(
                f"passed in {session.title}: {said}: no debugger is open. "
                "To stop there, press the bug and run again."
            )

    def _is_at_rest(self) -> bool:
        """True while the current session has no stop that a switch would take out of sight."""
        current = sessions.here.current
        if current is None:
            return self._session.engine.stops.current is None
        return current.stop is None

    # -- what the kernel tells

    def _shows(self, event: str) -> bool:
        return sessions.here.current is None or event not in _TOLD or self._session.is_taken

    def _kernel_stops(self, stop: Stop) -> None:
        """Have the kernel be current: while it is stopped, no magic could make it so."""
        current = sessions.here.current
        if current is None or not self._is_open:
            return

        def take_over() -> None:
            self._is_taking_over = True  # the stop is told by whom it comes from
            try:
                sessions.here.switch(None)
            finally:
                self._is_taking_over = False

        hold(self._lock, take_over)
        self._session.notice(
            "this notebook's kernel has stopped, and is the current session; "
            f"`%session {current.id}` goes back to {current.title}."
        )

    def _hide(self, session: RemoteSession | None) -> None:
        """Tell that what was stopped isn't any more, as far as the front end is to show it."""
        if session is not None:
            threads = list(session.stops)
        else:
            threads = self._session.engine.stops.thread_ids()
        for thread in threads:
            body = {"threadId": thread, "allThreadsContinued": True}
            self._session.emit_of_any("continued", body)

    def _show_stop(self) -> None:
        """Tell of the stop that the current session has."""
        current = sessions.here.current
        if current is None:
            own = self._session.engine.stops.current
            body = None if own is None else m.stopped_body(own)
        else:
            body = current.stop
            if self.filters is not None and current.capabilities.get("exceptionBreakpointFilters"):
                current.request("setExceptionBreakpoints", self.filters)
        if body is not None:
            self._session.emit_of_any("stopped", body)


def _listed(session: RemoteSession) -> list[BreakpointInfo]:
    """Return a session's breakpoints, none where it can't or doesn't tell them in time."""
    try:
        return RemoteBreakpoints(session).infos(_LISTING_S)
    except errors.NbdebugError:
        return []
