"""How a watch learns of changes: what every mechanism must say and do.

Owns the protocol only. Store sites are one mechanism (watch_checks), which serves every target; a
better one, in C or in hardware, is offered through `Watches.offers`. Any thread may arm and disarm;
a mechanism tells on the writer's thread, where user code may run.
"""

from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from nbdebug.engine.checks import Hit
from nbdebug.engine.watch_model import CodePlace, WatchSpec, Way
from nbdebug.engine.watch_targets import Target


class Tell(Protocol):
    """Tells of what a mechanism has seen. A Hit is to be a stop: the INSTRUCTION callback makes one
    of what a site's check returns.
    """

    def __call__(
        self,
        frame: FrameType | None,
        line: int,
        kind: str,
        old: object,
        new: object,
        at: CodePlace | None = None,
        /,
    ) -> Hit | None:
        """Tell of the writer's frame, None where it is gone, and the 1-based line of the write.

        ``kind`` is an Access, or "outside" for a change that was found later; the values are
        `watch_values.MISSING` where there is none. ``at`` is where it was written, if that is
        another frame, such as one of a library's.
        """


Test = Callable[[object, object], Any]
"""A condition on the old and the new value."""


class Mechanism(Protocol):
    """One way of seeing one watched place; its texts are shown to the user."""

    test: Test | None
    """A condition on the old and new value alone, if there is one: false tells nothing. It may be
    left untried; what is told is tried again."""

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
        """Begin to see, from the value that is there now."""

    def disarm(self) -> None:
        """See nothing more, and cost nothing."""

    def look(self) -> tuple[object, object] | None:
        """Compare now; return the value last known and the one that is there, if they differ."""


Offer = Callable[[Target, WatchSpec, Tell], Mechanism | str]
"""Makes a mechanism for a target and what is asked of it, or says in a sentence why it can't serve
it; "" where another one is as good."""


def chosen(
    offers: list[Offer], target: Target, spec: WatchSpec, tell: Tell
) -> tuple[Mechanism | None, str]:
    """Return the first mechanism on offer, None without one, and why no better one serves."""
    if spec.way is Way.SITES:
        return None, ""
    reasons: list[str] = []
    for offer in offers:
        found = offer(target, spec, tell)
        if not isinstance(found, str):
            return found, " ".join(reasons)
        if found:
            reasons.append(found)
    return None, " ".join(reasons)
