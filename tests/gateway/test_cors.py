"""Web pages of other origins: off by default, an allow-list of origins, and never a cookie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.errors import ConfigError
from sizewise.settings.load import load_settings
from tests.gateway.server_harness import CHAT, Line, question, refused
from tests.running_server import ECHO, Answer, Served, serving

PAGE, OTHER = "https://app.example.com", "https://evil.example"
ALLOW = "access-control-allow-origin"
DOORS = [
    ("POST", CHAT, question()),
    ("POST", CHAT, question(stream=True)),
    ("POST", "/v1/messages", question(max_tokens=9)),
    ("POST", "/v1/responses", b'{"model": "echo/small", "input": "hello", "store": false}'),
    ("POST", "/graphql", b'{"query": "{ me { key } }"}'),
    ("POST", CHAT, b"not json"),
    ("GET", "/v1/models", b""),
    ("GET", "/v1/nothing", b""),
    ("GET", "/healthz", b""),
    ("PUT", CHAT, b""),
]


def with_origins(*origins: str, fast: bool = True) -> str:
    lines = f"cors_origins = {list(origins)!r}\nfast_path = {str(fast).lower()}\n"
    return ECHO.replace("[server]\n", f"[server]\n{lines}")


@pytest.fixture(scope="module", params=["fast", "plain"])
def listed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = with_origins(PAGE, "http://localhost:3000", fast=request.param == "fast")
    with serving(tmp_path_factory.mktemp("listed"), config) as served:
        yield served


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("everyone"), with_origins("*")) as served:
        yield served


def ask(served: Served, method: str, path: str, body: bytes, *headers: str) -> Answer:
    with Line(served) as line:
        line.say(line.request(path, body, "content-type: application/json", *headers, method=method))
        return line.answer()


def preflight(served: Served, origin: str, wanted: str = "authorization, content-type", path: str = CHAT) -> Answer:
    method = "access-control-request-method: POST"
    with Line(served) as line:
        names = [f"access-control-request-headers: {wanted}"] if wanted else []
        line.say(line.request(path, b"", f"origin: {origin}", method, *names, method="OPTIONS", length=False))
        status, headers = line.head()
        return Answer(status, headers, b"")


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
def test_a_listed_page_may_read_every_answer_and_an_error_too(
    listed: Served, method: str, path: str, body: bytes
) -> None:
    answer = ask(listed, method, path, body, f"origin: {PAGE}")
    assert answer.headers[ALLOW] == PAGE and answer.headers["vary"] == "origin"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
@pytest.mark.parametrize(
    "origin", [OTHER, "null", "https://app.example.com.evil.example", "http://app.example.com", ""]
)
def test_another_page_may_read_none(listed: Served, method: str, path: str, body: bytes, origin: str) -> None:
    answer = ask(listed, method, path, body, *([f"origin: {origin}"] if origin else []))
    assert ALLOW not in answer.headers and answer.headers["vary"] == "origin"


def test_two_origins_in_one_request_are_none(listed: Served) -> None:
    assert ALLOW not in ask(listed, "POST", CHAT, question(), f"origin: {PAGE}", f"Origin: {PAGE}").headers


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/models", "/graphql", "/mcp"])
def test_a_browser_may_ask_first_without_a_key(listed: Served, path: str) -> None:
    answer = preflight(listed, PAGE, "authorization, anthropic-version, x-stainless-os", path)
    assert answer.status == 204 and len(answer.headers["x-request-id"]) == 32
    assert answer.headers[ALLOW] == PAGE
    assert answer.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    assert answer.headers["access-control-allow-headers"] == "authorization, anthropic-version, x-stainless-os"
    assert "access-control-allow-credentials" not in answer.headers


def test_header_names_that_are_none_are_not_repeated(listed: Served) -> None:
    assert "access-control-allow-headers" not in preflight(listed, PAGE, "a b<script>").headers


def told_the_setting(served: Served) -> None:
    answer = ask(served, "OPTIONS", CHAT, b"", "access-control-request-method: POST", f"origin: {OTHER}")
    error = refused(answer, 403, "forbidden")
    assert OTHER in error["message"] and "cors_origins" in error["hint"]
    assert ALLOW not in answer.headers


def test_a_page_that_is_not_listed_is_told_the_setting(listed: Served) -> None:
    told_the_setting(listed)


def test_where_no_page_is_listed_each_is_told_the_setting(echo: Served) -> None:
    told_the_setting(echo)


def test_without_the_setting_no_page_may_read_anything(echo: Served) -> None:
    for method, path, body in DOORS:
        headers = ask(echo, method, path, body, f"origin: {PAGE}").headers
        assert not [name for name in headers if name.startswith("access-control-")]


def test_a_star_lets_all_pages_read_and_never_with_credentials(everyone: Served) -> None:
    for answer in (
        ask(everyone, "POST", CHAT, question(), f"origin: {OTHER}"),
        ask(everyone, "GET", "/v1/models", b"", f"origin: {OTHER}"),
        preflight(everyone, OTHER),
    ):
        assert answer.headers[ALLOW] == "*"
        assert "access-control-allow-credentials" not in answer.headers


def test_mcp_answers_a_listed_page_and_no_other(listed: Served) -> None:
    ping = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    assert ask(listed, "POST", "/mcp", ping, f"origin: {PAGE}").status == 200
    assert ask(listed, "POST", "/mcp", ping, f"origin: {OTHER}").status == 403


@pytest.mark.parametrize(
    "origin",
    ["app.example.com", "https://app.example.com/", "https://APP.example.com", "https://a.example:443", "null", "",
     "http://a.example:80", "https://*.example.com", "https://user@a.example", "https://a.example?x", "**"],
)  # fmt: skip
def test_what_no_browser_sends_is_no_origin(tmp_path: Path, origin: str) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(with_origins(origin))
    with pytest.raises(ConfigError, match="is no origin"):
        load_settings(file, tmp_path)


@pytest.mark.parametrize(
    "origin", ["tauri://localhost", "http://[::1]:3000", "chrome-extension://abcdef", "http://a_b"]
)
def test_apps_and_other_ports_have_origins_too(tmp_path: Path, origin: str) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(with_origins(origin))
    assert load_settings(file, tmp_path).server.cors_origins == (origin,)
