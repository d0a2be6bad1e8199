"""What the debugger adds to the kernel's memory: at once, and with every cell that is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.kernels import now
from benchmarks.options import PEERS, WITHOUT, Side
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples, median
from benchmarks.workloads import ELSEWHERE

if TYPE_CHECKING:
    from benchmarks.dap import Client
    from benchmarks.pool import Pool

BAR_MIB = 5.0
MIB = 2**20
ARENA = MIB
"""Memory comes from the system in arenas of this size: a smaller growth can't be seen."""
BATCH = 50
LIMIT_S = 240.0
KERNEL = "memory of the kernel process, debugger on"
TREE = "memory of the kernel and its helpers, debugger on"
GROWTH = "growth per executed cell, less without debugger"
SIDES = (*WITHOUT, *PEERS)
TOUCH = "import gc; gc.collect()"


def measure(pool: Pool) -> list[Row]:
    """The first step in new kernels, rep after rep; the growth in four that run side by side."""
    return [*measure_enabled(pool), *measure_growth(pool)]


def measure_enabled(pool: Pool) -> list[Row]:
    """Memory with the debugger on, less what it was before the setup cell."""
    samples = Samples()
    for rep in range(pool.options.reps + 1):  # the first rep fills the byte-code cache
        for side in samples.present((Side.OFF, *PEERS), rep):
            with samples.attempt(side), pool.group():
                grown = enabled_bytes(pool, side)
                if rep:
                    samples.add(KERNEL, side, grown[0])
                    samples.add(TREE, side, grown[1])
    rows = []
    for what in (KERNEL, TREE):
        control = f"off: {(median(samples.of(what, Side.OFF)) or 0) / MIB:.2f} MiB"
        row = plain_row(what, "MiB", BAR_MIB, samples, what, scale=1 / MIB, control=control)
        rows.append(row)
    return rows


def enabled_bytes(pool: Pool, side: Side) -> tuple[int, int]:
    """Bytes that a kernel, and it with its helpers, grows by until a breakpoint is set."""
    client = pool.start(side)
    kernel = client.kernel
    kernel.execute(TOUCH)
    rss, tree = kernel.rss_bytes(), kernel.tree_bytes()
    if side in PEERS:
        client.run_setup()
        client.switch_on()
        client.set_breakpoints(ELSEWHERE, "HERE")
    kernel.execute(TOUCH)
    return kernel.rss_bytes() - rss, kernel.tree_bytes() - tree


def measure_growth(pool: Pool) -> list[Row]:
    """Run very many cells, no two alike, with a breakpoint in yet another."""
    samples = Samples()
    with pool.group():
        clients: dict[Side, Client] = {}
        for side in SIDES:
            with samples.attempt(side):
                clients[side] = pool.start_on(side)
                if side in PEERS:
                    clients[side].set_breakpoints(ELSEWHERE, "HERE")
                clients[side].kernel.execute(ELSEWHERE)
        cells = run_cells(clients, samples, pool.options.size(10_000, 200))
    return growth_rows(samples, cells)


def run_cells(clients: dict[Side, Client], samples: Samples, wanted: int) -> int:
    """Run ``wanted`` cells everywhere and some before that warm, unless the time is up.

    Keeps each side's bytes per cell, and returns how many cells they are
    taken from.
    """
    limit = now() + LIMIT_S
    warm = wanted // 20
    run = 0
    before: dict[Side, int] = {}
    while run < warm + wanted and now() < limit:
        run_batch(clients, samples, run)
        run += BATCH
        if not before and run >= warm:
            before = weigh(clients, samples)
            warm = run
    after = weigh(clients, samples)
    cells = run - warm
    for side, size in after.items():
        if cells > 0:
            samples.add(GROWTH, side, (size - before[side]) / cells)
    return cells


def run_batch(clients: dict[Side, Client], samples: Samples, first: int) -> None:
    """Send a batch to every kernel at once, and wait for all."""
    sent: dict[Side, list[str]] = {}
    for side in samples.present(SIDES, first // BATCH):
        kernel = clients[side].kernel
        sent[side] = [kernel.submit(cell(first + number)) for number in range(BATCH)]
    for side, messages in sent.items():
        with samples.attempt(side):
            for message in messages:
                clients[side].kernel.finish(message)


def cell(number: int) -> str:
    """A cell that is like no other: it defines a function and calls it."""
    return f"def step(a):\n    b = a + {number}\n    return b\nresult = step({number})\n"


def weigh(clients: dict[Side, Client], samples: Samples) -> dict[Side, int]:
    """Resident bytes of each kernel that still answers, garbage collected."""
    sizes: dict[Side, int] = {}
    for side in samples.present(SIDES):
        with samples.attempt(side):
            clients[side].kernel.execute(TOUCH)
            sizes[side] = clients[side].kernel.rss_bytes()
    return sizes


def growth_rows(samples: Samples, cells: int) -> list[Row]:
    """What grows beyond the kernel without debugger; the bar is what can be told from nothing."""
    kib = {side: [b / 1024 for b in samples.of(GROWTH, side)] for side in SIDES}
    off = median(kib[Side.OFF]) or 0.0
    astray = abs((median(kib[Side.CONTROL]) or 0.0) - off)
    resolution = ARENA / 1024 / max(cells, 1)
    control = f"off: {off:.2f}, off/off {astray:.3f}, arena {resolution:.3f}"
    return [
        Row(
            what=f"{GROWTH}, {cells} cells",
            unit="KiB",
            bar=round(max(astray, resolution), 3),
            ours=tuple(value - off for value in kib[Side.OURS]),
            stock=tuple(value - off for value in kib[Side.STOCK]),
            control=control,
            ours_lost=samples.lost(GROWTH, Side.OURS),
            stock_lost=samples.lost(GROWTH, Side.STOCK),
        )
    ]
