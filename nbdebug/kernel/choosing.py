"""Which session a magic speaks to: the current one, or the one that `--pid` names.

Owns the grammar of `--pid`. Run on the thread that runs the cell.
"""

import re

from nbdebug import errors
from nbdebug.dap import sessions
from nbdebug.dap.remote import RemoteSession

_PID = re.compile(r"(?:^|(?<=\s))--pid(?:=|\s+|$)(\S*)\s*")


class BadPid(errors.UsageError):
    """A `--pid` that isn't followed by a number."""

    advice = "Write `--pid 4711`; `%session` shows the pids."


def chosen(line: str) -> tuple[str, RemoteSession | None]:
    """Return a magic's line without `--pid`, and the session that it is for: None is the kernel's.

    Raises NoSession, UsageError.
    """
    for match in _PID.finditer(line):
        before = line[: match.start()]
        if before.count("'") % 2 or before.count('"') % 2:
            continue  # it stands in a condition's text
        if not match[1].isdigit():
            raise BadPid(f"`--pid` needs the number of a process, and was given `{match[1]}`.")
        session = sessions.here.of_pid(int(match[1]))
        return (before + line[match.end() :]).strip(), session
    return line, sessions.here.current
