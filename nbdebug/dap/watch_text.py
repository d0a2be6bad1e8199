"""A watch as a user writes it: ``x --if 'new > 10' --once``.

Owns the grammar that `%watch` and `nbdebug.launch` share. Must not know where it is watched.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nbdebug import errors
from nbdebug.engine.watch_model import Access, Action, WatchSpec, Way

_ACTIONS = {"--stop": Action.STOP, "--log": Action.LOG, "--raise": Action.RAISE}
_VALUES = ("--if", "--hits", "--on", "--thread", "--call", "--keep")
_FLAGS = ("--once", "--stack", "--pending", "--history", "--exact", "--sites", "--lines")


class BadWatchText(errors.UsageError):
    """What was written isn't a watch."""

    advice = "Write, for instance, `%watch x --if 'new > 10'`; `%watch?` shows all."


@dataclass(frozen=True, slots=True)
class WatchText:
    """What is watched, as it was written, and what is asked of it."""

    text: str
    spec: WatchSpec
    pending: bool = False
    history: bool = False


def no_function(name: str) -> Callable[..., Any]:
    """Say that no function can be called at a hit."""
    raise errors.BadWatch(f"`{name}` can't be called: a function of this process, in another one.")


def parse(line: str, function: Callable[[str], Any] = no_function) -> WatchText:
    """Return what a line asks for; ``function`` gives what `--call` names. Raises UsageError."""
    text, options = _split(line)
    if "--history" in options:
        if len(options) > 1:
            raise BadWatchText("`--history` shows a watch; set its options without it.")
        return WatchText(text, WatchSpec(), history=True)
    return WatchText(text, _spec(options, function), "--pending" in options)


def text_of(text: str) -> str:
    """Return what is watched, without the quotes around a name with blanks."""
    text = text.strip()
    # A text in quotes is a name with blanks, as a shell would have it; a literal isn't watched.
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "`" else text


def _split(line: str) -> tuple[str, dict[str, str]]:
    text, marker, rest = line.partition(" --")
    if line.startswith("--"):
        raise BadWatchText("What is to be watched comes first, and options after it.")
    try:
        words = shlex.split(marker.strip() + rest)
    except ValueError as error:
        raise BadWatchText(f"`{line}` can't be read: {error}.") from None
    options: dict[str, str] = {}
    while words:
        word, equals, value = words.pop(0).partition("=")
        if word in _VALUES:
            if not equals and not words:
                raise BadWatchText(f"`{word}` needs a value after it.")
            options[word] = value if equals else words.pop(0)
        elif word in _FLAGS or word in _ACTIONS:
            options[word] = ""
        else:
            raise BadWatchText(f"`%watch` has no option `{word}`.")
    return text_of(text), options


def _spec(options: dict[str, str], function: Callable[[str], Any]) -> WatchSpec:
    spec = WatchSpec(
        condition=options.get("--if"),
        hit_condition=options.get("--hits"),
        once="--once" in options,
        thread=options.get("--thread"),
        with_stack="--stack" in options,
        way=_way(options),
    )
    actions = [action for option, action in _ACTIONS.items() if option in options]
    if "--call" in options:
        actions.append(Action.CALL)
        spec = replace(spec, call=function(options["--call"]))
    if len(actions) > 1:
        raise BadWatchText("One of --stop, --log, --raise and --call can happen at a hit.")
    if actions:
        spec = replace(spec, action=actions[0])
    if "--on" in options:
        spec = replace(spec, accesses=_accesses(options["--on"]))
    if "--keep" in options:
        keep = options["--keep"]
        if not keep.isdigit() or not int(keep):
            raise BadWatchText(f"`--keep` needs a number of events, and was given `{keep}`.")
        spec = replace(spec, keep=int(keep))
    return spec


def _accesses(text: str) -> tuple[Access, ...]:
    found = []
    for word in text.replace("|", ",").split(","):
        try:
            found.append(Access(word.strip()))
        except ValueError:
            known = ", ".join(Access)
            raise BadWatchText(f"`--on` takes {known}, and was given `{word}`.") from None
    return tuple(found)


def _way(options: dict[str, str]) -> Way:
    wanted = [way for way in (Way.EXACT, Way.SITES, Way.LINES) if f"--{way}" in options]
    if len(wanted) > 1:
        raise BadWatchText("One of --exact, --sites and --lines can be asked for.")
    return wanted[0] if wanted else Way.AUTO
