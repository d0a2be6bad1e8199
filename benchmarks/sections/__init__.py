"""The sections of the benchmarks, by the name that the command line knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.sections import (
    attach,
    attached,
    busy,
    cond,
    exceptions,
    imports,
    logs,
    looking,
    memory,
    overhead,
    pause,
    script,
    start,
    step,
    threads,
    variables,
    watches,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.pool import Pool
    from benchmarks.report import Row

SECTIONS: dict[str, Callable[[Pool], list[Row]]] = {
    "start": start.measure,
    "overhead": overhead.measure,
    "import": imports.measure,
    "cond": cond.measure,
    "logs": logs.measure,
    "exceptions": exceptions.measure,
    "busy": busy.measure,
    "step": step.measure,
    "vars": variables.measure,
    "pause": pause.measure,
    "threads": threads.measure,
    "script": script.measure,
    "watches": watches.measure,
    "memory": memory.measure,
    "looking": looking.measure,
    "attached": attached.measure,
    "attach": attach.measure,
}
