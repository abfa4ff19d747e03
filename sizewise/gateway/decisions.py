"""/v1/decisions: typed questions about one input, each asked as a chat with a closed schema, and answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.decisions.certificate import RungAnswer
from sizewise.decisions.ladder_middleware import DECISION_FIELD
from sizewise.errors import BadRequest, SizewiseError
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.decisions_request import DecisionCall, answer_of, question_chat, read_decision
from sizewise.gateway.error_response import send_error
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.web_query import FLOW_PREFIX
from sizewise.handler import RequestOptions
from sizewise.messages import NO_USAGE, Reply, Usage
from sizewise.providers.wires.openai.decision_upstream import OPTION_FIELD, OptionAnswer
from sizewise.routing.run_all import run_all

QUESTIONS_AT_ONCE = 4


class DecisionResult(Struct, frozen=True):
    """The reply to each question in their order, and what was heard meanwhile."""

    call: DecisionCall
    replies: list[Reply]
    metadata: ResponseMetadata

    @property
    def usage(self) -> Usage:
        return sum((reply.usage for reply in self.replies), NO_USAGE)

    @property
    def model(self) -> str:
        chosen = self.metadata.selection
        return self.call.model if chosen is None else chosen.model

    def answers(self) -> tuple[list[dict[str, object]], list[str]]:
        """In the form of `/v1/decisions`, and the rung of each."""
        answers, rungs = [], []
        for question, reply in zip(self.call.questions, self.replies, strict=True):
            found = _rung_answer(reply)
            answers.append(answer_of(question, reply.text, found))
            rungs.append("large" if found is None else found.rung if isinstance(found, RungAnswer) else found.source)
        return answers, rungs


async def decisions(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    await answer_decision(app, head, body, writer, read_decision, _write)


async def answer_decision(
    app: Application,
    head: RequestHead,
    body: bytes,
    writer: ResponseWriter,
    read: Callable[..., tuple[DecisionCall, Raw | None]],
    write: Callable[[DecisionResult], bytes],
) -> None:
    """`read` and `write`: of the wire that the client speaks."""
    head.authorize(app, "decisions")
    call, options = await read_payload(app.resources.offload, read, body, head.options)
    if call.model.startswith(FLOW_PREFIX):
        hint = "name a model or a policy; within a flow, the node `classify` decides"
        raise BadRequest("a flow answers no decisions", hint, param="model")
    heard = [ResponseMetadata() for _ in call.questions]
    replies: dict[int, Reply] = {}
    places = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def ask(number: int) -> None:
        async with places:
            payload = question_chat(call.questions[number], call.model, call.text)
            request = head.request(payload, _own_options(options, number, len(call.questions)), "decisions")
            replies[number] = await app.handler(request, heard[number])

    try:
        await run_all([ask(number) for number in range(len(call.questions))])
    except SizewiseError as error:
        return await send_error(writer, error, _merged(heard).final_headers(head.trace))
    size = sum(len(reply.text) for reply in replies.values())
    result = DecisionResult(call, [replies[number] for number in range(len(call.questions))], _merged(heard))
    written = await app.resources.offload.run(size, partial(write, result))
    await writer.send_response(200, [], written, result.metadata.header_lines(head.trace))


def _own_options(options: RequestOptions, number: int, count: int) -> RequestOptions:
    """Several questions are several requests: each has a key of its own, that is the same in a retry."""
    if options.idempotency_key is None or count == 1:
        return options
    return replace(options, idempotency_key=f"{options.idempotency_key}/{number}")


def _merged(heard: list[ResponseMetadata]) -> ResponseMetadata:
    """The model and reason of the first question, and the cost of all."""
    whole = ResponseMetadata()
    whole.selection = next((each.selection for each in heard if each.selection is not None), None)
    whole.attempts = sum(each.attempts for each in heard)
    whole.cost = None if any(each.cost is None for each in heard) else sum(each.cost or 0 for each in heard)
    whole.guardrails = [found for each in heard for found in each.guardrails]
    return whole


def _rung_answer(reply: Reply) -> RungAnswer | OptionAnswer | None:
    if DECISION_FIELD in reply.fields:
        return msgspec.json.decode(reply.fields[DECISION_FIELD], type=RungAnswer)
    raw = reply.fields.get(OPTION_FIELD)
    return None if raw is None else msgspec.json.decode(raw, type=OptionAnswer)


def _write(result: DecisionResult) -> bytes:
    (answers, rungs), usage = result.answers(), result.usage
    return msgspec.json.encode(
        {
            "answers": answers,
            "model": result.model,
            "usage": {
                "input_tokens": usage.input,
                "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.input + usage.output,
            },
            "sizewise": {"rungs": rungs},
        }
    )
