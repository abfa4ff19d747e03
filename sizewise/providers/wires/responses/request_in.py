"""Client request of the Responses API -> `ChatRequest`, with the original body attached; knows no model and no store.

Source: the OpenAI API reference, Responses, and its Python library 3.57.0. Prompt cache marks and reasoning of earlier
turns are dropped, since no other model could use them (reasoning is encrypted for its own vendor). `store`,
`previous_response_id` and `metadata` are handled by our API. Everything else without an equivalent is listed in
`OriginalBody.untranslated`; such a request only fits models of this wire.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import ChatRequest, JsonFields, Message
from sizewise.providers.wires.openai.request_response import Count, decode_body, decode_client_body
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody, original_body, without_original
from sizewise.providers.wires.responses.input_items import ResponsesInputTranslator

WIRE_NAME = "responses"
INCLUDE_LOGPROBS = "message.output_text.logprobs"
INCLUDE_ENCRYPTED_REASONING = "reasoning.encrypted_content"

Json = dict[str, Any]


class ResponseTextConfig(Struct):
    """Format and verbosity of the reply."""

    format: Json | None = None
    verbosity: str | None = None


class ResponsesBody(Struct):
    """The type-checked fields of a Responses body, with the API's own bounds."""

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
    text: ResponseTextConfig | None = None
    reasoning: Json | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    truncation: str | None = None
    prompt: Json | None = None


COPIED_FIELDS = ("stream", "temperature", "top_p", "parallel_tool_calls")
"""Fields with the same name in the internal format."""

TRANSLATED_FIELDS = frozenset(
    {
        *(name for name in ResponsesBody.__struct_fields__ if name != "prompt"),
        *("stream_options", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
        *("client_metadata", "max_tool_calls"),
    },
)
"""Translated, or droppable. `_FieldTranslator` checks fields where that depends on the value.

`max_tool_calls` counts calls of hosted tools, which no other wire has. `truncation="auto"` matters only for a prompt
that does not fit, which is then refused as such.
"""

ALLOWED_INCLUDES = frozenset(
    {
        *(INCLUDE_LOGPROBS, INCLUDE_ENCRYPTED_REASONING, "message.input_image.image_url", "file_search_call.results"),
        *("web_search_call.results", "web_search_call.action.sources"),
        *("code_interpreter_call.outputs", "computer_call_output.output.image_url"),
    },
)
"""Accepted values of `include`. Most concern hosted tools, which other wires cannot express anyway."""


class CountableBody(ResponsesBody):
    model: str = "auto"
    input: str | Annotated[list[Json], Meta(max_length=100_000)] | None = None  # type: ignore[assignment]  # optional here


class PromptedBody(ResponsesBody):
    """A body with a `prompt`, which may name the model and be all the input."""

    model: str = ""
    input: str | Annotated[list[Json], Meta(max_length=100_000)] = []


_body = msgspec.json.Decoder(ResponsesBody)
_prompted: msgspec.json.Decoder[ResponsesBody] = msgspec.json.Decoder(PromptedBody)
_countable = msgspec.json.Decoder(CountableBody)
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class ResponsesRequest(Struct):
    """A parsed request. `raw_fields`: its body without `sizewise` and `previous_response_id`."""

    body: ResponsesBody
    raw_fields: JsonFields
    sizewise: Raw | None

    @property
    def should_store(self) -> bool:
        """Whether to store the response; true unless the client disables it."""
        return self.body.store is not False

    def input_items(self) -> list[Raw]:
        """The input as a list of items."""
        if isinstance(self.body.input, str):
            part = {"type": "input_text", "text": self.body.input}
            return [Raw(_encode({"type": "message", "role": "user", "content": [part]}))]
        return msgspec.json.decode(self.raw_fields["input"], type=list[Raw])

    def to_chat(self, context: list[Raw]) -> ChatRequest:
        """The request in the internal format, after the items of `context`. Raises BadBody."""
        seen, sent = self.body, self.raw_fields
        if context:
            whole = {**sent, "input": Raw(_encode([*context, *self.input_items()]))}
            seen, sent = decode_body(_encode(whole), _body)
        try:
            fields, reading = translate(seen, sent)
            messages = msgspec.json.decode(fields["messages"], type=list[Message])
        except RecursionError as error:  # the translation is nested a few levels deeper
            raise BadBody("the body is nested too deeply", "flatten it") from error
        if not messages:
            raise BadBody("`input` contains nothing to answer", "send a text or a message", param="input")
        original = OriginalBody(
            WIRE_NAME,
            Raw(_encode(sent)),
            reading.untranslated,
            reading.approximate,
            max_tokens_field="max_output_tokens",
            effort_field="reasoning",
        )
        fields[ORIGINAL_FIELD] = original.to_field()
        schema, logprobs = "response_format" in fields, "logprobs" in fields
        limit, tools = seen.max_output_tokens, bool(seen.tools)
        return ChatRequest(
            model=seen.model,
            messages=messages,
            fields=fields,
            stream=seen.stream is True,
            include_usage=False,
            max_tokens=limit,
            n=1,
            logprobs=logprobs,
            tools=tools,
            schema=schema,
        )


def read_request(body: bytes, *, is_checked: bool = False) -> ResponsesRequest:
    """Raises BadBody, which names the field. `is_checked`: as in `decode_client_body`."""
    seen: ResponsesBody
    if b'"prompt"' in body:
        seen, sent = decode_client_body(body, _prompted, is_checked)
    if b'"prompt"' not in body or seen.prompt is None:
        seen, sent = decode_client_body(body, _body, is_checked)
    ours = sent.pop("sizewise", None)
    sent.pop("previous_response_id", None)
    return ResponsesRequest(seen, sent, ours)


def read_countable_request(body: bytes) -> ResponsesRequest:
    """A request of which only the prompt counts: `model` may be missing, which is `auto`, and `input` if it continues
    a response or has instructions. Raises BadBody.
    """
    seen, sent = decode_client_body(body, _countable)
    ours = sent.pop("sizewise", None)
    sent.pop("previous_response_id", None)
    sent.setdefault("model", Raw(_encode(seen.model)))
    if seen.input is None:
        seen.input, sent["input"] = [], Raw(b"[]")
    return ResponsesRequest(cast("ResponsesBody", seen), sent, ours)


def unchanged_original(chat: ChatRequest) -> JsonFields | None:
    """The client's own body, if it used this wire and the request was not changed since."""
    found = original_body(chat.fields, WIRE_NAME)
    if found is None:
        return None
    seen, sent = decode_body(bytes(found.body), _body)
    fields, _ = translate(seen, sent)
    now = without_original(chat.fields)
    return sent if {**fields, "model": Raw()} == {**now, "model": Raw()} else None


def translate(body: ResponsesBody, raw_fields: JsonFields) -> tuple[JsonFields, ResponsesInputTranslator]:
    """The translated fields of a body, and the translator with its untranslated paths."""
    reading = ResponsesInputTranslator()
    fields: Json = {"model": body.model, "messages": reading.messages(body.instructions, body.input)}
    fields |= {
        name: raw_fields[name] for name in COPIED_FIELDS if name in raw_fields and getattr(body, name) is not None
    }  # exactly as spelled
    if body.max_output_tokens is not None:
        fields["max_tokens"] = raw_fields["max_output_tokens"]
    fields |= reading.tools(body.tools or [], body.tool_choice)
    translating = _FieldTranslator(reading.untranslated)
    reading.approximate |= bool(body.include or (body.reasoning or {}).keys() - {"effort"})
    fields |= (
        translating.response_format(body.text)
        | translating.reasoning_effort(body.reasoning or {})
        | translating.includes(body)
    )
    if user := body.user or body.safety_identifier:
        fields["user"] = user
    translating.other_fields(body, raw_fields)
    return {name: Raw(_encode(value)) for name, value in fields.items()}, reading


class _FieldTranslator:
    """Translates the fields other than items and tools."""

    def __init__(self, untranslated: list[str]) -> None:
        self._untranslated = untranslated

    def response_format(self, text: ResponseTextConfig | None) -> Json:
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
        self._untranslated.append("text.format")
        return found

    def reasoning_effort(self, reasoning: Json) -> Json:
        """`summary` controls how much reasoning is shown; other models show all they have, so it is ignored."""
        unsaid = {name for name, value in reasoning.items() if value is not None}
        self._untranslated += [
            f"reasoning.{name}" for name in sorted(unsaid - {"effort", "summary", "generate_summary"})
        ]
        return {"reasoning_effort": reasoning["effort"]} if "effort" in unsaid else {}

    def includes(self, body: ResponsesBody) -> Json:
        self._untranslated += [
            f"include[{i}]" for i, each in enumerate(body.include or ()) if each not in ALLOWED_INCLUDES
        ]
        if body.top_logprobs:
            return {"logprobs": True, "top_logprobs": body.top_logprobs}
        return {"logprobs": True} if INCLUDE_LOGPROBS in (body.include or ()) else {}

    def other_fields(self, body: ResponsesBody, raw_fields: JsonFields) -> None:
        if body.truncation not in (None, "disabled", "auto"):
            self._untranslated.append("truncation")
        if body.service_tier not in (None, "auto", "default"):
            self._untranslated.append("service_tier")
        self._untranslated += [
            name
            for name, raw in raw_fields.items()
            if name not in TRANSLATED_FIELDS and bytes(raw) not in (b"null", b"[]")
        ]
