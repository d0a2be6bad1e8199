"""Bytes to messages and back: DAP's base protocol, a Content-Length header before each JSON text.

Owns the framing only; does no I/O, so any thread may use it, one at a time for each Reader.
Source: DAP's overview, "Base protocol".
"""

import json
from collections.abc import Iterator
from typing import Any

from nbdebug import errors

MAX_BYTES = 64 * 1024 * 1024
"""The longest message that is read. A longer one isn't a debugger's, and would fill the memory."""

_MAX_HEADER_BYTES = 8 * 1024
_END_OF_HEADER = b"\r\n\r\n"


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as it travels."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Reader:
    """Takes bytes in pieces of any size, and gives the messages that they make up."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._length: int | None = None  # of the body that is being read, once its header is

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Add ``data``; yield each message that is whole.

        Raises MalformedMessage, after which where the next message begins is unknown.
        """
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> dict[str, Any] | None:
        if self._length is None:
            end = self._buffer.find(_END_OF_HEADER)
            if end > _MAX_HEADER_BYTES or (end < 0 and len(self._buffer) > _MAX_HEADER_BYTES):
                raise errors.MalformedMessage("A header doesn't end.")
            if end < 0:
                return None
            self._length = self._length_in(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_END_OF_HEADER)]
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = None
        return _parse(body)

    def _length_in(self, header: bytes) -> int:
        for line in header.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon:
                raise errors.MalformedMessage("A header has a line without a colon.")
            if name.strip().lower() == b"content-length":
                digits = value.strip()
                if not digits.isdigit() or len(digits) > 18:
                    raise errors.MalformedMessage("A Content-Length isn't a number.")
                length = int(digits)
                if length > self._max_bytes:
                    raise errors.MalformedMessage(
                        f"A message of {length} bytes is more than the {self._max_bytes} that are "
                        "read."
                    )
                return length
        raise errors.MalformedMessage("A header has no Content-Length.")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.MalformedMessage(f"A message isn't JSON: {error}.") from None
    if not isinstance(message, dict):
        raise errors.MalformedMessage("A message isn't a JSON object.")
    return message
