"""Requests and responses of OpenAI's chat and embeddings APIs, both directions (streams: stream_in.py); pure.

Source: the OpenAI API reference, Chat Completions. Only the fields we use are decoded; the rest passes as bytes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from struct import pack
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from sizewise.errors import BadBody, SizewiseError
from sizewise.interoperable_json import check_case, check_json, count_strings, count_strings_in
from sizewise.messages import ChatRequest, Choice, EmbeddingRequest, JsonFields, Message, Reply, ToolCall, Usage
from sizewise.providers.wires.openai.tool_calls import (
    CompletionToolCall,
    completion_with_call_ids,
    ids_are_unique,
)
from sizewise.providers.wires.openai.usage_and_errors import (
    ABSENT,
    OpenAiUsage,
    protocol_error,
    read_usage,
    value_or_none,
)
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, translated_fields, without_original

# ---- requests -------------------------------------------------------------------------------------------------------

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class StreamOptions(Struct):
    include_usage: bool = False


class ResponseFormatType(Struct):
    type: str = "text"


Messages = Annotated[list[Message], Meta(max_length=100_000)]


class ChatCompletionBody(Struct):
    """The type-checked fields of a chat body, with the API's own bounds; all others pass unread."""

    model: str
    messages: Messages
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    tools: list[Raw] | None = None
    response_format: ResponseFormatType | None = None


MAX_INPUTS = 2048  # the API's limit

Token = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class EmbeddingBody(Struct):
    model: str
    input: str | Annotated[list[str | Token | list[Token]], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    user: str | None = None


EMBEDDING_FIELDS = frozenset(EmbeddingBody.__struct_fields__)

LONG_BODY_BYTES = 8 * 1024  # longer bodies try the path that reads each byte once
_NEAR = 1024  # most bytes before and after the messages of such a body
_PLACEHOLDER = b'[{"role":"user","content":"here the messages stood"}]'

PLAIN_FIELDS = frozenset(
    {
        *("model", "messages", "stream", "max_tokens", "max_completion_tokens", "n", "temperature", "top_p"),
        *("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "seed"),
    },
)
"""Decoded whole, and none but `model` and `messages` contains strings."""

FIELD_NAMES = frozenset(
    {
        *ChatCompletionBody.__struct_fields__,
        *("role", "content", "name", "tool_call_id", "function", "arguments", "id", "type", "text", "refusal"),
        *("image_url", "url", "input_audio", "data", "file", "file_data", "source", "functions", "function_call"),
        *("input", "instructions", "output", "summary", "system", "thinking", "tool_use_id", "citations"),
        *("tool_choice", "prompt", "suffix", "metadata", "description", "parameters", "input_schema", "schema", "user"),
        *("dimensions", "encoding_format", "max_output_tokens", "previous_response_id", "store", "include", "sizewise"),
    },
)
"""Names of fields that guardrails, limits or routing read, in any of the APIs."""

_CONTAINER_NAMES = ("messages", "content", "tool_calls", "function", "tools", "system", "image_url", "source")
CONTAINERS: Mapping[str, tuple[type, ...]] = {**dict.fromkeys(_CONTAINER_NAMES, (dict, list)), "input": (list,)}
"""Fields that contain such fields. Keys of schemas and of arguments (an `input` that is an object) are the client's."""

EMPTY_VALUES = frozenset({b"null", b'""', b"[]", b"{}"})
"""Values that mean the same as leaving an optional field out."""

_fields = msgspec.json.Decoder(JsonFields)
_messages = msgspec.json.Decoder(Messages)
_decode_any = msgspec.json.Decoder().decode
_body = msgspec.json.Decoder(ChatCompletionBody)
_embed = msgspec.json.Decoder(EmbeddingBody)
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


def read_request(body: bytes, *, is_checked: bool = False) -> tuple[ChatRequest, Raw | None]:
    """A chat body and its `sizewise` object, which is ours and never forwarded. Raises BadBody. `is_checked`: as in
    `decode_client_body`.
    """
    long = _decode_long_body(body, is_checked) if len(body) > LONG_BODY_BYTES else None
    seen, fields = long or decode_client_body(body, _body, is_checked)
    wishes = fields.pop("sizewise", None)
    if not seen.messages and (wishes is None or b'"prompt"' not in bytes(wishes)):
        raise BadBody("`messages`: expected `array` of length >= 1", "send a message", param="messages")
    fields.pop(ORIGINAL_FIELD, None)  # set only by our other APIs
    options = seen.stream_options
    one, other = seen.max_completion_tokens, seen.max_tokens
    limit = other if one is None else one if other is None else max(one, other)  # servers obey either
    shape = seen.response_format
    return (
        ChatRequest(
            model=seen.model,
            messages=seen.messages,
            fields=fields,
            stream=seen.stream is True,
            include_usage=options is not None and options.include_usage,
            max_tokens=limit,
            n=seen.n or 1,
            logprobs=seen.logprobs is True,
            tools=bool(seen.tools),
            schema=shape is not None and shape.type != "text",
        ),
        wishes,
    )


def read_embed(body: bytes, *, is_checked: bool = False) -> tuple[EmbeddingRequest, Raw | None]:
    seen, fields = decode_client_body(body, _embed, is_checked)
    options = fields.pop("sizewise", None)
    return EmbeddingRequest(
        model=seen.model,
        inputs=_inputs(seen.input),
        fields=fields,
        dimensions=seen.dimensions,
        base64=seen.encoding_format == "base64",
    ), options


def _inputs(raw: str | list[str | int | list[int]]) -> list[str] | list[list[int]]:
    """One text, several, one token list, or several. Raises BadBody if they are mixed, too many, or empty."""
    given = [raw] if isinstance(raw, str) else raw
    texts = [each for each in given if isinstance(each, str)]
    lists = [each for each in given if isinstance(each, list)]
    tokens = [each for each in given if isinstance(each, int)]
    if len(given) not in (len(texts), len(lists), len(tokens)):
        raise BadBody("`input` mixes texts and tokens", "send texts, or lists of tokens", param="input")
    inputs: list[str] | list[list[int]] = texts or lists or [tokens]
    if len(inputs) > MAX_INPUTS:
        hint = f"send at most {MAX_INPUTS} at a time"
        raise BadBody(f"`input` has {len(inputs)} texts, too many at once", hint, param="input")
    if not all(inputs):
        place = next(number for number, each in enumerate(inputs) if not each)
        raise BadBody(f"`input[{place}]` is empty", "remove empty texts", param="input")
    return inputs


def decode_client_body(body: bytes, decoder: msgspec.json.Decoder[T], is_checked: bool = False) -> tuple[T, JsonFields]:
    """Like `decode_body`, for a client's bytes, which every JSON reader must read alike: guardrails see what the
    upstream sees. Raises BadBody, which names the field. `is_checked`: this function has decoded them before.
    """
    seen, fields = decode_body(body, decoder)
    if is_checked:
        return seen, fields
    try:
        if not _has_fewest_strings(seen, fields, body):
            _check_fields(body)
    except UNREADABLE as error:
        raise _explain(error) from error
    return seen, fields


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[T, JsonFields]:
    """A body, typed and as raw fields. Raises BadBody, which names the field."""
    try:
        _check_text(body)
        return decoder.decode(body), _fields.decode(body)
    except UNREADABLE as error:
        raise _explain(error) from error


UNREADABLE = (UnicodeDecodeError, msgspec.DecodeError, RecursionError)


def _explain(error: Exception) -> BadBody:
    """What is wrong with a body whose decoding raised an UNREADABLE error."""
    if isinstance(error, UnicodeDecodeError):
        return BadBody(f"the body is not UTF-8 (byte {error.start})", "encode the JSON as UTF-8")
    if isinstance(error, msgspec.ValidationError):
        reason, _, path = str(error).partition(" - at `$")
        param = path.rstrip("`").lstrip(".") or None
        where = f"`{param}`: " if param else "the body: "
        return BadBody(where + reason[:1].lower() + reason[1:], "see the API reference for this field", param=param)
    if isinstance(error, msgspec.DecodeError):
        return BadBody(f"the body is not JSON: {error}", "send a JSON object")
    return BadBody("the body is nested too deeply", "flatten it")


def _has_fewest_strings(seen: object, fields: JsonFields, body: bytes) -> bool:
    """Whether each key of a body occurs once, by the number of quotation marks: the test of most bodies, in 1 us.

    A repeated, unknown or escaped key in a message adds some. So does an escaped one in a text, which only costs the
    longer test. Raises BadBody.
    """
    if type(seen) is ChatCompletionBody:
        strings = 1 + _count_plain(seen.messages)
        known = PLAIN_FIELDS
    elif type(seen) is EmbeddingBody:
        strings = 1 + (1 if isinstance(seen.input, str) else sum(type(each) is str for each in seen.input))
        strings += (seen.encoding_format is not None) + (seen.user is not None)
        known = EMBEDDING_FIELDS
    else:
        return False
    if not fields.keys() <= known:
        for name in fields.keys() - known:
            strings += _count_field(name, bytes(fields[name]))
    return body.count(b'"') == 2 * (strings + len(fields))


def _count_field(name: str, raw: bytes) -> int:
    """Strings in the value of a field that is not typed. Raises BadBody."""
    first = raw[:1]
    if first in b'"tfn' and name in FIELD_NAMES:
        return first == b'"'
    value = {name: _decode_any(raw)}
    check_case(value, FIELD_NAMES, CONTAINERS)
    return count_strings(value) - 1


def _count_plain(messages: list[Message]) -> int:
    """The fewest strings that messages with a text each can have; 0 if one has none, as others then have more."""
    for each in messages:  # not `all`: a generator costs more than the test
        if type(each.content) is not str:
            return 0
    return 4 * len(messages)  # two keys, two values


def _has_quotes(body: bytes, start: int, end: int, number: int) -> bool:
    """Whether there are just so many quotation marks between `start` and `end`, and not more."""
    if end - start < 64 * number:
        return body.count(b'"', start, end) == number
    for _ in range(number):  # in long texts `find` is ten times as fast as `count`
        start = body.find(b'"', start, end) + 1
    return body.find(b'"', start, end) < 0


def _check_fields(body: bytes) -> None:
    """Raises BadBody for a body that another JSON reader may read differently."""
    value = check_json(body)
    check_case(value, FIELD_NAMES, CONTAINERS)


def _check_text(body: bytes) -> None:
    """Raises UnicodeDecodeError. msgspec does not check the parts that it skips."""
    if not body.isascii():
        body.decode()


def _decode_long_body(body: bytes, is_checked: bool) -> tuple[ChatCompletionBody, JsonFields] | None:
    """Like `decode_client_body`, reading each byte once: for long bodies with little around messages that end in text.

    JSON stays valid when a value is replaced. So the body is read with placeholder messages, and the messages alone.
    Returns None for any other body and for any error, which `decode_client_body` then reports.
    """
    start = body.find(b"[", body.find(b'"messages":', 0, _NEAR) + 1, _NEAR)
    end = body.rfind(b'"}]', len(body) - _NEAR) + 3
    if start < 0 or end < 3:
        return None
    around = b"%b%b%b" % (body[:start], _PLACEHOLDER, body[end:])
    try:
        fields = _fields.decode(around)
        if fields["messages"] != Raw(_PLACEHOLDER) or around.count(b'"messages"') > 1 or b"\\" in around:
            return None  # the messages are nested deeper, or occur twice
        _check_text(body)
        seen = _body.decode(around)
        raw = Raw(memoryview(body)[start:end])
        seen.messages, fields["messages"] = _messages.decode(raw), raw
        if is_checked:
            return seen, fields
        strings = _count_plain(seen.messages)
        plain = strings and (_has_quotes(body, start, end, 2 * strings) or count_strings_in(body[start:end]) == strings)
        _check_fields(around if plain else body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return seen, fields


def write_request(chat: ChatRequest, model: str) -> bytes:
    """The body for an upstream, with its model name. Streams always request usage.

    Raises NotTranslatable if a client of another API set a field that this wire cannot express.
    """
    fields = {**translated_fields(chat.fields), "model": Raw(_encode(model))}
    if chat.stream and not chat.include_usage:
        options = msgspec.json.decode(fields["stream_options"]) if "stream_options" in fields else None
        fields["stream_options"] = Raw(_encode({**(options or {}), "include_usage": True}))
    return _encode(fields)


def write_embed(embed: EmbeddingRequest, model: str) -> bytes:
    return _encode(embed.fields | {"model": Raw(_encode(model))})


# ---- replies --------------------------------------------------------------------------------------------------------


class CompletionMessage(Struct):
    content: str | None = None
    tool_calls: list[CompletionToolCall] | None = None
    reasoning_content: str | None = None


class CompletionChoice(Struct):
    message: Raw
    index: int = 0
    finish_reason: str | None = None
    logprobs: Raw = ABSENT


class ChatCompletion(Struct):
    choices: list[CompletionChoice]
    usage: OpenAiUsage | None = None
    model: str | None = None
    id: str | None = None
    service_tier: str | None = None


class EmbeddingList(Struct):
    data: list[Any]
    usage: OpenAiUsage | None = None
    model: str | None = None


_reply = msgspec.json.Decoder(ChatCompletion)
_message = msgspec.json.Decoder(CompletionMessage)


def read_reply(body: bytes) -> Reply:
    """A whole chat completion. Raises UpstreamProtocolError."""
    try:
        seen = _reply.decode(body)
        choices = tuple([_choice(choice) for choice in seen.choices])
    except _CallsWithoutIds:
        return read_reply(completion_with_call_ids(body))
    except msgspec.DecodeError as error:
        raise protocol_error(str(error)) from error
    if not choices:
        raise protocol_error("`choices` is empty")
    usage = read_usage(seen.usage, seen.service_tier) or Usage(estimated=True)
    return Reply(choices=choices, usage=usage, model=seen.model or "", id=seen.id or "", fields={}, body=body)


class _CallsWithoutIds(Exception):
    """The completion has to be read again, once its tool calls have ids."""


def _choice(choice: CompletionChoice) -> Choice:
    raw, logprobs = choice.message, choice.logprobs
    message = _message.decode(raw)
    calls = message.tool_calls
    if calls and not ids_are_unique(calls):
        raise _CallsWithoutIds
    return Choice(
        index=choice.index,
        text=message.content or "",
        finish_reason=choice.finish_reason,
        tool_calls=tuple(ToolCall(each.function, each.id or "", each.type or "") for each in calls) if calls else (),
        reasoning=message.reasoning_content or "",
        logprobs=None if logprobs is ABSENT else value_or_none(logprobs),
        message=raw,
    )


def read_vectors(body: bytes) -> Reply:
    try:
        seen = msgspec.json.decode(body, type=EmbeddingList)
        vectors = tuple(tuple(row["embedding"]) if isinstance(row["embedding"], list) else () for row in seen.data)
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise protocol_error(str(error)) from error
    return Reply((), read_usage(seen.usage) or Usage(estimated=True), seen.model or "", body=body, embeddings=vectors)


class Refusal(Struct, frozen=True):
    """The refusal of a message, which strict clients require, null where there is none."""

    refusal: str | UnsetType | None = UNSET


def write_usage(usage: Usage) -> Mapping[str, object]:
    into = {"cached_tokens": usage.cached}
    if usage.cache_write:  # few vendors report it, and older clients do not know the field
        into["cache_write_tokens"] = usage.cache_write
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": into,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def write_reply(reply: Reply, id: str, created: int) -> bytes:
    """The body for a client: the upstream's own bytes if unchanged, else a new one."""
    if reply.body is not None:
        return reply.body
    return _encode(
        {
            "id": reply.id or id,
            "object": "chat.completion",
            "created": created,
            "model": reply.model,
            "choices": [_write_choice(choice) for choice in reply.choices],
            "usage": write_usage(reply.usage),
            **({"degraded": reply.degraded} if reply.degraded else {}),
            **without_original(reply.fields),
        },
    )


def _write_choice(choice: Choice) -> dict[str, Any]:
    message: Any = choice.message
    if message is None:
        message = {"role": "assistant", "content": choice.text if choice.text or not choice.tool_calls else None}
        message["refusal"] = None
        if choice.tool_calls:
            message["tool_calls"] = choice.tool_calls
        if choice.reasoning:
            message["reasoning_content"] = choice.reasoning
    elif msgspec.json.decode(message, type=Refusal).refusal is UNSET:
        message = {**_fields.decode(message), "refusal": None}
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": choice.finish_reason or "stop",
    }


def write_vectors(reply: Reply, base64: bool = False) -> bytes:
    """The body for a client. `base64`: vectors as base64 of 32-bit floats, the default of OpenAI's SDK."""
    if reply.body is not None:
        return reply.body
    return _encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": _base64_vector(v) if base64 else v}
                for i, v in enumerate(reply.embeddings)
            ],
            "model": reply.model,
            "usage": {"prompt_tokens": reply.usage.input, "total_tokens": reply.usage.input},
        },
    )


def _base64_vector(vector: tuple[float, ...]) -> str:
    return b64encode(pack(f"<{len(vector)}f", *vector)).decode()


# ---- errors ---------------------------------------------------------------------------------------------------------


def write_error(error: SizewiseError) -> bytes:
    """OpenAI's error object with our code, hint and docs page."""
    return _encode(
        {
            "error": {
                "message": error.message,
                "type": error.error_type,
                "param": error.param,
                "code": error.shown_code,
                "hint": error.hint,
                "docs": f"docs/errors/{error.code}.md",
            },
        },
    )
