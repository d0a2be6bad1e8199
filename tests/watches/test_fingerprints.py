"""Fingerprints of whole values: which changes they see, and that they say what they can't."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbdebug import errors
from nbdebug.engine.fingerprints import fingerprint


def sees(value: Any, change: Callable[[Any], object]) -> bool:
    before = fingerprint(value)
    assert fingerprint(value) == before
    change(value)
    return fingerprint(value) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.append(4),
        lambda v: v.pop(),
        lambda v: v.clear(),
        lambda v: v.reverse(),
        lambda v: v.__setitem__(1, "new"),
        lambda v: v.sort(key=str, reverse=True),
    ],
)
def test_changes_of_a_list_are_seen(change: Callable[[Any], object]) -> None:
    value = [1, 2, 3]
    assert fingerprint(value).blind_spot is None
    assert sees(value, change)


def test_changes_of_a_dict_and_a_set_are_seen() -> None:
    assert sees({"a": 1}, lambda v: v.update(a=2))
    assert sees({"a": 1}, lambda v: v.update(b=2))
    assert sees({1, 2}, lambda v: v.add(3))


def test_changes_of_arrays_are_seen_also_through_views_with_gaps() -> None:
    assert sees(np.zeros((3, 4)), lambda v: v.__setitem__((1, 2), 5))
    assert sees(np.asfortranarray(np.zeros((3, 4))), lambda v: v.__setitem__((1, 2), 5))
    assert sees(np.zeros((6, 8))[::2, ::2], lambda v: v.__setitem__((1, 2), 5))
    assert sees(np.zeros(3, dtype="datetime64[s]"), lambda v: v.__setitem__(1, 5))
    assert sees(bytearray(5), lambda v: v.extend(b"x"))
    assert not sees(np.zeros((6, 8))[::2, ::2], lambda v: v.base.__setitem__((1, 1), 5))


def test_of_large_values_the_ends_and_the_length_are_seen_and_the_blind_spot_is_told() -> None:
    for value in (list(range(100_000)), np.zeros(100_000), {i: i for i in range(9999)}):
        told = fingerprint(value).blind_spot
        assert told is not None and "sample" in told
    assert sees(list(range(100_000)), lambda v: v.__setitem__(-1, None))
    assert sees(list(range(100_000)), lambda v: v.append(None))
    assert sees(np.zeros(100_000), lambda v: v.__setitem__(-1, 1))
    assert sees(np.zeros(100_000), lambda v: v.__iadd__(1))


@pytest.mark.parametrize(
    "change",
    [
        lambda df: df.__setitem__("a", 1),
        lambda df: df.__setitem__("new", 1),
        lambda df: df.loc.__setitem__((0, "b"), "zz"),
        lambda df: df.iloc.__setitem__((1, 2), 9.0),
        lambda df: df.at.__setitem__((2, "c"), 7.0),
        lambda df: df.insert(0, "z", 5),
        lambda df: df.pop("a"),
        lambda df: setattr(df, "columns", list("xyz")),
        lambda df: setattr(df, "index", list("12345")),
    ],
)
def test_changes_of_a_table_are_seen(change: Callable[[Any], object]) -> None:
    table = pd.DataFrame({"a": range(5), "b": list("abcde"), "c": 1.5})
    assert sees(table, change)


def test_a_column_of_a_table_has_a_fingerprint_too() -> None:
    assert sees(pd.Series([1, 2, 3]), lambda s: s.__setitem__(0, 9))
    dates = pd.Series(pd.to_datetime(["2026-01-01", "2026-01-02"]))
    assert sees(dates, lambda s: s.__setitem__(0, pd.Timestamp("2027-01-01")))


def test_what_has_no_inside_is_refused() -> None:
    with pytest.raises(errors.NotSupported, match="no buffer"):
        fingerprint(5)
