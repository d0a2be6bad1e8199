"""The command line: ``python -m nbdebug install | uninstall``.

Owns the arguments and how an error is shown; what is done stands in the modules it calls.
"""

import argparse
import sys
from collections.abc import Sequence

from nbdebug._version import __version__
from nbdebug.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, or 2 where it was used wrongly."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return _install(options) if options.command == "install" else _uninstall(options)
    except UsageError as error:
        print(f"nbdebug: {error}\n{error.advice}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nbdebug", description="A notebook debugger.")
    parser.add_argument("--version", action="version", version=f"nbdebug {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    install = commands.add_parser(
        "install",
        help="add a kernelspec whose kernels load nbdebug",
        description="Add a kernelspec for this Python; its kernels load nbdebug before they start.",
    )
    install.add_argument("--display-name", help="what Jupyter shows (Python 3 (nbdebug))")
    uninstall = commands.add_parser(
        "uninstall",
        help="remove that kernelspec",
        description="Remove a kernelspec that `install` added, from wherever Jupyter finds it.",
    )
    for command in (install, uninstall):
        command.add_argument("--name", default="nbdebug", help="its name (%(default)s)")
        place = command.add_mutually_exclusive_group()
        place.add_argument("--user", action="store_true", help="in the user's Jupyter folder")
        place.add_argument(
            "--sys-prefix",
            dest="prefix",
            action="store_const",
            const=sys.prefix,
            help="in this Python's environment; what `install` does if no place is given",
        )
        place.add_argument("--prefix", metavar="PATH", help="below this folder")
    return parser


def _install(options: argparse.Namespace) -> int:
    from nbdebug.kernel.install import DEFAULT_DISPLAY_NAME, install_kernelspec

    prefix = None if options.user else options.prefix or sys.prefix
    display_name = options.display_name or DEFAULT_DISPLAY_NAME
    folder = install_kernelspec(options.name, display_name, user=options.user, prefix=prefix)
    print(f"Installed the kernelspec '{options.name}' in {folder}")
    return 0


def _uninstall(options: argparse.Namespace) -> int:
    from nbdebug.kernel.install import uninstall_kernelspec

    folder = uninstall_kernelspec(options.name, user=options.user, prefix=options.prefix)
    print(f"Removed the kernelspec '{options.name}' from {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
