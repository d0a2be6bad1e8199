"""The session for asyncio: each call of the core's in a thread, so that the loop goes on.

Owns no logic. Called on the loop's thread. A wait that is cancelled ends by its own limit in its
thread.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from nbdebug.api import connecting
from nbdebug.api import model as m
from nbdebug.api.model import Json
from nbdebug.api.session import Session


class AsyncSession:
    """What Session is, with ``await``. `nbdebug.aconnect` makes it."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self, *, terminate: bool = False) -> None:
        """See Session.close."""
        await asyncio.to_thread(self.session.close, terminate=terminate)

    async def ask(self, command: str, /, **arguments: object) -> Json:
        """See Session.ask."""
        return await asyncio.to_thread(self.session.ask, command, **arguments)

    async def cell(self, code: str) -> m.Cell:
        """See Session.cell."""
        return await asyncio.to_thread(self.session.cell, code)

    async def add_breakpoint(
        self,
        source: m.Cell | str,
        line: int,
        *,
        condition: str | None = None,
        hit_condition: str | None = None,
        log_message: str | None = None,
    ) -> m.Breakpoint:
        """See Session.add_breakpoint."""
        return await asyncio.to_thread(
            self.session.add_breakpoint,
            source,
            line,
            condition=condition,
            hit_condition=hit_condition,
            log_message=log_message,
        )

    async def add_function_breakpoint(
        self,
        name: str,
        *,
        condition: str | None = None,
        hit_condition: str | None = None,
        log_message: str | None = None,
    ) -> m.Breakpoint:
        """See Session.add_function_breakpoint."""
        return await asyncio.to_thread(
            self.session.add_function_breakpoint,
            name,
            condition=condition,
            hit_condition=hit_condition,
            log_message=log_message,
        )

    async def clear_breakpoints(self, source: m.Cell | str | None = None) -> None:
        """See Session.clear_breakpoints."""
        await asyncio.to_thread(self.session.clear_breakpoints, source)

    def breakpoints(self) -> list[m.Breakpoint]:
        """See Session.breakpoints; it waits for nothing."""
        return self.session.breakpoints()

    async def set_exception_filters(
        self, *filters: str, conditions: dict[str, str] | None = None
    ) -> None:
        """See Session.set_exception_filters."""
        await asyncio.to_thread(self.session.set_exception_filters, *filters, conditions=conditions)

    async def run(self, code: m.Cell | str | None = None) -> None:
        """See Session.run."""
        await asyncio.to_thread(self.session.run, code)

    async def wait_for_stop(self, timeout_s: float = 10.0) -> m.Wait:
        """See Session.wait_for_stop."""
        return await asyncio.to_thread(self.session.wait_for_stop, timeout_s)

    async def status(self) -> m.Status:
        """See Session.status."""
        return await asyncio.to_thread(self.session.status)

    async def resume(self) -> None:
        """See Session.resume."""
        await asyncio.to_thread(self.session.resume)

    async def step_over(self, timeout_s: float = 10.0) -> m.Wait:
        """See Session.step_over."""
        return await asyncio.to_thread(self.session.step_over, timeout_s)

    async def step_into(self, timeout_s: float = 10.0) -> m.Wait:
        """See Session.step_into."""
        return await asyncio.to_thread(self.session.step_into, timeout_s)

    async def step_out(self, timeout_s: float = 10.0) -> m.Wait:
        """See Session.step_out."""
        return await asyncio.to_thread(self.session.step_out, timeout_s)

    async def pause(self, thread_id: int = 1) -> None:
        """See Session.pause."""
        await asyncio.to_thread(self.session.pause, thread_id)

    async def stack(self, thread_id: int | None = None) -> list[m.Frame]:
        """See Session.stack."""
        return await asyncio.to_thread(self.session.stack, thread_id)

    async def variables(
        self,
        of: m.Frame | m.Variable | None = None,
        *,
        scope: str = "Locals",
        start: int = 0,
        count: int = 0,
    ) -> list[m.Variable]:
        """See Session.variables."""
        return await asyncio.to_thread(
            self.session.variables, of, scope=scope, start=start, count=count
        )

    async def evaluate(
        self, expression: str, frame: m.Frame | None = None, *, context: str = "watch"
    ) -> m.Variable:
        """See Session.evaluate."""
        return await asyncio.to_thread(self.session.evaluate, expression, frame, context=context)

    @property
    def on_event(self) -> Callable[[m.Event], None] | None:
        """See Session.on_event."""
        return self.session.on_event

    @on_event.setter
    def on_event(self, call: Callable[[m.Event], None] | None) -> None:
        self.session.on_event = call


async def connect(target: Any, **options: Any) -> AsyncSession:
    """Attach to a kernel or script; see `nbdebug.aconnect`."""
    return AsyncSession(await asyncio.to_thread(connecting.connect, target, **options))
