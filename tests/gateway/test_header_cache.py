"""A head that came before is known again, and a connection that knows heads answers as one that parses every one."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState

from sizewise.app.application import Application
from sizewise.gateway.error_response import OPENAI_ERRORS
from sizewise.gateway.fast_path import FastPathProtocol
from sizewise.gateway.header_cache import MAX_HEAD_BYTES, CachedHead, cacheable_head
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.http.write_coalescing import WriteCoalescer
from sizewise.limits.request_body import BodyMemory
from sizewise.settings.server import ServerSettings
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all

CHAT = b"/v1/chat/completions"
USUAL_LINES = (b"host: localhost:1", b"authorization: Bearer k", b"x-sizewise-max-ms: 9", b"content-length: %d")
BODY_BYTES = 64
TURNS = 9  # of the event loop behind each piece: enough for an answer
WAIT = 2 * TURNS + 3  # turns that a slow answer takes; the next two pieces come before it


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.written += b"" if self.closing else bytes(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Counting(FastPathProtocol):
    """How many requests were known by their heads."""

    known = 0

    def _repeat_head(self, body: bytes) -> None:
        self.known += 1
        super()._repeat_head(body)


async def describe_request(app: Application, seen: RequestHead, body: bytes, out: ResponseWriter) -> None:
    """An endpoint that tells all it was told."""
    for _ in range(WAIT if body.startswith(b"wait") else 0):
        await asyncio.sleep(0)
    said = (seen.api_key, seen.host, seen.options, seen.has_cookie, seen.peer_address, seen.secure, body)
    if body.startswith(b"stream"):
        await out.start_stream([])
        await out.write(repr(said).encode())
        return await out.end_stream()
    await out.send_response(200, [], repr(said).encode())


async def other(scope: Any, receive: Any, send: Any) -> None:
    """Whatever is not answered in the fast lane."""
    if scope["type"] == "http":
        message = await receive()
        body = repr((scope["method"], scope["path"], message.get("body"))).encode()
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})


def lane(lessons: int) -> tuple[Counting, Wire]:
    server = ServerSettings(max_body_bytes=BODY_BYTES)
    keys = SimpleNamespace(authenticator=SimpleNamespace(authenticate_digest=lambda digest, key: None))
    services = SimpleNamespace(limiter=SimpleNamespace(has_limits=False), api_keys=keys)
    metrics = SimpleNamespace(count_rejection=lambda code: None)
    resources = SimpleNamespace(services=services, metrics=metrics, body_memory=BodyMemory())
    settings = SimpleNamespace(server=server)
    app = cast(
        "Application",
        SimpleNamespace(
            settings=settings, resources=resources, environments=None, allowed_hosts={"localhost", "a", "b"}
        ),
    )
    config = Config(other, log_config=None, lifespan="off", interface="asgi3", ws="none")
    routes = {CHAT: (describe_request, OPENAI_ERRORS), b"/v1/messages": (describe_request, OPENAI_ERRORS)}
    protocol = Counting(lambda: app, routes, WriteCoalescer(), config=config, server_state=ServerState(), app_state={})
    protocol._misses_left = lessons
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def answered(pieces: list[bytes], lessons: int, last: int = 5 * WAIT) -> tuple[bytes, bool, int]:
    """What comes of the pieces; whether the connection was closed; and how many heads were known."""
    protocol, wire = lane(lessons)
    for piece in pieces:
        if wire.closing:
            break
        if piece:
            protocol.data_received(piece)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    for _ in range(last):
        await asyncio.sleep(0)
    written, closed = wire.written, wire.closing
    protocol.connection_lost(None)
    return re.sub(rb"[0-9a-f]{32}|date: [^\r]*", b"*", written), closed, protocol.known


def message(body: bytes, lines: tuple[bytes, ...] = USUAL_LINES, first: bytes = b"POST %b HTTP/1.1" % CHAT) -> bytes:
    head = b"\r\n".join((first, *(line % len(body) if b"%d" in line else line for line in lines)))
    return head + b"\r\n\r\n" + body


HELLO = message(b"hello")


def known(*messages: bytes) -> int:
    return asyncio.run(answered(list(messages), 4))[2]


def test_what_comes_a_third_time_is_known() -> None:
    assert known(*[HELLO] * 5) == 3


@pytest.mark.parametrize("body", [b"", b"x", b"stream", b"12345678901", b"x" * BODY_BYTES])
def test_the_body_may_be_another(body: bytes) -> None:
    assert known(HELLO, HELLO, message(body), HELLO) == 2


async def test_a_body_too_large_is_refused_all_the_same() -> None:
    large = message(b"x" * (BODY_BYTES + 1))
    wire, _, known = await answered([HELLO, HELLO, large, HELLO], 4)
    assert known == 2 and re.findall(rb"HTTP/1.1 (\d+)", wire) == [b"200", b"200", b"413", b"200"]


def test_another_request_between_is_read_and_so_is_the_next() -> None:
    listed = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    assert known(HELLO, HELLO, HELLO, listed, HELLO, HELLO) == 2


@pytest.mark.parametrize("begun", [HELLO[:1], HELLO[:40], HELLO[:-5], HELLO[:-1], HELLO + HELLO[:-1]])
async def test_within_another_message_a_head_is_no_head(begun: bytes) -> None:
    pieces = [HELLO, HELLO, HELLO, begun, HELLO, HELLO]
    short, parsed = await answered(pieces, 4), await answered(pieces, 0)
    assert short[:2] == parsed[:2] and short[2] == 1


async def test_an_offer_of_another_protocol_is_read_and_so_is_what_follows() -> None:
    offer = message(b"hello", (*USUAL_LINES, b"connection: upgrade", b"upgrade: another"))
    pieces = [HELLO, HELLO, HELLO, offer, HELLO, HELLO]
    short, parsed = await answered(pieces, 4), await answered(pieces, 0)
    assert short[:2] == parsed[:2] and short[2] == 3, "before it and behind it"


def test_a_new_head_takes_the_place_of_the_old() -> None:
    others = message(b"hello", USUAL_LINES, b"POST /v1/messages HTTP/1.1")
    assert known(HELLO, HELLO, HELLO, others, others, HELLO, HELLO) == 3


def test_of_a_client_whose_every_head_is_new_soon_none_is_kept() -> None:
    fresh = [message(b"hello", (*USUAL_LINES, b"x-request: %d" % n)) for n in range(20)]
    assert known(*fresh) == 0
    assert known(*fresh, *[HELLO] * 9) == 0


async def test_a_thousand_requests_in_one_piece_are_answered_in_their_order() -> None:
    many = b"".join([message(b"wait"), *(message(b"number %d" % n) for n in range(1000))])
    wire, _, _ = await answered([many], 4, 3000)
    assert [int(n) for n in re.findall(rb"number (\d+)", wire)] == list(range(1000))


async def test_behind_the_last_request_of_a_connection_nothing_is_asked() -> None:
    last = message(b"hello", (*USUAL_LINES, b"connection: close"))
    wire, closed, _ = await answered([HELLO, last + HELLO + HELLO], 4)
    assert closed and wire.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "lines",
    [
        (*USUAL_LINES, b"connection: close"),
        (*USUAL_LINES, b"connection: keep-alive, upgrade", b"upgrade: h2c"),
        (*USUAL_LINES, b"upgrade: websocket"),
        (*USUAL_LINES, b"expect: 100-continue"),
        (*USUAL_LINES, b"expect: nothing"),
        (*USUAL_LINES, b"proxy-connection: keep-alive"),
        (*USUAL_LINES, b"te: trailers"),
        (*USUAL_LINES, b"empty:"),
        (*USUAL_LINES, b"x: \xe4"),
        (*USUAL_LINES, b"x: " + b"y" * MAX_HEAD_BYTES),
        (*USUAL_LINES[:3], b"transfer-encoding: chunked"),
        USUAL_LINES[:3],
    ],
    ids=lambda lines: lines[-1].decode("latin-1")[:30],
)
def test_a_head_that_is_not_of_the_plainest_kind_is_never_kept(lines: tuple[bytes, ...]) -> None:
    chunked = b"transfer-encoding: chunked" in lines
    body = b"" if lines == USUAL_LINES[:3] else b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"
    assert known(*[message(body, lines)] * 6) == 0


def test_a_kept_alive_connection_may_say_so() -> None:
    assert known(*[message(b"hello", (*USUAL_LINES, b"Connection: Keep-Alive"))] * 6) == 4


SPELT = message(b"12345", (b"Host: localhost:1", b"Content-Length:  5", b"x: content-length: 5"))


def test_a_length_is_found_however_it_is_spelt() -> None:
    assert known(*[SPELT] * 6) == 4


@pytest.mark.parametrize(
    "data",
    [
        HELLO[:-1],
        HELLO + b"x",
        HELLO.replace(b": 5", b": +5"),
        HELLO.replace(b": 5", b":  5"),
        HELLO.replace(b": 5", b": 5 "),
        HELLO.replace(b": 5", b": 0x5"),
        HELLO.replace(b": 5", b": 5_0"),
        HELLO.replace(b": 5", b": "),
        HELLO.replace(b": 5", b": -5"),
        HELLO.replace(b": 5", b": \xb25"),
        HELLO.replace(b": 5", b": 0000000005"),
        HELLO.replace(b": 5", b": 5\r\ncontent-length: 5"),
        HELLO.replace(b": 5\r\n", b": 5\n"),
        HELLO.replace(b": 5\r\n\r\n", b": 5\r\nx: y\r\n\r\n"),
        HELLO.replace(b"POST", b"post"),
        b"\r\n" + HELLO,
        b"",
    ],
)
def test_one_byte_more_or_less_and_it_is_another_head(data: bytes) -> None:
    headers = [(name, value) for name, value in (line.split(b": ") for line in HELLO.split(b"\r\n")[1:-2])]
    head = cacheable_head(HELLO, CHAT, headers)
    assert head is not None and head.match_body(HELLO) == b"hello" and head.match_body(data) is None


def test_a_head_is_only_kept_as_the_parser_read_it() -> None:
    headers = [(name, value) for name, value in (line.split(b": ") for line in HELLO.split(b"\r\n")[1:-2])]
    assert isinstance(cacheable_head(HELLO, CHAT, headers), CachedHead)
    assert cacheable_head(HELLO, b"/v1/messages", headers) is None
    assert cacheable_head(HELLO, CHAT, headers[:-1]) is None
    assert cacheable_head(HELLO, CHAT, [*headers[:-1], (b"content-length", b"6")]) is None
    assert cacheable_head(HELLO, CHAT, [(b"host", b"evil"), *headers[1:]]) is None


LINES = st.sampled_from([
    USUAL_LINES,
    USUAL_LINES,
    USUAL_LINES,
    USUAL_LINES[::-1],
    (*USUAL_LINES, b"connection: keep-alive"),
    (*USUAL_LINES, b"Connection: close"),
    (*USUAL_LINES, b"connection: upgrade", b"upgrade: h2c"),
    (*USUAL_LINES, b"connection: upgrade", b"upgrade: websocket"),
    (*USUAL_LINES, b"expect: 100-continue"),
    (*USUAL_LINES, b"transfer-encoding: chunked"),
    (*USUAL_LINES, b"content-length: 3"),
    (*USUAL_LINES[:3], b"transfer-encoding: chunked"),
    (*USUAL_LINES[:3], b"content-length: 0%d"),
    (*USUAL_LINES[:3], b"content-length: +%d"),
    (*USUAL_LINES[:3], b"content-length: %d "),
    (*USUAL_LINES[:3], b"content-length:\t%d"),
    (*USUAL_LINES[:3], b"content-length : %d"),
    (*USUAL_LINES[:3], b"content-length: %d\n"),
    (*USUAL_LINES[:3], b" content-length: %d"),
    (*USUAL_LINES[:3], b"content-length: %d, %d"),
    (*USUAL_LINES[:3], b"content-length: 99999999999999999999"),
    (*USUAL_LINES[:3], b"x: content-length: %d"),
    USUAL_LINES[:3],
])  # fmt: skip
FIRST = st.sampled_from([b"POST %b HTTP/1.1" % CHAT] * 6 + [
    b"POST /v1/messages HTTP/1.1", b"GET /v1/models HTTP/1.1", b"POST %b HTTP/1.0" % CHAT, b"PUT %b HTTP/1.1" % CHAT,
    b"POST %b?x HTTP/1.1" % CHAT, b"POST %b  HTTP/1.1" % CHAT,
])  # fmt: skip
BODIES = st.sampled_from([b"hello", b"", b"wait a little", b"stream it", b"x" * (BODY_BYTES + 1), b"\r\n\r\n", HELLO,
                          b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"content-length: 5\r\n\r\n"])  # fmt: skip
MESSAGES = st.builds(lambda body, lines, first: _said(body, lines, first), BODIES, LINES, FIRST)
STRAY = st.sampled_from([b"\r\n", b"\n", b"\r", b"X", b"\0", HELLO[:40], HELLO[:-3]])


def _said(body: bytes, lines: tuple[bytes, ...], first: bytes) -> bytes:
    head = [first, *(line.replace(b"%d", b"%d" % len(body)) for line in lines)]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@pytest.mark.long
@examples(400)
@given(st.lists(st.one_of(st.just(HELLO), MESSAGES, STRAY, STRAY), min_size=2, max_size=7), st.data())
def test_a_connection_that_knows_heads_answers_as_one_that_parses_every_one(said: list[bytes], data: Any) -> None:
    """Messages good and bad, one behind the other, whole or cut anywhere; those that wait are met by the next."""
    pieces = [HELLO] * data.draw(st.sampled_from([2, 2, 2, 0]))
    for each in said if data.draw(st.booleans()) else [b"".join(said)]:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(each)), max_size=data.draw(st.sampled_from([0, 0, 1, 3])))))
        pieces += [each[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(each)], strict=True)]
    short, parsed = asyncio.run(answered(pieces, 4)), asyncio.run(answered(pieces, 0))
    assert parsed[2] == 0 and short[:2] == parsed[:2]
