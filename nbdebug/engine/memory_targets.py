"""Which watched places lie in memory, and where: elements, slots of lists, bytes by an address.

Owns the way from a target to its place; must not know how changes are seen. Called where the target
is resolved: on a thread that holds the objects still.
"""

from types import FrameType
from typing import Any, Final

from nbdebug import errors
from nbdebug.engine import hardware, libraries, memory, physical
from nbdebug.engine.libraries import Kind
from nbdebug.engine.watch_targets import ItemTarget, MemoryTarget, Target
from nbdebug.engine.watch_values import MISSING, Owner, is_container

_MOVING: Final = (list, bytearray)
_PROCESSOR_BYTES: Final = 8 * hardware.SLOTS


def place_of(target: Target) -> memory.Place:
    """Return where in memory a target lies. Raises NotSupported with the reason."""
    if isinstance(target, MemoryTarget):
        return target.place
    owner = target.owner.get() if target.owner is not None else None
    if not isinstance(target, ItemTarget) or target.owner is None or owner is None:
        raise errors.NotSupported(f"`{target.text}` is no element of a list, array or buffer.")
    start, count = _indices(target)
    try:
        if type(owner) is list:
            if isinstance(target.key, slice):
                raise errors.NotSupported("A slice of a list isn't one place in memory.")
            return memory.ListSlot(owner, start[0], target.owner.get)
        if libraries.kind_of(type(owner)) is Kind.ARRAY and owner.dtype.hasobject:
            raise errors.NotSupported("An array of objects is watched by its content.")
        return memory.BufferItems(owner, start, count, target.owner.get)
    except IndexError as error:
        raise errors.NotSupported(f"`{target.text}` isn't there: {error}.") from error


def guard_of(target: Target) -> memory.Place | None:
    """Return where a list or bytearray says where its items are: it moves when it grows."""
    owner = target.owner.get() if target.owner is not None else None
    if target.owner is None or not isinstance(target, ItemTarget):
        return None
    if not physical.is_a(owner, *_MOVING):
        return None
    return memory.ItemsPointer(owner, target.owner.get)


def holds_more(target: Target) -> bool:
    """True for an item that is a container by itself, and no view of its owner's memory."""
    is_view = isinstance(target, ItemTarget) and isinstance(target.key, slice)
    return not is_view and is_container(target.read())


def bytes_of(target: Target, frame: FrameType | None, length: int) -> Target:
    """Return so many bytes from where a variable's buffer, or an element, begins.

    Where the processor can't watch them it is a part of the buffer, by its content. Raises
    NotWatchable.
    """
    text = f"{length} bytes of {target.text}"
    try:
        if length < 1:
            raise errors.NotSupported("There are no bytes to watch.")
        if isinstance(target, ItemTarget) and target.owner is not None:
            owner = target.owner.get()
            start = place_of(target).span()
            first = memory.buffer_of(owner).address
            offset = start.address - first if start is not None else 0
        else:
            owner, offset = target.read(frame), 0
        if owner is MISSING:
            raise errors.NotSupported(f"`{target.text}` has no value.")
        memory.BufferBytes(owner, offset, length)  # raises where there aren't so many
        if length <= _PROCESSOR_BYTES and hardware.why_not() is None:
            held = Owner(owner)
            place = memory.BufferBytes(owner, offset, length, held.get)
            return MemoryTarget(text, place, held)
        return ItemTarget(text, owner, _items(owner, offset, length))
    except errors.NotSupported as error:
        said = f"The memory of `{target.text}` can't be watched: {error}"
        raise errors.NotWatchable(said) from None


def at_address(text: str, length: int) -> Target:
    """Return bytes at an address, decimal or hexadecimal after ``0x``.

    Raises NotWatchable, NoAddressWatch where the processor's watchpoints aren't to be had.
    """
    try:
        address = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        raise errors.NotWatchable(f"`{text}` isn't an address.") from None
    reason = hardware.why_not()
    if reason is not None:
        raise errors.NoAddressWatch(f"Memory can't be watched: {reason}")
    try:
        hardware.parts_of(memory.Span(address, length))
        return MemoryTarget(f"{length} bytes at {address:#x}", memory.RawPlace(address, length))
    except errors.NotSupported as error:
        raise errors.NotWatchable(f"`{text}` can't be watched: {error}") from None


def _items(owner: object, offset: int, length: int) -> slice:
    """Return the slice that is these bytes."""
    buffer = memory.buffer_of(owner)
    if len(buffer.shape) != 1 or offset % buffer.itemsize or length % buffer.itemsize:
        size = buffer.itemsize
        raise errors.NotSupported(f"These aren't whole elements of {size} bytes in one row.")
    return slice(offset // buffer.itemsize, (offset + length) // buffer.itemsize)


def _indices(target: ItemTarget) -> tuple[tuple[int, ...], int]:
    """Return the first index of an item or slice by dimension, and how many items there are."""
    key = target.key
    keys: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)
    last = keys[-1] if keys else None
    count = 1
    if isinstance(last, slice):
        owner: Any = target.owner.get() if target.owner is not None else None
        shape = getattr(owner, "shape", None) or (len(owner),)
        start, stop, step = last.indices(shape[-1])
        if step != 1 or stop <= start:
            raise errors.NotSupported("A slice with steps isn't one place in memory.")
        keys, count = (*keys[:-1], start), stop - start
    if not keys or not all(physical.is_a(one, int) or _is_index(one) for one in keys):
        raise errors.NotSupported(f"`{target.text}` isn't one place in memory.")
    return tuple(int(one) for one in keys), count


def _is_index(value: Any) -> bool:
    return physical.module_of(type(value)) == "numpy" and hasattr(type(value), "__index__")
