"""How values are written: bounded, honest about what is cut, without running what need not run."""

import array
import collections
import datetime as dt
import functools
import types
import weakref
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looking import (
    LIMITS,
    MILLION,
    Colour,
    Defined,
    Frozen,
    Mode,
    Model,
    Plain,
    Point,
    Trap,
    children,
    new_store,
    texts,
)

from nbdebug import errors
from nbdebug.engine.model import Limits
from nbdebug.engine.value_text import safe_text
from nbdebug.engine.variables import VariableStore


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (5, "int"),
        (2.5, "float"),
        (True, "bool"),
        ("it's", "str"),
        (None, "NoneType"),
        (2j, "complex"),
    ],
)
def test_plain_values_show_their_repr_and_type(
    store: VariableStore, value: object, type_name: str
) -> None:
    shown = store.view("x", value, "x")
    assert (shown.value, shown.type, shown.reference) == (repr(value), type_name, 0)
    assert not shown.truncated


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
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
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
    store = new_store(Limits(value_chars=chars))
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


def test_a_repr_that_takes_too_long_is_told_and_not_tried_again(hurried: VariableStore) -> None:
    first, second = Endless(), Endless()
    assert "repr took longer than 0.05 s>" in hurried.text(first)
    assert "repr took too long before>" in hurried.text(second)


def test_limits_may_be_changed(hurried: VariableStore) -> None:
    hurried.limits = Limits(repr_s=0.01, value_chars=30)
    assert "repr took longer than 0.01 s>" in hurried.text(Endless())
    assert len(hurried.text("x" * 1000)) < 70


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
    trap = Trap()
    assert safe_text([trap]) == f"[<{Trap.__module__}.Trap object at {id(trap):#x}>]"


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


def test_one_bad_value_never_blanks_the_rest(hurried: VariableStore) -> None:
    found = children(hurried, [1, Raising(), Trap(), Endless(), HostileClass, 2])
    assert [found[0].value, found[-1].value] == ["1", "2"]
    assert "boom" in found[1].value
    assert [child.name for child in found] == list("012345")


def test_subclasses_of_containers_are_read_by_the_containers_own_methods(
    looking: VariableStore,
) -> None:
    assert looking.text(GreedyList([1, 2])) == "[1, 2]"
    assert texts(children(looking, GreedyList([7, 8]), filter="indexed")) == ["7", "8"]
    assert texts(children(looking, GreedyDict(a=1), filter="indexed")) == ["1"]
