"""The code objects of another process: function, file, lines, and the names of the locals.

Owns the tables in a code object, in the forms of each version. What was read of one is used again
only while the object at its address is still the same.
Thread rule: one thread at a time.
Source: CPython's Objects/locations.md (3.11), Objects/lnotab_notes.txt (before).
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from .memory import Memory, Unreadable
from .objects import LARGEST, Objects

CELL, FREE, HIDDEN = 0x40, 0x80, 0x10
"""The kinds of a local that isn't a plain one: CO_FAST_CELL and so on."""

_TABLE_LIMIT = 1 << 22  # bytes
_MOST_NAMES = 1 << 16


@dataclass(slots=True, eq=False)
class Code:
    """One code object, as it was read."""

    address: int
    function: str  # qualified, where the version keeps that
    name: str
    file: str
    first_line: int
    flags: int  # CO_OPTIMIZED and so on
    table: bytes
    mark: bytes  # what of its head tells whether it is still the same object
    heads: tuple[int, ...]  # addresses of what names its locals
    lines: dict[int, int | None] = field(default_factory=dict)
    spans: list[tuple[int, int | None]] | None = None  # (end of the span in bytes, line)
    local_names: tuple[tuple[str, int], ...] | None = None  # (name, kind)


class Codes:
    """Reads code objects, and remembers them."""

    def __init__(self, memory: Memory, objects: Objects) -> None:
        self._memory = memory
        self._objects = objects
        self._known: dict[int, Code] = {}
        self._offsets = objects.offsets
        self._version = objects.version
        names = ["filename", "name", "firstlineno", "linetable", "flags"]
        self._heads = ["varnames", "cellvars", "freevars"]
        if self._version >= (3, 11):
            self._heads = ["localsplusnames", "localspluskinds"]
            names.append("qualname")
        names += self._heads
        self._at = {name: self._offsets[f"code_object.{name}"] for name in names}
        self._size = max(self._at.values()) + 8
        self._adaptive_at = self._offsets.get("code_object.co_code_adaptive") or 0
        pointers = [at for name, at in self._at.items() if name not in _NUMBERS]
        self._mark = slice(min(pointers), max(pointers) + 8)

    def load(self, addresses: Iterable[int]) -> dict[int, Code]:
        """Return the code objects at these addresses; those that are none are left out."""
        wanted = list(addresses)
        found = {}
        fresh = []
        heads = self._memory.read_many([(address, self._size) for address in wanted])
        for address, head in zip(wanted, heads, strict=True):
            if head is None:
                continue
            known = self._known.get(address)
            if known is not None and known.mark == head[self._mark]:
                found[address] = known
            else:
                fresh.append((address, head))
        for code in self._read(fresh):
            found[code.address] = self._known[code.address] = code
        return found

    def line(self, code: Code, instruction: int) -> int | None:
        """Return the line of an instruction: its address, or before 3.11 its offset."""
        line = code.lines.get(instruction, 0)
        if line == 0:
            line = code.lines[instruction] = self._line(code, instruction)
        return line

    def locals_of(self, code: Code) -> tuple[tuple[str, int], ...]:
        """Return the names of the locals and their kinds, in the order of their slots.

        Raises:
            Unreadable: they aren't there any more.
        """
        if code.local_names is None:
            code.local_names = self._local_names(code)
        return code.local_names

    def _read(self, fresh: list[tuple[int, bytes]]) -> Iterable[Code]:
        if not fresh:
            return
        texts = []
        for _, head in fresh:
            texts += [self._word(head, "filename"), self._word(head, "name")]
            texts.append(self._word(head, "qualname" if "qualname" in self._at else "name"))
        names = iter(self._objects.names(texts))
        for address, head in fresh:
            file, name, function = next(names), next(names), next(names)
            if file is None or name is None or function is None:
                continue
            try:
                yield self._code(address, head, file, name, function)
            except Unreadable:
                continue

    def _code(self, address: int, head: bytes, file: str, name: str, function: str) -> Code:
        if self._objects.type_of(address).full_name != "code":
            raise Unreadable(f"no code at {address:#x}")
        table, size = self._objects.data(self._word(head, "linetable"), _TABLE_LIMIT)
        if size > _TABLE_LIMIT:
            raise Unreadable("a table of lines without an end")
        return Code(
            address,
            function,
            name,
            file,
            self._number(head, "firstlineno"),
            self._number(head, "flags"),
            table,
            head[self._mark],
            tuple(self._word(head, name) for name in self._heads),
        )

    def _word(self, head: bytes, name: str) -> int:
        return int(struct.unpack_from("<Q", head, self._at[name])[0])

    def _number(self, head: bytes, name: str) -> int:
        return int(struct.unpack_from("<i", head, self._at[name])[0])

    def _line(self, code: Code, instruction: int) -> int | None:
        if code.spans is None:
            code.spans = _spans(code.table, code.first_line, self._version)
        offset = instruction
        if self._version >= (3, 11):
            offset = instruction - code.address - self._adaptive_at
        if offset < 0:  # it is about to begin
            return code.first_line
        for end, line in code.spans:
            if offset < end:
                return line
        return None

    def _local_names(self, code: Code) -> tuple[tuple[str, int], ...]:
        objects = self._objects
        if self._version >= (3, 11):
            names = objects.tuple_items(code.heads[0], 0, _MOST_NAMES)
            kinds, _ = objects.data(code.heads[1], _MOST_NAMES)
        else:
            groups = [objects.tuple_items(head, 0, _MOST_NAMES) for head in code.heads]
            names = [name for group in groups for name in group]
            kinds = b"".join(
                bytes([kind]) * len(group)
                for kind, group in zip((0x20, CELL, FREE), groups, strict=True)
            )
        texts = objects.names(names)
        return tuple(
            (text or "?", kind) for text, kind in zip(texts, kinds.ljust(len(names)), strict=False)
        )


_NUMBERS = ("firstlineno", "flags")


def _spans(table: bytes, first: int, version: tuple[int, int]) -> list[tuple[int, int | None]]:
    """Return (end in bytes, line) of each span of instructions."""
    try:
        if version >= (3, 11):
            return _locations(table, first)
        return _line_pairs(table, first) if version == (3, 10) else _increments(table, first)
    except IndexError:  # cut off
        return []


def _locations(table: bytes, line: int) -> list[tuple[int, int | None]]:
    at = end = 0
    spans: list[tuple[int, int | None]] = []

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = table[at]
            at += 1
            value |= (byte & 63) << shift
            shift += 6
            if not byte & 64:
                return value

    while at < len(table):
        head = table[at]
        at += 1
        end += 2 * ((head & 7) + 1)
        kind = head >> 3 & 15
        if kind == 15:  # no location
            spans.append((end, None))
            continue
        if kind in (13, 14):  # no columns, long form
            step = number()
            line += -(step >> 1) if step & 1 else step >> 1
            if kind == 14:
                number(), number(), number()
        elif kind >= 10:  # one line form
            line += kind - 10
            at += 2
        else:  # short form
            at += 1
        spans.append((end, line))
    return spans


def _line_pairs(table: bytes, line: int) -> list[tuple[int, int | None]]:
    end = 0
    spans: list[tuple[int, int | None]] = []
    for size, step in struct.iter_unpack("Bb", table[: len(table) & ~1]):
        end += size
        if step == -128:
            spans.append((end, None))
            continue
        line += step
        spans.append((end, line))
    return spans


def _increments(table: bytes, line: int) -> list[tuple[int, int | None]]:
    end = 0
    spans: list[tuple[int, int | None]] = []
    for size, step in struct.iter_unpack("Bb", table[: len(table) & ~1]):
        if size:
            end += size
            spans.append((end, line))
        line += step
    return [*spans, (LARGEST, line)]
