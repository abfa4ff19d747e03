"""Everything a client can get wrong, by mistake or by malice: a clear no in OpenAI's shape, and the server lives on."""

from __future__ import annotations

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import CHAT, Line, question, refused
from tests.running_server import Served

DEEP = 100_000


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
def test_a_body_that_is_no_chat_is_refused_and_the_field_is_named(
    server: Served, body: bytes, param: str | None
) -> None:
    error = refused(server.ask(CHAT, body, method="POST"), 400, "bad_body")
    assert error["param"] == param
    assert param is None or param in error["message"]


@pytest.mark.parametrize("nest", ["messages", "unknown", "tools", "stream_options", "sizewise", "metadata"])
@pytest.mark.parametrize("depth", [500, 990, 1_100, DEEP])
def test_deep_nesting_exhausts_nobody(server: Served, nest: str, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    value = b'{"include_usage": true, "x": ' + deep + b"}" if nest == "stream_options" else deep
    body = question().replace(b'"messages"', b'"%b": %b, "messages"' % (nest.encode(), value))
    if nest == "messages":
        body = b'{"model": "echo/small", "messages": %b}' % deep
    assert server.ask(CHAT, body).status in (200, 400)


def test_a_field_said_twice_is_refused(server: Served, upstream: FakeOpenAI) -> None:
    already = len(upstream.received.bodies)
    error = refused(server.ask(CHAT, b'{"model": "nonsense", ' + question(model="whole/well")[1:]), 400, "bad_body")
    assert error["param"] == "model" and "nonsense" not in error["message"]
    assert len(upstream.received.bodies) == already


@pytest.mark.parametrize("where", ["model", "content", "unknown"])
def test_half_a_surrogate_pair_breaks_nothing(server: Served, where: str) -> None:
    broken = '"\\ud800"'
    text = {"model": broken, "content": '"hi"', "unknown": '"x"'} | {where: broken}
    if where != "model":
        text["model"] = '"whole/well"'
    said = f'[{{"role": "user", "content": {text["content"]}}}]'
    body = f'{{"model": {text["model"]}, "messages": {said}, "u": {text["unknown"]}}}'
    answer = server.ask(CHAT, body.encode())
    assert answer.status in (200, 400, 404), answer.body


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/graphql"])
def test_a_body_of_ten_megabytes_is_too_large_and_the_connection_stays_sane(
    server: Served,
    chunked: bool,
    path: str,
) -> None:
    large = question("x" * 10_000_000)
    with Line(server) as line:
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


def test_a_client_that_asks_first_is_told_before_it_sends_ten_megabytes(server: Served) -> None:
    with Line(server) as line:
        line.say(line.request(CHAT, b"", "content-length: 10000000", "expect: 100-continue"))
        assert line.head()[0] == 413


def test_a_prompt_longer_than_the_window_is_refused_with_the_window(server: Served) -> None:
    prompt = "word " * 200_000
    error = refused(server.chat("echo/narrow", prompt), 400, "context_length_exceeded")
    assert "4096 prompt tokens" in error["message"] and "word word" not in error["message"]
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
        ("flow:triage", "sizewise flow list"),
    ],
    ids=lambda text: str(text)[:20],
)  # fmt: skip
def test_an_unknown_model_is_a_404_that_names_the_nearest(server: Served, name: str, hint: str) -> None:
    error = refused(server.chat(name), 404, "model_not_found")
    assert hint in error["hint"] and error["param"] == "model"
    assert len(error["message"]) < 300


def test_a_name_that_two_providers_have_is_refused_with_both(server: Served) -> None:
    error = refused(server.chat("well"), 404, "model_not_found")
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
        {"min_window": 0},
        {"online": "maybe"},
        {"policy": "p" * 201},
        {"session": "s" * 201},
        [],
        "cheap",
        7,
    ],
    ids=str,
)  # fmt: skip
def test_a_wish_that_we_do_not_understand_is_refused_in_words(server: Served, wish: object) -> None:
    error = refused(server.chat("echo/small", sizewise=wish), 400, "bad_body")
    assert error["param"] == "sizewise"
    assert "max_cost_usd" in error["hint"], "the known ones are listed"


@pytest.mark.parametrize("header", ["polcy: a", "max-ms: -1", "online:", "max-ms: 5\r\nx-sizewise-max-ms: 50"])
def test_a_header_means_the_same_as_the_wish_and_is_refused_the_same(server: Served, header: str) -> None:
    with Line(server) as line:
        line.say(line.request(CHAT, question(), f"x-sizewise-{header}"))
        refused(line.answer(), 400, "bad_body")


EDGES = [None, {}, {"max_ms": 10**18}, {"max_cost_usd": "1"}, {"policy": "default"}]


@pytest.mark.parametrize("wish", EDGES, ids=str)
def test_wishes_at_the_edge_are_fine(server: Served, wish: object) -> None:
    assert server.chat("auto", sizewise=wish).status == 200


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
    server: Served,
    upstream: FakeOpenAI,
    header: str | None,
    body: str | None,
    allowed: bool,
) -> None:
    seen = len(upstream.received.bodies)
    wish = {} if body is None else {"sizewise": {"data_class": body}}
    lines = [] if header is None else [f"x-sizewise-data-class: {header}"]
    with Line(server) as line:
        line.say(line.request(CHAT, question("tell nobody", "far/well", **wish), *lines))
        answer = line.answer()
    assert (answer.status == 200) is allowed, answer.body
    assert len(upstream.received.bodies) == seen + allowed, "what is refused never leaves"


# ---- keys, hosts, paths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/models", "/v1/models/auto", "/metrics"])
@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer nonsense", "Basic dTpw", "Bearer \xe4", f"Bearer {'k' * 9999}"])
def test_every_endpoint_but_health_asks_for_a_key(server: Served, path: str, sent: str) -> None:
    method = "POST" if path in (CHAT, "/v1/embeddings") else "GET"
    with Line(server) as line:
        line.say(line.request(path, question() if method == "POST" else b"", f"authorization: {sent}", method=method))
        answer = line.answer()
    error = refused(answer, 401, "invalid_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "nonsense" not in answer.body.decode() and "sizewise keys" in error["hint"]


def test_a_wrong_key_is_noticed_before_a_wrong_body(server: Served) -> None:
    refused(server.ask(CHAT, b"{", key="nonsense"), 401, "invalid_api_key")


def test_the_key_may_also_come_as_x_api_key(server: Served) -> None:
    assert server.ask("/v1/models", key=None, x_api_key=server.key).status == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/graphql"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example:8080", "[::2]"])
def test_a_foreign_host_name_is_turned_away_lest_a_web_page_ask_through_the_browser(
    server: Served,
    path: str,
    host: str,
) -> None:
    method = "GET" if path == "/v1/models" else "POST"
    with Line(server) as line:
        line.say(line.request(path, question() if method == "POST" else b"", f"host: {host}", method=method))
        answer = line.answer()
    assert answer.status == 403 and b"hosts" in answer.body, answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:8080"])
def test_this_machine_s_own_names_are_answered(server: Served, host: str) -> None:
    with Line(server) as line:
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
        ("PUT", "/v1/files", 405, "GET or POST"),
        ("PUT", "/v1/files/file-1", 405, "GET or DELETE"),
        ("POST", "/v1/responses/resp_1", 405, "GET or DELETE"),
    ],
)
def test_a_wrong_path_or_method_says_which_is_right(
    server: Served,
    method: str,
    path: str,
    status: int,
    word: str,
) -> None:
    with Line(server) as line:
        line.say(line.request(path, method=method))
        answer = line.answer()
    error = refused(answer, status, "not_found" if status == 404 else "bad_request")
    assert word in error["hint"], error
    assert (answer.headers.get("allow") == word.replace(" or ", ", ")) is (status == 405)


def test_head_is_get_without_the_words(server: Served) -> None:
    connection = server.connection()
    connection.request("HEAD", "/healthz")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.request("GET", "/healthz")  # the same connection is good for more
    assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.close()
