"""nbdebug: a debugger for notebooks, inside the kernel.

`%load_ext nbdebug` in a notebook puts it behind JupyterLab's debugger panel. Importing this package
imports nothing else: what it offers is imported when it is used.
"""

import sys
from typing import TYPE_CHECKING, Any

from nbdebug._version import __version__

if TYPE_CHECKING:
    from nbdebug.dap.listening import Listening

__all__ = [
    "__version__",
    "breakpoint",
    "listen",
    "load_ipython_extension",
    "unload_ipython_extension",
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


def breakpoint() -> None:  # noqa: A001  # as the builtin, which it is like
    """Stop in the caller if a debug client is there to let it run on; otherwise do nothing.

    In a kernel with nbdebug loaded it does what the built-in `breakpoint()` does there.
    """
    from nbdebug.dap import listening

    listening.stop_in(sys._getframe(1))


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
