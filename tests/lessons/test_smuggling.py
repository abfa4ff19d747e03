"""Where one request ends and the next begins is said once and read once: what is said twice is no request."""

from __future__ import annotations

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import CHAT, Line, question
from tests.running_server import Served

HIDDEN = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
"""The second request, which nobody may answer."""


def heads() -> list[bytes]:
    length = b"content-length: %d" % len(HIDDEN)
    return [
        length + b"\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\n" + length,
        length + b"\r\ncontent-length: 0",
        b"content-length: 0, %d" % len(HIDDEN),
        b"content-length: +0",
        b"content-length: 0x0",
        b"content-length: -1",
        b"content-length : 0",
        b"content-length:\r\n 0",
        b"transfer-encoding : chunked",
        b"transfer-encoding: xchunked",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: identity, chunked\r\n" + length,
        b"transfer-encoding:\x0bchunked",
        b"transfer-encoding: chunked\r\ntransfer-encoding: x",
        b"x: y\r\n folded: transfer-encoding: chunked\r\n" + length + b"\r\ncontent-length: 1",
        b"x: y\rcontent-length: 0\r\ncontent-length: 9",
        b"x\x00: y\r\ncontent-length: 0",
    ]


@pytest.mark.parametrize("head", heads(), ids=repr)
@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/graphql"])
def test_no_second_request_hides_in_a_first(served: Served, path: str, head: bytes) -> None:
    with Line(served) as line:
        start = b"POST %b HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\ncontent-type: application/json\r\n"
        line.say(start % (path.encode(), served.key.encode()) + head + b"\r\n\r\n" + b"0\r\n\r\n" + HIDDEN)
        answer = line.answer()
        assert answer.status in (400, 408, 411, 413, 501), answer.body
        line.socket.shutdown(1)
        rest = line.socket.recv(65_536) if answer.headers.get("connection") != "close" else b""
    assert b'"status":"ok"' not in rest, "the hidden request was answered"


@pytest.mark.parametrize("ending", [b"\n", b"\r"])
def test_a_line_that_ends_in_half_is_no_line(served: Served, ending: bytes) -> None:
    lines = [b"POST %b HTTP/1.1" % CHAT.encode(), b"host: localhost", b"content-length: 0", b"x: y"]
    with Line(served) as line:
        line.say(ending.join(lines) + ending * 2 + HIDDEN)
        answer = line.answer()
        assert answer.status in (400, 401)
        if ending == b"\r":
            assert answer.status == 400


@pytest.mark.parametrize(
    "header",
    [
        "x_sizewise_data_class: public",
        "x-sizewise_data-class: public",
        "x-sizewise-data_class: public",
        "X_SIZEWISE-DATA-CLASS: public",
        "http_x_sizewise_data_class: public",
    ],
)
def test_an_underscore_is_no_hyphen(served: Served, upstream: FakeOpenAI, header: str) -> None:
    """What a proxy in front strips or sets as `x-sizewise-data-class`, nobody says by another name behind its back."""
    before = len(upstream.received.bodies)
    for first in (
        f"x-sizewise-data-class: confidential\r\n{header}",
        f"{header}\r\nx-sizewise-data-class: confidential",
    ):
        with Line(served) as line:
            line.say(line.request(CHAT, question("tell nobody", "far/well"), first))
            assert line.answer().status in (400, 403)
    assert len(upstream.received.bodies) == before


def test_what_upstreams_are_sent_is_written_by_us_alone(served: Served, upstream: FakeOpenAI) -> None:
    with Line(served) as line:
        own = (
            "x-evil: 1",
            "cookie: a=b",
            "x-forwarded-for: 1.2.3.4",
            "proxy-authorization: Basic eA==",
            "te: trailers",
        )
        line.say(line.request(CHAT, question("hi", "whole/well"), *own))
        assert line.answer().status == 200
    assert not {"x-evil", "cookie", "x-forwarded-for", "proxy-authorization", "te"} & set(upstream.received.headers[-1])
