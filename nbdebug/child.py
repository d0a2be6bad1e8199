"""The first code of a child process that a client follows: it runs the child's own program.

Run as a script, ``python FLAGS child.py ORDERS PROGRAM...``, by a process that is debugged with
``subProcess``; see `nbdebug.dap.children`. Owns the child's `sys.path`: what it needs for finding
nbdebug is gone before the program begins.
"""

import os
import sys


def main() -> None:
    """Do what the orders in ``sys.argv`` say, then run the program."""
    orders, *program = sys.argv[1:]
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's folder, whose modules are none of the program's
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, folder)
    from nbdebug import run
    from nbdebug.dap import children, process_starts

    # Where the interpreter puts none of its own, the program's folder mustn't take a place.
    sys.path.remove(folder)
    if not sys.flags.safe_path:
        sys.path.insert(0, "")
    target = run.program_of(program)
    if target is None:
        sys.exit(f"nbdebug: {program!r} isn't a program")
    if (why := run.unreadable(target)) is not None:
        sys.stderr.write(f"{why}\n")
        sys.exit(2)
    run.prepare()
    ended = children.begin(process_starts.Orders.parse(orders), target.name)
    run.run(target, ended)


if __name__ == "__main__":
    main()
