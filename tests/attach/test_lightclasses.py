"""The stand-in for `dataclasses` against the real one, on small classes and on all of ours."""

import dataclasses
import importlib
import marshal
from importlib.util import MAGIC_NUMBER
from types import ModuleType
from typing import Any

import pytest

from nbdebug.attach import agent, bundle, lightclasses

both = pytest.mark.parametrize("library", [dataclasses, lightclasses])


def classes(library: Any) -> tuple[Any, Any]:
    """Return a frozen class and one that isn't, made with this library."""

    @library.dataclass(frozen=True, slots=True)
    class Place:
        path: str
        line: int = 1

        def __str__(self) -> str:
            return f"{self.path}:{self.line}"

    @library.dataclass(slots=True)
    class Work:
        seen: dict[str, int] = library.field(default_factory=dict)
        depth: int = 0

    return Place, Work


@both
def test_defaults_are_filled_in_and_each_instance_makes_its_own(library: Any) -> None:
    place, work = classes(library)
    assert str(place("a")) == "a:1" and str(place(line=3, path="b")) == "b:3"
    one, other = work(), work(depth=2)
    one.seen["x"] = 1
    assert (other.seen, other.depth) == ({}, 2)


@both
def test_equal_instances_are_equal_and_only_frozen_ones_have_a_hash(library: Any) -> None:
    place, work = classes(library)
    assert place("a") == place("a", 1) != place("a", 2) and place("a") != ("a", 1)
    assert hash(place("a")) == hash(place("a", 1)) == hash(("a", 1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(work())


@both
def test_a_frozen_instance_refuses_changes_and_none_has_other_attributes(library: Any) -> None:
    place, work = classes(library)
    with pytest.raises(library.FrozenInstanceError):
        place("a").line = 2
    with pytest.raises(library.FrozenInstanceError):
        del place("a").line
    with pytest.raises(AttributeError):
        work().other = 1
    changed = work()
    changed.depth = 5
    assert changed.depth == 5


@both
def test_wrong_arguments_are_type_errors(library: Any) -> None:
    place, _ = classes(library)
    for values, named in [((), {}), (("a", 1, 2), {}), (("a",), {"other": 1}), ((), {"line": 1})]:
        with pytest.raises(TypeError):
            place(*values, **named)


@both
def test_replace_asdict_repr_and_patterns(library: Any) -> None:
    place, _ = classes(library)
    one = library.replace(place("a"), line=7)
    assert library.asdict(one) == {"path": "a", "line": 7}
    assert repr(one).endswith(".Place(path='a', line=7)")
    match one:
        case place(path, line):
            assert (path, line) == ("a", 7)


def test_all_our_classes_are_the_same_with_either() -> None:
    light: dict[str, ModuleType] = {}
    sources = marshal.loads(bundle.modules_for(MAGIC_NUMBER))
    import_ = agent.importer(sources, str(bundle.FOLDER), light)
    compared = 0
    for name in sorted(sources):
        import_(name, None, None, ("anything",))
        for found in vars(importlib.import_module(name)).values():
            if dataclasses.is_dataclass(found) and isinstance(found, type):
                compared += found.__module__ == name and same(found, vars(light[name]))
    assert compared > 40


def same(cls: Any, there: dict[str, Any]) -> bool:
    """Compare a class with the one of its name in the other module."""
    light = there[cls.__name__]
    names = [field.name for field in dataclasses.fields(cls)]
    assert light.__match_args__ == tuple(names)
    values = list(range(len(names)))
    real, ours = cls(*values), light(*values)
    assert [getattr(ours, name) for name in names] == values
    for function in ("__repr__", "__hash__"):
        if getattr(cls, function) is None:
            assert getattr(light, function) is None
        else:
            assert getattr(real, function)() == getattr(ours, function)()
    assert ours == light(*values) and (not names or ours != light(*values[:-1], "other"))
    required = sum(is_required(field) for field in dataclasses.fields(cls))
    if required < len(names):
        real, ours = cls(*values[:required]), light(*values[:required])
        shown = [(str(getattr(real, name)), str(getattr(ours, name))) for name in names]
        assert all(one == other for one, other in shown)
    return True


def is_required(field: "dataclasses.Field[Any]") -> bool:
    """Tell whether a field has no default."""
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing
