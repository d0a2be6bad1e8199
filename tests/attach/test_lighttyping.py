"""The stand-in for `typing` against the real one: on all named tuples of ours, and on arguments."""

import importlib
import marshal
import typing
from importlib.util import MAGIC_NUMBER
from types import ModuleType
from typing import Any

import pytest

from nbdebug.attach import agent, bundle, lighttyping
from nbdebug.dap import arguments

both = pytest.mark.parametrize("library", [typing, lighttyping])


@pytest.fixture(scope="module")
def light() -> dict[str, ModuleType]:
    """All modules that are sent, loaded as in a target."""
    modules: dict[str, ModuleType] = {}
    sources = marshal.loads(bundle.modules_for(MAGIC_NUMBER))
    import_ = agent.importer(sources, str(bundle.FOLDER), modules)
    for name in sorted(sources):
        import_(name, None, None, ("anything",))
    return modules


def pair(library: Any) -> Any:
    """Return a named tuple made with this library."""

    class Pair(library.NamedTuple):  # type: ignore[misc]
        one: int
        other: str = "x"

        def both(self) -> str:
            return f"{self.one}{self.other}"

    return Pair


@both
def test_named_tuples_have_fields_defaults_and_methods(library: Any) -> None:
    made = pair(library)
    assert made(1) == made(1, "x") == made(one=1) == made(1, other="x") == (1, "x")
    assert made(1) != made(2) and hash(made(1)) == hash((1, "x"))
    assert (made(3, "y").one, made(3, "y").other, made(3).both()) == (3, "y", "3x")
    assert repr(made(1)) == "Pair(one=1, other='x')"
    one, other = made(7)
    assert (one, other, made._fields) == (7, "x", ("one", "other"))
    with pytest.raises(AttributeError):
        made(1).one = 2


@both
def test_wrong_fields_are_type_errors(library: Any) -> None:
    made = pair(library)
    for values, named in [((), {}), ((1, "x", 2), {}), ((1,), {"third": 1}), ((1,), {"one": 1})]:
        with pytest.raises(TypeError):
            made(*values, **named)


def test_all_our_named_tuples_are_the_same_with_either(light: dict[str, ModuleType]) -> None:
    compared = 0
    for name, module in light.items():
        for found in vars(importlib.import_module(name)).values():
            is_ours = arguments.is_shape(found) and found.__module__ == name
            if is_ours:
                there = getattr(module, found.__name__)
                assert there._fields == found._fields
                assert repr(there._field_defaults) == repr(found._field_defaults)
                compared += 1
    assert compared > 40


ASKED: list[tuple[str, object]] = [
    ("SetBreakpointsArguments", {"source": {"path": "a.py"}, "breakpoints": [{"line": 3}]}),
    ("SetBreakpointsArguments", {"source": {"path": "a.py"}, "breakpoints": [{"line": "3"}]}),
    ("SetBreakpointsArguments", {"source": {"path": "a.py"}, "breakpoints": {}}),
    ("InitializeArguments", {"clientID": "x", "pathFormat": "uri"}),
    ("InitializeArguments", {"clientID": "x", "pathFormat": "other"}),
    ("AttachArguments", {"justMyCode": False, "conditionErrors": "stop"}),
    ("AttachArguments", {"conditionErrors": 3}),
    ("StepArguments", {"threadId": 1, "granularity": "line"}),
    ("StepArguments", {"threadId": True}),
    ("StepArguments", {}),
    ("VariablesArguments", {"variablesReference": 1, "filter": "named", "start": 2, "count": 3}),
    ("SetWatchArguments", {"expression": "x", "accesses": ["read", "write"], "action": "log"}),
    ("SetWatchArguments", {"expression": "x", "accesses": ["look"]}),
    ("EvaluateArguments", None),
    ("EvaluateArguments", [1]),
]


@pytest.mark.parametrize(("shape", "raw"), ASKED)
def test_arguments_are_read_alike(light: dict[str, ModuleType], shape: str, raw: object) -> None:
    def answer(module: Any) -> str:
        try:
            return repr(module.parse(getattr(module, shape), raw))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    assert answer(light["nbdebug.dap.arguments"]) == answer(arguments)
