"""Programs that write into arrays, lists, buffers, tables and slots, and what must be told of each.

As in watch_corpus: the exact (mark, old, new), no more and no fewer. Run as a program it goes
through all of them, with the processor's watchpoints where this process may have them.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from debuggee import Debuggee, debuggee_in
from watching import NOT, prepare, seen, watch

from nbdebug.engine import hardware
from nbdebug.engine.watch_model import Access, Way

Event = tuple[str, str, str]

READS = {"accesses": (Access.CHANGE, Access.READ)}

# name -> (program with a function main, what is watched, [(mark, old, new)])
EVERYWHERE: dict[str, tuple[str, str, list[Event]]] = {
    "an element of an array": (
        """
        import array
        data = array.array('q', [0] * 8)
        def main():
            data[2] = 1
            data[3] = 5  # @a
            data[3] = 6  # @b
            data[3] = 6
            view = memoryview(data)
            view[3] = 9  # @alias
            data[2:5] = array.array('q', [1, 2, 3])  # @slice
            for i in range(3):
                data[i + 3] = 100  # @loop
            data.byteswap()  # @swap
        """,
        "data[3]",
        [
            ("a", "0", "5"),
            ("b", "5", "6"),
            ("alias", "6", "9"),
            ("slice", "9", "2"),
            ("loop", "2", "100"),
            ("swap", "100", "7205759403792793600"),
        ],
    ),
    "an element of a numpy array": (
        """
        import numpy as np
        data = np.zeros(6)
        def main():
            data[2] = 1
            data[3] = 5  # @item
            data[2:4] = 6  # @slice
            alias = data
            alias += 1  # @inplace
            np.add(data, 1, out=data)  # @out
            data.fill(3)  # @fill
            data[:] = [9, 8, 7, 6, 5, 4]  # @all
            data.sort()  # @sort
            np.copyto(data, 2)  # @copyto
            data.put([3], [11])  # @put
            part = data[2:]
            part[1] = 12  # @view
            data.reshape(2, 3)[1, 0] = 13  # @reshaped
            data[data > 12] = 14  # @mask
            data[0] = 15
        """,
        "data[3]",
        [
            ("item", "0.0", "5.0"),
            ("slice", "5.0", "6.0"),
            ("inplace", "6.0", "7.0"),
            ("out", "7.0", "8.0"),
            ("fill", "8.0", "3.0"),
            ("all", "3.0", "6.0"),
            ("sort", "6.0", "7.0"),
            ("copyto", "7.0", "2.0"),
            ("put", "2.0", "11.0"),
            ("view", "11.0", "12.0"),
            ("reshaped", "12.0", "13.0"),
            ("mask", "13.0", "14.0"),
        ],
    ),
    "an element of a matrix": (
        """
        import numpy as np
        m = np.zeros((3, 4), dtype=np.int32)
        def main():
            m[1, 1] = 5
            m[1, 2] = 6  # @item
            m.T[2, 1] = 7  # @transposed
            m[1] = 8  # @row
            m[:, 2] *= 2  # @column
        """,
        "m[1, 2]",
        [
            ("item", "0", "6"),
            ("transposed", "6", "7"),
            ("row", "7", "8"),
            ("column", "8", "16"),
        ],
    ),
    "a slice of a numpy array": (
        """
        import numpy as np
        data = np.zeros(8, dtype=np.int64)
        def main():
            data[3] = 1
            data[1] = 2  # @first
            data[2] = 3  # @second
            data[1:3] = [2, 3]
            data[0] = 4
        """,
        "data[1:3]",
        [
            ("first", "ndarray([0, 0])", "ndarray([2, 0])"),
            ("second", "ndarray([2, 0])", "ndarray([2, 3])"),
        ],
    ),
    "a byte of a bytearray that moves": (
        """
        data = bytearray(b'abc')
        def main():
            data[1] = 120  # @item
            data.extend(bytes(100_000))
            data[1] = 121  # @moved
            memoryview(data)[0:2] = b'zz'  # @view
            del data[0]  # @shifted
            data[0] = 1
            data.clear()  # @gone
            data.extend(b'67')  # @again
        """,
        "data[1]",
        [
            ("item", "98", "120"),
            ("moved", "120", "121"),
            ("view", "121", "122"),
            ("shifted", "122", "99"),
            ("gone", "99", NOT),
            ("again", NOT, "55"),
        ],
    ),
    "a slot of a list that moves": (
        """
        items = [1, 2, 3]
        def main():
            items[2] = 5  # @item
            items.extend(range(1000))
            items[2] = 7  # @moved
            items[0] = 9
            items.sort(reverse=True)  # @sort
            items.insert(0, 4)  # @insert
            del items[1:]  # @gone
            items.append(1)
            items.append(2)  # @again
            items[2] = 2
        """,
        "items[2]",
        [
            ("item", "3", "5"),
            ("moved", "5", "7"),
            ("sort", "7", "997"),
            ("insert", "997", "998"),
            ("gone", "998", NOT),
            ("again", NOT, "2"),
        ],
    ),
    "a statement that has passed often": (
        """
        import array
        data = array.array('q', [0] * 8)
        def main():
            for i in range(3000):
                data[i & 1] = i
                if i > 2500 and i < 2503:
                    data[3] = i  # @late
                y = i
        """,
        "data[3]",
        [("late", "0", "2501"), ("late", "2501", "2502")],
    ),
    "a column of a data frame": (
        """
        import pandas as pd
        df = pd.DataFrame({'a': [1, 2], 'b': [3, 4]})
        def main():
            df['b'] = df['b'] * 2
            df['a'] = [1, 2]
            df['a'] = df['a'] + 1  # @set
            df.loc[0, 'a'] = 9  # @loc
            df.iloc[1, 0] = 8  # @iloc
            df.at[0, 'a'] = 7  # @at
            df.drop(columns='a', inplace=True)  # @drop
        """,
        "df['a']",
        [
            ("set", "Series([1, 2])", "Series([2, 3])"),
            ("loc", "Series([2, 3])", "Series([9, 3])"),
            ("iloc", "Series([9, 3])", "Series([9, 8])"),
            ("at", "Series([9, 8])", "Series([7, 8])"),
            ("drop", "Series([7, 8])", NOT),
        ],
    ),
    "a whole data frame": (
        """
        import pandas as pd
        df = pd.DataFrame({'a': [2, 1]})
        def main():
            other = df
            other['b'] = 0  # @add
            df.loc[1, 'a'] = 5  # @loc
            df.sort_values('a', ascending=False, inplace=True)  # @sort
            df.head()
        """,
        "df",
        [
            ("add", "DataFrame of 2 x 1", "DataFrame of 2 x 2"),
            ("loc", "DataFrame of 2 x 2", "DataFrame of 2 x 2"),
            ("sort", "DataFrame of 2 x 2", "DataFrame of 2 x 2"),
        ],
    ),
    "a whole array": (
        """
        import numpy as np
        data = np.zeros(3)
        def main():
            data[0] = 1  # @item
            np.copyto(data, 2)  # @copyto
            data.sort()
            data[:] = 2
        """,
        "data",
        [
            ("item", "ndarray([0.0, 0.0, 0.0])", "ndarray([1.0, 0.0, 0.0])"),
            ("copyto", "ndarray([1.0, 0.0, 0.0])", "ndarray([2.0, 2.0, 2.0])"),
        ],
    ),
    "a slot of an object": (
        """
        class P:
            __slots__ = ('a', 'b', '__weakref__')
        p, q = P(), P()
        p.a = q.a = 1
        def main():
            q.a = 7
            p.b = 8
            p.a = 2  # @item
            p.a = 2
            setattr(p, 'a', 3)  # @setattr
            p.a += 1  # @add
            del p.a  # @del
            p.a = 5  # @again
        """,
        "p.a",
        [
            ("item", "1", "2"),
            ("setattr", "2", "3"),
            ("add", "3", "4"),
            ("del", "4", NOT),
            ("again", NOT, "5"),
        ],
    ),
}
"""What is told with the processor's watchpoints and without them."""

BY_SITES = [case for case in EVERYWHERE if case != "a slot of an object"]
"""What store sites tell exactly: they see no setattr."""

BY_PROCESSOR: dict[str, tuple[str, str, dict[str, Any], list[Event]]] = {
    "what no statement says": (
        """
        import array, ctypes, operator, random, struct
        data = array.array('q', [0] * 4)
        part = (ctypes.c_char * 8).from_buffer(data, 16)
        class Box:
            def put(self, value):
                self.poke(data, 2, value)
        Box.poke = operator.setitem
        def main():
            operator.setitem(data, 2, 9)  # @operator
            struct.pack_into('q', data, 16, 7)  # @pack
            ctypes.memset(ctypes.addressof(part), 0, 8)  # @memset
            list(map(data.__setitem__, [1, 2], [5, 6]))  # @map
            y = 1
        """,
        "data[2]",
        {},
        [
            ("operator", "0", "9"),
            ("pack", "9", "7"),
            ("memset", "7", "0"),
            ("map", "0", "6"),
        ],
    ),
    "every write": (
        """
        import array
        data = array.array('q', [0] * 4)
        def main():
            data[2] = 0  # @equal
            data[1] = 5
            data[2] = 1  # @other
        """,
        "data[2]",
        {"accesses": (Access.WRITE,)},
        [("equal", "0", "0"), ("other", "0", "1")],
    ),
    "reads": (
        """
        import array
        data = array.array('q', [3] * 4)
        def main():
            x = data[1]
            x = data[2]  # @read
            y = sum(data)  # @sum
            data[2] = 4  # @write
        """,
        "data[2]",
        READS,
        [("read", "3", "3"), ("sum", "3", "3"), ("write", "3", "4")],
    ),
    "reads of a slot of a list": (
        """
        items = ['a', 'b']
        def main():
            x = items[0]
            x = items[1]  # @read
            items[0] = 'c'
        """,
        "items[1]",
        {"accesses": (Access.READ,)},
        [("read", "'b'", "'b'")],
    ),
}

BY_LINES: dict[str, tuple[str, str, list[Event]]] = {
    "writes in C": (
        """
        import array, ctypes, io, operator, struct
        data = array.array('q', [0] * 4)
        part = (ctypes.c_char * 8).from_buffer(data, 16)
        def main():
            operator.setitem(data, 2, 9)  # @operator
            struct.pack_into('q', data, 16, 7)  # @pack
            ctypes.memset(ctypes.addressof(part), 0, 8)  # @memset
            list(map(data.__setitem__, [1, 2], [5, 6]))  # @map
            io.BytesIO(bytes(32)).readinto(memoryview(data).cast('B'))  # @readinto
            y = [operator.setitem(data, i, 1) for i in range(3)]  # @comprehension
            for i in range(3): operator.setitem(data, 2, i + 5)  # @loop
            for _ in map(data.__setitem__, [2], [3]): pass  # @iterator
            if operator.setitem(data, 2, 2) or True:  # @test
                y = 1
            data[2] = 3; operator.setitem(data, 2, 4)  # @twice
        """,
        "data[2]",
        [
            ("operator", "0", "9"),
            ("pack", "9", "7"),
            ("memset", "7", "0"),
            ("map", "0", "6"),
            ("readinto", "6", "0"),
            ("comprehension", "0", "1"),
            ("loop", "1", "5"),
            ("loop", "5", "6"),
            ("loop", "6", "7"),
            ("iterator", "7", "3"),
            ("test", "3", "2"),
            ("twice", "2", "3"),
            ("twice", "3", "4"),
        ],
    ),
    "writes at the ends of functions": (
        """
        import array, operator
        data = array.array('q', [0] * 4)
        def put(value):
            operator.setitem(data, 2, value)  # @put
        def give(value):
            return operator.setitem(data, 2, value)  # @give
        def numbers():
            yield operator.setitem(data, 2, 3)  # @yield
            operator.setitem(data, 2, 4)  # @end
        def recurse(n):
            if n:
                recurse(n - 1)
            operator.setitem(data, 2, n)  # @recurse
        def main():
            put(1)
            give(2)
            for _ in numbers():
                y = 1
            recurse(2)
            (lambda: operator.setitem(data, 2, 8))()  # @lambda
            exec("operator.setitem(data, 2, 9)", globals())  # @exec
        """,
        "data[2]",
        [
            ("put", "0", "1"),
            ("give", "1", "2"),
            ("yield", "2", "3"),
            ("end", "3", "4"),
            ("recurse", "4", "0"),
            ("recurse", "0", "1"),
            ("recurse", "1", "2"),
            ("lambda", "2", "8"),
            ("exec", "8", "9"),
        ],
    ),
    "writes before an exception": (
        """
        import array, operator
        data = array.array('q', [0] * 4)
        def fails(value):
            operator.setitem(data, 2, value), 1 / 0  # @callee
        def passes(value):
            try:
                fails(value)
            finally:
                y = 1
        class Quiet:
            def __enter__(self):
                operator.setitem(data, 2, 7)  # @enter
            def __exit__(self, *args):
                operator.setitem(data, 2, 9)  # @exit
                return True
        def main():
            try:
                operator.setitem(data, 2, 1), 1 / 0  # @here
            except ZeroDivisionError:
                y = 1
            try:
                fails(2)
            except ZeroDivisionError as error:
                y = 1
            try:
                passes(3)
            except ZeroDivisionError:
                operator.setitem(data, 2, 4)  # @handler
            with Quiet():
                operator.setitem(data, 2, 8), 1 / 0  # @body
        """,
        "data[2]",
        [
            ("here", "0", "1"),
            ("callee", "1", "2"),
            ("callee", "2", "3"),
            ("handler", "3", "4"),
            ("enter", "4", "7"),
            ("body", "7", "8"),
            ("exit", "8", "9"),
        ],
    ),
    "writes by what calls back": (
        """
        import array, functools, operator
        data = array.array('q', [0] * 4)
        def add(one, other):
            return one + other
        def writing():
            yield 1
            operator.setitem(data, 2, 1)  # @generator
            yield 2
        def values():
            for value in 5, 6:
                operator.setitem(data, 2, value)  # @inside
                yield value
        def main():
            functools.reduce(add, writing())
            sorted(map(data.__setitem__, [2], [2]), key=lambda _: 0)  # @sorted
            add(operator.setitem(data, 2, 3) or 0, add(0, 0))  # @argument
            list(map(add, values(), [0] * 3))
        """,
        "data[2]",
        [
            ("generator", "0", "1"),
            ("sorted", "1", "2"),
            ("argument", "2", "3"),
            ("inside", "3", "5"),
            ("inside", "5", "6"),
        ],
    ),
    "tasks": (
        """
        import array, asyncio, operator
        data = array.array('q', [0] * 4)
        async def work(n):
            operator.setitem(data, 2, n)  # @first
            await asyncio.sleep(0)
            operator.setitem(data, 2, n + 10)  # @second
        async def both():
            await asyncio.gather(work(1), work(2))
        def main():
            asyncio.run(both())
        """,
        "data[2]",
        [
            ("first", "0", "1"),
            ("first", "1", "2"),
            ("second", "2", "11"),
            ("second", "11", "12"),
        ],
    ),
    "numpy in libraries": (
        """
        import numpy as np
        data = np.arange(6.0)
        def main():
            np.nan_to_num(data, copy=False)
            np.negative(data, data)  # @negative
            np.add.at(data, [3], 5)  # @at
            np.lib.stride_tricks.as_strided(data, (2,), (24,))[1] = 5  # @strided
            data[3] = np.nan  # @nan
            data[3] = np.nan
            np.nan_to_num(data, copy=False)  # @library
        """,
        "data[3]",
        [
            ("negative", "3.0", "-3.0"),
            ("at", "-3.0", "2.0"),
            ("strided", "2.0", "5.0"),
            ("nan", "5.0", "nan"),
            ("library", "nan", "0.0"),
        ],
    ),
    "a slot of a list in C": (
        """
        import heapq, operator
        items = [3, 2, 1]
        def main():
            heapq.heapify(items)  # @heapify
            operator.setitem(items, 0, len)  # @object
            operator.iadd(items, [4])
            operator.setitem(items, 0, None)  # @none
            list.__init__(items)  # @gone
        """,
        "items[0]",
        [
            ("heapify", "3", "1"),
            ("object", "1", "<built-in function len>"),
            ("none", "<built-in function len>", "None"),
            ("gone", "None", NOT),
        ],
    ),
}
"""What the comparison at lines tells exactly, and store sites don't."""

READ_ATTRIBUTES: dict[str, tuple[str, str, dict[str, Any], list[Event]]] = {
    "reads of an attribute": (
        """
        class P:
            def double(self):
                return self.a * 2  # @method
        p, q = P(), P()
        p.a = q.a = 1
        def main():
            q.double()
            p.double()
            getattr(p, 'a')  # @getattr
            p.a = 2  # @write
        """,
        "p.a",
        READS,
        [("method", "1", "1"), ("getattr", "1", "1"), ("write", "1", "2")],
    ),
}


def check(program: Debuggee, case: str, way: Way = Way.AUTO) -> None:
    """Run a program's function main while a place of it is watched."""
    options: dict[str, Any] = {"way": way}
    if case in EVERYWHERE or case in BY_LINES:
        text, what, expected = {**EVERYWHERE, **BY_LINES}[case]
    else:
        text, what, more, expected = {**BY_PROCESSOR, **READ_ATTRIBUTES}[case]
        options |= more
    prepare(program, text)
    watched = watch(program, what, **options)
    program.namespace["main"]()
    assert (found := seen(program, watched)) == expected, (case, watched.mechanism.name, found)


def cases() -> list[tuple[str, Way]]:
    """Return what can be run in this process."""
    able = hardware.why_not() is None
    names = [*EVERYWHERE, *READ_ATTRIBUTES, *(BY_PROCESSOR if able else ())]
    by_sites = [(case, Way.SITES) for case in BY_SITES]
    by_lines = [(case, Way.LINES) for case in (*EVERYWHERE, *BY_LINES)]
    return [*((case, Way.AUTO) for case in names), *by_sites, *by_lines]


def main() -> None:
    """Go through the corpus; print how many programs were run."""
    for case, way in cases():
        with tempfile.TemporaryDirectory() as folder, debuggee_in(Path(folder)) as program:
            program.client.attached = False
            check(program, case, way)
    print(len(cases()), "programs on", sys.version.split()[0])


if __name__ == "__main__":
    main()
