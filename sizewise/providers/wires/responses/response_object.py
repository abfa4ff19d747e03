"""A reply shown to a client as a Response object: what was asked for, the items of the output, tokens; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.messages import Choice, Fields, Function, Reply, Usage
from sizewise.providers.wires.original_body import origin
from sizewise.providers.wires.responses.request_in import NAME
from sizewise.providers.wires.responses.response import read_reply

Json = dict[str, Any]

ECHOED: Mapping[str, object] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what holds where that says nothing. Null: the model's own default."""

CUT: Mapping[str | None, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Our finish -> why a response is incomplete; every other finish completes it."""


class Frame(Struct, frozen=True):
    """A response without what is in it. `id`: resp_ and 48 hex digits; `created`: unix seconds; `sent`: the request.

    `previous`: the id of the response that it builds on. `stored`: whether it is kept for the next one.
    """

    id: str
    created: int
    sent: Fields
    previous: str | None = None
    stored: bool = True

    def named(self, kind: str, number: int) -> str:
        """The id of an item that is named here."""
        return f"{kind}_sw{self.id[-24:]}{number:02d}"

    def begun(self, model: str) -> Json:
        """As it stands before the first word."""
        echoed = {name: self._said(name, unsaid) for name, unsaid in ECHOED.items()}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": "in_progress",
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "previous_response_id": self.previous,
            "store": self.stored,
            "usage": None,
            **echoed,
        }

    def _said(self, name: str, unsaid: object) -> object:
        raw = self.sent.get(name)
        return unsaid if raw is None or bytes(raw) == b"null" else raw

    def ended(self, reply: Reply, at: int, output: list[Json] | None = None) -> Json:
        """The whole response, done `at` (unix seconds). `output`: the items as a stream has shown them."""
        theirs = original(reply)
        begun = self.begun(reply.model)
        ours = {name: begun[name] for name in ("id", "object", "created_at", "model", "previous_response_id", "store")}
        whole: Json = {**begun, "completed_at": at, **theirs, **ours}
        choice = reply.choices[0] if reply.choices else Choice()
        reason = CUT.get(choice.finish)
        whole["status"] = "incomplete" if reason else "completed"
        if reason:
            whole["completed_at"] = None
            whole["incomplete_details"] = theirs.get("incomplete_details") or {"reason": reason}
        if output is not None:
            whole["output"] = output
        elif "output" not in theirs:
            whole["output"] = items(self, choice)
        whole["usage"] = write_usage(reply.usage, theirs.get("usage") or {})
        return whole | ({"degraded": reply.degraded} if reply.degraded else {})


def original(reply: Reply) -> Json:
    """The upstream's own response, where it spoke this wire and nobody changed the reply since; else empty."""
    found = origin(reply.fields, NAME)
    if found is None or reply.degraded or read_reply(bytes(found.body)).choices != reply.choices:
        return {}
    theirs: Json = msgspec.json.decode(found.body)
    return {name: value for name, value in theirs.items() if value is not None}


def write_usage(usage: Usage, theirs: Json) -> Json:
    """Today's schema wants both details, also of models that have neither. What an upstream counts beside, stays."""
    ours: Json = {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
    for name in ("input_tokens_details", "output_tokens_details"):
        ours[name] = {**(theirs.get(name) or {}), **ours[name]}
    return {**theirs, **ours}


# ---- items ----------------------------------------------------------------------------------------------------------


class Beside(Struct):
    """Of a message in our words: what it said instead of an answer, and reasoning that a model of this wire sealed."""

    refusal: str | None = None
    reasoning_items: list[Json] = []


class Tokens(Struct):
    content: list[Json] | None = None


def items(frame: Frame, choice: Choice) -> list[Json]:
    """The output of a model of another wire: what it thought, said, and wants called."""
    beside = msgspec.json.decode(choice.message, type=Beside) if choice.message is not None else Beside()
    output, refusal = beside.reasoning_items, beside.refusal
    if choice.thought and not output:
        part = {"type": "reasoning_text", "text": choice.thought}
        output.append({**reasoning(frame.named("rs", 0)), "content": [part]})
    parts: list[Json] = []
    if choice.text or not (choice.tool_calls or refusal):
        parts.append({**empty("output_text"), "text": choice.text, "logprobs": tokens(choice.logprobs)})
    if refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    if parts:
        status = "incomplete" if choice.finish in CUT else "completed"
        output.append({**message(frame.named("msg", len(output))), "status": status, "content": parts})
    for number, call in enumerate(choice.tool_calls):
        function = call.function or Function("")
        shown = function_call(frame, len(output), number, call.id, function.name)
        output.append({**shown, "status": "completed", "arguments": function.arguments})
    return output


def tokens(logprobs: Raw | None) -> list[Json]:
    """Log-probabilities, token by token; those of our words are spelt the same."""
    return (msgspec.json.decode(logprobs, type=Tokens).content or []) if logprobs is not None else []


def reasoning(id: str) -> Json:
    return {"id": id, "type": "reasoning", "summary": []}


def message(id: str) -> Json:
    return {"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def function_call(frame: Frame, place: int, number: int, id: str, name: str) -> Json:
    """A call before its arguments. `number`: of the calls; some servers name none, and a result must find its call."""
    call_id = id or f"call_{frame.id[-24:]}{number:02d}"
    shown = {"id": frame.named("fc", place), "type": "function_call", "status": "in_progress"}
    return {**shown, "call_id": call_id, "name": name, "arguments": ""}


def empty(part: str) -> Json:
    """A part before its first word."""
    match part:
        case "output_text":
            return {"type": part, "text": "", "annotations": [], "logprobs": []}
        case "refusal":
            return {"type": part, "refusal": ""}
    return {"type": part, "text": ""}
