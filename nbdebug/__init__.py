"""nbdebug: a debugger for notebooks, inside the kernel.

`%load_ext nbdebug` in a notebook puts it behind JupyterLab's debugger panel. Importing this package
imports nothing else: what it offers is imported when it is used.
"""

from typing import Any

from nbdebug._version import __version__

__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension"]


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
