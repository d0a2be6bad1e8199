"""The breakpoints, watches, stacks and tasks of a session elsewhere, in the engine's own words.

Owns nothing: each call is a request, waits for its answer within a limit, and raises the error that
it was answered with. Not for a thread that mustn't wait.
"""

import os
from collections.abc import Callable, Iterable

from nbdebug import errors
from nbdebug.dap import listings
from nbdebug.dap.messages import Json
from nbdebug.dap.remote import LIMIT_S, RemoteSession
from nbdebug.engine.model import (
    BreakpointInfo,
    BreakpointSpec,
    FrameInfo,
    Location,
    TaskInfo,
    ThreadInfo,
)
from nbdebug.engine.watch_model import WatchEvent, WatchInfo, WatchSpec

_EVALUATING_S = 15.0
"""What is watched may have to be evaluated there first."""


def find_in(session: RemoteSession, elsewhere: Callable[[str], str], name: str) -> str:
    """Return the full name of a file: of the one that the session runs, if one of them fits.

    Else what ``elsewhere`` finds: its code may not be there yet.
    """
    try:
        sources = session.ask("loadedSources")["sources"]
    except errors.NbdebugError:  # it doesn't tell
        sources = []
    paths = {one.get("path", "") for one in sources}
    fitting = [path for path in paths if path.endswith(os.sep + name)]
    return fitting[0] if len(fitting) == 1 else elsewhere(name)


class RemoteBreakpoints:
    """What `engine.breakpoints` is, of a session elsewhere."""

    def __init__(self, session: RemoteSession) -> None:
        self._session = session

    def infos(self, limit_s: float = LIMIT_S) -> list[BreakpointInfo]:
        """Return all breakpoints in the order in which they were set."""
        found = self._session.ask("nbdebug/breakpoints", limit_s)["breakpoints"]
        return [listings.breakpoint_info(one) for one in found]

    def add(self, spec: BreakpointSpec) -> BreakpointInfo:
        """Add one breakpoint, or change the one that is there."""
        body = self._session.ask("nbdebug/setBreakpoint", **listings.request_of(spec))
        return listings.breakpoint_info(body["inFull"])

    def remove(self, ids: Iterable[int]) -> list[BreakpointInfo]:
        """Remove the breakpoints; return them as they were."""
        return self._change(ids, "remove")

    def enable(self, ids: Iterable[int], enabled: bool) -> list[BreakpointInfo]:
        """Turn breakpoints on or off."""
        return self._change(ids, "enable" if enabled else "disable")

    def _change(self, ids: Iterable[int], change: str) -> list[BreakpointInfo]:
        body = self._session.ask("nbdebug/changeBreakpoints", ids=list(ids), change=change)
        return [listings.breakpoint_info(one) for one in body["breakpoints"]]


class RemoteWatches:
    """The watches of a session elsewhere."""

    def __init__(self, session: RemoteSession) -> None:
        self._session = session

    def every(self) -> list[WatchInfo]:
        """Return all watches in the order in which they were set."""
        found = self._session.ask("nbdebug/watches", _EVALUATING_S)["watches"]
        return [listings.watch_info(one) for one in found]

    def named(self, text: str) -> list[WatchInfo]:
        """Return the watches of what the user wrote, or of the id. Raises UnknownWatch."""
        found = [one for one in self.every() if one.text == text or str(one.id) == text]
        if not found:
            raise errors.UnknownWatch(f"Nothing is watched as `{text}` in {self._session.title}.")
        return found

    def add(self, text: str, spec: WatchSpec, *, pending: bool = False) -> WatchInfo:
        """Watch what ``text`` means at the stop there, or among its globals."""
        if spec.call is not None:
            said = "A function of this process can't be called in another one."
            raise errors.BadWatch(said)
        body = self._session.ask(
            "nbdebug/setWatch",
            _EVALUATING_S,
            expression=text,
            pending=pending,
            **listings.spec_body(spec),
        )
        return listings.watch_info(body["watch"])

    def remove(self, ids: Iterable[int]) -> list[WatchInfo]:
        """End watches; return them as they were."""
        found = self._session.ask("nbdebug/removeWatches", ids=list(ids))["watches"]
        return [listings.watch_info(one) for one in found]

    def history(self, id_: int) -> tuple[str, tuple[WatchEvent, ...]]:
        """Return what is watched, and what has been seen of it."""
        body = self._session.ask("nbdebug/watchHistory", id=id_)
        return body["expression"], tuple(listings.event_of(one) for one in body["events"])


def remote_stacks(
    session: RemoteSession, *, only_stopped: bool
) -> list[tuple[ThreadInfo, list[FrameInfo]]]:
    """Return each thread with its frames, innermost first; ``only_stopped``: of the last stop."""
    stops = session.stops.copy()
    threads = session.ask("threads")["threads"]
    if only_stopped and (stop := session.stop) is not None:
        threads = [one for one in threads if one["id"] == stop.get("threadId")]
    found = []
    for one in threads:
        state = "stopped" if one["id"] in stops else "running"
        frames = session.ask("stackTrace", threadId=one["id"])["stackFrames"]
        found.append((ThreadInfo(one["id"], one["name"], state), [_frame(f) for f in frames]))
    return found


def remote_tasks(session: RemoteSession) -> list[TaskInfo]:
    """Return the asyncio tasks there. Raises what says why it can't tell."""
    return [
        TaskInfo(
            one["id"],
            one["name"],
            one["state"],
            one["threadId"],
            tuple(Location(_path(at), at["line"], at["name"]) for at in one["frames"]),
            one["awaits"],
            tuple(one["awaitedBy"]),
        )
        for one in session.ask("nbdebug/tasks")["tasks"]
    ]


def _frame(body: Json) -> FrameInfo:
    return FrameInfo(body["id"], body["name"], _path(body), body["line"], body.get("column", 0))


def _path(body: Json) -> str:
    source = body.get("source") or {}
    return str(source.get("path") or source.get("name") or "?")
