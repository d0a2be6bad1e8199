"""One object's class is a one-off subclass: every access is seen, and nothing else changes."""

import abc
import copy
import enum
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pytest
from interpreters import ROOT

from nbdebug import errors
from nbdebug.engine import classswap
from nbdebug.engine.classswap import ABSENT, AttributeWatch

Events = list[tuple[str, object, object]]


class Plain:
    default = 1

    def __init__(self) -> None:
        self.a: Any = 1
        self.b = 2

    def method(self) -> str:
        return "called"


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a: Any = 1
        self.b = 2


@dataclass
class Data:
    a: int
    b: int


class Abstract(abc.ABC):
    a = 0

    @abc.abstractmethod
    def method(self) -> None: ...


class Concrete(Abstract):
    def method(self) -> None:
        pass


class Computed:
    def __init__(self) -> None:
        self.hidden = 1

    @property
    def a(self) -> int:
        return self.hidden

    @a.setter
    def a(self, value: int) -> None:
        self.hidden = value * 10

    def __getattr__(self, name: str) -> str:
        return f"made up {name}"


def watched(value: object, name: str = "a") -> tuple[AttributeWatch, Events]:
    events: Events = []
    return AttributeWatch(value, name, lambda *event: events.append(event)), events


@pytest.mark.parametrize("cls", [Plain, Slotted])
def test_reads_writes_and_deletions_are_seen_with_the_old_and_the_new_value(cls: Any) -> None:
    thing, other = cls(), cls()
    watch, events = watched(thing)
    other.a = thing.b = 9
    thing.a = 2
    thing.a += 1
    thing.a = 4
    del thing.a
    assert not hasattr(thing, "a")
    thing.a = 5
    watch.close()
    thing.a = 6
    assert events == [
        ("modified", 1, 2),
        ("read", 2, 2),
        ("modified", 2, 3),
        ("modified", 3, 4),
        ("deleted", 4, ABSENT),
        ("added", ABSENT, 5),
    ]
    assert type(thing) is cls and thing.a == 6


def test_reads_are_told_only_to_whom_they_matter() -> None:
    thing, told = Slotted(), []
    writes = AttributeWatch(thing, "a", lambda *event: told.append(("writes", *event)), reads=False)
    assert thing.a == 1
    reads = AttributeWatch(thing, "a", lambda *event: told.append(("reads", *event)))
    assert thing.a == 1
    thing.a = 2
    reads.close()
    assert thing.a == 2
    writes.close()
    assert told == [
        ("reads", "read", 1, 1),
        ("writes", "modified", 1, 2),
        ("reads", "modified", 1, 2),
    ]


def test_what_is_seen_is_told_on_the_accessing_thread_below_the_writers_frame() -> None:
    thing, callers = Slotted(), []

    def seen(*_: object) -> None:
        frame = sys._getframe()
        while frame.f_code.co_name != "writer":
            assert frame.f_back is not None
            frame = frame.f_back
        callers.append((frame.f_code.co_name, threading.get_ident()))

    def writer() -> None:
        thing.a = 3

    AttributeWatch(thing, "a", seen)
    thread = threading.Thread(target=writer)
    thread.start()
    ident = thread.ident
    thread.join()
    assert callers == [("writer", ident)]


def test_a_class_attribute_a_property_and_getattr_work_as_before() -> None:
    plain, computed = Plain(), Computed()
    _, events = watched(plain, "default")
    assert plain.default == 1
    plain.default = 5
    assert events == [("read", 1, 1), ("modified", 1, 5)] and Plain.default == 1
    _, events = watched(computed)
    computed.a = 3
    assert computed.a == 30 and events == [("modified", 1, 3), ("read", 30, 30)]
    _, events = watched(computed, "missing")
    assert computed.missing == "made up missing" and not events


def test_an_unset_attribute_raises_what_it_raised_before() -> None:
    for make in (Plain, Slotted):
        before, after = make(), make()
        watch, _ = watched(after)
        said = []
        for thing in (before, after):
            del thing.a
            for act in (lambda t=thing: t.a, lambda t=thing: delattr(t, "a")):
                with pytest.raises(AttributeError) as caught:
                    act()
                said.append(str(caught.value))
        watch.close()
        assert said[:2] == said[2:]


def test_the_object_gives_itself_out_as_of_its_own_class() -> None:
    for thing in (Plain(), Slotted(), Data(1, 2), Concrete()):
        cls = type(thing)
        watch, _ = watched(thing)
        assert thing.__class__ is cls and isinstance(thing, cls)
        assert type(thing) is not cls and type(thing).__name__ == cls.__name__
        assert type(copy.copy(thing)) is cls
        assert type(pickle.loads(pickle.dumps(thing))) is cls
        watch.close()
        assert type(thing) is cls
    assert Data(1, 2) == Data(1, 2)


def test_equality_and_hash_stay_those_of_the_class() -> None:
    one, two = Data(1, 2), Data(1, 2)
    watched(one)
    assert one == two and two == one
    with pytest.raises(TypeError):
        hash(one)
    plain = Plain()
    before = hash(plain)
    watched(plain)
    assert hash(plain) == before


def test_several_watches_of_one_object_end_in_any_order() -> None:
    thing = Plain()
    first, a = watched(thing)
    second, again = watched(thing)
    third, b = watched(thing, "b")
    thing.a, thing.b = 3, 4
    first.close()
    thing.a, thing.b = 5, 6
    third.close()
    thing.a, thing.b = 7, 8
    second.close()
    assert type(thing) is Plain and (thing.a, thing.b) == (7, 8)
    assert [new for _, _, new in a] == [3]
    assert [new for _, _, new in again] == [3, 5, 7]
    assert [new for _, _, new in b] == [4, 6]
    assert first.closed and second.closed and third.closed
    second.close()


@pytest.mark.parametrize("cls", [Plain, Slotted])
def test_the_watch_doesnt_keep_the_object_alive_and_ends_with_it(cls: Any) -> None:
    class Value:
        pass

    thing = cls()
    thing.a = Value()
    ref = weakref.ref(thing.a)
    watch, _ = watched(thing)
    states = [watch.closed]
    del thing
    gc.collect()
    states.append(watch.closed)
    assert ref() is None and states == [False, True]
    watch.close()


def test_the_object_may_be_given_another_class_while_it_is_watched() -> None:
    class Other:
        pass

    thing: Any = Plain()
    watch, _ = watched(thing)
    thing.__class__ = Other
    assert type(thing) is Other and watch.closed
    watch.close()
    assert type(thing) is Other


def test_what_the_watcher_raises_reaches_the_writer_and_the_write_has_happened() -> None:
    thing = Plain()

    def refuse(*_: object) -> None:
        raise PermissionError("watched")

    AttributeWatch(thing, "a", refuse)
    with pytest.raises(PermissionError):
        thing.a = 2
    assert vars(thing)["a"] == 2


class Registered:
    def __init_subclass__(cls) -> None:
        raise AssertionError("it ran")


class Meta(type):
    pass


class OfMeta(metaclass=Meta):
    pass


class Colour(enum.Enum):
    RED = 1


@final
class Final:
    pass


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "made in C"),
        ([], "made in C"),
        (sys, "made in C"),
        (Plain, "made in C|is a class"),
        (Registered(), "__init_subclass__"),
        (OfMeta(), "metaclass"),
        (Colour.RED, "metaclass"),
        (Final(), "final"),
    ],
)
def test_an_object_whose_class_cannot_be_changed_is_refused_with_the_reason(
    value: object, reason: str
) -> None:
    before = type(value)
    with pytest.raises(errors.NotSupported, match=reason):
        watched(value)
    assert type(value) is before
    assert classswap.why_not(value)


PROGRAM = """
import gc, pickle
from nbdebug.engine.classswap import ABSENT, AttributeWatch

class Plain:
    def __init__(self): self.a = 1
class Slotted:
    __slots__ = ("a",)
    def __init__(self): self.a = 1

def use(thing, n):
    for i in range(n):
        thing.a = thing.a + i

for cls in (Plain, Slotted):
    other, thing, events = cls(), cls(), []
    use(other, 200)
    watch = AttributeWatch(thing, "a", lambda *event: events.append(event))
    use(thing, 2)
    use(other, 200)
    assert thing.__class__ is cls and type(pickle.loads(pickle.dumps(thing))) is cls
    del events[4:]
    watch.close()
    use(thing, 2)
    assert events == [
        ("read", 1, 1), ("modified", 1, 1), ("read", 1, 1), ("modified", 1, 2)
    ], events
    watch = AttributeWatch(thing, "a", print)
    del thing
    gc.collect()
    assert watch.closed
print("as it should")
"""


def test_it_works_in_specialised_code_of_every_python(each_python: Path) -> None:
    done = subprocess.run(
        [str(each_python), "-P", "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("as it should", "")
