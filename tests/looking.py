"""Looking at values in tests: stores, shorthands for what they show, and values to look at."""

import dataclasses
import enum
import itertools
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import attrs
import pydantic

from nbdebug.engine.bounded import Bounded
from nbdebug.engine.model import Limits, Variable
from nbdebug.engine.variables import VariableStore

MILLION = 1_000_000
LIMITS = Limits(repr_s=20.0, evaluate_s=20.0)
HURRIED = Limits(repr_s=0.05)
GROUPS = ["special variables", "function variables", "class variables"]

bounded = Bounded()


def new_store(limits: Limits = LIMITS, **more: Any) -> VariableStore:
    return VariableStore(bounded, limits, itertools.count(1), **more)


def children(store: VariableStore, value: object, **page: Any) -> list[Variable]:
    return store.children(store.view("x", value, "x").reference, **page)


def by_name(variables: list[Variable]) -> dict[str, Variable]:
    found = {variable.name: variable for variable in variables}
    assert len(found) == len(variables)
    return found


def ordinary(store: VariableStore, value: object) -> dict[str, Variable]:
    found = by_name(children(store, value))
    return {name: v for name, v in found.items() if name not in GROUPS}


def texts(variables: list[Variable]) -> list[str]:
    return [variable.value for variable in variables]


def opened(store: VariableStore, lazy: Variable) -> Variable:
    (only,) = store.children(lazy.reference)
    return only


def frame_of(function: Any, *args: Any) -> types.FrameType:
    """The frame of a generator function, held at its first yield."""
    generator = function(*args)
    next(generator)
    frame: types.FrameType = generator.gi_frame
    frames_alive.append(generator)
    return frame


frames_alive: list[Any] = []


class Trap:
    """Fails the test if any of its own code runs."""

    def __repr__(self) -> str:
        raise AssertionError("repr ran")

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked for")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __len__(self) -> int:
        raise AssertionError("measured")

    def __iter__(self) -> Iterator[object]:
        raise AssertionError("walked")

    def __bool__(self) -> bool:
        raise AssertionError("judged")


class Colour(enum.Enum):
    RED = 1


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Plain:
    number: int = 1
    words: list[str] = dataclasses.field(default_factory=lambda: ["a"])
    secret: int = dataclasses.field(default=0, repr=False)


@dataclasses.dataclass(slots=True, frozen=True)
class Frozen:
    number: int = 1


@attrs.define
class Defined:
    number: int = 1


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    number: int = 1
    _hidden: int = pydantic.PrivateAttr(default=7)


class Bag:
    def method(self) -> None:
        pass


class Slotted:
    __slots__ = ("kept", "unset")

    def __init__(self) -> None:
        self.kept = 1


class Same:
    def __repr__(self) -> str:
        return "same"
