"""What is done in a forked child before its code goes on: one hook of the interpreter's for all.

Owns the list of what is called; must not know what a call does. Python can't take back a hook, so
there is one in a process, whoever comes and goes. A process that another one has attached to is
left without any: there the agent says who calls `forked`. Any thread may call.
"""

import _warnings
import os
import re
import sys
from collections.abc import Callable
from typing import Any

_calls: list[Callable[[], None]] = []


class _Hook:
    """Whether something calls `forked` in a child."""

    is_set = not hasattr(os, "register_at_fork")


def call_in_child(call: Callable[[], None]) -> None:
    """Have ``call`` made in each child that is forked from now on; more than once is as once."""
    if call not in _calls:
        _calls.append(call)
    if not _Hook.is_set:
        _Hook.is_set = True
        os.register_at_fork(after_in_child=forked)


def no_more(call: Callable[[], None]) -> None:
    """Take back what `call_in_child` was given."""
    if call in _calls:
        _calls.remove(call)


def told_by_another() -> None:
    """Set no hook: the caller sees to it that `forked` is called in a child."""
    _Hook.is_set = True


def forked() -> None:
    """In a forked child: do what there is to do, in the order in which it was asked for."""
    for call in tuple(_calls):  # what is asked for meanwhile is for the next fork
        call()


def ignore_warning() -> object:
    """Return the filter that keeps Python silent about threads in a process that forks.

    The threads are ours, and fit for it; with -W error the warning would be an exception.
    """
    # The list is that of `warnings`, which most small programs haven't loaded.
    filter_ = "ignore", re.compile(r"This process \(pid=\d+\) is multi-threaded"), Warning, None, 0
    _filters().insert(0, filter_)
    return filter_


def heed_warning(filter_: object) -> None:
    """Take away what `ignore_warning` returned."""
    filters = _filters()
    if filter_ in filters:
        filters.remove(filter_)


def _filters() -> list[Any]:
    """Return the filters that hold now: `warnings.catch_warnings` has others for a while."""
    found: list[Any] = getattr(sys.modules.get("warnings"), "filters", _warnings.filters)
    return found
