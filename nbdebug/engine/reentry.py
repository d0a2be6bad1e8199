"""Lets code that is run inside a callback send events of its own: a stop may stop once more.

Owns the switch. While a callback runs, the interpreter sends its thread no events, so what is
evaluated at a stop would pass every breakpoint. Called on the stopped thread.
Source: PyThreadState_EnterTracing and PyThreadState_LeaveTracing, public since CPython 3.11.
"""

import operator
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from nbdebug.engine import capi, monitor

_Step = Callable[[], Any]
_call: Callable[[_Step], Any] = operator.call


def with_events[T](call: Callable[[], T]) -> T:
    """Return what ``call`` returns; while it runs, the calling thread sends events.

    Where the guest traces or profiles the thread it sends none, for they would go to the guest's
    tracer too, which knows nothing of our frames: Lib/profile.py fails at the first.

    Each step is a call of C out of C, between which nothing can be interrupted: the interpreter
    counts, and a Ctrl-C between two steps would leave it counting wrongly for good.
    """
    if sys.gettrace() is not None or sys.getprofile() is not None or monitor.is_profiled():
        return call()
    outcome: list[T] = []
    failure: list[BaseException] = []
    is_left: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            failure.append(error)

    api = capi.functions()
    state = api.thread_state()
    back: list[_Step] = [partial(api.enter_tracing, state), is_left.clear]
    steps: list[_Step] = [
        partial(is_left.append, None),
        partial(api.leave_tracing, state),
        run,
        *back,
    ]
    try:
        list(map(_call, steps))
    finally:
        while is_left:  # a second interrupt came while `run` kept the first one
            with suppress(BaseException):
                list(map(_call, back))
    if failure:
        try:
            raise failure[0]
        finally:
            failure.clear()
    return outcome[0]
