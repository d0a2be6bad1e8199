"""Bytes to messages: any chunking gives the same messages, and rubbish one clear error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdebug import errors
from nbdebug.dap.framing import Reader, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places, taken around the end."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


def read(*pieces: bytes, max_bytes: int = 1000) -> list[dict[str, Any]]:
    reader = Reader(max_bytes)
    return [message for piece in pieces for message in reader.feed(piece)]


@given(MESSAGES, st.lists(st.integers(min_value=0), max_size=20))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    messages: list[dict[str, Any]], places: list[int]
) -> None:
    data = b"".join(map(encode, messages))
    assert read(*cut(data, places), max_bytes=10**6) == messages


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=5))
def test_any_bytes_give_messages_or_one_clear_error(data: bytes, places: list[int]) -> None:
    try:
        found = read(*cut(data, places))
    except errors.MalformedMessage:
        return
    assert all(isinstance(message, dict) for message in found)


@given(st.binary(max_size=60))
def test_any_body_gives_a_message_or_one_clear_error(body: bytes) -> None:
    try:
        [found] = read(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    except errors.MalformedMessage:
        return
    assert found == json.loads(body)


def test_a_body_of_utf8_and_other_headers_are_read() -> None:
    body = '{"text": "größer"}'.encode()
    head = b"Content-Type: application/vscode-jsonrpc\r\ncontent-length:%d\r\n\r\n" % len(body)
    assert read(head + body) == [{"text": "größer"}]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a line without a colon"),
        (b"Host: here\r\n\r\n", "no Content-Length"),
        (b"Content-Length: many\r\n\r\n", "isn't a number"),
        (b"Content-Length: -1\r\n\r\n", "isn't a number"),
        (b"Content-Length: 1001\r\n\r\n", "1001 bytes is more than the 1000"),
        (b"Content-Length: 99999999999999999999\r\n\r\n", "isn't a number"),
        (b"x" * 9000, "doesn't end"),
        (b"Content-Length: 2\r\n\r\n[]", "isn't a JSON object"),
        (b"Content-Length: 3\r\n\r\n{x}", "isn't JSON"),
        (b"Content-Length: 2\r\n\r\n\xff\xff", "isn't JSON"),
        (b"Content-Length: 900\r\n\r\n" + b"[" * 900, "isn't JSON"),
    ],
)
def test_what_is_no_message_is_told_as_what_it_is(data: bytes, complaint: str) -> None:
    with pytest.raises(errors.MalformedMessage, match=complaint):
        read(data)


def test_a_deep_nest_is_refused_and_no_recursion_error_leaves_the_reader() -> None:
    body = b'{"a":' * 200_000
    with pytest.raises(errors.MalformedMessage):
        read(b"Content-Length: %d\r\n\r\n%b" % (len(body), body), max_bytes=10**7)
