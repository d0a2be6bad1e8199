"""Where a CPython of a known version keeps what: offsets in bytes, by the names of its own structs.

Owns the layouts: what the target tells itself from 3.13 on (`_Py_DebugOffsets`, the head of its
runtime), checked against the sizes of its structs, and completed from a table for its minor
version (layouts/, made by tools/layouts.py). Reads no memory. A version that isn't known is
refused: a wrong offset would show, or write, something else.
Thread rule: everything here may be called from any thread; tables are read once.
Source: CPython's Include/internal/pycore_debug_offsets.h.
"""

import functools
import json
import struct
from collections.abc import Iterator
from pathlib import Path

from . import errors

COOKIE = b"xdebugpy"
"""The first bytes of the runtime, from 3.13 on."""

HEAD_SIZE = 1024
"""Bytes from the runtime's start that hold every known `_Py_DebugOffsets`."""

KNOWN = tuple((3, minor) for minor in range(8, 16))
"""The versions that can be looked at."""

_FOLDER = Path(__file__).parent / "layouts"

_GROUPS_3_13 = """
runtime_state: size finalizing interpreters_head
interpreter_state: size id next threads_head gc imports_modules sysdict builtins ceval_gil
    gil_runtime_state gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder
thread_state: size prev next interp current_frame thread_id native_thread_id datastack_chunk status
interpreter_frame: size previous executable instr_ptr localsplus owner
code_object: size filename name qualname linetable firstlineno argcount localsplusnames
    localspluskinds co_code_adaptive
pyobject: size ob_type
type_object: size tp_name tp_repr tp_flags
tuple_object: size ob_item ob_size
list_object: size ob_item ob_size
dict_object: size ma_keys ma_values
float_object: size ob_fval
long_object: size lv_tag ob_digit
bytes_object: size ob_size ob_sval
unicode_object: size state length asciiobject_size
gc: size collecting
"""

_GROUPS_3_14 = """
runtime_state: size finalizing interpreters_head
interpreter_state: size id next threads_head threads_main gc imports_modules sysdict builtins
    ceval_gil gil_runtime_state gil_runtime_state_enabled gil_runtime_state_locked
    gil_runtime_state_holder code_object_generation tlbc_generation
thread_state: size prev next interp current_frame thread_id native_thread_id datastack_chunk status
interpreter_frame: size previous executable instr_ptr localsplus owner stackpointer tlbc_index
code_object: size filename name qualname linetable firstlineno argcount localsplusnames
    localspluskinds co_code_adaptive co_tlbc
pyobject: size ob_type
type_object: size tp_name tp_repr tp_flags
tuple_object: size ob_item ob_size
list_object: size ob_item ob_size
set_object: size used table mask
dict_object: size ma_keys ma_values
float_object: size ob_fval
long_object: size lv_tag ob_digit
bytes_object: size ob_size ob_sval
unicode_object: size state length asciiobject_size
gc: size collecting
gen_object: size gi_name gi_iframe gi_frame_state
llist_node: next prev
debugger_support: eval_breaker remote_debugger_support remote_debugging_enabled
    debugger_pending_call debugger_script_path debugger_script_path_size
"""

_GROUPS_3_15 = """
runtime_state: size finalizing interpreters_head
interpreter_state: size id next threads_head threads_main gc imports_modules sysdict builtins
    ceval_gil gil_runtime_state gil_runtime_state_enabled gil_runtime_state_locked
    gil_runtime_state_holder code_object_generation tlbc_generation
thread_state: size prev next interp current_frame base_frame last_profiled_frame
    last_profiled_frame_seq thread_id native_thread_id datastack_chunk status holds_gil
    gil_requested current_exception exc_state
err_stackitem: exc_value
interpreter_frame: size previous executable instr_ptr localsplus owner stackpointer tlbc_index
code_object: size filename name qualname linetable firstlineno argcount localsplusnames
    localspluskinds co_code_adaptive co_tlbc
pyobject: size ob_type
type_object: size tp_name tp_repr tp_flags tp_basicsize tp_dictoffset
heap_type_object: size ht_cached_keys
tuple_object: size ob_item ob_size
list_object: size ob_item ob_size
set_object: size used table mask
dict_object: size ma_keys ma_values
float_object: size ob_fval
long_object: size lv_tag ob_digit
bytes_object: size ob_size ob_sval
unicode_object: size state length asciiobject_size compactunicodeobject_size
gc: size collecting frame generation_stats_size generation_stats
gen_object: size gi_name gi_iframe gi_frame_state
llist_node: next prev
debugger_support: eval_breaker remote_debugger_support remote_debugging_enabled
    debugger_pending_call debugger_script_path debugger_script_path_size
"""

# What no version has changed: a layout that is read wrongly says otherwise.
_FIXED = {"pyobject.ob_type": 8, "tuple_object.ob_size": 16, "float_object.ob_fval": 16}

_LARGEST = {"runtime_state": 1 << 22, "interpreter_state": 1 << 22, "thread_state": 1 << 14}
_LARGEST_OTHER = 1 << 13

# Which struct a field of the group `debugger_support` lies in.
_SUPPORT = "debugger_support."


class BadOffsets(Exception):
    """The offsets contradict each other, or can't be those of this version."""


class Offsets:
    """The layout of one process: ``offsets["thread_state.next"]``, in bytes."""

    __slots__ = ("_by_name", "free_threaded", "release", "source", "version")

    def __init__(
        self,
        by_name: dict[str, int],
        version: tuple[int, int],
        release: str,
        source: str,
        *,
        free_threaded: bool = False,
    ) -> None:
        self._by_name = by_name
        self.version = version
        self.release = release  # as people write it: "3.14.8"; without the last part where unknown
        self.source = source  # "debug offsets", or "table"
        self.free_threaded = free_threaded

    def __getitem__(self, name: str) -> int:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def get(self, name: str) -> int | None:
        return self._by_name.get(name)


def release_of(hexversion: int) -> str:
    """Return a version as people write it: ``0x030e08f0`` is "3.14.8"."""
    major, minor, micro = hexversion >> 24 & 255, hexversion >> 16 & 255, hexversion >> 8 & 255
    level = {0xA: "a", 0xB: "b", 0xC: "rc"}.get(hexversion >> 4 & 15, "")
    return f"{major}.{minor}.{micro}" + (f"{level}{hexversion & 15}" if level else "")


def version_of(hexversion: int) -> tuple[int, int]:
    return hexversion >> 24 & 255, hexversion >> 16 & 255


def told_by(head: bytes, pid: int) -> Offsets:
    """Return the layout that a runtime tells of itself: ``HEAD_SIZE`` bytes from its start.

    Raises:
        UnknownVersion, FreeThreaded: that isn't understood here.
        MemoryInconsistent: the offsets make no sense.
    """
    hexversion, free_threaded = struct.unpack_from("<QQ", head, len(COOKIE))
    version, release = version_of(hexversion), release_of(hexversion)
    if version not in _GROUPS:
        raise unknown(pid, release)
    if free_threaded:
        raise errors.FreeThreaded.of(pid, version=release)
    names = _names(version)
    values = struct.unpack_from(f"<{len(names)}Q", head, len(COOKIE) + 16)
    told = dict(zip(names, values, strict=True))
    try:
        _check(told)
    except BadOffsets as error:
        if hexversion >> 4 & 15 != 0xF:  # a pre-release, whose layout may be another
            raise unknown(pid, release) from None
        raise errors.MemoryInconsistent.of(pid, what=f"its debug offsets: {error}") from None
    return Offsets(_table(version[1]) | told, version, release, "debug offsets")


def from_table(version: tuple[int, int], release: str, pid: int) -> Offsets:
    """Return the layout of a version that tells nothing of itself: 3.12 and older.

    Raises:
        UnknownVersion: no table is there for it.
    """
    if version not in KNOWN or version in _GROUPS:
        raise unknown(pid, release)
    return Offsets(_table(version[1]), version, release, "table")


def unknown(pid: int, release: str) -> errors.UnknownVersion:
    first, last = (".".join(map(str, version)) for version in (KNOWN[0], KNOWN[-1]))
    return errors.UnknownVersion.of(pid, version=release, known=f"{first} to {last}")


def _check(told: dict[str, int]) -> None:
    """Every field must lie inside its struct."""
    for name, value in told.items():
        group, _, field = name.partition(".")
        size = told.get(f"{group}.size")
        if field == "size":
            if not 0 < value <= _LARGEST.get(group, _LARGEST_OTHER):
                raise BadOffsets(f"{name} is {value}")
        elif size is not None and not field.endswith("_size") and value > size:
            raise BadOffsets(f"{name} is {value}, in a struct of {size} bytes")
    for name, value in _FIXED.items():
        if told[name] != value:
            raise BadOffsets(f"{name} is {told[name]}")
    if f"{_SUPPORT}eval_breaker" in told:
        _check_support(told)


def _check_support(told: dict[str, int]) -> None:
    """What a writer goes by is checked the more: eval_breaker, the flag, the path, all whole."""
    thread, size = told["thread_state.size"], told[f"{_SUPPORT}debugger_script_path_size"]
    support = told[f"{_SUPPORT}remote_debugger_support"]
    if size != 512:
        raise BadOffsets(f"a script path of {size} bytes")
    for field, width, base in (
        ("eval_breaker", 8, 0),
        ("debugger_pending_call", 4, support),
        ("debugger_script_path", size, support),
    ):
        if base + told[_SUPPORT + field] + width > thread:
            raise BadOffsets(f"{field} lies outside its thread")
    if told[f"{_SUPPORT}remote_debugging_enabled"] + 4 > told["interpreter_state.size"]:
        raise BadOffsets("remote_debugging_enabled lies outside its interpreter")


def _parsed(text: str) -> tuple[str, ...]:
    group, names = "", []
    for word in text.split():
        if word.endswith(":"):
            group = word[:-1]
        else:
            names.append(f"{group}.{word}")
    return tuple(names)


_GROUPS = {(3, 13): _GROUPS_3_13, (3, 14): _GROUPS_3_14, (3, 15): _GROUPS_3_15}


@functools.cache
def _names(version: tuple[int, int]) -> tuple[str, ...]:
    return _parsed(_GROUPS[version])


@functools.cache
def _table(minor: int) -> dict[str, int]:
    text = (_FOLDER / f"cpython-3.{minor}.json").read_text(encoding="utf-8")
    table: dict[str, int] = json.loads(text)
    return table
