"""The list of Python processes, as `%processes`, `python -m nbdebug ps` and Python code see it.

Owns the table's columns and words; imports nothing of the kernel's, so that a command starts fast.
"""

import shutil
from collections.abc import Sequence
from html import escape
from typing import overload

from nbdebug.attach.processes import PythonProcess
from nbdebug.kernel.tables import Table

_ACCESS = {"attach": "yes", "legacy": "--legacy", "inspect": "--inspect", "none": "no"}
_HEADINGS = ("pid", "Python", "runs", "environment", "user", "threads", "memory", "age", "attach")
_PROGRAM_CHARS = 60


class ProcessTable(Table, Sequence[PythonProcess]):
    """Processes; a notebook shows HTML with the reasons in full, a terminal one line for each."""

    def __init__(self, found: Sequence[PythonProcess]) -> None:
        self.processes = list(found)
        rows = [[*_row(one), _reason(one)] for one in found]
        super().__init__((*_HEADINGS, "why"), rows, "No Python process fits.")

    def __len__(self) -> int:
        return len(self.processes)

    @overload
    def __getitem__(self, index: int) -> PythonProcess: ...

    @overload
    def __getitem__(self, index: slice) -> list[PythonProcess]: ...

    def __getitem__(self, index: int | slice) -> PythonProcess | list[PythonProcess]:
        return self.processes[index]

    def __repr__(self) -> str:
        width = shutil.get_terminal_size((160, 40)).columns
        return "\n".join(_cut(line, width) for line in super().__repr__().splitlines())

    def _repr_html_(self) -> str:
        if not self.rows:
            return super()._repr_html_()
        left = "text-align: left; vertical-align: top"
        head = "".join(f'<th style="{left}">{escape(name)}</th>' for name in self.headings)
        body = "".join(
            f"<tr>{self._cells(row, one)}</tr>"
            for row, one in zip(self.rows, self.processes, strict=True)
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self, row: Sequence[str], one: PythonProcess) -> str:
        pairs = zip(self.headings, row, strict=True)
        return "".join(_html(name, cell, one) for name, cell in pairs)


def _row(one: PythonProcess) -> list[str]:
    version = " ".join(filter(None, (one.version or "?", one.build.replace("shared library", ""))))
    return [
        str(one.pid),
        version.strip(" ,"),
        _cut(one.title, _PROGRAM_CHARS),
        one.environment,
        one.user,
        str(one.threads),
        _size(one.memory_bytes),
        _age(one.age_s),
        _ACCESS[one.access],
    ]


def _reason(one: PythonProcess) -> str:
    why = one.why.removeprefix(f"Process {one.pid} ")
    return {"this-process": "this process", "python-too-old": "older than 3.14"}.get(one.slug, why)


def _html(name: str, cell: str, one: PythonProcess) -> str:
    style = "text-align: left; vertical-align: top"
    shown, title = escape(cell), ""
    if name in ("pid", "threads", "memory", "age"):
        style = "text-align: right; vertical-align: top; white-space: nowrap"
    elif name == "attach":
        style += "; white-space: nowrap"
    elif name == "runs":
        title = " ".join(one.command)
        style += "; min-width: 14em; overflow-wrap: anywhere"
        if one.kernel is not None and one.kernel.notebook:
            title = f"{one.kernel.notebook}\n{title}"
    elif name == "why":
        title = f"{one.why} {one.advice}".strip()
        style += "; min-width: 10em"
        if cell and cell in one.why:  # said in full: so is what to do
            shown = f"{shown}<br>{escape(one.advice)}"
    hover = f' title="{escape(title)}"' if title else ""
    return f'<td style="{style}"{hover}>{shown}</td>'


def _size(count: int) -> str:
    mib = count / (1 << 20)
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _cut(text: str, chars: int) -> str:
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= chars else text[: chars - 1] + "…"
