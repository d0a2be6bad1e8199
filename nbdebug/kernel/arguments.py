"""The arguments of Jupyter's and our own debug requests, parsed as DAP's are.

Owns their shapes only.
"""

from typing import NamedTuple


class DumpCellArguments(NamedTuple):
    code: str


class RichInspectArguments(NamedTuple):
    variable_name: str
    frame_id: int | None = None


class CopyToGlobalsArguments(NamedTuple):
    src_variable_name: str
    dst_variable_name: str
    src_frame_id: int | None = None


class SetSessionArguments(NamedTuple):
    session: int
