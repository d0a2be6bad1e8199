"""Watches in tests: on a program's variables, before it runs or at a stop, and what they tell.

It runs on Pythons that have no pytest.
"""

import textwrap
from typing import Any

from debuggee import Debuggee

from nbdebug.engine.evaluate import NamespaceFrame
from nbdebug.engine.watch import Watch
from nbdebug.engine.watch_model import Action, WatchSpec
from nbdebug.engine.watch_targets import resolve

NOT = "<not there>"

COUNTER = """
x = 0
def main(n):
    global x
    for i in range(1, n + 1):
        x = i  # @write
    return x
"""


def prepare(program: Debuggee, text: str) -> None:
    """Run a program's definitions, without what its function `main` does."""
    program.write(textwrap.dedent(text))
    program.start()
    program.join()
    if program.error is not None:
        raise program.error


def watch(program: Debuggee, text: str, *, pending: bool = False, **options: Any) -> Watch:
    """Watch what this is in the module; its writes are kept in the history and stop nothing."""
    options.setdefault("action", Action.LOG)
    target = resolve(text, NamespaceFrame(program.namespace), pending=pending)
    return program.engine.watches.add(target, WatchSpec(**options))


def watch_at_stop(program: Debuggee, text: str, *, pending: bool = False, **options: Any) -> Watch:
    """Watch what this is in the frame at which the program stops; it stops again at a write."""
    frame = program.engine.stops.require_current().frame
    target = resolve(text, frame, pending=pending)
    return program.engine.watches.add(target, WatchSpec(**options))


def seen(program: Debuggee, watch: Watch) -> list[tuple[str, str, str]]:
    """Return (mark or text of the line, old, new) of each event."""
    program.engine.watches.look("the end")
    return [
        (
            program.mark(e.line) if e.path == program.path else e.path or e.kind,
            e.old_text,
            e.new_text,
        )
        for e in watch.history
    ]
