"""Everything has a bound: numbers, lists, depth, bytes, words of GraphQL; what goes beyond is a quick and clear no."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import ExitStack
from functools import cache, partial
from typing import Any

import pytest

from tests.gateway.server_harness import CHAT, Line
from tests.graphql.graphql_client import admin, graphql
from tests.growth import check_ratio
from tests.lessons.conftest import cpu_seconds, memory
from tests.running_server import Served

HUGE = 10**30
PATHS = (
    CHAT,
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/responses",
    "/v1/messages/count_tokens",
    "/graphql",
)


def asked(served: Served, path: str, body: object, **headers: Any) -> int:
    key = admin(served) if path == "/graphql" else ""
    return served.ask(path, body, key=key, **headers).status


def check_no_dearer(served: Served, path: str, body: bytes, plain: bytes) -> None:
    """The server computes as long for `body` as for `plain`, give or take: no more than grows with the bytes."""
    check_ratio(
        lambda: asked(served, path, body),
        lambda: asked(served, path, plain),
        at_most=30,
        clock=partial(cpu_seconds, served.process.pid),
        no_time_s=0.03,  # /proc counts in steps of 10 ms
    )


SAID: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
CHAT_BODIES: tuple[dict[str, Any], ...] = (
    {"n": 1_000_000_000},
    {"n": HUGE},
    {"n": -1},
    {"max_tokens": HUGE},
    {"max_completion_tokens": 10**9},
    {"top_logprobs": 10**9, "logprobs": True},
    {"temperature": 1e308},
    {"temperature": float("1e30")},
    {"messages": [{"role": "user", "content": None}] * 100_001},
    {"sizewise": {"max_ms": -1}},
    {"sizewise": {"max_cost_usd": "9" * 400}},
    {"sizewise": {"session": "s" * 10_000}},
)


@pytest.mark.parametrize("wrong", CHAT_BODIES, ids=lambda body: str(body)[:40])
def test_20_no_number_and_no_list_is_without_a_bound(served: Served, wrong: dict[str, Any]) -> None:
    assert asked(served, CHAT, {"model": "echo/small", "messages": SAID, **wrong}) == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"max_tokens": HUGE, "messages": SAID}),
        ("/v1/messages", {"max_tokens": 9, "top_k": -1, "messages": SAID}),
        ("/v1/responses", {"input": "hi", "max_output_tokens": HUGE}),
        ("/v1/responses", {"input": "hi", "top_logprobs": 1_000}),
        ("/v1/completions", {"prompt": "hi", "max_tokens": HUGE}),
        ("/v1/completions", {"prompt": ["hi"] * 2_049}),
        ("/v1/embeddings", {"input": "hi", "dimensions": HUGE}),
        ("/v1/embeddings", {"input": ["hi"] * 2_049}),
        ("/v1/embeddings", {"input": [-1]}),
        ("/graphql", {"query": "{ records(last: 1000000000) { rows { trace } } }"}),
        ("/graphql", {"query": "{ savings(days: 1e300) { policy } }"}),
        ("/graphql", {"query": "query($x: Int) { records(last: $x) { rows { trace } } }", "variables": {"x": HUGE}}),
    ],
)  # fmt: skip
def test_20_on_no_endpoint(served: Served, path: str, body: dict[str, Any]) -> None:
    assert asked(served, path, {"model": "echo/vectors" if path.endswith("gs") else "echo/small", **body}) == 400


@pytest.mark.parametrize("digits", [400, 5_000, 500_000])
@pytest.mark.parametrize("path", PATHS)
def test_20_a_number_as_long_as_a_book_is_read_in_no_time(served: Served, path: str, digits: int) -> None:
    number = b"9" * digits
    names = (b"seed", b"max_tokens", b"dimensions", b"n", b"top_k", b"unknown")
    numbers = b", ".join(b'"%b": %b' % (name, number) for name in names)
    body = b'{"model": "echo/small", "input": "x", "query": "{ x }", "messages": [], "variables": {%b}, %b}'
    body %= numbers, numbers
    assert asked(served, path, body) in (200, 400)
    check_no_dearer(served, path, body, body.replace(number, b'"%b"' % number))


@pytest.mark.parametrize(
    "tools",
    [
        [7],
        [[]],
        ["x"],
        [{}],
        [{"type": "function"}],
        [{"type": "function", "function": []}],
        [None],
        [{"function": {"name": ["x"]}}],
    ],
)
def test_20_tools_that_are_none_break_nothing(served: Served, tools: list[object]) -> None:
    for path, more in ((CHAT, {}), ("/v1/messages", {"max_tokens": 9}), ("/v1/responses", {"input": "hi"})):
        body = {"model": "echo/small", "messages": SAID, "tools": tools, **more}
        assert asked(served, path, body) in (200, 400)


def test_20_a_picture_that_is_a_bomb_is_opened_by_nobody(served: Served) -> None:
    """A picture of 60,000 x 60,000 points in a kilobyte, gigabytes when it is opened; a video of a million frames."""
    png = "iVBORw0KGgoAAAANSUhEUgAA6mAAAOpgCAYAAAD" + "A" * 900
    before = memory(served)
    for url in (f"data:image/png;base64,{png}", "data:video/jpeg;base64," + "AA==," * 1_000_000):
        parts = [{"type": "image_url", "image_url": {"url": url}}]
        assert asked(served, CHAT, {"model": "auto", "messages": [{"role": "user", "content": parts}]}) < 500
    assert memory(served) - before < 200e6


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"x"', b"true", b"{}", b"[[]]", b"[{}]"])
def test_a_body_that_is_no_object_is_a_400(served: Served, path: str, body: bytes) -> None:
    """LiteLLM answered 500 to `[]`."""
    assert asked(served, path, body) == 400


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("piece", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_20_depth_exhausts_nobody(served: Served, path: str, piece: tuple[bytes, bytes]) -> None:
    for depth in (300, 990, 200_000):
        deep = piece[0] * depth + b"1" + piece[1] * depth
        for name in (b"messages", b"input", b"tools", b"metadata", b"variables", b"sizewise"):
            body = b'{"model": "echo/small", "query": "{ roles }", "max_tokens": 9, %b: %b}' % (b'"%b"' % name, deep)
            assert asked(served, path, body) in (200, 400)
    check_no_dearer(served, path, body, body.replace(deep, b'"%b"' % (b" " * len(deep))))


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/graphql"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_200_megabytes_is_kept_by_nobody(served: Served, path: str, chunked: bool) -> None:
    """LiteLLM swallowed them."""
    before, piece, most = memory(served), b" " * 1_000_000, 0
    with Line(served) as line:
        framing = "transfer-encoding: chunked" if chunked else "content-length: 200000000"
        line.say(line.request(path, b"", framing, "content-type: application/json", length=False))
        try:
            for _ in range(200):
                line.say(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                most = max(most, memory(served))
            if chunked:
                line.say(b"0\r\n\r\n")
            assert line.answer().status == 413
        except OSError:
            pass  # it has hung up, which is as good
    assert most - before < 60e6


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings"])
def test_bodies_of_callers_without_a_key_are_kept_by_nobody(served: Served, path: str) -> None:
    """150 of them took 1.2 GB."""
    before, piece = memory(served), b" " * 4_000_000
    with ExitStack() as lines:
        for _ in range(20):
            line = lines.enter_context(Line(served))
            line.say(line.request(path, b"", "authorization: Bearer nonsense", "content-length: 4000001", length=False))
            line.say(piece)
            assert line.answer().status == 401
        assert memory(served) - before < 40e6


@cache
def bomb(coding: str) -> bytes:
    return gzip.compress(b" " * 50_000_000) if "gzip" in coding else zlib.compress(b" " * 50_000_000)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"])
@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_packed_is_unpacked_by_nobody(served: Served, path: str, coding: str) -> None:
    before = memory(served)
    assert asked(served, path, bomb(coding), content_encoding=coding) == 415
    assert memory(served) - before < 40e6


# ---- GraphQL


DIRECTIVES = "{ me { name " + "@include(if: true) " * 50_000 + "} }"
ALIASES = "{ " + " ".join(f"a{i}: roles" for i in range(1_000)) + " }"
DEEP = "{ " + "models { facts " * 1_000 + "}" * 1_001
SPREADS = "{ ...a } " + " ".join(f"fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }}" for i in range(60))
CIRCLE = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"
NUMBERS = "{ records(last: " + "9" * 30_000 + ") { rows { trace } } }"
LISTS = "query($x: [Permission!]) { me { name } } " + "[" * 10_000
BLOCK = '{ model(name: """' + "x" * 30_000 + '""") { name } }'
COMMENTS = "#" + "x" * 200_000 + "\n{ me { name } }"


@pytest.mark.parametrize(
    "query",
    [
        DIRECTIVES,
        ALIASES,
        DEEP,
        SPREADS,
        CIRCLE,
        NUMBERS,
        LISTS,
        BLOCK,
        COMMENTS,
        "{" * 30_000,
        "{ me { name } } " * 3_000,
    ],
    ids=[
        "directives",
        "aliases",
        "depth",
        "fragments",
        "circle",
        "numbers",
        "lists",
        "block",
        "comments",
        "braces",
        "many",
    ],
)
def test_22_a_question_in_graphql_that_is_too_much_is_refused_at_once(served: Served, query: str) -> None:
    """50,000 directives held a default server for 20 s, and it took 1,000 aliases."""
    assert asked(served, "/graphql", {"query": query}) in (400, 404)


def test_22_several_questions_in_one_body_are_none(served: Served) -> None:
    body = json.dumps([{"query": "{ me { name } }"}] * 1_000).encode()
    assert asked(served, "/graphql", body) == 400


def test_22_variables_are_bounded_too(served: Served) -> None:
    answer = graphql(
        served,
        'mutation($m: [Permission!]) { createKey(name: "x", permissions: $m) { secret } }',
        m=["nonsense"] * 100_000,
    )
    assert answer.status == 400 and len(str(answer.errors)) < 20_000


@pytest.mark.parametrize("depth", [100, 500, 900, 990, 100_000])
def test_22_nor_does_depth_hide_in_a_value(served: Served, depth: int) -> None:
    query = "query($b: JSON) { explain(body: $b) { why } }"
    for name in ("messages", "tools", "unknown"):
        deep = b'{"model": "auto", "messages": [], "%b": %b}' % (name.encode(), b"[" * depth + b"]" * depth)
        body = b'{"query": "%b", "variables": {"b": %b}}' % (query.encode(), deep)
        assert asked(served, "/graphql", body) in (200, 400)
