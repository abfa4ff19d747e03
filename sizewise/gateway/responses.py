"""/v1/responses and its token counts: bytes in, a Request to the application, bytes out."""

from __future__ import annotations

import time
from functools import partial

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.app.store_dispatcher import NeedsStore
from sizewise.errors import Conflict, SizewiseError
from sizewise.gateway import background
from sizewise.gateway.body_reading import read_long_body
from sizewise.gateway.count_tokens import count_prompt_tokens
from sizewise.gateway.error_response import OPENAI_ERRORS, ErrorFormat, send_error
from sizewise.gateway.file_search import NO_PAYLOAD, asks_for_file_search
from sizewise.gateway.hosted_search import (
    SearchCalls,
    SearchedRequest,
    asks_for_search,
    explained,
    plan_searches,
    search_before_answer,
)
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_prompts import with_prompt
from sizewise.gateway.response_routes import PrincipalResponse, show
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.gateway.responses_query import StreamQuery
from sizewise.gateway.responses_storage import (
    RESPONSE_ID_PREFIX,
    PrincipalResponses,
    chain_id,
    context_items,
    first_envelope,
    new_envelope,
    repeatable_envelope,
    tighten_options,
)
from sizewise.gateway.responses_stream import ResponsesStream, SaveResponse
from sizewise.handler import Request, RequestOptions
from sizewise.messages import ChatRequest, reply_size
from sizewise.offload.offload import LONG_BYTES
from sizewise.providers.wires.responses.request_in import ResponsesRequest, read_countable_request, read_request
from sizewise.providers.wires.responses.response_object import ResponseEnvelope
from sizewise.providers.wires.responses.stream_out import error_event
from sizewise.routing.admission import check_key_policies
from sizewise.telemetry.request_labels import with_labels

ERROR_FORMAT = ErrorFormat(OPENAI_ERRORS.body, lambda error, trace: error_event(error))


async def create(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    kept = _responses_of(app, head)
    offload = app.resources.offload
    asked = read_request(body) if len(body) < LONG_BYTES else await read_long_body(offload, read_request, body)
    if not app.resources.role.owns_store and (asked.body.background or asks_for_file_search(asked)):
        raise NeedsStore
    previous = await kept.previous(asked.body.previous_response_id)
    is_long = len(body) + (0 if previous is None else len(previous.context)) >= LONG_BYTES
    before = await offload.in_thread(context_items, previous) if is_long else context_items(previous)
    if asked.body.background:
        background.check_storable(asked)
    made = new_envelope(asked)
    prompted = with_prompt(asked, app.resources.prompts, head.authorize(app, "responses"))
    asked = prompted.asked
    options = tighten_options(_with_chain_session(prompted.options(_options(head, asked)), made), previous)
    request = replace(head.request(NO_PAYLOAD, options, "responses"), response_id=made.id)
    if asked.body.background:
        if asks_for_search(app, request, asked):
            await plan_searches(app, request, asked)  # refuses at once what is known to fail
        chat = await offload.in_thread(asked.to_chat, before) if is_long else asked.to_chat(before)
        request = replace(request, payload=chat)
        if (key := request.options.idempotency_key) is not None:
            made = repeatable_envelope(made, request.principal, key)
        return await _create_in_background(app, head, request, asked, before, made, writer)
    searched = SearchedRequest(asked, before)
    if asks_for_search(app, request, asked):
        searched = await search_before_answer(app, request, asked, before)
    to_chat, calls = searched.asked.to_chat, searched.calls
    chat = await offload.in_thread(to_chat, searched.before) if is_long else to_chat(searched.before)
    request = replace(request, payload=chat, options=calls.tighten(request.options))
    keep: SaveResponse = partial(
        kept.save, request=asked, own_id=made.id, prior_items=before, offload=offload if is_long else None
    )
    if asked.body.stream:
        return await _stream(app, request, made, keep, writer, asked, calls)
    listening = ResponseMetadata()
    try:
        reply = await calls.wrap(app.handler)(request, listening)
    except SizewiseError as error:
        return await send_error(
            writer, explained(error, app, request, asked), listening.final_headers(request.trace_id)
        )
    if listening.selection is not None:
        reply = replace(reply, model=listening.selection.model)
    made = first_envelope(made, listening.selection)
    is_long = is_long or reply_size(reply) >= LONG_BYTES
    now = reply.completed_at or int(time.time())
    whole = await offload.in_thread(made.completed, reply, now) if is_long else made.completed(reply, now)
    shown = await keep(calls.complete(whole, made), listening.selection)
    degraded = [(b"x-sizewise-degraded", b"1")] if reply.degraded else []
    await writer.send_response(
        200,
        [JSON, *listening.final_headers(request.trace_id), *degraded],
        await offload.in_thread(msgspec.json.encode, shown) if is_long else msgspec.json.encode(shown),
    )


async def _create_in_background(
    app: Application,
    head: RequestHead,
    request: Request,
    asked: ResponsesRequest,
    before: list[Raw],
    envelope: ResponseEnvelope,
    writer: ResponseWriter,
) -> None:
    """Refuses at once what is known to fail, such as an unknown model; limits and guardrails see it when it runs. A
    retry under an idempotency key is the same response.
    """
    assert isinstance(request.payload, ChatRequest)
    check_key_policies(request, app.aliases(request.payload, request.options.policy))
    earlier = PrincipalResponse(app, head, envelope.id)
    query = StreamQuery(stream=bool(asked.body.stream))
    is_retryable = request.options.idempotency_key is not None
    if is_retryable and await earlier.exists():
        return await show(app, head, earlier, query, writer)
    try:
        active = await background.submit(app, head, request.principal, asked, before, envelope, request.options)
    except Conflict:
        if not is_retryable:
            raise
        return await show(app, head, earlier, query, writer)
    if asked.body.stream:
        return await background.stream_events(app, active, -1, head, writer)
    await background.write_queued(envelope, request.payload.model, head, writer)


async def _stream(
    app: Application,
    request: Request,
    envelope: ResponseEnvelope,
    save: SaveResponse,
    writer: ResponseWriter,
    asked: ResponsesRequest,
    calls: SearchCalls,
) -> None:
    sse = ResponsesStream(writer, envelope, request.payload.model, request.trace_id, searches=calls)
    try:
        await sse.finish(await calls.wrap(app.handler)(request, sse), save)
    except SizewiseError as error:
        if writer.has_started:
            await sse.fail(error)
        else:
            await send_error(writer, explained(error, app, request, asked), sse.final_headers(request.trace_id))
    finally:
        sse.stop()


async def count_input_tokens(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/responses/input_tokens: exact where the model's tokenizer is here, else `estimated`."""
    kept = _responses_of(app, head)
    asked = read_countable_request(body)
    previous = await kept.previous(asked.body.previous_response_id)
    prompted = with_prompt(asked, app.resources.prompts, head.authorize(app, "responses"))
    asked = prompted.asked
    options = tighten_options(prompted.options(_options(head, asked)), previous)
    request = head.request(asked.to_chat(context_items(previous)), options, "responses")
    count = await count_prompt_tokens(app, request)
    shown = {"object": "response.input_tokens", "input_tokens": count.tokens, "estimated": count.is_estimate}
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], msgspec.json.encode(shown))


def _responses_of(app: Application, head: RequestHead) -> PrincipalResponses:
    """The stored responses of this caller. Raises InvalidApiKey or Forbidden."""
    services = app.resources.services
    return PrincipalResponses(services.stored_responses, head.authorize(app, "responses"), services.background)


def _options(head: RequestHead, asked: ResponsesRequest) -> RequestOptions:
    """With the labels of the body; its translation to a chat has not all of them."""
    return with_labels(parse_options(head.options, asked.sizewise), asked.raw_fields)


def _with_chain_session(options: RequestOptions, envelope: ResponseEnvelope) -> RequestOptions:
    """A chain of responses is a session, unless the client names one.

    Not so for the first response under an idempotency key: a retry is the same request, and has another response id.
    """
    if options.session is not None or not (envelope.store or envelope.previous_response_id):
        return options
    if options.idempotency_key is not None and not envelope.previous_response_id:
        return options
    return replace(options, session=RESPONSE_ID_PREFIX + chain_id(envelope.id))
