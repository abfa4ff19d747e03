"""Requests that a client would have the server send: to nobody whom the settings do not name (CVE-2024-6587)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType

from sizewise.errors import ConfigError, EgressDenied
from sizewise.gateway.openapi import build_document
from sizewise.graphql.schema import SERVED
from sizewise.http.egress import EgressPolicy, origin
from sizewise.testing.upstream import FakeOpenAI
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT, SECRET, question
from tests.lessons.conftest import Trap, memory
from tests.running_server import Served, serving

ADDRESSES = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "a@127.0.0.1", "2130706433", "127.1", "0x7f.1")
"""Spellings of this machine, where the trap is."""


@pytest.mark.parametrize("address", ADDRESSES)
def test_07_a_url_of_the_client_s_choice_gets_neither_the_key_nor_a_call(
    served: Served,
    upstream: FakeOpenAI,
    trap: Trap,
    address: str,
) -> None:
    url, before = f"http://{address}:{trap.port}/v1", len(upstream.received.bodies)
    fields = dict.fromkeys(
        ("api_base", "base_url", "api_url", "url", "endpoint", "proxy", "webhook", "callback_url"),
        url,
    )
    headers: dict[str, Any] = {
        "x_base_url": url,
        "x_forwarded_host": f"{address}:{trap.port}",
        "forwarded": f"host={address}:{trap.port}",
    }
    for model in ("whole/well", "echo/small", f"{url}/well", f"custom_openai/{url}"):
        answer = served.ask(CHAT, question("hi", model, **fields, sizewise=None), **headers)
        assert answer.status in (200, 400, 404), answer.body
    assert len(upstream.received.bodies) == before + 1, "the one that is named in the settings"
    assert upstream.received.headers[-1]["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("address", ADDRESSES)
def test_07_pictures_files_and_tools_are_fetched_by_nobody(served: Served, trap: Trap, address: str) -> None:
    for scheme in ("http", "file", "ftp", "gopher"):
        url = f"{scheme}://{address}:{trap.port}/a.png"
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "file", "file": {"file_url": url}}]
        parts.append({"type": "text", "text": f"see {url}"})
        said: list[dict[str, Any]] = [{"role": "user", "content": parts}]
        tools = [{"type": "mcp", "server_url": url}, {"type": "function", "function": {"name": "get", "url": url}}]
        for model in ("echo/small", "whole/well", "auto"):
            assert served.ask(CHAT, {"model": model, "messages": said, "tools": tools}).status < 500
        image = {"type": "image", "source": {"type": "url", "url": url}}
        message = {"model": "echo/small", "max_tokens": 9, "messages": [{"role": "user", "content": [image]}]}
        assert served.ask("/v1/messages", message).status < 500
        item = [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": url}, {"type": "input_file", "file_url": url}],
            },
        ]
        assert served.ask("/v1/responses", {"model": "echo/small", "input": item, "tools": tools}).status < 500
        assert served.ask("/v1/embeddings", {"model": "echo/vectors", "input": url}).status == 200


@contextlib.contextmanager
def answering(reply: Callable[[int], bytes]) -> Iterator[str]:
    """The URL of an upstream that answers its n-th request by `reply(n)`, and hangs up."""
    ready, ports, seen = threading.Event(), [], []

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[16:]) for line in head.lower().split("\r\n") if line.startswith("content-length: "))
        seen.append(await reader.readexactly(length))
        with contextlib.suppress(ConnectionError):
            writer.write(reply(len(seen)))
            await writer.drain()
        writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(met, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(listen()), daemon=True).start()
    assert ready.wait(60)
    yield f"http://127.0.0.1:{ports[0]}/v1"
    assert seen, "nobody asked it"


def behind(url: str) -> str:
    return f"""
[server]
embedded = false
discover = false
[providers.elsewhere]
base_url = "{url}"
key = "env:UPSTREAM_KEY"
models = ["it"]
"""


def test_07_a_redirect_is_followed_by_nobody(trap: Trap, tmp_path: Path) -> None:
    """LiteLLM followed them, and took the key along."""

    def moved(number: int) -> bytes:
        status = ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")[number % 5]
        to = f"http://127.0.0.1:{trap.port}/v1/chat/completions"
        return f"HTTP/1.1 {status}\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()

    with answering(moved) as url, serving(tmp_path, behind(url), UPSTREAM_KEY=SECRET) as app:
        for _ in range(5):
            answer = app.chat("elsewhere/it")
            assert answer.status in (502, 503) and SECRET.encode() not in answer.body
            assert "location" not in answer.headers


@pytest.mark.long
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_decompression_bomb_of_an_upstream_ends_early_and_takes_no_memory(
    tmp_path: Path, coding: str, kind: str
) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: {coding}\r\ncontent-length: {len(bomb)}\r\n\r\n"
    )
    with answering(lambda _: head.encode() + bomb) as url:
        with serving(tmp_path, behind(url), UPSTREAM_KEY=SECRET) as app:
            before = memory(app)
            assert app.chat("elsewhere/it", stream=kind != "application/json").status == 502
            assert memory(app) - before < 40e6


def test_07_no_endpoint_takes_an_address_to_call() -> None:
    """Webhooks, tools and models are called where the settings say; nobody can say it in a request.

    A page for a knowledge base is named by its URL, and read at an origin of the base's own sources alone: see
    tests/knowledge/test_search.py.
    """
    kinds = [kind for kind in SERVED.schema.type_map.values() if isinstance(kind, GraphQLObjectType)]
    arguments = [(of, name) for kind in kinds for of, field in kind.fields.items() for name in field.args]
    assert len(arguments) > 20
    words = ("url", "uri", "host", "address", "endpoint", "hook", "proxy")
    found = [each for each in arguments if any(word in each[1].lower() for word in words)]
    found.remove(("createKey", "endpoints"))  # the names of our own, such as chat
    assert found == [("addDocument", "url")]
    ours = build_document()["components"]["schemas"]["SizewiseOptions"]["properties"]
    assert [name for name in ours if any(word in name for word in words)] == []


@pytest.mark.parametrize(
    "address",
    ["a@127.0.0.1", "a:b@127.0.0.1", "127.0.0.1\\@evil.example", "127.0.0.1 .evil", "127.0.0.1:0"],
)
def test_07_an_address_with_a_mask_on_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError):
        origin(f"http://{address}/v1")


@pytest.mark.parametrize(
    "address",
    ["[::ffff:127.0.0.1]", "[::1]", "localhost", "2130706433", "127.1", "0.0.0.0", "127.0.0.1.nip.io"],
)
def test_07_a_second_spelling_of_a_place_that_was_declared_is_not_declared(address: str) -> None:
    """Nothing is guessed from an address, and none is looked up to decide: a name that is rebound gains nothing."""
    egress = EgressPolicy({"http://127.0.0.1:9": "machine"}, {"public": "anyone"})
    with pytest.raises(EgressDenied):
        egress.check(origin(f"http://{address}:9"), purpose="ask", data_class="public")


def test_07_not_even_the_settings_may_hold_a_password_in_a_url(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(
        '[providers.x]\nbase_url = "http://a:secret-word@127.0.0.1/v1"\nmodels = ["m"]\n',
    )
    done = sizewise("models", "list", home=tmp_path)
    assert done.code == 2 and "secret-word" not in done.err + done.out
