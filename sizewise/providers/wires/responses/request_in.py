"""A client's Responses body read into our words, with the original beside it; pure, knows no model and no store.

Source: the OpenAI API reference, Responses, and its Python library 3.57.0. Dropped in our words, because no other model
could use it: marks for the prompt cache, and reasoning of earlier turns, which is sealed for its own vendor. What the
door does itself needs no word: `store`, `previous_response_id`, `metadata`. All else that our words cannot say is named
in `Origin.untold`, and only a model of this wire gets it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import Chat, Fields, Message
from sizewise.providers.wires.openai.request_response import Count, decoded
from sizewise.providers.wires.original_body import FIELD, Origin, origin, without
from sizewise.providers.wires.responses.input_items import Reading

NAME = "responses"
LOGPROBS = "message.output_text.logprobs"
SEALED = "reasoning.encrypted_content"

Json = dict[str, Any]


class Text(Struct):
    """How the answer shall be written."""

    format: Json | None = None
    verbosity: str | None = None


class Body(Struct):
    """The fields of a Responses body whose type we check, with the API's own bounds."""

    model: str
    input: str | Annotated[list[Json], Meta(max_length=100_000)]
    instructions: str | None = None
    previous_response_id: Annotated[str, Meta(max_length=200)] | None = None
    store: bool | None = None
    stream: bool | None = None
    background: bool | None = None
    max_output_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    parallel_tool_calls: bool | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    text: Text | None = None
    reasoning: Json | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    truncation: str | None = None


KEPT = ("stream", "temperature", "top_p", "parallel_tool_calls")
"""Called the same in our words."""

SAID = frozenset(
    {
        *Body.__struct_fields__,
        *("stream_options", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    }
)
"""Translated, or in need of no translation. Where it depends on the value, `_Translating` looks."""

INCLUDED = frozenset(
    {
        *(LOGPROBS, SEALED, "message.input_image.image_url", "file_search_call.results"),
        *("web_search_call.results", "web_search_call.action.sources"),
        *("code_interpreter_call.outputs", "computer_call_output.output.image_url"),
    }
)
"""What may be asked to be shown. Beside log-probabilities it concerns tools of the vendor's own, which are refused."""

_body = msgspec.json.Decoder(Body)
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class Asked(Struct):
    """A request as it was sent. `sent` is its body without our object and what it builds on."""

    seen: Body
    sent: Fields
    ours: Raw | None

    @property
    def kept(self) -> bool:
        """Whether the answer shall be remembered, as it is unless the client says no."""
        return self.seen.store is not False

    def items(self) -> list[Raw]:
        """What was said, item by item."""
        if isinstance(self.seen.input, str):
            part = {"type": "input_text", "text": self.seen.input}
            return [Raw(_encode({"type": "message", "role": "user", "content": [part]}))]
        return msgspec.json.decode(self.sent["input"], type=list[Raw])

    def chat(self, before: list[Raw]) -> Chat:
        """The request in our words, behind the items that it builds on. Raises BadBody."""
        seen, sent = self.seen, self.sent
        if before:
            whole = {**sent, "input": Raw(_encode([*before, *self.items()]))}
            seen, sent = decoded(_encode(whole), _body)
        try:
            fields, reading = translated(seen, sent)
            messages = msgspec.json.decode(fields["messages"], type=list[Message])
        except RecursionError as error:  # translated, it lies a few levels deeper
            raise BadBody("the body is nested too deeply", "flatten it") from error
        if not messages:
            raise BadBody("`input` says nothing that a model could answer", "send a text or a message", param="input")
        original = Origin(NAME, Raw(_encode(sent)), reading.untold, reading.rough, limit="max_output_tokens")
        fields[FIELD] = original.field()
        schema, logprobs = "response_format" in fields, "logprobs" in fields
        limit, tools = seen.max_output_tokens, bool(seen.tools)
        return Chat(seen.model, messages, fields, seen.stream is True, False, limit, 1, logprobs, tools, schema)


def heard(body: bytes) -> Asked:
    """Raises BadBody, which names the field."""
    seen, sent = decoded(body, _body)
    ours = sent.pop("sizewise", None)
    sent.pop("previous_response_id", None)
    return Asked(seen, sent, ours)


def as_it_came(chat: Chat) -> Fields | None:
    """The client's own body, where it spoke this wire and nobody has changed the request since."""
    found = origin(chat.fields, NAME)
    if found is None:
        return None
    seen, sent = decoded(bytes(found.body), _body)
    fields, _ = translated(seen, sent)
    now = without(chat.fields)
    return sent if {**fields, "model": Raw()} == {**now, "model": Raw()} else None


def translated(seen: Body, sent: Fields) -> tuple[Fields, Reading]:
    """Our words for a body, and what they do not say of it."""
    reading = Reading()
    fields: Json = {"model": seen.model, "messages": reading.messages(seen.instructions, seen.input)}
    fields |= {name: sent[name] for name in KEPT if name in sent and getattr(seen, name) is not None}  # as it is spelt
    if seen.max_output_tokens is not None:
        fields["max_tokens"] = sent["max_output_tokens"]
    fields |= reading.tools(seen.tools or [], seen.tool_choice)
    translating = _Translating(reading.untold)
    reading.rough |= bool(seen.include or (seen.reasoning or {}).keys() - {"effort"})
    fields |= translating.shape(seen.text) | translating.effort(seen.reasoning or {}) | translating.shown(seen)
    if user := seen.user or seen.safety_identifier:
        fields["user"] = user
    translating.rest(seen, sent)
    return {name: Raw(_encode(value)) for name, value in fields.items()}, reading


class _Translating:
    """All of a body but its items and tools."""

    def __init__(self, untold: list[str]) -> None:
        self._untold = untold

    def shape(self, text: Text | None) -> Json:
        if text is None:
            return {}
        found: Json = {} if text.verbosity in (None, "medium") else {"verbosity": text.verbosity}
        shape = text.format or {"type": "text"}
        match shape.get("type"):
            case "json_schema":
                schema = {name: value for name, value in shape.items() if name != "type" and value is not None}
                return found | {"response_format": {"type": "json_schema", "json_schema": schema}}
            case "json_object":
                return found | {"response_format": {"type": "json_object"}}
            case "text":
                return found
        self._untold.append("text.format")
        return found

    def effort(self, reasoning: Json) -> Json:
        """`summary` says how much of the reasoning is told: of any other model's, all that it shows is told."""
        unsaid = {name for name, value in reasoning.items() if value is not None}
        self._untold += [f"reasoning.{name}" for name in sorted(unsaid - {"effort", "summary", "generate_summary"})]
        return {"reasoning_effort": reasoning["effort"]} if "effort" in unsaid else {}

    def shown(self, seen: Body) -> Json:
        self._untold += [f"include[{i}]" for i, each in enumerate(seen.include or ()) if each not in INCLUDED]
        if seen.top_logprobs:
            return {"logprobs": True, "top_logprobs": seen.top_logprobs}
        return {"logprobs": True} if LOGPROBS in (seen.include or ()) else {}

    def rest(self, seen: Body, sent: Fields) -> None:
        if seen.truncation not in (None, "disabled"):
            self._untold.append("truncation")
        if seen.service_tier not in (None, "auto", "default"):
            self._untold.append("service_tier")
        if seen.background:
            self._untold.append("background")
        self._untold += [name for name, raw in sent.items() if name not in SAID and bytes(raw) != b"null"]
