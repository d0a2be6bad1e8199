"""What a process calls its threads: `threading.Thread.name`, read from its own table of them.

Owns the way there: `sys.modules`, `threading._active`, each Thread's `_name`. A name is read once
for a thread; one that is renamed keeps the name that it was first seen with.
Thread rule: one thread at a time.
"""

from collections.abc import Iterable
from itertools import islice

from .contents import Contents
from .memory import Unreadable
from .objects import Objects

_MOST_THREADS = 100_000


class ThreadNames:
    """The names of one process's threads."""

    def __init__(self, objects: Objects, contents: Contents) -> None:
        self._objects = objects
        self._contents = contents
        self._tables: dict[int, int] = {}  # interpreter -> threading._active
        self._known: dict[tuple[int, int], str] = {}

    def of(self, interpreter: int, idents: Iterable[int]) -> dict[int, str]:
        """Return the names of threads of the interpreter at an address, as far as they have one."""
        wanted = set(idents)
        missing = {ident for ident in wanted if (interpreter, ident) not in self._known}
        if missing:
            try:
                self._read(interpreter, missing)
            except Unreadable:
                self._tables.pop(interpreter, None)
        return {
            ident: self._known[interpreter, ident]
            for ident in wanted
            if (interpreter, ident) in self._known
        }

    def keep(self, idents: set[tuple[int, int]]) -> None:
        """Forget all but these (interpreter, ident): idents are used again."""
        self._known = {key: name for key, name in self._known.items() if key in idents}

    def _read(self, interpreter: int, missing: set[int]) -> None:
        table = self._table(interpreter)
        if not table:
            return
        pairs = list(islice(self._contents.pairs(table), _MOST_THREADS))
        idents = self._objects.integers([key for key, _ in pairs])
        wanted = [
            (ident, thread)
            for ident, (_, thread) in zip(idents, pairs, strict=True)
            if ident in missing
        ]
        places = self._contents.attribute_of_each([thread for _, thread in wanted], "_name")
        names = self._objects.names(places)
        for (ident, _), name in zip(wanted, names, strict=True):
            if name and ident is not None:
                self._known[interpreter, ident] = name

    def _table(self, interpreter: int) -> int:
        if interpreter not in self._tables:
            known = self._objects.offsets
            modules = self._objects.memory.word(
                interpreter + known["interpreter_state.imports_modules"]
            )
            threading = self._contents.find(modules, "threading") if modules else None
            if threading is None:
                return 0
            names = self._contents.module_dict(threading)
            self._tables[interpreter] = self._contents.find(names, "_active") or 0
        return self._tables[interpreter]
