"""The command line: ``python -m nbdebug COMMAND``, or ``--listen`` and a program.

Owns the arguments and how an error is shown; what is done stands in the modules it calls.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from nbdebug._version import __version__
from nbdebug.errors import NbdebugError, UsageError

_LISTEN_USAGE = (
    "python -m nbdebug --listen HOST:PORT|unix:PATH [--wait-for-client] [--token TOKEN | "
    "--token-file FILE | --no-auth] [--log DIR] (script.py | -m module | -c code) [args...]"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, or 2 where it was used wrongly."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    try:
        if _is_listening(arguments):
            return _listen(*_split(arguments))
        options = parser.parse_args(arguments)
        if options.command is None:
            parser.print_help(sys.stderr)
            return 2
        return _COMMANDS[options.command](options)
    except NbdebugError as error:
        print(f"nbdebug: {error}\n{error.advice}".rstrip(), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nbdebug",
        description="A notebook debugger.",
        epilog=f"To debug a script: {_LISTEN_USAGE}",
    )
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
    _add_attach(commands)
    _add_ps(commands)
    _add_stack(commands)
    return parser


def _add_ps(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ps = commands.add_parser(
        "ps",
        help="list the Python processes of this machine",
        description="List the Python processes of this machine, and which can be attached to.",
    )
    ps.add_argument("text", nargs="*", help="only those with this in their command, user or pid")
    ps.add_argument("--json", action="store_true", help="as JSON, with all that is known")
    ps.add_argument("--details", action="store_true", help="with what their memory tells")


def _add_attach(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    attach = commands.add_parser(
        "attach",
        help="debug a Python process that runs already, from VS Code or any DAP client",
        description="Let a DAP client debug a Python process that runs already. Ctrl-C leaves it.",
    )
    attach.add_argument(
        "target",
        nargs="?",
        metavar="PROCESS",
        help="a pid, a notebook, or a part of a command; without it the client's `processId`",
    )
    attach.add_argument(
        "--listen",
        default="127.0.0.1:0",
        metavar="ADDRESS",
        help="HOST:PORT or unix:PATH (%(default)s: a free port)",
    )
    access = attach.add_mutually_exclusive_group()
    access.add_argument("--token", default=os.environ.get("NBDEBUG_TOKEN"))
    access.add_argument("--token-file", metavar="FILE")
    access.add_argument("--no-auth", action="store_true", help="on 127.0.0.1 only")
    attach.add_argument("--inspect", action="store_true", help="only look: run nothing in it")
    attach.add_argument(
        "--legacy", action="store_true", help="into 3.8 to 3.13, by a less safe way"
    )
    attach.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="(%(default)g)"
    )
    attach.add_argument(
        "--wake", choices=("auto", "never"), default="auto", help="whether to wake one that sleeps"
    )
    attach.add_argument("--log", metavar="DIR", help="a folder for a record of every message")


def _add_stack(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stack = commands.add_parser(
        "stack",
        help="show the stacks of another Python process",
        description="Show the stacks of all threads of a Python process. Nothing runs in it.",
    )
    stack.add_argument("pid", type=int, metavar="PID")
    stack.add_argument("--locals", action="store_true", help="with the variables of each frame")
    stack.add_argument("--json", action="store_true", help="as JSON")
    stack.add_argument(
        "--freeze", action="store_true", help="hold its threads still for some milliseconds"
    )
    stack.add_argument("--native", action="store_true", help="with native frames")


def _listen_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nbdebug", usage=_LISTEN_USAGE, add_help=False)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--wait-for-client", action="store_true")
    access = parser.add_mutually_exclusive_group()
    access.add_argument("--token", default=os.environ.get("NBDEBUG_TOKEN"))
    access.add_argument("--token-file")
    access.add_argument("--no-auth", action="store_true")
    parser.add_argument("--log")
    return parser


def _is_listening(arguments: Sequence[str]) -> bool:
    return any(one == "--listen" or one.startswith("--listen=") for one in _split(arguments)[0])


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return our options, and the program with its own arguments."""
    takes_value = ("--listen", "--token", "--token-file", "--log")
    at = 0
    while at < len(arguments) and arguments[at].startswith("--"):
        at += 2 if arguments[at] in takes_value else 1
    return list(arguments[:at]), list(arguments[at:])


def _listen(arguments: list[str], program: list[str]) -> int:
    from nbdebug import run
    from nbdebug.dap import listening

    options = _listen_parser().parse_args(arguments)
    target = run.program_of(program)
    if target is None:
        raise UsageError(f"What is to be run is missing. {_LISTEN_USAGE}")
    if (why := run.unreadable(target)) is not None:
        print(why, file=sys.stderr)
        return 2
    token = _read_token(options.token_file) if options.token_file else options.token
    listener = listening.listen(
        options.listen,
        token=token,
        auth=not options.no_auth,
        program=target.name,
        log_dir=options.log,
    )
    shown = f", token {listener.token}" if listener.token not in (None, token) else ""
    print(f"nbdebug: listening on {listener.address}{shown}", file=sys.stderr, flush=True)
    if options.wait_for_client:
        try:
            listener.wait_for_client()
        except KeyboardInterrupt:
            print("nbdebug: interrupted while it waited for a client", file=sys.stderr)
            return 130
    if target.kind == "code":
        listener.is_users("<string>")
    run.run(target, listener.main_ended)
    return 0


def _read_token(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except OSError as error:
        raise UsageError(f"Can't read the token from {path}: {error.strerror}.") from None
    if not token:
        raise UsageError(f"{path} has no token.")
    return token


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


def _ps(options: argparse.Namespace) -> int:
    from nbdebug.attach import processes
    from nbdebug.kernel.processes import ProcessTable

    found = processes.find_all(options.text, details=options.details)
    if options.text:  # our own command has these words too
        found = [one for one in found if one.pid != os.getpid()]
    if options.json:
        print(json.dumps([processes.as_json(one) for one in found], indent=2))
    else:
        print(ProcessTable(found))
    return 0


def _attach(options: argparse.Namespace) -> int:
    from nbdebug.attach import serving

    token = _read_token(options.token_file) if options.token_file else options.token
    server = serving.serve(
        options.target,
        options.listen,
        token=token,
        auth=not options.no_auth,
        inspect=options.inspect,
        timeout_s=options.timeout,
        wake=options.wake,
        legacy=options.legacy,
        log_dir=options.log,
    )
    shown = f", token {server.token}" if server.token not in (None, token) else ""
    print(f"nbdebug: listening on {server.address}{shown}", file=sys.stderr, flush=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        print("nbdebug: detached", file=sys.stderr)
        return 130
    finally:
        server.close()
    print("nbdebug: the process has ended", file=sys.stderr)
    return 0


def _stack(options: argparse.Namespace) -> int:
    from nbdebug.attach import reports

    found = reports.stacks(
        options.pid,
        with_locals=options.locals,
        freeze=options.freeze,
        is_native=options.native,
    )
    print(json.dumps(found.as_json(), indent=2) if options.json else found)
    return 0


_COMMANDS = {
    "install": _install,
    "uninstall": _uninstall,
    "attach": _attach,
    "ps": _ps,
    "stack": _stack,
}


if __name__ == "__main__":
    sys.exit(main())
