"""Queries go before documents that are being embedded: in a remote model's queue and in the embedded model's turns."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sizewise.handler import discard_events
from sizewise.messages import EmbeddingRequest
from sizewise.providers.echo import echo_card
from sizewise.providers.local.embedding import TURN_CHARS, LocalEmbeddingModel, split_turns
from tests.conftest import weights
from tests.knowledge.knowledge_server import add, embed, search
from tests.routing.router_harness import asking, chat
from tests.running_server import Served, serving, until

QUERY = "When does the gate close?"


@dataclass
class Embedder:
    """An embedding server that answers when the test says so. `came`: the first text of each request, in order."""

    url: str = ""
    came: list[str] = field(default_factory=list)
    answers: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def embedder() -> Iterator[Embedder]:
    upstream = Embedder()

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
            upstream.came.append(texts[0])
            upstream.answers.acquire()
            data = [
                {"object": "embedding", "index": at, "embedding": [1.0, len(each)]} for at, each in enumerate(texts)
            ]
            body = json.dumps({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1}}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    upstream.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield upstream
    finally:
        for _ in range(100):
            upstream.answers.release()
        server.shutdown()
        server.server_close()


def queued(server: Served) -> float:
    lines = server.ask("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("sizewise_slots_queued{"))


@pytest.mark.long
def test_a_query_overtakes_the_documents_that_wait_for_a_remote_model(tmp_path: Path) -> None:
    with embedder() as upstream, ThreadPoolExecutor(8) as together:
        config = f"""
[server]
embedded = false
discover = false
[providers.far]
wire = "openai"
base_url = "{upstream.url}"
place = "machine"
models = ["vectors"]
[models."far/vectors"]
task = "embed"
slots = 1
"""
        with serving(tmp_path, config) as server:
            for number in range(4):
                add(server, "a.md", f"Document of base {number}.", f"base{number}")
            upstream.answers.release()
            embed(server, "base0")  # a query needs a base that has vectors
            batches = []
            for number in (1, 2, 3):
                batches.append(together.submit(embed, server, f"base{number}"))
                until(lambda number=number: len(upstream.came) + queued(server) == 1 + number)
            asked = together.submit(search, server, QUERY, "base0", mode="vector")
            until(lambda: queued(server) == 3)
            for _ in range(4):
                upstream.answers.release()
            assert asked.result()
            assert [batch.result() for batch in batches] == [1, 1, 1]
            assert upstream.came[2] == QUERY, "behind the batch in progress, before those that waited"


@pytest.mark.long
def test_a_query_is_answered_while_hundreds_of_texts_are_embedded(tmp_path: Path) -> None:
    file, cache = weights("minilm-l6-v2"), tmp_path / "cache" / "models"
    cache.mkdir(parents=True)
    (cache / file.name).symlink_to(file)
    config = '[server]\ndiscover = false\n[providers.echo]\nwire = "echo"\nplace = "process"\nmodels = ["small"]\n'
    with serving(tmp_path / "home", config, SIZEWISE_CACHE=str(cache.parent)) as server, ThreadPoolExecutor(1) as aside:

        def vectors(*texts: str) -> int:
            body = {"model": "auto", "input": list(texts)}
            answer: Any = server.ask("/v1/embeddings", body, timeout=120).json
            return len(answer["data"])

        vectors("the worker has started")
        batch = aside.submit(vectors, *[f"passage {number} " + "of some length " * 20 for number in range(120)])
        for _ in range(5):
            assert vectors(QUERY) == 1
        assert not batch.done(), "five queries, one after the other, were answered before it"
        assert batch.result() == 120


@pytest.mark.long
async def test_turns_of_documents_come_after_those_of_queries_and_not_never() -> None:
    model = LocalEmbeddingModel(echo_card("echo/words"), weights("minilm-l6-v2"), 1)
    ended = list[str]()

    async def ask(name: str, texts: list[str], background: bool) -> None:
        payload = EmbeddingRequest("m", texts, {})
        request = asking(chat("x"))
        request = type(request)(payload, request.principal, request.trace_id, request.started_at, background=background)
        reply = await model(request, discard_events)
        assert len(reply.embeddings) == len(texts)
        ended.append(name)

    long = "word " * (TURN_CHARS // 10)
    documents = asyncio.create_task(ask("documents", [long] * 6, True))
    await asyncio.sleep(0)
    await asyncio.gather(*(ask(f"query {number}", ["short"], False) for number in range(4)))
    await documents
    await model.stop(0)
    assert ended == ["query 0", "query 1", "query 2", "query 3", "documents"]


@pytest.mark.parametrize(
    ("sizes", "turns"),
    [
        ([], []),
        ([10], [[0]]),
        ([TURN_CHARS * 3], [[0]]),
        ([1, TURN_CHARS * 2, 1], [[1], [0, 2]]),
        ([TURN_CHARS // 2] * 5, [[0, 1], [2, 3], [4]]),
    ],
)
def test_a_turn_is_short_whatever_the_texts(sizes: list[int], turns: list[list[int]]) -> None:
    assert list(split_turns(["a" * size for size in sizes])) == turns


@pytest.mark.long
async def test_vectors_stand_in_the_order_of_their_texts() -> None:
    model = LocalEmbeddingModel(echo_card("echo/words"), weights("minilm-l6-v2"), 1)
    texts = ["bread " * (3 + 40 * (number % 3)) + str(number) for number in range(9)]
    request = asking(chat("x"))

    async def vectors(*some: str) -> list[tuple[float, ...]]:
        payload = EmbeddingRequest("m", list(some), {})
        asked = type(request)(payload, request.principal, request.trace_id, request.started_at)
        return list((await model(asked, discard_events)).embeddings)

    together = await vectors(*texts)
    for text, beside in zip(texts, together, strict=True):
        (alone,) = await vectors(text)
        assert sum(a * b for a, b in zip(alone, beside, strict=True)) > 0.98
    await model.stop(0)
