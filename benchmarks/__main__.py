"""The command line: ``python -m benchmarks [SECTION ...]``.

Exit status 0 if every bar holds, 1 if not, 2 for a wrong command line, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BenchmarkError
from .options import PEERS, Options
from .pool import Pool
from .report import Row, as_json, table
from .sections import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parse = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parse.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}, or all (default)"
    )
    parse.add_argument("--python", default=sys.executable, help="interpreter of the kernels")
    parse.add_argument("--reps", type=int, help="repetitions (default 7; 3 with --quick)")
    parse.add_argument("--json", type=Path, metavar="FILE", help="write all samples there, too")
    parse.add_argument("--quick", action="store_true", help="a smoke test, below two minutes")
    parse.add_argument(
        "--ours-setup",
        default=Options.__dataclass_fields__["ours_setup"].default,
        metavar="CODE",
        help="the cell that puts nbdebug into a kernel (default: %(default)r)",
    )
    return parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, return the exit status."""
    parse = parser()
    given = parse.parse_args(arguments)
    names = list(dict.fromkeys(given.sections)) or ["all"]
    unknown = [name for name in names if name not in SECTIONS and name != "all"]
    if unknown:
        parse.error(f"no section {unknown[0]!r}; there are: {', '.join(SECTIONS)}, all")
    if given.reps is not None and given.reps < 1:
        parse.error("--reps must be 1 or more")
    python = shutil.which(given.python)
    if python is None:
        parse.error(f"--python: {given.python} can't be run")
    options = Options(
        python=str(Path(python).absolute()),
        reps=given.reps or (3 if given.quick else 7),
        quick=given.quick,
        ours_setup=given.ours_setup,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))  # so that kernels are killed
    try:
        rows = measure(options, list(SECTIONS) if "all" in names else names)
    except KeyboardInterrupt:
        return INTERRUPTED
    heading = head(options)
    print(heading, table(rows), sep="\n\n")
    if given.json:
        document = {"run": heading, "reps": options.reps, "rows": [as_json(row) for row in rows]}
        given.json.write_text(json.dumps(document, indent=1))
    return 0 if all(row.good for row in rows) else 1


def measure(options: Options, names: Sequence[str]) -> list[Row]:
    """Run the sections one after the other."""
    rows: list[Row] = []
    with Pool(options) as pool:
        warm(pool)
        for name in names:
            start = time.monotonic()
            with pool.group():
                rows += SECTIONS[name](pool)
            print(f"== {name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return rows


def warm(pool: Pool) -> None:
    """Fill the byte-code cache; a peer that doesn't start will say so in each section."""
    for side in PEERS:
        try:
            pool.warm([side], "pass")
        except BenchmarkError as error:
            print(f"   {side.value}: {error}", file=sys.stderr)


def head(options: Options) -> str:
    """Which Python, which debuggers, which system: what the figures depend on."""
    ask = (
        "import platform; from importlib.metadata import version as v; print('CPython',"
        "platform.python_version(), '| ipykernel', v('ipykernel'), '| debugpy', v('debugpy'))"
    )
    told = subprocess.run(
        [options.python, "-c", ask], capture_output=True, text=True, check=False, timeout=60
    )
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    kind = "quick, " if options.quick else ""
    return f"{told.stdout.strip()} | {system} | {kind}medians of {options.reps} repetitions"


if __name__ == "__main__":
    sys.exit(main())
