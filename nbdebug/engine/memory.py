"""Where in memory a value lies: an element of a buffer, a slot of a list; and what is there now.

Owns the finding and the reading; must not know how a change is noticed. A place is found anew at
each look, since lists and arrays move when they grow: memory that was freed is never read. What can
be referred to weakly is; a list or bytearray can't be, and is kept alive unless a `Holder` does it.

Threads: any that holds the GIL. Source: Include/cpython/listobject.h, PEP 3118.
"""

import ctypes
import os
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nbdebug import errors
from nbdebug.engine import libraries, physical
from nbdebug.engine.libraries import Kind

_FORMAT_AND_STRIDES: Final = 0x1C
"""PyBUF_FULL_RO without indirect buffers: PyBUF_STRIDES | PyBUF_FORMAT."""

_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)
_OB_ITEM: Final = ctypes.sizeof(ctypes.c_ssize_t) * 2 + _POINTER
"""Where a PyListObject has its items: after the reference count, the type and the length."""


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
        ("suboffsets", ctypes.POINTER(ctypes.c_ssize_t)),
        ("internal", ctypes.c_void_p),
    )


# Prototypes of our own: setting argtypes on ctypes.pythonapi would change it for the guest.
_get_buffer = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.py_object, ctypes.POINTER(_Buffer), ctypes.c_int
)(("PyObject_GetBuffer", ctypes.pythonapi))
_release_buffer = ctypes.PYFUNCTYPE(None, ctypes.POINTER(_Buffer))(
    ("PyBuffer_Release", ctypes.pythonapi)
)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes in memory."""

    address: int
    length: int


Holder = Callable[[], Any]
"""Returns the owner of a place, None once it is gone: for owners that can't be referred to weakly.
"""


class Place(Protocol):
    """Something that lies in memory, as long as it is there."""

    def span(self) -> Span | None:
        """Return where it is now; None if it is gone."""

    def read(self) -> bytes | None:
        """Return what is there now; None if it is gone."""


@dataclass(frozen=True, slots=True)
class BufferSpan:
    """A buffer as its exporter describes it; the address is valid while it doesn't move."""

    address: int
    itemsize: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def buffer_of(value: object) -> BufferSpan:
    """Describe an object's buffer. Raises NotSupported where it has none that lies in one piece."""
    view = _Buffer()
    try:
        _get_buffer(_with_buffer(value), ctypes.byref(view), _FORMAT_AND_STRIDES)
    except Exception as error:
        name = physical.name_of(type(value))
        raise errors.NotSupported(f"A {name} has no buffer to watch: {error}.") from error
    try:
        dims = range(view.ndim)
        shape = tuple(view.shape[i] for i in dims)
        return BufferSpan(view.buf or 0, view.itemsize, shape, tuple(view.strides[i] for i in dims))
    finally:
        _release_buffer(ctypes.byref(view))


class BufferItems:
    """One element of a buffer, or elements side by side: ``array[i, j]``, ``data[2:6]``.

    ``start`` has an index for each dimension; the elements are ``count`` along the last one.
    Raises NotSupported, or IndexError as the buffer's own indexing would.
    """

    def __init__(
        self,
        owner: object,
        start: int | tuple[int, ...],
        count: int = 1,
        holder: Holder | None = None,
    ) -> None:
        self._owner = holder or _weakly(owner)
        self._start = start if isinstance(start, tuple) else (start,)
        self._count = count
        self._span_in(buffer_of(owner))

    def span(self) -> Span | None:
        """Return where the elements are now; None if the buffer is gone, or has become shorter."""
        owner = self._owner()
        if owner is None:
            return None
        try:
            return self._span_in(buffer_of(owner))
        except (errors.NotSupported, IndexError):
            return None

    def read(self) -> bytes | None:
        """Return the elements' bytes."""
        owner = self._owner()  # held while it is read
        span = self.span()
        return None if owner is None or span is None else ctypes.string_at(*_pair(span))

    def _span_in(self, buffer: BufferSpan) -> Span:
        if len(self._start) != len(buffer.shape):
            raise errors.NotSupported(
                f"This buffer has {len(buffer.shape)} dimensions, and {len(self._start)} "
                "were named."
            )
        offset = 0
        for index, size, stride in zip(self._start, buffer.shape, buffer.strides, strict=True):
            place = index + size if index < 0 else index
            if not 0 <= place < size:
                raise IndexError("index out of range")
            offset += place * stride
        last, size = self._start[-1], buffer.shape[-1]
        if (last + size if last < 0 else last) + self._count > size or self._count < 1:
            raise IndexError("index out of range")
        if self._count > 1 and buffer.strides[-1] != buffer.itemsize:
            raise errors.NotSupported("These elements don't lie side by side in memory.")
        return Span(buffer.address + offset, buffer.itemsize * self._count)


class BufferBytes:
    """Bytes of a buffer, by their offset. Raises NotSupported."""

    def __init__(
        self, owner: object, offset: int, length: int, holder: Holder | None = None
    ) -> None:
        self._owner = holder or _weakly(owner)
        self._offset, self._length = offset, length
        self._span_in(buffer_of(owner))

    def span(self) -> Span | None:
        """Return where the bytes are now; None if the buffer is gone, or has become shorter."""
        owner = self._owner()
        if owner is None:
            return None
        try:
            return self._span_in(buffer_of(owner))
        except errors.NotSupported:
            return None

    def read(self) -> bytes | None:
        """Return the bytes."""
        owner = self._owner()  # held while it is read
        span = self.span()
        return None if owner is None or span is None else ctypes.string_at(*_pair(span))

    def _span_in(self, buffer: BufferSpan) -> Span:
        size = buffer.itemsize
        for count, stride in zip(reversed(buffer.shape), reversed(buffer.strides), strict=True):
            if count > 1 and stride != size:
                raise errors.NotSupported("Its elements don't lie side by side in memory.")
            size *= count
        if self._offset + self._length > size:
            raise errors.NotSupported(f"It has {size - self._offset} bytes there.")
        return Span(buffer.address + self._offset, self._length)


class ListSlot:
    """One slot of a list: which object stands there, not what is in that object.

    Raises NotSupported where this interpreter lays its lists out in another way.
    """

    def __init__(self, owner: list[Any], index: int, holder: Holder | None = None) -> None:
        if not isinstance(owner, list):
            raise errors.NotSupported(f"A {physical.name_of(type(owner))} isn't a list.")
        self._owner = holder or _weakly(owner)
        self._index = index
        owner[index]  # raises IndexError
        if self.read() != id(owner[index]).to_bytes(_POINTER, sys.byteorder):
            raise errors.NotSupported("This Python lays its lists out in a way that isn't known.")

    def span(self) -> Span | None:
        """Return where the slot is now; None if the list is gone, or has become shorter."""
        owner = self._owner()
        if owner is None:
            return None
        size = list.__len__(owner)
        place = self._index + size if self._index < 0 else self._index
        if not 0 <= place < size:
            return None
        items = ctypes.c_void_p.from_address(id(owner) + _OB_ITEM).value
        return None if items is None else Span(items + place * _POINTER, _POINTER)

    def read(self) -> bytes | None:
        """Return the address of the object in the slot, as bytes."""
        owner = self._owner()  # held while it is read
        span = self.span()
        return None if owner is None or span is None else ctypes.string_at(*_pair(span))


class ItemsPointer:
    """Where a list or bytearray says where its items are: it is written when they move.

    Raises NotSupported where this interpreter lays them out in another way.
    """

    def __init__(self, owner: Any, holder: Holder | None = None) -> None:
        self._owner = holder or _weakly(owner)
        items = ListSlot(owner, 0).span() if isinstance(owner, list) else None
        address = items.address if items is not None else buffer_of(owner).address
        size = (list if isinstance(owner, list) else bytearray).__basicsize__ // _POINTER
        words = (ctypes.c_void_p * size).from_address(id(owner))
        # The last one: a bytearray has two, and its beginning moves alone.
        found = [i for i in range(size) if words[i] == address]
        if not found:
            raise errors.NotSupported("This Python lays its lists out in a way that isn't known.")
        self._offset = found[-1] * _POINTER

    def span(self) -> Span | None:
        """Return where the pointer is; None if the owner is gone."""
        owner = self._owner()
        return None if owner is None else Span(id(owner) + self._offset, _POINTER)

    def read(self) -> bytes | None:
        """Return the pointer."""
        owner = self._owner()  # held while it is read
        span = self.span()
        return None if owner is None or span is None else ctypes.string_at(*_pair(span))


class RawPlace:
    """Bytes at an address, whatever is there. Raises NotSupported where nothing can be read."""

    def __init__(self, address: int, length: int) -> None:
        self._span = Span(address, length)
        if length < 1 or self.read() is None:
            raise errors.NotSupported(f"Nothing can be read at {address:#x}.")

    def span(self) -> Span | None:
        """Return the bytes' place; None once the memory has been given back."""
        return None if self.read() is None else self._span

    def read(self) -> bytes | None:
        """Return the bytes, by way of the system: reading what isn't there ends no process."""
        try:
            with open("/proc/self/mem", "rb", buffering=0) as file:
                found = os.pread(file.fileno(), self._span.length, self._span.address)
        except (OSError, OverflowError, ValueError):
            return None
        return found if len(found) == self._span.length else None


def _with_buffer(value: object) -> object:
    """Return the value, or for numpy's dates, which export no buffer, a view of the same memory."""
    if libraries.kind_of(type(value)) is Kind.ARRAY:
        array = libraries.plain_array(value)
        if array.dtype.kind in "mM":
            return array.view("i8")
    return value


def _pair(span: Span) -> tuple[int, int]:
    return span.address, span.length


def _weakly(owner: object) -> Callable[[], Any]:
    """Return what returns the owner while it lives."""
    try:
        return weakref.ref(owner)
    except TypeError:
        return lambda: owner
