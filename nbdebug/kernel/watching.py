"""The magics %watch and %unwatch, and what they print.

Owns their grammar; each is a thin line over the engine's watches. Run on the thread that runs the
cell.
"""

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from nbdebug import errors
from nbdebug.dap.watching import WatchHandle, resolve_here
from nbdebug.engine.watch_model import Access, Action, WatchSpec, Way
from nbdebug.kernel.debugger import KernelDebugger, debugger_of
from nbdebug.kernel.tables import Table
from nbdebug.kernel.watch_list import WatchList

_ACTIONS = {"--stop": Action.STOP, "--log": Action.LOG, "--raise": Action.RAISE}
_VALUES = ("--if", "--hits", "--on", "--thread", "--call", "--keep")
_FLAGS = ("--once", "--stack", "--pending", "--history", "--exact", "--sites")


class _Usage(errors.UsageError):
    advice = "Write, for instance, `%watch x --if 'new > 10'`; `%watch?` shows all."


@magics_class
class WatchMagics(Magics):
    """What a notebook's user types to watch data."""

    @line_magic
    def watch(self, line: str) -> Any:
        """Watch a variable: whoever changes it is told, or stopped right after the write.

        %watch                              list the watches, what they see, cost and have seen
        %watch x                            a global
        %watch obj.attr                     an attribute; also Class.attr and module.name
        %watch d['k']                       an item; also items[3], arr[1:5], df['col']
        %watch func:local                   a local variable of a function, in all its frames
        %watch x --if 'new > 10'            only where this holds of the `old` and `new` values
        %watch x --on write                 every write, also of an equal value; or change (the
                                            default), delete, read
        %watch x --log                      print and go on; or --stop, --raise, --call FUNCTION
        %watch x --hits '>=5'               from the fifth hit on; also 5, ==5, >5, %5
        %watch x --once                     end after the first hit
        %watch x --thread NAME              only what this thread does
        %watch x --stack                    keep the stack with each event
        %watch x --keep 100                 how many events are remembered (1000)
        %watch x --pending                  a name that isn't there yet: told when it is first made
        %watch x --exact                    see each write of a global, whoever writes; or --sites:
                                            an attribute or item by the statements that write it
        %watch x --history                  what it has seen; for numbers a plot, too

        Without --stop, --log, --raise or --call it stops where a debugger is open that could go on,
        and prints where none is.
        """
        return self._answer(lambda: self._watch(line.strip()))

    @line_magic
    def unwatch(self, line: str) -> Table | None:
        """End watches.

        %unwatch x      the watches of x; also by number, as `%watch` shows it
        %unwatch --all  all watches
        """
        found: Table | None = self._answer(lambda: self._unwatch(line.strip()))
        return found

    # -- inside

    def _answer(self, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except errors.NbdebugError as error:
            print(f"{error} {error.advice}".strip(), file=sys.stderr)
            return None

    @property
    def _debugger(self) -> KernelDebugger:
        return debugger_of(self.shell)

    @property
    def _shell(self) -> Any:
        return self.shell

    def _watch(self, line: str) -> Any:
        watches = self._debugger.session.engine.watches
        watches.look("the listing of watches")
        if not line:
            return WatchList([one.info() for one in watches.every()])
        text, options = _parse(line)
        if "--history" in options:
            if len(options) > 1:
                raise _Usage("`--history` shows a watch; set its options without it.")
            return WatchHandle(watches.named(text)[0], watches).history
        spec = self._spec(options)
        target = resolve_here(
            self._debugger.session.engine,
            text,
            self._shell.user_ns,
            pending="--pending" in options,
        )
        watch = watches.add(target, spec, where=self._here())
        return WatchList([watch.info()])

    def _here(self) -> str:
        path = self._debugger.cells.running()
        return self._debugger.cells.label(path) if path is not None else "where it was set"

    def _spec(self, options: dict[str, str]) -> WatchSpec:
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
            name = options["--call"]
            try:
                spec = replace(spec, call=self._shell.ev(name))
            except Exception as error:
                said = f"`{name}` can't be called: {type(error).__name__}: {error}."
                raise errors.BadWatch(said) from None
        if len(actions) > 1:
            raise _Usage("One of --stop, --log, --raise and --call can happen at a hit.")
        if actions:
            spec = replace(spec, action=actions[0])
        if "--on" in options:
            spec = replace(spec, accesses=_accesses(options["--on"]))
        if "--keep" in options:
            keep = options["--keep"]
            if not keep.isdigit() or not int(keep):
                raise _Usage(f"`--keep` needs a number of events, and was given `{keep}`.")
            spec = replace(spec, keep=int(keep))
        return spec

    def _unwatch(self, line: str) -> Table:
        watches = self._debugger.session.engine.watches
        if not line:
            raise _Usage("`%unwatch` needs what is watched, its number, or --all.")
        found = watches.every() if line == "--all" else watches.named(_text_of(line))
        watches.remove(found)
        return Table(
            ["id", "watched", "hits"],
            [[str(one.id), one.target.text, str(one.hits)] for one in found],
            "Nothing is watched.",
        )


def _parse(line: str) -> tuple[str, dict[str, str]]:
    """Return what is watched, as it was written, and the options."""
    text, marker, rest = line.partition(" --")
    if line.startswith("--"):
        raise _Usage("What is to be watched comes first, and options after it.")
    try:
        words = shlex.split(marker.strip() + rest)
    except ValueError as error:
        raise _Usage(f"`{line}` can't be read: {error}.") from None
    options: dict[str, str] = {}
    while words:
        word, equals, value = words.pop(0).partition("=")
        if word in _VALUES:
            if not equals and not words:
                raise _Usage(f"`{word}` needs a value after it.")
            options[word] = value if equals else words.pop(0)
        elif word in _FLAGS or word in _ACTIONS:
            options[word] = ""
        else:
            raise _Usage(f"`%watch` has no option `{word}`.")
    return _text_of(text), options


def _text_of(text: str) -> str:
    text = text.strip()
    # A text in quotes is a name with blanks, as a shell would have it; a literal isn't watched.
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "`" else text


def _accesses(text: str) -> tuple[Access, ...]:
    found = []
    for word in text.replace("|", ",").split(","):
        try:
            found.append(Access(word.strip()))
        except ValueError:
            known = ", ".join(Access)
            raise _Usage(f"`--on` takes {known}, and was given `{word}`.") from None
    return tuple(found)


def _way(options: dict[str, str]) -> Way:
    wanted = [way for way in (Way.EXACT, Way.SITES) if f"--{way}" in options]
    if len(wanted) > 1:
        raise _Usage("One of --exact and --sites can be asked for.")
    return wanted[0] if wanted else Way.AUTO


def names() -> list[str]:
    """Return the names of the magics."""
    return ["watch", "unwatch"]


def register(shell: Any) -> None:
    """Add the magics to a shell."""
    shell.register_magics(WatchMagics)


def unregister(shell: Any) -> None:
    """Take the magics away."""
    for name in names():
        shell.magics_manager.magics["line"].pop(name, None)
