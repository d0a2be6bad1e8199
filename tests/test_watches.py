"""Watches: exactly the writes that happen are told, on real programs in this process."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from debuggee import Debuggee, debuggee_in

from nbdebug.engine.evaluate import NamespaceFrame
from nbdebug.engine.watch_model import Action, WatchSpec
from nbdebug.engine.watch_targets import resolve
from nbdebug.engine.watches import Watch


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Debuggee]:
    with debuggee_in(tmp_path) as running:
        running.client.attached = False
        yield running


def prepare(program: Debuggee, text: str) -> None:
    """Run a program's definitions, without what its function `main` does."""
    program.write(textwrap.dedent(text))
    program.start()
    program.join()
    if program.error is not None:
        raise program.error


def watch(program: Debuggee, text: str, *, pending: bool = False, **options: Any) -> Watch:
    options.setdefault("action", Action.LOG)
    target = resolve(text, NamespaceFrame(program.namespace), pending=pending)
    return program.engine.watches.add(target, WatchSpec(**options))


def seen(program: Debuggee, watch: Watch) -> list[tuple[str, str, str]]:
    """Return (mark or text of the line, old, new) of each event."""
    program.engine.watches.look("the end")
    return [
        (program.mark(e.line) if e.line else e.kind, e.old_text, e.new_text) for e in watch.history
    ]


NOT = "<not there>"

# name -> (program with a function main, what is watched, [(mark, old, new)])
LOCALS: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "assignment": ("x = 1  # @a\nx = 2  # @b", [("a", NOT, "1"), ("b", "1", "2")]),
    "augmented": ("x = 1  # @a\nx += 5  # @b", [("a", NOT, "1"), ("b", "1", "6")]),
    "for": ("for x in range(2):  # @a\n    pass", [("a", NOT, "0"), ("a", "0", "1")]),
    "with-as": (
        "import contextlib\nwith contextlib.nullcontext(7) as x:  # @a\n    pass",
        [("a", NOT, "7")],
    ),
    "except-as": (
        "try:\n    raise KeyError(1)\nexcept KeyError as x:  # @a\n    y = 1  # @b\nz = 2",
        [("a", NOT, "KeyError(1)"), ("b", "KeyError(1)", NOT)],
    ),
    "walrus": (
        "if (x := 5) > 3:  # @a\n    y = [(x := i) for i in range(2)]  # @b",
        [("a", NOT, "5"), ("b", "5", "0"), ("b", "0", "1")],
    ),
    "unpacking": (
        "x, y = 1, 2  # @a\ny, x = x, y  # @b\n(a, (x, *b)) = 9, (8, 7)  # @c",
        [("a", NOT, "1"), ("b", "1", "2"), ("c", "2", "8")],
    ),
    "star-unpacking": ("a, *x = 1, 2, 3  # @a", [("a", NOT, "[2, 3]")]),
    "import": ("import math as x  # @a", [("a", NOT, "<module 'math'>")]),
    "delete": (
        "x = 1  # @a\ndel x  # @b\nx = 2  # @c",
        [("a", NOT, "1"), ("b", "1", NOT), ("c", NOT, "2")],
    ),
    "branch": (
        "for c in (True, False, True):\n    if c:\n        x = len(str(c))  # @a\n    y = 3",
        [("a", NOT, "4")],
    ),
    "equal values": ("x = 1  # @a\nx = 1\nx = 1.0  # @b", [("a", NOT, "1"), ("b", "1", "1.0")]),
    "comprehensions that shadow": (
        (
            "x = 10  # @a\ny = [x for x in range(3)]\nz = {x: 1 for x in range(2)}\n"
            "w = [x for q in range(2) for x in range(2) if x]\nx = 11  # @b"
        ),
        [("a", NOT, "10"), ("b", "10", "11")],
    ),
    "match": (
        "match {'k': 5}:\n    case {'k': x}:  # @a\n        pass",
        [("a", NOT, "5")],
    ),
    "try": (
        (
            "x = 0  # @a\ntry:\n    x = 1  # @b\n    raise ValueError\nexcept ValueError:\n"
            "    x = 2  # @c\nfinally:\n    x = 3  # @d"
        ),
        [("a", NOT, "0"), ("b", "0", "1"), ("c", "1", "2"), ("d", "2", "3")],
    ),
    "two on one line": (
        "x = 1; x = 2  # @a",
        [("a", NOT, "1"), ("a", "1", "2")],
    ),
    "chain": ("x = y = x = 7  # @a", [("a", NOT, "7")]),
    "nonlocal": (
        "x = 1  # @a\ndef inner():\n    nonlocal x\n    x = 2  # @b\ninner()\nx = 3  # @c",
        [("a", NOT, "1"), ("b", "1", "2"), ("c", "2", "3")],
    ),
    "another function's": (
        "x = 1  # @a\ndef shadow():\n    x = 99\nshadow()\nx = 2  # @b",
        [("a", NOT, "1"), ("b", "1", "2")],
    ),
    "objects": (
        "class A:\n    def __repr__(self):\n        return 'never'\nx = A  # @a\nx = None  # @b",
        [
            ("a", NOT, "<class 'program.main.<locals>.A'>"),
            ("b", "<class 'program.main.<locals>.A'>", "None"),
        ],
    ),
    "in place": (
        "x = [1]  # @a\nx.append(2)  # @b\nx[0] = 5  # @c\nx += [3]  # @d\nx = x",
        [
            ("a", NOT, "[1]"),
            ("b", "[1]", "[1, 2]"),
            ("c", "[1, 2]", "[5, 2]"),
            ("d", "[5, 2]", "[5, 2, 3]"),
        ],
    ),
    "write then exception": (
        "try:\n    x = 1; raise KeyError  # @a\nexcept KeyError:\n    pass",
        [("a", NOT, "1")],
    ),
    "exec": ("x = 1  # @a\nexec('x = 5')\nx = 2  # @b", [("a", NOT, "1"), ("b", "1", "2")]),
}


@pytest.mark.parametrize("case", LOCALS)
def test_each_change_of_a_local_is_told_once(program: Debuggee, case: str) -> None:
    body, expected = LOCALS[case]
    prepare(program, f"def main():\n{textwrap.indent(body, '    ')}\n")
    for _ in range(30):
        program.namespace["main"]()  # specialised code is watched as well
    watched = watch(program, "main:x")
    program.namespace["main"]()
    assert seen(program, watched) == expected
