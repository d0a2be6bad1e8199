"""What values of numpy, pandas, polars and torch show, and that nothing is copied for it."""

import subprocess
import sys
import types
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from looking import MILLION, by_name, children, opened, texts

from nbdebug.engine.variables import VariableStore


def test_an_array_shows_facts_and_slices(store: VariableStore) -> None:
    value = np.zeros((1000, 10))
    root = store.view("x", value, "x")
    assert (root.value, root.type, root.indexed_count) == (
        "ndarray (1000, 10) float64",
        "ndarray",
        1000,
    )
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
    held: Any = store.value_of(row.reference)
    assert np.shares_memory(held, value)


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

    @property  # type: ignore[misc]
    def shape(self) -> Any:
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
    assert [
        t.replace("np.int64(5)", "5") for t in texts(children(store, value, filter="indexed"))
    ] == expected


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
    def shape(self) -> Any:
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
