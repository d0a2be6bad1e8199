#!/usr/bin/env python3
"""Compiles the compiled part, nbdebug/engine/*.c, for the Python that runs this.

    python tools/build_ext.py          beside its source, unless it is up to date there
    python tools/build_ext.py FOLDER   into this folder

Prints the path of what it made; says in one line why it couldn't. hatch_build.py uses it too.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "nbdebug" / "engine"
SOURCES = [FOLDER / "_dictwatch.c", FOLDER / "_quicksites.c"]
HEADER = FOLDER / "_dictwatch.h"
LIMIT_S = 120


class CannotCompile(Exception):
    """There is no compiler, or it failed; the text says which in one line."""


def compiled_name() -> str:
    """Return the file's name, which tells for which Python it is."""
    return f"_dictwatch{sysconfig.get_config_var('EXT_SUFFIX')}"


def command(target: Path) -> list[str]:
    """Return how this Python's makers would compile it, with the compiler that is here."""
    link = shlex.split(os.environ.get("LDSHARED") or sysconfig.get_config_var("LDSHARED") or "")
    if not link:
        raise CannotCompile("this Python doesn't say how its extensions are linked")
    if os.environ.get("CC"):
        link[:1] = shlex.split(os.environ["CC"])
    elif shutil.which(link[0]) is None:  # the name that it had where this Python was built
        link[0] = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), link[0])
    if shutil.which(link[0]) is None:
        raise CannotCompile(f"there is no compiler {link[0]}")
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        raise CannotCompile(f"there is no {include / 'Python.h'} (Debian: package python3-dev)")
    folders = [include, Path(sysconfig.get_path("platinclude"))]
    if (include.parent / (sysconfig.get_config_var("MULTIARCH") or "none")).is_dir():
        folders.append(include.parent)  # Debian's pyconfig.h names another, from there
    flags = [*shlex.split(os.environ.get("CFLAGS", "")), "-O2", "-g0", "-fPIC", "-Wall"]
    return [
        *link,
        *flags,
        *(f"-I{folder}" for folder in folders),
        *map(str, SOURCES),
        "-o",
        str(target),
    ]


def build(folder: Path) -> Path:
    """Compile into a folder; return the file. A process that has the former one loaded goes on."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        made = Path(temporary) / compiled_name()
        try:
            done = subprocess.run(
                command(made), capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotCompile(str(error)) from error
        if done.returncode or not made.is_file():
            lines = done.stderr.splitlines() or [f"the compiler ended with {done.returncode}"]
            raise CannotCompile(next((line for line in lines if "error" in line), lines[-1]))
        return made.replace(folder / made.name)


def main(arguments: list[str]) -> int:
    """Do what the command line says; 1 if it can't be compiled."""
    folder = Path(arguments[0]) if arguments else FOLDER
    target = folder / compiled_name()
    newest = max(path.stat().st_mtime for path in (*SOURCES, HEADER, Path(__file__)))
    try:
        if not target.is_file() or target.stat().st_mtime < newest:
            target = build(folder)
    except CannotCompile as error:
        print(f"build_ext: {error}", file=sys.stderr)
        return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
