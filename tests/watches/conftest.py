"""What the tests of watches run on."""

import pytest
from debuggee import Debuggee


@pytest.fixture
def program(program: Debuggee) -> Debuggee:
    """A program under the engine that has no client at first: watches are there without one."""
    program.client.attached = False
    return program
