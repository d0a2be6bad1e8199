"""What watching data costs, as ratios to the unwatched loop; the peers are other ways to do it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Row
from benchmarks.samples import median, noise_of

if TYPE_CHECKING:
    from benchmarks.pool import Pool

PROGRAM = Path(__file__).parent.parent / "watching.py"
PEER = "snapshots"
"""The way whose figures stand in the other column; those of the rest stand beside the row."""
SET = "10,000 watches set"
PURE = "no compiled part"
WAYS = {
    ("global_other", "exact"): 1.3,
    ("global_written", "exact"): 6.0,
    ("attribute_other", "exact"): 1.05,
    ("attribute_other", "sites"): 6.0,
    ("attribute_written", "sites"): None,
}
"""What is shown of one way, beside what is chosen by itself: (loop, way) -> bar."""
BARS = {
    "local_never": ("local watched, never written", 1.05),
    "local_written": ("local written each time, condition false", 10.0),
    "global_other": ("global watched, another written each time", 1.05),
    "global_written": ("global written each time, condition false", 6.0),
    "attribute_other": ("attribute watched, another instance's written each time", 6.0),
    "attribute_written": ("attribute written each time, condition false", None),
    "element_other": ("numpy element watched, another one written each time", None),
    "unwatched": ("function without watched names", 1.02),
}
BY_HARDWARE = "hardware watchpoint"
HARDWARE_BAR = 1.02
WATCHPOINTS = Path(__file__).parent.parent / "watching_watchpoints.py"
WATCHPOINTS_SIZE = 50
"""How many times fewer iterations the `watchpoints` package is given."""
SET_BAR_S = 2.0
UNWATCHED_BAR = 1.02


def measure(pool: Pool) -> list[Row]:
    """A new process in each rep, in which all ways take turns."""
    size = pool.options.size(1_000_000, 100_000)
    runs = [run(pool, size) for _ in range(pool.options.reps)]
    pure = [run(pool, size, NBDEBUG_PURE="1") for _ in range(pool.options.reps)]
    theirs = [run_watchpoints(pool, size) for _ in range(pool.options.reps)]
    rows = [
        Row(
            what=f"{what} ({mechanism(runs, loop, 'auto')})",
            unit="x",
            bar=HARDWARE_BAR if mechanism(runs, loop, "auto") == BY_HARDWARE else bar,
            ours=tuple(found[loop]["ours"] for found in runs),
            stock=tuple(found[loop][PEER] for found in runs),
            control=f"{others(runs, loop)}, {watchpoints(theirs, loop)}",
            noise=noise(runs, loop),
        )
        for loop, (what, bar) in BARS.items()
    ]
    rows += [
        Row(
            what=f"{BARS[loop][0]} ({mechanism(runs, loop, way)}, asked for)",
            unit="x",
            bar=bar,
            ours=tuple(found[loop][way] for found in runs),
            stock=(),
            noise=noise(runs, loop),
        )
        for (loop, way), bar in WAYS.items()
        if mechanism(runs, loop, way)
    ]
    rows += [
        Row(
            what=f"{what} ({mechanism(pure, loop, 'auto')}, {PURE})",
            unit="x",
            bar=bar,
            ours=tuple(found[loop]["ours"] for found in pure),
            stock=(),
            noise=noise(runs, loop),
        )
        for loop, (what, bar) in BARS.items()
    ]
    set_s = tuple(found["many"]["set"] for found in runs)
    cost = tuple(found["many"]["ours"] for found in runs)
    return [
        *rows,
        Row(what=SET, unit="s", bar=SET_BAR_S, ours=set_s, stock=()),
        Row(what=f"{SET}: unwatched code", unit="x", bar=UNWATCHED_BAR, ours=cost, stock=()),
    ]


def mechanism(runs: list[dict[str, dict[str, Any]]], loop: str, way: str) -> str:
    """What served a loop by a way, "" where there is no such way."""
    found: str = runs[0]["mechanisms"].get(loop, {}).get(way, "")
    return found


def noise(runs: list[dict[str, dict[str, Any]]], loop: str) -> float:
    """How far the unwatched loop differs from itself."""
    return noise_of([found[loop]["control"] for found in runs])


def others(runs: list[dict[str, dict[str, Any]]], loop: str) -> str:
    """The medians of the other ways, as text."""
    not_theirs = ("ours", "exact", "sites", "control", PEER)
    ways = [way for way in runs[0][loop] if way not in not_theirs]
    medians = {way: median([found[loop][way] for found in runs]) for way in ways}
    return ", ".join(f"{way} {found:.0f}" for way, found in medians.items() if found is not None)


def watchpoints(runs: list[dict[str, float] | str], loop: str) -> str:
    """What the package makes of a loop, as text."""
    found = [one[loop] for one in runs if not isinstance(one, str) and loop in one]
    why = next((one for one in runs if isinstance(one, str)), "")
    ratio = median(found)
    return f"watchpoints: {why or 'not measured'}" if ratio is None else f"watchpoints {ratio:.0f}"


def run_watchpoints(pool: Pool, size: int) -> dict[str, float] | str:
    """The package in a process of its own; a text if that fails."""
    command = [pool.options.python, str(WATCHPOINTS), str(size // WATCHPOINTS_SIZE)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        return "isn't installed" if "No module" in said[-1] else f"fails: {said[-1]}"
    except subprocess.TimeoutExpired:
        return "takes more than ten minutes"
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(pool: Pool, size: int, **variables: str) -> dict[str, dict[str, Any]]:
    """One process."""
    command = [pool.options.python, str(PROGRAM), str(size)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env={**os.environ, **variables},
    )
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found
