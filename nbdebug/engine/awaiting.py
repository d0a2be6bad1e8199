"""Running a coroutine where a loop is running already: `await` typed at a stop.

Owns nothing. The stopped thread's own loop can't go on, so the coroutine gets one for itself; what
belongs to the stopped loop, such as its futures, can't be awaited there, and asyncio says so.
"""

from collections.abc import Coroutine
from typing import Any


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the coroutine's result, or raise what it raises. Runs on the calling thread."""
    import asyncio  # by then the user's code has, as a rule

    running = asyncio._get_running_loop()
    task = None if running is None else asyncio.current_task(running)
    if running is not None and task is not None:
        asyncio.tasks._leave_task(running, task)
    asyncio._set_running_loop(None)
    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(coroutine)
    finally:
        asyncio._set_running_loop(running)
        if running is not None and task is not None:
            asyncio.tasks._enter_task(running, task)
