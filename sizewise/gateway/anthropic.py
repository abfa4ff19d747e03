"""/v1/messages and /v1/messages/count_tokens: bytes in, a Request to the application, bytes out."""

from __future__ import annotations

from functools import partial

import msgspec

from sizewise.app.application import Application
from sizewise.errors import SizewiseError
from sizewise.gateway.anthropic_stream import AnthropicStream
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.count_tokens import count_prompt_tokens
from sizewise.gateway.error_response import ErrorFormat, send_error
from sizewise.gateway.messages_search import MessagesSearch, explained, search_before_message
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import JSON, Headers, ResponseWriter, trace_headers
from sizewise.guardrails.marker_cleanup import without_markers
from sizewise.handler import Handler, Request
from sizewise.messages import ChatRequest, reply_size
from sizewise.providers.wires.anthropic.request_in import read_counted, read_request
from sizewise.providers.wires.anthropic.response import write_error, write_reply
from sizewise.providers.wires.anthropic.stream_out import error_event
from sizewise.providers.wires.anthropic.wire import DEFAULT_VERSION, FORWARDED_HEADERS

ERROR_FORMAT = ErrorFormat(write_error, error_event, b"request-id")


async def messages(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    request, search = await search_before_message(app, await _read_request(app, head, body))
    if isinstance(request.payload, ChatRequest) and request.payload.stream:
        return await _stream(app, request, writer, search)
    heard = ResponseMetadata()
    try:
        reply = await _handler(app, search)(request, heard)
        if heard.selection is not None:
            reply = msgspec.structs.replace(reply, model=heard.selection.model)
        run, id = app.resources.offload.run, heard.answer_id(request.trace_id)
        written = await run(reply_size(reply), write_reply, reply, f"msg_{id}")
        if search is not None:
            written = await run(len(written), search.complete, written, id)
    except SizewiseError as error:
        error = explained(error, app, request)
        return await send_error(writer, error, heard.final_headers(request.trace_id), ERROR_FORMAT, request.trace_id)
    degraded = [(b"x-sizewise-degraded", b"1")] if reply.degraded else []
    await writer.send_response(
        200,
        [JSON, *heard.final_headers(request.trace_id), *_request_id_header(request.trace_id), *degraded],
        written,
    )


def _handler(app: Application, search: MessagesSearch | None) -> Handler:
    return app.handler if search is None else without_markers(app.handler)


async def _stream(app: Application, request: Request, writer: ResponseWriter, search: MessagesSearch | None) -> None:
    sse = AnthropicStream(writer, request.payload.model, request.trace_id, search)
    try:
        await sse.finish(await _handler(app, search)(request, sse))
    except SizewiseError as error:
        if writer.has_started:
            await sse.fail(error)
        else:
            error = explained(error, app, request)
            await send_error(writer, error, sse.final_headers(request.trace_id), ERROR_FORMAT, request.trace_id)
    finally:
        sse.stop()


async def count_tokens(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """An estimate says so, in a field and in a header. What a web search would add is not counted."""
    request, _ = await search_before_message(app, await _read_request(app, head, body, counting=True), counting=True)
    count = await count_prompt_tokens(app, request)
    kind = b"estimated" if count.is_estimate else b"exact"
    await writer.send_response(
        200,
        [JSON, *trace_headers(head.trace), *_request_id_header(head.trace), (b"x-sizewise-count", kind)],
        msgspec.json.encode({"input_tokens": count.tokens} | ({"estimated": True} if count.is_estimate else {})),
    )


async def _read_request(app: Application, head: RequestHead, body: bytes, *, counting: bool = False) -> Request:
    head.authorize(app, "messages")
    read = partial(read_request, headers=_forwarded_headers(head.headers), counting=counting)
    what, options = await read_payload(app.resources.offload, read, body, head.options, read_counted)
    return head.request(what, options, "messages")


def _forwarded_headers(headers: Headers) -> dict[str, str]:
    """Client headers that are passed on to a model of the same wire; a repeated header becomes a list."""
    said: dict[str, str] = {}
    for name, value in headers:
        known, text = name.decode("latin-1"), value.decode("latin-1")
        if known in FORWARDED_HEADERS and text != DEFAULT_VERSION:
            said[known] = f"{said[known]}, {text}" if known in said else text
    return said


def _request_id_header(trace: str) -> Headers:
    """Shown by Anthropic's SDKs as the request id."""
    return [(b"request-id", trace.encode())]
