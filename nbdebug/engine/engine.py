"""The engine: one object that joins breakpoints, stops, steps and inspection in this process.

Owns the joining and the life of the whole; each part's rules are in its own module. `start` and
`close` are called on any one thread; the parts say for themselves which threads may call them.
"""

import contextlib
import itertools
import threading
from types import FrameType
from typing import Protocol

from nbdebug import errors
from nbdebug.engine import forks
from nbdebug.engine.breakpoints import Breakpoints
from nbdebug.engine.checks import Hit, Reports, location_of
from nbdebug.engine.exceptions import ExceptionStops
from nbdebug.engine.failures import Failure
from nbdebug.engine.inspection import Inspector
from nbdebug.engine.loaded import LoadedSources
from nbdebug.engine.model import BreakpointInfo, Limits, Location, StopReason
from nbdebug.engine.monitor import Monitor
from nbdebug.engine.motion import Motion
from nbdebug.engine.sources import Sources
from nbdebug.engine.stepping import Stepper
from nbdebug.engine.stops import StopListener, Stops
from nbdebug.engine.tasks import Tasks
from nbdebug.engine.threads import Threads
from nbdebug.engine.tracing import Tracer
from nbdebug.engine.usercode import UserCode
from nbdebug.engine.watch import WatchReports
from nbdebug.engine.watch_model import WatchInfo
from nbdebug.engine.watches import Watches, default_place


class Host(StopListener, Protocol):
    """Who is told what happens. Called on the thread where it happens; must not block."""

    def breakpoint_changed(self, info: BreakpointInfo, reason: str) -> None:
        """A breakpoint was bound, moved, failed, added or removed."""

    def watch_changed(self, info: WatchInfo, reason: str) -> None:
        """A watch has ended."""

    def output(self, text: str, category: str, location: Location | None) -> None:
        """A log message (category "console") or a notice ("important") for the user."""

    def forget_parent(self) -> None:
        """In a forked child: nothing of what the parent was about to tell is told here."""


class Engine:
    """The debugger of this process; one at most is started at a time."""

    def __init__(self, host: Host, limits: Limits | None = None) -> None:
        self.sources = Sources()
        self.loaded = LoadedSources()
        self.user_code = UserCode()
        self.threads = Threads()
        self._host = host
        self._monitor = Monitor()
        self._stepper = Stepper(self._monitor, self.user_code)
        self.stops = Stops(host, self._monitor, self._stepper, self.threads, self.user_code)
        self.tasks = Tasks(self.threads, self.user_code)
        self._stepper.awaiter_of = self.tasks.awaiter_of
        self.inspector = Inspector(
            self.stops,
            self.threads,
            self.user_code,
            limits or Limits(),
            self.tasks.frames_of_thread,
        )
        reports = Reports(
            host.breakpoint_changed,
            self._log,
            self._condition_failed,
            self.inspector.text,
            self._serves_user,
        )
        self.exceptions = ExceptionStops(
            self._monitor,
            self.user_code,
            self.threads,
            self.inspector.bounded,
            lambda: self.inspector.limits,
            self._stop_at_exception,
        )
        self.sources.is_library = lambda path: not self.user_code.is_users_file(path)
        ids = itertools.count(1)
        self.breakpoints = Breakpoints(self._monitor, self.sources, reports, ids)
        self.watches = Watches(
            self._monitor,
            self.user_code,
            WatchReports(
                self._log_watch,
                lambda text: host.output(text, "important", None),
                host.watch_changed,
                host.can_resume,
                default_place,
                lambda: reports.stop_on_condition_error,
            ),
            ids,
        )
        self.motion = Motion(
            self.stops, self.breakpoints, self.inspector, self.sources, self.threads, self.tasks
        )
        self._tracer = Tracer(
            self._monitor,
            self.breakpoints,
            self._stepper,
            self.threads,
            self.user_code,
            self.stops,
            self.exceptions,
            self.watches,
            self._step_aside,
        )
        self._has_failed = False

    def start(self) -> None:
        """Begin to listen to the interpreter, if it doesn't yet. Raises NoToolId, EngineInUse."""
        if self.is_started:
            return
        if any(engine is not self and engine.is_started for engine in _followed):
            raise errors.EngineInUse("nbdebug already debugs this process.")
        self._monitor.start(self._tracer.callbacks())
        self._has_failed = False
        _follow_forks(self)

    def close(self) -> None:
        """Let every thread go and leave the process as it was. May be called twice."""
        self.breakpoints.clear()
        self.exceptions.clear()
        self.watches.close()
        self.stops.resume_all()
        self._stepper.end_all()
        self.stops.asking.reasons.clear()
        self._monitor.stop()
        self.inspector.close()

    @property
    def is_started(self) -> bool:
        """True between `start` and `close`, unless a failure of its own has ended it."""
        return self._monitor.tool_id is not None

    def run_starts(self) -> None:
        """Take note that a cell starts on the calling thread."""
        self._stepper.end(threading.get_ident())
        self.stops.run_starts()
        self.breakpoints.new_run()
        self.exceptions.forget()

    def run_ended(self, where: str = "the end of the run") -> None:
        """Take note that the calling thread's run of a cell has ended: its step has, too.

        What was changed out of the watches' sight is found now; ``where`` says when that is.
        """
        self.stops.run_ended()
        self.watches.look(where)
        self.breakpoints.forget_cursor()
        self._tracer.run_ended()

    def forget_parent(self) -> None:
        """In a forked child: nothing of the parent's debugging goes on here."""
        self._host.forget_parent()
        self.stops.forget_all()
        self._monitor.forget_parent()
        self.breakpoints.forget_parent()
        self.watches.forget_parent()

    def post_mortem(self, error: BaseException) -> None:
        """Hold the calling thread on the frames of a traceback, until a client ends it.

        Ctrl-C ends it too; without a client it ends at once. Raises NoFailure if no frame of user
        code is in the traceback.
        """
        failure = self.inspector.failure_of(error)
        if not self.stops.can_stop:
            return
        with contextlib.suppress(KeyboardInterrupt):
            self.stops.stop_here(failure.places[0].frame, StopReason.EXCEPTION, failure=failure)

    def _stop_at_exception(self, frame: FrameType, failure: Failure, said: str) -> None:
        if not self.stops.can_stop:
            return
        if said and not self.breakpoints.reports.stop_on_condition_error:
            self._host.output(f"Exception filter: {said}", "important", location_of(frame))
            return
        hit = Hit((), said) if said else None
        self.stops.stop_here(frame, StopReason.EXCEPTION, hit, failure)

    def _step_aside(self) -> None:
        """Turn everything off after an exception of our own, and say so once."""
        if self._has_failed:
            return
        self._has_failed = True
        import traceback  # it is large

        details = traceback.format_exc()
        with contextlib.suppress(Exception):
            self._monitor.stop()
        with contextlib.suppress(Exception):
            self.watches.step_aside()
        with contextlib.suppress(Exception):
            text = "nbdebug failed and has turned itself off; your program goes on."
            self._host.output(f"{text}\n{details}", "important", None)

    def _serves_user(self, frame: FrameType) -> bool:
        # On a thread of the user's own, library code may well be all that it runs.
        ident = threading.get_ident()
        if ident == threading.main_thread().ident:
            return self.user_code.nearest(frame) is not None
        return self.threads.is_user(ident)

    def _log(self, text: str, location: Location) -> None:
        self._host.output(text, "console", location)

    def _log_watch(self, text: str, location: Location | None) -> None:
        self._host.output(text, "console", location)

    def _condition_failed(self, info: BreakpointInfo, text: str, location: Location) -> None:
        self._host.output(f"Breakpoint {info.id}: {text}", "important", location)


_followed: list[Engine] = []


def _follow_forks(engine: Engine) -> None:
    _followed[:] = [engine]
    forks.call_in_child(_forget_parent)


def _forget_parent() -> None:
    _followed[0].forget_parent()
