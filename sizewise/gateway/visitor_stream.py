"""The answer that a visitor of a widget gets: its text as it comes, and its sources; not which model gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.app.application import Application
from sizewise.errors import SizewiseError
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.chat_search import citing, explained, may_search_chat, search_before_chat
from sizewise.gateway.error_response import send_error
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter, trace_headers
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.guardrails.marker_cleanup import without_markers
from sizewise.handler import Event, TextDelta
from sizewise.providers.wires.openai.request_response import read_request, write_error
from sizewise.providers.wires.sse import DONE_FRAME, KEEP_ALIVE_COMMENT, encode_event
from sizewise.widgets.visitor_sources import visitor_sources

_encode = msgspec.json.Encoder().encode


class FlowFields(Struct):
    """What is read of the `sizewise` object of a flow's reply."""

    outputs: Any = None


async def answer_visitor(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """A route handler, like openai.chat_completions. `body`: a chat request that streams."""
    head.authorize(app, "chat")
    what, options = await read_payload(app.resources.offload, read_request, body, head.options)
    request = head.request(what, options, "chat")
    request, found = await search_before_chat(app, request) if may_search_chat(app, request, what) else (request, None)
    stream, handler = VisitorStream(writer, head.trace), app.handler if found is None else without_markers(app.handler)
    try:
        reply = await handler(request, stream if found is None else citing(stream, found))
        ours = bytes(reply.fields.get("sizewise", b""))
        await stream.finish(await app.resources.offload.run(len(ours), _outputs, ours))
    except SizewiseError as error:
        if writer.has_started:
            await stream.fail(error)
        else:
            await send_error(writer, explained(error, app, request), trace_headers(head.trace))
    finally:
        stream.stop()


def _outputs(sizewise: bytes) -> dict[str, object]:
    """Of a flow; nothing else has any."""
    found = msgspec.json.decode(sizewise, type=FlowFields).outputs if sizewise else None
    return found if isinstance(found, dict) else {}


class VisitorStream:
    """A `send` that writes the text of an answer, as chunks of the OpenAI API without the model, and nothing else."""

    def __init__(self, writer: ResponseWriter, trace: str) -> None:
        self._writer = writer
        self._trace = trace
        self._said: list[str] = []
        self._keep_alive = KeepAlive(writer, KEEP_ALIVE_COMMENT)

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TextDelta) and event.text and not event.choice:
            self._said.append(event.text)
            await self._write({"choices": [{"index": 0, "delta": {"content": event.text}}]})

    async def finish(self, outputs: Mapping[str, object]) -> None:
        """Writes the sources that a flow outputs, if there are any, and the end mark."""
        sources = visitor_sources(outputs, "".join(self._said))
        if sources:
            await self._write({"choices": [], "sources": sources})
        await self._begin()
        await self._writer.write(DONE_FRAME)
        self.stop()
        await self._writer.end_stream()

    async def fail(self, error: SizewiseError) -> None:
        """Writes one error event, and cuts the stream: half an answer is not a whole one."""
        await self._writer.write(encode_event(write_error(error)))
        self.stop()
        await self._writer.cut_stream()

    def stop(self) -> None:
        self._keep_alive.stop()

    async def _write(self, chunk: dict[str, object]) -> None:
        await self._begin()
        self._keep_alive.has_written = True
        await self._writer.write(encode_event(_encode(chunk)))

    async def _begin(self) -> None:
        if not self._writer.has_started:
            await self._writer.start_stream([*SSE_HEADERS, *trace_headers(self._trace)])
            self._keep_alive.start()
