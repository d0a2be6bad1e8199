"""A breakpoint as a user writes it: ``mymod.py:12 if x > 3``, ``pkg.mod.func``.

Owns the grammar that `%bp` and `nbdebug.launch` share. Must not know where the breakpoint is set.
"""

import os
import re
import shlex
from collections.abc import Callable

from nbdebug import errors
from nbdebug.engine.model import (
    BreakpointSpec,
    FunctionTarget,
    LineTarget,
    ModuleTarget,
    Target,
)

_LINE = re.compile(r"(?P<place>.+):(?P<line>\d+)$")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*$")


class BadBreakpointText(errors.UsageError):
    """What was written isn't a breakpoint."""

    advice = "Write, for instance, `%bp mymod.py:12 if x > 3` or `%bp pkg.func`; `%bp?` shows all."


def no_cell() -> str:
    """Say that a line number alone means nothing here."""
    raise BadBreakpointText("A line number alone means this cell, and this isn't run from one.")


def parse(
    text: str,
    find: Callable[[str], str] = os.path.abspath,
    this_cell: Callable[[], str] = no_cell,
) -> BreakpointSpec:
    """Return the breakpoint that a text means.

    ``find`` gives a file's full name, ``this_cell`` the source that a line number alone is of.
    Raises UsageError.
    """
    before, *conditions = re.split(r"\sif(?:\s|$)", text, maxsplit=1)
    condition = conditions[0] if conditions else ""
    if conditions and not condition.strip():
        raise BadBreakpointText("There is no condition after `if`.")
    try:
        words = shlex.split(before)
    except ValueError as error:
        raise BadBreakpointText(f"`{text}` can't be read: {error}.") from None
    options = {"--hits": "", "--log": ""}
    places = []
    while words:
        word = words.pop(0)
        if word in options:
            if not words:
                raise BadBreakpointText(f"`{word}` needs a value after it.")
            options[word] = words.pop(0)
        elif word.startswith("--"):
            raise BadBreakpointText(f"`%bp` has no option `{word}`.")
        else:
            places.append(word)
    if len(places) != 1:
        raise BadBreakpointText(f"`%bp` needs one place, and `{text}` names {len(places)}.")
    target = _target(places[0], find, this_cell)
    return BreakpointSpec(
        target, condition.strip() or None, options["--hits"] or None, options["--log"] or None
    )


def _target(place: str, find: Callable[[str], str], this_cell: Callable[[], str]) -> Target:
    if place.isdigit():
        return LineTarget(this_cell(), int(place))
    match = _LINE.match(place)
    if match is None:
        if not _DOTTED.match(place) or place.endswith(".py"):
            raise BadBreakpointText(f"`{place}` is neither FILE:LINE nor a function's name.")
        return FunctionTarget(place)
    name, line = match["place"], int(match["line"])
    if _DOTTED.match(name) and not name.endswith(".py"):
        return ModuleTarget(name, line)
    return LineTarget(find(name), line)
