"""What a plain path means in a frame of another process: `foo.bar[0]['key']`, read and never run.

Owns the rules of that look-up: locals, globals, builtins; attributes as they physically are; items
of the builtin containers. What would run code of the process is refused.
Thread rule: one thread at a time.
"""

import ast
from itertools import islice

from nbdebug.errors import EvaluationFailed

from . import arrays, errors
from .contents import Attribute
from .looking import Look
from .memory import Unreadable
from .objects import DICT, EXCEPTION, INT, LIST, STR, TUPLE, TYPE, Type
from .stacks import Frame

_COMPUTED = frozenset(
    ("property", "getset_descriptor", "cached_property", "member_descriptor", "classmethod")
)
_MOST_KEYS = 1 << 20


def look_up(look: Look, frame: Frame, text: str) -> Attribute:
    """Return what a path stands for.

    Raises:
        InspectOnly: it would run code.
        EvaluationFailed: there is no such thing, or it isn't an expression.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise EvaluationFailed(f"`{text}` isn't an expression.") from None
    try:
        return _Lookup(look, frame).find(node)
    except Unreadable as error:
        raise EvaluationFailed(f"`{text}` can't be read: {error}.") from None


class _Lookup:
    def __init__(self, look: Look, frame: Frame) -> None:
        self._look = look
        self._frame = frame
        self._objects = look.objects
        self._contents = look.contents

    def find(self, node: ast.expr) -> Attribute:
        match node:
            case ast.Name(id=name):
                return Attribute(name, self._named(name))
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(self._address(owner), name, node)
            case ast.Subscript(value=owner, slice=index):
                return self._item(self._address(owner), _constant(index), node)
        raise self._would_run(node)

    def _address(self, node: ast.expr) -> int:
        found = self.find(node)
        if found.number is not None:
            raise self._would_run(node)
        return found.address

    def _named(self, name: str) -> int:
        look = self._look
        for one in look.locals(self._frame):
            if one.name == name:
                return one.address
        for which in ("f_globals", "f_builtins"):
            found = self._contents.find(look.namespace_of(self._frame, which), name)
            if found is not None:
                return found
        raise EvaluationFailed(f"NameError: name '{name}' is not defined")

    def _attribute(self, address: int, name: str, node: ast.expr) -> Attribute:
        cls = self._objects.type_of(address)
        if name == "__class__":
            return Attribute(name, cls.address)
        if cls.is_a(TYPE):
            found = self._contents.class_attribute(self._objects.type_at(address), name)
            return self._of_class(found, name, cls, node)
        if cls.full_name == "module":
            at = self._contents.find(self._contents.module_dict(address), name)
            if at is not None:
                return Attribute(name, at)
        if cls.is_a(EXCEPTION) and name == "args":
            at = address + self._look.runtime.offsets["exception_object.args"]
            return Attribute(name, self._look.memory.word(at))
        for one in self._contents.attributes(address):
            if one.name == name:
                return one
        if cls.is_a(TUPLE):
            for index, field in enumerate(self._look.texts.field_names(cls)):
                if field == name:
                    return Attribute(name, self._objects.tuple_items(address, index, index + 1)[0])
        return self._of_class(self._contents.class_attribute(cls, name), name, cls, node)

    def _of_class(self, found: int | None, name: str, cls: Type, node: ast.expr) -> Attribute:
        if found is None:
            bases = [base for base in self._objects.mro(cls) if base.full_name != "object"]
            has_hidden = any(not base.dict for base in bases)  # builtin ones, from 3.12 on
            if has_hidden or self._contents.class_attribute(cls, "__getattr__") is not None:
                raise self._would_run(node)
            said = f"AttributeError: '{cls.name}' object has no attribute '{name}'"
            raise EvaluationFailed(said)
        if self._objects.type_of(found).name in _COMPUTED:
            raise self._would_run(node)
        return Attribute(name, found)

    def _item(self, address: int, key: object, node: ast.expr) -> Attribute:
        cls = self._objects.type_of(address)
        if key is _NOT_PLAIN:
            raise self._would_run(node)
        if cls.is_a(DICT):
            for count, (at, value) in enumerate(self._contents.pairs(address)):
                if self._is_key(at, key):
                    return Attribute("", value)
                if count > _MOST_KEYS:
                    break
            raise EvaluationFailed(f"KeyError: {key!r}")
        if type(key) is not int:
            raise self._would_run(node)
        bases = {base.full_name for base in self._objects.mro(cls)}
        if arrays.CLASS in bases:
            array = arrays.head(self._objects, address)
            if not array.length:
                raise self._would_run(node)
            at = self._position(key, array.length)
            return Attribute("", 0, arrays.items(self._objects, address, at, at + 1)[0])
        if "collections.deque" in bases:
            at = self._position(key, self._objects.size(address))
            found = islice(self._contents.items_of_deque(address), at, at + 1)
            return Attribute("", next(found))
        if not (cls.is_a(LIST) or cls.is_a(TUPLE)):
            raise self._would_run(node)
        at = self._position(key, self._objects.size(address))
        read = self._objects.list_items if cls.is_a(LIST) else self._objects.tuple_items
        return Attribute("", read(address, at, at + 1)[0])

    def _position(self, key: int, size: int) -> int:
        at = key + size if key < 0 else key
        if not 0 <= at < size:
            raise EvaluationFailed("IndexError: index out of range")
        return at

    def _is_key(self, address: int, key: object) -> bool:
        """Whether a key of the process equals a constant: of the plain types only."""
        cls = self._objects.type_of(address)
        if cls.is_a(STR):
            return isinstance(key, str) and self._objects.text(address, len(key) + 1) == key
        if cls.is_a(INT):
            return isinstance(key, int | float) and self._objects.integer(address) == key
        if cls.full_name == "float":
            return isinstance(key, int | float) and self._objects.float(address) == key
        if cls.full_name == "bytes":
            return isinstance(key, bytes) and self._objects.data(address, len(key) + 1)[0] == key
        return key is None and cls.full_name == "NoneType"

    def _would_run(self, node: ast.expr) -> errors.InspectOnly:
        return errors.InspectOnly.of(self._look.pid, command=ast.unparse(node))


_NOT_PLAIN = object()


def _constant(node: ast.expr) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    return _NOT_PLAIN
