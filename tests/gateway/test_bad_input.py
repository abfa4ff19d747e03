"""Everything a client can get wrong, by mistake or by malice: a clear no in OpenAI's shape, and the server lives on."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest

from sizewise.testing.upstream import Upstream
from tests.gateway.doors import CHAT, Line, booked, frames, question, words
from tests.served import Answer, Served, until

DEEP = 100_000
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"


def refused(answer: Answer, status: int, code: str) -> dict[str, str]:
    """The error of an answer, once it is sure that it has OpenAI's shape and all that ours adds."""
    assert (answer.status, answer.error["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.error) == {"message", "type", "param", "code", "hint", "docs"}
    assert answer.error["message"] and answer.error["hint"]
    assert code == "bad_request" or len(answer.headers["x-request-id"]) == 32
    return answer.error


def hello(**more: object) -> bytes:
    return question(**more)  # type: ignore[arg-type]  # fields of a body


# ---- the body -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"nonsense", None),
        (b'{"model": "echo/small", "messages": [', None),
        (b"[]", None),
        (b"null", None),
        (b'"text"', None),
        (b"{}", None),
        (b"\xff\xfe{}", None),
        (question().replace(b"Hello", b"H\xe4llo"), None),
        (question() + b" trailing", None),
        (b"\xef\xbb\xbf" + question(), None),
        (hello(messages=[]), "messages"),
        (hello(messages="hi"), "messages"),
        (hello(messages=[{"content": "hi"}]), "messages[0]"),
        (hello(messages=[{"role": "robot", "content": "hi"}]), "messages[0].role"),
        (hello(messages=[{"role": "user", "content": 7}]), "messages[0].content"),
        (hello(messages=None), "messages"),
        (question().replace(b'"echo/small"', b"7"), "model"),
        (question().replace(b'"echo/small"', b"null"), "model"),
        (hello(temperature="hot"), "temperature"),
        (hello(temperature=-1), "temperature"),
        (hello(top_p=1.5), "top_p"),
        (hello(max_tokens=0), "max_tokens"),
        (hello(max_tokens=1.5), "max_tokens"),
        (hello(max_completion_tokens=-3), "max_completion_tokens"),
        (hello(n=1_000_000_000), "n"),
        (hello(n=0), "n"),
        (hello(stream="yes"), "stream"),
        (hello(stream_options=[]), "stream_options"),
        (hello(stop=7), "stop"),
        (hello(seed="x"), "seed"),
        (hello(logprobs=1), "logprobs"),
        (hello(top_logprobs=21), "top_logprobs"),
        (hello(tools={}), "tools"),
        (hello(response_format="json"), "response_format"),
    ],
    ids=str,
)  # fmt: skip
def test_a_body_that_is_no_chat_is_refused_and_the_field_is_named(door: Served, body: bytes, param: str | None) -> None:
    error = refused(door.ask(CHAT, body, method="POST"), 400, "bad_body")
    assert error["param"] == param
    assert param is None or param in error["message"]


@pytest.mark.parametrize("nest", ["messages", "unknown", "tools", "stream_options", "sizewise", "metadata"])
@pytest.mark.parametrize("depth", [500, 990, 1_100, DEEP])
def test_deep_nesting_exhausts_nobody(door: Served, nest: str, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    value = b'{"include_usage": true, "x": ' + deep + b"}" if nest == "stream_options" else deep
    body = question().replace(b'"messages"', b'"%b": %b, "messages"' % (nest.encode(), value))
    if nest == "messages":
        body = b'{"model": "echo/small", "messages": %b}' % deep
    assert door.ask(CHAT, body).status in (200, 400)


def test_a_field_said_twice_has_one_meaning_for_us_and_for_the_upstream(door: Served, upstream: Upstream) -> None:
    body = b'{"model": "nonsense", ' + question(model="whole/well")[1:]
    assert door.ask(CHAT, body).status == 200
    assert upstream.seen.bodies[-1]["model"] == "well"


@pytest.mark.parametrize("where", ["model", "content", "unknown"])
def test_half_a_surrogate_pair_breaks_nothing(door: Served, where: str) -> None:
    broken = '"\\ud800"'
    text = {"model": broken, "content": '"hi"', "unknown": '"x"'} | {where: broken}
    if where != "model":
        text["model"] = '"whole/well"'
    said = f'[{{"role": "user", "content": {text["content"]}}}]'
    body = f'{{"model": {text["model"]}, "messages": {said}, "u": {text["unknown"]}}}'
    answer = door.ask(CHAT, body.encode())
    assert answer.status in (200, 400, 404), answer.body


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/graphql"])
def test_a_body_of_ten_megabytes_is_too_large_and_the_connection_stays_sane(
    door: Served, chunked: bool, path: str
) -> None:
    large = question("x" * 10_000_000)
    with Line(door) as line:
        if chunked:
            chunks = ("transfer-encoding: chunked", "content-type: application/json")
            line.say(line.request(path, b"", *chunks, length=False))
            for start in range(0, len(large), 1_000_000):
                piece = large[start : start + 1_000_000]
                line.say(b"%x\r\n%b\r\n" % (len(piece), piece))
            line.say(b"0\r\n\r\n")
        else:
            line.say(line.request(path, large, "content-type: application/json"))
        answer = line.answer()
        assert answer.status == 413, answer.body
        if path != "/graphql":
            refused(answer, 413, "body_too_large")
        assert b"8388608" in answer.body, "the limit is named"
        if answer.headers.get("connection") != "close":
            line.say(line.request(body=question("still here")))
            assert b"still here" in line.answer().body


def test_a_client_that_asks_first_is_told_before_it_sends_ten_megabytes(door: Served) -> None:
    with Line(door) as line:
        line.say(line.request(CHAT, b"", "content-length: 10000000", "expect: 100-continue"))
        assert line.head()[0] == 413


def test_a_prompt_longer_than_the_window_is_refused_with_the_window(door: Served) -> None:
    prompt = "word " * 200_000
    error = refused(door.chat("echo/narrow", prompt), 400, "context_length_exceeded")
    assert "4096 tokens" in error["message"] and "word word" not in error["message"]
    assert error["param"] == "messages"


# ---- the model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("echo/smal", "'echo/small'"),
        ("ecko/large", "'echo/large'"),
        ("autp", "'auto'"),
        ("auto:defautl", "'default'"),
        ("gpt-9", "/v1/models"),
        ("", "/v1/models"),
        ("x" * 100_000, "/v1/models"),
        ("flow:triage", "name a model"),
    ],
    ids=lambda text: str(text)[:20],
)  # fmt: skip
def test_an_unknown_model_is_a_404_that_names_the_nearest(door: Served, name: str, hint: str) -> None:
    error = refused(door.chat(name), 404, "model_not_found")
    assert hint in error["hint"] and error["param"] == "model"
    assert len(error["message"]) < 300


def test_a_name_that_two_providers_have_is_refused_with_both(door: Served) -> None:
    error = refused(door.chat("well"), 404, "model_not_found")
    assert "whole/well" in error["hint"] and "flow/well" in error["hint"]


# ---- wishes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wish",
    [
        {"polcy": "default"},
        {"data_class": "secret"},
        {"max_ms": 0},
        {"max_ms": "soon"},
        {"max_cost_usd": "cheap"},
        {"max_cost_usd": -1},
        {"max_cost_usd": 1e300},
        {"min_quality": 2},
        {"online": "maybe"},
        {"session": "s" * 201},
        [],
        "cheap",
        7,
    ],
    ids=str,
)  # fmt: skip
def test_a_wish_that_we_do_not_understand_is_refused_in_words(door: Served, wish: object) -> None:
    error = refused(door.chat("echo/small", sizewise=wish), 400, "bad_body")
    assert error["param"] == "sizewise"
    assert "max_cost_usd" in error["hint"], "the known ones are listed"


@pytest.mark.parametrize("header", ["polcy: a", "max-ms: -1", "online:", "max-ms: 5\r\nx-sizewise-max-ms: 50"])
def test_a_header_means_the_same_as_the_wish_and_is_refused_the_same(door: Served, header: str) -> None:
    with Line(door) as line:
        line.say(line.request(CHAT, question(), f"x-sizewise-{header}"))
        refused(line.answer(), 400, "bad_body")


EDGES = [None, {}, {"max_ms": 10**18}, {"max_ms": 10**30}, {"max_cost_usd": "1"}, {"policy": "default"}]


@pytest.mark.parametrize("wish", EDGES, ids=str)
def test_wishes_at_the_edge_are_fine(door: Served, wish: object) -> None:
    assert door.chat("auto", sizewise=wish).status == 200


@pytest.mark.parametrize(
    ("header", "body", "allowed"),
    [
        (None, None, True),
        ("public", None, True),
        (None, "confidential", False),
        ("confidential", None, False),
        ("confidential", "public", False),
        ("public", "confidential", False),
        ("public", "internal", True),
        ("confidential\r\nx-sizewise-data-class: public", None, False),
        ("public\r\nx-sizewise-data-class: confidential", None, False),
    ],
)
def test_a_header_can_tighten_the_class_of_the_data_and_never_loosen_it(
    door: Served, upstream: Upstream, header: str | None, body: str | None, allowed: bool
) -> None:
    seen = len(upstream.seen.bodies)
    wish = {} if body is None else {"sizewise": {"data_class": body}}
    lines = [] if header is None else [f"x-sizewise-data-class: {header}"]
    with Line(door) as line:
        line.say(line.request(CHAT, question("tell nobody", "far/well", **wish), *lines))
        answer = line.answer()
    assert (answer.status == 200) is allowed, answer.body
    assert len(upstream.seen.bodies) == seen + allowed, "what is refused never leaves"


# ---- keys, hosts, paths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/models", "/v1/models/auto", "/metrics"])
@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer nonsense", "Basic dTpw", "Bearer \xe4", f"Bearer {'k' * 9999}"])
def test_every_door_but_health_asks_for_a_key(door: Served, path: str, sent: str) -> None:
    method = "POST" if path in (CHAT, "/v1/embeddings") else "GET"
    with Line(door) as line:
        line.say(line.request(path, question() if method == "POST" else b"", f"authorization: {sent}", method=method))
        answer = line.answer()
    error = refused(answer, 401, "invalid_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "nonsense" not in answer.body.decode() and "sizewise keys" in error["hint"]


def test_a_wrong_key_is_noticed_before_a_wrong_body(door: Served) -> None:
    refused(door.ask(CHAT, b"{", key="nonsense"), 401, "invalid_api_key")


def test_the_key_may_also_come_as_x_api_key(door: Served) -> None:
    assert door.ask("/v1/models", key=None, x_api_key=door.key).status == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/graphql"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example:8080", "[::2]"])
def test_a_foreign_host_name_is_turned_away_lest_a_web_page_ask_through_the_browser(
    door: Served, path: str, host: str
) -> None:
    method = "GET" if path == "/v1/models" else "POST"
    with Line(door) as line:
        line.say(line.request(path, question() if method == "POST" else b"", f"host: {host}", method=method))
        answer = line.answer()
    assert answer.status == 403 and b"hosts" in answer.body, answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:8080"])
def test_this_machine_s_own_names_are_answered(door: Served, host: str) -> None:
    with Line(door) as line:
        line.say(line.request(CHAT, question(), f"host: {host}"))
        assert line.answer().status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/v1/chat/completion", 404, "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/", 404, "/v1/chat/completions"),
        ("POST", "/chat/completions", 404, "/v1/chat/completions"),
        ("GET", "/v1/nothing", 404, "/v1/"),
        ("GET", "/%ff%00", 404, "/"),
        ("GET", "/../../etc/passwd", 404, "/v1/"),
        ("GET", CHAT, 405, "POST"),
        ("PUT", CHAT, 405, "POST"),
        ("DELETE", "/v1/embeddings", 405, "POST"),
        ("POST", "/v1/models", 405, "GET"),
        ("POST", "/v1/models/auto", 405, "GET"),
        ("POST", "/healthz", 405, "GET"),
        ("OPTIONS", CHAT, 405, "POST"),
    ],
)
def test_a_wrong_path_or_method_says_which_is_right(
    door: Served, method: str, path: str, status: int, word: str
) -> None:
    with Line(door) as line:
        line.say(line.request(path, method=method))
        answer = line.answer()
    error = refused(answer, status, "not_found" if status == 404 else "bad_request")
    assert word in error["hint"], error
    assert (answer.headers.get("allow") == word) is (status == 405)


def test_head_is_get_without_the_words(door: Served) -> None:
    connection = door.connection()
    connection.request("HEAD", "/healthz")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.request("GET", "/healthz")  # the same connection is good for more
    assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.close()


# ---- HTTP itself ----------------------------------------------------------------------------------------------------


def test_one_connection_serves_many_requests_good_and_bad(door: Served) -> None:
    with Line(door) as line:
        for number in range(5):
            line.say(line.request(CHAT, question(f"number {number}")))
            assert f"number {number}" in line.answer().body.decode()
            line.say(line.request(CHAT, b"{"))
            refused(line.answer(), 400, "bad_body")
            line.say(line.request(CHAT, question(f"stream {number}", stream=True)))
            assert words(frames(line.answer().body)) == f"stream {number}"
            line.say(line.request("/v1/models", method="GET"))
            assert line.answer().status == 200


def test_requests_sent_all_at_once_are_answered_in_their_order(door: Served) -> None:
    with Line(door) as line:
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


def test_a_body_too_large_waits_for_its_turn_behind_a_slow_answer(door: Served) -> None:
    with Line(door) as line:
        line.say(line.request(CHAT, question("first [[slow 0.2]]")))
        line.say(line.request(CHAT, question("x" * 9_000_000)))
        assert b"first" in line.answer().body
        refused(line.answer(), 413, "body_too_large")


def test_http_1_0_gets_a_plain_body_and_a_closed_connection(fast: Served) -> None:
    for stream in (False, True):
        with Line(fast) as line:
            line.say(line.request(CHAT, question("old friend", stream=stream), version="1.0"))
            answer = line.answer()
            assert "transfer-encoding" not in answer.headers, "which HTTP/1.0 does not know"
            assert "old friend" in (words(frames(answer.body)) if stream else answer.body.decode())
            assert line.ended()


def test_a_client_without_a_host_header_is_no_browser_and_is_answered(door: Served) -> None:
    with Line(door) as line:
        head = f"POST {CHAT} HTTP/1.0\r\nauthorization: Bearer {door.key}\r\n"
        line.say(f"{head}content-length: {len(question())}\r\n\r\n".encode() + question())
        assert line.answer().status == 200


def test_connection_close_is_kept(door: Served) -> None:
    with Line(door) as line:
        line.say(line.request(CHAT, question(), "connection: close"))
        assert line.answer().headers["connection"] == "close"
        assert line.ended()


def test_expect_100_continue_is_answered_before_the_body_is_sent(door: Served) -> None:
    body = question("patience")
    with Line(door) as line:
        line.say(line.request(CHAT, b"", "expect: 100-continue", f"content-length: {len(body)}"))
        assert line.head()[0] == 100
        line.say(body)
        assert b"patience" in line.answer().body


def test_a_body_that_drips_in_byte_by_byte_is_understood(door: Served) -> None:
    with Line(door) as line:
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in line.request(CHAT, question("drip")):
            line.say(bytes([byte]))
        assert b"drip" in line.answer().body


def test_a_chunked_body_is_understood(door: Served) -> None:
    body = question("in pieces")
    with Line(door) as line:
        line.say(line.request(CHAT, b"", "transfer-encoding: chunked", length=False))
        for byte in body:
            line.say(b"1\r\n%c\r\n" % byte)
        line.say(b"0\r\n\r\n")
        assert b"in pieces" in line.answer().body


def test_what_follows_a_body_is_no_header(door: Served, upstream: Upstream) -> None:
    seen = len(upstream.seen.bodies)
    with Line(door) as line:
        for wrong, late in [("authorization: Bearer no", f"authorization: Bearer {door.key}"),
                            ("x-sizewise-data-class: confidential", "x-sizewise-data-class: public")]:  # fmt: skip
            body = question("x", "far/well")
            line.say(line.request(CHAT, b"", "transfer-encoding: chunked", "trailer: x", wrong, length=False))
            line.say(b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(body), body, late.encode()))
            assert line.answer().status in (401, 403)
    assert len(upstream.seen.bodies) == seen


def test_an_offer_to_upgrade_to_http_2_is_passed_over(door: Served) -> None:
    with Line(door) as line:
        for _ in range(2):
            upgrade = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAA")
            line.say(line.request(CHAT, question("as Java asks"), *upgrade))
            assert b"as Java asks" in line.answer().body


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
def test_what_is_no_http_gets_a_400_and_a_closed_connection(door: Served, data: bytes) -> None:
    with Line(door) as line:
        line.say(data)
        refused(line.answer(), 400, "bad_request")
        assert line.ended()


@pytest.mark.parametrize("endless", ["one header", "many headers", "the path"])
def test_a_head_without_end_is_cut_off(door: Served, endless: str) -> None:
    start = b"GET /" if endless == "the path" else b"GET / HTTP/1.1\r\n"
    start += b"x: " if endless == "one header" else b""
    more = b"x: %b\r\n" % (b"y" * 1000) if endless == "many headers" else b"y" * 1000
    with Line(door) as line, pytest.raises(OSError):
        line.say(start)
        for _ in range(20_000):
            line.say(more)


def test_a_header_cannot_be_smuggled_into_the_answer(door: Served) -> None:
    for name in ("a\r\nset-cookie: x=1", "echo/small\r\n\r\nHTTP/1.1 200 OK", "auto:\u2028\x00"):
        answer = door.chat(name)
        assert answer.status == 404 and "set-cookie" not in answer.headers
    with Line(door) as line:
        line.say(line.request(CHAT, question(), "x-sizewise-trace: a\tb", "traceparent: 00-zz"))
        assert len(line.answer().headers["x-sizewise-trace"]) == 32


# ---- clients that leave ---------------------------------------------------------------------------------------------


def test_a_client_that_leaves_in_mid_body_leaves_nothing_behind(door: Served) -> None:
    for _ in range(20):
        with Line(door) as line:
            line.say(line.request(CHAT, b"", "content-length: 100000") + b'{"model": ')
    until(lambda: in_flight(door) == 0)
    assert door.chat("echo/small").status == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["patient/hang", "patient/hang-mid"])
def test_when_a_client_leaves_the_upstream_sees_it_leave_and_it_is_booked(
    door: Served, upstream: Upstream, stream: bool, model: str
) -> None:
    left, asked = upstream.seen.left, len(upstream.seen.bodies)
    trace = f"{hash((door.url, stream, model)) & (1 << 128) - 1:032x}"
    with Line(door) as line:
        line.say(line.request(CHAT, question("x", model, stream=stream), f"x-sizewise-trace: {trace}"))
        if stream and model.endswith("mid"):
            assert line.head()[0] == 200 and b"Hel" in line.chunk()
        until(lambda: len(upstream.seen.bodies) > asked)
    until(lambda: upstream.seen.left > left, 3)
    until(lambda: booked(door.home, trace), 3)
    (record,) = booked(door.home, trace)
    assert (record["status"], record["error"]) == (499, "cancelled")
    assert [(each["result"], each["estimated"]) for each in record["tries"]] == [("cancelled", 1)]
    until(lambda: in_flight(door) == 0)


def test_when_a_client_leaves_the_queue_of_its_connection_is_forgotten(door: Served) -> None:
    with Line(door) as line:
        line.say(line.request(CHAT, question("[[hang]]")) + line.request(CHAT, question("second")))
        until(lambda: in_flight(door) == 1)
    until(lambda: in_flight(door) == 0)


def test_a_client_that_reads_slowly_gets_everything_in_the_end(door: Served) -> None:
    with Line(door) as line:
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        line.say(line.request(CHAT, question("[[repeat 10000]] word", stream=True)))
        until(lambda: in_flight(door) == 1)  # it waits for us, and does not pile up what we do not read
        assert words(frames(line.answer().body)) == "word" * 10_000
    until(lambda: in_flight(door) == 0)


def in_flight(door: Served) -> int:
    """As /metrics counts them."""
    text = door.ask("/metrics").body.decode()
    return int(float(text.partition("\nsizewise_requests_in_flight ")[2].partition("\n")[0]))


def test_the_python_standard_library_is_content(door: Served) -> None:
    connection: http.client.HTTPConnection = door.connection()
    for _ in range(3):
        connection.request("POST", CHAT, question("plain"), {"Authorization": f"Bearer {door.key}"})
        shown: dict[str, Any] = json.loads(connection.getresponse().read())
        assert shown["choices"][0]["message"]["content"] == "plain"
    connection.close()
