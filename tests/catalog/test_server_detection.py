"""A running model server is known by what it says itself; nobody, strangers and the silent are told apart in words."""

from __future__ import annotations

import asyncio
import json
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sizewise.catalog.server_detection import DetectedServer, detect_server
from sizewise.errors import BadRequest, ConfigError, ExternalFailure
from sizewise.settings.load import load_settings
from tests import virtual_time
from tests.running_server import Served

Says = Callable[[str, str, bytes, str], object]
"""(method, path, body, authorization) -> what is answered as JSON; an int is a status; bytes go as they are."""


@contextmanager
def saying(says: Says) -> Iterator[str]:
    """A server that says this; its URL."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            said = says(self.command, self.path, body, self.headers.get("authorization") or "")
            status, data = (said, b"{}") if isinstance(said, int) else (200, said)
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def handle(self) -> None:
            with suppress(ConnectionError):  # who asked has left
                super().handle()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def model(name: str, owner: str = "", **more: object) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1, "owned_by": owner, **more}


def listing(*models: object) -> dict[str, object]:
    return {"object": "list", "data": list(models)}


def plain(pages: Mapping[str, object]) -> Says:
    return lambda method, path, body, key: pages.get(path, 404)


def ollama(method: str, path: str, body: bytes, key: str) -> object:
    if path == "/api/show" and method == "POST":
        if json.loads(body) == {"model": "llama3.2:3b"}:
            return {"model_info": {"general.architecture": "llama", "llama.context_length": 131072}}
        return 500
    pages = {
        "/api/version": {"version": "0.40.12"},
        "/v1/models": listing(model("llama3.2:3b", "library"), model("odd", "library")),
    }
    return pages.get(path, 404)


LLAMACPP = plain(
    {
        "/v1/models": {"models": [], **listing(model("a.gguf", "llamacpp", meta={"n_ctx_train": 8192}))},
        "/props": {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1, "build_info": "b6000-abc"},
    },
)
LMSTUDIO = plain(
    {
        "/v1/models": listing(model("qwen3-4b", "organization_owner"), model("nomic", "organization_owner")),
        "/api/v0/models": listing(
            model("qwen3-4b", type="llm", max_context_length=40960, loaded_context_length=8192),
            model("gemma", type="vlm", max_context_length=32768),
            model("nomic", type="embeddings", max_context_length=2048),
        ),
        "/api/version": {"error": "Unexpected endpoint or method."},
    },
)
LOCKED_LLAMACPP = plain({"/v1/models": listing(model("a.gguf", "llamacpp")), "/props": 401})
VLLM = plain({"/v1/models": listing(model("org/b", "vllm", max_model_len=4096)), "/version": {"version": "0.11.0"}})
SGLANG = plain({"/v1/models": listing(model("org/c", "sglang", max_model_len=2048))})
TGI = plain(
    {
        "/v1/models": listing(model("org/d", "org/d")),
        "/info": {"model_id": "org/d", "max_total_tokens": 3000, "version": "3.3.6", "max_input_tokens": 2000},
    },
)
OTHER = plain({"/v1/models": listing(model("x", "somebody"))})


def found(says: Says, key: str = "", suffix: str = "") -> DetectedServer:
    with saying(says) as url:
        return asyncio.run(detect_server(url + suffix, key=key))


@pytest.mark.parametrize(
    ("says", "kind", "version", "models"),
    [
        (ollama, "ollama", "0.40.12", {"llama3.2:3b": 131072, "odd": None}),
        (LLAMACPP, "llamacpp", "b6000-abc", {"a.gguf": 4096}),
        (LOCKED_LLAMACPP, "llamacpp", "", {"a.gguf": None}),
        (LMSTUDIO, "lmstudio", "", {"qwen3-4b": 8192, "gemma": 32768}),
        (VLLM, "vllm", "0.11.0", {"org/b": 4096}),
        (SGLANG, "sglang", "", {"org/c": 2048}),
        (TGI, "tgi", "3.3.6", {"org/d": 3000}),
        (OTHER, "other", "", {"x": None}),
    ],
    ids=["ollama", "llamacpp", "llamacpp locked", "lmstudio", "vllm", "sglang", "tgi", "other"],
)
def test_a_server_is_known_with_its_models_and_their_windows(
    says: Says,
    kind: str,
    version: str,
    models: dict[str, int | None],
) -> None:
    server = found(says)
    assert (server.kind, server.version) == (kind, version)
    assert {each.name: each.context for each in server.models} == models


async def test_another_sizewise_is_known_by_its_headers_and_wants_a_key(echo: Served) -> None:
    with pytest.raises(BadRequest, match="another Sizewise"):
        await detect_server(echo.url)
    server = await detect_server(echo.url, key=echo.key)
    assert server.kind == "sizewise" and "echo/small" in [each.name for each in server.models]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_a_base_url_is_taken_with_and_without_its_end(suffix: str) -> None:
    server = found(VLLM, suffix=suffix)
    assert server.base_url.endswith("/v1") and "/v1/v1" not in server.base_url


@pytest.mark.parametrize("says", [ollama, OTHER], ids=["known", "other"])
def test_the_lines_to_paste_are_settings_that_give_these_models(says: Says, tmp_path: Path) -> None:
    server = found(says)
    path = tmp_path / "sizewise.toml"
    path.write_text(server.to_toml("env:MY_KEY"))
    (provider,) = load_settings(path, tmp_path, {}).providers.values()
    assert provider.base_url == server.base_url and provider.key == "env:MY_KEY" and provider.place == "anyone"
    assert list(provider.models) == [each.name for each in server.models]
    assert tomllib.loads(server.to_toml())["providers"]


def test_a_model_with_an_odd_name_is_quoted(tmp_path: Path) -> None:
    server = found(plain({"/v1/models": listing(model('a"b\\c\u2028\x7f\x1b[31mé😀'))}))
    (provider,) = tomllib.loads(server.to_toml())["providers"].values()
    assert provider["models"] == ['a"b\\c\u2028\x7f\x1b[31mé😀']


def test_the_key_goes_with_the_questions_and_its_lack_is_told() -> None:
    def locked(method: str, path: str, body: bytes, key: str) -> object:
        return VLLM(method, path, body, key) if key == "Bearer right" else 401

    assert found(locked, key="right").kind == "vllm"
    with pytest.raises(BadRequest, match="401") as error:
        found(locked)
    assert "--key" in error.value.hint


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": 3}', b'"\xff"'])
def test_a_stranger_is_told_as_one(body: bytes) -> None:
    with pytest.raises(ExternalFailure, match="lists no models"):
        found(lambda method, path, said, key: body)


async def test_nobody_there_is_told_with_the_usual_ports() -> None:
    empty = socket.create_server(("127.0.0.1", 0))
    port = empty.getsockname()[1]
    empty.close()
    with pytest.raises(ExternalFailure, match="there is no server") as error:
        await detect_server(f"127.0.0.1:{port}")
    assert "Ollama 11434" in error.value.hint


def test_a_silent_server_is_given_up_after_three_seconds() -> None:
    with ExitStack() as stack:
        silent = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))

        async def look() -> None:
            with pytest.raises(ExternalFailure, match="within 3 s"):
                await detect_server(f"127.0.0.1:{silent.getsockname()[1]}")
            assert virtual_time.now() == pytest.approx(3)

        virtual_time.run(look())


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://u:p@h", "http://h:99999"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        await detect_server(url)


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def elsewhere(method: str, path: str, body: bytes, key: str) -> object:
        asked.append(path)
        return 302

    with pytest.raises(ExternalFailure, match="302"):
        found(elsewhere)
    assert len(asked) == len(set(asked))
