"""Named flags for the interpreters that nbdebug runs on, each with the reason that it exists.

Owns facts about versions; imports nothing of ours.
"""

import sys

FRAME_LOCALS_WRITE_THROUGH = sys.version_info >= (3, 13)
"""PEP 667: ``frame.f_locals`` of a function is a proxy that writes to the fast locals. Before, it
is a snapshot dict that must be pushed back with ``PyFrame_LocalsToFast``."""

MONITORING_TOOL_IDS = (4, 3, 1, 2)
"""Ids of sys.monitoring to try, in this order. Not 0: debugpy claims it as its own when it is
imported later, and from 3.14 pdb's monitoring backend does, and both fail if it is taken. 5 is the
optimizer's."""


def _type_of_locals() -> type:
    return type(sys._getframe().f_locals)


FRAME_LOCALS_TYPE = _type_of_locals()
"""What ``frame.f_locals`` of a function is: a write-through proxy, or before 3.13 a dict."""
