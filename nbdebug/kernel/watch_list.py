"""The list of watches as `%watch` shows it: a table, and below it how each sees changes.

Owns its rendering only, as text of 100 columns and as HTML. Watches that are served alike are told
of together.
"""

import time
from collections.abc import Sequence
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import Final

from nbdebug.engine.watch_model import Access, Action, WatchInfo, WatchSpec, Way

COLUMNS: Final = 100
_GAP: Final = "  "
_LONGEST: Final = 48
_WATCHED: Final = 1
_NAME: Final = 28
_HOW: Final = "How changes are seen, and what it costs"

_CELL: Final = "text-align: left; vertical-align: top; padding: 0.25em 1.25em 0.25em 0"
_CODE: Final = "font-family: var(--jp-code-font-family, monospace); background: none"
_DIM: Final = "color: var(--jp-ui-font-color2, #666)"
_PLAIN: Final = "white-space: normal; max-width: 46em"
_NOT_STRIPED: Final = "background: none"
_SIZE: Final = "font-size: var(--jp-ui-font-size1, 13px)"


class WatchList:
    """Watches as they stand; a notebook shows HTML, a terminal aligned text."""

    def __init__(self, infos: Sequence[WatchInfo]) -> None:
        self._infos = tuple(infos)

    def __repr__(self) -> str:
        if not self._infos:
            return "Nothing is watched."
        return "\n".join([*self._table(), *self._details()])

    def _repr_html_(self) -> str:
        if not self._infos:
            return "<em>Nothing is watched.</em>"
        headings, rows = self._cells()
        head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in headings)
        body = "".join(
            "<tr>"
            + "".join(_html_cell(*pair) for pair in zip(headings, row, strict=True))
            + "</tr>"
            for row in rows
        )
        groups = "".join(_html_group(names, info) for names, info in self._groups())
        is_open = " open" if len(self._infos) == 1 else ""
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f'<details{is_open} style="margin: 0.5em 0 0 0"><summary style="{_DIM}; {_SIZE}; '
            f'cursor: pointer">{_HOW}</summary>{groups}</details>'
        )

    # -- inside

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and rows, without the columns that are empty or say nothing new."""
        table = [_row(info) for info in self._infos]
        used = [name for name in table[0] if any(row[name] for row in table)]
        return used, [[row[name] for name in used] for row in table]

    def _table(self) -> list[str]:
        headings, rows = self._cells()
        widths = _fitting([max(map(len, column)) for column in zip(headings, *rows, strict=True)])
        lines = []
        for row in (headings, *rows):
            cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
            for parts in zip_longest(*cells, fillvalue=""):
                padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
                lines.append(_GAP.join(padded).rstrip())
        return lines

    def _details(self) -> list[str]:
        lines = []
        for names, info in self._groups():
            lines += ["", *wrap(f"{names}: {info.mechanism}", COLUMNS)]
            for label, text in _told(info):
                first = f"  {label:<10} "
                lines += wrap(
                    text, COLUMNS, initial_indent=first, subsequent_indent=" " * len(first)
                )
        return lines

    def _groups(self) -> list[tuple[str, WatchInfo]]:
        """Return the watches that are served alike: what they are called, and one of them."""
        alike: dict[tuple[str, ...], list[WatchInfo]] = {}
        for info in self._infos:
            key = (info.mechanism, info.sees, info.cannot_see, info.cost, info.why_not)
            alike.setdefault(key, []).append(info)
        return [(", ".join(info.text for info in infos), infos[0]) for infos in alike.values()]


def _row(info: WatchInfo) -> dict[str, str]:
    last = info.last
    changed = ""
    if last is not None:
        clock = time.strftime("%H:%M:%S", time.localtime(last.time))
        changed = f"{clock} {last.text.removeprefix(f'{info.text} ')}"
    return {
        "id": str(info.id),
        "watched": info.text,
        "options": _extras(info.spec),
        "state": "" if info.state == "watching" else info.state,
        "value": _cut(info.value),
        "hits": str(info.hits),
        "seen by": info.mechanism,
        "last change": changed,
    }


def _told(info: WatchInfo) -> list[tuple[str, str]]:
    told = [
        ("sees", info.sees),
        ("can't see", info.cannot_see or "nothing: it sees all"),
        ("costs", info.cost),
        ("note", info.why_not),
    ]
    return [(label, text) for label, text in told if text]


def _html_cell(heading: str, text: str) -> str:
    style = f"{_CELL}; white-space: nowrap"
    if heading in ("watched", "value"):
        style = f"{style}; {_CODE}"
    elif heading in ("last change", "options", "state"):
        style = f"{_CELL}; {_PLAIN}"
    return f'<td style="{style}">{escape(text)}</td>'


def _html_group(names: str, info: WatchInfo) -> str:
    lines = "".join(
        f'<tr style="{_NOT_STRIPED}">'
        f'<td style="{_CELL}; {_DIM}; white-space: nowrap">{escape(label)}</td>'
        f'<td style="{_CELL}; {_PLAIN}">{escape(text)}</td></tr>'
        for label, text in _told(info)
    )
    return (
        f'<p style="margin: 0.75em 0 0.25em 0; {_SIZE}">'
        f'<span style="{_CODE}">{escape(names)}</span>: {escape(info.mechanism)}</p>'
        f'<table style="margin: 0"><tbody>{lines}</tbody></table>'
    )


def _fitting(widths: list[int]) -> list[int]:
    """Return widths that fit the columns of a terminal: the widest give way, names last."""
    widths = list(widths)
    while sum(widths) + len(_GAP) * (len(widths) - 1) > COLUMNS:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widest == _WATCHED and widths[widest] <= _NAME:
            others = (at for at in range(len(widths)) if at != _WATCHED)
            widest = max(others, key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _extras(spec: WatchSpec) -> str:
    parts = []
    if spec.accesses != (Access.CHANGE,):
        parts.append("on " + ", ".join(spec.accesses))
    if spec.condition:
        parts.append(f"if {spec.condition}")
    if spec.hit_condition:
        parts.append(f"hits {spec.hit_condition}")
    if spec.thread:
        parts.append(f"thread {spec.thread}")
    if spec.action is not Action.AUTO:
        parts.append(spec.action)
    if spec.once:
        parts.append("once")
    if spec.way is not Way.AUTO:
        parts.append(spec.way)
    return ", ".join(parts)
