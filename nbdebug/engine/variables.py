"""Handles that live for one stop: what a frame and its values hold, page by page.

Owns the references that a client asks with, and what each child was when it was listed, so that it
can be found again to be read or set. How values are written and what is inside them is for
value_text and the views to know.

Threads: a store belongs to the stopped thread, on which every method runs but ``clear``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

from nbdebug.engine import physical, watch_targets
from nbdebug.engine.attributes import Classes, Group
from nbdebug.engine.bounded import Bounded, UserCode
from nbdebug.engine.definitions import definition_of
from nbdebug.engine.evaluate import NamespaceFrame
from nbdebug.engine.insides import view_of
from nbdebug.engine.model import Limits, Location, Returned, Scope, Variable
from nbdebug.engine.scopes import namespace_view, scope_views
from nbdebug.engine.value_text import Text, Writer, error_text
from nbdebug.engine.views import Child, Computed, Part, View, failed
from nbdebug.engine.watch_targets import Target
from nbdebug.errors import (
    EvaluationFailed,
    NotAssignable,
    NotWatchable,
    StaleReference,
    TookTooLong,
    UnknownVariable,
)

Hidden = Callable[[str, object, dict[str, Any]], bool]

_PARTS = 20
_AMBIGUOUS = -1
_UNOPENED = "(...)"


@dataclass(slots=True)
class _Node:
    """What a reference stands for. ``seen`` has the position of each indexed child by its name."""

    view: View
    read: Callable[[], object]
    seen: dict[str, int] = field(default_factory=dict)


class VariableStore:
    """The references of one stop. ``references`` is a counter that all stores share.

    ``hidden(name, value, namespace)`` says which variables of a module's namespace are left out.
    With ``run_code`` false no user code is run: properties stay closed, and an object with a
    ``__repr__`` of its own is shown by type and address.
    """

    def __init__(
        self,
        bounded: Bounded,
        limits: Limits,
        references: Iterator[int],
        hidden: Hidden | None = None,
        *,
        run_code: bool = True,
    ) -> None:
        self._bounded = bounded
        self._limits = limits
        self._references = references
        self._hidden = hidden
        self._code = UserCode(bounded, limits, run_code)
        self._writer = Writer(self._code, limits.value_chars)
        self._classes = Classes()
        self._nodes: dict[int, _Node] = {}
        self._locations: dict[int, Location] = {}
        self._frames: dict[int, tuple[FrameType, str]] = {}

    @property
    def limits(self) -> Limits:
        """What one look may cost; may be set at any time."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._code.limit_s = limits.repr_s
        self._writer.chars = limits.value_chars

    # -- what a client asks for

    def scopes(
        self,
        frame: FrameType,
        returned: Sequence[Returned] = (),
        error: BaseException | None = None,
    ) -> list[Scope]:
        """Return "Locals", "Nonlocals" where the code has free variables, and "Globals".

        ``returned`` is what calls returned: it stands before the locals. ``error`` is the exception
        that the frame is stopped for; it stands among them.
        """
        hidden = self._hidden_in(frame.f_globals)
        views = scope_views(frame, self._code, hidden, returned, error)
        found = []
        for name, view in views.items():
            reference = self._register(view, None)
            self._frames[reference] = frame, name
            found.append(Scope(name, reference, hint="locals" if name == "Locals" else None))
        return found

    def namespace(self, variables: dict[str, Any]) -> list[Variable]:
        """Return the variables of a dictionary of them, such as a module's or a notebook's."""
        self._begin()
        view = namespace_view(variables, self._hidden_in(variables))
        return self._list(self._nodes[self._register(view, None)], 0, 0, None)

    def children(
        self,
        reference: int,
        start: int = 0,
        count: int = 0,
        filter: str | None = None,  # noqa: A002 (DAP's name)
    ) -> list[Variable]:
        """Return the children from ``start`` on, at most ``count`` of them.

        ``filter`` is DAP's: "indexed", "named" or None for both, where the named ones come first.
        Without a count all are meant: a long
        sequence then gives its first page, and the rest as nodes that hold a range each.

        Raises: StaleReference.
        """
        node = self._node(reference)
        self._begin()
        return self._list(node, max(start, 0), max(count, 0), filter)

    def look(self, value: object, evaluate_name: str | None = None) -> Variable:
        """Return the view of a value, made without running user code. Raises nothing."""
        before, self._code.enabled = self._code.enabled, False
        try:
            return self.view("", value, evaluate_name)
        finally:
            self._code.enabled = before

    def view(
        self, name: str, value: object, evaluate_name: str | None = None, *, whole: bool = False
    ) -> Variable:
        """Return the view of a value, with a reference if it can be expanded.

        ``evaluate_name`` must be a primary expression, such as ``x.y[3]``. ``whole`` gives the
        value's text uncut. Raises: for ``whole`` what ``full_text`` raises, else nothing.
        """
        self._begin()
        text = Text(self.full_text(value)) if whole else None
        return self._variable(Child(name, value, evaluate_name, text=text), is_place=False)

    def set(self, reference: int, name: str, value: object) -> Variable:
        """Assign ``value`` to the child ``name``; return the child as it is afterwards.

        Raises: StaleReference, UnknownVariable, TookTooLong; NotAssignable where the place takes
        no value, with what the object said.
        """
        node = self._node(reference)
        self._begin()
        child = self._find(node, name)
        assign = child.assign
        if assign is None:
            raise NotAssignable(f"{name} can't be assigned to.")
        try:
            self._bounded.call(lambda: assign(value), self._limits.evaluate_s)
        except TookTooLong:
            raise
        except Exception as error:
            raise NotAssignable(f"{name} refuses the value: {error_text(error)}") from None
        try:
            return self._variable(self._find(node, name))
        except UnknownVariable:  # a key's text may have changed with its value
            return self._variable(Child(name, value, child.evaluate, assign))

    def value_at(self, reference: int, name: str) -> object:
        """Return the value of a child. A lazy one is computed.

        Raises: StaleReference, UnknownVariable, TookTooLong, and what a lazy child's code raises.
        """
        node = self._node(reference)
        self._begin()
        child = self._find(node, name)
        return child.value if child.compute is None else self._code.run(child.compute)

    def target(self, reference: int, name: str, length: int | None = None) -> Target:
        """Return a child, or so many bytes of it, as what is to be watched.

        Raises: StaleReference, UnknownVariable, NotWatchable.
        """
        node = self._node(reference)
        self._begin()
        known = self._frames.get(reference)
        if known is not None and known[1] == "Globals":
            target = watch_targets.resolve(name, NamespaceFrame(known[0].f_globals))
            return watch_targets.sized(target, None, length)
        if known is not None:
            return watch_targets.sized(watch_targets.resolve(name, known[0]), known[0], length)
        text = self._find(node, name).evaluate
        owner = node.read()
        if text is None or owner is None:
            raise NotWatchable(f"`{name}` has no place of its own that could change.")
        return watch_targets.sized(watch_targets.part_of(text, owner), None, length)

    def value_of(self, reference: int) -> object:
        """Return the value that a reference stands for; None for scopes and groups.

        Raises: StaleReference.
        """
        return self._node(reference).read()

    def location(self, reference: int) -> Location:
        """Return the place that a `Variable.location` refers to. Raises: StaleReference."""
        found = self._locations.get(reference)
        if found is None:
            raise StaleReference(f"The location {reference} is not of the present stop.")
        return found

    def text(self, value: object) -> str:
        """Return the bounded text of a value. Raises nothing."""
        return self._writer.write(value).text

    def full_text(self, value: object) -> str:
        """Return ``repr(value)`` uncut, within ``limits.evaluate_s``.

        Raises: TookTooLong, EvaluationFailed with what the repr raised. Where no user code may
        run, the bounded text is returned.
        """
        if not self._code.enabled:
            return self.text(value)
        try:
            return self._bounded.call(lambda: repr(value), self._limits.evaluate_s)
        except TookTooLong:
            raise
        except Exception as error:
            raise EvaluationFailed(f"repr raised {error_text(error)}") from None

    def clear(self) -> None:
        """Drop every reference, and with them every object. Threads: any."""
        self._nodes.clear()
        self._locations.clear()
        self._frames.clear()
        self._writer.forget()
        self._classes.forget()

    # -- inside

    def _begin(self) -> None:
        self._code.begin()
        self._classes.forget()

    def _node(self, reference: int) -> _Node:
        node = self._nodes.get(reference)
        if node is None:
            raise StaleReference(f"The reference {reference} is not of the present stop.")
        return node

    def _register(self, view: View, read: Callable[[], object] | None) -> int:
        reference = next(self._references)
        self._nodes[reference] = _Node(view, read or _nothing)
        return reference

    def _hidden_in(self, namespace: dict[str, Any]) -> Callable[[str, object], bool] | None:
        hidden = self._hidden
        if hidden is None:
            return None

        def is_hidden(name: str, value: object) -> bool:
            try:
                return hidden(name, value, namespace)
            except Exception:  # better shown than lost with all the others
                return False

        return is_hidden

    def _list(self, node: _Node, start: int, count: int, only: str | None) -> list[Variable]:
        view = node.view
        named = self._named(view) if only != "indexed" else []
        total = (self._counts(view)[1] or 0) if only != "named" else 0
        end = start + count if count else len(named) + total
        found = [self._variable(child) for child in named[start:end]]
        first = max(start - len(named), 0)
        last = min(end - len(named), total)
        rest = last if count else min(last, first + self._limits.page)
        if rest > first:
            found += self._positions(node, first, rest)
        if rest >= first and rest < last:
            found += self._ranges(view, rest, last)
        return found

    def _named(self, view: View) -> list[Child]:
        try:
            return view.named()
        except Exception as error:  # what runs here is a library's code
            return [failed("error", error)]

    def _positions(self, node: _Node, first: int, last: int) -> list[Variable]:
        try:
            children = node.view.indexed(first, last)
        except Exception as error:  # what runs here is the value's own code, or a library's
            return [self._variable(failed("error", error))]
        for position, child in enumerate(children, first):
            known = node.seen.setdefault(child.name, position)
            if known != position:
                node.seen[child.name] = _AMBIGUOUS
        return [self._variable(child) for child in children]

    def _ranges(self, view: View, first: int, last: int) -> list[Variable]:
        """At most some tens of nodes for the rest of a long sequence, each to be opened alike."""
        size = self._limits.page
        while (last - first) / size > _PARTS:
            size *= 10
        return [
            self._variable(
                Child(
                    f"[{begin:,} ... {min(begin + size, last) - 1:,}]",
                    view=Part(view, begin, min(begin + size, last)),
                    text=Text(""),
                    type="",
                    kind="virtual",
                )
            )
            for begin in range(first, last, size)
        ]

    def _find(self, node: _Node, name: str) -> Child:
        view = node.view
        position = node.seen.get(name)
        if position == _AMBIGUOUS:
            raise NotAssignable(f"More than one child has the name {name}.")
        if position is None:
            named = self._named(view)
            groups = [child.view for child in named if isinstance(child.view, Group)]
            for child in [*named, *(c for group in groups for c in group.named())]:
                if child.name == name:
                    return child
        try:
            position = view.position_of(name) if position is None else position
            at = [] if position is None else view.indexed(position, position + 1)
        except Exception as error:  # what runs here is the value's own code, or a library's
            raise UnknownVariable(f"{name} can't be had: {error_text(error)}") from None
        for child in at:
            if child.name == name:
                return child
        raise UnknownVariable(f"There is no {name} here.")

    def _variable(self, child: Child, is_place: bool = True) -> Variable:
        if child.compute is not None:
            view: View | None = Computed(child, self._code)
            text, type_name = Text(_UNOPENED), child.kind or ""
        else:
            text = child.text or self._writer.write(child.value)
            type_name = physical.name_of(type(child.value)) if child.type is None else child.type
            view = child.view or self._view_of(child.value, child.evaluate)
        named, indexed = (0, 0) if view is None else self._counts(view)
        reference = 0
        if view is not None and (named or indexed or named is None):
            reference = self._register(view, child.read or partial(_same, child.value))
        is_fixed = is_place and child.assign is None and child.kind != "virtual"
        return Variable(
            child.name,
            text.text,
            type_name,
            reference,
            child.evaluate,
            indexed,
            named,
            child.kind,
            ("readOnly",) if is_fixed else (),
            child.compute is not None,
            text.cut,
            self._locate(child),
        )

    def _locate(self, child: Child) -> int:
        found = None if child.compute is not None else definition_of(child.value)
        if found is None:
            return 0
        reference = next(self._references)
        self._locations[reference] = found
        return reference

    def _counts(self, view: View) -> tuple[int | None, int | None]:
        try:
            return view.named_count(), view.indexed_count()
        except Exception:  # unknown, as DAP allows; opening it will say why
            return None, None

    def _view_of(self, value: object, evaluate: str | None) -> View | None:
        try:
            return view_of(value, evaluate, self._writer, self._classes)
        except Exception:  # then it has a text only
            return None


def _same(value: object) -> object:
    return value


def _nothing() -> None:
    return None
