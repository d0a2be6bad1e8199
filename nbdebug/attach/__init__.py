"""Finds other Python processes, looks into them, puts the agent into them.

Importing it imports nothing else: what it offers is imported when it is used.
"""

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name == "records":  # `nbdebug.attach.records()`, without an import before it
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
