"""DAP's JSON schema and a check of messages against it.

debugpy's wheel carries the schema; a newer one in a folder beside the checkout comes first.
"""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema

EXTRA_COMMANDS = {
    "dumpCell",
    "debugInfo",
    "inspectVariables",
    "richInspectVariables",
    "copyToGlobals",
}


@cache
def schema() -> dict[str, Any]:
    """Return the newest schema that is at hand."""
    found = sorted(Path(__file__).parents[2].glob("*/data/debugAdapterProtocol.json"))
    spec = find_spec("debugpy")
    if not found and spec is not None and spec.origin is not None:
        found = sorted(Path(spec.origin).parent.rglob("debugProtocol.json"))
    assert found, "debugpy carries the schema, and isn't installed"
    loaded: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
    return loaded


@cache
def _validator(definition: str) -> jsonschema.Draft4Validator:
    return jsonschema.Draft4Validator({**schema(), "$ref": f"#/definitions/{definition}"})


def check_message(message: dict[str, Any]) -> None:
    """Raise ValidationError if a response or event of ours isn't as DAP has it."""
    kind = message.get("type")
    if kind == "event":
        definition = _definition(message["event"], "Event")
        _validator(definition or "Event").validate(message)
        return
    assert kind == "response", message
    if not message["success"]:
        _validator("ErrorResponse").validate(message)
        return
    definition = (
        None
        if message["command"] in EXTRA_COMMANDS
        else _definition(message["command"], "Response")
    )
    _validator(definition or "Response").validate(message)


def _definition(name: str, suffix: str) -> str | None:
    known = name[:1].upper() + name[1:] + suffix
    return known if known in schema()["definitions"] else None
