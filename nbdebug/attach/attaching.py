"""The whole of one attach, from a pid to a link with the engine there.

Owns the order of the phases, their time limits, and what is taken back when one fails or is
interrupted; each phase's work is another module's. Called on any thread but a connection's; Ctrl-C
ends it.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from time import monotonic

from nbdebug.attach import (
    bundle,
    errors,
    handover,
    inspection,
    legacy,
    policy,
    processes,
    records,
    runtime,
    writer,
)
from nbdebug.attach.channel import Channel, Doorway, Hello
from nbdebug.attach.legacy import LegacyWaker
from nbdebug.attach.locking import PidLock
from nbdebug.attach.memory import Memory
from nbdebug.attach.records import Record
from nbdebug.attach.session import SILENCE_S, AgentLink
from nbdebug.attach.waking import Wake, Waker
from nbdebug.dap import sessions
from nbdebug.dap.messages import Json
from nbdebug.dap.remote import RemoteSession
from nbdebug.errors import NbdebugError

TIMEOUT_S = 10.0
_SAFE = (3, 14)
_ENGINES = (3, 12)
_LOOK_AGAIN_S = 0.02
_VETO_S = 1.0
"""A script that was taken and not even read after so long isn't going to be."""

_WAIT_S = 0.3
"""How long a program that computes stands still for the agent, at the most."""
_GLANCES_S = (0.0, 0.0003, 0.0005)
_SMALL_BYTES = 256 * 1024 * 1024

Told = Callable[[NbdebugError], None]


def warn(why: NbdebugError) -> None:
    """Tell aloud what must not be done silently, where nobody asked to be told of anything."""
    if isinstance(why, errors.HandedToDebugpy):
        warnings.warn(f"{why} {why.advice}", stacklevel=2)


def attach(
    pid: int,
    *,
    timeout_s: float = TIMEOUT_S,
    wake: Wake = Wake.AUTO,
    legacy: bool = False,
    silence_s: float = SILENCE_S,
    told: Told = warn,
) -> AgentLink:
    """Put the agent and the engine into a process; return the link with it.

    The engine leaves, and the process is as before, when the link is closed or breaks, or nothing
    is heard from this side for ``silence_s``. ``timeout_s`` is for all of it. ``told`` hears at
    once why it takes long, where that can be seen. ``legacy`` allows the older way, into 3.12 and
    3.13, and into 3.8 to 3.11, where debugpy takes the engine's place, and stays: ``told`` hears
    that before. A newer one is attached to as ever.

    Raises an AttachError: each says what is in the way, and what to do.
    """
    bundle.prepare()  # now, when no program waits for it
    record = records.begin(pid, "safe", timeout_s)
    try:
        link = Attempt(pid, record, timeout_s, wake, told, legacy).run(silence_s)
    except BaseException as error:
        record.fail(error)
        raise
    record.finish("attached")
    return link


class Attempt:
    """One attach under way."""

    def __init__(
        self, pid: int, record: Record, timeout_s: float, wake: Wake, told: Told, legacy: bool
    ) -> None:
        self._pid = pid
        self._record = record
        self._timeout_s = timeout_s
        self._end = monotonic() + timeout_s
        self._wake = wake
        self._told = told
        self._legacy = legacy
        self._debugpy: handover.Debugpy | None = None  # what follows in place of the engine

    @property
    def _left_s(self) -> float:
        return max(self._end - monotonic(), 0.0)

    def run(self, silence_s: float) -> AgentLink:
        """Make it, or take everything back."""
        pid = self._pid
        if pid == os.getpid():
            raise errors.ThisProcess.of(pid)
        policy.require(policy.Level.SAFE, pid)
        policy.audit("attach", pid)
        lock = PidLock(pid)
        try:
            channel, hello = self.come_in()
            try:
                with self._record.phase("engine"):
                    link = self._put_engine(channel, hello, silence_s)
            except BaseException:
                channel.close()
                raise
        except BaseException:
            lock.release()
            raise
        link.on_end = lambda: _left(pid, lock)
        if not link.is_open:  # it may have ended before
            lock.release()
        return link

    def come_in(self) -> tuple[Channel, Hello]:
        """Have the target run the loader; return the connection that its agent makes, greeted.

        Whoever calls holds the PidLock. The agent leaves when the connection is closed.
        """
        # A main thread that is blocked has no use for the GIL, and its time may be up meanwhile.
        computes = not self._legacy and _computes(self._pid)
        door = Doorway(self._pid, _WAIT_S if computes else 0.0)
        try:
            channel = self._ask(door)
            with self._record.phase("hello"):
                hello = self._greet(door, channel)
            self._record.version = hello.version
            return channel, hello
        finally:
            door.close()

    def _ask(self, door: Doorway) -> Channel:
        """Ask the target to run the loader, and wait for its agent."""
        if not sys.platform.startswith("linux"):
            request = writer.hand_over(self._pid, door.script_path, record=self._record)
            return self._wait_taking_back(door, request, lambda: None, self._timed_out)
        memory = Memory(self._pid)
        try:
            found = runtime.locate(memory)
        except errors.NoPermission:
            raise policy.no_permission(self._pid) from None
        self._record.spent(found.phases)
        self._record.runtime_found, self._record.cached = found.how, found.cached
        self._record.cache_age_s = found.age_s if found.cached else 0.0
        if self._legacy and found.version < _SAFE:
            return self._ask_older(door, memory, found)
        request = writer.inject(memory, found, door.script_path, record=self._record)
        waker = Waker(memory, found, request, wake=self._wake, record=self._record, told=self._told)
        return self._wait_taking_back(
            door, request, waker.step, lambda: waker.failure(self._timeout_s)
        )

    def _ask_older(self, door: Doorway, memory: Memory, found: runtime.Runtime) -> Channel:
        """As ``_ask``, by the way into 3.8 to 3.13; before 3.12 debugpy is to follow."""
        policy.require(policy.Level.LEGACY, self._pid)
        self._record.way = "legacy"
        if found.version < _ENGINES:
            self._debugpy = debugpy = handover.find(self._pid, found.version, found.release)
            self._record.way = "debugpy"
            facts = {"version": found.release, "debugpy": debugpy.release}
            self._told(errors.HandedToDebugpy.of(self._pid, **facts))
        request = legacy.inject(
            memory, found, door.script_path, wake=self._wake, record=self._record
        )
        waker = LegacyWaker(
            memory, found, request, wake=self._wake, record=self._record, told=self._told
        )
        try:
            return self._wait_taking_back(
                door, request, waker.step, lambda: waker.failure(self._timeout_s)
            )
        finally:
            request.finish()

    def _wait_taking_back(
        self,
        door: Doorway,
        request: writer.Request,
        step: Callable[[], float | None],
        failure: Callable[[], errors.AttachError],
    ) -> Channel:
        try:
            with self._record.phase("cleared"):
                channel = self._wait_until_taken(door, request, step, failure)
            if channel is not None:
                return channel
            with self._record.phase("connected"):
                return self._wait_for_agent(door)
        except BaseException:
            door.disarm()
            request.take_back()
            raise

    def _wait_until_taken(
        self,
        door: Doorway,
        request: writer.Request,
        step: Callable[[], float | None],
        failure: Callable[[], errors.AttachError],
    ) -> Channel | None:
        """Wait until the request is taken; return the connection if it is there by then."""
        while True:
            due_s = step()
            if due_s is None and request.state() is writer.State.TAKEN:
                return None
            channel = door.accept(min(due_s or _LOOK_AGAIN_S, self._left_s))
            if channel is not None:
                return channel
            if request.state() is writer.State.UNKNOWN:
                self._look_for_failure(door, "cleared")
            if not self._left_s:
                raise failure()

    def _wait_for_agent(self, door: Doorway) -> Channel:
        taken_at = monotonic()
        while self._left_s:
            channel = door.accept(min(_LOOK_AGAIN_S, self._left_s))
            if channel is not None:
                return channel
            self._look_for_failure(door, "connected")
            if monotonic() - taken_at > _VETO_S and door.was_read() is False:
                raise errors.ScriptNotRun.of(self._pid, why="it wasn't even read")
        raise errors.ConnectedTimeout.of(self._pid, limit_s=self._timeout_s)

    def _look_for_failure(self, door: Doorway, phase: str) -> None:
        if why := door.failure():
            raise errors.AgentCrashed.of(self._pid, why=why)
        writer.check_alive(self._pid, phase)

    def _timed_out(self) -> errors.AttachError:
        return errors.ClearedTimeout.of(self._pid, limit_s=self._timeout_s)

    def _greet(self, door: Doorway, channel: Channel) -> Hello:
        try:
            return channel.greet(self._left_s)
        except BaseException as error:
            channel.close()
            why = door.failure()
            if isinstance(error, errors.AgentCrashed) and why:
                raise errors.AgentCrashed.of(self._pid, why=why) from None
            raise

    def _put_engine(self, channel: Channel, hello: Hello, silence_s: float) -> AgentLink:
        if self._debugpy is not None:
            return self._put_debugpy(self._debugpy, channel, hello)
        order = {
            "modules": bundle.modules_for(hello.magic),
            "folder": str(bundle.FOLDER),
            "settings": {"name": hello.name, "silence_s": silence_s},
            "collects": _is_small(self._pid),
        }
        return AgentLink(channel.order_engine(order, self._left_s), hello, self._record)

    def _put_debugpy(self, debugpy: handover.Debugpy, channel: Channel, hello: Hello) -> AgentLink:
        link = handover.bring(debugpy, self._pid, channel, hello, self._record, self._left_s)
        channel.close()
        return link


def _is_small(pid: int) -> bool:
    """True for a process that can be cleaned at once; a larger one is when it does so itself."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") < _SMALL_BYTES
    except OSError:
        return True


def _computes(pid: int) -> bool:
    """Tell whether the main thread runs now, or a moment later."""
    for pause_s in _GLANCES_S:
        time.sleep(pause_s)
        try:
            with open(f"/proc/{pid}/task/{pid}/stat", "rb") as file:
                if file.read().rpartition(b") ")[2][:1] == b"R":
                    return True
        except OSError:
            return False
    return False


def _left(pid: int, lock: PidLock) -> None:
    lock.release()
    policy.audit("detach", pid)


class AttachedSession(RemoteSession):
    """A session with a process that has the engine, or debugpy, in it."""

    def __init__(self, link: AgentLink) -> None:
        self.record = link.record
        """How the attach went."""
        kind = "attached" if link.has_engine else "debugpy"
        super().__init__(link, kind=kind, name=link.hello.name, pid=link.hello.pid)


def open_session(
    target: int | str,
    *,
    timeout_s: float = TIMEOUT_S,
    inspect: bool = False,
    wake: Wake = Wake.AUTO,
    legacy: bool = False,
    told: Told = warn,
    arguments: Json | None = None,
) -> RemoteSession:
    """Attach to a process, and make it the current session here.

    ``target`` is a pid, or what names one process: a notebook, a program, a part of a command. With
    ``inspect`` nothing is run in it; ``legacy`` allows the way into 3.8 to 3.13. ``arguments`` are
    those of DAP's `attach`.

    Raises an AttachError.
    """
    pid = target if isinstance(target, int) else processes.find(target)
    if inspect:
        session = inspection.inspect(pid)
    else:
        link = attach(pid, timeout_s=timeout_s, wake=wake, legacy=legacy, told=told)
        session = _begun(link, timeout_s, arguments or {})
    sessions.here.add(session)
    return session


def _begun(link: AgentLink, timeout_s: float, arguments: Json) -> RemoteSession:
    session = AttachedSession(link)
    try:
        session.begin(timeout_s, **arguments)
        if not link.has_engine:  # debugpy turns nothing on before
            session.ask("configurationDone", timeout_s)
    except BaseException:
        link.close()
        raise
    return session
