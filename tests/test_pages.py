"""Children of a value page by page: the whole once, no more of it touched than is shown."""

import array
import collections
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from looking import (
    LIMITS,
    MILLION,
    Bag,
    children,
    new_store,
    texts,
)

from nbdebug.engine import physical
from nbdebug.engine.variables import VariableStore


def _instance(items: list[int]) -> Bag:
    bag = Bag()
    for index, item in enumerate(items):
        setattr(bag, f"a{index}", item)
    return bag


CONTAINERS: dict[str, Any] = {
    "instance": _instance,
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
    "frame": lambda items: pd.DataFrame(items).T,
    "polars series": lambda items: pl.Series(items, dtype=pl.Int64),
    "user list": collections.UserList,
    "object": lambda items: types.SimpleNamespace(**{f"a{i}": v for i, v in enumerate(items)}),
}


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
