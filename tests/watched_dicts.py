"""Programs whose dicts are watched, and the log of what they were told.

Each program runs in a process of its own: a fault here would end the interpreter.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from interpreters import ROOT

# A record is shown as its kind, the old and the new value, and the line of `source` that wrote.
PRELUDE = """
import gc, json, sys, threading
from nbdebug.engine import dictwatch
from nbdebug.engine.monitor import DISABLE, INSTRUCTION, LINE, Monitor

log, source = [], ""

def text(value):
    native = dictwatch.native
    return "-" if value is native.ABSENT else "?" if value is native.UNKNOWN else repr(value)

def on_instruction(code, offset):
    frame = sys._getframe(1)
    records = dictwatch.at_event(frame)
    if records is None:
        return DISABLE
    for record in records:
        if record.kind != "ended":
            assert record.frame is frame
            assert record.thread_ident == threading.get_ident()
            line = source.splitlines()[dictwatch.line_of(record) - 1].strip() if source else ""
            log.append([record.kind, text(record.old), text(record.new), line])

monitor = Monitor()
monitor.start({INSTRUCTION: on_instruction, LINE: lambda code, line: None})
dictwatch.start(monitor)
"""


def run(python: Path, program: str, *arguments: str, **variables: str) -> str:
    """Run a program, which must end well and without a complaint; return what it printed."""
    done = subprocess.run(
        [str(python), "-P", "-X", "faulthandler", "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def logged(python: Path, program: str) -> Any:
    """Run a program after the prelude; return its ``log``."""
    return json.loads(run(python, f"{PRELUDE}\n{program}\nprint(json.dumps(log))"))


def told(kind: str, old: str, new: str, line: str) -> list[str]:
    return [kind, old, new, line]
