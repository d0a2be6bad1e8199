"""Reads a code object: its instructions, its exception table, what its names stand for.

Owns the decoding; must not know exceptions or stops. Looks names up physically and runs none of
the user's code. Source: Objects/exception_handling_notes.txt, and `dis`. Any thread may call.
"""

import opcode
from collections.abc import Iterator
from itertools import islice
from types import CodeType, FrameType, ModuleType
from typing import Any, Final

from nbdebug.engine import physical

UNKNOWN: Final = object()
"""What a name or expression stands for when that can't be told without running code."""

_LOCALS = frozenset({"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"})
_PAIRS = frozenset({"LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"})
_LOOKED_BACK = 400  # code units between a call and the name that it calls
_NAMES = opcode.opname
_SHIFTED = frozenset({"LOAD_GLOBAL", "LOAD_ATTR"})
_SILENT = frozenset({"NOP", "NOT_TAKEN", "CACHE", "EXTENDED_ARG"})

Values = list[object]


class Code:
    """One code object, decoded where it is looked at."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.units = code.co_code
        self.table = list(_exception_table(code.co_exceptiontable))
        self._callees: dict[int, list[int] | None] = {}

    def handler_of(self, at: int) -> int | None:
        """Return where the interpreter goes with an exception at offset ``at``; None: it leaves."""
        for start, end, target in self.table:
            if start <= at < end:
                return target
        return None

    def at(self, offset: int) -> tuple[str, int, int]:
        """Return (name, argument, offset of the next) of the instruction at ``offset``."""
        argument, units = 0, self.units
        while _NAMES[units[offset]] == "EXTENDED_ARG":
            argument = (argument | units[offset + 1]) << 8
            offset += 2
        name, argument = _NAMES[units[offset]], argument | units[offset + 1]
        offset += 2
        while offset < len(units) and units[offset] == 0:
            offset += 2
        return name, argument, offset

    def start_of(self, at: int) -> int:
        """Return where the instruction that ``at`` lies in begins: 3.12 names one of its caches."""
        while at > 0 and self.units[at] == 0:
            at -= 2
        while at > 0 and _NAMES[self.units[at - 2]] == "EXTENDED_ARG":
            at -= 2
        return max(at, 0)

    def name_at(self, at: int) -> str:
        """Return the name of the instruction that a frame's ``f_lasti`` means."""
        return self.at(self.start_of(at))[0] if at >= 0 else ""

    def load(self, name: str, argument: int, frame: FrameType, stack: Values) -> bool:
        """Do to ``stack`` what an instruction that only loads does; False if it isn't one."""
        names = self.code.co_names
        if name in _SILENT:
            return True
        if name == "LOAD_GLOBAL":
            stack.append(_global(names[argument >> 1], frame))
        elif name == "LOAD_NAME":
            stack.append(_named(names[argument], frame))
        elif name in _LOCALS or name == "LOAD_DEREF":
            stack.append(_local(self._local_name(argument), frame))
        elif name in _PAIRS:
            stack += [_local(self._local_name(n), frame) for n in (argument >> 4, argument & 15)]
        elif name == "LOAD_ATTR" and stack:
            stack.append(_attribute(stack.pop(), names[argument >> 1]))
        elif name == "BUILD_TUPLE" and 0 < argument <= len(stack):
            stack[-argument:] = [tuple(stack[-argument:])]
        else:
            return False
        return True

    def callee(self, call_at: int, frame: FrameType) -> object:
        """Return what the call at ``call_at`` calls, where a name or attribute says it."""
        if call_at not in self._callees:
            self._callees[call_at] = self._loads_of_callee(call_at)
        stack: Values = []
        for offset in self._callees[call_at] or ():
            name, argument, _ = self.at(offset)
            if not self.load(name, argument, frame, stack):
                return UNKNOWN
        return stack[-1] if stack else UNKNOWN

    def _loads_of_callee(self, call_at: int) -> list[int] | None:
        """Return the instructions that load a call's function: they begin where the call begins."""
        positions = list(islice(self.code.co_positions(), call_at // 2 + 1))
        if not positions or positions[-1][0] is None or positions[-1][2] is None:
            return None
        begins = positions[-1][0], positions[-1][2]
        found = []
        for index in range(max(len(positions) - _LOOKED_BACK, 0), len(positions) - 1):
            name = _NAMES[self.units[index * 2]]
            same = (positions[index][0], positions[index][2]) == begins
            if same and name not in _SILENT and name != "PUSH_NULL":
                found.append(self.start_of(index * 2))
        return found

    def _local_name(self, argument: int) -> str:
        name: str = self.code._varname_from_oparg(argument)  # type: ignore[attr-defined]
        return name


def jump_target(name: str, argument: int, following: int) -> int | None:
    """Return where a jump goes, None for what is no jump; ``following`` is the next offset."""
    if "JUMP" in name:
        return following - argument * 2 if "BACKWARD" in name else following + argument * 2
    return following + argument * 2 if name in ("FOR_ITER", "SEND") else None


def _exception_table(table: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, target) in bytes, as `_parse_exception_table` of `dis` does."""
    units = iter(table)

    def number() -> int:
        byte = next(units)
        value = byte & 63
        while byte & 64:
            byte = next(units)
            value = value << 6 | byte & 63
        return value

    while True:
        try:
            start = number() * 2
        except StopIteration:
            return
        length, target = number() * 2, number() * 2
        number()  # the depth of the stack, which is the interpreter's matter
        yield start, start + length, target


def _local(name: str, frame: FrameType) -> object:
    return frame.f_locals.get(name, UNKNOWN)


def _named(name: str, frame: FrameType) -> object:
    namespace = frame.f_locals
    if type(namespace) is dict and name in namespace:
        return namespace[name]
    # A class body may run in a mapping of the user's own.
    return _global(name, frame) if type(namespace) is dict else UNKNOWN


def _global(name: str, frame: FrameType) -> object:
    for namespace in (frame.f_globals, frame.f_builtins):
        if type(namespace) is not dict:
            return UNKNOWN
        if name in namespace:
            return namespace[name]
    return UNKNOWN


def _attribute(owner: object, name: str) -> object:
    """Return an attribute of a module, a class or, where it is a class's entry, an object."""
    if owner is UNKNOWN:
        return UNKNOWN
    if physical.is_a(owner, ModuleType):
        entries = physical.instance_dict(owner) or {}
        return entries.get(name, UNKNOWN)
    entries = {} if physical.is_a(owner, type) else physical.instance_dict(owner) or {}
    if name in entries:
        return entries[name]
    found: Any = physical.lookup(owner if isinstance(owner, type) else type(owner), name)
    return UNKNOWN if found is None else found[1]
