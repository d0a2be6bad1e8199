"""One bounded line of text for a value in another process, read physically.

Owns how each type is written; the limits, and the way that texts are cut, are those of the engine's
own variables. What only the object's own code could say is left out: such a value is written with
its class and address. Whatever can't be read is written as that, and the rest goes on.
Thread rule: one thread at a time.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from nbdebug.engine import value_text
from nbdebug.engine.value_text import Text

from . import arrays
from .contents import Attribute, Contents
from .memory import Unreadable
from .objects import (
    BYTES,
    DICT,
    EXCEPTION,
    HEAP_TYPE,
    INT,
    LIST,
    STR,
    TUPLE,
    TYPE,
    Objects,
    Type,
)

_UNREADABLE = "<unreadable>"
_MOST_BITS = 10_000
_SMALL_ARRAY = 10
_ENUM_CLASSES = ("EnumType", "EnumMeta")


class Place:
    """A value by its address. One address has one of these, so that a loop is seen."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address


class Texts:
    """Writes the values of one process."""

    def __init__(self, objects: Objects, contents: Contents, chars: int = 2000) -> None:
        self.objects = objects
        self.contents = contents
        self.chars = chars
        self._places: dict[int, Place] = {}
        self._names: dict[int, str] = {}

    def forget(self) -> None:
        """Read anew what classes are called."""
        self._places.clear()
        self._names.clear()

    def write(self, value: int | Attribute, chars: int | None = None) -> Text:
        """Return the text of the value at an address. Raises nothing of the value's."""
        if isinstance(value, Attribute):
            if value.number is not None:
                return Text(repr(value.number))
            value = value.address
        work = _Work(self, self.chars if chars is None else chars)
        return Text(work.write(self.place(value)), work.cut)

    def type_name(self, address: int) -> str:
        """Return the name of a value's class, without its module; "" where there is no value."""
        try:
            return self.objects.type_of(address).name
        except Unreadable:
            return ""

    def full_name(self, cls: Type) -> str:
        """Return ``module.QualifiedName`` of a class, without the module for builtins."""
        if cls.address not in self._names:
            self._names[cls.address] = self._full_name(cls)
        return self._names[cls.address]

    def address_text(self, address: int) -> str:
        cls = self.objects.type_of(address)
        return f"<{self.full_name(cls)} object at {address:#x}>"

    def field_names(self, cls: Type) -> list[str]:
        """Return the names of a namedtuple's fields, none for another class."""
        if not cls.flags & HEAP_TYPE:
            return []
        at = self.contents.class_attribute(cls, "_fields")
        if at is None or not self.objects.type_of(at).is_a(TUPLE):
            return []
        names = self.objects.names(self.objects.tuple_items(at, 0, 256))
        return [name or "?" for name in names]

    def place(self, address: int) -> Place:
        if address not in self._places:
            self._places[address] = Place(address)
        return self._places[address]

    def _full_name(self, cls: Type) -> str:
        if not cls.flags & HEAP_TYPE:
            return cls.full_name.removeprefix("builtins.")
        known, memory = self.objects.offsets, self.objects.memory
        try:
            name = self.objects.text(
                memory.word(cls.address + known["heap_type_object.ht_qualname"])
            )
            at = self.contents.find(cls.dict, "__module__")
            module = self.objects.text(at) if at is not None else ""
        except Unreadable:
            return cls.full_name
        return name if module in ("", "builtins") else f"{module}.{name}"


class _Work(value_text.Work):
    """One text being written; what it is given are places."""

    def __init__(self, texts: Texts, chars: int) -> None:
        super().__init__(value_text.Writer(None, chars), chars)
        self.texts = texts
        self.objects = texts.objects
        self.contents = texts.contents

    def write(self, value: object) -> str:
        """The text of any value, charged to what is left."""
        assert isinstance(value, Place)
        try:
            text = self._text(value, self.objects.type_of(value.address))
        except (Unreadable, struct.error, OverflowError, ValueError):
            text = _UNREADABLE
        self._left -= len(text)
        return text

    def _text(self, value: Place, cls: Type) -> str:
        write = _EXACT.get(cls.full_name)
        if write is not None:
            return write(self, value, cls)
        for kind, by_kind in _BY_KIND:
            if cls.is_a(kind):
                return by_kind(self, value, cls)
        return self._instance(value, cls)

    # -- plain values

    def _integer(self, value: Place, cls: Type) -> str:
        if self._is_enum(cls):
            return self._enum_member(value, cls)
        bits = self.objects.integer_bits(value.address)
        if abs(bits) > _MOST_BITS:
            self.cut = True
            return f"<{'negative ' if bits < 0 else ''}int of {abs(bits):,} bits>"
        return self.integer(self.objects.integer(value.address))

    def _string(self, value: Place, cls: Type) -> str:
        if self._is_enum(cls):
            return self._enum_member(value, cls)
        text, size = self.objects.text_and_length(value.address, self._room())
        return self._shortened(repr(text), size)

    def _bytes(self, value: Place, cls: Type) -> str:
        data, size = self.objects.data(value.address, self._room())
        return self._shortened(repr(data), size, "bytes")

    def _bytearray(self, value: Place, cls: Type) -> str:
        size = self.objects.size(value.address)
        at = self._word(value, "bytearray_object.ob_start")
        data = self.objects.memory.read(at, min(size, self._room())) if size else b""
        return self._shortened(repr(bytearray(data)), size, "bytes")

    def _complex(self, value: Place, cls: Type) -> str:
        at = value.address + self.objects.offsets["complex_object.cval"]
        return repr(complex(*struct.unpack("<dd", self.objects.memory.read(at, 16))))

    # -- containers

    def _places(self, addresses: Iterable[int]) -> Iterator[Place]:
        return (self.texts.place(address) for address in addresses)

    def _list(self, value: Place, cls: Type) -> str:
        count = self.objects.size(value.address)
        return self.container(
            value,
            ("[", "]"),
            count,
            lambda n: self._places(self.objects.list_items(value.address, 0, n)),
        )

    def _tuple(self, value: Place, cls: Type) -> str:
        items = self.objects.tuple_items
        names = self.texts.field_names(cls)
        if names:
            places = list(self._places(items(value.address, 0, len(names))))
            fields: list[tuple[object, object]] = list(zip(names, places, strict=False))
            return self.fields(value, cls.name, fields)
        count = self.objects.size(value.address)
        return self.container(
            value, ("(", ")"), count, lambda n: self._places(items(value.address, 0, n))
        )

    def _dict(self, value: Place, cls: Type) -> str:
        def write(pair: tuple[int, int]) -> str:
            key, item = self._places(pair)
            return f"{self.write(key)}: {self.write(item)}"

        count = self.contents.dict_size(value.address)
        text = self.container(
            value,
            ("{", "}"),
            count,
            lambda n: islice(self.contents.pairs(value.address), n),
            write,
        )
        if cls.name in ("OrderedDict", "Counter"):
            return f"{cls.name}({text if count else ''})"
        if cls.full_name == "collections.defaultdict":
            factory = self._word(value, "dict_object.size")  # what follows a plain one
            return f"defaultdict({self.write(self.texts.place(factory))}, {text})"
        return text

    def _set(self, value: Place, cls: Type) -> str:
        count = self.contents.set_size(value.address)
        if not count:
            return f"{cls.name}()"
        brackets = ("{", "}") if cls.full_name == "set" else (f"{cls.name}({{", "})")
        return self.container(
            value,
            brackets,
            count,
            lambda n: self._places(islice(self.contents.items_of_set(value.address), n)),
        )

    def _deque(self, value: Place, cls: Type) -> str:
        count = self.objects.size(value.address)
        return self.container(
            value,
            (f"{cls.name}([", "])"),
            count,
            lambda n: self._places(islice(self.contents.items_of_deque(value.address), n)),
        )

    # -- code

    def _module(self, value: Place, cls: Type) -> str:
        entries = dict(self.contents.named_items(self.contents.module_dict(value.address)))
        name, file = (self._plain(entries.get(key)) for key in ("__name__", "__file__"))
        return self.short(f"<module {name!r}" + (f" from {file!r}>" if file else ">"))

    def _class(self, value: Place, cls: Type) -> str:
        return self.short(f"<class {self.texts.full_name(self.objects.type_at(value.address))!r}>")

    def _function(self, value: Place, cls: Type) -> str:
        name = self.objects.text(self._word(value, "function_object.func_qualname"))
        return self.short(f"<function {name} at {value.address:#x}>")

    def _method(self, value: Place, cls: Type) -> str:
        function = self._word(value, "method_object.im_func")
        bound = self._word(value, "method_object.im_self")
        inner = self.objects.type_of(function)
        name = inner.name
        if inner.full_name == "function":
            at = function + self.objects.offsets["function_object.func_qualname"]
            name = self.objects.text(self.objects.memory.word(at))
        of = self.texts.address_text(bound)
        if self.objects.type_of(bound).is_a(TYPE):
            of = self._class(self.texts.place(bound), inner)
        return self.short(f"<bound method {name} of {of}>")

    def _builtin(self, value: Place, cls: Type) -> str:
        memory, known = self.objects.memory, self.objects.offsets
        definition = self._word(value, "cfunction_object.m_ml")
        name = memory.text(memory.word(definition + known["method_def.ml_name"]))
        bound = self._word(value, "cfunction_object.m_self")
        if not bound or self.objects.type_of(bound).full_name == "module":
            return f"<built-in function {name}>"
        of = self.objects.type_of(bound)
        return f"<built-in method {name} of {of.name} object at {bound:#x}>"

    def _generator(self, value: Place, cls: Type) -> str:
        name = self.objects.text(self._word(value, "gen_object.gi_qualname"))
        return self.short(f"<{cls.name} object {name} at {value.address:#x}>")

    def _cell(self, value: Place, cls: Type) -> str:
        inside = self._word(value, "cell_object.ob_ref")
        said = "empty" if not inside else self.write(self.texts.place(inside))
        return self.short(f"<cell at {value.address:#x}: {said}>")

    def _weakref(self, value: Place, cls: Type) -> str:
        target = self._word(value, "weakref_object.wr_object")
        try:
            to = f"to {self.texts.address_text(target)}"
        except Unreadable:
            to = "dead"
        return self.short(f"<weakref at {value.address:#x}; {to}>")

    def _slice(self, value: Place, cls: Type) -> str:
        names = ("start", "stop", "step")
        parts = (self._word(value, f"slice_object.{name}") for name in names)
        return f"slice({', '.join(self.write(place) for place in self._places(parts))})"

    def _range(self, value: Place, cls: Type) -> str:
        *parts, step = self._places(self.objects.words(value.address + 16, 0, 3))
        steps = self.write(step)
        shown = [self.write(part) for part in parts] + ([steps] if steps != "1" else [])
        return f"range({', '.join(shown)})"

    # -- instances

    def _exception(self, value: Place, cls: Type) -> str:
        args = self._word(value, "exception_object.args")
        text = self._tuple(self.texts.place(args), self.objects.type_of(args))
        return cls.name + (f"{text[:-2]})" if text.endswith(",)") else text)

    def _instance(self, value: Place, cls: Type) -> str:
        if self._is_enum(cls):
            return self._enum_member(value, cls)
        names = [base.full_name for base in self.objects.mro(cls)]
        if "numpy.generic" in names:
            return self._numpy_scalar(value, cls, names)
        for name in names:
            if name in _INHERITED:
                return _INHERITED[name](self, value, cls)
        if cls.flags & HEAP_TYPE:
            fields = self._dataclass_fields(value, cls)
            if fields is not None:
                return self.fields(value, self._qualified(cls), fields)
        return self.short(self.texts.address_text(value.address))

    def _qualified(self, cls: Type) -> str:
        at = cls.address + self.objects.offsets["heap_type_object.ht_qualname"]
        return self.objects.text(self.objects.memory.word(at))

    def _is_enum(self, cls: Type) -> bool:
        if not cls.flags & HEAP_TYPE:
            return False
        return self.objects.type_of(cls.address).name in _ENUM_CLASSES

    def _enum_member(self, value: Place, cls: Type) -> str:
        entries = dict(self.contents.instance_items(value.address, cls))
        name = self._plain(entries.get("_name_"))
        head = cls.name + (f".{name}" if name else "")
        at = entries.get("_value_")
        return f"<{head}: {self.write(self.texts.place(at)) if at else '?'}>"

    def _dataclass_fields(self, value: Place, cls: Type) -> list[tuple[object, object]] | None:
        at = self.contents.class_attribute(cls, "__dataclass_fields__")
        if at is None:
            return None
        names = [name for name, _ in self.contents.named_items(at)]
        values = {one.name: one for one in self.contents.attributes(value.address)}
        found = ((name, values[name].address) for name in names if name in values)
        return [(name, self.texts.place(address)) for name, address in found if address]

    # -- the standard library's and numpy's

    def _date(self, value: Place, cls: Type) -> str:
        data = self.objects.memory.read(value.address + 25, 10)
        year = data[0] << 8 | data[1]
        parts = [year, data[2], data[3]]
        if cls.name == "datetime":
            micro = data[7] << 16 | data[8] << 8 | data[9]
            parts += [data[4], data[5]]
            parts += [data[6], micro] if micro else [data[6]] if data[6] else []
        return f"datetime.{cls.name}({', '.join(map(str, parts))})"

    def _timedelta(self, value: Place, cls: Type) -> str:
        parts = struct.unpack("<3i", self.objects.memory.read(value.address + 24, 12))
        named = zip(("days", "seconds", "microseconds"), parts, strict=True)
        said = [f"{name}={number}" for name, number in named if number]
        return f"datetime.timedelta({', '.join(said) or '0'})"

    def _numpy_scalar(self, value: Place, cls: Type, names: list[str]) -> str:
        form = next((f for f, name in arrays.NAMES.items() if f"numpy.{name}" in names[:2]), "")
        if form not in arrays.FORMS:
            return self.short(self.texts.address_text(value.address))
        size = struct.calcsize(arrays.FORMS[form])
        raw = self.objects.memory.read(value.address + 16, size)
        return f"np.{cls.name}({struct.unpack(arrays.FORMS[form], raw)[0]!r})"

    def _array(self, value: Place, cls: Type) -> str:
        array = arrays.head(self.objects, value.address)
        name = arrays.NAMES.get(array.character, array.character)
        text = f"{cls.name} {array.shape!r} {name}"
        if 0 < array.length <= _SMALL_ARRAY:
            items = arrays.items(self.objects, value.address, 0, array.length)
            return f"{text} [{', '.join(map(repr, items))}]"
        self.cut = self.cut or array.length > 0
        return text

    def _float(self, value: Place, cls: Type) -> str:
        return repr(self.objects.float(value.address))

    # -- small things

    def _word(self, value: Place, name: str) -> int:
        return self.objects.memory.word(value.address + self.objects.offsets[name])

    def _plain(self, address: int | None) -> str:
        if address is None or not self.objects.type_of(address).is_a(STR):
            return ""
        return self.objects.text(address)


type _Write = Callable[[_Work, Place, Type], str]

_EXACT: dict[str, _Write] = {
    "NoneType": lambda work, value, cls: "None",
    "ellipsis": lambda work, value, cls: "Ellipsis",
    "NotImplementedType": lambda work, value, cls: "NotImplemented",
    "bool": lambda work, value, cls: str(bool(work.objects.integer(value.address))),
    "float": _Work._float,
    "complex": _Work._complex,
    "bytearray": _Work._bytearray,
    "module": _Work._module,
    "function": _Work._function,
    "method": _Work._method,
    "builtin_function_or_method": _Work._builtin,
    "cell": _Work._cell,
    "weakref.ReferenceType": _Work._weakref,
    "weakref": _Work._weakref,
    "slice": _Work._slice,
    "range": _Work._range,
    "datetime.date": _Work._date,
    "datetime.datetime": _Work._date,
    "datetime.timedelta": _Work._timedelta,
    "generator": _Work._generator,
    "coroutine": _Work._generator,
    "async_generator": _Work._generator,
}

_BY_KIND: tuple[tuple[int, _Write], ...] = (
    (INT, _Work._integer),
    (STR, _Work._string),
    (LIST, _Work._list),
    (TUPLE, _Work._tuple),
    (BYTES, _Work._bytes),
    (DICT, _Work._dict),
    (EXCEPTION, _Work._exception),
    (TYPE, _Work._class),
)

_INHERITED: dict[str, _Write] = {
    "float": _Work._float,
    "set": _Work._set,
    "frozenset": _Work._set,
    "collections.deque": _Work._deque,
    arrays.CLASS: _Work._array,
}
"""The name of a class of C's -> how its values and those of its subclasses are written."""
