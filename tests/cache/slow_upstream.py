"""What the tests of this room share: an upstream that waits in mid-answer until it is told to go on, and its server."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator

from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.running_server import until

CANARY = "canary-in-the-reply-8f2a"


class SlowUpstream(FakeOpenAI):
    """The model `waits` says its first words and then nothing until `go`; `canary` says CANARY. Others as ever."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self._go = asyncio.Event()

    def go(self) -> None:
        """From any thread: those that wait go on."""
        self.loop.call_soon_threadsafe(self._go.set)

    def stay(self) -> None:
        self.loop.call_soon_threadsafe(self._go.clear)

    def fault(self, model: str) -> FaultResponder:
        return {"waits": self._waits, "canary": _canary}.get(model) or super().fault(model)

    async def _waits(self, body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if body.get("stream"):
            writer.write(HEAD + part(b'{"role": "assistant", "content": "First"}'))
            await self._go.wait()
            writer.write(part(b'{"content": " and last"}') + part(b"{}", b'"stop"'))
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            return True
        await self._go.wait()
        return await super().fault("well")(body, reader, writer)

    def asked(self, model: str) -> int:
        return sum(body["model"] == model for body in self.received.bodies)

    def has_been_asked(self, model: str, times: int = 1) -> None:
        until(lambda: self.asked(model) >= times)
        assert self.asked(model) == times


async def _canary(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    if body.get("stream"):
        writer.write(HEAD + part(b'{"content": "%s"}' % CANARY.encode()) + part(b"{}", b'"stop"'))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        return True
    reply = b'{"id": "c", "choices": [{"index": 0, "message": {"content": "%s"}, "finish_reason": "stop"}]}'
    whole = reply % CANARY.encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole) + whole,
    )
    return True


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def part(delta: bytes, finish: bytes = b"null") -> bytes:
    choice = b'{"index": 0, "delta": %s, "finish_reason": %s}' % (delta, finish)
    data = b'data: {"id": "p", "object": "chat.completion.chunk", "model": "p", "choices": [%s]}\n\n' % choice
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextlib.contextmanager
def slow_upstream() -> Iterator[SlowUpstream]:
    """In an event loop of its own."""
    ready: queue.Queue[tuple[SlowUpstream, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        over = asyncio.Event()
        async with SlowUpstream() as upstream:
            ready.put((upstream, over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    upstream, over = ready.get(timeout=60)
    try:
        yield upstream
    finally:
        upstream.go()
        upstream.loop.call_soon_threadsafe(over.set)
        thread.join(60)


MODELS = ("well", "other", "waits", "canary", "refuses", "html", "reset-mid", "hang")


def settings(upstream: str, more: str = "", server: str = "") -> str:
    models = ", ".join(f'"{model}"' for model in MODELS)
    prices = "".join(f'[models."up/{model}"]\nprice = {{input = "1", output = "2"}}\n' for model in MODELS)
    return f"""
[server]
embedded = false
discover = false
{server}
[providers.up]
base_url = "{upstream}"
place = "machine"
models = [{models}]
timeouts = {{connect_s = 5, first_byte_s = 20, idle_s = 20}}
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/vectors"]
task = "embed"
{prices}{more}
"""
