"""Compressed bodies: an upstream's reach the client as an answer or a clear error, a client's are refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.testing.upstream import WORDS, FakeOpenAI, FaultResponder, _chunk, _head, _part, answer_normally
from tests.gateway.server_harness import Line, beside, frames, question, refused, words
from tests.running_server import Served, serving

TEXT = "".join(WORDS)
EVENTS = b"".join([*(_chunk({"content": word}) for word in WORDS), _chunk({}, "stop"), b"data: [DONE]\n\n"])


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    return json.dumps({"id": "up-1", "object": "chat.completion", "choices": [choice]}).encode()


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def _two_members(data: bytes) -> bytes:
    return gzip.compress(data[:40]) + gzip.compress(data[40:])


PACKED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "gzip-members": _two_members,
    "deflate": zlib.compress,
    "deflate-raw": _raw_deflate,
}
BROKEN = {
    "gzip-cut": ("gzip", lambda data: gzip.compress(data)[:-12]),
    "gzip-plain": ("gzip", lambda data: data),
    "gzip-tail": ("gzip", lambda data: gzip.compress(data) + b"more"),
    "deflate-cut": ("deflate", lambda data: zlib.compress(data)[:-6]),
    "br": ("br", lambda data: b"\x8b\x02\x80" + data),
    "zstd": ("zstd", lambda data: b"\x28\xb5\x2f\xfd" + data),
    "gzip-twice": ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
    "bomb": ("gzip", lambda data: gzip.compress(b" " * 50_000_000)),
    "bomb-of-frames": ("gzip", lambda data: gzip.compress(_chunk({"content": "a"}) * 100_000)),
}
INTERIM = {
    "continue": "HTTP/1.1 100 Continue\r\n\r\n",
    "processing": "HTTP/1.1 102 Processing\r\n\r\n" * 3,
    "early-hints": "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
    "hints-about-encoding": "HTTP/1.1 103 Early Hints\r\ncontent-encoding: gzip\r\n\r\n",
    "all": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
}


def _sends(encoding: str, pack: object, *, chunk: int = 7) -> FaultResponder:
    """The usual answer, packed, in chunks of a few bytes."""
    assert callable(pack)

    async def fault(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        stream = bool(body.get("stream"))
        data: bytes = pack(EVENTS if stream else _whole())
        writer.write(
            _head("200 OK", "text/event-stream" if stream else "application/json", f"Content-Encoding: {encoding}")
        )
        size = chunk if len(data) < 10_000 else 50_000
        for start in range(0, len(data), size):
            writer.write(_part(data[start : start + size]))
        writer.write(b"0\r\n\r\n")
        return True

    return fault


def _after(interim: str) -> FaultResponder:
    async def fault(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for piece in interim.encode().splitlines(keepends=True):
            writer.write(piece)
            await writer.drain()
        return await answer_normally(body, reader, writer)

    return fault


async def _packed_error(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    data = gzip.compress(b'{"error":{"message":"this model takes no images"}}')
    writer.write(_head("400 Bad Request", "application/json", "content-encoding: gzip", length=len(data)) + data)
    return True


FAULTS: dict[str, FaultResponder] = {
    **{name: _sends(name.partition("-m")[0].removesuffix("-raw"), pack) for name, pack in PACKED.items()},
    **{name: _sends(encoding, pack) for name, (encoding, pack) in BROKEN.items()},
    **{name: _after(interim) for name, interim in INTERIM.items()},
    "identity": _sends("identity", lambda data: data),
    "IDENTITY": _sends("IDENTITY", lambda data: data),
    "error": _packed_error,
}


class PackingUpstream(FakeOpenAI):
    def fault(self, model: str) -> FaultResponder:
        return FAULTS[model]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with beside(PackingUpstream) as up:
        config = "[server]\nembedded = false\ndiscover = false\n"
        for name in ("plain", "asks"):
            row = f'base_url = "{up.url}"\nplace = "machine"\nmodels = {json.dumps(list(FAULTS))}\n'
            config += f"[providers.{name}]\n{row}"
        config += 'headers = {"accept-encoding" = "gzip, deflate;q=0.5, identity"}\n'
        with serving(tmp_path_factory.mktemp("packed"), config) as served:
            yield served


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", [*PACKED, "identity", "IDENTITY", *INTERIM])
def test_a_compressed_answer_and_one_after_interim_answers_reach_the_client(
    server: Served, name: str, stream: bool
) -> None:
    answer = server.chat(f"plain/{name}", stream=stream)
    assert answer.status == 200, answer.body
    assert "content-encoding" not in answer.headers
    if stream:
        assert words(frames(answer.body)) == TEXT and frames(answer.body)[-1] == "[DONE]"
    else:
        assert json.loads(answer.body)["choices"][0]["message"]["content"] == TEXT


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_provider_may_be_asked_to_compress(server: Served, name: str) -> None:
    assert TEXT in server.chat(f"asks/{name}").body.decode()


@pytest.mark.long
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_decoded_is_an_error_and_never_half_an_answer(server: Served, name: str, stream: bool) -> None:
    answer = server.chat(f"plain/{name}", stream=stream)
    if name == "gzip-tail" and stream:  # behind [DONE], where nobody reads
        assert words(frames(answer.body)) == TEXT
    elif answer.status == 200:  # words came before the fault
        assert stream and "error" in frames(answer.body)[-1]
    else:
        error = refused(answer, 502, "upstream_garbled")
        if name in ("br", "zstd", "gzip-twice"):
            assert BROKEN[name][0] in error["message"] and "compression" in error["hint"]
    assert len(answer.body) < 10_000_000 and server.ask("/healthz").status == 200


def test_an_error_that_is_compressed_is_read(server: Served) -> None:
    assert "takes no images" in refused(server.chat("plain/error"), 400, "upstream_refused")["message"]


@pytest.mark.long
def test_a_provider_that_would_be_asked_for_what_nobody_decodes_is_named(tmp_path: Path) -> None:
    config = '[server]\nembedded = false\ndiscover = false\n[providers.up]\nbase_url = "http://127.0.0.1:9/v1"\n'
    config += 'models = ["m"]\nheaders = {"accept-encoding" = "gzip, br"}\n'
    with serving(tmp_path, config) as served:
        assert "'br'" in served.chat("up/m").error["message"]


# ---- requests

PATHS = {
    "/v1/chat/completions": question(),
    "/v1/messages": question(max_tokens=9),
    "/v1/responses": b'{"model":"echo/small","input":"hi"}',
    "/v1/embeddings": b'{"model":"echo/small","input":"hi"}',
    "/mcp": b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    "/graphql": b'{"query":"{ me { name } }"}',
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
def test_a_compressed_request_is_415_and_says_what_to_do(server: Served, path: str, encoding: str) -> None:
    body = gzip.compress(PATHS[path])
    answer = server.ask(path, body, content_encoding=encoding)
    assert answer.status == 415, answer.body
    assert encoding in answer.body.decode() and "send it uncompressed" in answer.body.decode()


def test_a_compressed_request_is_refused_before_its_body_comes(server: Served) -> None:
    with Line(server) as line:
        line.say(
            line.request("/v1/chat/completions", b"", "content-encoding: gzip", "content-length: 1000", length=False)
        )
        assert line.answer().status == 415


def test_a_header_of_compression_without_a_body_means_nothing(server: Served) -> None:
    assert server.ask("/v1/models", content_encoding="gzip").status == 200


@pytest.mark.parametrize("encoding", ["identity", "IDENTITY", ""])
def test_a_request_that_says_it_is_not_compressed_is_answered(server: Served, encoding: str) -> None:
    assert server.ask("/mcp", PATHS["/mcp"], content_encoding=encoding).status == 200
    body = question(model="plain/identity")
    assert server.ask("/v1/chat/completions", body, content_encoding=encoding).status == 200
