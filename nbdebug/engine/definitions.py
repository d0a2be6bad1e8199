"""Where in the source a value was defined: functions, methods, classes, generators, coroutines.

Owns that look-up; runs none of the values' code. Threads: any that holds the values still.
"""

import types
from typing import Any

from nbdebug.engine import modules, physical
from nbdebug.engine.model import Location

_RUNNING = {
    id(types.GeneratorType): "gi_code",
    id(types.CoroutineType): "cr_code",
    id(types.AsyncGeneratorType): "ag_code",
    id(types.FrameType): "f_code",
}


def definition_of(value: Any) -> Location | None:
    """Return the place where what ``value`` is was defined, None where it isn't known."""
    if type(value) is types.MethodType:
        value = value.__func__
    if type(value) is types.FunctionType:
        return _of_code(value.__code__)
    running = _RUNNING.get(id(type(value)))
    if running is not None:
        return _of_code(getattr(value, running))
    return _of_class(value) if physical.is_a(value, type) else None


def _of_code(code: types.CodeType) -> Location:
    return Location(code.co_filename, code.co_firstlineno, code.co_qualname)


def _of_class(cls: type) -> Location | None:
    entries = physical.class_dict(cls)
    line = entries.get("__firstlineno__")  # from 3.13 on
    methods = (entry for entry in entries.values() if type(entry) is types.FunctionType)
    codes = (m.__code__ for m in methods if m.__module__ == physical.module_of(cls))
    first = min(codes, key=lambda code: code.co_firstlineno, default=None)
    path = first.co_filename if first else modules.file_of(physical.module_of(cls))
    if path is None or not (first or type(line) is int):
        return None
    at = line if type(line) is int else first.co_firstlineno if first else 1
    return Location(path, at, physical.qualname_of(cls))
