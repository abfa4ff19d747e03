"""`ChatRequest` -> upstream request of the Responses API; pure, rejects by name what the API cannot express.

Source: the OpenAI API reference, Responses. Nothing is stored upstream unless the client asks for it: a request holds
its whole context. The unchanged body of a client that used the same wire is forwarded, without item ids created here
and without reasoning items that the upstream cannot read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody, NotTranslatable
from sizewise.messages import ChatRequest, EmbeddingRequest, JsonFields
from sizewise.providers.wires.original_body import not_translatable, tool_not_translatable, translated_fields
from sizewise.providers.wires.responses.request_in import (
    INCLUDE_ENCRYPTED_REASONING,
    INCLUDE_LOGPROBS,
    unchanged_original,
)

Json = dict[str, Any]

OWN_ID_PREFIXES = ("msg_sw", "fc_sw", "rs_sw", "ctc_sw", "lsh_sw")
"""Prefixes of item ids created here, which no upstream knows."""

UPSTREAM_STATE_FIELDS = ("background", "conversation")
"""State stored by the vendor under our key: other clients could read it, and our API could not fetch it."""

PASSTHROUGH_FIELDS = ("reasoning", "truncation", "prompt_cache_options")
"""Fields of this API that clients of other APIs may send; passed through unchanged."""

COPIED_FIELDS = frozenset(
    {
        *("temperature", "top_p", "parallel_tool_calls", "top_logprobs", "metadata", "user", "safety_identifier"),
        *("service_tier", "prompt_cache_key", "prompt_cache_retention"),
    },
)
"""Fields with the same name in both."""

TRANSLATED_FIELDS: frozenset[str] = COPIED_FIELDS | {
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "logprobs"),
    *("tools", "tool_choice", "response_format", "verbosity", "reasoning_effort"),
}

NEUTRAL_VALUES: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "modalities": (["text"],),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "metadata": ({},),
    "response_format": ({"type": "text"},),
}
"""Values that mean the same as leaving the field out."""

BEST_EFFORT_FIELDS = frozenset({"seed"})
"""Fields that promise nothing, so that a model whose API lacks them need not refuse them."""

_encode = msgspec.json.Encoder().encode


def write_request(chat: ChatRequest, model: str) -> bytes:
    """Raises NotTranslatable, which names the field, and BadBody for a field of the wrong shape."""
    named = {"model": Raw(_encode(model))}
    sent = unchanged_original(chat)
    if sent is not None:
        return _encode(_without_upstream_state(sent) | named)
    try:
        return _encode(named | _write_fields(chat, translated_fields(chat.fields)))
    except (KeyError, TypeError, AttributeError) as error:  # our API does not validate every field
        hint = "see the API reference for messages, tools and response_format"
        raise BadBody(
            f"the body does not have the shape that the API requires ({type(error).__name__})", hint
        ) from error


def write_embed(embed: EmbeddingRequest, model: str) -> bytes:
    raise NotTranslatable("the chosen model's API has no embeddings", "use an embedding model", param="model")


# ---- unchanged bodies -----------------------------------------------------------------------------------------------


class InputItem(Struct):
    """The fields that decide whether the upstream can read an item."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    encrypted_content: str | None = None
    content: Raw = Raw(b"null")

    def is_readable(self, stored: bool) -> bool:
        """Whether the upstream can use the item. `stored`: the request stores its response upstream."""
        if self.type != "reasoning":
            return True
        if self.encrypted_content:
            return True
        if (self.id or "").startswith(OWN_ID_PREFIXES):
            return False
        return stored or bytes(self.content) not in (b"null", b"[]")


_item = msgspec.json.Decoder(InputItem)
_fields = msgspec.json.Decoder(JsonFields)


def _without_upstream_state(raw_fields: JsonFields) -> JsonFields:
    """The body changed so that it depends on no upstream state. Raises NotTranslatable for UPSTREAM_STATE_FIELDS."""
    for name in UPSTREAM_STATE_FIELDS:
        if name in raw_fields and bytes(raw_fields[name]) not in (b"null", b"false"):
            raise not_translatable(name)
    body = {**raw_fields}
    if bytes(body.get("store", Raw(b"null"))) == b"null":
        body["store"] = Raw(b"false")
    stored = bytes(body["store"]) == b"true"
    if bytes(body["input"]).lstrip().startswith(b"["):
        body["input"] = _readable_items(body["input"], stored)
    if not stored and bytes(body.get("reasoning", Raw(b"null"))) != b"null":
        body["include"] = _with_encrypted_reasoning(body.get("include"))
    return body


def _readable_items(asked: Raw, stored: bool) -> Raw:
    """The readable items, byte for byte where unchanged. Raises NotTranslatable for a reference to a stored item."""
    items = msgspec.json.decode(asked, type=list[Raw])
    kept: list[Raw] = []
    for number, raw in enumerate(items):
        seen = _decode_item(raw, f"input[{number}]")
        if seen.type == "item_reference" or (seen.type is None and seen.role is None):
            raise not_translatable(f"input[{number}]")
        if not seen.is_readable(stored):
            continue
        if (seen.id or "").startswith(OWN_ID_PREFIXES):
            raw = Raw(_encode({name: value for name, value in _fields.decode(raw).items() if name != "id"}))
        kept.append(raw)
    return asked if kept == items else Raw(_encode(kept))


def _decode_item(raw: Raw, at: str) -> InputItem:
    try:
        return _item.decode(raw)
    except msgspec.ValidationError as error:  # our API did not validate this kind of item
        raise BadBody(f"`{at}`: {str(error)[:1].lower()}{str(error)[1:]}", "see the API reference", param=at) from error


def _with_encrypted_reasoning(include: Raw | None) -> Raw:
    """Requests encrypted reasoning, which the next turn has to send back."""
    asked: list[str] = (msgspec.json.decode(include) if include is not None else None) or []
    if INCLUDE_ENCRYPTED_REASONING in asked and include is not None:
        return include
    return Raw(_encode([*asked, INCLUDE_ENCRYPTED_REASONING]))


# ---- translated -----------------------------------------------------------------------------------------------------


def _write_fields(chat: ChatRequest, fields: JsonFields) -> Json:
    asked: Json = {name: msgspec.json.decode(raw) for name, raw in fields.items() if name not in PASSTHROUGH_FIELDS}
    asked = {
        name: value
        for name, value in asked.items()
        if value is not None and name not in BEST_EFFORT_FIELDS and value not in NEUTRAL_VALUES.get(name, ())
    }
    strange = next((name for name in asked if name not in TRANSLATED_FIELDS), None)
    if strange is not None:
        raise not_translatable(strange)
    body = _items(asked["messages"])
    if chat.stream:
        body["stream"] = True
    if chat.max_tokens is not None:
        body["max_output_tokens"] = chat.max_tokens
    body |= {name: fields[name] for name in asked if name in COPIED_FIELDS}  # exactly as spelled
    body |= _text(asked) | _tools(asked)
    included = [INCLUDE_LOGPROBS] if asked.get("logprobs") else []
    if effort := asked.get("reasoning_effort"):
        body["reasoning"] = {"effort": effort}
        included += [INCLUDE_ENCRYPTED_REASONING] if effort != "none" else []
    if included:
        body["include"] = included
    body |= {name: fields[name] for name in PASSTHROUGH_FIELDS if name in fields and bytes(fields[name]) != b"null"}
    return body | {"store": False}


def _text(asked: Json) -> Json:
    """The response format and the verbosity, which share one object in this API."""
    text: Json = {}
    shape = asked.get("response_format")
    if shape is not None:
        match shape["type"]:
            case "json_schema":
                text["format"] = {"type": "json_schema", **shape["json_schema"]}
            case "json_object":
                text["format"] = {"type": "json_object"}
            case _:
                raise not_translatable("response_format")
    if "verbosity" in asked:
        text["verbosity"] = asked["verbosity"]
    return {"text": text} if text else {}


def _tools(asked: Json) -> Json:
    body: Json = {}
    if asked.get("tools"):
        body["tools"] = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(asked["tools"])]
    choice = asked.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            raise not_translatable("tool_choice")
        choice = {"type": "function", "name": choice["function"]["name"]}
    return body | ({"tool_choice": choice} if choice is not None else {})


def _tool(tool: Json, at: str) -> Json:
    """`strict` defaults to true in this API, and to false in ours."""
    if tool.get("type") != "function":
        raise tool_not_translatable(at, tool.get("type"))
    function = tool["function"]
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", **function, "parameters": parameters, "strict": function.get("strict") is True}


# ---- messages -------------------------------------------------------------------------------------------------------

MESSAGE_KEYS = frozenset(("role", "content", "tool_calls", "tool_call_id", "reasoning_items", "refusal"))
REPLY_ONLY_KEYS = frozenset(("reasoning_content", "reasoning", "annotations", "thinking_blocks"))
"""Keys that a client copies from a reply. Reasoning is sent only encrypted, as `reasoning_items`."""


def _items(messages: list[Json]) -> Json:
    """`input`, and `instructions` if the first message is a system message."""
    first, *rest = messages
    if first["role"] == "system" and isinstance(first.get("content"), str) and rest and "name" not in first:
        return {"instructions": first["content"], "input": _message_items(rest, 1)}
    return {"input": _message_items(messages, 0)}


def _message_items(messages: list[Json], start: int) -> list[Json]:
    return [item for i, message in enumerate(messages, start) for item in _message(message, f"messages[{i}]")]


def _message(message: Json, at: str) -> list[Json]:
    role = message["role"]
    said = {name for name, value in message.items() if value is not None and value != [] and value != ""}
    unspoken = REPLY_ONLY_KEYS if role == "assistant" else frozenset[str]()
    if role == "tool":
        said.discard("name")  # the call has the name already
    strange = sorted(said - MESSAGE_KEYS - unspoken)
    if strange or role == "function":
        raise not_translatable(f"{at}.{strange[0] if strange else 'role'}")
    content = message.get("content")
    if role == "tool":
        output = _content(content or "", at)
        return [{"type": "function_call_output", "call_id": message.get("tool_call_id") or "", "output": output}]
    if role != "assistant":
        return [{"role": role, "content": _content(content or "", at)}]
    items: list[Json] = list(message.get("reasoning_items") or ())
    parts = _assistant_parts(content, message.get("refusal"), f"{at}.content")
    if parts:
        items.append({"type": "message", "role": "assistant", "content": parts})
    return items + [_call(call, f"{at}.tool_calls[{i}]") for i, call in enumerate(message.get("tool_calls") or ())]


def _call(call: Json, at: str) -> Json:
    function = call.get("function")
    if not function:
        raise not_translatable(at)
    arguments = function.get("arguments") or "{}"
    return {"type": "function_call", "call_id": call.get("id") or "", "name": function["name"], "arguments": arguments}


def _content(content: str | list[Json], at: str) -> str | list[Json]:
    """A single text part becomes a string."""
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{at}.content[{i}]") for i, part in enumerate(content)]
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "input_text" else parts


def _assistant_parts(content: str | list[Json] | None, refusal: str | None, at: str) -> list[Json]:
    """Texts and refusals of an assistant message."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    said: list[Json] = [{"type": "refusal", "refusal": refusal}] if refusal else []
    for number, part in reversed(list(enumerate(parts))):
        if part["type"] == "text":
            said[:0] = [{"type": "output_text", "text": part["text"]}] if part["text"] else []
        elif part["type"] == "refusal":
            said[:0] = [{"type": "refusal", "refusal": part["refusal"]}]
        else:
            raise not_translatable(f"{at}[{number}]")
    return said


def _part(part: Json, at: str) -> Json:
    match part["type"]:
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "image_url":
            image = part["image_url"]
            return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
        case "file" if part["file"].get("file_data"):
            return {"type": "input_file", **part["file"]}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part["input_audio"]}
    raise not_translatable(at)
