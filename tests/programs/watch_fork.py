"""Forks with live exact watches: the child sees none of them, and may set its own.

Run by test_watch_stress.py, as a process of its own. Both end with live watches, on purpose.
"""

import os
import sys

import nbdebug


class P:
    a = 0


p, d, x = P(), {"k": 0}, 0


def work(n):
    global x
    for i in range(n):
        p.a = i
        d["k"] = i
        x = i
    d.update(k=-1)


seen, own = [], []
watches = [nbdebug.watch(text, call=seen.append, way="exact") for text in ("p.a", "d['k']", "x")]
work(3)
print(len(seen), flush=True)
child = os.fork()
if not child:
    work(5)
    print("child", len(seen), flush=True)
    watch = nbdebug.watch("p.a", call=own.append)
    work(3)
    print("its own", len(own), flush=True)
    sys.exit(0)
print("child ended", os.waitpid(child, 0)[1], flush=True)
work(4)
print(len(seen))
