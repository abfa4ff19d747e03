"""Whole responses, usage and errors of the Messages API, read from an upstream and written for a client; pure.

Source: the Anthropic API reference, Messages and Errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import ContextLengthExceeded, NotTranslatable, SizewiseError
from sizewise.messages import Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.providers.wires.anthropic.request_in import WIRE_NAME
from sizewise.providers.wires.openai import usage_and_errors
from sizewise.providers.wires.openai.usage_and_errors import protocol_error
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody, original_body

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode

FINISH_BY_STOP_REASON: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
STOP_REASON_BY_FINISH: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


# ---- tokens ---------------------------------------------------------------------------------------------------------


class AnthropicOutputDetails(Struct):
    thinking_tokens: int = 0


class CacheCreation(Struct):
    ephemeral_1h_input_tokens: int | None = None


class ServerToolUse(Struct):
    web_search_requests: int | None = None


class AnthropicUsage(Struct):
    """Cumulative usage from message_start and message_delta; None if not reported."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: AnthropicOutputDetails | None = None
    cache_creation: CacheCreation | None = None
    server_tool_use: ServerToolUse | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None


def read_usage(body: AnthropicUsage | None) -> Usage:
    """The API's `input_tokens` excludes cache reads and writes; `Usage.input` includes them."""
    if body is None or body.input_tokens is None or not 0 <= body.input_tokens <= usage_and_errors.MAX_TOKEN_COUNT:
        return Usage(estimated=True)
    details, kept = body.output_tokens_details, body.cache_creation
    hour = (kept.ephemeral_1h_input_tokens or 0) if kept else 0
    cached, written = body.cache_read_input_tokens or 0, max(body.cache_creation_input_tokens or 0, hour)
    return Usage(
        input=body.input_tokens + cached + written,
        output=body.output_tokens or 0,
        cached=cached,
        cache_write=written,
        reasoning=details.thinking_tokens if details else 0,
        cache_write_1h=hour,
        unpriced_reason=_unpriced(body),
    )


STANDARD_GEOS = frozenset((None, "", "global", "not_available"))
"""Values of `inference_geo` at the standard price; inference in a single country costs more."""


def _unpriced(body: AnthropicUsage) -> str:
    searches = body.server_tool_use.web_search_requests if body.server_tool_use else 0
    if body.service_tier not in (None, "standard"):
        return f"service tier {body.service_tier!r}"
    if body.speed not in (None, "standard"):
        return f"speed {body.speed!r}"
    if body.inference_geo not in STANDARD_GEOS:
        return f"inference in {body.inference_geo!r}"
    return "web searches" if searches else ""


def write_usage(usage: Usage) -> Json:
    """Strict clients require every field; cache writes of unknown lifetime are reported as five minutes."""
    return {
        "input_tokens": usage.input - usage.cached - usage.cache_write,
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write - usage.cache_write_1h,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": None,
    }


def write_final_usage(usage: Usage) -> Json:
    """The usage at the end of a stream, whose type has fewer fields."""
    return {name: value for name, value in write_usage(usage).items() if name in FINAL_USAGE}


# ---- replies --------------------------------------------------------------------------------------------------------


class AnthropicMessage(Struct):
    content: list[Json]
    stop_reason: str | None = None
    usage: AnthropicUsage | None = None
    model: str | None = None
    id: str | None = None


_message = msgspec.json.Decoder(AnthropicMessage)


def read_reply(body: bytes) -> Reply:
    """A whole message. The original is kept in the reply's fields. Raises UpstreamProtocolError."""
    try:
        seen = _message.decode(body)
        choice = _choice(seen)
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError) as error:
        raise protocol_error(f"{type(error).__name__} in a message: {error}") from error
    original = OriginalBody(WIRE_NAME, Raw(body)).to_field()
    return Reply((choice,), read_usage(seen.usage), seen.model or "", seen.id or "", fields={ORIGINAL_FIELD: original})


def _choice(upstream: AnthropicMessage) -> Choice:
    """Signed reasoning is added to the message as `thinking_blocks`, so that any client can send it back."""
    by_type = {kind: [b for b in upstream.content if b["type"] == kind] for kind in ("text", "thinking", "tool_use")}
    text = "".join(block["text"] for block in by_type["text"])
    thought = "".join(block["thinking"] for block in by_type["thinking"])
    calls = tuple(
        ToolCall(FunctionCall(block["name"], _encode(block["input"]).decode()), block["id"])
        for block in by_type["tool_use"]
    )
    finish = FINISH_BY_STOP_REASON.get(upstream.stop_reason or "", "stop")
    signed = [block for block in upstream.content if block["type"] in ("thinking", "redacted_thinking")]
    if not signed:
        return Choice(index=0, text=text, finish_reason=finish, tool_calls=calls, reasoning=thought)
    message: Json = {"role": "assistant", "content": text or None, "reasoning_content": thought}
    if calls:
        message["tool_calls"] = calls
    return Choice(
        index=0,
        text=text,
        finish_reason=finish,
        tool_calls=calls,
        reasoning=thought,
        message=Raw(_encode({**message, "thinking_blocks": signed})),
    )


def read_vectors(body: bytes) -> Reply:
    raise protocol_error("this wire has no embeddings")


class TokenCount(Struct):
    input_tokens: int


def read_count(body: bytes) -> int:
    """The tokens of a prompt, counted by the upstream. Raises UpstreamProtocolError."""
    try:
        return msgspec.json.decode(body, type=TokenCount).input_tokens
    except msgspec.DecodeError as error:
        raise protocol_error(f"{type(error).__name__} in a count of tokens") from error


def write_reply(reply: Reply, id: str) -> bytes:
    """A message for a client: the upstream's own body if it used this wire and is unchanged, else a new one."""
    original = original_body(reply.fields, WIRE_NAME)
    if original is not None and not reply.degraded and read_reply(bytes(original.body)).choices == reply.choices:
        return bytes(original.body)
    return _encode(build_message(reply, id) | ({"degraded": reply.degraded} if reply.degraded else {}))


class RefusalMessage(Struct):
    """The refusal in a message of the internal format."""

    refusal: str | None = None


def build_message(reply: Reply, id: str) -> Json:
    choice = reply.choices[0] if reply.choices else Choice()
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": _content(choice),
        "stop_reason": stop_reason(reply),
        "stop_sequence": None,
        "stop_details": stop_details(choice),
        "container": None,
        "usage": write_usage(reply.usage),
    }


def stop_reason(reply: Reply) -> str:
    finish = reply.choices[0].finish_reason if reply.choices else None
    return STOP_REASON_BY_FINISH.get(finish or "stop", "end_turn")


def stop_details(choice: Choice) -> Json | None:
    """Why the model refused; its category is not known of another wire."""
    if choice.finish_reason != "content_filter":
        return None
    return {"type": "refusal", "category": None, "explanation": _refusal(choice)}


def _refusal(choice: Choice) -> str | None:
    return None if choice.message is None else msgspec.json.decode(choice.message, type=RefusalMessage).refusal


def _content(choice: Choice) -> list[Json]:
    blocks: list[Json] = []
    if choice.reasoning:
        blocks.append({"type": "thinking", "thinking": choice.reasoning, "signature": ""})
    if text := choice.text or _refusal(choice):
        blocks.append(text_block(text))
    for number, call in enumerate(choice.tool_calls):
        function = call.function or FunctionCall("")
        blocks.append({**tool_use_block(call.id, function.name, number), "input": _input(function)})
    return blocks


def text_block(text: str) -> Json:
    return {"type": "text", "text": text, "citations": []}


def tool_use_block(id: str, name: str, number: int) -> Json:
    """`caller`: the model itself made the call; strict clients require the field."""
    return {"type": "tool_use", "id": id or f"toolu_{number}", "name": name, "input": {}, "caller": {"type": "direct"}}


def _input(function: FunctionCall) -> object:
    """Arguments as an object. Raises UpstreamProtocolError if they are not a JSON object, which this API requires."""
    try:
        read = msgspec.json.decode(function.arguments or "{}")
    except msgspec.DecodeError as error:
        raise protocol_error(f"the arguments of the call to {function.name!r} are not JSON") from error
    if not isinstance(read, dict):
        raise protocol_error(f"the arguments of the call to {function.name!r} are not an object")
    return read


# ---- errors ---------------------------------------------------------------------------------------------------------

FINAL_USAGE = frozenset(
    {
        *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        *("output_tokens_details", "server_tool_use"),
    },
)
"""Fields of the usage in `message_delta`."""

ERROR_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
STATUS_BY_ERROR_TYPE: Mapping[str, int] = {kind: status for status, kind in ERROR_TYPES.items()} | {
    "invalid_request_error": 400,
}


def write_error(error: SizewiseError, trace: str = "") -> bytes:
    """The API's error object with our code, hint and docs page."""
    kind = ERROR_TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")
    shown: dict[str, object] = {"type": kind, "message": error.message, "code": error.shown_code, "param": error.param}
    shown |= {"hint": error.hint, "docs": f"docs/errors/{error.code}.md"}
    if isinstance(error, NotTranslatable) and error.param == "thread":
        shown["details"] = THREAD_UNSUPPORTED
    return _encode({"type": "error", "error": shown, "request_id": trace or None})


THREAD_UNSUPPORTED: Mapping[str, object] = {"error_code": "thread_unsupported_request", "unsupported": ["model"]}
"""Read by Anthropic's SDKs: on this error a tool runner resends the whole conversation, and keeps doing so."""


class ErrorReason(Struct, frozen=True):
    error_code: str = ""


class AnthropicErrorDetail(Struct, frozen=True):
    type: str = ""
    message: str = ""
    details: ErrorReason | None = None


class AnthropicErrorBody(Struct):
    error: AnthropicErrorDetail = AnthropicErrorDetail()


def read_error(status: int, retry_after: str | None, body: bytes) -> SizewiseError:
    """An upstream error as ours; for errors about our key see `usage_and_errors.read_error`."""
    seen = _detail(body)
    words = seen.message
    if seen.details is not None and seen.details.error_code.startswith("thread_"):
        return NotTranslatable(
            "the upstream cannot continue this thread", "send all messages of the thread", param="thread"
        )
    if status == 400 and ("prompt is too long" in words or "exceed context limit" in words):
        return ContextLengthExceeded(words, "shorten the prompt, or use a model with a larger context window")
    return usage_and_errors.read_error(status, retry_after, body)


def read_stream_error(payload: bytes) -> SizewiseError:
    """An error in mid-stream, where the error type replaces the missing status."""
    return read_error(STATUS_BY_ERROR_TYPE.get(_detail(payload).type, 502), None, payload)


def _detail(body: bytes) -> AnthropicErrorDetail:
    try:
        return msgspec.json.decode(body, type=AnthropicErrorBody).error
    except (msgspec.DecodeError, RecursionError):
        return AnthropicErrorDetail()
