"""`%load_ext nbdebug` and `%unload_ext nbdebug`.

Owns nothing: it joins the debugger and the magics, and says plainly why it can't.
"""

from typing import Any

from nbdebug import errors
from nbdebug.kernel import attach_magics, magics, process_magics, session_magics, watching
from nbdebug.kernel.debugger import KernelDebugger, debugger_of

_MAGICS = (magics, watching, session_magics, process_magics, attach_magics)


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
        for one in _MAGICS:
            one.register(shell)


def unload(shell: Any) -> None:
    """Give the kernel back as it was; without nbdebug in it, nothing happens."""
    try:
        debugger = debugger_of(shell)
    except errors.NotStarted:
        return
    debugger.remove()
    for one in _MAGICS:
        one.unregister(shell)
