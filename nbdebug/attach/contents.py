"""What is inside the objects of another process: items, keys and values, attributes.

Owns how dictionaries, sets, deques, instances, modules and classes keep what they hold, in each
version. A container that is changed while it is read may give a part twice or not at all, never an
endless one. Nothing here is code of the objects' classes.
Thread rule: one thread at a time.
Source: CPython's Objects/dictobject.c, setobject.c, Modules/_collectionsmodule.c.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from .memory import Unreadable
from .objects import DICT, INLINE_VALUES, INT, LARGEST, MANAGED_DICT, STR, Objects, Type

_AT_ONCE = 2048  # entries of a table that are read together
_BLOCK = 64  # items in a block of a deque
_MOST_ATTRIBUTES = 1 << 16
_NO_HASH = (1 << 64) - 1

_MEMBERS = {
    0: "<h",
    1: "<i",
    2: "<q",
    3: "<f",
    4: "<d",
    8: "<b",
    9: "<B",
    10: "<H",
    11: "<I",
    12: "<Q",
    14: "<?",
    17: "<q",
    18: "<Q",
    19: "<q",
}
"""The type of a member that C keeps as a number -> its form."""
_OBJECT, _OBJECT_OR_ERROR = 6, 16

type Number = int | float | bool


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute: the address of its value, or a number that C keeps as one."""

    name: str
    address: int
    number: Number | None = None


class Contents:
    """What the objects of one process hold."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._memory = objects.memory
        self._offsets = objects.offsets
        self._version = objects.version

    # -- containers

    def dict_size(self, address: int) -> int:
        size = self._word(address, "dict_object.ma_used")
        if size > LARGEST:
            raise Unreadable(f"{size} keys at {address:#x}")
        return size

    def pairs(self, address: int) -> Iterator[tuple[int, int]]:
        """Yield the addresses of a dictionary's keys and values, in its own order."""
        keys = self._word(address, "dict_object.ma_keys")
        values = self._word(address, "dict_object.ma_values")
        if values:
            values += self._offsets.get("dict_values.values") or 0
        for index, key, value in self._entries(keys):
            found = value
            if values:
                found = self._memory.word(values + 8 * index)
            if key and found:
                yield key, found

    def items_of_set(self, address: int) -> Iterator[int]:
        mask = self._word(address, "set_object.mask")
        table = self._word(address, "set_object.table")
        if mask > LARGEST:
            raise Unreadable(f"no set at {address:#x}")
        for start in range(0, mask + 1, _AT_ONCE):
            count = min(_AT_ONCE, mask + 1 - start)
            data = self._memory.read(table + 16 * start, 16 * count)
            for item, hash_ in struct.iter_unpack("<QQ", data):
                if item and hash_ != _NO_HASH:  # what has been removed keeps its place
                    yield item

    def set_size(self, address: int) -> int:
        size = self._word(address, "set_object.used")
        if size > LARGEST:
            raise Unreadable(f"{size} items at {address:#x}")
        return size

    def items_of_deque(self, address: int) -> Iterator[int]:
        """Yield the addresses of a deque's items."""
        count = self._objects.size(address)
        block, _, index = struct.unpack("<QQQ", self._memory.read(address + 24, 24))
        while count > 0:
            if index >= _BLOCK:
                raise Unreadable(f"no deque at {address:#x}")
            words = self._objects.words(block + 8, 0, _BLOCK + 1)
            here = words[index : min(_BLOCK, index + count)]
            yield from here
            count -= len(here)
            block, index = words[_BLOCK], 0

    # -- attributes

    def attributes(self, address: int) -> list[Attribute]:
        """Return the attributes of an instance: its dictionary's, then its slots and members."""
        objects = self._objects
        cls = objects.type_of(address)
        found: dict[str, Attribute] = {}
        for name, value in self.instance_items(address, cls):
            found.setdefault(name, Attribute(name, value))
        for base in objects.mro(cls):
            for member in self._members(address, base):
                found.setdefault(member.name, member)
        return list(found.values())

    def instance_items(self, address: int, cls: Type) -> list[tuple[str, int]]:
        """Return what an instance's own dictionary holds, whether there is a dict yet or not."""
        if cls.flags & MANAGED_DICT and self._version >= (3, 11):
            values, dictionary = self._managed(address, cls)
            if values:
                return self._inline(cls, values)
        else:
            at = self._dict_at(address, cls)
            dictionary = self._memory.word(address + at) if at else 0
        return self.named_items(dictionary) if dictionary else []

    def attribute_of_each(self, addresses: list[int], name: str) -> list[int]:
        """Return what instances have under a name, 0 for one that has nothing.

        Those of one class that keep their attributes without a dictionary are read together.
        """
        found = dict.fromkeys(addresses, 0)
        at = self._offsets["pyobject.ob_type"]
        words = self._memory.read_many([(address + at, 8) for address in addresses])
        groups: dict[bytes, list[int]] = {}
        for address, word in zip(addresses, words, strict=True):
            if word is not None:
                groups.setdefault(word, []).append(address)
        for word, group in groups.items():
            cls = self._objects.type_at(int.from_bytes(word, "little"))
            found |= self._inline_values(cls, group, name)
        for address, value in found.items():
            if not value:
                try:
                    items = self.instance_items(address, self._objects.type_of(address))
                    found[address] = dict(items).get(name, 0)
                except Unreadable:
                    continue
        return list(found.values())

    def named_items(self, dictionary: int) -> list[tuple[str, int]]:
        """Return what a dictionary holds under keys that are strings."""
        if not self._objects.type_of(dictionary).is_a(DICT):
            raise Unreadable(f"no dictionary at {dictionary:#x}")
        pairs = list(islice(self.pairs(dictionary), _MOST_ATTRIBUTES))
        names = self._objects.names([key for key, _ in pairs])
        return [
            (name, value) for name, (_, value) in zip(names, pairs, strict=True) if name is not None
        ]

    def find(self, dictionary: int, name: str) -> int | None:
        """Return what a dictionary has under a name, None if it has nothing."""
        if not name.isascii():
            return dict(self.named_items(dictionary)).get(name)
        if not self._objects.type_of(dictionary).is_a(DICT):
            raise Unreadable(f"no dictionary at {dictionary:#x}")
        pairs = list(islice(self.pairs(dictionary), _MOST_ATTRIBUTES))
        at, size = self._offsets["unicode_object.asciiobject_size"], len(name)
        wanted = name.encode("ascii")
        reads = self._memory.read_many([(key, at + size) for key, _ in pairs])
        for (key, value), data in zip(pairs, reads, strict=True):
            is_alike = data is not None and data[at:] == wanted
            if (
                is_alike
                and self._objects.type_of(key).is_a(STR)
                and self._objects.name(key) == name
            ):
                return value
        return None

    def module_dict(self, address: int) -> int:
        return self._word(address, "module_object.md_dict")

    def class_items(self, cls: Type) -> list[tuple[str, int]]:
        """Return a class's own dictionary; empty for the builtin ones of 3.12 and newer."""
        return self.named_items(cls.dict) if cls.dict else []

    def class_attribute(self, cls: Type, name: str) -> int | None:
        """Return what a class or one it inherits from has under a name."""
        for base in self._objects.mro(cls):
            for key, value in self.class_items(base):
                if key == name:
                    return value
        return None

    # -- inside

    def _word(self, address: int, name: str) -> int:
        return self._memory.word(address + self._offsets[name])

    def _entries(self, keys: int) -> Iterator[tuple[int, int, int]]:
        """Yield (index, key, value) of a table of keys; 0 for what has been deleted."""
        known = self._offsets
        head = self._memory.read(keys, known["dict_keys.size"])
        (count,) = struct.unpack_from("<Q", head, known["dict_keys.dk_nentries"])
        at = keys + known["dict_keys.dk_indices"]
        is_general = True
        if self._version >= (3, 11):
            log_size = head[known["dict_keys.dk_log2_index_bytes"]]
            if log_size > 40:
                raise Unreadable(f"no keys at {keys:#x}")
            at += 1 << log_size
            is_general = head[known["dict_keys.dk_kind"]] == 0
        else:
            (size,) = struct.unpack_from("<Q", head, known["dict_keys.dk_size"])
            at += size * (
                1 if size <= 0xFF else 2 if size <= 0xFFFF else 4 if size >> 32 == 0 else 8
            )
        if count > LARGEST:
            raise Unreadable(f"no keys at {keys:#x}")
        size = 24 if is_general else 16
        form = "<8xQQ" if is_general else "<QQ"
        for start in range(0, count, _AT_ONCE):
            part = min(_AT_ONCE, count - start)
            data = self._memory.read(at + size * start, size * part)
            for index, (key, value) in enumerate(struct.iter_unpack(form, data), start):
                yield index, key, value

    def _managed(self, address: int, cls: Type) -> tuple[int, int]:
        """Return where the values of an instance lie without a dictionary, or its dictionary."""
        if self._version >= (3, 13):
            dictionary = self._memory.word(address - 24)
            if not dictionary and cls.flags & INLINE_VALUES:
                values = address + cls.basic_size
                is_valid = self._memory.read(values + self._offsets["dict_values.valid"], 1)[0]
                return (values if is_valid else 0), 0
            return 0, dictionary
        if self._version == (3, 12):  # one word for either, told apart by its lowest bit
            word = self._memory.word(address - 24)
            return (word + 1, 0) if word & 1 else (0, word)
        values, dictionary = self._objects.words(address - 32, 0, 2)
        return values, dictionary

    def _inline(self, cls: Type, values: int) -> list[tuple[str, int]]:
        cached = self._memory.word(cls.address + self._offsets["heap_type_object.ht_cached_keys"])
        if not cached:
            return []
        keys = [(index, key) for index, key, _ in self._entries(cached) if key]
        if not keys:
            return []
        at = values + self._offsets["dict_values.values"]
        words = self._objects.words(at, 0, min(max(index for index, _ in keys) + 1, 256))
        names = self._objects.names([key for _, key in keys])
        return [
            (name, words[index])
            for name, (index, _) in zip(names, keys, strict=True)
            if name is not None and index < len(words) and words[index]
        ]

    def _inline_values(self, cls: Type, addresses: list[int], name: str) -> dict[int, int]:
        """Return what instances of a class keep inline under a name, without those that don't."""
        if self._version < (3, 13) or not cls.flags & INLINE_VALUES:
            return {}
        cached = self._memory.word(cls.address + self._offsets["heap_type_object.ht_cached_keys"])
        keys = [(index, key) for index, key, _ in self._entries(cached) if key] if cached else []
        names = self._objects.names([key for _, key in keys])
        index = next((i for (i, _), one in zip(keys, names, strict=True) if one == name), None)
        if index is None:
            return {}
        values = 24 + cls.basic_size  # before the object lies the address of its dictionary
        at = values + self._offsets["dict_values.values"] + 8 * index
        valid = values + self._offsets["dict_values.valid"]
        found = {}
        reads = self._memory.read_many([(address - 24, at + 8) for address in addresses])
        for address, data in zip(addresses, reads, strict=True):
            if data is not None and not struct.unpack_from("<Q", data)[0] and data[valid]:
                (found[address],) = struct.unpack_from("<Q", data, at)
        return found

    def _dict_at(self, address: int, cls: Type) -> int:
        """Return how far into an instance the address of its dictionary lies, 0 for none."""
        if cls.dict_offset >= 0:
            return cls.dict_offset
        size = self._memory.word(address + self._offsets["var_object.ob_size"])
        if cls.is_a(INT) and self._version >= (3, 12):
            size >>= 3
        elif size >> 63:
            size = (1 << 64) - size
        if size > LARGEST:
            raise Unreadable(f"{size} items at {address:#x}")
        whole = cls.basic_size + size * cls.item_size
        return (whole + 7 & ~7) + cls.dict_offset

    def _members(self, address: int, cls: Type) -> Iterator[Attribute]:
        """Yield what a class keeps at fixed places: `__slots__`, and members that C declares."""
        at = cls.members
        if not at:
            return
        known, size = self._offsets, self._offsets["member_def.size"]
        for _ in range(512):
            data = self._memory.read(at, size)
            (name_at,) = struct.unpack_from("<Q", data, known["member_def.name"])
            if not name_at:
                return
            at += size
            name = self._memory.text(name_at)
            (kind,) = struct.unpack_from("<i", data, known["member_def.type"])
            (offset,) = struct.unpack_from("<q", data, known["member_def.offset"])
            if name.startswith("__") or not 0 < offset < 1 << 24:
                continue
            if kind in (_OBJECT, _OBJECT_OR_ERROR):
                value = self._memory.word(address + offset)
                if value:
                    yield Attribute(name, value)
            elif kind in _MEMBERS:
                form = _MEMBERS[kind]
                raw = self._memory.read(address + offset, struct.calcsize(form))
                yield Attribute(name, 0, struct.unpack(form, raw)[0])
