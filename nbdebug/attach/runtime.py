"""Where the Python runtime of another process lies, which version it is, and what hangs from it.

Owns the search: by section of the file, then by dynamic symbol in memory, then by the runtime's
cookie; and what was found, kept by process and checked again before it is used again. Reads only.
Thread rule: everything here may be called from any thread.
"""

import re
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from . import elf, errors, offsets
from .memory import Mapping, Memory, Unreadable, mappings
from .offsets import COOKIE, HEAD_SIZE, Offsets

type How = Literal["section", "dynsym", "cookie"]

_SCAN_LIMIT = 64 << 20  # bytes of one mapping that are searched for the cookie
_MOST_INTERPRETERS = 4096


@dataclass(frozen=True, slots=True)
class Runtime:
    """`_PyRuntime` of a process."""

    pid: int
    started: int  # of the process, in clock ticks since boot: tells a reused pid
    address: int
    how: How
    module: str  # the file that holds it
    offsets: Offsets
    head: bytes  # what was read at the address: the debug offsets, or nothing for 3.12 and older
    found_at: float  # time.monotonic()
    cached: bool = False
    phases: dict[str, float] = field(default_factory=dict)  # "locate", "offsets": in seconds

    @property
    def version(self) -> tuple[int, int]:
        return self.offsets.version

    @property
    def release(self) -> str:
        return self.offsets.release

    @property
    def age_s(self) -> float:
        """How long ago it was found."""
        return time.monotonic() - self.found_at

    def is_finalizing(self, memory: Memory) -> bool:
        return bool(memory.word(self.address + self.offsets["runtime_state.finalizing"]))

    def interpreters(self, memory: Memory) -> list[int]:
        """Return the addresses of all interpreters, the newest first and the main one last."""
        found: list[int] = []
        at = memory.word(self.address + self.offsets["runtime_state.interpreters_head"])
        while at:
            if at in found or len(found) > _MOST_INTERPRETERS:
                raise errors.MemoryInconsistent.of(self.pid, what="an endless interpreter list")
            found.append(at)
            at = memory.word(at + self.offsets["interpreter_state.next"])
        return found

    def interpreter_id(self, memory: Memory, interpreter: int) -> int:
        return memory.word(interpreter + self.offsets["interpreter_state.id"])

    def main_interpreter(self, memory: Memory) -> int:
        """Return the interpreter with the id 0.

        Raises:
            TargetStarting: there is none yet. TargetExiting: there is none any more.
        """
        for interpreter in self.interpreters(memory):
            if self.interpreter_id(memory, interpreter) == 0:
                return interpreter
        if self.is_finalizing(memory):
            raise errors.TargetExiting.of(self.pid)
        raise errors.TargetStarting.of(self.pid)


@dataclass(frozen=True, slots=True)
class Site:
    """What a writer of a request needs to know of the main thread of interpreter 0; addresses."""

    interpreter: int
    thread: int  # its PyThreadState
    eval_breaker: int
    pending: int  # a 32-bit flag
    script_path: int
    script_path_size: int  # bytes, with the NUL at its end
    is_enabled: bool  # remote_debugging_enabled
    is_finalizing: bool


def site(memory: Memory, runtime: Runtime) -> Site:
    """Return where a request is written, for 3.14 and newer.

    Raises:
        PythonTooOld: the version has no such place.
        TargetStarting, TargetExiting: there is no main thread yet, or any more.
        MemoryInconsistent: the thread isn't its interpreter's.
    """
    known = runtime.offsets
    if "debugger_support.eval_breaker" not in known:
        raise errors.PythonTooOld.of(runtime.pid, version=runtime.release)
    interpreter = runtime.main_interpreter(memory)
    thread = memory.word(interpreter + known["interpreter_state.threads_main"])
    is_finalizing = runtime.is_finalizing(memory)
    if not thread:
        if is_finalizing:
            raise errors.TargetExiting.of(runtime.pid)
        raise errors.TargetStarting.of(runtime.pid)
    if memory.word(thread + known["thread_state.interp"]) != interpreter:
        raise errors.MemoryInconsistent.of(runtime.pid, what="its main thread is no thread")
    support = thread + known["debugger_support.remote_debugger_support"]
    enabled = interpreter + known["debugger_support.remote_debugging_enabled"]
    return Site(
        interpreter=interpreter,
        thread=thread,
        eval_breaker=thread + known["debugger_support.eval_breaker"],
        pending=support + known["debugger_support.debugger_pending_call"],
        script_path=support + known["debugger_support.debugger_script_path"],
        script_path_size=known["debugger_support.debugger_script_path_size"],
        is_enabled=memory.int32(enabled) == 1,
        is_finalizing=is_finalizing,
    )


_found: dict[int, Runtime] = {}


def locate(memory: Memory, *, use_cache: bool = True) -> Runtime:
    """Find the runtime of a process.

    Raises:
        NoSuchProcess, TargetZombie, NoPermission, NotPython: there is none to be had.
        UnknownVersion, FreeThreaded: it isn't understood.
    """
    began = time.perf_counter()
    pid = memory.pid
    started = start_of(pid)
    known = _found.get(pid)
    if known is not None and use_cache and _still_is(known, memory, started):
        return replace(
            known, cached=True, phases={"locate": time.perf_counter() - began, "offsets": 0.0}
        )
    address, how, mapping = _search(memory)
    located = time.perf_counter()
    head = memory.read(address, HEAD_SIZE)
    if head.startswith(COOKIE):
        layout = offsets.told_by(head, pid)
    else:
        layout, head = _old_layout(memory, mapping), b""
    phases = {"locate": located - began, "offsets": time.perf_counter() - located}
    runtime = Runtime(
        pid, started, address, how, mapping.path, layout, head, time.monotonic(), phases=phases
    )
    if len(_found) > 1000:
        _found.clear()
    _found[pid] = runtime
    return runtime


def forget(pid: int) -> None:
    """Search anew at the next ``locate``."""
    _found.pop(pid, None)


def start_of(pid: int) -> int:
    """Return when a process was started, in clock ticks since boot.

    Raises:
        NoSuchProcess, TargetZombie: it isn't there, or has ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise errors.NoSuchProcess.of(pid) from None
    state, parent, *rest = text[text.rindex(")") + 2 :].split()
    if state in "ZX":
        raise errors.TargetZombie.of(pid, parent=parent)
    return int(rest[17])


def _still_is(known: Runtime, memory: Memory, started: int) -> bool:
    """After an exec the same process has another runtime, mostly elsewhere."""
    if known.started != started:
        return False
    try:
        if known.head:
            return memory.read(known.address, len(known.head)) == known.head
        return _leads_to_interpreters(memory, known.address, known.offsets)
    except Unreadable:
        return False


def _search(memory: Memory) -> tuple[int, How, Mapping]:
    pid = memory.pid
    found = mappings(pid)
    modules = _candidates(pid, found)
    _ask_permission(memory, found)
    for by in (_by_section, _by_symbol):
        for mapping in modules:
            address = by(memory, mapping)
            if address is not None:
                how: How = "section" if by is _by_section else "dynsym"
                return address, how, mapping
    for mapping in found:
        address = _by_cookie(memory, mapping)
        if address is not None:
            return address, "cookie", mapping
    raise errors.NotPython.of(pid, command=_command(pid))


def _ask_permission(memory: Memory, found: list[Mapping]) -> None:
    """Read something, which says at once if it isn't allowed. Raises NoPermission."""
    try:
        if found:
            memory.read(found[0].start, 8)
    except Unreadable:
        pass  # it is allowed, and this page has no content


def _candidates(pid: int, found: list[Mapping]) -> list[Mapping]:
    """The modules that could hold the runtime: the program, then what is named for Python."""
    try:
        program = str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        program = ""
    first: dict[str, Mapping] = {}
    for mapping in found:
        if mapping.offset == 0 and mapping.path.startswith("/"):
            first.setdefault(mapping.path, mapping)
    likely = [m for m in first.values() if m.path == program or "python" in Path(m.path).name]
    return sorted(likely, key=lambda m: (m.path != program, "libpython" not in m.path))


def _by_section(memory: Memory, mapping: Mapping) -> int | None:
    pid = memory.pid
    for path in (Path(f"/proc/{pid}/root{mapping.path}"), Path(f"/proc/{pid}/exe")):
        try:
            section = elf.section(path, ".PyRuntime")
        except (OSError, elf.NotElf, struct.error):
            continue
        if section is not None:
            address = mapping.start + section.address - section.first
            if _is_runtime(memory, address):
                return address
        if path.name != "exe":
            return None
    return None


def _by_symbol(memory: Memory, mapping: Mapping) -> int | None:
    try:
        address = elf.symbols(memory, mapping.start, ["_PyRuntime"]).get("_PyRuntime")
    except (Unreadable, elf.NotElf, struct.error):
        return None
    return address if address is not None and _is_runtime(memory, address) else None


def _by_cookie(memory: Memory, mapping: Mapping) -> int | None:
    size = mapping.end - mapping.start
    if not mapping.access.startswith("rw") or not mapping.path.startswith("/"):
        return None
    if size > _SCAN_LIMIT:
        return None
    try:
        data = memory.read(mapping.start, size)
    except Unreadable:
        return None
    for match in re.finditer(re.escape(COOKIE), data):
        at = match.start()
        # A copy of the word may lie anywhere; the runtime is aligned, and 3.x.
        if at % 8 == 0 and data[at + 11 : at + 16] == b"\x03\0\0\0\0":
            return mapping.start + at
    return None


def _is_runtime(memory: Memory, address: int) -> bool:
    """Before 3.13 nothing marks a runtime: it is believed, and its version looked for."""
    try:
        return bool(memory.read(address, HEAD_SIZE))
    except Unreadable:
        return False


def _old_layout(memory: Memory, mapping: Mapping) -> Offsets:
    version, release = _old_version(memory, mapping)
    return offsets.from_table(version, release, memory.pid)


def _old_version(memory: Memory, mapping: Mapping) -> tuple[tuple[int, int], str]:
    """Return the version of 3.12 and older: from `Py_Version` (3.11 on), else from file names."""
    try:
        at = elf.symbols(memory, mapping.start, ["Py_Version"]).get("Py_Version")
        if at is not None:
            hexversion = memory.word(at)
            return offsets.version_of(hexversion), offsets.release_of(hexversion)
    except (Unreadable, elf.NotElf, struct.error):
        pass
    for path in (mapping.path, *_paths(memory.pid)):
        match = re.search(r"python(3)\.(\d+)", path)
        if match:
            return (3, int(match[2])), f"3.{match[2]}"
    raise offsets.unknown(memory.pid, "of an unknown version")


def _paths(pid: int) -> Iterator[str]:
    for mapping in mappings(pid):
        if mapping.path.startswith("/"):
            yield mapping.path


def _leads_to_interpreters(memory: Memory, address: int, known: Offsets) -> bool:
    """Whether the first interpreter's first thread says that it is of that interpreter."""
    interpreter = memory.word(address + known["runtime_state.interpreters_head"])
    thread = memory.word(interpreter + known["interpreter_state.threads_head"])
    return memory.word(thread + known["thread_state.interp"]) == interpreter


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "?"
