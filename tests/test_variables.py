"""What a stop shows of a frame: scopes, pages, assignments, references and expressions."""

import array
import collections
import gc
import itertools
import types
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from looking import (
    GROUPS,
    LIMITS,
    MILLION,
    Bag,
    Defined,
    Frozen,
    Model,
    Plain,
    Point,
    Same,
    Slotted,
    bounded,
    by_name,
    children,
    frame_of,
    new_store,
    ordinary,
    texts,
)

from nbdebug import errors
from nbdebug.engine import physical
from nbdebug.engine.variables import VariableStore


@pytest.fixture
def store() -> VariableStore:
    return new_store()


@pytest.fixture
def looking() -> VariableStore:
    """A store that runs no user code."""
    return new_store(run_code=False)


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


OUTER = "global"


def paused(first: int, second: str = "b") -> Iterator[None]:
    third = [first]
    function = len
    kind = int
    __dunder__ = 1  # noqa: F841
    OUTER = second  # noqa: F841
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
    members = {name: [v.name for v in store.children(found[name].reference)] for name in GROUPS}
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


def test_a_local_is_set_in_the_running_function(store: VariableStore) -> None:
    def running(value: int) -> Iterator[int]:
        yield value
        yield value

    generator: Any = running(1)
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
    for name in ("5", "nothing", "-1", "9" * 9_999):
        with pytest.raises(errors.UnknownVariable):
            store.set(reference, name, 1)


def test_two_children_of_one_name_are_not_confused(store: VariableStore) -> None:
    value = {Same(): 1, Same(): 2}
    reference = store.view("x", value, "x").reference
    store.children(reference)
    with pytest.raises(errors.NotAssignable, match="More than one"):
        store.set(reference, "same", 3)
    assert list(value.values()) == [1, 2]


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
    refs: list[weakref.ref[Any]] = [weakref.ref(each) for each in (value, value.inner, Held)]
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
