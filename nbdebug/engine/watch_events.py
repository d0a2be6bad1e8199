"""What a watch has seen, as an event: its sentence, its values, its thread, task and stack.

Owns how an event is made and worded; must not know what becomes of it. On the writer's thread.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple

from nbdebug.engine.usercode import is_own
from nbdebug.engine.watch_conditions import value_of
from nbdebug.engine.watch_model import (
    CodePlace,
    WatchEvent,
)
from nbdebug.engine.watch_values import is_plain, text_of

_STACK = 50


class Change(NamedTuple):
    """What a mechanism has told, see `mechanisms.Tell`; ``where`` is said instead of a place."""

    frame: FrameType | None
    line: int
    kind: str
    old: object
    new: object
    at: CodePlace | None = None
    where: str = ""


def event_of(
    change: Change,
    number: int,
    name: str,
    place: Callable[[str, int], str],
    seen_at: str,
    *,
    with_stack: bool,
) -> WatchEvent:
    """Return the event of a change of ``name``, which was looked at before at ``seen_at``."""
    frame, line, kind, old, new, at, where = change
    old_text, new_text = text_of(old), text_of(new)
    path, function = "", ""
    if at is not None:
        path, line, function = at.path, at.line, at.function
    elif frame is not None:
        path, function = frame.f_code.co_filename, frame.f_code.co_qualname
    here = where or place(path, line)
    since = seen_at if kind == "outside" else ""
    inside = f", in {function}()" if function and not function.startswith("<") else ""
    return WatchEvent(
        number,
        time.time(),
        kind,
        here,
        path,
        line,
        function,
        threading.current_thread().name if frame is not None else "",
        _task_name() if frame is not None else "",
        old_text,
        new_text,
        _kept(old, old_text),
        _kept(new, new_text),
        _sentence(name, kind, old_text, new_text, f"{here}{inside}", since),
        since,
        tuple(_stack(frame)) if with_stack and frame is not None else (),
    )


def _sentence(name: str, kind: str, old: str, new: str, place: str, since: str) -> str:
    if kind == "outside":
        return f"{name} changed outside watched code between {since} and {place}: {old} -> {new}"
    if kind == "delete":
        return f"{name} was deleted at {place}: it was {old}"
    if kind == "read":
        return f"{name} was read at {place}: {new}"
    if kind == "write":
        return f"{name} was written: {new} at {place}"
    return f"{name} changed: {old} -> {new} at {place}"


def _kept(value: Any, text: str) -> Any:
    """Return the value where keeping it does no harm, else its text."""
    found = value_of(value)
    if is_plain(found):
        return found
    if type(found).__module__ == "numpy" and getattr(found, "shape", None) == ():
        return found.item()
    return text


def _task_name() -> str:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return ""
    try:
        loop = asyncio._get_running_loop()
        task = asyncio.current_task(loop) if loop is not None else None
        return str(task.get_name()) if task is not None else ""
    except Exception:  # a loop of another make
        return ""


def _stack(frame: FrameType) -> Iterator[str]:
    one: FrameType | None = frame
    for _ in range(_STACK):
        if one is None:
            return
        if not is_own(one):
            yield f"{one.f_code.co_filename}:{one.f_lineno} in {one.f_code.co_qualname}"
        one = one.f_back
