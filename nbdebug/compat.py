"""Named flags for the interpreters that nbdebug runs on, each with the reason that it exists.

Owns facts about versions; imports nothing of ours.
"""

import sys

FRAME_LOCALS_WRITE_THROUGH = sys.version_info >= (3, 13)
"""PEP 667: ``frame.f_locals`` of a function is a proxy that writes to the fast locals. Before, it
is a snapshot dict that must be pushed back with ``PyFrame_LocalsToFast``."""

FRAME_LINKS_KNOWN = sys.implementation.name == "cpython" and sys.version_info < (3, 15)
"""Where a frame keeps the link to its caller: PyFrameObject.f_frame, then `previous`, which is the
second word of _PyInterpreterFrame. Seen on 3.12 to 3.14; a newer one must be looked at first."""

MONITORING_TOOL_IDS = (4, 3, 1, 2)
"""Ids of sys.monitoring to try, in this order. Not 0: debugpy claims it as its own when it is
imported later, and from 3.14 pdb's monitoring backend does, and both fail if it is taken. 5 is the
optimizer's."""


def _type_of_locals() -> type:
    return type(sys._getframe().f_locals)


FRAME_LOCALS_TYPE = _type_of_locals()
"""What ``frame.f_locals`` of a function is: a write-through proxy, or before 3.13 a dict."""
