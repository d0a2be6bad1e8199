"""Finds other Python processes, looks into them, puts the agent into them.

Importing it imports nothing else: what it offers is imported when it is used. The package can be
called, as `nbdebug.attach(4711)`.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Attach(ModuleType):
    """This package, as what it does when it is called."""

    def __call__(self, target: int | str, **options: Any) -> Any:
        """See `nbdebug.api.attaching.Attach`: the session is the API's."""
        return importlib.import_module("nbdebug.api.attaching").attach(target, **options)


sys.modules[__name__].__class__ = _Attach


def __getattr__(name: str) -> ModuleType:
    if name == "records":  # `nbdebug.attach.records()`, without an import before it
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
