"""What is assigned to a variable or a child of it is read back, and what can't be says so."""

import array
import collections
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from looking import (
    Defined,
    Frozen,
    Model,
    Plain,
    Same,
    Slotted,
    by_name,
    children,
    frame_of,
    texts,
)

from nbdebug import errors
from nbdebug.engine.variables import VariableStore

# -- in a frame


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


# -- in a value


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
