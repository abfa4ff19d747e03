"""HTTP as it is really spoken, well and badly: pipelines, drips, upgrades, nonsense, and clients that leave."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import CHAT, Line, booked, frames, question, refused, words
from tests.running_server import Served, until

POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"


def test_one_connection_serves_many_requests_good_and_bad(server: Served) -> None:
    with Line(server) as line:
        for number in range(5):
            line.say(line.request(CHAT, question(f"number {number}")))
            assert f"number {number}" in line.answer().body.decode()
            line.say(line.request(CHAT, b"{"))
            refused(line.answer(), 400, "bad_body")
            line.say(line.request(CHAT, question(f"stream {number}", stream=True)))
            assert words(frames(line.answer().body)) == f"stream {number}"
            line.say(line.request("/v1/models", method="GET"))
            assert line.answer().status == 200


def test_requests_sent_all_at_once_are_answered_in_their_order(server: Served) -> None:
    with Line(server) as line:
        slow = line.request(CHAT, question("first [[slow 0.1]]"))
        stream = line.request(CHAT, question("second [[pace 0.01]]", stream=True))
        listed = line.request("/v1/models", method="GET")
        bad = line.request(CHAT, b"{")
        last = line.request(CHAT, question("last"))
        line.say(slow + stream + listed + bad + last)
        assert b"first" in line.answer().body
        assert words(frames(line.answer().body)) == "second"
        assert b'"object":"list"' in line.answer().body
        refused(line.answer(), 400, "bad_body")
        assert b"last" in line.answer().body


def test_a_body_too_large_waits_for_its_turn_behind_a_slow_answer(server: Served) -> None:
    with Line(server) as line:
        line.say(line.request(CHAT, question("first [[slow 0.2]]")))
        line.say(line.request(CHAT, question("x" * 9_000_000)))
        assert b"first" in line.answer().body
        refused(line.answer(), 413, "body_too_large")


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings", "/mcp"])
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, ("authorization: Bearer nonsense", "content-length: 8000000")),
        (401, ("authorization: nothing", "transfer-encoding: chunked")),
        (401, ("authorization: nothing", "content-length: 8000000", "expect: 100-continue")),
        (403, ("host: elsewhere.example", "content-length: 8000000")),
        (413, ("content-length: 1000000000",)),
        (413, ("content-length: 1000000000", "expect: 100-continue")),
    ],
)
def test_what_the_head_decides_does_not_wait_for_the_body(
    server: Served, path: str, status: int, headers: tuple[str, ...]
) -> None:
    """A declared gigabyte waited 60 s for its 413, and bodies of callers without a key were kept whole."""
    with Line(server, timeout=60) as line:
        line.say(line.request(path, b"", *headers, length=False))
        assert line.answer().status == status


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings"])
def test_the_rest_of_a_refused_body_is_read_and_dropped(server: Served, path: str) -> None:
    body = question("x" * 300_000)
    with Line(server) as line:
        line.say(line.request(path, body, "authorization: Bearer nonsense")[:-1])
        refused(line.answer(), 401, "invalid_api_key")
        line.say(body[-1:])
        line.say(line.request(CHAT, question("and on")))
        assert b"and on" in line.answer().body


def test_a_refused_body_waits_for_its_turn_behind_a_slow_answer(server: Served) -> None:
    with Line(server) as line:
        line.say(line.request(CHAT, question("first [[slow 0.2]]")))
        line.say(line.request(CHAT, b"", "authorization: Bearer nonsense", "content-length: 9"))
        assert b"first" in line.answer().body
        refused(line.answer(), 401, "invalid_api_key")


def test_http_1_0_gets_a_plain_body_and_a_closed_connection(fast: Served) -> None:
    for stream in (False, True):
        with Line(fast) as line:
            line.say(line.request(CHAT, question("old friend", stream=stream), version="1.0"))
            answer = line.answer()
            assert "transfer-encoding" not in answer.headers, "which HTTP/1.0 does not know"
            assert "old friend" in (words(frames(answer.body)) if stream else answer.body.decode())
            assert line.ended()


def test_a_client_without_a_host_header_is_no_browser_and_is_answered(server: Served) -> None:
    with Line(server) as line:
        head = f"POST {CHAT} HTTP/1.0\r\nauthorization: Bearer {server.key}\r\n"
        line.say(f"{head}content-length: {len(question())}\r\n\r\n".encode() + question())
        assert line.answer().status == 200


def test_connection_close_is_kept(server: Served) -> None:
    with Line(server) as line:
        line.say(line.request(CHAT, question(), "connection: close"))
        assert line.answer().headers["connection"] == "close"
        assert line.ended()


def test_expect_100_continue_is_answered_before_the_body_is_sent(server: Served) -> None:
    body = question("patience")
    with Line(server) as line:
        line.say(line.request(CHAT, b"", "expect: 100-continue", f"content-length: {len(body)}"))
        assert line.head()[0] == 100
        line.say(body)
        assert b"patience" in line.answer().body


def test_a_body_that_drips_in_byte_by_byte_is_understood(server: Served) -> None:
    with Line(server) as line:
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in line.request(CHAT, question("drip")):
            line.say(bytes([byte]))
        assert b"drip" in line.answer().body


def test_a_chunked_body_is_understood(server: Served) -> None:
    body = question("in pieces")
    with Line(server) as line:
        line.say(line.request(CHAT, b"", "transfer-encoding: chunked", length=False))
        for byte in body:
            line.say(b"1\r\n%c\r\n" % byte)
        line.say(b"0\r\n\r\n")
        assert b"in pieces" in line.answer().body


def test_what_follows_a_body_is_no_header(server: Served, upstream: FakeOpenAI) -> None:
    seen = len(upstream.received.bodies)
    with Line(server) as line:
        for wrong, late in [("authorization: Bearer no", f"authorization: Bearer {server.key}"),
                            ("x-sizewise-data-class: confidential", "x-sizewise-data-class: public")]:  # fmt: skip
            body = question("x", "far/well")
            line.say(line.request(CHAT, b"", "transfer-encoding: chunked", "trailer: x", wrong, length=False))
            line.say(b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(body), body, late.encode()))
            assert line.answer().status in (401, 403)
    assert len(upstream.received.bodies) == seen


def test_an_offer_to_upgrade_to_http_2_is_passed_over(server: Served) -> None:
    with Line(server) as line:
        for _ in range(2):
            upgrade = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAA")
            line.say(line.request(CHAT, question("as Java asks"), *upgrade))
            assert b"as Java asks" in line.answer().body


OFFERS = ("TLS/1.2", "TLS/1.0, HTTP/1.1", "h2c", "foo/2", "WebSocket2", "IRC/6.9, RTA/x11")


@pytest.mark.long
@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings"])
@pytest.mark.parametrize("pieces", ["whole", "head and body", "bytes"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_post_that_offers_another_protocol_keeps_its_body(
    server: Served, offer: str, path: str, pieces: str, chunked: bool
) -> None:
    body = question("the whole body") if path == CHAT else b'{"model": "echo/vectors", "input": "the whole body"}'
    with Line(server) as line:
        offered = ("Connection: Upgrade", f"Upgrade: {offer}")
        data = line.request(path, body, *offered)
        if chunked:
            sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            data = line.request(path, sent, *offered, "transfer-encoding: chunked", length=False)
        for _ in range(2):
            cut = data.index(b"\r\n\r\n") + 4
            parts = {
                "whole": [data],
                "head and body": [data[:cut], data[cut:]],
                "bytes": [data[i : i + 1] for i in range(len(data))],
            }
            for part in parts[pieces]:
                line.say(part)
            answer = line.answer()
            assert answer.status == 200 and (path != CHAT or b"the whole body" in answer.body), answer.body


def test_offers_behind_each_other_are_answered_in_their_order(server: Served) -> None:
    with Line(server) as line:
        asked = [
            line.request(CHAT, question(f"number {n}"), "connection: upgrade", "upgrade: TLS/1.2") for n in range(9)
        ]
        line.say(b"".join(asked))
        for number in range(9):
            assert f"number {number}".encode() in line.answer().body


def test_a_get_that_offers_another_protocol_is_answered(server: Served) -> None:
    with Line(server) as line:
        for _ in range(2):
            line.say(line.request("/v1/models", b"", "connection: upgrade", "upgrade: TLS/1.2", method="GET"))
            assert line.answer().status == 200


def test_a_question_that_offers_a_websocket_is_answered_and_the_server_lives(server: Served) -> None:
    offer = ("connection: upgrade", "upgrade: websocket", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==")
    with Line(server) as line:
        line.say(line.request(CHAT, question("x"), *offer, "sec-websocket-version: 13"))
        assert line.answer().status == 400
    with Line(server) as line:
        line.say(line.request(CHAT, question("still here")))
        assert b"still here" in line.answer().body


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: -5\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_400_and_a_closed_connection(server: Served, data: bytes) -> None:
    with Line(server) as line:
        line.say(data)
        refused(line.answer(), 400, "bad_request")
        assert line.ended()


@pytest.mark.parametrize("endless", ["one header", "many headers", "the path"])
def test_a_head_without_end_is_cut_off(server: Served, endless: str) -> None:
    start = b"GET /" if endless == "the path" else b"GET / HTTP/1.1\r\n"
    start += b"x: " if endless == "one header" else b""
    more = b"x: %b\r\n" % (b"y" * 1000) if endless == "many headers" else b"y" * 1000
    with Line(server) as line, pytest.raises(OSError):
        line.say(start)
        for _ in range(20_000):
            line.say(more)


def test_a_header_cannot_be_smuggled_into_the_answer(server: Served) -> None:
    for name in ("a\r\nset-cookie: x=1", "echo/small\r\n\r\nHTTP/1.1 200 OK", "auto:\u2028\x00"):
        answer = server.chat(name)
        assert answer.status == 404 and "set-cookie" not in answer.headers
    with Line(server) as line:
        line.say(line.request(CHAT, question(), "x-sizewise-trace: a\tb", "traceparent: 00-zz"))
        assert len(line.answer().headers["x-sizewise-trace"]) == 32


# ---- clients that leave ---------------------------------------------------------------------------------------------


def test_a_client_that_leaves_in_mid_body_leaves_nothing_behind(server: Served) -> None:
    for _ in range(20):
        with Line(server) as line:
            line.say(line.request(CHAT, b"", "content-length: 100000") + b'{"model": ')
    until(lambda: in_flight(server) == 0)
    assert server.chat("echo/small").status == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["patient/hang", "patient/hang-mid"])
def test_when_a_client_leaves_the_upstream_sees_it_leave_and_it_is_booked(
    server: Served,
    upstream: FakeOpenAI,
    stream: bool,
    model: str,
) -> None:
    left, asked = upstream.received.disconnects, len(upstream.received.bodies)
    trace = f"{hash((server.url, stream, model)) & (1 << 128) - 1:032x}"
    with Line(server) as line:
        line.say(line.request(CHAT, question("x", model, stream=stream), f"x-sizewise-trace: {trace}"))
        if stream and model.endswith("mid"):
            assert line.head()[0] == 200 and b"Hel" in line.chunk()
        until(lambda: len(upstream.received.bodies) > asked)
    until(lambda: upstream.received.disconnects > left)
    until(lambda: booked(server.home, trace))
    (record,) = booked(server.home, trace)
    assert (record["status"], record["error"]) == (499, "cancelled")
    assert [(each["result"], each["estimated"]) for each in record["tries"]] == [("cancelled", 1)]
    until(lambda: in_flight(server) == 0)


def test_when_a_client_leaves_the_queue_of_its_connection_is_forgotten(server: Served) -> None:
    with Line(server) as line:
        line.say(line.request(CHAT, question("[[hang]]")) + line.request(CHAT, question("second")))
        until(lambda: in_flight(server) == 1)
    until(lambda: in_flight(server) == 0)


@pytest.mark.long
def test_a_client_that_reads_slowly_gets_everything_in_the_end(server: Served) -> None:
    with Line(server) as line:
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        line.say(line.request(CHAT, question("[[repeat 10000]] word", stream=True)))
        until(lambda: in_flight(server) == 1)  # it waits for us, and does not pile up what we do not read
        assert words(frames(line.answer().body)) == "word" * 10_000
    until(lambda: in_flight(server) == 0)


def in_flight(server: Served) -> int:
    """As /metrics counts them."""
    text = server.ask("/metrics").body.decode()
    return int(float(text.partition("\nsizewise_requests_in_flight ")[2].partition("\n")[0]))


def test_the_python_standard_library_is_content(server: Served) -> None:
    connection: http.client.HTTPConnection = server.connection()
    for _ in range(3):
        connection.request("POST", CHAT, question("plain"), {"Authorization": f"Bearer {server.key}"})
        shown: dict[str, Any] = json.loads(connection.getresponse().read())
        assert shown["choices"][0]["message"]["content"] == "plain"
    connection.close()
