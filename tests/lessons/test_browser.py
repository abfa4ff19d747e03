"""What a browser does with our answers: it guesses nothing, shows nothing of us in a frame, and tells nobody of us."""

from __future__ import annotations

import re

import pytest

from tests.gateway.server_harness import CHAT, Line, question
from tests.running_server import Served


@pytest.mark.parametrize(
    "path",
    [CHAT, "/v1/embeddings", "/v1/models", "/graphql", "/healthz", "/metrics", "/", "/nothing"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE"])
def test_every_answer_is_what_it_says_it_is(served: Served, path: str, method: str) -> None:
    with Line(served) as line:
        line.say(line.request(path, question() if method == "POST" else b"", "x-canary: seen", method=method))
        answer = line.answer()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"].startswith(("application/json", "text/plain", "text/html"))
    assert method != "TRACE" or (answer.status >= 400 and b"canary" not in answer.body)


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_also_to_those_who_speak_no_http(served: Served, data: bytes) -> None:
    with Line(served) as line:
        line.say(data)
        assert line.answer().headers["x-content-type-options"] == "nosniff"


def test_a_stream_too(served: Served) -> None:
    assert served.chat("echo/small", stream=True).headers["x-content-type-options"] == "nosniff"


def test_the_page_loads_only_what_is_ours_and_stands_in_no_frame(served: Served) -> None:
    answer = served.ask("/", key=None)
    policy = dict(each.strip().partition(" ")[::2] for each in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert policy["script-src"] == "'self'" and policy["require-trusted-types-for"] == "'script'"
    loaded = re.findall(rb"""(?:src|href)=["']([^"']*)""", answer.body)
    assert loaded and all(each.startswith(b"/") and not each.startswith(b"//") for each in loaded)
    assert b"<script>" not in answer.body
