"""An exception as a client sees it: a title, its frames, what it came from.

Owns these texts and their bounds; must not know what stopped. Runs on the thread that has the
exception: an exception's text is the user's code.
"""

import linecache
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import NamedTuple

from nbdebug.engine import physical
from nbdebug.engine.bounded import Bounded
from nbdebug.engine.model import BreakMode, ExceptionDetails, Limits
from nbdebug.engine.usercode import UserCode
from nbdebug.errors import TookTooLong

NAME = "__exception__"
"""What the exception of a stop is called in an evaluation."""
_FRAMES = 100  # of one stack trace, half of them from either end
_MEMBERS = 20  # of an exception group
_DEPTH = 20  # of causes and groups
_ALL = 100  # exceptions in one answer


class Place(NamedTuple):
    """A frame and where it is, or was when the exception went through it."""

    frame: FrameType
    line: int
    at: int


def place_of(frame: FrameType) -> Place:
    """Return where a frame is now."""
    return Place(frame, frame.f_lineno or frame.f_code.co_firstlineno, frame.f_lasti)


@dataclass(frozen=True, slots=True)
class Failure:
    """The exception that a thread is stopped for.

    ``places`` are the traceback's frames, innermost first, where the stack that it was raised on is
    gone; ``is_over`` says that nothing is left to run at all.
    """

    error: BaseException
    mode: BreakMode
    title: str
    places: tuple[Place, ...] = ()
    is_over: bool = False


def title_of(error: BaseException, bounded: Bounded, limits: Limits) -> str:
    """Return ``ValueError: bad``, bounded in time and size."""
    name, text = physical.name_of(type(error)), text_of(error, bounded, limits)
    return f"{name}: {text}" if text else name


def text_of(error: BaseException, bounded: Bounded, limits: Limits) -> str:
    """Return ``str(error)``, or in its place why it can't be had."""
    try:
        text = bounded.call(lambda: str(error), limits.repr_s)
    except KeyboardInterrupt:
        raise
    except TookTooLong as late:
        return f"({late})"
    except BaseException:
        return "(its text can't be had)"
    return text if len(text) <= limits.value_chars else text[: limits.value_chars] + "..."


def places_of(traceback: TracebackType | None, user_code: UserCode) -> tuple[Place, ...]:
    """Return a traceback's frames as a stack shows them: the user's, innermost first.

    Where none is the user's, all of them.
    """
    every: list[Place] = []
    while traceback is not None:
        place = Place(traceback.tb_frame, traceback.tb_lineno, traceback.tb_lasti)
        if every and every[-1].frame is place.frame:
            every.pop()  # raised again there: where it came from says more
        every.append(place)
        traceback = traceback.tb_next
    users = [place for place in every if user_code.is_user(place.frame)]
    return tuple(reversed(users or every))


def details_of(
    error: BaseException,
    text: Callable[[BaseException], str],
    trace: Callable[[BaseException], str],
    evaluate_name: str | None = NAME,
) -> ExceptionDetails:
    """Return an exception with its chain: the cause or context, and the members of a group."""
    return _details(error, text, trace, evaluate_name, [], _DEPTH)


def _details(
    error: BaseException,
    text: Callable[[BaseException], str],
    trace: Callable[[BaseException], str],
    evaluate_name: str | None,
    seen: list[BaseException],
    depth: int,
) -> ExceptionDetails:
    seen.append(error)
    inner: list[ExceptionDetails] = []
    for suffix, other in _inside(error) if depth else ():
        if len(seen) < _ALL and not any(other is one for one in seen):
            name = f"{evaluate_name}{suffix}" if evaluate_name else None
            inner.append(_details(other, text, trace, name, seen, depth - 1))
    cls = type(error)
    return ExceptionDetails(
        text(error),
        physical.name_of(cls),
        physical.full_name_of(cls),
        trace(error),
        evaluate_name,
        tuple(inner),
    )


def _inside(error: BaseException) -> list[tuple[str, BaseException]]:
    """Return (how it is reached, exception) of what stands behind or inside an exception."""
    found: list[tuple[str, BaseException]] = []
    # By BaseException's own descriptors: a class may have properties of these names.
    cause: BaseException | None = BaseException.__dict__["__cause__"].__get__(error)
    context: BaseException | None = BaseException.__dict__["__context__"].__get__(error)
    is_hidden: bool = BaseException.__dict__["__suppress_context__"].__get__(error)
    if cause is not None:
        found.append((".__cause__", cause))
    elif context is not None and not is_hidden:
        found.append((".__context__", context))
    if physical.is_a(error, BaseExceptionGroup):
        members = BaseExceptionGroup.__dict__["exceptions"].__get__(error)
        found += [(f".exceptions[{i}]", one) for i, one in enumerate(members[:_MEMBERS])]
    return found


def trace_text(places: tuple[Place, ...]) -> str:
    """Return a stack as Python prints one, innermost last, without the middle of a long one."""
    half, outermost_first = _FRAMES // 2, places[::-1]
    lines = [_place_text(place) for place in outermost_first]
    if len(lines) > _FRAMES:
        left_out = len(lines) - 2 * half
        lines = [*lines[:half], f"  [{left_out} more frames]\n", *lines[-half:]]
    return "".join(lines)


def _place_text(place: Place) -> str:
    code = place.frame.f_code
    source = linecache.getline(code.co_filename, place.line, place.frame.f_globals).strip()
    head = f'  File "{code.co_filename}", line {place.line}, in {code.co_qualname}\n'
    return head + (f"    {source}\n" if source else "")
