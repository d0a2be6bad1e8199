"""Every Python process of this machine: what it runs, and whether and how it can be attached to.

Owns the list, and which process a name means. Goes by /proc and by the program files, which need
no right to look into a process; only ``details`` are read from the processes' memory. On systems
without /proc there is no list: there a process is named by its pid.
Thread rule: everything here may be called from any thread.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from . import errors, locking, offsets, policy, runtime
from .binaries import NOTHING, Binary, binary_of
from .contents import Contents
from .memory import Memory, Unreadable
from .objects import Objects
from .policy import Level
from .writer import traced

type Access = Literal["attach", "legacy", "inspect", "none"]

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_KERNELS = ("ipykernel", "ipykernel_launcher", "nbdebug", "colab_kernel_launcher", "xpython")
_MOST = 10_000
_NAMED = re.compile(r"(python[\d.]*|pypy[\d.]*)$")


@dataclass(frozen=True, slots=True)
class Kernel:
    """That a process is a Jupyter kernel, and of what."""

    connection_file: str
    notebook: str  # its path, as the server that started it told; "" where it told nothing


@dataclass(frozen=True, slots=True)
class Details:
    """What a process's memory tells of it."""

    prefix: str  # sys.prefix
    base_prefix: str
    modules: int  # how many are loaded
    is_enabled: bool | None  # whether remote debugging is on; None before 3.14


@dataclass(frozen=True, slots=True)
class PythonProcess:
    """One process; ``access`` is the most that can be done to it, ``why`` why that isn't all."""

    pid: int
    parent: int
    user: str
    version: str  # "3.14.8"; "" where it can't be told
    build: str  # "", "free-threaded", "shared library" ...
    executable: str
    command: tuple[str, ...]
    environment: str  # the folder of its virtual environment, or ""
    threads: int
    memory_bytes: int  # resident
    age_s: float
    state: str  # as /proc has it: R, S, T ...
    kernel: Kernel | None
    access: Access
    why: str = ""
    advice: str = ""
    slug: str = ""  # of the error that an attach would give
    details: Details | None = None

    @property
    def title(self) -> str:
        """What it runs, in short: a kernel's notebook, or the program and its arguments."""
        if self.kernel is not None:
            notebook = os.path.basename(self.kernel.notebook)
            return f"kernel of {notebook}" if notebook else "kernel"
        return " ".join(_program(self.command)) or os.path.basename(self.executable)


def processes(*, details: bool = False) -> list[PythonProcess]:
    """Return all Python processes that are to be seen, the latest started first.

    ``details`` also looks into the memory of each where that is allowed, and runs nothing there.

    Raises:
        NoWayHere: this system has no list.
    """
    if not os.path.isdir("/proc/self"):
        why = "processes are listed from /proc, which this system hasn't; name one by its pid"
        raise errors.NoWayHere.of(0, why=why)
    look = _Look(details)
    found = [one for pid in _pids() if (one := look.at(pid)) is not None]
    return sorted(found, key=lambda one: one.age_s)


def find_all(texts: Sequence[str], *, details: bool = False) -> list[PythonProcess]:
    """Return the processes whose command, notebook, user, version or pid has each of these texts.

    Raises:
        NoWayHere: this system has no list.
    """
    found = processes(details=details)
    return [one for one in found if all(_has(one, text.lower()) for text in texts)]


def _has(one: PythonProcess, text: str) -> bool:
    notebook = one.kernel.notebook if one.kernel is not None else ""
    places = (str(one.pid), one.user, one.version, notebook, *one.command)
    return any(text in place.lower() for place in places)


def find(name: str) -> int:
    """Return the process that a pid, a notebook's path, or a part of a command means.

    Raises:
        NoSuchTarget, AmbiguousTarget: none fits, or several do.
        BadTarget: nothing is named.
    """
    name = name.strip()
    if name.isdecimal():
        return int(name)
    if not name:
        raise errors.BadTarget.of(0, name=name)
    others = [one for one in processes() if one.pid != os.getpid()]
    for fits in (_is_notebook, _is_program, _is_in_command):
        pids = sorted(one.pid for one in others if fits(one, name))
        if len(pids) == 1:
            return pids[0]
        if pids:
            raise errors.AmbiguousTarget.of(0, name=name, found=", ".join(map(str, pids)))
    raise errors.NoSuchTarget.of(0, name=name)


def _is_notebook(one: PythonProcess, name: str) -> bool:
    if one.kernel is None or not one.kernel.notebook:
        return False
    path = one.kernel.notebook
    return name in (
        path,
        os.path.basename(path),
        os.path.basename(path).removesuffix(".ipynb"),
    ) or (os.path.realpath(name) == os.path.realpath(path))


def _is_program(one: PythonProcess, name: str) -> bool:
    program = _program(one.command)
    return bool(program) and name in (program[0], os.path.basename(program[0]))


def _is_in_command(one: PythonProcess, name: str) -> bool:
    return name in " ".join(one.command)


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            yield int(name)


@dataclass(slots=True)
class _Seen:
    """What /proc says of one process, while it is being looked at."""

    pid: int
    command: tuple[str, ...]
    executable: str
    binary: Binary
    library: str
    fields: list[str]  # of /proc/PID/stat, from the state on
    folder: os.stat_result  # of /proc/PID
    environ: str | None  # None where we may not look

    @property
    def state(self) -> str:
        return self.fields[0]

    @property
    def parent(self) -> int:
        return int(self.fields[1])

    @property
    def started(self) -> int:
        """In clock ticks since boot: with the pid it tells one process from any other."""
        return int(self.fields[19])

    def variable(self, name: str) -> str:
        """Return a variable of the environment that it was started with, or ""."""
        _, found, rest = f"\0{self.environ or ''}".partition(f"\0{name}=")
        return rest.partition("\0")[0] if found else ""


class _Look:
    """One pass over all processes; what is the same for all is asked once."""

    def __init__(self, details: bool) -> None:
        self._details = details
        self._me = os.geteuid()
        self._users: dict[int, str] = {}
        self._uptime_s = float(_read("/proc/uptime").split()[0])
        self._holders = locking.holders()

    @cached_property
    def _scope(self) -> int:
        return policy.yama_scope()

    def at(self, pid: int) -> PythonProcess | None:
        """Return the process if it is a Python."""
        try:
            seen = self._see(pid)
            return self._tell(seen) if seen is not None else None
        except (OSError, LookupError, ValueError):
            return None  # it has ended meanwhile

    def _see(self, pid: int) -> _Seen | None:
        path = f"/proc/{pid}/exe"
        binary: Binary | None = None
        executable = ""
        try:
            binary, executable = binary_of(path), os.readlink(path)
        except OSError:
            pass
        if binary == NOTHING:
            return None
        command = tuple(_read(f"/proc/{pid}/cmdline").split("\0")[:-1])
        if not command:
            return None  # of the kernel, or ended
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        library = ""
        if binary is None:  # another user's: its command is all there is
            if not _NAMED.match(os.path.basename(command[0])):
                return None
            binary = Binary(is_python=True)
        elif binary.needs_library:
            library, binary = _library_of(pid, fields[19])
            if binary == NOTHING:
                return None
        try:
            environ = _read(f"/proc/{pid}/environ")
        except OSError:
            environ = None
        folder = os.stat(f"/proc/{pid}")
        return _Seen(pid, command, executable, binary, library, fields, folder, environ)

    def _tell(self, seen: _Seen) -> PythonProcess:
        problem = self._problem(seen)
        details = None
        if self._details and seen.environ is not None:
            details = details_of(seen.pid, seen.started)
            if details is not None and details.is_enabled is False and problem is None:
                problem = policy.disabled(seen.pid)
        environment = _environment(seen)
        if details is not None and details.prefix != details.base_prefix:
            environment = details.prefix
        release = seen.binary.release
        return PythonProcess(
            pid=seen.pid,
            parent=seen.parent,
            user=self._user(seen.folder.st_uid),
            version=release,
            build=_build(seen),
            executable=seen.executable,
            command=seen.command,
            environment=environment,
            threads=int(seen.fields[17]),
            memory_bytes=int(seen.fields[21]) * _PAGE,
            age_s=max(0.0, self._uptime_s - seen.started / _TICKS),
            state=seen.state,
            kernel=_kernel(seen),
            access=_access(problem, _minor(release)),
            why=str(problem) if problem is not None else "",
            advice=problem.advice if problem is not None else "",
            slug=problem.slug if problem is not None else "",
            details=details,
        )

    def _user(self, uid: int) -> str:
        if uid not in self._users:
            self._users[uid] = policy.name_of(uid)
        return self._users[uid]

    def _problem(self, seen: _Seen) -> errors.AttachError | None:
        """Return what an attach would say, as far as it can be told without one."""
        pid, version = seen.pid, _minor(seen.binary.release)
        if pid == os.getpid():
            return errors.ThisProcess.of(pid)
        if seen.environ is None or self._is_yamas(seen):
            return policy.no_permission(pid)
        if seen.state in "Tt":
            return traced(pid) if seen.state == "t" else errors.TargetStopped.of(pid)
        if seen.binary.is_free_threaded:
            return errors.FreeThreaded.of(pid, version=seen.binary.release)
        if version not in offsets.KNOWN:
            return offsets.unknown(pid, seen.binary.release or "of an unknown version")
        refusal = policy.refusal_in(pid, seen.command, seen.environ)
        if refusal is not None:
            return refusal
        if self._holders:
            holder = self._holders.get(seen.folder.st_ino)
            if holder == os.getpid():
                return errors.AlreadyAttached.of(pid)
            if holder is not None:
                return errors.AttachedByOther.of(pid, holder=holder)
        if version < (3, 14):
            return errors.PythonTooOld.of(pid, version=seen.binary.release)
        return self._forbidden(pid)

    def _forbidden(self, pid: int) -> errors.AttachError | None:
        try:
            policy.require(Level.SAFE, pid)
        except errors.NotAllowed as error:
            return error
        return None

    def _is_yamas(self, seen: _Seen) -> bool:
        """Whether yama keeps us out of what we may otherwise see."""
        return self._scope > 0 and self._me != 0 and seen.parent != os.getpid()


_prefixes: dict[tuple[int, int], tuple[str, str]] = {}


def details_of(pid: int, started: int) -> Details | None:
    """Return what a process's memory tells; None where that can't be had."""
    memory = Memory(pid)
    try:
        found = runtime.locate(memory)
        interpreter = found.main_interpreter(memory)
        known = found.offsets
        objects = Objects(memory, known)
        contents = Contents(objects)
        prefixes = _prefixes.get((pid, started))
        if prefixes is None:
            at = memory.word(interpreter + known["interpreter_state.sysdict"])
            items = dict(contents.named_items(at))
            prefixes = objects.text(items["prefix"]), objects.text(items["base_prefix"])
            if len(_prefixes) > _MOST:
                _prefixes.clear()
            _prefixes[pid, started] = prefixes
        modules = contents.dict_size(
            memory.word(interpreter + known["interpreter_state.imports_modules"])
        )
        enabled = known.get("debugger_support.remote_debugging_enabled")
        is_enabled = memory.int32(interpreter + enabled) == 1 if enabled is not None else None
    except (errors.AttachError, Unreadable, KeyError):
        return None
    finally:
        memory.close()
    return Details(*prefixes, modules, is_enabled)


def _access(problem: errors.AttachError | None, version: tuple[int, int]) -> Access:
    if problem is None:
        return "attach"
    if isinstance(problem, errors.PythonTooOld) and version >= (3, 8):
        return "legacy"
    none = errors.ThisProcess, errors.NoPermission, errors.FreeThreaded, errors.UnknownVersion
    return "none" if isinstance(problem, none) else "inspect"


def _minor(release: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _build(seen: _Seen) -> str:
    words = []
    if seen.binary.is_free_threaded:
        words.append("free-threaded")
    if seen.library:
        words.append("shared library")
    if seen.executable.endswith(" (deleted)"):
        words.append("replaced on disk")
    return ", ".join(words)


_libraries: dict[tuple[int, str], str] = {}


def _library_of(pid: int, started: str) -> tuple[str, Binary]:
    """Return the libpython that a process has loaded, and what it is."""
    path = _libraries.get((pid, started))
    if path is None:
        maps = _read(f"/proc/{pid}/maps")
        at = maps.find("/libpython")
        path = (
            maps[maps.index("/", maps.rfind("\n", 0, at)) : maps.index("\n", at)] if at > 0 else ""
        )
        if len(_libraries) > _MOST:
            _libraries.clear()
        _libraries[pid, started] = path
    for place in (f"/proc/{pid}/root{path}", path) if path else ():
        try:
            found = binary_of(place)
        except OSError:
            continue
        if found.is_python:
            return path, found
    return "", NOTHING


def _environment(seen: _Seen) -> str:
    """Return the virtual environment that the program was started from, or is told to be in."""
    first = seen.command[0]
    if "/" in first:
        folder = os.path.dirname(os.path.dirname(first))
        if not os.path.isabs(folder):
            folder = os.path.normpath(os.path.join(os.readlink(f"/proc/{seen.pid}/cwd"), folder))
        if os.path.exists(os.path.join(folder, "pyvenv.cfg")):
            return folder
    return seen.variable("VIRTUAL_ENV") or seen.variable("CONDA_PREFIX")


def _kernel(seen: _Seen) -> Kernel | None:
    command = seen.command
    if not any(name in word for word in command[1:6] for name in _KERNELS):
        return None
    for at, word in enumerate(command):
        path = ""
        if word in ("-f", "--connection-file") and at + 1 < len(command):
            path = command[at + 1]
        elif word.startswith(("-f=", "--f=", "--IPKernelApp.connection_file=")):
            path = word.partition("=")[2]
        if path.endswith(".json"):
            return Kernel(path, seen.variable("JPY_SESSION_NAME"))
    return None


def _program(command: Sequence[str]) -> list[str]:
    """Return a command from its script or module on: without the interpreter and its options."""
    at = 1
    while at < len(command):
        word = command[at]
        if word in ("-m", "-c"):
            return list(command[at:])
        if word in ("-X", "-W"):
            at += 2
        elif word.startswith("-") and len(word) > 1:
            if re.fullmatch(r"-[A-Za-z]*[mc]", word):
                return list(command[at:])
            at += 1
        else:
            return list(command[at:])
    return []


def _read(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return (file.readall() or b"").decode("utf-8", "replace")


def as_json(one: PythonProcess) -> dict[str, object]:
    """Return a process as plain values, for JSON."""
    return asdict(one) | {"title": one.title}
