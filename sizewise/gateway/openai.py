"""/v1/chat/completions and /v1/embeddings: bytes in, a Request to the application, bytes out."""

from __future__ import annotations

import msgspec

from sizewise.app.application import Application
from sizewise.errors import SizewiseError
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.chat_search import citing, explained, may_search_chat, search_before_chat, with_citations
from sizewise.gateway.error_response import send_error
from sizewise.gateway.openai_stream import OpenAiStream
from sizewise.gateway.progress_stream import ProgressStream
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.guardrails.marker_cleanup import without_markers
from sizewise.messages import reply_size
from sizewise.offload.offload import LONG_BYTES
from sizewise.providers.wires.openai.request_response import read_embed, read_request, write_reply, write_vectors


async def chat_completions(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    head.authorize(app, "chat")
    what, options = await read_payload(app.resources.offload, read_request, body, head.options)
    request = head.request(what, options, "chat")
    request, found = await search_before_chat(app, request) if may_search_chat(app, request, what) else (request, None)
    handler = app.handler if found is None else without_markers(app.handler)
    if what.stream:
        sse = (ProgressStream if options.progress else OpenAiStream)(writer, what, head.trace)
        try:
            return await sse.finish(await handler(request, sse if found is None else citing(sse, found)))
        except SizewiseError as error:
            if writer.has_started:
                return await sse.fail(error)
            return await send_error(writer, explained(error, app, request), sse.final_headers(head.trace))
        finally:
            sse.stop()
    heard = ResponseMetadata()
    try:
        reply = await handler(request, heard)
    except SizewiseError as error:
        return await send_error(writer, explained(error, app, request), heard.final_headers(head.trace))
    lines = heard.header_lines(head.trace) + (b"x-sizewise-degraded: 1\r\n" if reply.degraded else b"")
    if heard.selection is not None and reply.body is None:
        reply = msgspec.structs.replace(reply, model=heard.selection.model)  # as in streams
    id, created, offload = f"chatcmpl-{heard.answer_id(head.trace)}", heard.created_at(), app.resources.offload
    short = reply.body is not None or reply_size(reply) < LONG_BYTES  # nearly every answer: without a coroutine
    written = write_reply(reply, id, created) if short else await offload.in_thread(write_reply, reply, id, created)
    written = written if found is None else await offload.run(len(written), with_citations, written, found)
    await writer.send_response(200, [], written, lines)


async def embeddings(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    head.authorize(app, "embeddings")
    what, options = await read_payload(app.resources.offload, read_embed, body, head.options)
    heard = ResponseMetadata()
    try:
        reply = await app.handler(head.request(what, options, "embeddings"), heard)
    except SizewiseError as error:
        return await send_error(writer, error, heard.final_headers(head.trace))
    size = 0 if reply.body is not None else reply_size(reply)
    written = await app.resources.offload.run(size, write_vectors, reply, what.base64)
    await writer.send_response(200, [], written, heard.header_lines(head.trace))
