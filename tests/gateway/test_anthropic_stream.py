"""What a client of the Messages wire sees of upstreams that tell parallel calls in turns, and of faults of our own."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from anthropic import Anthropic

from sizewise.app.application import Application
from sizewise.gateway.anthropic import ERROR_FORMAT
from sizewise.gateway.request_handling import handle
from sizewise.gateway.request_head import RequestHead, read_head
from sizewise.gateway.response_writer import Headers, ResponseWriter
from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.gateway.server_harness import Line
from tests.running_server import Served, serving

ASKED: Any = [{"role": "user", "content": "Weather in both?"}]
TOOLS: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
CITIES = ("Zürich", "Oslo", "Łódź")


class InTurns(FakeOpenAI):
    """Tells the arguments of all calls letter by letter, each call one letter at a time, with a word in between."""

    def fault(self, model: str) -> FaultResponder:
        return _in_turns


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = f"data: {json.dumps({'id': 'up', 'model': 'up', 'choices': [choice]})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _in_turns(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    whole = [json.dumps({"city": city}, ensure_ascii=False) for city in CITIES]
    for number in range(len(CITIES)):
        function = {"name": "weather", "arguments": ""}
        writer.write(_chunk({"tool_calls": [{"index": number, "id": f"c{number}", "function": function}]}))
    writer.write(_chunk({"content": "Looking."}))
    for at in range(max(map(len, whole))):
        for number, text in enumerate(whole):
            if letter := text[at : at + 1]:
                writer.write(_chunk({"tool_calls": [{"index": number, "function": {"arguments": letter}}]}))
    writer.write(_chunk({}, "tool_calls") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    return True


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast", "plain"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    ready: queue.Queue[tuple[FakeOpenAI, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        over = asyncio.Event()
        async with InTurns() as upstream:
            ready.put((upstream, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    upstream, loop, over = ready.get(timeout=60)
    config = f"[server]\nembedded = false\ndiscover = false\nfast_path = {request.param}\nmax_body_bytes = 10_000\n"
    config += f'[providers.up]\nbase_url = "{upstream.url}"\n'
    try:
        with serving(tmp_path_factory.mktemp("turns"), config + 'models = ["m"]\n') as running:
            yield running
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)


def test_calls_told_in_turns_are_blocks_one_after_the_other(served: Served) -> None:
    with Anthropic(base_url=served.url, api_key=served.key, max_retries=0) as client:
        with client.messages.stream(model="up/m", max_tokens=99, messages=ASKED, tools=TOOLS) as stream:
            indexes = [event.index for event in stream if event.type == "content_block_start"]
            message = stream.get_final_message()
    uses = [(block.id, block.input) for block in message.content if block.type == "tool_use"]
    assert uses == [(f"c{number}", {"city": city}) for number, city in enumerate(CITIES)]
    assert [block.text for block in message.content if block.type == "text"] == ["Looking."]
    assert indexes == [0, 1, 2, 3] and message.stop_reason == "tool_use"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_body"),
        (b'{"model":"nobody/knows","max_tokens":1,"messages":[{"role":"user","content":"x"}]}', 404, "model_not_found"),
        (b'"' + b"x" * 10_000 + b'"', 413, "body_too_large"),
    ],
)
def test_both_lanes_refuse_in_this_wires_words(served: Served, path: str, body: bytes, status: int, code: str) -> None:
    with Line(served) as line:
        line.say(line.request(path, body))
        answer = line.answer()
    shown: Any = answer.json
    assert (answer.status, shown["type"], shown["error"]["code"]) == (status, "error", code), answer.body
    assert answer.headers["request-id"] == shown["request_id"]


# ---- faults of our own ----------------------------------------------------------------------------------------------


class RecordingWriter:
    """An `ResponseWriter` that keeps what is written."""

    def __init__(self) -> None:
        self.has_started = False
        self.status = 0
        self.headers: Headers = []
        self.body = b""

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        self.has_started, self.status, self.headers, self.body = True, status, headers, body

    async def start_stream(self, headers: Headers) -> None:
        self.has_started, self.headers = True, headers

    async def write(self, data: bytes) -> None:
        self.body += data

    async def end_stream(self) -> None:
        pass

    async def cut_stream(self) -> None:
        pass


@pytest.mark.parametrize("begun", [False, True])
async def test_an_unforeseen_fault_is_told_in_this_wires_words(begun: bool) -> None:
    async def broken(app: Application, seen: RequestHead, body: bytes, out: ResponseWriter) -> None:
        if begun:
            await out.start_stream([])
        raise ZeroDivisionError("a prompt")

    out, services = RecordingWriter(), SimpleNamespace(limiter=SimpleNamespace(has_limits=False))
    app = cast("Application", SimpleNamespace(environments=None, resources=SimpleNamespace(services=services)))
    await handle(broken, app, read_head([], 0.0), b"", out, ERROR_FORMAT)
    data = out.body.removeprefix(b"event: error\ndata: ").removesuffix(b"\n\n")
    shown = json.loads(data)
    assert (data != out.body) is begun
    assert (shown["type"], shown["error"]["type"], shown["error"]["code"]) == ("error", "api_error", "internal_error")
    assert b"a prompt" not in out.body
    if not begun:
        assert out.status == 500 and dict(out.headers)[b"request-id"].decode() == shown["request_id"]
