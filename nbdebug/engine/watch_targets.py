"""What is watched: a name of a namespace, a local of a function, an attribute, an item.

Owns the way from the user's text, or a client's variable, to the place that it means where it is
set, and how that place is read. Must not know how changes are seen. `resolve` evaluates what stands
before the last dot or bracket, so it runs where user code may.
"""

import ast
import operator
import types
import weakref
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from nbdebug import errors
from nbdebug.engine import evaluate, looking, modules, physical
from nbdebug.engine.evaluate import Frame
from nbdebug.engine.sources import is_class_body
from nbdebug.engine.store_sites import Kind, has_local
from nbdebug.engine.value_text import safe_text
from nbdebug.engine.watch_model import Access
from nbdebug.engine.watch_values import MISSING, Owner, is_container, is_plain

if TYPE_CHECKING:
    from nbdebug.engine.memory import Place

_OF_NAMES = frozenset(Access)
_OF_PARTS = frozenset((Access.CHANGE, Access.DELETE))


class Target:
    """A place whose value can be read. ``names`` are the (kind, name) of the sites that write it.

    ``also_content`` is true where what is in the value is watched with it.
    """

    names: tuple[tuple[Kind, str], ...] = ()
    accesses: frozenset[Access] = _OF_PARTS
    also_content = False
    owner: Owner | None = None
    note = ""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, frame: FrameType | None = None) -> object:
        """Return the value, MISSING where there is none. Raises nothing."""
        raise NotImplementedError

    def reader(self) -> Callable[[], object]:
        """Return what reads the value fast; it may raise where there is none."""
        return self.read

    def is_place_of(self, code: CodeType, frame: FrameType) -> bool:
        """True if sites of the names in ``code``, which ``frame`` runs, may write this place."""
        return True


class NamespaceTarget(Target):
    """A name of a module's or the notebook's namespace."""

    accesses = _OF_NAMES

    def __init__(self, text: str, namespace: dict[str, Any], name: str) -> None:
        super().__init__(text)
        self.namespace, self.name = namespace, name
        is_main = namespace.get("__name__") == "__main__"
        self.names = ((Kind.GLOBAL, name),)
        if not is_main:
            self.names += ((Kind.ATTRIBUTE, name),)  # module.name = ...
        self.also_content = is_container(self.read())

    def read(self, frame: FrameType | None = None) -> object:
        return self.namespace.get(self.name, MISSING)

    def is_place_of(self, code: CodeType, frame: FrameType) -> bool:
        return frame.f_globals is self.namespace or len(self.names) > 1


class LocalTarget(Target):
    """A local or cell variable of a function: in each of its frames, or in one."""

    accesses = _OF_NAMES

    def __init__(
        self, text: str, qualname: str, name: str, namespace: Any, frame: FrameType | None
    ) -> None:
        super().__init__(text)
        self.name, self.qualname, self.namespace = name, qualname, namespace
        self.names = ((Kind.LOCAL, name),)
        self.is_pending = False
        # Its id, not the frame: that would keep all its variables alive.
        self.frame_id = id(frame) if frame is not None else 0
        if frame is not None:
            self.also_content = is_container(self.read(frame))

    def read(self, frame: FrameType | None = None) -> object:
        if frame is None:
            return MISSING
        try:
            return frame.f_locals[self.name]
        except KeyError:
            return MISSING

    def is_place_of(self, code: CodeType, frame: FrameType) -> bool:
        """True for the function, however often it is defined anew, and what shares its variable."""
        if frame.f_globals is not self.namespace or not has_local(code, self.name):
            return False
        inside = code.co_qualname.startswith(f"{self.qualname}.<locals>.")
        return code.co_qualname == self.qualname or (inside and self.name in code.co_freevars)


class PendingLocalTarget(LocalTarget):
    """A local variable of a function that isn't there yet, or hasn't got it yet.

    It is the function of that name which runs first: of the namespace where the watch is set, or
    of a module that the name begins with.
    """

    def __init__(self, text: str, function: str, name: str, namespace: Any) -> None:
        super().__init__(text, function, name, namespace, None)
        self.is_pending = True
        self._function, self._home = function, namespace

    def is_place_of(self, code: CodeType, frame: FrameType) -> bool:
        """True for that function, from its first run on."""
        if self.is_pending and has_local(code, self.name):
            module = frame.f_globals.get("__name__")
            is_here = frame.f_globals is self._home and code.co_qualname == self._function
            if is_here or f"{module}.{code.co_qualname}" == self._function:
                self.qualname, self.namespace = code.co_qualname, frame.f_globals
                self.is_pending = False
        return super().is_place_of(code, frame)


class AttributeTarget(Target):
    """An attribute of one object, module or class."""

    def __init__(self, text: str, owner: object, name: str) -> None:
        super().__init__(text)
        self.owner, self.name = Owner(owner), name
        self.names = ((Kind.ATTRIBUTE, name),)
        self._read = _reader_of_attribute(owner, name)
        self._is_plain_attribute = _runs_no_code(type(owner))
        if self.owner.is_held:
            self.note = _held_note(owner)
        self.also_content = is_container(self.read())

    def read(self, frame: FrameType | None = None) -> object:
        owner = self.owner.get() if self.owner is not None else None
        try:
            return MISSING if owner is None else self._read(owner)
        except (AttributeError, KeyError):
            return MISSING

    def weak_owner(self) -> "weakref.ref[Any] | None":
        """Return a weak reference to the object; None if reading the attribute may run code."""
        owner = self.owner
        one = owner.get() if owner is not None else None
        if not self._is_plain_attribute or one is None or (owner is not None and owner.is_held):
            return None
        return weakref.ref(one)

    def reader(self) -> Callable[[], object]:
        owner, read, ref = self.owner, self._read, self.weak_owner()
        assert owner is not None
        one = ref() if ref is not None else None
        if one is not None:
            # All in C: a third of what a function of Python's costs.
            return partial(operator.attrgetter(self.name), weakref.proxy(one))
        return lambda: read(owner.get())


class ItemTarget(Target):
    """An item or slice of a container, array or data frame."""

    also_content = True

    def __init__(self, text: str, owner: object, key: object) -> None:
        super().__init__(text)
        self.owner, self.key = Owner(owner), key
        self._read = _reader_of_item(owner)
        self.is_of_dict = self._read is _item_of_dict and _is_hashable(key)
        if self.owner.is_held:
            self.note = _held_note(owner)

    def read(self, frame: FrameType | None = None) -> object:
        owner = self.owner.get() if self.owner is not None else None
        if owner is None:
            return MISSING
        try:
            return self._read(owner, self.key)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the item isn't there, or the container's own code failed
            return MISSING

    def reader(self) -> Callable[[], object]:
        owner, read, key = self.owner, self._read, self.key
        assert owner is not None
        return lambda: read(owner.get(), key)


class MemoryTarget(Target):
    """Bytes in memory, by their address or as those of an object: for hardware only."""

    accesses: frozenset[Access] = frozenset()

    def __init__(self, text: str, place: "Place", owner: Owner | None = None) -> None:
        super().__init__(text)
        self.place, self.owner = place, owner

    def read(self, frame: FrameType | None = None) -> object:
        found = self.place.read()
        return MISSING if found is None else found


def resolve(text: str, frame: Frame, *, pending: bool = False, in_frame: bool = True) -> Target:
    """Return what ``text`` means in ``frame``.

    ``in_frame``: a local is that of this frame; else it is the function's, in all its frames.
    ``pending`` takes a global that isn't there yet. Raises NotWatchable, UnknownVariable.
    """
    text = text.strip()
    function, colon, local = text.partition(":")
    if colon and local.strip().isidentifier() and "[" not in function:
        return _local_of(text, function.strip(), local.strip(), frame, pending)
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else error
        raise errors.NotWatchable(f"`{text}` isn't an expression: {why}.") from None
    match node:
        case ast.Name(id=name):
            return _named(text, name, frame, pending, in_frame)
        case ast.Attribute(value=before, attr=name):
            return attribute_of(text, _value(before, frame), name, pending)
        case ast.Subscript(value=before, slice=index):
            return item_of(text, _value(before, frame), _key(index, frame), pending)
        case ast.Constant():
            raise errors.NotWatchable(f"`{text}` is a literal, and never changes.")
    what = "a call" if isinstance(node, ast.Call) else "neither a name, an attribute nor an item"
    raise errors.NotWatchable(f"`{text}` is {what}: there is no place that could change.")


def attribute_of(text: str, owner: object, name: str, pending: bool = False) -> Target:
    """Return an attribute as what is watched. Raises NotWatchable, UnknownVariable."""
    if physical.is_a(owner, ModuleType):
        namespace = physical.instance_dict(owner)
        if namespace is not None:
            target: Target = NamespaceTarget(text, namespace, name)
            return _existing(target, pending)
    return _existing(AttributeTarget(text, owner, name), pending)


def item_of(text: str, owner: object, key: object, pending: bool = False) -> Target:
    """Return an item as what is watched. Raises NotWatchable, UnknownVariable."""
    if physical.is_a(owner, str, bytes, tuple, frozenset, range):
        kind = physical.name_of(type(owner))
        raise errors.NotWatchable(f"`{text}` never changes: a {kind} can't be written to.")
    if physical.lookup(type(owner), "__getitem__") is None:
        kind = physical.name_of(type(owner))
        raise errors.NotWatchable(f"`{text}` can't be watched: a {kind} has no items.")
    return _existing(ItemTarget(text, owner, key), pending)


def part_of(text: str, owner: object) -> Target:
    """Return what the last step of ``text``, an attribute or item, is of ``owner``.

    Raises NotWatchable, UnknownVariable.
    """
    match ast.parse(text, mode="eval").body:
        case ast.Attribute(attr=name):
            return attribute_of(text, owner, name)
        case ast.Subscript(slice=index):
            try:
                return item_of(text, owner, ast.literal_eval(index))
            except ValueError:
                pass
    raise errors.NotWatchable(f"`{text}` is neither an attribute nor an item with a plain key.")


def sized(target: Target, frame: Frame | None, length: int | None) -> Target:
    """Return the target, or so many bytes of it. Raises NotWatchable."""
    if length is None:
        return target
    from nbdebug.engine.memory_targets import bytes_of  # loads ctypes: most do without

    return bytes_of(target, frame if isinstance(frame, FrameType) else None, length)


def _existing(target: Target, pending: bool) -> Target:
    if not pending and target.read() is MISSING:
        raise errors.NotThereYet(f"`{target.text}` isn't there.")
    return target


def _named(text: str, name: str, frame: Frame, pending: bool, in_frame: bool) -> Target:
    code = frame.f_code
    if isinstance(frame, FrameType):
        if is_class_body(code):
            said = f"`{text}` is in a class body; watch it as Class.{name} once the class is there."
            raise errors.NotWatchable(said)
        if has_local(code, name):
            one = frame if in_frame else None
            return LocalTarget(text, code.co_qualname, name, frame.f_globals, one)
    namespace = frame.f_globals
    if name not in namespace and not pending:
        raise errors.NotThereYet(f"There is no variable `{name}` here.")
    return NamespaceTarget(text, namespace, name)


def _local_of(text: str, function: str, name: str, frame: Frame, pending: bool) -> Target:
    value = None
    try:
        value = _value(ast.parse(function, mode="eval").body, frame)
    except (SyntaxError, ValueError, errors.NbdebugError):
        pass
    code = _code_of(value) or modules.code_of_function(function)
    if pending and (code is None or not has_local(code, name)):
        if not all(part.isidentifier() for part in function.split(".")):
            raise errors.NotWatchable(f"`{function}` is no name of a function.")
        return PendingLocalTarget(text, function, name, frame.f_globals)
    if code is None:
        raise errors.NotThereYet(f"There is no Python function `{function}` here.")
    if not has_local(code, name):
        known = ", ".join((*code.co_varnames, *code.co_cellvars, *code.co_freevars)[:10])
        said = f"`{function}` has no local variable `{name}`; it has {known or 'none'}."
        raise errors.UnknownVariable(said)
    namespace = getattr(_function_behind(value), "__globals__", frame.f_globals)
    return LocalTarget(text, code.co_qualname, name, namespace, None)


def _function_behind(value: Any) -> Any:
    if isinstance(value, types.MethodType):
        value = value.__func__
    for _ in range(10):
        wrapped = getattr(value, "__dict__", {}).get("__wrapped__")
        if wrapped is None:
            break
        value = wrapped
    return value


def _code_of(value: object) -> CodeType | None:
    code = getattr(_function_behind(value), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _value(node: ast.expr, frame: Frame) -> Any:
    text = ast.unparse(node)
    try:
        return looking.look(text, frame)
    except errors.EvaluationFailed:
        pass
    try:
        return evaluate.evaluate(text, frame)
    except Exception as error:
        said = f"`{text}` can't be had: {type(error).__name__}: {error}"
        raise errors.UnknownVariable(said) from None


def _key(node: ast.expr, frame: Frame) -> Any:
    if isinstance(node, ast.Slice):
        parts = (
            None if n is None else _value(n, frame) for n in (node.lower, node.upper, node.step)
        )
        return slice(*parts)
    if isinstance(node, ast.Tuple):
        return tuple(_key(one, frame) for one in node.elts)
    return _value(node, frame)


def _reader_of_attribute(owner: object, name: str) -> Callable[[Any], object]:
    """Return how the attribute is read without running the user's code. Raises NotWatchable."""
    cls = type(owner)
    if is_plain(owner) or physical.is_a(owner, tuple):
        kind = physical.name_of(cls)
        raise errors.NotWatchable(f"`.{name}` can't be watched: a {kind} never changes.")
    if physical.is_a(owner, type):
        return lambda one: physical.class_dict(cast(type, one))[name]
    found = physical.lookup(cls, name)
    if found is not None and physical.is_descriptor(found[1]):
        entry: Any = found[1]
        read: Callable[[Any], object] = entry.__get__
        return read
    if found is not None and physical.lookup(type(found[1]), "__set__") is not None:
        said = f"`.{name}` of a {physical.name_of(cls)} is a property: watch what it computes from."
        raise errors.NotWatchable(said)
    if physical.instance_dict(owner) is None:
        kind = physical.name_of(cls)
        raise errors.NotWatchable(f"`.{name}` can't be watched: a {kind} has no such place.")
    if found is not None and physical.lookup(type(found[1]), "__get__") is not None:
        return lambda one: _raw_attribute(one, name)
    return lambda one: object.__getattribute__(one, name)


def _raw_attribute(one: Any, name: str) -> object:
    """Return what is there, where reading it would make a method of it each time."""
    entries = physical.instance_dict(one)
    if entries is not None and name in entries:
        return entries[name]
    found = physical.lookup(type(one), name)
    if found is None:
        raise AttributeError(name)
    return found[1]


def _reader_of_item(owner: object) -> Callable[[Any, Any], object]:
    for base, read in ((dict, _item_of_dict), (list, list.__getitem__)):
        if physical.is_a(owner, base):
            where = physical.lookup(type(owner), "__getitem__")
            if where is not None and where[0] is base:
                return cast("Callable[[Any, Any], object]", read)
    return lambda one, key: one[key]


def _item_of_dict(one: Any, key: Any) -> object:
    # Its __getitem__ would call __missing__, which for a defaultdict makes the item.
    return dict.get(one, key, MISSING)


def _is_hashable(key: object) -> bool:
    try:
        hash(key)
    except Exception:
        return False
    return True


def _runs_no_code(cls: type) -> bool:
    """True if reading an attribute of an instance runs no code of the user's."""
    found = physical.lookup(cls, "__getattribute__")
    is_default = found is not None and found[0] is object
    return is_default and physical.lookup(cls, "__getattr__") is None


def _held_note(owner: object) -> str:
    kind = safe_text(type(owner).__name__, 40).strip("'")
    return f"a {kind} can't be referred to weakly: the watch ends when nothing else refers to it"
