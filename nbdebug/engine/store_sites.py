"""Which instructions of a code object write, delete or read a variable, an attribute or an item.

Owns what the compiler makes of a name on each supported Python: fused instructions, comprehensions
that borrow a local's slot, the None that ends an ``except ... as``. Pure functions of a code
object; any thread may call.
"""

import dis
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import CodeType

from nbdebug.engine.sources import is_class_body


class Kind(Enum):
    """What a site writes or reads."""

    LOCAL = "local"
    GLOBAL = "global"
    ATTRIBUTE = "attribute"
    CONTENT = "content"
    """An item of some container, or what a method or operator changes in place."""


@dataclass(frozen=True, slots=True)
class Site:
    """One instruction: its offset in bytes, that of the next one, and its 1-based line."""

    offset: int
    after: int
    line: int


_OF_SEQUENCES = (
    "append extend insert pop remove clear sort reverse appendleft extendleft popleft rotate"
)
_OF_MAPPINGS_AND_SETS = (
    "update setdefault popitem move_to_end subtract add discard difference_update "
    "intersection_update symmetric_difference_update __setitem__ __delitem__ __setattr__"
)
_OF_ARRAYS = (
    "fill put itemset partition resize setfield byteswap frombytes fromlist fromfile "
    "copyto place putmask fill_diagonal shuffle readinto"
)
_OF_FRAMES = (
    "insert drop dropna fillna rename sort_values sort_index reset_index set_index replace "
    "mask where eval interpolate ffill bfill set_axis drop_duplicates"
)
_OF_PYTHON = "setattr delattr"
MUTATORS = frozenset(
    f"{_OF_SEQUENCES} {_OF_MAPPINGS_AND_SETS} {_OF_ARRAYS} {_OF_FRAMES} {_OF_PYTHON}".split()
)
"""Names of the methods and functions that change what they are called on or given."""

_LOCAL_WRITES = {
    "STORE_FAST",
    "STORE_DEREF",
    "STORE_FAST_MAYBE_NULL",
    "DELETE_FAST",
    "DELETE_DEREF",
}
_GLOBAL_WRITES = {"STORE_GLOBAL", "STORE_NAME", "DELETE_GLOBAL", "DELETE_NAME"}
_CLASS_WRITES = {"STORE_NAME", "DELETE_NAME"}
"""In a class body these write into the class to be."""
_LOCAL_LOADS = {
    "LOAD_FAST",
    "LOAD_FAST_CHECK",
    "LOAD_FAST_BORROW",
    "LOAD_FAST_LOAD_FAST",
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW",
    "LOAD_DEREF",
    "LOAD_FROM_DICT_OR_DEREF",
}
_GLOBAL_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ITEM_STORES = {"STORE_SUBSCR", "STORE_SLICE"}
_ITEM_READS = {
    "BINARY_SUBSCR",
    "BINARY_SLICE",
    "BINARY_OP",
    "CALL",
    "CALL_KW",
    "CALL_FUNCTION_EX",
}
_CALLS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}
_FIRST_INPLACE = 13  # NB_INPLACE_ADD, of BINARY_OP's argument
_LAST_INPLACE = 25
_OUT = "out"
_REMEMBERED = 64

_known: dict[int, tuple[weakref.ref[CodeType], "CodeSites"]] = {}


@dataclass(frozen=True, slots=True)
class CodeSites:
    """All sites of one code object, by what they touch."""

    writes: dict[tuple[Kind, str], list[Site]]
    reads: dict[tuple[Kind, str], list[Site]]
    content: list[Site]
    item_reads: list[Site]
    ends_of_except: frozenset[int]
    """Offsets of the stores of None that are the first half of the deletion after ``except``."""


def write_sites(code: CodeType, kind: Kind, name: str) -> Sequence[Site]:
    """Return where ``code`` writes or deletes a local, global or attribute of this name."""
    return sites_of(code).writes.get((kind, name), ())


def read_sites(code: CodeType, kind: Kind, name: str) -> Sequence[Site]:
    """Return where ``code`` reads a local or global of this name."""
    return sites_of(code).reads.get((kind, name), ())


def content_sites(code: CodeType) -> Sequence[Site]:
    """Return where ``code`` may change a container in place: items, operators, mutating calls."""
    return sites_of(code).content


def item_read_sites(code: CodeType) -> Sequence[Site]:
    """Return where ``code`` may read an item: subscripts, slices, operators, calls."""
    return sites_of(code).item_reads


def sites_of(code: CodeType) -> CodeSites:
    """Return every site of ``code``, found once while it is among the last ones asked for."""
    known = _known.get(id(code))
    if known is not None and known[0]() is code:
        return known[1]
    found = _find(code)
    if len(_known) >= _REMEMBERED:
        _known.clear()
    _known[id(code)] = weakref.ref(code), found
    return found


def has_local(code: CodeType, name: str) -> bool:
    """True if ``name`` is a local or cell variable of ``code``."""
    return name in code.co_varnames or name in code.co_cellvars or name in code.co_freevars


def is_shared(code: CodeType, name: str) -> bool:
    """True if several functions share the variable."""
    return name in code.co_cellvars or name in code.co_freevars


def _find(code: CodeType) -> CodeSites:
    instructions = list(dis.get_instructions(code))
    calls = set(_mutating_calls(instructions))
    borrowed = _borrowed(instructions)
    ends_of_except: list[int] = []
    found = CodeSites({}, {}, [], [], frozenset())
    line, in_class = code.co_firstlineno, is_class_body(code)
    for index, one in enumerate(instructions):
        place = one.positions
        line = (place.lineno if place is not None else None) or line
        start, after = _bounds(instructions, index)
        site = Site(start, after, line)
        if _changes_content(one) or one.offset in calls:
            found.content.append(site)
        if one.opname in _ITEM_READS:
            found.item_reads.append(site)
        for kind, name in () if in_class and one.opname in _CLASS_WRITES else _written(one):
            if _ends_except(instructions, index, name):
                ends_of_except.append(one.offset)
                site = Site(start, _bounds(instructions, index + 1)[1], line)
            elif (kind is Kind.LOCAL and _is_borrowed(one, name, borrowed)) or _ends_except(
                instructions, index - 1, name
            ):
                continue
            found.writes.setdefault((kind, name), []).append(site)
        for kind, name in _read(one):
            if kind is not Kind.LOCAL or not _is_borrowed(one, name, borrowed):
                found.reads.setdefault((kind, name), []).append(site)
    return replace(found, ends_of_except=frozenset(ends_of_except))


def _written(one: dis.Instruction) -> Iterator[tuple[Kind, str]]:
    opname, value = one.opname, one.argval
    if opname in _LOCAL_WRITES:
        yield Kind.LOCAL, value
    elif opname == "STORE_FAST_LOAD_FAST":
        yield Kind.LOCAL, value[0]
    elif opname == "STORE_FAST_STORE_FAST":
        for name in dict.fromkeys(value):
            yield Kind.LOCAL, name
    elif opname in _GLOBAL_WRITES:
        yield Kind.GLOBAL, value
    elif opname in ("STORE_ATTR", "DELETE_ATTR"):
        yield Kind.ATTRIBUTE, value


def _read(one: dis.Instruction) -> Iterator[tuple[Kind, str]]:
    opname, value = one.opname, one.argval
    if opname == "STORE_FAST_LOAD_FAST":
        yield Kind.LOCAL, value[1]
    elif opname in _LOCAL_LOADS:
        for name in dict.fromkeys(value if isinstance(value, tuple) else (value,)):
            yield Kind.LOCAL, name
    elif opname in _GLOBAL_LOADS:
        yield Kind.GLOBAL, value


def _changes_content(one: dis.Instruction) -> bool:
    if one.opname in _ITEM_STORES or one.opname == "DELETE_SUBSCR":
        return True
    return one.opname == "BINARY_OP" and _FIRST_INPLACE <= (one.arg or 0) <= _LAST_INPLACE


def _bounds(instructions: list[dis.Instruction], index: int) -> tuple[int, int]:
    """Return the offset of an instruction, with its EXTENDED_ARGs, and that of the next one."""
    first = index
    while first and instructions[first - 1].opname == "EXTENDED_ARG":
        first -= 1
    last = min(index + 1, len(instructions) - 1)
    return instructions[first].offset, instructions[last].offset


_CONSTANTS = ("LOAD_CONST", "LOAD_COMMON_CONSTANT")
"""What loads None: the second from 3.15 on."""


def _ends_except(instructions: list[dis.Instruction], index: int, name: str) -> bool:
    """True for the ``name = None`` that the compiler puts before the end of ``except ... as``.

    With the deletion after it, it is one deletion to the user.
    """
    if index < 1 or index + 1 >= len(instructions):
        return False
    before, one, after = instructions[index - 1 : index + 2]
    if before.opname not in _CONSTANTS or before.argval is not None or one.argval != name:
        return False
    deletes = after.opname.startswith("DELETE_") and after.argval == name
    stores = one.opname.startswith("STORE_")
    return deletes and stores and before.positions == one.positions == after.positions


Span = tuple[tuple[int, int], tuple[int, int]]


def _span(one: dis.Instruction) -> Span | None:
    at = one.positions
    if at is None or at.lineno is None or at.col_offset is None:
        return None
    end = (at.end_lineno or at.lineno, at.end_col_offset or at.col_offset)
    return (at.lineno, at.col_offset), end


def _borrowed(instructions: list[dis.Instruction]) -> dict[str, list[Span | None]]:
    """Return by name the places of the comprehensions that use its slot for their own."""
    found: dict[str, list[Span | None]] = {}
    for one in instructions:
        if one.opname == "LOAD_FAST_AND_CLEAR":
            found.setdefault(one.argval, []).append(_span(one))
    return found


def _is_borrowed(one: dis.Instruction, name: str, borrowed: dict[str, list[Span | None]]) -> bool:
    places = borrowed.get(name)
    if not places:
        return False
    here = _span(one)
    # Compiled without columns, nothing tells them apart.
    return any(
        place is None or here is None or (place[0] <= here[0] and here[1] <= place[1])
        for place in places
    )


def _mutating_calls(instructions: list[dis.Instruction]) -> Iterator[int]:
    """Yield the offsets of calls of what has a mutator's name, and of those with ``out=``."""
    loads: list[Span | None] = []
    keywords: object = ()
    for one in instructions:
        if one.opname in ("KW_NAMES", "LOAD_CONST"):
            keywords = one.argval
        elif one.argval in MUTATORS and one.opname.startswith("LOAD_"):
            loads.append(_span(one))
        elif one.opname in _CALLS:
            place = _span(one)
            begun = [
                load
                for load in loads
                if load is None or place is None or (load[0] == place[0] and load[1] <= place[1])
            ]
            if begun:
                loads = [load for load in loads if load not in begun]
                yield one.offset
            elif isinstance(keywords, tuple) and _OUT in keywords:
                yield one.offset
