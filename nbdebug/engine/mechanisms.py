"""How a watch learns of changes: what every mechanism must say and do.

Owns the protocol only. Store sites are one mechanism (watch_sites); what is exact, in C or in
hardware, is another with the same shape. Any thread may arm and disarm.
"""

from typing import Protocol


class Mechanism(Protocol):
    """One way of seeing one watched place; its texts are shown to the user."""

    @property
    def name(self) -> str:
        """What it is called, such as ``store sites``."""

    @property
    def sees(self) -> str:
        """What it sees, as a phrase."""

    @property
    def cannot_see(self) -> str:
        """What it can't see, as a phrase; "" where it sees all."""

    @property
    def cost(self) -> str:
        """What it costs, as a phrase."""

    def arm(self) -> None:
        """Begin to see."""

    def disarm(self) -> None:
        """See nothing more, and cost nothing."""
