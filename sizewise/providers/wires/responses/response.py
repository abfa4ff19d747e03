"""Upstream response of the Responses API -> our reply: text, tool calls, reasoning, usage and errors; pure.

Source: the OpenAI API reference, Responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import SizewiseError, UpstreamError
from sizewise.messages import Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.providers.wires.openai import usage_and_errors
from sizewise.providers.wires.openai.usage_and_errors import ABSENT, InputDetails, OutputDetails, protocol_error
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody
from sizewise.providers.wires.responses.request_in import WIRE_NAME

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode

PARAGRAPH_BREAK = "\n\n"
"""Separates parts of reasoning that are joined into one text."""

FINISH_BY_INCOMPLETE_REASON: Mapping[str | None, str] = {"content_filter": "content_filter"}
"""Why a response is incomplete -> finish reason; "length" for every other reason."""

HOSTED_TOOL_ITEMS = frozenset(("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"))
"""Items of the vendor's hosted tools, which cost a fee in addition to tokens."""

# ---- tokens ---------------------------------------------------------------------------------------------------------


class ResponsesUsage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None
    cost: Raw = ABSENT


def read_usage(body: ResponsesUsage | None, tier: str | None = None) -> Usage:
    """Same counts and rules as in the chat API, under other names."""
    if body is None:
        return Usage(estimated=True)
    same = usage_and_errors.OpenAiUsage(
        prompt_tokens=body.input_tokens,
        completion_tokens=body.output_tokens,
        total_tokens=body.total_tokens,
        prompt_tokens_details=body.input_tokens_details,
        completion_tokens_details=body.output_tokens_details,
        cost=body.cost,
    )
    return usage_and_errors.read_usage(same, tier) or Usage(estimated=True)


class InputTokens(Struct):
    input_tokens: Annotated[int, Meta(ge=0)]


def read_count(body: bytes) -> int:
    """Tokens of a prompt. Raises UpstreamProtocolError."""
    try:
        return msgspec.json.decode(body, type=InputTokens).input_tokens
    except msgspec.DecodeError as error:
        raise protocol_error(str(error)) from error


# ---- replies --------------------------------------------------------------------------------------------------------


class IncompleteDetails(Struct):
    reason: str | None = None


class UpstreamResponse(Struct):
    output: list[Json]
    status: str | None = None
    incomplete_details: IncompleteDetails | None = None
    usage: ResponsesUsage | None = None
    model: str | None = None
    id: str | None = None
    service_tier: str | None = None


class UpstreamFunctionCall(Struct):
    call_id: str
    name: str
    arguments: str = ""


_response = msgspec.json.Decoder(UpstreamResponse)


def read_reply(body: bytes) -> Reply:
    """A whole response. The reply's fields keep the original. Raises UpstreamProtocolError or the upstream's error."""
    try:
        seen = _response.decode(body)
        if seen.status == "failed":
            raise read_stream_error(body)
        if seen.status not in (None, "completed", "incomplete"):
            raise UpstreamError(f"the upstream's response has the status {seen.status[:50]!r}", "try again")
        choice = _choice(seen)
        fees = sorted({item["type"] for item in seen.output if item["type"] in HOSTED_TOOL_ITEMS})
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise protocol_error(f"{type(error).__name__} in a response: {error}") from error
    original = OriginalBody(WIRE_NAME, Raw(body)).to_field()
    usage = read_usage(seen.usage, seen.service_tier)
    if fees:
        usage = msgspec.structs.replace(usage, unpriced_reason=", ".join(fees))
    return Reply((choice,), usage, seen.model or "", seen.id or "", fields={ORIGINAL_FIELD: original})


def _choice(response: UpstreamResponse) -> Choice:
    """Adds to the message what clients of other APIs must send back or may show: encrypted reasoning as
    `reasoning_items`, citations as `annotations`.
    """
    parts = [part for item in response.output if item["type"] == "message" for part in item["content"]]
    texts = [part for part in parts if part["type"] == "output_text"]
    text = "".join([part["text"] for part in texts])
    refusal = "".join([part["refusal"] for part in parts if part["type"] == "refusal"])
    reasoning = [item for item in response.output if item["type"] == "reasoning"]
    thought = PARAGRAPH_BREAK.join([words for item in reasoning if (words := _reasoning_text(item))])
    called = [
        msgspec.convert(item, UpstreamFunctionCall) for item in response.output if item["type"] == "function_call"
    ]
    calls = tuple(ToolCall(FunctionCall(item.name, item.arguments), item.call_id) for item in called)
    finish = "tool_calls" if calls else "stop"
    if response.status == "incomplete":
        finish = FINISH_BY_INCOMPLETE_REASON.get(
            response.incomplete_details.reason if response.incomplete_details else None,
            "length",
        )
    message: Json = {
        "refusal": refusal,
        "annotations": [each for part in texts for each in part.get("annotations") or ()],
        "reasoning_items": [item for item in reasoning if item.get("encrypted_content")],
    }
    more = {name: value for name, value in message.items() if value}
    whole: Json = {"role": "assistant", "content": text or None}
    whole |= {"reasoning_content": thought} if thought else {}
    whole |= {"tool_calls": calls} if calls else {}
    tokens = [token for part in texts for token in part.get("logprobs") or ()]
    logprobs = Raw(_encode({"content": tokens})) if tokens else None
    kept = Raw(_encode(whole | more)) if more else None
    return Choice(
        index=0, text=text, finish_reason=finish, tool_calls=calls, reasoning=thought, logprobs=logprobs, message=kept
    )


def _reasoning_text(item: Json) -> str:
    """The summary if there is one, else the reasoning itself."""
    return PARAGRAPH_BREAK.join([part["text"] for part in item.get("summary") or item.get("content") or ()])


def read_vectors(body: bytes) -> Reply:
    raise protocol_error("this wire has no embeddings")


# ---- errors ---------------------------------------------------------------------------------------------------------


class ResponseErrorDetail(Struct):
    code: str | None = None
    message: str | None = None


class ResponseErrorBody(Struct):
    """A failed response or an `error` event; the event may also have the fields at the top level."""

    error: ResponseErrorDetail | None = None
    code: str | None = None
    message: str | None = None


STATUS_BY_ERROR_CODE: Mapping[str | None, int] = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_is_overloaded": 503,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "image_content_policy_violation": 400,
}
"""The status an error in mid-stream would have had; 502 for every other code."""


def read_stream_error(payload: bytes) -> SizewiseError:
    """An error sent after the status line: a failed response or an error event."""
    try:
        seen = msgspec.json.decode(payload, type=ResponseErrorBody)
    except (msgspec.DecodeError, RecursionError):
        seen = ResponseErrorBody()
    told = seen.error or ResponseErrorDetail(seen.code, seen.message)
    body = {"error": {"message": told.message or "", "code": told.code}}
    return usage_and_errors.read_error(STATUS_BY_ERROR_CODE.get(told.code, 502), None, _encode(body))
