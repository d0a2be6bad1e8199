"""What the tests of watches run on."""

from pathlib import Path

import pytest
from debuggee import Debuggee
from watched_dicts import run


@pytest.fixture
def program(program: Debuggee) -> Debuggee:
    """A program under the engine that has no client at first: watches are there without one."""
    program.client.attached = False
    return program


@pytest.fixture
def compiled(each_python: Path) -> Path:
    """Each Python for which the compiled part is there."""
    reason = run(each_python, "from nbdebug.engine import dictwatch; print(dictwatch.why_not())")
    if reason != "None":
        pytest.skip(f"{each_python}: {reason} Run `make setup`.")
    return each_python
