"""What is said of a stop: the reason, the place, a sentence for a person.

Owns the wording only. Called on the thread that stops.
"""

from dataclasses import replace
from types import FrameType

from nbdebug.engine.checks import Hit, location_of
from nbdebug.engine.failures import Failure
from nbdebug.engine.model import BreakMode, Location, Stop, StopReason

_NO_HIT = Hit(())


def describe(
    thread_id: int,
    frame: FrameType,
    reason: StopReason | None,
    hit: Hit | None,
    failure: Failure | None,
    all_threads: bool,
) -> Stop:
    """Return the stop of a thread in ``frame``; without a reason it stops as others have."""
    hit = hit or _NO_HIT
    location = location_of(frame)
    if failure is not None and failure.places:
        place = failure.places[0]
        location = replace(location_of(place.frame), line=place.line)
    sentence = "" if hit.error else hit.sentence
    sentence = sentence or _sentence(reason, location, hit)
    text = ""
    if failure is not None:
        why = f"{hit.error}. " if hit.error else ""
        sentence, text = failure.title, why + _failed_at(failure, location)
    return Stop(
        reason or StopReason.PAUSE,
        thread_id,
        location,
        sentence,
        hit.ids,
        all_threads,
        hit.error,
        text,
        failure is not None and failure.is_over,
    )


def _failed_at(failure: Failure, location: Location) -> str:
    what = {
        BreakMode.ALWAYS: "Stopped where it was raised",
        BreakMode.UNHANDLED: "Stopped because nothing catches it",
        BreakMode.USER_UNHANDLED: "Stopped because no user code catches it",
        BreakMode.NEVER: "It has ended the run, raised",
    }
    return f"{what[failure.mode]}, at {_place(location)}."


def _place(location: Location) -> str:
    inside = "" if location.function == "<module>" else f" in {location.function}"
    return f"line {location.line}{inside}"


def _sentence(reason: StopReason | None, location: Location, hit: Hit) -> str:
    place = _place(location)
    if hit.error:
        return f"{hit.error}. Stopped at {place}."
    if hit.says:
        return f"{hit.says} {place}."
    numbers = ", ".join(map(str, hit.ids))
    match reason:
        case StopReason.BREAKPOINT:
            return f"Stopped by breakpoint{f' {numbers}' if numbers else '()'} at {place}."
        case StopReason.FUNCTION_BREAKPOINT:
            return f"Stopped by function breakpoint {numbers} at {place}."
        case StopReason.STEP:
            return f"Stopped after a step at {place}."
        case StopReason.PAUSE:
            return f"Paused at {place}."
        case StopReason.ENTRY:
            return f"Stopped at the start, at {place}."
        case StopReason.GOTO:
            return f"Goes on from {place}; nothing has run."
        case None:
            return f"Stopped, as another thread has, at {place}."
        case _:
            return f"Stopped at {place}."
