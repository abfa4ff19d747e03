"""Response object shown to a client: request fields, output items and usage, built from a reply; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.messages import Choice, FunctionCall, JsonFields, Reply, Usage
from sizewise.providers.wires.original_body import original_body
from sizewise.providers.wires.responses.client_tools import (
    ID_PREFIXES,
    ClientTool,
    client_tools,
    custom_input,
    shell_action,
)
from sizewise.providers.wires.responses.request_in import WIRE_NAME
from sizewise.providers.wires.responses.response import read_reply

Json = dict[str, Any]

REQUEST_DEFAULTS: Mapping[str, object] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Request fields that a response repeats, with the API's defaults: strict clients require the numbers."""

FUNCTION_TOOL: Mapping[str, Raw] = {"parameters": Raw(b"null"), "strict": Raw(b"false")}
"""Fields of a function tool that the API requires in a response, with the values of a tool that has none."""

OWN_FIELDS = ("id", "object", "created_at", "model", "previous_response_id", "store", "background")
"""Fields that are ours whatever an upstream of this wire says: it stores nothing and runs nothing for us."""

INCOMPLETE_REASONS: Mapping[str | None, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reason -> why a response is incomplete; every other finish means completed."""


class ResponseEnvelope(Struct, frozen=True):
    """A response without its output. `id`: resp_ and 48 hex digits; `created_at`: Unix seconds.

    `raw_fields`: the request. `previous_response_id`: the response that this one continues. `store`: whether it is
    stored for later requests.
    """

    id: str
    created_at: int
    raw_fields: JsonFields
    previous_response_id: str | None = None
    store: bool = True

    def item_id(self, kind: str, number: int) -> str:
        """The id of an item created here."""
        return f"{kind}_sw{self.id[-24:]}{number:02d}"

    def in_progress(self, model: str) -> Json:
        """The response object before the first token."""
        echoed = {name: self._request_value(name, unsaid) for name, unsaid in REQUEST_DEFAULTS.items()}
        if "prompt" in self.raw_fields:
            echoed["prompt"] = self.raw_fields["prompt"]
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": "in_progress",
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "previous_response_id": self.previous_response_id,
            "store": self.store,
            "usage": None,
            **echoed,
        }

    def failed(self, error: SizewiseError, model: str, output: list[Json]) -> Json:
        """The response that ended with `error`. `output`: the items so far."""
        return {**self.in_progress(model), "status": "failed", "error": write_response_error(error), "output": output}

    def _request_value(self, name: str, default: object) -> object:
        raw = self.raw_fields.get(name)
        if raw is None or bytes(raw) == b"null":
            return default
        return _complete_tools(raw) if name == "tools" else raw

    def completed(self, reply: Reply, completed_at: int, output: list[Json] | None = None) -> Json:
        """The whole response. `completed_at`: Unix seconds. `output`: the items already streamed, if any."""
        theirs = original_response(reply)
        begun = self.in_progress(reply.model)
        ours = {name: begun[name] for name in OWN_FIELDS}
        whole: Json = {**begun, "completed_at": completed_at, **theirs, **ours}
        choice = reply.choices[0] if reply.choices else Choice()
        reason = INCOMPLETE_REASONS.get(choice.finish_reason)
        whole["status"] = "incomplete" if reason else "completed"
        if reason:
            whole["completed_at"] = None
            whole["incomplete_details"] = theirs.get("incomplete_details") or {"reason": reason}
        if output is not None:
            whole["output"] = output
        elif "output" not in theirs:
            whole["output"] = output_items(self, choice)
        whole["usage"] = write_usage(reply.usage, theirs.get("usage") or {})
        return whole | ({"degraded": reply.degraded} if reply.degraded else {})


def write_response_error(error: SizewiseError) -> Json:
    """The `error` of a failed response. The API has a closed list of codes; ours is the `type`."""
    code = {429: "rate_limit_exceeded", 400: "invalid_prompt"}.get(error.status, "server_error")
    message = f"{error.message}: {error.hint}" if error.hint else error.message
    return {"code": code, "message": message, "param": error.param, "type": error.code}


def _complete_tools(tools: Raw) -> list[JsonFields]:
    """Tools with every required field of a function tool. Other wires are strict only if the client says so."""
    complete = []
    for tool in msgspec.json.decode(tools, type=list[JsonFields]):
        said = {name: raw for name, raw in tool.items() if bytes(raw) != b"null"}
        complete.append({**FUNCTION_TOOL, **said} if bytes(tool.get("type", b"")) == b'"function"' else tool)
    return complete


def original_response(reply: Reply) -> Json:
    """The upstream's own response, if it used this wire and the reply is unchanged; else empty."""
    found = original_body(reply.fields, WIRE_NAME)
    if found is None or reply.degraded or read_reply(bytes(found.body)).choices != reply.choices:
        return {}
    theirs: Json = msgspec.json.decode(found.body)
    return {name: value for name, value in theirs.items() if value is not None}


def write_usage(usage: Usage, upstream: Json) -> Json:
    """Writes both details objects, which the schema requires, and keeps the upstream's additional counts."""
    ours: Json = {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
    for name in ("input_tokens_details", "output_tokens_details"):
        ours[name] = {**(upstream.get(name) or {}), **ours[name]}
    return {**upstream, **ours}


# ---- items ----------------------------------------------------------------------------------------------------------


class MessageExtras(Struct):
    """The refusal and the encrypted reasoning in a message of the internal format."""

    refusal: str | None = None
    reasoning_items: list[Json] = []


class LogprobTokens(Struct):
    content: list[Json] | None = None


def output_items(envelope: ResponseEnvelope, choice: Choice) -> list[Json]:
    """Output items for a reply of another wire: reasoning, message, tool calls."""
    beside = msgspec.json.decode(choice.message, type=MessageExtras) if choice.message is not None else MessageExtras()
    output, refusal = beside.reasoning_items, beside.refusal
    if choice.reasoning and not output:
        part = {"type": "reasoning_text", "text": choice.reasoning}
        output.append({**reasoning_item(envelope.item_id("rs", 0)), "content": [part]})
    parts: list[Json] = []
    if choice.text or not (choice.tool_calls or refusal):
        parts.append({**empty_part("output_text"), "text": choice.text, "logprobs": logprob_tokens(choice.logprobs)})
    if refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    if parts:
        status = "incomplete" if choice.finish_reason in INCOMPLETE_REASONS else "completed"
        output.append({**message_item(envelope.item_id("msg", len(output))), "status": status, "content": parts})
    tools = client_tools(envelope.raw_fields) if choice.tool_calls else {}
    for number, call in enumerate(choice.tool_calls):
        function = call.function or FunctionCall("")
        shown = call_item(envelope, len(output), number, call.id, function.name, tools)
        output.append({**with_arguments(shown, function.arguments), "status": "completed"})
    return output


def logprob_tokens(logprobs: Raw | None) -> list[Json]:
    """Log-probabilities by token; both formats spell them the same."""
    return (msgspec.json.decode(logprobs, type=LogprobTokens).content or []) if logprobs is not None else []


def reasoning_item(id: str) -> Json:
    return {"id": id, "type": "reasoning", "summary": []}


def message_item(id: str) -> Json:
    return {"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def call_item(
    envelope: ResponseEnvelope, place: int, number: int, id: str, name: str, tools: Mapping[str, ClientTool]
) -> Json:
    """A call without its arguments. `number`, the index among calls, makes an id if the server sent none. `tools`:
    those that functions stand for.
    """
    tool = tools.get(name) or ClientTool("function", name)
    call_id = id or f"call_{envelope.id[-24:]}{number:02d}"
    return tool.call_item(envelope.item_id(ID_PREFIXES[tool.kind], place), call_id)


def with_arguments(item: Json, arguments: str) -> Json:
    """A call with what its kind has for arguments."""
    match item["type"]:
        case "custom_tool_call":
            return {**item, "input": custom_input(arguments)}
        case "local_shell_call":
            return {**item, "action": shell_action(arguments)}
    return {**item, "arguments": arguments}


def empty_part(part: str) -> Json:
    """A part before its first token."""
    match part:
        case "output_text":
            return {"type": part, "text": "", "annotations": [], "logprobs": []}
        case "refusal":
            return {"type": part, "refusal": ""}
    return {"type": part, "text": ""}
