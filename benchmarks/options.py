"""What one run of the benchmarks was asked to do; knows nothing of kernels."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Side(enum.Enum):
    """Who is measured. OFF and CONTROL are the same thing, a kernel without a debugger."""

    OFF = "off"
    CONTROL = "off again"
    OURS = "nbdebug"
    STOCK = "stock debugpy"


PEERS = (Side.OURS, Side.STOCK)
WITHOUT = (Side.OFF, Side.CONTROL)


@dataclass(frozen=True, slots=True)
class Options:
    """The run: which interpreter, how often, how large."""

    python: str
    reps: int = 7
    quick: bool = False
    ours_setup: str = "%load_ext nbdebug"

    def size(self, full: int, quick: int) -> int:
        """``full``, or ``quick`` where the run is only a smoke test."""
        return quick if self.quick else full

    def setup(self, side: Side) -> str:
        """The cell that is run before the debugger is switched on; empty for none."""
        return self.ours_setup if side is Side.OURS else ""
