"""What a hover sees: names, attributes and items, with none of the user's code run."""

import types
from collections import OrderedDict, defaultdict, deque
from typing import Any

import pytest

from nbdebug.engine.evaluate import NamespaceFrame
from nbdebug.engine.looking import look
from nbdebug.errors import EvaluationFailed

ran: list[str] = []


class Meta(type):
    def __getattr__(cls, name: str) -> str:
        ran.append("meta getattr")
        return name

    def __eq__(cls, other: object) -> bool:
        ran.append("meta eq")
        return True

    def __hash__(cls) -> int:
        ran.append("meta hash")
        return 1


class Descriptor:
    def __get__(self, instance: object, owner: type) -> str:
        ran.append("get")
        return "computed"


class Thing(metaclass=Meta):
    kind = "a thing"
    computed = Descriptor()
    __slots__ = ("__dict__", "slot")

    def __init__(self) -> None:
        self.slot = 3
        self.plain = [1, 2]

    @property
    def prop(self) -> int:
        ran.append("property")
        return 1

    def method(self) -> int:
        ran.append("method")
        return 1

    @classmethod
    def of_class(cls) -> None:
        ran.append("classmethod")

    @staticmethod
    def static() -> None:
        ran.append("staticmethod")

    def __getitem__(self, key: object) -> object:
        ran.append("getitem")
        return key

    def __repr__(self) -> str:
        ran.append("repr")
        return "Thing"


class Lazy:
    def __getattr__(self, name: str) -> str:
        ran.append("getattr")
        return name


class Guarded:
    def __getattribute__(self, name: str) -> str:
        ran.append("getattribute")
        return name


class Filling(dict[str, int]):
    def __missing__(self, key: str) -> int:
        ran.append("missing")
        return 0


class OwnList(list[int]):
    def __getitem__(self, index: Any) -> Any:
        ran.append("own getitem")
        return 0


module = types.ModuleType("module")
module.value = 7  # type: ignore[attr-defined]

NAMES: dict[str, Any] = {
    "thing": Thing(),
    "Thing": Thing,
    "lazy": Lazy(),
    "guarded": Guarded(),
    "module": module,
    "items": [10, 20, 30],
    "table": {"a": {"b": (1, 2)}, 3: "three", (1, "x"): "pair"},
    "ordered": OrderedDict(k=1),
    "default": defaultdict(list, k=[5]),
    "filling": Filling(a=1),
    "queue": deque([1, 2]),
    "own_list": OwnList([1]),
    "text": "hello",
    "key": "a",
}


def seen(text: str) -> Any:
    ran.clear()
    found = look(text, NamespaceFrame(NAMES))
    assert ran == []
    return found


def refusal(text: str) -> str:
    ran.clear()
    with pytest.raises(EvaluationFailed) as raised:
        look(text, NamespaceFrame(NAMES))
    assert ran == []
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("thing.slot", 3),
        ("thing.plain[-1]", 2),
        ("thing.kind", "a thing"),
        ("Thing.kind", "a thing"),
        ("module.value", 7),
        ("items[1:]", [20, 30]),
        ("table['a']['b'][1]", 2),
        ("table[key]['b']", (1, 2)),
        ("table[3]", "three"),
        ("table[1, 'x']", "pair"),
        ("ordered['k']", 1),
        ("default['k'][0]", 5),
        ("filling['a']", 1),
        ("queue[1]", 2),
        ("text[0]", "h"),
        ("len", len),
        ("(12)", 12),
    ],
)
def test_names_attributes_and_items_are_seen(text: str, value: object) -> None:
    assert seen(text) == value


def test_functions_and_methods_are_seen_and_not_called() -> None:
    assert seen("thing.method").__func__ is Thing.__dict__["method"]
    assert seen("Thing.of_class").__func__ is Thing.__dict__["of_class"].__func__
    assert seen("thing.static") is Thing.__dict__["static"].__func__
    assert seen("items.append").__name__ == "append"
    assert seen("Thing.prop") is Thing.__dict__["prop"]
    assert seen("Thing.__name__") == "Thing"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("thing.prop", "it is a property"),
        ("thing.computed", "it is a descriptor"),
        ("Thing.unknown", "its metaclass has a __getattr__"),
        ("lazy.x", "Lazy has a __getattr__"),
        ("guarded.x", "Guarded has a __getattribute__"),
        ("thing['k']", "Thing[...]"),
        ("filling['b']", "the key is missing"),
        ("own_list[0]", "OwnList[...]"),
        ("table[thing]", "dict[...]"),
        ("len(items)", "len(items)"),
        ("items + items", "items + items"),
        ("[x for x in items]", "for x in items"),
        ("(x := 3)", "x := 3"),
    ],
)
def test_what_would_run_code_says_so(text: str, why: str) -> None:
    said = refusal(text)
    assert "it would run code" in said
    assert why in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "NameError: name 'nothing' is not defined"),
        ("module.nothing", "AttributeError: module has no attribute 'nothing'"),
        ("items[7]", "IndexError: list index out of range"),
        ("table['z']", "KeyError: 'z'"),
        ("default['z']", "it would run code"),
        ("a b", "`a b` isn't an expression."),
        ("", "`` isn't an expression."),
    ],
)
def test_what_is_not_there_is_told_in_pythons_words(text: str, said: str) -> None:
    assert said in refusal(text)
