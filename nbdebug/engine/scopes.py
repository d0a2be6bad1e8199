"""The scopes of a frame, as views: its locals, what calls returned to it, nonlocals, globals.

Owns what is shown in each and under which name; must not know references.

Threads: the stopped thread.
"""

import keyword
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from nbdebug import compat
from nbdebug.engine import physical
from nbdebug.engine.attributes import Namespace
from nbdebug.engine.bounded import UserCode
from nbdebug.engine.evaluate import write_back
from nbdebug.engine.failures import NAME
from nbdebug.engine.model import Returned
from nbdebug.engine.views import Child, View

_ERROR = "(exception)"

IsHidden = Callable[[str, object], bool]


def scope_views(
    frame: FrameType,
    code: UserCode,
    is_hidden: IsHidden | None,
    returned: Sequence[Returned],
    error: BaseException | None,
) -> dict[str, View]:
    """Return the views by DAP's names; "Nonlocals" only where the code has free variables.

    ``is_hidden`` says which globals are left out. ``returned`` stands before the locals, ``error``
    among them.
    """
    own, variables = _Locals(frame, code, error), frame.f_globals
    names = frame.f_code
    shadowed = {*names.co_varnames, *names.co_cellvars, *names.co_freevars}

    def scope(free: bool) -> Namespace:
        is_module = frame.f_locals is variables
        read = partial(own.pairs, free)
        return Namespace(read, _local_name, own.assign, is_hidden if is_module else None)

    def expression(name: str) -> str | None:
        return f"globals()[{name!r}]" if name in shadowed else _own_name(name)

    local = scope(free=False)
    views: dict[str, View] = {"Locals": _WithReturned(returned, local) if returned else local}
    if names.co_freevars:
        views["Nonlocals"] = scope(free=True)
    views["Globals"] = _view_of(variables, expression, is_hidden)
    return views


def namespace_view(variables: dict[str, Any], is_hidden: IsHidden | None) -> View:
    """Return the view of a dictionary of variables, such as a module's."""
    return _view_of(variables, _own_name, is_hidden)


def _view_of(
    variables: dict[str, Any],
    expression: Callable[[str], str | None],
    is_hidden: IsHidden | None,
) -> Namespace:
    read = partial(physical.pairs, variables, 0, sys.maxsize)
    return Namespace(read, expression, partial(_set_item, variables), is_hidden)


def _set_item(namespace: dict[str, Any], name: str, value: object) -> None:
    namespace[name] = value


def _own_name(name: str) -> str | None:
    return name if name.isidentifier() and not keyword.iskeyword(name) else None


def _local_name(name: str) -> str | None:
    return NAME if name == _ERROR else _own_name(name)


class _WithReturned(View):
    """The local variables below what calls returned, which can be looked at only."""

    def __init__(self, returned: Sequence[Returned], local: View) -> None:
        self._returned = returned
        self._local = local

    def named(self) -> list[Child]:
        seen: dict[str, int] = {}
        found = []
        for one in self._returned:
            number = seen[one.function] = seen.get(one.function, 0) + 1
            name = f"(return) {one.function}" + (f" ({number})" if number > 1 else "")
            found.append(Child(name, one.value, kind="data"))
        return found + self._local.named()

    def named_count(self) -> int:
        return len(self._returned) + self._local.named_count()


class _Locals:
    """The variables of a frame's own scope, read anew each time, in the order of the code."""

    def __init__(self, frame: FrameType, code: UserCode, error: BaseException | None) -> None:
        self._frame = frame
        self._code = code
        self._error = error

    def pairs(self, free: bool) -> list[tuple[Any, Any]]:
        code = self._frame.f_code
        found = self._read()
        order = dict.fromkeys((*code.co_varnames, *code.co_cellvars))
        names = [name for name in order if name in found]
        names += [name for name in found if name not in order]
        own = [(name, found[name]) for name in names if (name in code.co_freevars) is free]
        has_error = self._error is not None and not free
        return [(_ERROR, self._error), *own] if has_error else own

    def assign(self, name: str, value: object) -> None:
        if name == _ERROR:
            raise TypeError("it is the exception that is under way")
        namespace = self._frame.f_locals
        namespace[name] = value
        write_back(self._frame, namespace)

    def _read(self) -> dict[Any, Any]:
        namespace = self._frame.f_locals
        if physical.is_a(namespace, dict):
            return dict(physical.pairs(namespace, 0, dict.__len__(namespace)))
        if type(namespace) is compat.FRAME_LOCALS_TYPE:
            return dict(namespace)
        # A class body whose metaclass prepared a mapping of its own.
        return self._code.run(lambda: dict(namespace))
