"""Reads the plain parts of Python objects in another process: types, strings, numbers, tuples.

Owns how these lie in memory in each version. Every address is doubted: what isn't an object of the
kind that is asked for raises ``Unreadable``, and no size that was read is believed beyond a limit.
Must not know frames, or how values are shown.
Thread rule: one thread at a time; what is remembered holds for one look, see ``forget``.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .memory import TOP, Memory, Unreadable
from .offsets import Offsets

INT, LIST, TUPLE, BYTES, STR, DICT, EXCEPTION, TYPE = (1 << bit for bit in range(24, 32))
"""The flags of a type whose values are of this builtin type or of a subclass."""

READY = 1 << 12  # Py_TPFLAGS_READY
HEAP_TYPE = 1 << 9
MANAGED_DICT = 1 << 4
INLINE_VALUES = 1 << 2

LARGEST = 1 << 40
"""No object has so many bytes or items: the number is garbage."""

_STRING_LIMIT = 4096
_FIRST_BYTES = 192  # of a string, read at once with its head


@dataclass(frozen=True, slots=True)
class Type:
    """A class of the other process."""

    address: int
    full_name: str  # tp_name: with the module for types made in C
    flags: int
    basic_size: int
    item_size: int
    dict_offset: int
    members: int  # address of its PyMemberDef
    dict: int
    mro: int

    @property
    def name(self) -> str:
        return self.full_name.rpartition(".")[2]

    def is_a(self, kind: int) -> bool:
        """Whether its values are of a builtin type: ``INT``, ``LIST`` ..."""
        return bool(self.flags & kind)


class Objects:
    """The objects of one process."""

    def __init__(self, memory: Memory, offsets: Offsets) -> None:
        self.memory = memory
        self.offsets = offsets
        self.version = offsets.version
        self._types: dict[int, Type] = {}
        self._names: dict[int, str] = {}
        self._type_at = offsets["pyobject.ob_type"]
        self._state_at = offsets["unicode_object.state"]
        self._length_at = offsets["unicode_object.length"]
        self._ascii_size = offsets["unicode_object.asciiobject_size"]
        self._compact_size = offsets["unicode_object.compactunicodeobject_size"]
        self._type_size = offsets["type_object.tp_mro"] + 8
        self._digits_at = offsets["long_object.ob_digit"]

    def forget(self) -> None:
        """Read types anew: they may have been freed, and others be in their places."""
        self._types.clear()
        self._names.clear()

    def type_of(self, address: int) -> Type:
        """Return the class of the object at an address, if there is an object."""
        if address & 7 or not 4096 <= address < TOP:
            raise Unreadable(f"no object at {address:#x}")
        return self.type_at(self.memory.word(address + self._type_at))

    def type_at(self, address: int) -> Type:
        """Return the class at an address, if there is a class."""
        known = self._types.get(address)
        if known is None:
            known = self._types[address] = self._read_type(address, check_meta=True)
        return known

    def is_object(self, address: int) -> bool:
        """Whether an object is there, as far as that can be told."""
        try:
            self.type_of(address)
        except Unreadable:
            return False
        return True

    def text(self, address: int, limit: int = _STRING_LIMIT) -> str:
        """Return the string at an address, cut at ``limit`` characters."""
        return self.text_and_length(address, limit)[0]

    def text_and_length(self, address: int, limit: int = _STRING_LIMIT) -> tuple[str, int]:
        """Return the beginning of the string at an address, and how long it is in all."""
        if address & 7 or not 4096 <= address < TOP:
            raise Unreadable(f"no string at {address:#x}")
        data = self.memory.read_many([(address, self._ascii_size + _FIRST_BYTES)])[0]
        if data is None:  # at the end of what is mapped
            data = self.memory.read(address, self._ascii_size)
        return self.text_from(address, data, limit)

    def text_from(self, address: int, data: bytes, limit: int = _STRING_LIMIT) -> tuple[str, int]:
        """As ``text_and_length``, where the object's first bytes are read already."""
        (length,) = _WORD.unpack_from(data, self._length_at)
        state = data[self._state_at]
        kind, is_compact, is_ascii = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if kind not in (1, 2, 4) or length > LARGEST:
            raise Unreadable(f"no string at {address:#x}")
        at = self._ascii_size if is_ascii else self._compact_size
        size = min(length, limit) * kind
        if not is_compact:
            raw = self.memory.read(
                self.memory.word(address + self.offsets["unicode_object.data"]), size
            )
        elif at + size <= len(data):
            raw = data[at : at + size]
        else:
            raw = self.memory.read(address + at, size) if size else b""
        codec = ("latin-1", "utf-16-le", "utf-32-le")[kind >> 1]
        try:
            return raw.decode(codec, "surrogatepass"), length
        except UnicodeDecodeError:
            raise Unreadable(f"no string at {address:#x}") from None

    def name(self, address: int) -> str:
        """Return a short string, a name mostly; the same address is read once in a look."""
        known = self._names.get(address)
        if known is None:
            known = self._names[address] = self.text(address, 512)
        return known

    def names(self, addresses: list[int]) -> list[str | None]:
        """Return short strings, read together; None for what is no string."""
        size = self._ascii_size + _FIRST_BYTES
        missing = [a for a in dict.fromkeys(addresses) if a not in self._names]
        for address, data in zip(
            missing, self.memory.read_many([(a, size) for a in missing]), strict=True
        ):
            try:
                if data is None:
                    self._names[address] = self.text(address, 512)
                elif self._is_text(data):
                    self._names[address] = self.text_from(address, data, 512)[0]
            except Unreadable:
                continue
        return [self._names.get(address) for address in addresses]

    def integer(self, address: int, most_digits: int = 1 << 10) -> int | None:
        """Return the int at an address, None if it has more than so many digits of 30 bits."""
        sign, count = self._int_head(address)
        if count > most_digits:
            return None
        value = 0
        if count:
            digits = self.memory.read(address + self._digits_at, 4 * count)
            for (digit,) in reversed(list(struct.iter_unpack("<I", digits))):
                value = value << 30 | digit
        return -value if sign < 0 else value

    def integers(self, addresses: list[int]) -> list[int | None]:
        """Return small ints, read together; None for what is none."""
        found: list[int | None] = []
        size = self._digits_at + 12
        for address, data in zip(
            addresses, self.memory.read_many([(one, size) for one in addresses]), strict=True
        ):
            try:
                if data is None or not self.type_at(_WORD.unpack_from(data, self._type_at)[0]).is_a(
                    INT
                ):
                    found.append(None)
                    continue
                sign, count = self._int_head(address, data)
                digits = struct.unpack_from("<3I", data, self._digits_at)[:count]
                value = sum(digit << 30 * place for place, digit in enumerate(digits))
                found.append(sign * value if count <= 3 else self.integer(address))
            except Unreadable:
                found.append(None)
        return found

    def integer_bits(self, address: int) -> int:
        """Return about how many bits the int at an address has; negative for a negative one."""
        sign, count = self._int_head(address)
        top = self.memory.read(address + self._digits_at + 4 * (count - 1), 4) if count else b""
        return sign * (30 * max(count - 1, 0) + int.from_bytes(top, "little").bit_length())

    def float(self, address: int) -> float:
        data = self.memory.read(address + self.offsets["float_object.ob_fval"], 8)
        return float(struct.unpack("<d", data)[0])

    def data(self, address: int, limit: int) -> tuple[bytes, int]:
        """Return the beginning of the bytes object at an address, and its length."""
        length = self.size(address)
        at = address + self.offsets["bytes_object.ob_sval"]
        return self.memory.read(at, min(length, limit)) if length else b"", length

    def size(self, address: int) -> int:
        """Return how many items a list, tuple or bytes object has."""
        size = self.memory.word(address + self.offsets["var_object.ob_size"])
        if size > LARGEST:
            raise Unreadable(f"{size} items at {address:#x}")
        return size

    def tuple_items(self, address: int, start: int = 0, stop: int | None = None) -> list[int]:
        """Return the addresses of items of a tuple."""
        at = address + self.offsets["tuple_object.ob_item"]
        return self.words(at, start, min(self.size(address), LARGEST if stop is None else stop))

    def list_items(self, address: int, start: int, stop: int) -> list[int]:
        """Return the addresses of items of a list."""
        at = self.memory.word(address + self.offsets["list_object.ob_item"])
        return self.words(at, start, min(self.size(address), stop))

    def words(self, at: int, start: int, stop: int) -> list[int]:
        """Return the words ``start`` to ``stop`` of an array."""
        count = stop - start
        if count <= 0:
            return []
        if count > 1 << 24:
            raise Unreadable(f"{count} items at {at:#x}")
        return list(struct.unpack(f"<{count}Q", self.memory.read(at + 8 * start, 8 * count)))

    def mro(self, cls: Type) -> Iterator[Type]:
        """Yield the classes that a class inherits from, itself first."""
        if cls.mro:
            for address in self.tuple_items(cls.mro, 0, 256):
                yield self.type_at(address)
        else:
            yield cls

    def _is_text(self, data: bytes) -> bool:
        (cls,) = _WORD.unpack_from(data, self._type_at)
        try:
            return self.type_at(cls).is_a(STR)
        except Unreadable:
            return False

    def _int_head(self, address: int, data: bytes = b"") -> tuple[int, int]:
        """Return the sign of an int, and how many digits of 30 bits it has."""
        is_new = self.version >= (3, 12)
        at = self.offsets["long_object.lv_tag" if is_new else "long_object.ob_size"]
        head = _WORD.unpack_from(data, at)[0] if data else self.memory.word(address + at)
        if is_new:
            tag = int(head)
            sign, count = (1, 0, -1, -1)[tag & 3], tag >> 3
        else:
            size = int(head)
            sign = -1 if size >> 63 else 1
            count = (1 << 64) - size if sign < 0 else size
        if count > LARGEST:
            raise Unreadable(f"no int at {address:#x}")
        return sign, count

    def _read_type(self, address: int, check_meta: bool) -> Type:
        if address & 7 or not 4096 <= address < TOP:
            raise Unreadable(f"no class at {address:#x}")
        data = self.memory.read(address, self._type_size)
        known = self.offsets

        def word(name: str) -> int:
            return int(_WORD.unpack_from(data, known[f"type_object.{name}"])[0])

        flags = word("tp_flags")
        basic_size, item_size = word("tp_basicsize"), word("tp_itemsize")
        if not flags & READY or not 0 < basic_size < 1 << 24 or item_size >= 1 << 24:
            raise Unreadable(f"no class at {address:#x}")
        (meta,) = _WORD.unpack_from(data, self._type_at)
        if check_meta and meta != address:
            kind = self._types.get(meta) or self._read_type(meta, check_meta=False)
            if not kind.is_a(TYPE):
                raise Unreadable(f"no class at {address:#x}")
        return Type(
            address,
            self.memory.text(word("tp_name")),
            flags,
            basic_size,
            item_size,
            _signed(word("tp_dictoffset")),
            word("tp_members"),
            word("tp_dict"),
            word("tp_mro"),
        )


_WORD = struct.Struct("<Q")


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
