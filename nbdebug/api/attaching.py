"""`nbdebug.attach()`: a session with a Python process that runs already.

Owns nothing: the attach is attach.attaching's. Called on the program's threads.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from nbdebug.api.session import Session
from nbdebug.attach import attaching, reports
from nbdebug.attach.records import Record
from nbdebug.attach.reports import Report
from nbdebug.attach.waking import Wake
from nbdebug.dap.remote import RemoteSession


class AttachedSession(Session):
    """A session with a process; leaving its block leaves the process as it was, and running."""

    def __init__(self, remote: RemoteSession, timeout_s: float) -> None:
        self.pid: int = remote.pid or 0
        """The process."""
        self.record = remote.record if isinstance(remote, attaching.AttachedSession) else None
        """How the attach went; None where the process is only looked at."""
        super().__init__(remote, None, timeout_s)

    def detach(self) -> None:
        """Leave the process: it runs on, without anything of ours in it."""
        self.close()

    def stacks(self, *, with_locals: bool = False, freeze: bool = False) -> Report:
        """Return the stacks of all threads, read from the process's memory: nothing is run.

        ``with_locals`` adds the variables of each frame; ``freeze`` holds the threads still for the
        milliseconds that it takes.
        """
        return reports.stacks(self.pid, with_locals=with_locals, freeze=freeze)


class Attach(Protocol):
    """What `nbdebug.attach` is: a function, and the package of this name."""

    records: Callable[[], list[Record]]
    """Returns what each attach of this process did, the latest last."""

    def __call__(
        self,
        target: int | str,
        *,
        timeout_s: float = attaching.TIMEOUT_S,
        inspect: bool = False,
        wake: Literal["auto", "never"] = "auto",
        legacy: bool = False,
        just_my_code: bool | None = None,
    ) -> AttachedSession:
        """Attach to a Python process of this machine that runs: return a session with it.

        ``target`` is a pid, or what names one process: a notebook's path, a program's name, a part
        of its command. It may be of another Python version, 3.14 or newer; with ``legacy`` 3.12 and
        3.13 too, by a way that is less safe, and 3.8 to 3.11, where debugpy is put into it and
        stays (a warning says so before). Within ``timeout_s`` the
        debugger is in it, or what was asked for is taken back; ``wake`` says whether a process that
        sleeps is woken for it. With ``inspect`` nothing is ever run in it: its stacks and variables
        are read from its memory. Closing the session leaves the process as it was.

        Raises an AttachError (`nbdebug.attach.errors`), which says what is in the way, and the fix.
        """


if TYPE_CHECKING:
    attach_package: Attach


def attach(
    target: int | str,
    *,
    timeout_s: float = attaching.TIMEOUT_S,
    inspect: bool = False,
    wake: Literal["auto", "never"] = "auto",
    legacy: bool = False,
    just_my_code: bool | None = None,
) -> AttachedSession:
    """Attach to a process; see `nbdebug.attach`."""
    arguments = {} if just_my_code is None else {"justMyCode": just_my_code}
    remote = attaching.open_session(
        target,
        timeout_s=timeout_s,
        inspect=inspect,
        wake=Wake(wake),
        legacy=legacy,
        arguments=arguments,
    )
    return AttachedSession(remote, timeout_s)
