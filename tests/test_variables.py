"""What a stop shows of a frame: scopes, references and expressions."""

import gc
import itertools
import types
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from looking import (
    GROUPS,
    LIMITS,
    Bag,
    Model,
    Point,
    Same,
    bounded,
    by_name,
    children,
    frame_of,
    new_store,
    ordinary,
)

from nbdebug import errors
from nbdebug.engine.variables import VariableStore

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
        if name == "GROUPS":
            raise RuntimeError("a rule that fails hides nothing")
        return name == "OUTER"

    store = new_store(hidden=hidden)
    scope = store.scopes(frame_of(paused, 1))[1]
    names = [v.name for v in store.children(scope.reference)]
    assert "OUTER" not in names
    assert "GROUPS" in names
    assert all(namespace is globals() for namespace in asked)


def test_a_namespace_is_listed_without_a_frame(looking: VariableStore) -> None:
    found = looking.namespace({"x": 1, "f": len, "__name__": "m", 3: "no name"})  # type: ignore[dict-item]
    assert [v.name for v in found] == [*GROUPS[:2], "x"]


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


# -- expressions


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
