"""`ChatRequest` -> upstream request of the Messages API; pure, rejects by name what the API cannot express.

Source: the Anthropic API reference, Messages. The unchanged body of a client that used the same wire is forwarded as
the client sent it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from sizewise.errors import BadBody, NotTranslatable
from sizewise.messages import ChatRequest, EmbeddingRequest, JsonFields
from sizewise.providers.wires.anthropic.request_in import unchanged_original
from sizewise.providers.wires.anthropic.thinking import EFFORTS
from sizewise.providers.wires.original_body import not_translatable, tool_not_translatable, translated_fields

DEFAULT_MAX_TOKENS = 4096
"""The API requires a limit; every model of this wire allows this value. A truncated reply has finish `length`."""

PASSTHROUGH_FIELDS = ("top_k", "thinking", "output_config", "cache_control", "container", "inference_geo")
"""Fields of this API that clients of other APIs may send; passed through unchanged."""

NEUTRAL_VALUES: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "modalities": (["text"],),
    "stop": ([], ""),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "metadata": ({},),
    "service_tier": ("auto", "default"),
    "response_format": ({"type": "text"},),
}
"""Values that mean the same as leaving the field out."""

BEST_EFFORT_FIELDS = frozenset({"seed"})
"""Fields that promise nothing, so that a model whose API lacks them need not refuse them."""

TRANSLATED_FIELDS = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("temperature", "top_p", "stop", "user", "tools", "tool_choice", "parallel_tool_calls", "response_format"),
    },
)

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


def write_request(chat: ChatRequest, model: str) -> bytes:
    """Raises NotTranslatable, which names the field, and BadBody for a field of the wrong shape."""
    named = {"model": Raw(_encode(model))}
    sent = unchanged_original(chat)
    if sent is not None:
        return _encode(sent | named)
    try:
        return _encode(named | _write_fields(chat, translated_fields(chat.fields)))
    except (KeyError, TypeError, AttributeError) as error:  # our API does not validate every field
        hint = "see the API reference for messages, tools and response_format"
        raise BadBody(
            f"the body does not have the shape that the API requires ({type(error).__name__})", hint
        ) from error


def _write_fields(chat: ChatRequest, fields: JsonFields) -> Json:
    asked: Json = {name: msgspec.json.decode(raw) for name, raw in fields.items() if name not in PASSTHROUGH_FIELDS}
    asked = {
        name: value
        for name, value in asked.items()
        if value is not None and name not in BEST_EFFORT_FIELDS and value not in NEUTRAL_VALUES.get(name, ())
    }
    effort = asked.pop("reasoning_effort", None)
    strange = next((name for name in asked if name not in TRANSLATED_FIELDS), None)
    if strange is not None:
        raise not_translatable(strange)
    system, turns = _turns(asked["messages"])
    body: Json = {"messages": turns, "max_tokens": chat.max_tokens or DEFAULT_MAX_TOKENS}
    if system:
        body["system"] = system
    if chat.stream:
        body["stream"] = True
    body |= _sampling(asked) | _tools(asked) | _output(asked, effort)
    native = {name: fields[name] for name in PASSTHROUGH_FIELDS if name in fields and bytes(fields[name]) != b"null"}
    if "output_config" in body and "output_config" in native:  # each may set a part of it
        native["output_config"] = Raw(_encode(body["output_config"] | msgspec.json.decode(native["output_config"])))
    return body | native


def write_embed(embed: EmbeddingRequest, model: str) -> bytes:
    raise NotTranslatable("the chosen model's API has no embeddings", "use an embedding model", param="model")


def _sampling(asked: Json) -> Json:
    body: Json = {}
    if "stop" in asked:
        body["stop_sequences"] = [asked["stop"]] if isinstance(asked["stop"], str) else asked["stop"]
    if "temperature" in asked:
        if asked["temperature"] > 1:  # this API's maximum
            raise not_translatable("temperature")
        body["temperature"] = asked["temperature"]
    if "top_p" in asked:
        body["top_p"] = asked["top_p"]
    if "user" in asked:
        body["metadata"] = {"user_id": asked["user"]}
    return body


def _output(asked: Json, effort: object) -> Json:
    """The response format and the effort, which share one object in this API."""
    config: Json = {}
    shape = asked.get("response_format")
    if shape is not None:
        if shape.get("type") != "json_schema" or "schema" not in shape.get("json_schema", {}):
            raise not_translatable("response_format")
        config["format"] = {"type": "json_schema", "schema": shape["json_schema"]["schema"]}
    if effort in EFFORTS or effort == "minimal":
        config["effort"] = "low" if effort == "minimal" else effort  # this API's lowest
    elif effort not in (None, "none"):
        raise not_translatable("reasoning_effort")
    without = {"thinking": {"type": "disabled"}} if effort == "none" else {}
    return without | ({"output_config": config} if config else {})


def _tools(asked: Json) -> Json:
    body: Json = {}
    if asked.get("tools"):
        body["tools"] = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(asked["tools"])]
    choice = asked.get("tool_choice", "auto")
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            raise not_translatable("tool_choice")
        said: Json = {"type": "tool", "name": choice["function"]["name"]}
    else:
        said = {"type": {"required": "any"}.get(choice, choice)}
    if asked.get("parallel_tool_calls") is False:
        said["disable_parallel_tool_use"] = True
    if "tools" in body and said != {"type": "auto"}:
        body["tool_choice"] = said
    return body


def _tool(tool: Json, at: str) -> Json:
    if tool.get("type") != "function":
        raise tool_not_translatable(at, tool.get("type"))
    function = tool["function"]
    written: Json = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    written |= {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    written |= {"cache_control": tool["cache_control"]} if "cache_control" in tool else {}
    return written


# ---- messages -------------------------------------------------------------------------------------------------------


def _turns(messages: list[Json]) -> tuple[list[Json], list[Json]]:
    """System blocks and turns. Consecutive tool results and user messages form one user turn."""
    system: list[Json] = []
    turns: list[Json] = []
    for number, message in enumerate(messages):
        at, role = f"messages[{number}]", message["role"]
        _check_keys(message, at)
        if role in ("system", "developer"):
            system += _blocks(message.get("content"), f"{at}.content")
            continue
        speaker = "assistant" if role == "assistant" else "user"
        blocks = _assistant_blocks(message, at)
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": speaker, "content": blocks})
    return system, turns


MESSAGE_KEYS = frozenset(("role", "content", "tool_calls", "tool_call_id", "thinking_blocks"))
REPLY_ONLY_KEYS = frozenset(("reasoning_content", "reasoning", "annotations"))
"""Keys that a client copies from a reply. Reasoning is sent only with its signature, as `thinking_blocks`."""


def _check_keys(message: Json, at: str) -> None:
    said = {name for name, value in message.items() if value is not None and value != [] and value != ""}
    unspoken = (
        REPLY_ONLY_KEYS - {"refusal", "audio", "function_call"} if message["role"] == "assistant" else frozenset[str]()
    )
    if message["role"] == "tool":
        said.discard("name")  # the call has the name already
    strange = sorted(said - MESSAGE_KEYS - unspoken)
    if strange:
        raise not_translatable(f"{at}.{strange[0]}")
    if message["role"] == "function":
        raise not_translatable(f"{at}.role")


def _assistant_blocks(message: Json, at: str) -> list[Json]:
    blocks = _blocks(message.get("content"), f"{at}.content")
    if message["role"] == "tool":
        return [{"type": "tool_result", "tool_use_id": message.get("tool_call_id") or "", "content": blocks}]
    if message["role"] != "assistant":
        return blocks
    calls = enumerate(message.get("tool_calls") or ())
    uses = [_tool_use_block(call, f"{at}.tool_calls[{i}]") for i, call in calls]
    return [*(message.get("thinking_blocks") or ()), *blocks, *uses]


def _tool_use_block(call: Json, at: str) -> Json:
    function = call.get("function")
    if not function:
        raise not_translatable(at)
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except msgspec.DecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise not_translatable(f"{at}.function.arguments")
    return {"type": "tool_use", "id": call.get("id") or "", "name": function["name"], "input": arguments}


def _blocks(content: str | list[Json] | None, at: str) -> list[Json]:
    """Empty texts are left out: the API rejects them."""
    if isinstance(content, str) or content is None:
        return [{"type": "text", "text": content}] if content else []
    return [_block(part, f"{at}[{i}]") for i, part in enumerate(content) if part.get("text") != ""]


def _block(part: Json, at: str) -> Json:
    block = _translate_block(part, at)
    return {**block, "cache_control": part["cache_control"]} if part.get("cache_control") else block


def _translate_block(part: Json, at: str) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"type": "text", "text": part["text"]}
    if kind == "image_url":
        url = part["image_url"]["url"]
        return {"type": "image", "source": _data_source(url) or {"type": "url", "url": url}}
    if kind == "file" and (source := _data_source(part["file"].get("file_data") or "")):
        title = part["file"].get("filename")
        return {"type": "document", "source": source, **({"title": title} if title else {})}
    raise not_translatable(at)


def _data_source(url: str) -> Json | None:
    """The base64 source in a data URL; None for any other URL."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    return {"type": "base64", "media_type": head[5:-7], "data": data}
