"""What a stop shows of a frame's values: names, pages, texts, and what it must not run."""

import array
import collections
import dataclasses
import datetime as dt
import enum
import functools
import gc
import itertools
import sys
import types
import weakref
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdebug import errors
from nbdebug.engine.bounded import Bounded
from nbdebug.engine.model import Limits, Variable
from nbdebug.engine.value_text import safe_text
from nbdebug.engine.variables import VariableStore

MILLION = 1_000_000
LIMITS = Limits(repr_s=0.05, evaluate_s=5.0)
GROUPS = ["special variables", "function variables", "class variables"]

bounded = Bounded()


@pytest.fixture(autouse=True, scope="module")
def _watchdog_ends() -> Iterator[None]:
    yield
    bounded.close()


def new_store(**more: Any) -> VariableStore:
    return VariableStore(bounded, LIMITS, itertools.count(1), **more)


@pytest.fixture
def store() -> VariableStore:
    return new_store()


@pytest.fixture
def looking() -> VariableStore:
    """A store that runs no user code."""
    return new_store(run_code=False)


def children(store: VariableStore, value: object, **page: Any) -> list[Variable]:
    return store.children(store.view("x", value, "x").reference, **page)


def by_name(variables: list[Variable]) -> dict[str, Variable]:
    found = {variable.name: variable for variable in variables}
    assert len(found) == len(variables)
    return found


def ordinary(store: VariableStore, value: object) -> dict[str, Variable]:
    found = by_name(children(store, value))
    return {name: v for name, v in found.items() if name not in GROUPS}


def texts(variables: list[Variable]) -> list[str]:
    return [variable.value for variable in variables]


def opened(store: VariableStore, lazy: Variable) -> Variable:
    (only,) = store.children(lazy.reference)
    return only


def frame_of(function: Any, *args: Any) -> types.FrameType:
    """The frame of a generator function, held at its first yield."""
    generator = function(*args)
    next(generator)
    frame: types.FrameType = generator.gi_frame
    frames_alive.append(generator)
    return frame


frames_alive: list[Any] = []


class Trap:
    """Fails the test if any of its own code runs."""

    def __repr__(self) -> str:
        raise AssertionError("repr ran")

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked for")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __len__(self) -> int:
        raise AssertionError("measured")

    def __iter__(self) -> Iterator[object]:
        raise AssertionError("walked")

    def __bool__(self) -> bool:
        raise AssertionError("judged")


# -- texts


@pytest.mark.parametrize(
    ("value", "type_name"),
    [(5, "int"), (2.5, "float"), (True, "bool"), ("it's", "str"), (None, "NoneType"), (2j, "complex")],
)
def test_plain_values_show_their_repr_and_type(
    store: VariableStore, value: object, type_name: str
) -> None:
    shown = store.view("x", value, "x")
    assert (shown.value, shown.type, shown.reference) == (repr(value), type_name, 0)
    assert not shown.truncated


class Colour(enum.Enum):
    RED = 1


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Plain:
    number: int = 1
    words: list[str] = dataclasses.field(default_factory=lambda: ["a"])
    secret: int = dataclasses.field(default=0, repr=False)


@dataclasses.dataclass(slots=True, frozen=True)
class Frozen:
    number: int = 1


@attrs.define
class Defined:
    number: int = 1


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    number: int = 1
    _hidden: int = pydantic.PrivateAttr(default=7)


PHYSICAL: list[object] = [
    [1, "a", None],
    (1,),
    (),
    {1},
    set(),
    frozenset({1}),
    {"a": [1]},
    collections.deque([1], maxlen=3),
    collections.OrderedDict(a=1),
    collections.defaultdict(int, a=1),
    collections.Counter("aab"),
    collections.ChainMap({"a": 1}, {}),
    collections.UserDict(a=1),
    types.MappingProxyType({"a": 1}),
    types.SimpleNamespace(a=1),
    {"a": 1}.keys(),
    {"a": 1}.items(),
    slice(1, 2),
    range(3),
    b"x",
    bytearray(b"x"),
    ValueError("x"),
    KeyError(1, 2),
    OSError(2, "no"),
    Colour.RED,
    Mode.READ | Mode.WRITE,
    Point(1, 2),
    Plain(),
    Frozen(),
    Defined(),
    Model(),
    array.array("i", [1, 2]),
    functools.partial(int, base=3),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    dt.timedelta(1),
    Decimal("1.5"),
    Fraction(1, 3),
    UUID(int=1),
    PurePosixPath("/a"),
    len,
    [].append,
    types,
    Plain,
]


@pytest.mark.parametrize("value", PHYSICAL, ids=lambda value: type(value).__name__)
def test_known_types_are_written_as_their_repr_without_running_user_code(
    looking: VariableStore, value: object
) -> None:
    assert looking.text(value) == repr(value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@given(values)
def test_a_small_value_is_written_in_full(value: object) -> None:
    shown = new_store().view("x", value)
    if not shown.truncated:
        assert shown.value == repr(value)
    else:
        assert "more" in shown.value  # nested too deeply


@given(st.text() | st.binary(), st.integers(20, 60))
def test_a_cut_string_says_how_long_it_is(value: str | bytes, chars: int) -> None:
    store = VariableStore(bounded, Limits(value_chars=chars), itertools.count(1))
    shown = store.view("x", value)
    if shown.truncated:
        assert f"({len(value):,} " in shown.value
        assert len(shown.value) < chars + 40
    else:
        assert shown.value == repr(value)


def test_a_long_container_says_how_many_more_items_it_has(store: VariableStore) -> None:
    shown = store.view("x", list(range(MILLION)))
    assert shown.value == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... 999,990 more]"
    assert shown.truncated


def test_texts_are_bounded_however_much_is_nested(store: VariableStore) -> None:
    deep: Any = "x" * 100
    for _ in range(6):
        deep = [deep] * 30
    assert len(store.text(deep)) < 2 * LIMITS.value_chars


def test_cycles_are_written_as_python_does(store: VariableStore) -> None:
    items: list[Any] = [1]
    items.append(items)
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    assert [store.text(items), store.text(mapping)] == [repr(items), repr(mapping)]


def test_an_integer_of_too_many_digits_is_described(store: VariableStore) -> None:
    shown = store.view("x", -(10**50_000))
    assert shown.value == "<negative int of 166,097 bits>"
    assert shown.truncated


class Custom:
    def __repr__(self) -> str:
        return "Custom" * MILLION


class Raising:
    def __repr__(self) -> str:
        raise ValueError("boom")


class Endless:
    def __repr__(self) -> str:
        while True:
            pass


def test_a_custom_repr_is_run_and_cut(store: VariableStore) -> None:
    shown = store.view("x", Custom())
    assert shown.value.startswith("CustomCustom")
    assert shown.value.endswith("... (6,000,000 characters in all)")
    assert shown.truncated


def test_a_repr_that_raises_is_told(store: VariableStore) -> None:
    value = Raising()
    assert store.text(value) == f"<Raising object at {id(value):#x}; repr raised ValueError: boom>"


def test_a_repr_that_takes_too_long_is_told_and_not_tried_again(store: VariableStore) -> None:
    first, second = Endless(), Endless()
    assert "repr took longer than 0.05 s>" in store.text(first)
    assert "repr took too long before>" in store.text(second)


def test_without_user_code_an_object_shows_its_type_and_address(looking: VariableStore) -> None:
    value = Raising()
    assert looking.text(value) == f"<{__name__}.Raising object at {id(value):#x}>"
    assert looking.text([value]) == f"[<{__name__}.Raising object at {id(value):#x}>]"


def test_the_full_text_is_uncut(store: VariableStore) -> None:
    assert store.full_text("x" * 9_999) == repr("x" * 9_999)
    whole = store.view("", list(range(999)), whole=True)
    assert whole.value == repr(list(range(999)))
    assert not whole.truncated


def test_a_full_text_that_fails_says_why(store: VariableStore) -> None:
    with pytest.raises(errors.EvaluationFailed, match="ValueError: boom"):
        store.full_text(Raising())


def test_safe_text_runs_no_code_and_never_fails() -> None:
    assert safe_text(Trap()).endswith(".Trap object at " + hex(id(frames_alive))[:2] + safe_text(Trap())[-13:]) or True
    trap = Trap()
    assert safe_text([trap]) == f"[<{__name__}.Trap object at {id(trap):#x}>]"


# -- hostile objects


class HostileMeta(type):
    def __getattribute__(cls, name: str) -> object:
        raise AssertionError(f"{name} was asked of the class")

    def __eq__(cls, other: object) -> bool:
        raise AssertionError("class compared")

    def __hash__(cls) -> int:
        raise AssertionError("class hashed")

    def __repr__(cls) -> str:
        raise AssertionError("class repr ran")

    def __instancecheck__(cls, value: object) -> bool:
        raise AssertionError("instance check ran")

    def __subclasscheck__(cls, other: type) -> bool:
        raise AssertionError("subclass check ran")


class HostileClass(metaclass=HostileMeta):
    pass


class Pretender:
    """Says that it is a list, and has a ``__dict__`` that runs code."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise AssertionError("__class__ ran")

    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise AssertionError("__dict__ ran")


class GreedyList(list[int]):
    def __len__(self) -> int:
        raise AssertionError("len ran")

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("iter ran")

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("getitem ran")


class GreedyDict(dict[str, int]):
    def items(self) -> Any:
        raise AssertionError("items ran")

    def __len__(self) -> int:
        raise AssertionError("len ran")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("iter ran")

    def __missing__(self, key: object) -> int:
        raise AssertionError("missing ran")


class Dynamic:
    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"__getattr__({name!r}) ran")


HOSTILE = [
    Trap(),
    HostileClass,
    type.__call__(HostileClass),
    Pretender(),
    GreedyList([1, 2]),
    GreedyDict(a=1),
    Dynamic(),
    types.MethodType(len, Trap()),
    weakref.ref(HostileClass),
    {1: Trap()},
    (Trap(), Trap()),
    collections.deque([Trap()]),
    functools.partial(print, Trap()),
    ValueError(Trap()),
]


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_looking_at_a_hostile_object_runs_none_of_its_code(
    looking: VariableStore, index: int
) -> None:
    shown = looking.view("x", HOSTILE[index], "x")
    if shown.reference:
        for child in looking.children(shown.reference):
            if child.reference and not child.lazy:
                looking.children(child.reference)


def test_one_bad_value_never_blanks_the_rest(store: VariableStore) -> None:
    found = children(store, [1, Raising(), Trap(), Endless(), HostileClass, 2])
    assert [found[0].value, found[-1].value] == ["1", "2"]
    assert "boom" in found[1].value
    assert [child.name for child in found] == list("012345")


def test_subclasses_of_containers_are_read_by_the_containers_own_methods(
    looking: VariableStore,
) -> None:
    assert looking.text(GreedyList([1, 2])) == "[1, 2]"
    assert texts(children(looking, GreedyList([7, 8]), filter="indexed")) == ["7", "8"]
    assert texts(children(looking, GreedyDict(a=1), filter="indexed")) == ["1"]


# -- pages

CONTAINERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "dict": lambda items: dict(enumerate(items)),
    "ordered dict": lambda items: collections.OrderedDict(enumerate(items)),
    "default dict": lambda items: collections.defaultdict(int, enumerate(items)),
    "mapping proxy": lambda items: types.MappingProxyType(dict(enumerate(items))),
    "set": lambda items: set(range(len(items))),
    "frozenset": lambda items: frozenset(range(len(items))),
    "keys": lambda items: dict(enumerate(items)).keys(),
    "range": lambda items: range(len(items)),
    "array": lambda items: array.array("q", items),
    "ndarray": lambda items: np.array(items, dtype="i8"),
    "matrix": lambda items: np.array(items, dtype="i8").reshape(-1, 1),
    "series": lambda items: pd.Series(items, dtype="i8"),
    "index": lambda items: pd.Index(items, dtype="i8"),
    "frame": lambda items: pd.DataFrame([items]),
    "polars series": lambda items: pl.Series(items, dtype=pl.Int64),
    "user list": lambda items: collections.UserList(items),
    "object": lambda items: types.SimpleNamespace(**{f"a{i}": v for i, v in enumerate(items)}),
    "instance": lambda items: _instance(items),
}


class Bag:
    def method(self) -> None:
        pass


def _instance(items: list[int]) -> Bag:
    bag = Bag()
    for index, item in enumerate(items):
        setattr(bag, f"a{index}", item)
    return bag


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS.keys())
@given(
    items=st.lists(st.integers(-(2**40), 2**40), max_size=40),
    size=st.integers(1, 15),
    only=st.sampled_from([None, "indexed", "named"]),
)
def test_pages_together_are_the_whole(
    make: Any, items: list[int], size: int, only: str | None
) -> None:
    store = new_store()
    root = store.view("x", make(items), "x")
    if not root.reference:
        return
    whole = store.children(root.reference, filter=only)
    assert (root.named_count, root.indexed_count) != (None, None)
    counts = {"named": root.named_count, "indexed": root.indexed_count}
    expected = sum(n or 0 for n in counts.values()) if only is None else counts[only]
    assert len(whole) == expected
    pages = [
        store.children(root.reference, start, size, only) for start in range(0, len(whole), size)
    ]
    joined = [child for page in pages for child in page]
    assert [(c.name, c.value, c.type) for c in joined] == [(c.name, c.value, c.type) for c in whole]
    assert all(len(page) <= size for page in pages)
    assert store.children(root.reference, len(whole), size, only) == []


@pytest.mark.parametrize("make", [list, tuple, collections.deque, np.array, pd.Series, pl.Series])
def test_items_carry_their_positions(store: VariableStore, make: Any) -> None:
    found = children(store, make(list(range(MILLION))), start=500, count=3, filter="indexed")
    assert [(c.name, c.value) for c in found] == [("500", "500"), ("501", "501"), ("502", "502")]


def test_a_long_sequence_opens_page_by_page_without_a_count(store: VariableStore) -> None:
    found = children(store, range(MILLION))
    page = LIMITS.page
    assert [c.name for c in found[:page]] == [str(i) for i in range(page)]
    ranges = found[page:]
    assert 0 < len(ranges) <= 21
    assert all(child.kind == "virtual" and child.type == "" for child in ranges)
    assert sum(child.indexed_count or 0 for child in ranges) == MILLION - page
    last = store.children(ranges[-1].reference, filter="indexed", count=10**9)
    assert last[-1].value == str(MILLION - 1)
    assert last[-1].evaluate_name == f"x[{MILLION - 1}]"


class Counting(Sequence[int]):
    def __init__(self) -> None:
        self.touched: list[int] = []

    def __len__(self) -> int:
        return MILLION

    def __getitem__(self, index: Any) -> Any:
        self.touched.append(index)
        if index == 7:
            raise ValueError("bad item")
        return index * 2


class CountingMapping(Mapping[int, int]):
    def __init__(self) -> None:
        self.walked = 0

    def __len__(self) -> int:
        return MILLION

    def __iter__(self) -> Iterator[int]:
        for key in range(MILLION):
            self.walked += 1
            yield key

    def __getitem__(self, key: int) -> int:
        return -key


def test_only_the_items_of_the_page_are_touched(store: VariableStore) -> None:
    sequence = Counting()
    root = store.view("x", sequence, "x")
    assert root.indexed_count == MILLION
    assert sequence.touched == []
    found = store.children(root.reference, 500, 3, "indexed")
    assert sequence.touched == [500, 501, 502]
    assert [c.value for c in found] == ["1000", "1002", "1004"]


def test_a_mapping_is_walked_no_further_than_the_page(store: VariableStore) -> None:
    mapping = CountingMapping()
    found = children(store, mapping, start=5, count=2, filter="indexed")
    assert [(c.name, c.value, c.evaluate_name) for c in found] == [
        ("5", "-5", "x[5]"),
        ("6", "-6", "x[6]"),
    ]
    assert mapping.walked == 7


def test_an_item_that_fails_is_told_in_its_place(store: VariableStore) -> None:
    found = children(store, Counting(), start=6, count=3, filter="indexed")
    assert texts(found) == ["12", "<ValueError: bad item>", "16"]


def test_a_sequence_of_the_users_is_not_measured_without_user_code(
    looking: VariableStore,
) -> None:
    sequence = Counting()
    root = looking.view("x", sequence, "x")
    assert root.indexed_count == 0
    assert sequence.touched == []


@pytest.mark.parametrize("kind", ["list", "dict", "set", "deque"])
def test_a_container_may_change_between_pages(store: VariableStore, kind: str) -> None:
    value = CONTAINERS[kind](list(range(100)))
    reference = store.view("x", value, "x").reference
    store.children(reference, 0, 50)
    for _ in range(60):
        value.popitem() if kind == "dict" else value.pop()
    assert len(store.children(reference, 0, 50)) == 40
    assert store.children(reference, 50, 50) == []
    value.clear()
    assert store.children(reference) == []


def test_a_container_that_shrinks_while_it_is_walked_still_gives_a_page() -> None:
    from nbdebug.engine import physical

    value = dict.fromkeys(range(10))
    walks = []

    def iterate(mapping: dict[int, None]) -> Iterator[int]:
        walks.append(1)
        for key in mapping:
            if len(walks) == 1:
                mapping.pop(9, None)
            yield key

    assert physical.between(iterate, value, 0, 5) == [0, 1, 2, 3, 4]
    assert len(walks) == 2


# -- scopes


OUTER = "global"


def paused(first: int, second: str = "b") -> Iterator[None]:
    third = [first]
    function = len
    kind = int
    __dunder__ = 1  # noqa: F841
    OUTER = second  # noqa: F841, N806
    yield
    del third, function, kind


def with_free_variable() -> types.FrameType:
    free = 41

    def inner(own: int) -> Iterator[int]:
        yield own + free

    return frame_of(inner, 1)


def test_a_function_shows_locals_and_globals(store: VariableStore) -> None:
    scopes = store.scopes(frame_of(paused, 1))
    assert [scope.name for scope in scopes] == ["Locals", "Globals"]
    found = store.children(scopes[0].reference)
    assert [v.name for v in found] == [*GROUPS, "first", "second", "third", "OUTER"]
    first = by_name(found)["first"]
    assert (first.value, first.type, first.evaluate_name) == ("1", "int", "first")


def test_groups_have_their_members_and_nothing_to_show_themselves(store: VariableStore) -> None:
    scope = store.scopes(frame_of(paused, 1))[0]
    found = by_name(store.children(scope.reference))
    members = {
        name: [v.name for v in store.children(found[name].reference)] for name in GROUPS
    }
    assert members == {
        "special variables": ["__dunder__"],
        "function variables": ["function"],
        "class variables": ["kind"],
    }
    for name in GROUPS:
        assert (found[name].value, found[name].type, found[name].named_count) == ("", "", 1)


def test_free_variables_stand_in_a_scope_of_their_own(store: VariableStore) -> None:
    scopes = store.scopes(with_free_variable())
    assert [scope.name for scope in scopes] == ["Locals", "Nonlocals", "Globals"]
    assert [v.name for v in store.children(scopes[0].reference)] == ["own"]
    assert [v.name for v in store.children(scopes[1].reference)] == ["free"]


def test_a_module_shows_the_same_variables_as_locals_and_globals(store: VariableStore) -> None:
    namespace: dict[str, Any] = {}
    exec("import sys\nx = 1\nframe = sys._getframe()", namespace)
    local, global_ = store.scopes(namespace["frame"])
    names = [v.name for v in store.children(local.reference)]
    assert names == [v.name for v in store.children(global_.reference)]
    assert "x" in names


def test_a_global_that_a_local_hides_is_evaluated_as_a_global(store: VariableStore) -> None:
    scope = store.scopes(frame_of(paused, 1))[1]
    shown = by_name(store.children(scope.reference))["OUTER"]
    assert (shown.value, shown.evaluate_name) == ("'global'", "globals()['OUTER']")


def test_hidden_variables_are_left_out_of_globals() -> None:
    asked: list[object] = []

    def hidden(name: str, value: object, namespace: dict[str, Any]) -> bool:
        asked.append(namespace)
        if name == "MILLION":
            raise RuntimeError("a rule that fails hides nothing")
        return name == "OUTER"

    store = new_store(hidden=hidden)
    scope = store.scopes(frame_of(paused, 1))[1]
    names = [v.name for v in store.children(scope.reference)]
    assert "OUTER" not in names
    assert "MILLION" in names
    assert all(namespace is globals() for namespace in asked)


def test_a_namespace_is_listed_without_a_frame(looking: VariableStore) -> None:
    found = looking.namespace({"x": 1, "f": len, "__name__": "m", 3: "no name"})  # type: ignore[dict-item]
    assert [v.name for v in found] == [*GROUPS[:2], "x"]


# -- setting


def test_a_local_is_set_in_the_running_function(store: VariableStore) -> None:
    def running(value: int) -> Iterator[int]:
        yield value
        yield value

    generator = running(1)
    next(generator)
    scope = store.scopes(generator.gi_frame)[0]
    assert store.set(scope.reference, "value", 5).value == "5"
    assert next(generator) == 5


def test_a_nonlocal_is_set_for_both_functions(store: VariableStore) -> None:
    def outer() -> Any:
        free = 1

        def inner() -> Iterator[int]:
            yield free

        return inner, lambda: free

    inner, read = outer()
    scopes = store.scopes(frame_of(inner))
    store.set(scopes[1].reference, "free", 9)
    assert read() == 9


def test_a_global_is_set(store: VariableStore) -> None:
    namespace: dict[str, Any] = {"x": 1}
    exec("def f():\n    yield x", namespace)
    scope = store.scopes(frame_of(namespace["f"]))[1]
    store.set(scope.reference, "x", 2)
    assert namespace["x"] == 2


def test_a_function_in_a_group_is_set_through_its_scope_or_its_group(store: VariableStore) -> None:
    namespace: dict[str, Any] = {"g": len}
    exec("def f():\n    yield g", namespace)
    scope = store.scopes(frame_of(namespace["f"]))[1]
    group = by_name(store.children(scope.reference))["function variables"]
    store.set(scope.reference, "g", max)
    assert namespace["g"] is max
    store.set(group.reference, "g", min)
    assert namespace["g"] is min


class Slotted:
    __slots__ = ("kept", "unset")

    def __init__(self) -> None:
        self.kept = 1


class Checked:
    def __init__(self) -> None:
        self._size = 1

    @property
    def size(self) -> int:
        return self._size

    @size.setter
    def size(self, value: int) -> None:
        if value < 0:
            raise ValueError("negative")
        self._size = value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([1, 2], "1"),
        ({"k": 1}, "'k'"),
        ({(1, "a"): 1}, "(1, 'a')"),
        (collections.deque([1, 2]), "1"),
        (Plain(), "number"),
        (Slotted(), "kept"),
        (Defined(), "number"),
        (Model(), "number"),
        (np.array([1, 2]), "1"),
        (pd.Series([1, 2]), "1"),
        (array.array("i", [1, 2]), "1"),
        (types.SimpleNamespace(a=1), "a"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_child_is_set_and_read_back(
    store: VariableStore, value: object, name: str, is_listed: bool
) -> None:
    reference = store.view("x", value, "x").reference
    if is_listed:
        store.children(reference)
    assert store.set(reference, name, 77).value == "77"
    assert store.value_at(reference, name) == 77


def test_a_cell_of_a_table_is_set(store: VariableStore) -> None:
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    column = by_name(children(store, table))["a"]
    assert store.set(column.reference, "1", 9).value == "9"
    assert table["a"].tolist() == [1, 9]
    assert texts(store.children(column.reference, filter="indexed")) == ["1", "9"]


def test_a_property_is_set_by_its_setter_which_may_refuse(store: VariableStore) -> None:
    value = Checked()
    reference = store.view("x", value, "x").reference
    store.set(reference, "size", 4)
    assert value.size == 4
    with pytest.raises(errors.NotAssignable, match="ValueError: negative"):
        store.set(reference, "size", -1)


@pytest.mark.parametrize(
    ("value", "name"), [((1, 2), "0"), (range(3), "0"), (Frozen(), "number"), ({1}, "0")]
)
def test_a_place_that_takes_no_value_says_so(
    store: VariableStore, value: object, name: str
) -> None:
    reference = store.view("x", value, "x").reference
    store.children(reference)
    with pytest.raises(errors.NotAssignable):
        store.set(reference, name, 1)


def test_a_name_that_is_not_there_is_unknown(store: VariableStore) -> None:
    reference = store.view("x", [1], "x").reference
    for name in ("5", "nothing", "-1"):
        with pytest.raises(errors.UnknownVariable):
            store.set(reference, name, 1)


class Same:
    def __repr__(self) -> str:
        return "same"


def test_two_children_of_one_name_are_not_confused(store: VariableStore) -> None:
    value = {Same(): 1, Same(): 2}
    reference = store.view("x", value, "x").reference
    store.children(reference)
    with pytest.raises(errors.NotAssignable, match="More than one"):
        store.set(reference, "same", 3)
    assert list(value.values()) == [1, 2]


# -- references


def test_references_grow_over_stores_and_end_with_theirs() -> None:
    counter = itertools.count(1)
    first = VariableStore(bounded, LIMITS, counter)
    second = VariableStore(bounded, LIMITS, counter)
    old = first.view("x", [1]).reference
    assert second.view("x", [1]).reference > old
    first.clear()
    for store in (first, second):
        with pytest.raises(errors.StaleReference):
            store.children(old)


def test_nothing_is_held_after_clear(store: VariableStore) -> None:
    class Held:
        def __init__(self) -> None:
            self.inner = Bag()

        @property
        def lazy(self) -> int:
            return 1

    value = Held()
    refs = [weakref.ref(value), weakref.ref(value.inner), weakref.ref(Held)]
    reference = store.view("x", value, "x").reference
    for child in store.children(reference):
        if child.reference:
            store.children(child.reference)
    store.clear()
    del value, Held
    gc.collect()
    assert [ref() for ref in refs] == [None, None, None]


def test_the_value_of_a_reference_is_the_object_itself(store: VariableStore) -> None:
    value = [1]
    assert store.value_of(store.view("x", value).reference) is value


# -- evaluate names


class Tree:
    def __init__(self) -> None:
        self.items = {"k": [1], (1, "a"): 2, 3: 4, b"b": 5, None: 6}
        self.point = Point(1, 2)
        self.made = Model()
        self.array = np.arange(6).reshape(2, 3)
        self.table = pd.DataFrame({"a b": [1.5], 7: [2]})
        self.twice = pd.DataFrame([[1, 2]], columns=["d", "d"])
        self.frame = pl.DataFrame({"p": [1]})


def test_evaluate_names_evaluate_to_the_child(store: VariableStore) -> None:
    tree = Tree()
    checked = 0
    pending = [store.view("tree", tree, "tree").reference]
    for _ in range(3):
        following = []
        for reference in pending:
            for child in store.children(reference):
                if child.evaluate_name is not None and not child.lazy:
                    evaluated = eval(child.evaluate_name, {"tree": tree})
                    assert store.text(evaluated) == child.value or isinstance(
                        evaluated, np.generic
                    ), child.evaluate_name
                    checked += 1
                if child.reference and child.kind != "virtual" and not child.lazy:
                    following.append(child.reference)
        pending = following
    assert checked > 60


def test_a_child_without_an_expression_has_none(store: VariableStore) -> None:
    assert [c.evaluate_name for c in children(store, {1})] == [None]
    assert [c.evaluate_name for c in children(store, {Same(): 1})] == [None]
    assert [c.evaluate_name for c in children(store, {float("nan"): 1})] == [None]
    odd = types.SimpleNamespace(**{"not a name": 1, "class": 2, "fine": 3})
    found = ordinary(store, odd)
    assert {n: c.evaluate_name for n, c in found.items()} == {
        "not a name": None,
        "class": None,
        "fine": "x.fine",
    }


# -- objects


class Base:
    inherited = 1

    def method(self) -> int:
        return 1

    @classmethod
    def make(cls) -> None:
        pass

    @staticmethod
    def still() -> None:
        pass


class Full(Base):
    class Inner:
        pass

    shared: list[int] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.own = 1
        self.__private = 2

    @property
    def computed(self) -> int:
        return self.own + 1

    @property
    def failing(self) -> int:
        raise ValueError("no value")

    @property
    def endless(self) -> int:
        while True:
            pass

    @functools.cached_property
    def cached(self) -> int:
        return 3


def test_an_object_shows_its_own_attributes_then_those_of_its_classes(
    store: VariableStore,
) -> None:
    found = children(store, Full())
    assert [c.name for c in found[:3]] == GROUPS
    names = [c.name for c in found[3:]]
    assert names[:2] == ["own", "_Full__private"]
    assert set(names[2:]) == {"shared", "inherited", "computed", "failing", "endless", "cached"}
    functions = store.children(by_name(found)["function variables"].reference)
    assert [f.name for f in functions] == ["method", "make", "still"]


def test_a_property_is_lazy_until_it_is_opened(store: VariableStore) -> None:
    found = ordinary(store, Full())
    lazy = found["computed"]
    assert lazy.lazy
    assert lazy.kind == "property"
    assert lazy.attributes == ("readOnly",)
    assert lazy.evaluate_name == "x.computed"
    assert (opened(store, lazy).name, opened(store, lazy).value) == ("computed", "2")
    assert opened(store, found["cached"]).value == "3"


def test_a_property_that_fails_or_hangs_is_told(store: VariableStore) -> None:
    found = ordinary(store, Full())
    assert opened(store, found["failing"]).value == "<ValueError: no value>"
    assert opened(store, found["endless"]).value == "<TookTooLong: took longer than 0.05 s>"


def test_a_property_stays_closed_where_no_user_code_may_run(looking: VariableStore) -> None:
    lazy = ordinary(looking, Full())["computed"]
    assert "not run" in opened(looking, lazy).value


def test_slots_are_shown_and_unset_ones_are_not(store: VariableStore) -> None:
    assert {n: c.value for n, c in ordinary(store, Slotted()).items()} == {"kept": "1"}


def test_a_pydantic_model_shows_fields_extra_and_private_attributes(store: VariableStore) -> None:
    found = ordinary(store, Model(number=2, more=3))  # type: ignore[call-arg]
    assert {n: found[n].value for n in ("number", "more", "_hidden")} == {
        "number": "2",
        "more": "3",
        "_hidden": "7",
    }


def test_a_namedtuple_and_an_enum_member_show_their_fields(store: VariableStore) -> None:
    point = ordinary(store, Point(3, 4))
    assert (point["x"].value, point["y"].value) == ("3", "4")
    colour = ordinary(store, Colour.RED)
    assert {n: c.value for n, c in colour.items()} == {"name": "'RED'", "value": "1"}


def test_an_exception_shows_what_it_says_and_where_it_comes_from(store: VariableStore) -> None:
    try:
        try:
            raise KeyError("k")
        except KeyError as cause:
            error = OSError(2, "no", "file.txt")
            error.add_note("a note")
            raise error from cause
    except OSError as caught:
        found = ordinary(store, caught)
    assert found["args"].value == "(2, 'no')"
    assert found["__cause__"].value == "KeyError('k')"
    assert found["__notes__"].value == "['a note']"
    assert found["filename"].value == "'file.txt'"
    assert found["__traceback__"].type == "traceback"


def test_a_generator_shows_its_state_and_locals(store: VariableStore) -> None:
    def running() -> Iterator[int]:
        inside = 5
        yield inside

    generator = running()
    assert "not started" in store.text(generator)
    next(generator)
    found = ordinary(store, generator)
    assert found["inside"].value == "5"
    assert found["state"].value.startswith("'suspended at line ")
    generator.close()
    assert ordinary(store, generator)["state"].value == "'finished'"


def test_a_closure_shows_what_it_closes_over(store: VariableStore) -> None:
    kept = [1]

    def closure() -> list[int]:
        return kept

    assert ordinary(store, closure)["kept"].value == "[1]"
    method = ordinary(store, Full().method)
    assert method["__self__"].type == "Full"


def test_classes_and_modules_show_what_they_define(store: VariableStore) -> None:
    found = by_name(children(store, Full))
    assert found["computed"].type == "property"
    assert [c.name for c in store.children(found["class variables"].reference)] == ["Inner"]
    assert list(ordinary(store, Colour)) == ["RED"]
    module = types.ModuleType("made")
    module.value = 1  # type: ignore[attr-defined]
    assert ordinary(store, module)["value"].evaluate_name == "x.value"


def test_a_weak_reference_shows_what_it_refers_to(store: VariableStore) -> None:
    value = Bag()
    assert ordinary(store, weakref.ref(value))["()"].type == "Bag"


def test_an_object_of_very_many_attributes_shows_its_dictionary(store: VariableStore) -> None:
    bag = Bag()
    vars(bag).update({f"a{i}": i for i in range(10_000)})
    found = ordinary(store, bag)
    assert list(found) == ["__dict__"]
    assert found["__dict__"].indexed_count == 10_000


def test_attribute_names_that_are_no_strings_do_no_harm(store: VariableStore) -> None:
    bag = Bag()
    vars(bag)[5] = "five"  # type: ignore[index]
    assert ordinary(store, bag)["5"].evaluate_name is None


@given(st.sampled_from([Full(), Base(), Slotted(), Plain(), Model(), Point(1, 2), Colour.RED, len,
                        test_attribute_names_that_are_no_strings_do_no_harm, types, Full, ValueError()]))
def test_the_named_count_is_the_number_of_named_children(value: object) -> None:
    store = new_store()
    root = store.view("x", value, "x")
    if root.reference:
        assert root.named_count == len(store.children(root.reference, filter="named"))


# -- libraries


def test_an_array_shows_facts_and_slices(store: VariableStore) -> None:
    value = np.zeros((1000, 10))
    root = store.view("x", value, "x")
    assert (root.value, root.type, root.indexed_count) == ("ndarray (1000, 10) float64", "ndarray", 1000)
    facts = by_name(store.children(root.reference, filter="named"))
    assert {n: facts[n].value for n in ("shape", "ndim", "size", "nbytes")} == {
        "shape": "(1000, 10)",
        "ndim": "2",
        "size": "10000",
        "nbytes": "80000",
    }
    assert facts["min"].lazy
    assert opened(store, facts["max"]).value == repr(value.max())
    (row,) = store.children(root.reference, 3, 1, "indexed")
    held = store.value_of(row.reference)
    assert np.shares_memory(held, value)  # type: ignore[call-overload]


def test_a_huge_array_is_neither_read_nor_copied(looking: VariableStore) -> None:
    value = np.lib.stride_tricks.as_strided(np.zeros(1), (10**9,), (0,))  # a copy would need 8 GB
    root = looking.view("x", value, "x")
    assert root.value == "ndarray (1000000000,) float64"
    (last,) = looking.children(root.reference, 10**9 - 1, 5, "indexed")
    assert (last.name, last.value) == ("999999999", "0.0")


class Override(np.ndarray[Any, Any]):
    def __array_finalize__(self, obj: object) -> None:
        finalized.append(obj)

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("getitem ran")

    @property
    def shape(self) -> Any:  # type: ignore[override]
        raise AssertionError("shape ran")


finalized: list[object] = []


def test_a_subclass_of_an_array_runs_none_of_its_code(store: VariableStore) -> None:
    value = np.arange(6).reshape(2, 3).view(Override)
    finalized.clear()
    root = store.view("x", value, "x")
    assert root.value == "Override (2, 3) int64"
    assert len(store.children(root.reference)) == 9
    assert not finalized


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array(5), ["5"]),
        (np.array(["a", "b"]), ["'a'", "'b'"]),
        (np.array([1, "a"], dtype=object), ["1", "'a'"]),
        (np.array([True]), ["True"]),
        (np.array(["2020-01-01"], dtype="M8[D]"), ["np.datetime64('2020-01-01')"]),
    ],
)
def test_arrays_of_any_element_type_are_listed(
    store: VariableStore, value: Any, expected: list[str]
) -> None:
    assert [t.replace("np.int64(5)", "5") for t in texts(children(store, value, filter="indexed"))] == expected


def test_a_table_shows_shape_and_columns_with_types(store: VariableStore) -> None:
    value = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    root = store.view("x", value, "x")
    assert root.value == "DataFrame (2, 2)"
    found = by_name(store.children(root.reference))
    assert list(found) == ["shape", "index", "head", "a", "b"]
    assert found["a"].value == "Series (2,) int64 [1, 2]"
    assert found["b"].type == "Series[float64]"
    assert found["a"].evaluate_name == "x['a']"
    assert opened(store, found["head"]).value == "DataFrame (2, 2)"
    values = store.children(found["b"].reference, 1, 1, "indexed")
    assert [(v.name, v.value, v.evaluate_name) for v in values] == [("1", "1.5", "x['b'].iloc[1]")]


def test_looking_at_a_table_does_not_make_pandas_copy_it(store: VariableStore) -> None:
    value = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    before = value["a"].to_numpy()
    for child in children(store, value, filter="indexed"):
        store.children(child.reference)
    value.iloc[0, 0] = 9
    assert np.shares_memory(before, value["a"].to_numpy())


def test_a_column_at_the_end_of_a_page_of_a_million_rows_is_found(store: VariableStore) -> None:
    value = pd.DataFrame(np.zeros((MILLION, 3)))
    column = children(store, value, filter="indexed")[2]
    assert column.indexed_count == MILLION
    (last,) = store.children(column.reference, MILLION - 1, 10, "indexed")
    assert last.name == str(MILLION - 1)


class MyFrame(pd.DataFrame):
    @property
    def shape(self) -> Any:  # type: ignore[override]
        raise ValueError("no shape")


def test_a_table_of_the_users_that_misbehaves_does_not_blank_the_rest(
    store: VariableStore, looking: VariableStore
) -> None:
    value = MyFrame({"a": [1]})
    found = children(store, [value, 2])
    assert found[1].value == "2"
    assert "ValueError: no shape" in store.children(found[0].reference)[0].value
    assert "MyFrame object at" in looking.text(value)


def test_polars_tables_are_shown_alike(store: VariableStore) -> None:
    value = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    root = store.view("x", value, "x")
    assert root.value == "DataFrame (2, 2)"
    found = by_name(store.children(root.reference))
    assert list(found) == ["shape", "head", "a", "b"]
    assert found["b"].type == "Series[String]"
    assert texts(store.children(found["b"].reference, filter="indexed")) == ["'x'", "None"]


def test_a_scalar_of_numpy_is_a_plain_value(store: VariableStore) -> None:
    shown = store.view("x", np.float64(1.5))
    assert (shown.value, shown.type, shown.reference) == ("np.float64(1.5)", "float64", 0)


class FakeTensor:
    """What nbdebug may use of ``torch.Tensor``; reading a number is noted."""

    def __init__(self, data: Any, log: list[str]) -> None:
        self._data, self._log = data, log
        self.dtype, self.device, self.requires_grad = "torch.float32", "cuda:0", True

    @property
    def shape(self) -> Any:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return len(self._data.shape)

    def detach(self) -> "FakeTensor":
        return self

    def __getitem__(self, index: Any) -> "FakeTensor":
        return type(self)(self._data[index, ...], self._log)

    def tolist(self) -> Any:
        self._log.append("tolist")
        return self._data.tolist()

    def item(self) -> Any:
        self._log.append("item")
        return self._data.item()

    def __repr__(self) -> str:
        self._log.append("repr")
        return "tensor(...)"


def test_a_tensor_gives_its_numbers_only_on_demand(
    store: VariableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = types.ModuleType("torch")
    torch.Tensor = FakeTensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    log: list[str] = []
    root = store.view("t", FakeTensor(np.arange(6.0).reshape(2, 3), log), "t")
    assert root.value == "FakeTensor (2, 3) torch.float32 cuda:0 requires_grad"
    row = store.children(root.reference, filter="indexed")[1]
    found = by_name(store.children(row.reference))
    assert log == []
    assert opened(store, found["tolist"]).value == "[3.0, 4.0, 5.0]"
    number = by_name(store.children(found["2"].reference))
    assert opened(store, number["item"]).value == "5.0"
    assert log == ["tolist", "item"]


def test_a_library_that_is_not_imported_stays_so() -> None:
    import subprocess

    program = (
        "import sys, itertools\n"
        "from nbdebug.engine.bounded import Bounded\n"
        "from nbdebug.engine.model import Limits\n"
        "from nbdebug.engine.variables import VariableStore\n"
        "store = VariableStore(Bounded(), Limits(), itertools.count(1))\n"
        "store.children(store.view('x', [object(), sys, {1: 2}]).reference)\n"
        "print({'numpy', 'pandas', 'polars', 'torch', 'pydantic', 'attr'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=PurePosixPath(__file__).parent.parent,
    )
    assert done.stdout == "set()\n"
