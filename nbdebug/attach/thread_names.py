"""What a process calls its threads: `threading.Thread.name`, read from its own table of them.

Owns the way there: `sys.modules`, `threading._active`, each Thread's `_name`. A name is read once
for a thread; one that is renamed keeps the name that it was first seen with.
Thread rule: one thread at a time.
"""

from collections.abc import Iterable

from .contents import Contents
from .memory import Unreadable
from .objects import INT, Objects


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
        for key, thread in self._contents.pairs(table):
            if not self._objects.type_of(key).is_a(INT):
                raise Unreadable("no table of threads")
            ident = self._objects.integer(key)
            if ident in missing:
                name = self._name_of(thread)
                if name:
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

    def _name_of(self, thread: int) -> str:
        try:
            items = self._contents.instance_items(thread, self._objects.type_of(thread))
            at = dict(items).get("_name")
            return self._objects.text(at, 200) if at is not None else ""
        except Unreadable:
            return ""
