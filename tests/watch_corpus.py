"""Programs and the changes that must be told of each: no more and no fewer.

Run as a program it goes through all of them, on Pythons that have no pytest.
"""

import json
import sys
import tempfile
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

from debuggee import Debuggee, debuggee_in
from watching import NOT, prepare, seen, watch

from nbdebug import errors
from nbdebug.engine import dictwatch, hardware
from nbdebug.engine.value_text import safe_text
from nbdebug.engine.watch_model import Way

JSON = safe_text(json)

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
    "import": ("import json as x  # @a\nx = 1  # @b", [("a", NOT, JSON), ("b", JSON, "1")]),
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

GLOBALS = [case for case in LOCALS if case not in ("nonlocal", "another function's")]
"""Which of them mean the same of a global."""

# name -> (program, whose function main is run; what is watched; [(mark, old, new)])
PLACES: dict[str, tuple[str, str, list[tuple[str, str, str]]]] = {
    "a global of functions": (
        """
        x = 3
        def main():
            global x
            x = 4  # @a
            x = 4
            del x  # @b
            x = 5  # @c
        """,
        "x",
        [("a", "3", "4"), ("b", "4", NOT), ("c", NOT, "5")],
    ),
    "a local of the same name is another": (
        """
        x = 3
        def main():
            x = 4
            class A:
                x = 5
            return x, A
        """,
        "x",
        [],
    ),
    "exec in the namespace": (
        """
        x = 3
        def main():
            exec('x = 4', globals())
            exec('x = 5', globals(), {})
        """,
        "x",
        [("<string>", "3", "4")],
    ),
    "another namespace": (
        """
        x = 3
        text = 'x = 1\\nfor i in range(3): x = i'
        def main():
            exec(text, {})
        """,
        "x",
        [],
    ),
    "what no site sees, at the next store": (
        """
        x = 3
        def main():
            global x
            globals()['x'] = 4
            x = 5  # @a
        """,
        "x",
        [("a", "3", "4"), ("a", "4", "5")],
    ),
    "what no site sees, at the end": (
        """
        x = 3
        def main():
            globals()['x'] = 4
        """,
        "x",
        [("outside", "3", "4")],
    ),
    "a generator's": (
        """
        x = 0
        def steps():
            global x
            x = 1  # @a
            yield
            x = 2  # @b
        running = steps()
        next(running)
        def main():
            list(running)
        """,
        "x",
        [("b", "1", "2")],
    ),
    "an attribute of one object": (
        """
        class P:
            def __init__(self):
                self.a = 1
            def set(self, value):
                self.a = value  # @set
        p, q = P(), P()
        def main():
            q.a = 7
            p.b = 8
            p.set(2)
            q.set(3)
            p.a += 1  # @add
            del p.a  # @del
            p.a = 9  # @again
        """,
        "p.a",
        [("set", "1", "2"), ("add", "2", "3"), ("del", "3", NOT), ("again", NOT, "9")],
    ),
    "setattr and __dict__ replaced": (
        """
        class P:
            pass
        p = P()
        p.a = 1
        def main():
            p.__dict__ = {'a': 2}
            p.a = 3  # @a
            setattr(p, 'a', 4)
        """,
        "p.a",
        [("a", "1", "2"), ("a", "2", "3"), ("outside", "3", "4")],
    ),
    "a slot": (
        """
        class P:
            __slots__ = ('a', '__weakref__')
        p = P()
        p.a = 1
        def main():
            p.a = 2  # @a
            del p.a  # @b
        """,
        "p.a",
        [("a", "1", "2"), ("b", "2", NOT)],
    ),
    "a class attribute": (
        """
        class P:
            count = 0
            def __init__(self):
                P.count += 1  # @a
        def main():
            one = P()
            one.count = 7
            P()
        """,
        "P.count",
        [("a", "0", "1"), ("a", "1", "2")],
    ),
    "an item of a dict": (
        """
        d = {'k': 1}
        e = {'k': 1}
        def main():
            e['k'] = 2
            d['j'] = 2
            d['k'] = 3  # @a
            d.update(k=4)  # @b
            d.setdefault('k', 5)
            d |= {'k': 6}  # @c
            del d['k']  # @d
            d['k'] = 7  # @e
            d.pop('k')  # @f
        """.replace("d |= {'k': 6}", "d.__ior__({'k': 6}); d['x'] = 1"),
        "d['k']",
        [
            ("a", "1", "3"),
            ("b", "3", "4"),
            ("c", "4", "6"),
            ("d", "6", NOT),
            ("e", NOT, "7"),
            ("f", "7", NOT),
        ],
    ),
    "an item of a list": (
        """
        items = [1, 2, 3]
        def main():
            items[0] = 9
            items[1] = 8  # @a
            items.insert(0, 0)  # @b
            items.sort(reverse=True)  # @c
            items[1:] = [5]  # @d
        """,
        "items[1]",
        [("a", "2", "8"), ("b", "8", "9"), ("c", "9", "8"), ("d", "8", "5")],
    ),
    "a whole list": (
        """
        items = [1]
        def main():
            other = items
            other.append(2)  # @a
            len(items)
            items[0] = 5  # @b
        """,
        "items",
        [("a", "[1]", "[1, 2]"), ("b", "[1, 2]", "[5, 2]")],
    ),
    "a value inside of an object": (
        """
        class P:
            pass
        p = P()
        p.values = {'a': 1}
        def main():
            p.values['a'] = 2  # @a
            p.values = None  # @b
        """,
        "p.values",
        [("a", "{'a': 1}", "{'a': 2}"), ("b", "{'a': 2}", "None")],
    ),
}


# What is told otherwise where the watcher of dicts sees all writes.
EXACT: dict[str, list[tuple[str, str, str]]] = {
    "exec in the namespace": [("<string>", "3", "4")],
    "what no site sees, at the next store": [("globals()['x'] = 4", "3", "4"), ("a", "4", "5")],
    "what no site sees, at the end": [("globals()['x'] = 4", "3", "4")],
    "setattr and __dict__ replaced": [
        ("p.__dict__ = {'a': 2}", "1", "2"),
        ("a", "2", "3"),
        ("setattr(p, 'a', 4)", "3", "4"),
    ],
}
NOT_EXACT = {"an item of a list"} if hardware.why_not() else set()
"""What neither lies in a dict nor can be seen by the processor here."""


def check_local(program: Debuggee, case: str) -> None:
    """Run a function whose local x is watched."""
    body, expected = LOCALS[case]
    prepare(program, f"def main():\n{textwrap.indent(body, '    ')}\n")
    for _ in range(30):
        program.namespace["main"]()  # specialised code is watched as well
    watched = watch(program, "main:x")
    program.namespace["main"]()
    assert (found := seen(program, watched)) == expected, (case, found)


def check_global(program: Debuggee, case: str, way: Way = Way.SITES) -> None:
    """Run the same function while x is a global of it."""
    body, expected = LOCALS[case]
    prepare(program, f"def main():\n    global x\n{textwrap.indent(body, '    ')}\n")
    for _ in range(30):
        program.namespace["main"]()
        program.namespace.pop("x", None)
    watched = watch(program, "x", pending=True, way=way)
    program.namespace["main"]()
    assert (found := seen(program, watched)) == expected, (case, way, found)


def check_place(program: Debuggee, case: str, way: Way = Way.SITES) -> None:
    """Run a program's function main while a place of it is watched."""
    text, what, expected = PLACES[case]
    if way is Way.EXACT:
        expected = EXACT.get(case, expected)
    prepare(program, text)
    if way is Way.EXACT and case in NOT_EXACT:
        try:
            watch(program, what, way=way)
        except errors.BadWatch:
            return
        raise AssertionError(case)
    watched = watch(program, what, way=way)
    program.namespace["main"]()
    assert (found := seen(program, watched)) == expected, (case, way, found)


def main() -> None:
    """Go through the corpus in each way; print how many programs were run."""
    ways = [Way.SITES] if dictwatch.why_not() else [Way.SITES, Way.EXACT]
    runs: list[Callable[[Debuggee], None]] = [partial(check_local, case=case) for case in LOCALS]
    runs += [partial(check_global, case=case, way=way) for way in ways for case in GLOBALS]
    runs += [partial(check_place, case=case, way=way) for way in ways for case in PLACES]
    for run in runs:
        with tempfile.TemporaryDirectory() as folder, debuggee_in(Path(folder)) as program:
            program.client.attached = False
            run(program)
    print(len(runs), "programs on", sys.version.split()[0], dictwatch.why_not() or "compiled")


if __name__ == "__main__":
    main()
