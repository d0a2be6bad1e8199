"""Where an ELF file, or a module in another process's memory, keeps a section or a symbol.

Owns the reading of 64-bit little-endian ELF: section headers of a file, and the dynamic symbols of
a module that is loaded. Knows nothing of Python. All numbers come from outside: what doesn't fit
raises ``NotElf``.
Thread rule: everything here may be called from any thread.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .memory import Memory

_LOAD, _DYNAMIC = 1, 2  # p_type
_NOBITS = 8  # sh_type
_WRITABLE = 2  # p_flags
_PAGE = 4096
_HASH, _STRTAB, _SYMTAB, _STRSZ, _GNU_HASH = 4, 5, 6, 10, 0x6FFFFEF5  # d_tag
_LIMIT = 1 << 26  # no table of a real file is larger


class NotElf(Exception):
    """The bytes aren't such a file, or contradict themselves."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a file: its address and size there, and the address of the file's first page.

    A module whose first page is mapped at ``base`` has the section at ``base + address - first``.
    """

    address: int
    size: int
    first: int


@dataclass(frozen=True, slots=True)
class _Header:
    segments_at: int
    segment_size: int
    segments: int
    sections_at: int
    section_size: int
    sections: int
    names: int


def section(path: Path, name: str) -> Section | None:
    """Return a section of a file, or None if it has none of that name.

    Raises:
        NotElf, OSError: the file can't be read, or isn't ELF.
    """
    with path.open("rb") as file:
        header = _header(file.read(64))
        for row in _sections(file, header):
            if row.name == name.encode():
                segments = _part(file, header.segments_at, header.segment_size * header.segments)
                return Section(row.address, row.size, _first_page(segments, header.segment_size))
    return None


def contents(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of those of these sections that a file has, and holds.

    Raises:
        NotElf, OSError: the file can't be read, or isn't ELF.
    """
    wanted = {name.encode(): name for name in names}
    with path.open("rb") as file:
        rows = [row for row in _sections(file, _header(file.read(64))) if row.name in wanted]
        return {
            wanted[row.name]: _part(file, row.at, row.size) for row in rows if row.kind != _NOBITS
        }


class _Row(NamedTuple):
    name: bytes
    kind: int
    address: int
    at: int  # bytes into the file
    size: int


def _sections(file: BinaryIO, header: _Header) -> list[_Row]:
    if not header.sections_at:
        return []
    table = _part(file, header.sections_at, header.section_size * header.sections)
    rows = [
        struct.unpack_from("<IIQQQQ", table, at) for at in range(0, len(table), header.section_size)
    ]
    if header.names >= len(rows):
        raise NotElf("no names of sections")
    names = _part(file, rows[header.names][4], rows[header.names][5])
    return [
        _Row(names[name_at : names.find(b"\0", name_at)], kind, address, at, size)
        for name_at, kind, _, address, at, size in rows
    ]


def symbols(memory: Memory, base: int, wanted: Iterable[str]) -> dict[str, int]:
    """Return the addresses of those of these symbols that a loaded module exports.

    ``base`` is where its first page is mapped. No file is read.

    Raises:
        NotElf, Unreadable: there is no module, or it contradicts itself.
    """
    header = _header(memory.read(base, 64))
    size = header.segment_size
    segments = memory.read(base + header.segments_at, size * header.segments)
    bias = base - _first_page(segments, size)
    tags = _dynamic_tags(memory, segments, size, bias)
    try:
        # The loader writes absolute addresses into some of these, and leaves others as they are.
        names_at, symbols_at = (_absolute(tags[tag], bias) for tag in (_STRTAB, _SYMTAB))
        count = _symbol_count(memory, tags, bias)
        names = memory.read(names_at, _bounded(tags[_STRSZ]))
        table = memory.read(symbols_at, _bounded(count * 24))
    except KeyError as error:
        raise NotElf(f"no dynamic tag {error}") from None
    found = {}
    offsets = {at: name for name in wanted for at in _offsets(names, name.encode() + b"\0")}
    for name_at, _, _, where, value, _ in struct.iter_unpack("<IBBHQQ", table):
        if where and name_at in offsets:
            found[offsets[name_at]] = bias + value
    return found


def slack(memory: Memory, base: int) -> tuple[int, int]:
    """Return the address and size of what a loaded module leaves unused of its last writable page.

    Raises:
        NotElf, Unreadable: there is no module, or nothing that is writable.
    """
    header = _header(memory.read(base, 64))
    size = header.segment_size
    segments = memory.read(base + header.segments_at, size * header.segments)
    bias = base - _first_page(segments, size)
    ends = [
        bias + struct.unpack_from("<Q", segments, at + 16)[0] + in_memory
        for at, (kind, _, in_memory, _) in zip(
            range(0, len(segments), size), _segments(segments, size), strict=False
        )
        if kind == _LOAD and struct.unpack_from("<I", segments, at + 4)[0] & _WRITABLE
    ]
    if not ends:
        raise NotElf("no segment that is writable")
    start = (max(ends) + 63) & ~63
    return start, -start % _PAGE


def _header(head: bytes) -> _Header:
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        raise NotElf("not a 64-bit little-endian ELF file")
    segments_at, sections_at = struct.unpack_from("<QQ", head, 32)
    segment_size, segments, section_size, sections, names = struct.unpack_from("<5H", head, 54)
    if segment_size < 56 or (sections and section_size < 64):
        raise NotElf("headers of an unknown size")
    return _Header(segments_at, segment_size, segments, sections_at, section_size, sections, names)


def _part(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(_bounded(size))
    if len(data) < size:
        raise NotElf("the file is cut off")
    return data


def _bounded(size: int) -> int:
    if size > _LIMIT:
        raise NotElf(f"a table of {size} bytes")
    return size


def _segments(table: bytes, size: int) -> list[tuple[int, int, int, int]]:
    """Return (type, address, size in memory, alignment) of each segment."""
    found = []
    for at in range(0, len(table) - size + 1, size):
        kind, _, _, address, _, _, in_memory, align = struct.unpack_from("<IIQQQQQQ", table, at)
        found.append((kind, address, in_memory, align))
    return found


def _first_page(table: bytes, size: int) -> int:
    for kind, address, _, align in _segments(table, size):
        if kind == _LOAD:
            return address - address % (align or 1)
    raise NotElf("no segment that is loaded")


def _dynamic_tags(memory: Memory, table: bytes, size: int, bias: int) -> dict[int, int]:
    for kind, address, in_memory, _ in _segments(table, size):
        if kind == _DYNAMIC:
            data = memory.read(bias + address, _bounded(in_memory - in_memory % 16))
            tags: dict[int, int] = {}
            for tag, value in struct.iter_unpack("<qQ", data):
                if not tag:
                    break
                tags[tag] = value
            return tags
    raise NotElf("no dynamic segment")


def _absolute(value: int, bias: int) -> int:
    return value if bias and value >= bias else value + bias


def _symbol_count(memory: Memory, tags: dict[int, int], bias: int) -> int:
    if _HASH in tags:
        _, count = struct.unpack("<II", memory.read(_absolute(tags[_HASH], bias), 8))
        return int(count)
    at = _absolute(tags[_GNU_HASH], bias)
    buckets, first, words, _ = struct.unpack("<IIII", memory.read(at, 16))
    buckets_at = at + 16 + words * 8
    heads = memory.read(buckets_at, _bounded(buckets * 4))
    last = max(struct.unpack(f"<{buckets}I", heads), default=0)
    if last < first:
        return int(first)
    chain = buckets_at + buckets * 4 + (last - first) * 4
    for _ in range(1 << 20):
        if memory.read(chain, 4)[0] & 1:  # the last of its chain
            return int(last) + 1
        chain += 4
        last += 1
    raise NotElf("an endless chain of symbols")


def _offsets(names: bytes, name: bytes) -> Iterable[int]:
    """Where a name ends a string: strings may share their ends."""
    at = names.find(name)
    while at >= 0:
        yield at
        at = names.find(name, at + 1)
