"""What a program writes after the cell that started it has ended: a display that is updated.

Owns the display and what it shows of the text, which is bounded. Made on the thread that runs the
cell; what comes is added on the program's thread, and shown some ten times a second at most by a
timer's.
"""

import itertools
import re
import threading
from collections import deque
from html import escape
from typing import Any

from nbdebug.engine.locks import hold, new_lock

_CHARS = 100_000
_EVERY_S = 0.1
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)")
_PRE = (
    "margin: 0; padding: 4px 8px; max-height: 24em; overflow: auto; white-space: pre-wrap; "
    "font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px);"
)
_HEAD = "padding: 2px 8px; border-left: 3px solid {}; margin-bottom: 2px;"
_QUIET = "color: var(--jp-ui-font-color2, #666); margin-left: 8px;"
_STDERR = "background: var(--jp-rendermime-error-background, #fdd);"
_COLORS = {
    "running": "var(--jp-brand-color1, #1976d2)",
    "stopped": "var(--jp-warn-color1, #f57c00)",
    "ended": "var(--jp-border-color1, #bdbdbd)",
    "failed": "var(--jp-error-color1, #d32f2f)",
}

_ids = itertools.count(1)


class LiveOutput:
    """A display in the cell that makes it, of a program's state and output."""

    def __init__(self, shell: Any, title: str) -> None:
        self._publisher = shell.display_pub
        self._id = f"nbdebug-{title}-{next(_ids)}"
        self._title = title
        self._kind, self._state = "running", "running"
        self._chunks: deque[tuple[str, str]] = deque()
        self._chars = 0
        self._is_cut = False
        self._is_due = False
        self._lock = new_lock()  # held for moments: guards the text and the state
        self._publish(update=False)

    def add(self, stream: str, text: str) -> None:
        """Show a text that was written to "stdout" or "stderr"."""

        def take() -> None:
            if self._chunks and self._chunks[-1][0] == stream:
                text_before = self._chunks.pop()[1]
                self._chars -= len(text_before)
                joined = text_before + text
            else:
                joined = text
            self._chunks.append((stream, joined))
            self._chars += len(joined)
            while self._chars > _CHARS:
                first_stream, first = self._chunks.popleft()
                rest = first[self._chars - _CHARS :] if len(first) > self._chars - _CHARS else ""
                self._chars -= len(first) - len(rest)
                self._is_cut = True
                if rest:
                    self._chunks.appendleft((first_stream, rest))

        hold(self._lock, take)
        self._soon()

    def say(self, kind: str, state: str) -> None:
        """Show how it stands: "running", "stopped", "ended" or "failed", and in words."""

        def take() -> None:
            self._kind, self._state = kind, state

        hold(self._lock, take)
        self._soon()

    # -- inside

    def _soon(self) -> None:
        def is_first() -> bool:
            was_due, self._is_due = self._is_due, True
            return not was_due

        if hold(self._lock, is_first):
            timer = threading.Timer(_EVERY_S, self._show)
            timer.name, timer.daemon = "nbdebug-display", True
            timer.pydev_do_not_trace = True  # type: ignore[attr-defined]
            timer.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
            timer.start()

    def _show(self) -> None:
        self._is_due = False
        self._publish(update=True)

    def _publish(self, update: bool) -> None:
        def texts() -> tuple[str, str, list[tuple[str, str]]]:
            chunks = [(stream, _plain(text)) for stream, text in self._chunks]
            return self._kind, self._state, chunks

        kind, state, chunks = hold(self._lock, texts)
        cut = "... earlier output isn't shown\n" if self._is_cut else ""
        plain = f"{self._title}: {state}\n{cut}" + "".join(text for _, text in chunks)
        self._publisher.publish(
            {"text/plain": plain, "text/html": self._html(kind, state, cut, chunks)},
            {},
            transient={"display_id": self._id},
            update=update,
        )

    def _html(self, kind: str, state: str, cut: str, chunks: list[tuple[str, str]]) -> str:
        head = _HEAD.format(_COLORS[kind])
        title = f"<b>{escape(self._title)}</b><span style='{_QUIET}'>{escape(state)}</span>"
        body = escape(cut) + "".join(
            escape(text) if stream == "stdout" else f"<span style='{_STDERR}'>{escape(text)}</span>"
            for stream, text in chunks
        )
        shown = f"<pre style='{_PRE}'>{body}</pre>" if body else ""
        return f"<div><div style='{head}'>{title}</div>{shown}</div>"


def _plain(text: str) -> str:
    """Return a text as a terminal would leave it: no colours, and lines that overwrite others."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
