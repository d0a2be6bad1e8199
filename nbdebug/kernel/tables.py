"""Small tables that read well in a notebook and in a terminal.

Owns their rendering only.
"""

from collections.abc import Sequence
from html import escape


class Table:
    """Rows under headings; a notebook shows HTML, a terminal aligned text.

    A column that is empty in every row isn't shown.
    """

    def __init__(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str = ""
    ) -> None:
        used = [i for i in range(len(headings)) if any(row[i] for row in rows)]
        self.headings = [headings[i] for i in used]
        self.rows = [[row[i] for i in used] for row in rows]
        self.empty = empty

    def __repr__(self) -> str:
        if not self.rows:
            return self.empty
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.headings, *self.rows)
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<em>{escape(self.empty)}</em>"
        left = ' style="text-align: left"'
        head = "".join(f"<th{left}>{escape(cell)}</th>" for cell in self.headings)
        body = "".join(
            "<tr>" + "".join(f"<td{left}>{_cell(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    return escape(text).replace("\n", "<br>")
