"""The magics %watch and %unwatch, and what they print.

Owns their grammar; each is a thin line over the engine's watches. Run on the thread that runs the
cell.
"""

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from nbdebug import errors
from nbdebug.dap import watch_text
from nbdebug.dap.points import RemoteWatches
from nbdebug.dap.watch_history import History
from nbdebug.dap.watching import WatchHandle, resolve_here
from nbdebug.kernel.answering import answer
from nbdebug.kernel.choosing import chosen
from nbdebug.kernel.debugger import KernelDebugger, debugger_of
from nbdebug.kernel.tables import Table
from nbdebug.kernel.watch_list import WatchList


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
                                            an attribute or item by the statements that write it;
                                            or --lines: compare it after each line of your code
        %watch x --history                  what it has seen; for numbers a plot, too
        %watch x --pid 4711                 in the session with this process; `%session` lists them

        Without --stop, --log, --raise or --call it stops where a debugger is open that could go on,
        and prints where none is.
        """
        return answer(lambda: self._watch(line.strip()))

    @line_magic
    def unwatch(self, line: str) -> Table | None:
        """End watches.

        %unwatch x      the watches of x; also by number, as `%watch` shows it
        %unwatch --all  all watches
        %unwatch x --pid 4711   those in the session with this process
        """
        return answer(lambda: self._unwatch(line.strip()))

    # -- inside

    @property
    def _debugger(self) -> KernelDebugger:
        return debugger_of(self.shell)

    @property
    def _shell(self) -> Any:
        return self.shell

    def _watch(self, line: str) -> Any:
        line, session = chosen(line)
        if session is not None:
            return self._watch_elsewhere(line, RemoteWatches(session))
        watches = self._debugger.session.engine.watches
        watches.look("the listing of watches")
        if not line:
            return WatchList([one.info() for one in watches.every()])
        asked = watch_text.parse(line, self._function)
        if asked.history:
            return WatchHandle(watches.named(asked.text)[0], watches).history
        target = resolve_here(
            self._debugger.session.engine,
            asked.text,
            self._shell.user_ns,
            pending=asked.pending,
        )
        watch = watches.add(target, asked.spec, where=self._here())
        return WatchList([watch.info()])

    def _watch_elsewhere(self, line: str, watches: RemoteWatches) -> Any:
        if not line:
            return WatchList(watches.every())
        asked = watch_text.parse(line)
        if asked.history:
            return History(*watches.history(watches.named(asked.text)[0].id))
        return WatchList([watches.add(asked.text, asked.spec, pending=asked.pending)])

    def _function(self, name: str) -> Any:
        try:
            return self._shell.ev(name)
        except Exception as error:
            said = f"`{name}` can't be called: {type(error).__name__}: {error}."
            raise errors.BadWatch(said) from None

    def _here(self) -> str:
        path = self._debugger.cells.running()
        return self._debugger.cells.label(path) if path is not None else "where it was set"

    def _unwatch(self, line: str) -> Table:
        line, session = chosen(line)
        if not line:
            said = "`%unwatch` needs what is watched, its number, or --all."
            raise watch_text.BadWatchText(said)
        text = watch_text.text_of(line)
        if session is not None:
            there = RemoteWatches(session)
            infos = there.every() if line == "--all" else there.named(text)
            there.remove([one.id for one in infos])
        else:
            watches = self._debugger.session.engine.watches
            found = watches.every() if line == "--all" else watches.named(text)
            watches.remove(found)
            infos = [one.info() for one in found]
        return Table(
            ["id", "watched", "hits"],
            [[str(one.id), one.text, str(one.hits)] for one in infos],
            "Nothing is watched.",
        )
