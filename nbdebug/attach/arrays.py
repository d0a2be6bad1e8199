"""numpy's arrays in another process: shape, type and items.

Owns the layout of an array, whose beginning is alike in numpy 1 and 2, and the numbers that it can
hold. Knows arrays by what their class is called.
Thread rule: one thread at a time.
Source: numpy's ndarraytypes.h, `PyArrayObject_fields` and `PyArray_Descr`.
"""

import struct
from typing import NamedTuple

from .memory import Unreadable
from .objects import Objects

CLASS = "numpy.ndarray"

FORMS = {
    "?": "?",
    "b": "b",
    "B": "B",
    "h": "h",
    "H": "H",
    "i": "i",
    "I": "I",
    "l": "q",
    "L": "Q",
    "q": "q",
    "Q": "Q",
    "e": "e",
    "f": "f",
    "d": "d",
}
"""numpy's character of a type -> struct's."""

NAMES = {
    "?": "bool",
    "b": "int8",
    "B": "uint8",
    "h": "int16",
    "H": "uint16",
    "i": "int32",
    "I": "uint32",
    "l": "int64",
    "L": "uint64",
    "q": "int64",
    "Q": "uint64",
    "e": "float16",
    "f": "float32",
    "d": "float64",
    "g": "longdouble",
    "F": "complex64",
    "D": "complex128",
    "O": "object",
    "S": "bytes",
    "U": "str",
    "M": "datetime64",
    "m": "timedelta64",
    "V": "void",
}


class Head(NamedTuple):
    """What an array says of itself; ``character`` is "" where its numbers aren't in our order."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    character: str  # of its type
    data: int  # address

    @property
    def length(self) -> int:
        """How many numbers can be shown one by one: those of one dimension."""
        return self.shape[0] if len(self.shape) == 1 and self.character in FORMS else 0


def head(objects: Objects, address: int) -> Head:
    """Return what the array at an address says of itself."""
    memory = objects.memory
    data, dimensions, shape_at, strides_at, _, kind = struct.unpack(
        "<QixxxxQQQQ", memory.read(address + 16, 48)
    )
    if not 0 <= dimensions <= 64:
        raise Unreadable(f"no array at {address:#x}")
    shape = tuple(objects.words(shape_at, 0, dimensions))
    strides = struct.unpack(f"<{dimensions}q", memory.read(strides_at, 8 * dimensions))
    said = memory.read(kind + 24, 3).decode("latin-1")  # kind, type, byte order
    return Head(shape, strides, "" if said[2] == ">" else said[1], data)


def items(objects: Objects, address: int, start: int, stop: int) -> list[int | float | bool]:
    """Return numbers of an array of one dimension."""
    array = head(objects, address)
    form = FORMS[array.character]
    size = struct.calcsize(form)
    positions = range(start, min(stop, array.length))
    places = [(array.data + at * array.strides[0], size) for at in positions]
    found = []
    for raw in objects.memory.read_many(places):
        if raw is None:
            raise Unreadable(f"an item of the array at {address:#x}")
        found.append(struct.unpack(form, raw)[0])
    return found
