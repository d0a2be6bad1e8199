"""How long the first page of a large value takes to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.errors import Refused
from benchmarks.options import PEERS, Side
from benchmarks.report import Row, plain_row
from benchmarks.samples import Samples, median
from benchmarks.workloads import BIG, BIG_DATA, MANY_LOCALS

if TYPE_CHECKING:
    from typing import Any

    from benchmarks.dap import Client
    from benchmarks.pool import Pool

BAR_MS = 5.0
PAGE = {"start": 0, "count": 100}
VALUES = {
    "big_list": "first page: list of 1e6",
    "big_dict": "first page: dict of 1e5",
    "frame": "first page: DataFrame 1e6 x 10",
    "array": "first page: array of 1e8 bytes",
}
LOCALS = "first page: 1000 locals"
ALL_LOCALS = "1000 locals, all of them"
BIG_LOCALS = "the locals that hold these values"
TRANSPORT = "round trip"


def measure(pool: Pool) -> list[Row]:
    """Every rep is a stop of its own, so that nothing is answered from a page already made."""
    samples = Samples()
    with pool.group():
        clients: dict[Side, Client] = {}
        for side in PEERS:
            with samples.attempt(side):
                client = clients[side] = pool.start_on(side)
                client.kernel.execute(BIG_DATA)
                client.set_breakpoints(BIG, "HERE")
                client.set_breakpoints(MANY_LOCALS, "HERE")
        for rep in range(pool.options.reps + 1):  # the first rep warms
            into = samples if rep else Samples()
            for side in samples.present(PEERS, rep):
                with samples.attempt(side):
                    measure_values(clients[side], samples, into, side)
                    measure_locals(clients[side], into, side)
                    into.add(TRANSPORT, side, clients[side].kernel.round_trip_s())
    floor = f"transport {(median(samples.of(TRANSPORT, Side.OURS)) or 0) * 1e3:.2f} ms"
    barred = [*VALUES.values(), LOCALS]
    return [
        *(
            plain_row(what, "ms", BAR_MS, samples, what, scale=1e3, control=floor)
            for what in barred
        ),
        plain_row(ALL_LOCALS, "ms", None, samples, ALL_LOCALS, scale=1e3, control=floor),
        plain_row(BIG_LOCALS, "ms", None, samples, BIG_LOCALS, scale=1e3, control=floor),
    ]


def measure_values(client: Client, samples: Samples, into: Samples, side: Side) -> None:
    """Stop where the values are locals, and open each."""
    stop = client.run_to_stop(BIG)
    seconds, shown = variables(client, locals_of(client, stop.thread))
    into.add(BIG_LOCALS, side, seconds)
    references = {v["name"]: int(v["variablesReference"]) for v in shown}
    for name, what in VALUES.items():
        with samples.attempt(side, what):
            seconds, page = variables(client, references.get(name, 0), **PAGE)
            if not page:
                raise Refused("the page is empty")
            into.add(what, side, seconds)
    client.resume(stop)


def measure_locals(client: Client, into: Samples, side: Side) -> None:
    """Stop in a function of very many locals, and ask for a page and for all."""
    stop = client.run_to_stop(MANY_LOCALS)
    reference = locals_of(client, stop.thread)
    seconds, _ = variables(client, reference, **PAGE)
    into.add(LOCALS, side, seconds)
    seconds, _ = variables(client, reference)
    into.add(ALL_LOCALS, side, seconds)
    client.resume(stop)


def locals_of(client: Client, thread: int) -> int:
    """The reference of the innermost frame's locals. Raises Refused if there is none."""
    for scope in client.scopes(thread):
        if scope["name"] == "Locals":
            return int(scope["variablesReference"])
    raise Refused("no scope is named Locals")


def variables(client: Client, reference: int, **paging: int) -> tuple[float, list[dict[str, Any]]]:
    """Seconds for the response, and the variables in it."""
    seconds, body = client.timed("variables", {"variablesReference": reference, **paging})
    return seconds, body["variables"]
