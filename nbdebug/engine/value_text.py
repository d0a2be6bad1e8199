"""One line of text for any value: bounded in size, and in time where the value's own code runs.

Owns how values are written. A value is first read as it physically is; only a ``__repr__`` that
must be run goes through ``UserCode``. Must not know references, frames, or what can be expanded.

Threads: the one that holds the objects still, which is the stopped thread.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from nbdebug.engine import libraries, object_text, physical
from nbdebug.engine.bounded import NotRun, UserCode
from nbdebug.errors import TookTooLong

_WHOLE = 30
"""A container of at most so many items is written in full, if its characters allow."""
_FIRST = 10
_DEPTH = 5
_NESTED_CHARS = 200
_LEAST_CHARS = 20
_INT_BITS = 10_000
"""Beyond this the decimal digits cost too much, and Python may refuse them."""


class Text(NamedTuple):
    """A value's text; ``cut`` is true where the value has more than is written."""

    text: str
    cut: bool = False


class Writer:
    """Writes values in about ``chars`` characters each, and remembers which types are slow."""

    def __init__(self, code: UserCode | None, chars: int) -> None:
        self.code = code
        self.chars = chars
        # By id, as a class's hash may be user code; the class is kept so that its id is not reused.
        self._too_slow: dict[int, type] = {}
        self._kinds: dict[int, tuple[type, libraries.Kind | None]] = {}

    def write(self, value: object, chars: int | None = None) -> Text:
        """Return the text of ``value``, in about ``chars`` characters. Raises nothing."""
        cls = type(value)
        if cls is bool or cls is float or value is None:
            return Text(repr(value))
        work = Work(self, self.chars if chars is None else chars)
        try:
            return Text(work.write(value), work.cut)
        except Exception as error:  # a listing goes on, whatever one value does
            return Text(marked(value, f"not shown: {error_text(error)}"))

    def kind_of(self, cls: type) -> libraries.Kind | None:
        """The library's type that ``cls`` is, looked up once."""
        if id(cls) not in self._kinds:
            self._kinds[id(cls)] = (cls, libraries.kind_of(cls))
        return self._kinds[id(cls)][1]

    def run_repr(self, value: object) -> tuple[str, bool]:
        """Return ``repr(value)`` and True, or a substitute that says why not, and False."""
        cls, code = type(value), self.code
        if code is None or not code.enabled:
            return physical.address_text(value), False
        if id(cls) in self._too_slow:
            return marked(value, "repr took too long before"), False
        try:
            return code.run(lambda: repr(value)), True
        except TookTooLong:
            self._too_slow[id(cls)] = cls
            return marked(value, f"repr took longer than {code.limit_s:g} s"), False
        except NotRun as error:
            return marked(value, f"repr {error}"), False
        except Exception as error:
            return marked(value, f"repr raised {error_text(error)}"), False

    def forget(self) -> None:
        """Drop the types that were seen."""
        self._too_slow.clear()
        self._kinds.clear()


def safe_text(value: object, chars: int = 2000) -> str:
    """Return a text of ``value`` that runs none of its code. Raises nothing. Threads: any."""
    return Writer(None, chars).write(value).text


def error_text(error: BaseException) -> str:
    """Return ``Type: message`` without running the exception's own ``__str__``."""
    name = physical.name_of(type(error))
    args: tuple[object, ...] = BaseException.__dict__["args"].__get__(error)
    if not args:
        return name
    only = args[0] if len(args) == 1 else args
    said = physical.plain(only)[:_NESTED_CHARS] if physical.is_a(only, str) else None
    return f"{name}: {safe_text(only, _NESTED_CHARS) if said is None else said}"


def marked(value: object, why: str) -> str:
    """``<Class object at 0x...; why>``."""
    return f"<{physical.name_of(type(value))} object at {id(value):#x}; {why}>"


class Work:
    """One text being written: what may still be spent, what was cut, which containers are open."""

    def __init__(self, writer: Writer, chars: int) -> None:
        self.writer = writer
        self.cut = False
        self._chars = chars
        self._left = chars
        self._depth = 0
        self._open: set[int] = set()

    def write(self, value: object) -> str:
        """The text of any value, charged to what is left."""
        plain = object_text.PLAIN.get(id(type(value)))
        text = plain(self, value) if plain is not None else self._by_class(value)
        self._left -= len(text)
        return text

    def string(self, value: Any) -> str:
        part = str.__getitem__(value, slice(0, self._room()))
        return self._shortened(str.__repr__(part), str.__len__(value))

    def bytes(self, value: Any) -> str:
        base: Any = bytes if physical.is_a(value, bytes) else bytearray
        part = base.__getitem__(value, slice(0, self._room()))
        return self._shortened(base.__repr__(part), base.__len__(value), "bytes")

    def integer(self, value: Any) -> str:
        bits = int.bit_length(value)
        if bits <= _INT_BITS:
            try:
                return self.short(int.__repr__(value))
            except ValueError:  # sys.set_int_max_str_digits asks for fewer
                pass
        self.cut = True
        return f"<{'negative ' if int.__lt__(value, 0) else ''}int of {bits:,} bits>"

    def short(self, text: str) -> str:
        """A text that is there already, cut to the limit."""
        return self._shortened(text, len(text))

    def own_repr(self, value: object) -> str:
        """For types whose repr is known to be short and to run no user code."""
        return self.short(repr(value))

    def bounded_repr(self, value: object) -> str:
        """By the value's own code, bounded; what stands for it where that fails."""
        text, is_repr = self.writer.run_repr(value)
        if not is_repr:
            return text
        part = str.__getitem__(text, slice(0, self._room()))
        return self._shortened(part, str.__len__(text))

    def container(
        self,
        value: object,
        brackets: tuple[str, str],
        count: int,
        read: Callable[[int], Iterable[Any]],
        write: Callable[[Any], str] | None = None,
    ) -> str:
        """A container's items as far as the limits go; ``read(n)`` gives its first ``n``."""
        opening, closing = brackets
        if id(value) in self._open:
            return f"{opening}...{closing}"
        shown = 0 if self._depth >= _DEPTH else count if count <= _WHOLE else _FIRST
        texts: list[str] = []
        self._open.add(id(value))
        self._depth += 1
        try:
            for item in read(shown) if shown else ():
                if self._left <= 0:
                    break
                texts.append(self.write(item) if write is None else write(item))
                self._left -= 2
        finally:
            self._depth -= 1
            self._open.discard(id(value))
        missing = count - len(texts)
        if missing > 0:
            self.cut = True
            texts.append(f"... {missing:,} more")
        comma = "," if opening == "(" and count == 1 and not missing else ""
        return f"{opening}{', '.join(texts)}{comma}{closing}"

    def fields(self, value: object, head: str, fields: list[tuple[object, object]]) -> str:
        """``head(name=value, ...)``."""

        def write(field: tuple[object, object]) -> str:
            return f"{physical.plain(field[0])}={self.write(field[1])}"

        return self.container(value, (head + "(", ")"), len(fields), lambda n: fields[:n], write)

    def list(self, value: Any) -> str:
        return self.container(
            value, ("[", "]"), list.__len__(value), lambda n: physical.items(value, 0, n)
        )

    def tuple(self, value: Any) -> str:
        return self.container(
            value, ("(", ")"), tuple.__len__(value), lambda n: physical.items(value, 0, n)
        )

    def set(self, value: Any) -> str:
        base: Any = set if physical.is_a(value, set) else frozenset
        count, name = base.__len__(value), physical.name_of(type(value))
        if not count:
            return f"{name}()"
        brackets = ("{", "}") if type(value) is set else (name + "({", "})")
        return self.container(
            value, brackets, count, lambda n: physical.between(base.__iter__, value, 0, n)
        )

    def deque(self, value: Any) -> str:
        limit = deque.__dict__["maxlen"].__get__(value)
        head = physical.name_of(type(value))
        return self.container(
            value,
            (head + "([", "])" if limit is None else f"], maxlen={limit})"),
            deque.__len__(value),
            lambda n: physical.between(deque.__iter__, value, 0, n),
        )

    def dict(self, value: Any) -> str:
        def write(pair: Any) -> str:
            return f"{self.write(pair[0])}: {self.write(pair[1])}"

        return self.container(
            value, ("{", "}"), dict.__len__(value), lambda n: physical.pairs(value, 0, n), write
        )

    def named_dict(self, value: Any) -> str:
        """OrderedDict and Counter, whose repr has the class's name."""
        name = physical.name_of(type(value))
        return f"{name}({self.dict(value) if dict.__len__(value) else ''})"

    def default_dict(self, value: Any) -> str:
        factory = defaultdict.__dict__["default_factory"].__get__(value)
        return f"{physical.name_of(type(value))}({self.write(factory)}, {self.dict(value)})"

    def dict_view(self, value: Any) -> str:
        cls: Any = type(value)
        return self.container(
            value,
            (physical.name_of(cls) + "([", "])"),
            cls.__len__(value),
            lambda n: physical.between(cls.__iter__, value, 0, n),
        )

    def _by_class(self, value: Any) -> str:
        """The text of an object whose exact type isn't known, by where its ``__repr__`` is from."""
        cls = type(value)
        if issubclass(cls, type):
            return self.short(f"<class {physical.full_name_of(value)!r}>")
        if (write := object_text.imported(cls)) is not None:
            return write(self, value)
        summary = self._library_summary(value, cls)
        if summary is not None:
            return summary
        owner, entry = physical.lookup(cls, "__repr__") or (object, None)
        if owner is object:
            return self.short(physical.address_text(value))
        write = object_text.INHERITED.get(id(owner))
        if write is not None:
            return write(self, value)
        text = object_text.generated(self, value, owner, entry)
        return self.bounded_repr(value) if text is None else text

    def _library_summary(self, value: object, cls: type) -> str | None:
        kind, code = self.writer.kind_of(cls), self.writer.code
        if kind is None or code is None:
            return None
        found = libraries.summary(value, kind, code, self._nested)
        if found is None:
            return None
        self.cut = self.cut or found[1]
        return found[0]

    def _nested(self, value: object) -> str:
        self._depth += 1
        try:
            return self.write(value)
        finally:
            self._depth -= 1

    def _room(self) -> int:
        if self._depth == 0:
            return self._chars
        return max(min(self._left, _NESTED_CHARS, self._chars), _LEAST_CHARS)

    def _shortened(self, text: str, total: int, unit: str = "characters") -> str:
        room = self._room()
        if total <= room and len(text) <= room + 3:  # the quotes, and the b of bytes
            return text
        self.cut = True
        return f"{text[:room]}... ({total:,} {unit} in all)"
