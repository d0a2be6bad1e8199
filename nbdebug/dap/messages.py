"""The messages of the Debug Adapter Protocol as nbdebug writes them: bodies of replies and events.

Owns the shapes; built here from the engine's values. Does no I/O.
"""

from typing import Any

from nbdebug import errors
from nbdebug.engine.model import (
    BreakMode,
    BreakpointInfo,
    BreakpointState,
    CallTarget,
    ExceptionDetails,
    FrameInfo,
    LineTarget,
    Location,
    Scope,
    Stop,
    StopReason,
    TaskInfo,
    Variable,
)
from nbdebug.engine.watch_model import WatchInfo

Json = dict[str, Any]

_SUMMARY_CHARS = 60

EMPTY_BODIES: dict[str, Json] = {
    # JupyterLab reads these without a look at `success`.
    "stackTrace": {"stackFrames": []},
    "scopes": {"scopes": []},
    "variables": {"variables": []},
    "setBreakpoints": {"breakpoints": []},
    "modules": {"modules": []},
}


_CONDITION = (
    "Classes, an expression of `exception`, or both: `KeyError, pkg.Error if exception.args`."
)


def _filter(id_: str, label: str, description: str) -> Json:
    return {
        "filter": id_,
        "label": label,
        "description": description,
        "default": False,
        "supportsCondition": True,
        "conditionDescription": _CONDITION,
    }


EXCEPTION_FILTERS = [
    _filter(
        "raised",
        "Raised Exceptions",
        "Stops where your code raises, or where an exception of a library's comes to your code.",
    ),
    _filter(
        "uncaught",
        "Uncaught Exceptions",
        "Stops at what ends the cell, the thread or the program, before it has ended.",
    ),
    _filter(
        "userUnhandled",
        "User Uncaught Exceptions",
        "Stops at what your code lets out into a library that called it, or out of the cell.",
    ),
]
"""What a client shows as a choice of exception stops: DAP's ExceptionBreakpointsFilter."""


def sendable(text: str) -> str:
    """Return ``text`` with what UTF-8 can't carry, a lone surrogate, escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def without_nones(body: Json) -> Json:
    """Return ``body`` without the keys whose value is None: DAP's optional properties."""
    return {key: value for key, value in body.items() if value is not None}


def failure_body(command: str, error: errors.NbdebugError) -> Json:
    """Return the body of the reply that says why a request failed."""
    text = sendable(str(error))
    details = {"id": error.id, "format": f"{text} {error.advice}".strip(), "showUser": True}
    details["variables"] = {"slug": error.slug}
    return {**EMPTY_BODIES.get(command, {}), "error": details}


def breakpoint_body(info: BreakpointInfo, source: Json | None = None) -> Json:
    """Return DAP's Breakpoint; ``source`` is the source as the client knows it."""
    reasons = {BreakpointState.PENDING: "pending", BreakpointState.FAILED: "failed"}
    if source is None and info.path:
        source = source_body(info.path, cell=getattr(info.spec.target, "cell", ""))
    return without_nones(
        {
            "id": info.id,
            "verified": info.state is BreakpointState.BOUND,
            "line": info.line
            or (info.spec.target.line if isinstance(info.spec.target, LineTarget) else None),
            "source": source,
            "message": info.message or None,
            "reason": reasons.get(info.state),
        }
    )


def watch_body(info: WatchInfo) -> Json:
    """Return DAP's Breakpoint of a watch."""
    is_live = not info.state.startswith("ended")
    message = "" if is_live else f"The watch on {info.text} has {info.state}."
    return without_nones({"id": info.id, "verified": is_live, "message": sendable(message) or None})


def filter_body(failure: errors.NbdebugError | None) -> Json:
    """Return DAP's Breakpoint for an exception filter that is on, or why it isn't."""
    if failure is None:
        return {"verified": True}
    said = f"{failure} {failure.advice}".strip()
    return {"verified": False, "reason": "failed", "message": sendable(said)}


def source_body(path: str, reference: int = 0, cell: str = "") -> Json:
    """Return DAP's Source. ``reference`` is for one whose text can only be had from us."""
    return without_nones(
        {
            "path": path,  # a client takes its end for the name
            "sourceReference": reference or None,
            "adapterData": {"cellId": cell} if cell else None,
        }
    )


def frame_body(frame: FrameInfo, reference: int = 0, brief: bool = False) -> Json:
    """Return DAP's StackFrame; ``reference`` is its source's.

    ``brief`` leaves out what JupyterLab doesn't look at.
    """
    if brief:
        places = {"id": frame.id, "name": frame.name, "line": frame.line, "column": frame.column}
        return {**places, "source": source_body(frame.path, reference)}
    return without_nones(
        {
            "id": frame.id,
            "name": frame.name,
            "line": frame.line,
            "column": frame.column,
            "endLine": frame.end_line,
            "endColumn": frame.end_column,
            "source": source_body(frame.path, reference),
            "moduleId": frame.module or None,
            "instructionPointerReference": frame.instruction or None,
            "presentationHint": None if frame.is_user_code else "subtle",
        }
    )


def call_body(id_: int, call: CallTarget) -> Json:
    """Return DAP's StepInTarget."""
    return {
        "id": id_,
        "label": sendable(call.label),
        "line": call.line,
        "column": call.column,
        "endLine": call.end_line,
        "endColumn": call.end_column,
    }


def task_body(task: TaskInfo) -> Json:
    """Return one of the tasks of `nbdebug/tasks`."""
    frames = [
        {"name": sendable(at.function), "line": at.line, "source": source_body(at.path)}
        for at in task.frames
    ]
    return {
        "id": task.id,
        "name": sendable(task.name),
        "state": task.state,
        "threadId": task.thread_id,
        "frames": frames,
        "awaits": sendable(task.awaits),
        "awaitedBy": [sendable(name) for name in task.awaited_by],
    }


def scope_body(scope: Scope) -> Json:
    """Return DAP's Scope."""
    return without_nones(
        {
            "name": scope.name,
            "variablesReference": scope.reference,
            "expensive": scope.expensive,
            "namedVariables": scope.named_count,
            "presentationHint": scope.hint,
        }
    )


def value_body(variable: Variable) -> Json:
    """Return what DAP's Variable and the results of evaluate and setVariable have in common."""
    hint = without_nones(
        {
            "kind": variable.kind,
            "attributes": list(variable.attributes) or None,
            "lazy": variable.lazy or None,
        }
    )
    return without_nones(
        {
            "type": sendable(variable.type),
            "variablesReference": variable.reference,
            "namedVariables": variable.named_count or None,
            "indexedVariables": variable.indexed_count or None,
            "presentationHint": hint or None,
            "valueLocationReference": variable.location or None,
        }
    )


def variable_body(variable: Variable, brief: bool = False) -> Json:
    """Return DAP's Variable; ``brief`` makes it JupyterLab's.

    That shows a container's type only, so the type has the size, and looks at no hints.
    """
    texts = {"name": sendable(variable.name), "value": sendable(variable.value)}
    body = {**texts, **value_body(variable)}
    body["evaluateName"] = sendable(variable.evaluate_name or "")  # Jupyter's clients read it
    return brief_variable(body) if brief else body


def brief_variable(body: Json) -> Json:
    """Return DAP's Variable as JupyterLab shows it: see `variable_body`."""
    hints = ("valueLocationReference", "presentationHint")
    kept = {key: value for key, value in body.items() if key not in hints}
    if kept.get("variablesReference"):
        kept["type"] = _summary(kept)
    return kept


def _summary(body: Json) -> str:
    type_, value, count = body.get("type", ""), body.get("value", ""), body.get("indexedVariables")
    if value.startswith(f"{type_} ("):  # DataFrame (96, 3)
        return str(value[:_SUMMARY_CHARS])
    return f"{type_} ({count})" if count and type_ else str(type_)


def output_body(text: str, category: str, location: Location | None) -> Json:
    """Return the body of DAP's output event."""
    body: Json = {"category": category, "output": sendable(text)}
    if location is not None:
        body |= {"source": source_body(location.path), "line": location.line}
    return body


def exception_body(mode: BreakMode, details: ExceptionDetails) -> Json:
    """Return the body of DAP's exceptionInfo."""
    return {
        "exceptionId": sendable(details.full_type_name),
        "description": sendable(details.message),
        "breakMode": str(mode),
        "details": _details_body(details),
    }


def _details_body(details: ExceptionDetails) -> Json:
    return without_nones(
        {
            "message": sendable(details.message),
            "typeName": sendable(details.type_name),
            "fullTypeName": sendable(details.full_type_name),
            "evaluateName": details.evaluate_name,
            "stackTrace": sendable(details.stack_trace) or None,
            "innerException": [_details_body(inner) for inner in details.inner] or None,
        }
    )


def stopped_body(stop: Stop) -> Json:
    """Return the body of DAP's stopped event."""
    is_change = stop.reason is StopReason.DATA_BREAKPOINT
    return without_nones(
        {
            "reason": str(stop.reason),
            "description": sendable(stop.description),
            "text": sendable(stop.description if is_change else stop.text) or None,
            "threadId": stop.thread_id,
            "allThreadsStopped": stop.all_threads,
            "hitBreakpointIds": list(stop.breakpoint_ids) or None,
        }
    )
