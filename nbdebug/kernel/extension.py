"""`%load_ext nbdebug` and `%unload_ext nbdebug`.

Owns nothing: it joins the debugger and the magics, and says plainly why it can't.
"""

from typing import Any

from nbdebug import errors
from nbdebug.kernel.attach_magics import AttachMagics
from nbdebug.kernel.debugger import KernelDebugger, debugger_of
from nbdebug.kernel.magics import NbdebugMagics
from nbdebug.kernel.process_magics import ProcessMagics
from nbdebug.kernel.session_magics import SessionMagics
from nbdebug.kernel.watching import WatchMagics

_MAGICS = (NbdebugMagics, WatchMagics, SessionMagics, ProcessMagics, AttachMagics)


def load(shell: Any) -> None:
    """Put nbdebug into the shell's kernel; loading twice changes nothing.

    Raises NotSupported where there is no kernel, NoToolId.
    """
    if not hasattr(shell, "kernel"):
        raise errors.NotSupported(
            "nbdebug debugs Jupyter kernels; plain IPython has no client that could ask it."
        )
    try:
        debugger_of(shell)
    except errors.NotStarted:
        KernelDebugger(shell).install()
        shell.register_magics(*_MAGICS)


def unload(shell: Any) -> None:
    """Give the kernel back as it was; without nbdebug in it, nothing happens."""
    try:
        debugger = debugger_of(shell)
    except errors.NotStarted:
        return
    debugger.remove()
    for one in _MAGICS:
        for name in one.magics["line"]:
            shell.magics_manager.magics["line"].pop(name, None)
