"""Fuzz of a Worker in a real workerd: bodies, keys and streams that chance has made; none is an error of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.edge.echoing_upstream import echoing_upstream
from tests.edge.running_worker import worker
from tests.running_server import KEY, Served

pytestmark = pytest.mark.node
SETTINGS = """
[server]
discover = false
embedded = false
max_body_bytes = 200_000
[providers.up]
base_url = "{url}"
models = ["plain"]
[policies.default]
kind = "cheapest"
"""
TEXT = "Grüße 😀 at ada@example.org, and more words than one frame has"
PIECES = (
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1e999",
    "-",
    "\\ud800",
    "\x00",
    "é",
    "😀",
    "data:",
    "0" * 30,
)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with echoing_upstream() as up, worker(tmp_path_factory.mktemp("fuzz"), SETTINGS.format(url=up.url)) as made:
        yield made


BODIES: Mapping[str, Mapping[str, object]] = {
    "/v1/chat/completions": {
        "model": "auto",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    },
    "/v1/messages": {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text"}]}]},
    "/v1/responses": {
        "model": "auto",
        "store": False,
        "input": [{"role": "user", "content": [{"type": "input_text"}]}],
    },
}


@pytest.mark.parametrize("path", BODIES)
def test_a_body_of_chance_is_answered_or_refused(edge: Served, path: str) -> None:
    chance = random.Random(path)
    for _ in range(150):
        text = json.dumps(BODIES[path])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(PIECES) + text[at + chance.randint(0, 6) :]
        body = text.encode("utf-8", "surrogatepass")
        answer = edge.ask(path, body)
        assert answer.status in (200, 400, 404), (body, answer.body)
        assert b"internal" not in answer.body, body


def test_values_of_any_type_are_refused_by_their_field(edge: Served) -> None:
    chance = random.Random(3)
    values: list[object] = [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "x",
        [],
        [None],
        [[]],
        {},
        {"type": 1},
        {"type": "text", "text": 3},
    ]
    for path, usual in BODIES.items():
        for name in (
            *usual,
            "tools",
            "tool_choice",
            "system",
            "stop",
            "stream",
            "sizewise",
            "metadata",
            "instructions",
        ):
            for value in chance.sample(values, 6):
                answer = edge.ask(path, {**usual, name: value})
                assert answer.status in (200, 400, 404), (path, name, value, answer.body)


def test_a_key_of_chance_is_refused(edge: Served) -> None:
    chance = random.Random(5)
    for _ in range(100):
        junk = "".join(chance.choice("sk-Bearer 0é\t=.,") for _ in range(chance.randint(0, 60))).strip()
        said = chance.choice(("Bearer ", "bearer  ", "Basic ", "")) + junk
        given = {"authorization": said} if chance.random() < 0.5 else {"x_api_key": said}
        answer = edge.ask("/v1/models", key=None, **given)  # type: ignore[arg-type]  # none is named timeout
        assert answer.status == 401, said
    assert edge.ask("/v1/models", key=f"{KEY}x").status == 401
    assert edge.ask("/v1/models", key=KEY.upper()).status == 401


async def test_a_body_without_an_end_is_refused_before_it_is_read(edge: Served) -> None:
    """Of 100 MB that no header announces, it takes what `max_body_bytes` allows, and what is in its buffers."""
    assert await _endless(urlsplit(edge.url).port or 0) < 20_000_000
    assert edge.chat("auto").status == 200


async def _endless(port: int) -> int:
    """The bytes that were sent before the answer came or the connection was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    answer, sent = asyncio.ensure_future(reader.readline()), 0
    with contextlib.suppress(ConnectionError):
        while sent < 100_000_000 and not answer.done():
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
        assert b" 413 " in await answer
    writer.close()
    return sent


class CuttingOpenAI(FakeOpenAI):
    """Streams TEXT with ends of lines, comments and cuts that chance has made; `model`: the seed."""

    def fault(self, model: str) -> FaultResponder:
        return _stream_of_chance


async def _stream_of_chance(
    body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    chance = random.Random(str(body["model"]))
    words, frames = TEXT, list[str]()
    while words:
        size = chance.randint(1, 9)
        choice: dict[str, object] = {"index": 0, "delta": {"content": words[:size]}, "finish_reason": None}
        words = words[size:]
        frames.append(json.dumps({"id": "1", "model": "m", "choices": [choice]}, ensure_ascii=chance.random() < 0.5))
    frames.append(
        json.dumps({"id": "1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    )
    end = chance.choice(("\n", "\r\n", "\r"))
    noise = ("", f": comment{end}{end}", f"event: x{end}", f"id: 7{end}retry: 3{end}")
    text = "".join(f"{chance.choice(noise)}data:{chance.choice((' ', ''))}{each}{end}{end}" for each in frames)
    data = (text + f"data: [DONE]{end}{end}").encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    while data:
        size = chance.randint(1, 40)
        writer.write(data[:size])
        await writer.drain()
        await asyncio.sleep(0)
        data = data[size:]
    return False


def test_a_stream_that_is_cut_anywhere_says_the_same_words(tmp_path: Path) -> None:
    names = [f"seed-{number}" for number in range(60)]
    config = SETTINGS.replace('["plain"]', json.dumps(names)) + '[guardrails]\npii = "off"\nsecrets = "off"\n'
    with echoing_upstream(CuttingOpenAI) as up, worker(tmp_path, config.format(url=up.url)) as edge:
        for name in names:
            answer = edge.chat(f"up/{name}", stream=True)
            lines = [line[6:] for line in answer.body.decode().splitlines() if line.startswith("data: ")]
            assert lines[-1] == "[DONE]", name
            chunks = [json.loads(each) for each in lines[:-1]]
            deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
            assert "".join(each.get("content", "") for each in deltas) == TEXT, name
