"""Breakpoints and watches in full, as messages carry them, and back: what `%bp` and `%watch` show.

Owns the shapes of `nbdebug/breakpoints`, `nbdebug/watches` and `nbdebug/watchHistory`. Does no I/O.
"""

from collections.abc import Sequence
from typing import Any

from nbdebug.dap import messages as m
from nbdebug.dap.messages import Json
from nbdebug.engine.model import (
    BreakpointInfo,
    BreakpointSpec,
    BreakpointState,
    FunctionTarget,
    LineTarget,
    ModuleTarget,
    Target,
)
from nbdebug.engine.watch_model import Access, Action, WatchEvent, WatchInfo, WatchSpec


def breakpoint_body(info: BreakpointInfo) -> Json:
    """Return all that is known of a breakpoint."""
    spec, target = info.spec, info.spec.target
    return m.without_nones(
        {
            "id": info.id,
            **target_body(target),
            "condition": spec.condition,
            "hitCondition": spec.hit_condition,
            "logMessage": spec.log_message,
            "state": info.state.value,
            "path": info.path,
            "line": info.line,
            "message": info.message,
            "hits": info.hits,
            "enabled": info.enabled,
        }
    )


def target_body(target: Target) -> Json:
    """Return where a breakpoint was asked for, as `nbdebug/setBreakpoint` takes it."""
    match target:
        case LineTarget(path, line, cell):
            return {"source": m.source_body(path, cell=cell), "wantedLine": line}
        case ModuleTarget(module, line):
            return {"module": module, "wantedLine": line}
        case FunctionTarget(name):
            return {"function": name}


def request_of(spec: BreakpointSpec) -> Json:
    """Return the arguments of `nbdebug/setBreakpoint` for what the user asked for."""
    body = target_body(spec.target)
    extras = {"condition": spec.condition, "hitCondition": spec.hit_condition}
    asked = {"line": body.pop("wantedLine", 0), **extras, "logMessage": spec.log_message}
    return {**body, "breakpoint": m.without_nones(asked)}


def breakpoint_info(body: Json) -> BreakpointInfo:
    """Return what `breakpoint_body` was made of."""
    spec = BreakpointSpec(
        _target_of(body), body.get("condition"), body.get("hitCondition"), body.get("logMessage")
    )
    state = BreakpointState(body.get("state", "pending"))
    message, hits = body.get("message", ""), body.get("hits", 0)
    path, line = body.get("path"), body.get("line")
    return BreakpointInfo(
        body["id"], spec, state, path, line, message, hits, body.get("enabled", True)
    )


def _target_of(body: Json) -> Target:
    if "function" in body:
        return FunctionTarget(body["function"])
    if "module" in body:
        return ModuleTarget(body["module"], body.get("wantedLine", 0))
    return LineTarget((body.get("source") or {}).get("path", ""), body.get("wantedLine", 0))


def watch_body(info: WatchInfo) -> Json:
    """Return all that is known of a watch."""
    return m.without_nones(
        {
            "id": info.id,
            "expression": m.sendable(info.text),
            **spec_body(info.spec),
            "state": info.state,
            "mechanism": info.mechanism,
            "sees": info.sees,
            "cannotSee": info.cannot_see,
            "cost": info.cost,
            "whyNot": info.why_not,
            "hits": info.hits,
            "last": None if info.last is None else event_body(info.last),
            "value": m.sendable(info.value),
        }
    )


def spec_body(spec: WatchSpec) -> Json:
    """Return what is asked of a watch, as `nbdebug/setWatch` takes it."""
    return m.without_nones(
        {
            "accesses": [str(one) for one in spec.accesses],
            "action": str(spec.action),
            "condition": spec.condition,
            "hitCondition": spec.hit_condition,
            "once": spec.once,
            "thread": spec.thread,
            "keep": spec.keep,
            "withStack": spec.with_stack,
        }
    )


def watch_info(body: Json) -> WatchInfo:
    """Return what `watch_body` was made of."""
    last = body.get("last")
    spec = WatchSpec(
        accesses=tuple(Access(one) for one in body.get("accesses", ["change"])),
        action=Action(body.get("action", "auto")),
        condition=body.get("condition"),
        hit_condition=body.get("hitCondition"),
        once=body.get("once", False),
        thread=body.get("thread"),
        keep=body.get("keep", 1000),
        with_stack=body.get("withStack", False),
    )
    return WatchInfo(
        id=body["id"],
        text=body.get("expression", ""),
        spec=spec,
        state=body.get("state", ""),
        mechanism=body.get("mechanism", ""),
        sees=body.get("sees", ""),
        cannot_see=body.get("cannotSee", ""),
        cost=body.get("cost", ""),
        why_not=body.get("whyNot", ""),
        hits=body.get("hits", 0),
        last=None if last is None else event_of(last),
        value=body.get("value", ""),
    )


def event_body(event: WatchEvent) -> Json:
    """Return one thing that a watch has seen; values that JSON hasn't are their texts."""
    return {
        "number": event.number,
        "time": event.time,
        "kind": event.kind,
        "place": event.place,
        "path": event.path,
        "line": event.line,
        "function": event.function,
        "thread": event.thread,
        "task": event.task,
        "oldText": m.sendable(event.old_text),
        "newText": m.sendable(event.new_text),
        "old": _plain(event.old, event.old_text),
        "new": _plain(event.new, event.new_text),
        "text": m.sendable(event.text),
        "since": event.since,
        "stack": list(event.stack),
    }


def event_of(body: Json) -> WatchEvent:
    """Return what `event_body` was made of."""
    return WatchEvent(
        body["number"],
        body["time"],
        body["kind"],
        body["place"],
        body["path"],
        body["line"],
        body["function"],
        body["thread"],
        body["task"],
        body["oldText"],
        body["newText"],
        body["old"],
        body["new"],
        body["text"],
        body["since"],
        tuple(body["stack"]),
    )


def events_body(events: Sequence[WatchEvent]) -> list[Json]:
    """Return what a watch has seen, the oldest first."""
    return [event_body(one) for one in events]


def _plain(value: Any, text: str) -> Any:
    if type(value) is float:
        return value if value - value == 0 else m.sendable(text)  # JSON has neither inf nor nan
    if type(value) is str:
        return m.sendable(value)
    return value if type(value) in (int, bool, type(None)) else m.sendable(text)
