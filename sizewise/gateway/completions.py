"""/v1/completions: one Request to the application for each prompt, and their replies as one text completion."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import NotTranslatable, SizewiseError
from sizewise.flows.concurrency import task_group
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.completions_stream import CompletionStream
from sizewise.gateway.error_response import send_error
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.handler import Handler, Request, Send
from sizewise.messages import Reply, reply_size
from sizewise.providers.wires.openai.completion_request import (
    RAW_FIELDS,
    TextCompletion,
    chat_requests,
    read_completion,
)
from sizewise.providers.wires.openai.completion_response import write_completion

BEST_OF_HINT = "leave out `best_of`, or use a model that reports log-probabilities"
PROMPTS_AT_ONCE = 8
"""Prompts of one request that are with a model at a time."""
RAW_HINT = (
    "remove it, or use a model with an endpoint for text completions: an embedded one, or one with "
    '`completions = true` in [models."PROVIDER/MODEL"]'
)


async def completions(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    head.authorize(app, "completions")
    offload = app.resources.offload
    asked, options = await read_payload(offload, read_completion, body, head.options)
    key = options.idempotency_key
    requests = [
        head.request(
            chat,
            replace(options, idempotency_key=f"{key} [{number}]") if key and number else options,
            "completions",
        )
        for number, chat in enumerate(await offload.run(len(body), chat_requests, asked))
    ]
    if asked.stream:
        return await _stream(app, requests, CompletionStream(writer, asked, head.trace), writer, head.trace)
    heard = [ResponseMetadata() for _ in requests]
    try:
        replies = await _answer_all(app.handler, requests, heard)
        size, whole = sum(map(reply_size, replies)), merged(heard)
        model = whole.selection.model if whole.selection is not None else replies[0].model
        id, now = f"cmpl-{whole.answer_id(head.trace)}", whole.created_at()
        written = await offload.run(size, write_completion, asked, replies, id, now, model)
    except SizewiseError as error:
        return await send_error(writer, _named(error, asked), merged(heard).final_headers(head.trace))
    lines = whole.header_lines(head.trace)
    if any(reply.degraded for reply in replies):
        lines += b"x-sizewise-degraded: 1\r\n"
    await writer.send_response(200, [], written, lines)


async def _stream(
    app: Application, requests: Sequence[Request], sse: CompletionStream, writer: ResponseWriter, trace: str
) -> None:
    try:
        await sse.finish(await _answer_all(app.handler, requests, sse.senders))
    except SizewiseError as error:
        if writer.has_started:
            await sse.fail(error)
        else:
            await send_error(writer, _named(error, sse.asked), sse.final_headers(trace))
    finally:
        sse.stop()


async def _answer_all(handler: Handler, requests: Sequence[Request], sends: Sequence[Send]) -> list[Reply]:
    """The replies in the order of the requests. The first error cancels the others and is raised."""
    if len(requests) == 1:
        return [await handler(requests[0], sends[0])]
    places, replies = asyncio.Semaphore(PROMPTS_AT_ONCE), dict[int, Reply]()

    async def answer(number: int) -> None:
        async with places:
            replies[number] = await handler(requests[number], sends[number])

    async with task_group() as group:
        for number in range(len(requests)):
            group.create_task(answer(number))
    return [replies[number] for number in range(len(requests))]


def merged(heard: Sequence[ResponseMetadata]) -> ResponseMetadata:
    """What the headers of all prompts together say: the model of the first, attempts and cost of all."""
    first, *others = heard
    if not others:
        return first
    whole = ResponseMetadata()
    selected = [each.selection for each in heard if each.selection is not None]
    whole.attempts = sum(each.attempts for each in heard)
    costs = [each.cost for each in heard]
    whole.cost = None if None in costs else sum(cost or 0 for cost in costs)
    whole.guardrails = [event for each in heard for event in each.guardrails]
    whole.selection = replace(selected[0], attempts=whole.attempts) if selected else None
    return whole


def _named(error: SizewiseError, asked: TextCompletion) -> SizewiseError:
    """The error in this API's words: `best_of` asks for log-probabilities, which the client did not."""
    if isinstance(error, NotTranslatable) and error.param in RAW_FIELDS:
        error.hint = RAW_HINT
    elif error.param == "logprobs" and asked.logprobs is None:
        error.param, error.hint = "best_of", BEST_OF_HINT
    return error
