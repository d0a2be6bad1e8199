"""Functions of the C API that Python doesn't offer, and words of this process's own memory.

Owns the calls' prototypes; must not know what they are called for. They are made of `_ctypes`, when
the first is needed: loading it opens a descriptor in some builds, and ctypes itself has prototypes
that are the guest's too. Any thread that holds the GIL may call.
"""

import functools
import os
import sys
from dataclasses import dataclass
from typing import Any, Final

WORD: Final = tuple.__itemsize__
"""The bytes of a pointer."""


@dataclass(frozen=True, slots=True)
class Functions:
    """Calls of C code, with the arguments that their names in the C API have."""

    thread_state: Any
    leave_tracing: Any
    enter_tracing: Any
    set_async_exc: Any
    locals_to_fast: Any
    """None where frames write through to their locals."""
    pointer: Any
    """The type of a pointer, which has ``from_address``."""


@functools.cache
def functions() -> Functions:
    """Return the functions; the first call loads what they are made of."""
    import _ctypes

    simple: Any = _ctypes._SimpleCData
    pointer, int_, unsigned_long, object_ = (
        type(f"_{code}", (simple,), {"_type_": code}) for code in "PiLO"
    )
    is_windows = os.name == "nt"
    handle = vars(sys)["dllhandle"] if is_windows else _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None is the program
    library = type("_Interpreter", (), {"_handle": handle})

    def function(name: str, result: Any, *arguments: Any) -> Any:
        flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI
        kind: Any = type(name, (_ctypes.CFuncPtr,), {"_flags_": flags, "_restype_": result})
        found = kind((name, library))
        found.argtypes = arguments
        return found

    writes_through = sys.version_info >= (3, 13)
    return Functions(
        function("PyThreadState_Get", pointer),
        function("PyThreadState_LeaveTracing", None, pointer),
        function("PyThreadState_EnterTracing", None, pointer),
        function("PyThreadState_SetAsyncExc", int_, unsigned_long, pointer),
        None if writes_through else function("PyFrame_LocalsToFast", None, object_, int_),
        pointer,
    )


def word_at(address: int) -> int | None:
    """Return the pointer that lies at an address; None for a null pointer."""
    found: int | None = functions().pointer.from_address(address).value
    return found
