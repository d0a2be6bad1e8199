"""Exceptions in tests: which filters are set, who is on the stack, how the program ends."""

import pytest
from debuggee import Debuggee

from nbdebug.engine.model import ExceptionFilter


def stop_at(program: Debuggee, *filters: str, condition: str | None = None) -> None:
    specs = [ExceptionFilter(name, condition) for name in filters]
    assert program.engine.exceptions.set(specs) == [None] * len(specs)


def names(program: Debuggee) -> list[str]:
    return [frame.name for frame in program.frames()]


def end_with(program: Debuggee, error: type[BaseException]) -> BaseException:
    """Let the program run to its end without another stop; it ends with this exception."""
    with pytest.raises(error) as raised:
        program.finish()
    return raised.value


FAILS = """
def f(x):
    y = 1 / x  # @f
    return y
def g():
    f(0)  # @g
g()  # @top
"""
