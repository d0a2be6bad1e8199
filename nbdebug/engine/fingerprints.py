"""Has this whole value changed? A fingerprint of a list, array or table, bounded in size.

Owns what is looked at, and says what isn't. A fingerprint costs the same for a value of any size,
some microseconds: of large ones only a sample is compared, and a change elsewhere isn't seen. It
runs none of the value's code; of pandas only attributes that hold its blocks are read.

Threads: any that holds the GIL; the value may change meanwhile, and the next look sees it.
"""

import ctypes
import zlib
from dataclasses import dataclass
from typing import Any, Final

from nbdebug import errors
from nbdebug.engine import libraries, physical
from nbdebug.engine.libraries import Kind
from nbdebug.engine.memory import BufferSpan, buffer_of

ITEMS: Final = 512
"""So many items of a list are looked at, spread over all of it."""
BYTES: Final = 4096
"""So many bytes of an array are, in pieces."""
_PIECES: Final = 16
_STRIDED_ITEMS: Final = 64
_BLOCKS: Final = 32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a value looked like. Two that differ: it has changed."""

    shape: tuple[Any, ...]
    checksum: int
    is_whole: bool

    @property
    def blind_spot(self) -> str | None:
        """Return, as a sentence, what a change may escape; None if all of the value is seen."""
        if self.is_whole:
            return None
        return "Only a sample of this large value is compared: a change elsewhere isn't seen."


def fingerprint(value: object) -> Fingerprint:
    """Return a value's fingerprint. Raises NotSupported for a value of another kind.

    Of containers it has the identities of the items, not what is in them: ``[[1], [2]]`` doesn't
    change when its first item does. A new item at the address of a dead one isn't told apart.
    """
    cls = type(value)
    if physical.is_a(value, list, tuple):
        return _of_sequence(value)
    if physical.is_a(value, dict):
        return _of_dict(value)
    if physical.is_a(value, set, frozenset):
        return _of_set(value)
    if libraries.kind_of(cls) in (Kind.FRAME, Kind.SERIES):
        return _of_table(value)
    return _of_buffer(value)


def _of_sequence(value: Any) -> Fingerprint:
    base: Any = list if physical.is_a(value, list) else tuple
    size = base.__len__(value)
    step = max(1, -(-size // ITEMS))
    items = physical.items(value, 0, size)[::step] if step == 1 else _spread(base, value, size)
    return Fingerprint((size,), _checksum(map(id, items)), step == 1)


def _spread(base: Any, value: Any, size: int) -> list[Any]:
    """The first and the last items, and some between: appends and pops change the ends."""
    end = ITEMS // 4
    step = max(1, (size - 2 * end) // (ITEMS - 2 * end))
    slices = (slice(0, end), slice(end, size - end, step), slice(size - end, size))
    return [item for part in slices for item in base.__getitem__(value, part)]


def _of_dict(value: Any) -> Fingerprint:
    size = dict.__len__(value)
    pairs = physical.pairs(value, 0, ITEMS)
    ids = (one for key, item in pairs for one in (id(key), id(item)))
    return Fingerprint((size,), _checksum(ids), size <= ITEMS)


def _of_set(value: Any) -> Fingerprint:
    base: Any = set if physical.is_a(value, set) else frozenset
    size = base.__len__(value)
    items = physical.between(base.__iter__, value, 0, ITEMS)
    return Fingerprint((size,), _checksum(map(id, items)), size <= ITEMS)


def _of_buffer(value: object) -> Fingerprint:
    span = buffer_of(value)
    checksum, is_whole = _checksum_of_buffer(span, BYTES)
    return Fingerprint((span.shape, span.itemsize), checksum, is_whole)


def _checksum_of_buffer(span: BufferSpan, limit: int) -> tuple[int, bool]:
    """Sum up the bytes at the ends and between them; the caller keeps the owner alive."""
    size = span.itemsize
    for count in span.shape:
        size *= count
    if not size:
        return 0, True
    if not _is_contiguous(span):
        return _checksum_of_strided(span)
    if size <= limit:
        return zlib.crc32(ctypes.string_at(span.address, size)), True
    piece, checksum = limit // _PIECES, 0
    for i in range(_PIECES):
        place = (size - piece) * i // (_PIECES - 1)
        checksum = zlib.crc32(ctypes.string_at(span.address + place, piece), checksum)
    return checksum, False


def _is_contiguous(span: BufferSpan) -> bool:
    """True if the elements fill one piece of memory, in whichever order."""
    expected = span.itemsize
    for count, stride in sorted(zip(span.shape, span.strides, strict=True), key=lambda d: d[1]):
        if count > 1 and stride != expected:
            return False
        expected *= count
    return True


def _checksum_of_strided(span: BufferSpan) -> tuple[int, bool]:
    """Sum up elements here and there of a view with gaps."""
    total = 1
    for count in span.shape:
        total *= count
    wanted = min(total, _STRIDED_ITEMS)
    checksum = 0
    for i in range(wanted):
        number = i * total // wanted
        address = span.address
        for count, stride in zip(reversed(span.shape), reversed(span.strides), strict=True):
            number, index = divmod(number, count)
            address += index * stride
        checksum = zlib.crc32(ctypes.string_at(address, span.itemsize), checksum)
    return checksum, wanted == total


def _of_table(value: Any) -> Fingerprint:
    """The labels' identities and each block's bytes. Columns of other makes count by identity."""
    manager = physical.member(value, "_mgr")
    axes, blocks = getattr(manager, "axes", None), getattr(manager, "blocks", None)
    if axes is None or blocks is None:
        raise errors.NotSupported("This pandas keeps its values in a way that isn't known.")
    shape = tuple(len(axis) for axis in axes)
    checksum = _checksum(map(id, axes))
    is_whole = len(blocks) <= _BLOCKS
    for block in blocks[:_BLOCKS]:
        values = block.values
        checksum = zlib.crc32(repr(block.mgr_locs.as_array[:ITEMS].tolist()).encode(), checksum)
        values = getattr(values, "_ndarray", values)
        try:
            more, block_is_whole = _checksum_of_buffer(buffer_of(values), BYTES)
        except errors.NotSupported:
            more, block_is_whole = id(values) & 0xFFFFFFFF, False
        checksum = zlib.crc32(more.to_bytes(4, "little"), checksum)
        is_whole = is_whole and block_is_whole
    return Fingerprint(shape, checksum, is_whole)


def _checksum(ids: Any) -> int:
    return zlib.crc32(b"".join(one.to_bytes(8, "little") for one in ids))
