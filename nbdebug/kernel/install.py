"""Adds and removes kernelspecs whose kernels load nbdebug before they start.

Knows Jupyter's kernelspec folders; must not know the debugger. Threads: the command line's only.
"""

import re
import shutil
import tempfile
from pathlib import Path

from nbdebug.errors import UsageError

DEFAULT_NAME = "nbdebug"
DEFAULT_DISPLAY_NAME = "Python 3 (nbdebug)"

# `extensions` would replace what the user's own configuration loads; this adds to it.
LOAD_ARGUMENT = "--InteractiveShellApp.extra_extensions=nbdebug"

# Jupyter would take `..` too, and then remove all that lies there before it writes.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class BadKernelspecName(UsageError):
    """A name that a kernelspec can't have."""

    slug = "bad-kernelspec-name"
    id = 401
    advice = "Use ASCII letters and digits, and . - _ after the first."


class UnknownKernelspec(UsageError):
    """No kernelspec of this name, or not one of ours."""

    slug = "unknown-kernelspec"
    id = 402
    advice = "List the kernelspecs with `jupyter kernelspec list`."


class CannotWrite(UsageError):
    """A kernelspec's folder can't be written or removed."""

    slug = "cannot-write"
    id = 403
    advice = "Choose another place: --user, --sys-prefix or --prefix PATH."


def install_kernelspec(
    name: str = DEFAULT_NAME,
    display_name: str = DEFAULT_DISPLAY_NAME,
    *,
    user: bool = False,
    prefix: str | None = None,
) -> str:
    """Write the kernelspec ``name`` for this interpreter, over an older one; return its folder.

    It goes to the user's Jupyter folder, or below ``prefix``.

    Raises: BadKernelspecName, CannotWrite.
    """
    from ipykernel.kernelspec import get_kernel_dict, write_kernel_spec
    from jupyter_client.kernelspec import KernelSpecManager

    overrides = {
        "display_name": display_name,
        "metadata": {**get_kernel_dict()["metadata"], "debugger": True},
    }
    if not _NAME.fullmatch(name):
        raise BadKernelspecName(f"'{name}' can't be a kernelspec's name.")
    with tempfile.TemporaryDirectory(prefix="nbdebug-kernelspec-") as folder:
        source = write_kernel_spec(
            Path(folder) / "spec", overrides=overrides, extra_arguments=[LOAD_ARGUMENT]
        )
        try:
            return KernelSpecManager().install_kernel_spec(
                source, kernel_name=name, user=user, prefix=prefix
            )
        except OSError as error:
            raise CannotWrite(_sentence("written", error)) from error


def uninstall_kernelspec(
    name: str = DEFAULT_NAME, *, user: bool = False, prefix: str | None = None
) -> str:
    """Remove the kernelspec ``name`` that ``install_kernelspec`` wrote; return its folder.

    Without a place, it is looked for wherever Jupyter finds kernels.

    Raises: UnknownKernelspec if there is none or another program wrote it; CannotWrite.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager(ensure_native_kernel=False)
    if user:
        manager.kernel_dirs = [manager.user_kernel_dir]
    elif prefix:
        manager.kernel_dirs = [str(Path(prefix, "share", "jupyter", "kernels").absolute())]
    folder = manager.find_kernel_specs().get(name.lower())
    if folder is None:
        places = ", ".join(manager.kernel_dirs)
        raise UnknownKernelspec(f"There is no kernelspec '{name}' in {places}.")
    if LOAD_ARGUMENT not in Path(folder, "kernel.json").read_text(encoding="utf-8"):
        raise UnknownKernelspec(f"The kernelspec '{name}' in {folder} isn't nbdebug's.")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise CannotWrite(_sentence("removed", error)) from error
    return folder


def _sentence(done: str, error: OSError) -> str:
    return f"The kernelspec can't be {done}: {error.filename}: {error.strerror}."
