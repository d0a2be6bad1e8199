"""Who may do what to which process: this kernel's limits, the program's wishes, the system's rules.

Owns NBDEBUG_ATTACH and its trait, the audit events, and the reasons for which a system or a
program says no; looks only into /proc, never into a process's memory.
Thread rule: everything here may be called from any thread.
"""

import enum
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbdebug.errors import UsageError

from . import errors, records

VARIABLE = "NBDEBUG_ATTACH"
TRAIT = "c.Nbdebug.attach"
_SYS_PTRACE = 19  # CAP_SYS_PTRACE
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_YAMA_MEANS = {
    1: "a process may look only into its own children",
    2: "only root may look into other processes",
    3: "nobody may look into other processes until the next boot",
}
_YAMA_FIXES = {
    1: (
        "Until the next boot: `sudo sysctl kernel.yama.ptrace_scope=0`. Or attach as root: `sudo "
        "python -m nbdebug attach {pid}`. Or start the program as a child: `%debug_script`."
    ),
    2: "Attach as root: `sudo python -m nbdebug attach {pid}`.",
    3: "Set kernel.yama.ptrace_scope to 0 in /etc/sysctl.d, and boot again.",
}


class Level(enum.IntEnum):
    """What may be done to other processes; each includes those before it."""

    OFF = 0
    INSPECT = 1
    SAFE = 2
    LEGACY = 3


_configured = Level.LEGACY


def configure(level: str) -> None:
    """Set the trait's limit: one of the names of ``Level``, in lower case."""
    global _configured  # noqa: PLW0603 - one limit for the process
    try:
        _configured = Level[level.upper()]
    except KeyError:
        names = ", ".join(f"`{one.name.lower()}`" for one in Level)
        raise UsageError(f"{TRAIT} is one of {names}, not `{level}`.") from None


def require(wanted: Level, pid: int) -> None:
    """Raise NotAllowed if this process may not do this; the narrower of both limits counts.

    A word in NBDEBUG_ATTACH that isn't known allows nothing.
    """
    text = os.environ.get(VARIABLE)
    if text is not None and _level_of(text) < wanted:
        raise errors.NotAllowed.of(pid, wanted=wanted.name.lower(), level=text, where=VARIABLE)
    if _configured < wanted:
        level = _configured.name.lower()
        raise errors.NotAllowed.of(pid, wanted=wanted.name.lower(), level=level, where=TRAIT)


def _level_of(text: str) -> Level:
    return Level.__members__.get(text.strip().upper(), Level.OFF)


def audit(event: str, pid: int, **facts: object) -> None:
    """Raise the audit event ``nbdebug.EVENT`` with the pid and the facts, and log it.

    ``event`` is "attach", "detach" or "evaluate". What a hook raises goes to the caller: it is
    how a hook forbids it.
    """
    records.write_log({"event": event, "pid": pid, **facts})
    sys.audit(f"nbdebug.{event}", pid, facts)


# -- what the program wishes


def refusal_of(pid: int) -> errors.RemoteDebugDisabled | None:
    """Return the error for a program that doesn't want to be attached to, None if it says nothing.

    For every version, as far as its command line and its environment tell; whether the
    interpreter itself has it turned off, its memory tells (see ``disabled``).
    """
    command = _text(pid, "cmdline").split("\0")
    return refusal_in(pid, command, _text(pid, "environ"))


def refusal_in(
    pid: int, command: Sequence[str], environ: str | None
) -> errors.RemoteDebugDisabled | None:
    """As ``refusal_of``, of a command and an environment that have been read already."""
    if any("disable-remote-debug" in word for word in command) and _has_flag(command):
        return errors.DisabledByFlag.of(pid)
    if "\0PYTHON_DISABLE_REMOTE_DEBUG=" in f"\0{environ or ''}":
        return errors.DisabledByVariable.of(pid)
    return None


def disabled(pid: int) -> errors.RemoteDebugDisabled:
    """Return the error for an interpreter that has remote debugging turned off: by what."""
    return refusal_of(pid) or errors.DisabledByBuild.of(pid)


_LETTERS = "-[bBdEhiIOPqRsSuvVx?]*"  # options without a value


def _has_flag(words: Sequence[str]) -> bool:
    """Whether the interpreter's own options have ``-X disable-remote-debug``.

    Python ignores the spelling with underscores.
    """
    at = 1
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        match = re.fullmatch(_LETTERS + "X(.*)", word)
        if match:
            value = match[1]
            if not value and at + 1 < len(words):
                at += 1
                value = words[at]
            if value.partition("=")[0] == "disable-remote-debug":
                return True
        elif re.fullmatch(_LETTERS + "[cm].*", word) or word in ("-", "--"):
            return False
        elif re.fullmatch(_LETTERS + "W", word):
            at += 1
        at += 1
    return False


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


# -- what the system allows


@dataclass(frozen=True, slots=True)
class _Side:
    """What the rules go by, of one process."""

    uids: tuple[int, ...]  # real, effective, saved
    capabilities: int  # effective
    pid_namespaces: int  # how deep it lies

    @property
    def may_trace(self) -> bool:
        return bool(self.capabilities >> _SYS_PTRACE & 1)


def _side(pid: int | str) -> _Side | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    uids = tuple(map(int, fields["Uid"].split()[:3]))
    return _Side(uids, int(fields["CapEff"], 16), len(fields.get("NSpid", "0").split()))


def yama_scope() -> int:
    """Return kernel.yama.ptrace_scope; 0 where there is no yama."""
    try:
        return int(_YAMA.read_text())
    except (OSError, ValueError):
        return 0


def no_permission(pid: int) -> errors.NoPermission:
    """Return the error for a process that the system doesn't let us look into: why, and the fix."""
    ours, theirs = _side("self"), _side(pid)
    if ours is None or theirs is None:
        return errors.NoPermission.of(pid, why="the process isn't to be seen")
    scope = yama_scope()
    me = os.geteuid()
    if theirs.uids != (me,) * 3 and not ours.may_trace:
        if me == 0:
            why = "this one is root, without the capability SYS_PTRACE"
            return errors.InContainer.of(pid, why=why)
        return errors.OtherUser.of(pid, owner=name_of(theirs.uids[0]), user=name_of(me))
    if scope == 3 or (scope and not ours.may_trace):
        fix = _YAMA_FIXES.get(scope, _YAMA_FIXES[2]).format(pid=pid)
        meaning = _YAMA_MEANS.get(scope, "an unknown rule")
        return errors.ForbiddenByYama.of(pid, scope=scope, meaning=meaning, fix_command=fix)
    if _is_protected(pid, theirs) and not ours.may_trace:
        return errors.NotDumpable.of(pid)
    if _namespace("self", "user") != _namespace(pid, "user") or theirs.pid_namespaces > 1:
        why = "it is in another user or pid namespace"
        return errors.InContainer.of(pid, why=why)
    if ours.may_trace or theirs.capabilities & ~ours.capabilities:
        why = "a security module, or a filter on system calls, forbids it"
        return errors.InContainer.of(pid, why=why)
    return errors.NoPermission.of(pid, why="operation not permitted")


def name_of(uid: int) -> str:
    """Return a user's name, or the number where there is none."""
    try:
        import pwd  # Windows has none

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def _is_protected(pid: int, side: _Side) -> bool:
    """The kernel gives the files of what isn't dumpable to root."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid not in side.uids
    except OSError:
        return False


def _namespace(pid: int | str, kind: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return ""
