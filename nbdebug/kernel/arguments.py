"""The arguments of Jupyter's and our own debug requests, parsed as DAP's are.

Owns their shapes only.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DumpCellArguments:
    code: str


@dataclass(frozen=True, slots=True)
class RichInspectArguments:
    variable_name: str
    frame_id: int | None = None


@dataclass(frozen=True, slots=True)
class CopyToGlobalsArguments:
    src_variable_name: str
    dst_variable_name: str
    src_frame_id: int | None = None


@dataclass(frozen=True, slots=True)
class SetSessionArguments:
    session: int
