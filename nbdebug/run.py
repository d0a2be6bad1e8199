"""Runs a program as the interpreter would: ``python script.py``, ``-m module``, ``-c code``.

Owns ``__main__``, ``sys.argv`` and ``sys.path[0]`` from then on, and how the program's end becomes
the exit status. Must not know what debugs it. Called once, on the main thread.
Source: CPython's Modules/main.c and Lib/runpy.py.
"""

import importlib.machinery
import io
import linecache
import os
import pkgutil
import runpy
import signal
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_prepared: list[types.ModuleType] = []
_KEPT: list[Any] = []  # the module that was __main__: its functions still need their globals


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run: a file (or folder, or zip), a module's name, or code."""

    kind: Literal["file", "module", "code"]
    text: str
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return "-c" if self.kind == "code" else self.text

    @property
    def argv(self) -> list[str]:
        """What the program sees as ``sys.argv`` at first."""
        first = {"file": self.text, "module": "-m", "code": "-c"}[self.kind]
        return [first, *self.arguments]


def program_of(words: Sequence[str]) -> Program | None:
    """Return the program that a command line names, None if it names none."""
    match words:
        case ["-m", module, *rest]:
            return Program("module", module, tuple(rest))
        case ["-c", code, *rest]:
            return Program("code", code, tuple(rest))
        case [file, *rest] if not file.startswith("-"):
            return Program("file", file, tuple(rest))
        case _:
            return None


def unreadable(program: Program) -> str | None:
    """Return why a file can't be run, in the interpreter's words; None if it can."""
    if program.kind == "file":
        try:
            if not os.path.isdir(program.text):
                io.open_code(os.path.abspath(program.text)).close()
        except OSError as error:
            path = os.path.abspath(program.text)
            return (
                f"{sys.executable}: can't open file {path!r}: "
                f"[Errno {error.errno}] {error.strerror}"
            )
    return None


def run(program: Program, ended: Callable[[int], None]) -> None:
    """Run a program to the end of its main thread.

    ``ended`` is told the exit status. What the program raises leaves this function only as
    SystemExit or, for Ctrl-C, KeyboardInterrupt, and is reported by then.
    """
    try:
        try:
            _start(program)()
        except SystemExit:
            raise
        except BaseException as error:
            _report(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            status = 1
        else:
            status = 0
    except SystemExit as leaving:
        ended(_status_of(leaving))
        raise
    except KeyboardInterrupt:
        ended(128 + signal.SIGINT)
        # The interpreter ends by this signal where it sees the exception; it has been reported.
        sys.excepthook = lambda *_: None
        raise
    ended(status)
    if status:
        sys.exit(status)


def prepare() -> None:
    """Make the program's ``__main__`` now, so that what is to be watched in it can be named."""
    _prepared.append(_new_main())


def _start(program: Program) -> Callable[[], object]:
    """Set the process up for a program; return the call that runs it."""
    main = _prepared.pop() if _prepared else _new_main()
    sys.argv = program.argv
    match program.kind:
        case "module":
            _set_path(os.getcwd())
            return lambda: _run_module(program.text)
        case "code":
            _set_path("")
            return lambda: _exec(_compile_text(program.text), main)
        case "file":
            path = os.path.abspath(program.text)
            importer = pkgutil.get_importer(path)
            if (importer is not None and not os.path.isfile(path)) or _is_archive(importer):
                sys.path.insert(0, path)  # a folder or zip with a __main__.py
                return lambda: _run_module("__main__", sets_argv=False)
            _set_path(os.path.dirname(os.path.realpath(path)))
            return lambda: _run_file(path, main)


def _new_main() -> types.ModuleType:
    _KEPT.append(sys.modules["__main__"])
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    main.__loader__ = importlib.machinery.BuiltinImporter  # as CPython's own
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    return main


def _set_path(folder: str) -> None:
    """Put the program's folder where ours is: first, unless the interpreter puts none there."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _is_archive(importer: object) -> bool:
    return type(importer).__name__ == "zipimporter"


def _run_module(name: str, sets_argv: bool = True) -> None:
    run_as_main: Any = runpy._run_module_as_main  # type: ignore[attr-defined]  # what -m itself calls
    run_as_main(name, sets_argv)


def _run_file(path: str, main: types.ModuleType) -> None:
    with io.open_code(path) as file:
        code = pkgutil.read_code(file)
    loader: type[Any] = importlib.machinery.SourcelessFileLoader
    if code is None:
        loader = importlib.machinery.SourceFileLoader
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
    main.__file__ = path
    main.__dict__["__cached__"] = None
    main.__loader__ = loader("__main__", path)
    _exec(code, main)


def _compile_text(text: str) -> types.CodeType:
    code = compile(text, "<string>", "exec", dont_inherit=True)
    register: Any = getattr(linecache, "_register_code", None)
    if register is not None:  # from 3.13 on, tracebacks show the lines of -c
        register(code, text, "<string>")
    return code


def _exec(code: types.CodeType, main: types.ModuleType) -> None:
    exec(code, main.__dict__)


def _status_of(leaving: SystemExit) -> int:
    code = leaving.code
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _report(error: BaseException) -> None:
    """Do what the interpreter does with an exception that nobody caught."""
    _strip(error)
    sys.last_exc = sys.last_value = error
    sys.last_type, sys.last_traceback = type(error), error.__traceback__
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        _say("sys.excepthook is missing")
        traceback.print_exception(error)
        return
    sys.audit("sys.excepthook", hook, type(error), error, error.__traceback__)
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as failure:
        _strip(failure)
        if failure.__context__ is error:  # the interpreter doesn't handle it meanwhile; we do
            failure.__context__ = None
        _say("Error in sys.excepthook:")
        traceback.print_exception(failure)
        _say("\nOriginal exception was:")
        traceback.print_exception(error)


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")


def _strip(error: BaseException) -> None:
    """Drop our frames, the outermost, from an exception's traceback."""
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        at = at.tb_next
    error.__traceback__ = at
