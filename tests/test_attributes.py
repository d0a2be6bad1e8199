"""What objects show of themselves and of their classes."""

import functools
import types
import weakref
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from looking import (
    GROUPS,
    Bag,
    Colour,
    Model,
    Plain,
    Point,
    Slotted,
    by_name,
    children,
    new_store,
    opened,
    ordinary,
)

from nbdebug.engine.variables import VariableStore


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


def test_a_property_that_fails_or_hangs_is_told(hurried: VariableStore) -> None:
    found = ordinary(hurried, Full())
    assert opened(hurried, found["failing"]).value == "<ValueError: no value>"
    assert opened(hurried, found["endless"]).value == "<TookTooLong: took longer than 0.05 s>"


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

    generator: Any = running()
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


@given(
    st.sampled_from(
        [
            Full(),
            Base(),
            Slotted(),
            Plain(),
            Model(),
            Point(1, 2),
            Colour.RED,
            len,
            test_attribute_names_that_are_no_strings_do_no_harm,
            types,
            Full,
            ValueError(),
        ]
    )
)
def test_the_named_count_is_the_number_of_named_children(value: object) -> None:
    store = new_store()
    root = store.view("x", value, "x")
    if root.reference:
        assert root.named_count == len(store.children(root.reference, filter="named"))
