"""Whether C code stands between two Python frames, and whether an exception gets through it.

Owns what is known of C code that calls Python; reads the interpreter's own link from a frame to its
caller, which Python doesn't show. Only for frames that run, on their own thread.
"""

import functools
import sys
from types import BuiltinFunctionType, FrameType, FunctionType, MethodDescriptorType, MethodType

from nbdebug import compat
from nbdebug.engine import physical
from nbdebug.engine.bytecode import UNKNOWN, Code
from nbdebug.engine.capi import WORD, word_at
from nbdebug.engine.sources import is_class_body

_FRAME_POINTER = object.__basicsize__ + WORD  # behind f_back, in PyFrameObject
_PREVIOUS = WORD  # behind the code, in _PyInterpreterFrame

# What C code may take for an answer rather than an error.
_ANSWERS = (AttributeError, StopIteration, StopAsyncIteration, GeneratorExit)
_ASKED = frozenset(
    {"__len__", "__length_hint__", "__getitem__", "__getattr__", "__getattribute__", "__del__"}
)
_CALLED_BY_STATEMENTS = frozenset(
    {"__enter__", "__exit__", "__aenter__", "__aexit__", "__init__", "__new__", "__call__"}
)
# Instructions that call a special method and hand on what it raises.
_SLOTS = (
    "BEFORE_",
    "BINARY_",
    "COMPARE_",
    "CONTAINS_",
    "CONVERT_VALUE",
    "DELETE_ATTR",
    "DELETE_SUBSCR",
    "DICT_",
    "FORMAT_",
    "FOR_ITER",
    "GET_",
    "IMPORT_",
    "LIST_EXTEND",
    "LOAD_ATTR",
    "LOAD_SPECIAL",
    "LOAD_SUPER_ATTR",
    "POP_JUMP_IF_",
    "SEND",
    "SET_UPDATE",
    "STORE_ATTR",
    "STORE_SLICE",
    "STORE_SUBSCR",
    "TO_BOOL",
    "UNARY_",
    "UNPACK_",
    "WITH_EXCEPT_START",
)
# Modules whose C code hands on what the Python code that it calls raises.
_HAND_ON = frozenset(
    {
        "_bisect",
        "_collections",
        "_csv",
        "_functools",
        "_heapq",
        "_json",
        "_operator",
        "_pickle",
        "_sre",
        "builtins",
        "collections",
        "functools",
        "itertools",
        "math",
        "operator",
        "re",
    }
)
_TAKE = frozenset({"getattr", "hasattr", "next"})


def hands_on(inner: FrameType, outer: FrameType, code: Code, cls: type) -> bool:
    """True if an exception of ``cls`` that leaves ``inner`` surely comes to ``outer``.

    ``code`` is that of ``outer``.
    """
    if _is_direct(inner, outer):
        return True
    name = inner.f_code.co_name
    if any(physical.inherits(cls, answer) for answer in _ANSWERS) or name in _ASKED:
        return False
    at = code.start_of(outer.f_lasti)
    instruction = code.name_at(at)
    if not instruction.startswith("CALL"):
        return instruction.startswith(_SLOTS)
    if name in _CALLED_BY_STATEMENTS or is_class_body(inner.f_code):
        return True
    return _calls_on(code.callee(at, outer), inner)


def _calls_on(callee: object, inner: FrameType) -> bool:
    if callee is UNKNOWN:
        return False
    kind = type(callee)
    if kind is MethodType:
        return _calls_on(callee.__func__, inner)  # type: ignore[attr-defined]  # it is a method
    if kind is FunctionType:
        return callee.__code__ is inner.f_code  # type: ignore[attr-defined]  # it is a function
    if kind is BuiltinFunctionType:
        return callee.__module__ in _HAND_ON and callee.__name__ not in _TAKE  # type: ignore[attr-defined]  # as above
    if kind is MethodDescriptorType:
        return physical.module_of(callee.__objclass__) in _HAND_ON  # type: ignore[attr-defined]  # as above
    of = callee if isinstance(callee, type) else kind
    return not physical.inherits(of, BaseException) and physical.module_of(of) in _HAND_ON


def _is_direct(inner: FrameType, outer: FrameType) -> bool:
    """True if the interpreter went from one frame to the other by itself, with no C in between."""
    return _can_tell() and _previous(inner) == _interpreter_frame(outer)


def _interpreter_frame(frame: FrameType) -> int | None:
    return word_at(id(frame) + _FRAME_POINTER)


def _previous(frame: FrameType) -> int | None:
    place = _interpreter_frame(frame)
    return None if place is None else word_at(place + _PREVIOUS)


@functools.cache
def _can_tell() -> bool:
    """Try it on two calls of which the answer is known; any other interpreter isn't read at all."""
    if not compat.FRAME_LINKS_KNOWN:
        return False

    directly = _is_called_directly(None)
    through_c = next(map(_is_called_directly, (None,)))
    return directly and not through_c


def _is_called_directly(_: object) -> bool:
    frame = sys._getframe()
    caller = frame.f_back
    return caller is not None and _previous(frame) == _interpreter_frame(caller)
