"""nbdebug: a debugger for notebooks, inside the kernel.

`%load_ext nbdebug` in a notebook puts it behind JupyterLab's debugger panel. Importing this package
imports nothing else: what it offers is imported when it is used.
"""

import sys
from typing import TYPE_CHECKING, Any

from nbdebug._version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from nbdebug.api.asynchronous import AsyncSession
    from nbdebug.api.attaching import attach_package as attach
    from nbdebug.api.launching import LaunchedSession
    from nbdebug.api.session import Session
    from nbdebug.dap.listening import Listening
    from nbdebug.dap.watching import WatchHandle
    from nbdebug.kernel.processes import ProcessTable

__all__ = [
    "__version__",
    "aconnect",
    "attach",
    "breakpoint",
    "connect",
    "launch",
    "listen",
    "load_ipython_extension",
    "processes",
    "unload_ipython_extension",
    "watch",
]


def listen(
    address: "str | tuple[str, int]" = "127.0.0.1:0",
    *,
    token: str | None = None,
    auth: bool = True,
    wait: bool = False,
) -> "Listening":
    """Let one debug client at a time (VS Code, Neovim, any that speaks DAP) debug this process.

    ``address`` is ``(host, port)``, ``"HOST:PORT"``, where port 0 takes a free one, or
    ``"unix:PATH"``. A client on HOST:PORT must send a token, ``.token`` of what is returned, when
    it attaches; ``auth=False``, for 127.0.0.1 only, lets every program of this machine in. With
    ``wait`` it returns when a client is there. In a kernel with nbdebug loaded the client uses the
    notebook's debugger, while JupyterLab doesn't.
    """
    from nbdebug.dap import listening

    return listening.listen(address, token=token, auth=auth, wait=wait)


def connect(
    target: Any,
    *,
    token: str | None = None,
    just_my_code: bool | None = None,
    timeout_s: float = 30.0,
) -> "Session":
    """Debug a kernel or a script from this program: return a session, attached.

    ``target`` is a kernel, as its connection file, a jupyter_client KernelClient or KernelManager;
    or the address of a script under `python -m nbdebug --listen`, or of what called
    `nbdebug.listen()`, with its ``token``. In a kernel nbdebug is loaded if it isn't. No request
    takes longer than ``timeout_s``.

    Raises ClientBusy if another front end debugs it, AuthRequired, ConnectionLost, BadAddress,
    NotSupported where the kernel hasn't nbdebug installed.
    """
    from nbdebug.api import connecting

    return connecting.connect(target, token=token, just_my_code=just_my_code, timeout_s=timeout_s)


async def aconnect(
    target: Any,
    *,
    token: str | None = None,
    just_my_code: bool | None = None,
    timeout_s: float = 30.0,
) -> "AsyncSession":
    """Do what `connect` does, for asyncio: the session's methods are awaited."""
    from nbdebug.api import asynchronous

    return await asynchronous.connect(
        target, token=token, just_my_code=just_my_code, timeout_s=timeout_s
    )


def __getattr__(name: str) -> Any:
    # The package of this name can be called: importing a part of it mustn't hide the function.
    if name == "attach":
        import importlib

        return importlib.import_module("nbdebug.attach")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def launch(
    args: "Sequence[str]",
    *,
    stop_on_entry: bool = False,
    breakpoints: "Iterable[str | tuple[str, int]]" = (),
    watches: "Iterable[str]" = (),
    cwd: "str | os.PathLike[str] | None" = None,
    env: "Mapping[str, str] | None" = None,
    python: str | None = None,
    follow_children: bool | None = None,
    timeout_s: float = 30.0,
) -> "LaunchedSession":
    """Start a Python program under the debugger: return a session with it, while it runs.

    ``args`` is what stands behind ``python`` on a command line: ``["train.py", "--fast"]``,
    ``["-m", "pkg", ...]``. Breakpoints are written as `%bp` has them, or as ``(path, line)``;
    watches as `%watch` has them; those that the notebook has in files hold too. ``python`` names
    another interpreter, ``env`` its whole environment. ``follow_children``: its child processes
    are sessions too; what is done in a kernel with nbdebug. It is to begin within ``timeout_s``.
    Its stdin is empty. It ends with this process, and with the ``with`` block, unless `.detach()`
    lets it go.

    Raises CannotLaunch, LaunchFailed, and what a breakpoint or watch is refused with.
    """
    from nbdebug.api import launching

    return launching.launch(
        args,
        stop_on_entry=stop_on_entry,
        breakpoints=breakpoints,
        watches=watches,
        cwd=cwd,
        env=env,
        python=python,
        follow_children=follow_children,
        timeout_s=timeout_s,
    )


def watch(text: str, **options: "Any") -> "WatchHandle":
    """Watch a variable, attribute or item: return what has its history.

    ``text`` is what the name means in the caller: ``x``, ``obj.attr``, ``d['k']``, ``arr[1:5]``,
    ``func:local``. A change is told on stderr, stops where a debug client is attached, or calls
    ``call(event)``. Options: ``condition`` (of ``old`` and ``new``), ``on`` ("change", "write",
    "delete", "read"), ``action`` ("auto", "stop", "log", "raise", "call"), ``call``, ``hits``
    (">=5"), ``once``, ``thread``, ``keep`` (events), ``stack``, ``pending``, ``way`` ("auto",
    "exact", "sites", "lines"). With ``with`` it ends with the block, as a decorator it watches
    while the function runs.

    Raises NotWatchable, UnknownVariable, BadWatch, BadCondition, BadHitCondition, NoToolId.
    """
    from nbdebug.dap import watching

    return watching.watch(text, sys._getframe(1), **options)


def breakpoint() -> None:  # noqa: A001  # as the builtin, which it is like
    """Stop in the caller if a debug client is there to let it run on; otherwise do nothing.

    In a kernel with nbdebug loaded it does what the built-in `breakpoint()` does there.
    """
    from nbdebug.dap import listening

    listening.stop_in(sys._getframe(1))


def processes(*, details: bool = False) -> "ProcessTable":
    """Return every Python process of this machine, the latest started first.

    Each says what it runs, which Python and virtual environment, whether it is a notebook's kernel,
    and whether it can be attached to, or why not. ``details`` also looks into the memory of each,
    without running anything there. It is a sequence, which a notebook shows as a table.

    Raises NoWayHere on a system without /proc.
    """
    from nbdebug.attach import processes as found
    from nbdebug.kernel.processes import ProcessTable

    return ProcessTable(found.processes(details=details))


def load_ipython_extension(ipython: Any) -> None:
    """Put nbdebug into this kernel: `%load_ext nbdebug`."""
    from nbdebug.kernel import extension

    extension.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Give the kernel back as it was: `%unload_ext nbdebug`."""
    from nbdebug.kernel import extension

    extension.unload(ipython)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "nbdebug"}]
