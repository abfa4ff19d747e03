"""Client request of the Messages API -> `ChatRequest`, with the original body attached; pure, knows no model.

Source: the Anthropic API reference, Messages. Prompt cache marks and reasoning of earlier turns are dropped, since no
other model could use them (reasoning is signed for its own vendor). Everything else without an equivalent is listed in
`OriginalBody.untranslated`; such a request only fits models of this wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import ChatRequest, JsonFields, Message
from sizewise.providers.wires.anthropic.neutral_values import (
    found_tools,
    is_neutral_tool_value,
    is_offered,
    unsupported_fields,
)
from sizewise.providers.wires.anthropic.search_blocks import has_own_citations, is_own_search, without_searches
from sizewise.providers.wires.anthropic.thinking import (
    EFFORTS,
    NEAREST_EFFORTS,
    effort_of_thinking,
    unsupported_thinking,
)
from sizewise.providers.wires.attachments import split_attachments
from sizewise.providers.wires.openai.request_response import Count, decode_body, decode_client_body
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody, original_body, without_original

WIRE_NAME = "anthropic"

UnitInterval = Annotated[float, Meta(ge=0, le=1)]
Block = dict[str, Any]


class MessageParam(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class MessagesBody(Struct):
    """The type-checked fields of a Messages body, with the API's own bounds."""

    model: str
    messages: Annotated[list[MessageParam], Meta(min_length=1, max_length=100_000)]
    max_tokens: Count | None = None
    system: str | list[Block] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: UnitInterval | None = None
    top_p: UnitInterval | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    tools: list[Block] | None = None
    tool_choice: Block | None = None
    output_config: Block | None = None
    thinking: Block | None = None
    metadata: Block | None = None


class TextBlock(Struct):
    text: str


class ToolReferenceBlock(Struct):
    tool_name: str


class ToolUseBlock(Struct):
    id: str
    name: str
    input: Raw


class ToolResultBlock(Struct):
    tool_use_id: str
    content: str | list[Block] | None = None
    is_error: bool | None = None


class ContentSource(Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class SourceBlock(Struct):
    """An image or a document."""

    source: ContentSource
    title: str | None = None


class AnthropicTool(Struct):
    name: str
    input_schema: Raw
    description: str | None = None
    strict: bool | None = None


class AnthropicToolChoice(Struct):
    type: Literal["auto", "any", "none", "tool"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


TRANSLATED_FIELDS = frozenset(
    ("model", "messages", "system", "stream", "max_tokens", "temperature", "top_p", "top_k", "cache_control"),
)
"""Top-level fields that are translated, or can be dropped, whatever their value."""

TRANSLATED_KEYS: Mapping[str, frozenset[str]] = {
    "text": frozenset(("text", "citations")),
    "tool_reference": frozenset(("tool_name",)),
    "image": frozenset(("source",)),
    "document": frozenset(("source", "title")),
    "tool_use": frozenset(("id", "name", "input", "caller")),
    "tool_result": frozenset(("tool_use_id", "content", "is_error")),
    "custom": frozenset(("name", "input_schema", "description", "strict", "eager_input_streaming")),
}
"""Translated keys of each block type and of a tool, and keys that only affect how the reply is delivered.

Any other key is listed as untranslated.
"""

_body = msgspec.json.Decoder(MessagesBody)
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


def read_request(
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    counting: bool = False,
    is_checked: bool = False,
) -> tuple[ChatRequest, Raw | None]:
    """A Messages body and its `sizewise` object. Raises BadBody.

    `headers` are forwarded with the original to upstreams of this wire. `counting`: a token count, which needs no
    `max_tokens`. `is_checked`: as in `decode_client_body`.
    """
    seen, sent = decode_client_body(body, _body, is_checked)
    if seen.max_tokens is None and not counting:
        raise BadBody("`max_tokens` is missing", "set the maximum number of output tokens", param="max_tokens")
    ours = sent.pop("sizewise", None)
    try:
        reading, fields = translate(seen, sent)
        messages = msgspec.json.decode(fields["messages"], type=list[Message])
    except RecursionError as error:  # the translation is nested a few levels deeper
        raise BadBody("the body is nested too deeply", "flatten it") from error
    fields[ORIGINAL_FIELD] = OriginalBody(
        wire=WIRE_NAME,
        body=Raw(_encode(sent)),
        untranslated=reading.untranslated,
        approximate=reading.approximate,
        headers=dict(headers or {}),
        effort_field="output_config",
    ).to_field()
    limit, schema = seen.max_tokens, "response_format" in fields
    return (
        ChatRequest(
            model=seen.model,
            messages=messages,
            fields=fields,
            stream=seen.stream is True,
            include_usage=False,
            max_tokens=limit,
            n=1,
            logprobs=False,
            tools=bool(seen.tools),
            schema=schema,
        ),
        ours,
    )


def read_counted(body: bytes, *, is_checked: bool = False) -> tuple[ChatRequest, Raw | None]:
    """The body of a token count."""
    return read_request(body, counting=True, is_checked=is_checked)


def unchanged_original(chat: ChatRequest) -> JsonFields | None:
    """The client's own body, if it used this wire and the request was not changed since; without what this server wrote
    into earlier turns, which the vendor would refuse.
    """
    found = original_body(chat.fields, WIRE_NAME)
    if found is None:
        return None
    seen, sent = decode_body(bytes(found.body), _body)
    reading, fields = translate(seen, sent)
    now = without_original(chat.fields)
    if {**fields, "model": Raw()} != {**now, "model": Raw()}:
        return None
    if reading.has_own_searches:
        turns = without_searches(msgspec.json.decode(sent["messages"]), own_alone=True)
        return {**sent, "messages": Raw(_encode(turns))}
    return sent


def translate(body: MessagesBody, raw_fields: JsonFields) -> tuple[AnthropicRequestTranslator, JsonFields]:
    """The translator of a body, with its untranslated paths, and the translated fields."""
    reading = AnthropicRequestTranslator()
    fields: dict[str, object] = {"model": body.model, "messages": reading.messages(body)}
    for name in ("max_tokens", "temperature", "top_p", "top_k", "stream"):
        if name in raw_fields and getattr(body, name) is not None:
            fields[name] = raw_fields[name]  # exactly as spelled
    if body.stop_sequences:
        fields["stop"] = body.stop_sequences
    fields |= reading.tools(body)
    for name, raw in raw_fields.items():
        if name not in TRANSLATED_FIELDS and bytes(raw) != b"null":
            fields |= reading.other_field(name, raw, body)
    return reading, {name: Raw(_encode(value)) for name, value in fields.items()}


class AnthropicRequestTranslator:
    """Translates one body. `approximate`: a field was translated inexactly. `has_own_searches`: earlier turns hold
    searches of this server, which are left out.
    """

    def __init__(self) -> None:
        self.untranslated: list[str] = []
        self.approximate = False
        self.has_own_searches = False

    # ---- messages

    def messages(self, body: MessagesBody) -> list[Block]:
        found: list[Block] = []
        if body.system:
            found.append({"role": "system", "content": self._content(body.system, "system")})
        for number, turn in enumerate(body.messages):
            at = f"messages[{number}].content"
            if turn.role == "assistant":
                found.append(self._assistant(turn.content, at))
            elif isinstance(turn.content, str) or turn.role == "system":
                found.append({"role": turn.role, "content": self._content(turn.content, at)})
            else:
                found += self._user(turn.content, at)
        return found

    def _user(self, blocks: list[Block], at: str) -> list[Block]:
        """Tool results become separate messages, placed first."""
        results = [self._result(b, f"{at}[{i}]") for i, b in enumerate(blocks) if b.get("type") == "tool_result"]
        parts = [self._part(b, f"{at}[{i}]") for i, b in enumerate(blocks) if b.get("type") != "tool_result"]
        said = [result for result, _ in results]
        parts = [*(part for _, attached in results for part in attached), *parts]
        if not parts and results:
            return said
        return [*said, {"role": "user", "content": _collapse_text(parts)}]

    def _result(self, block: Block, at: str) -> tuple[Block, list[Block]]:
        """The result as text, and what it has besides text."""
        seen = _convert(block, ToolResultBlock, at)
        self._collect_unknown_keys(block, "tool_result", at)
        parts = [{"type": "text", "text": seen.content}] if isinstance(seen.content, str) else []
        if isinstance(seen.content, list):
            parts = [self._part(each, f"{at}.content[{i}]") for i, each in enumerate(seen.content)]
        if seen.is_error:
            parts.insert(0, {"type": "text", "text": "Error:"})  # the internal format has no error flag
        parts, attached = split_attachments(parts, seen.tool_use_id)
        self.approximate |= bool(attached)
        return {"role": "tool", "tool_call_id": seen.tool_use_id, "content": _collapse_text(parts)}, attached

    def _assistant(self, content: str | list[Block], at: str) -> Block:
        if isinstance(content, str):
            return {"role": "assistant", "content": content}
        parts: list[Block] = []
        calls: list[Block] = []
        for number, block in enumerate(content):
            here, kind = f"{at}[{number}]", block.get("type")
            if kind == "tool_use":
                use = _convert(block, ToolUseBlock, here)
                self._collect_unknown_keys(block, "tool_use", here)
                function = {"name": use.name, "arguments": bytes(use.input).decode()}
                calls.append({"id": use.id, "type": "function", "function": function})
            elif is_own_search(block):
                self.has_own_searches = True
            elif kind not in ("thinking", "redacted_thinking"):
                self.has_own_searches |= "citations" in block and has_own_citations(block)
                parts.append(self._part(block, here))
        message: Block = {"role": "assistant", "content": _collapse_text(parts) if parts or not calls else None}
        return {**message, "tool_calls": calls} if calls else message

    def _content(self, content: str | list[Block], at: str) -> str | list[Block]:
        if isinstance(content, str):
            return content
        return _collapse_text([self._part(block, f"{at}[{i}]") for i, block in enumerate(content)])

    def _part(self, block: Block, at: str) -> Block:
        kind = block.get("type")
        if not isinstance(kind, str):
            raise BadBody(f"`{at}`: the content block has no `type`", "see the API reference for this field", param=at)
        found: Block | None = None
        if kind == "text":
            found = {"type": "text", "text": _convert(block, TextBlock, at).text}
        elif kind == "tool_reference":  # a deferred tool that is now offered
            found = {"type": "text", "text": f"Tool found: {_convert(block, ToolReferenceBlock, at).tool_name}"}
        elif kind in ("image", "document"):
            found = _translate_source(kind, _convert(block, SourceBlock, at))
        if found is None:
            self.untranslated.append(at)
            return {"type": kind, "block": block}  # kept, so that code inspecting the parts sees it
        self._collect_unknown_keys(block, kind, at)
        return found

    def _collect_unknown_keys(self, block: Block, kind: str, at: str) -> None:
        known = TRANSLATED_KEYS[kind] | {"type", "cache_control"}
        self.untranslated += [
            f"{at}.{name}" for name, value in block.items() if name not in known and value is not None
        ]

    # ---- tools and the rest

    def tools(self, body: MessagesBody) -> JsonFields | dict[str, object]:
        found: dict[str, object] = {}
        if body.tools:
            seen = found_tools(body.tools, (turn.content for turn in body.messages))
            tools = [self._tool(tool, f"tools[{i}]") for i, tool in enumerate(body.tools) if is_offered(tool, seen)]
            self.approximate |= len(tools) < len(body.tools)
            found |= {"tools": tools} if tools else {}
        if body.tool_choice is not None:
            choice = _convert(body.tool_choice, AnthropicToolChoice, "tool_choice")
            named = {"type": "function", "function": {"name": choice.name}}
            found["tool_choice"] = {"auto": "auto", "any": "required", "none": "none", "tool": named}[choice.type]
            if choice.disable_parallel_tool_use:
                found["parallel_tool_calls"] = False
        return found

    def _tool(self, tool: Block, at: str) -> Block:
        if tool.get("type") not in (None, "custom"):
            self.untranslated.append(at)
            return tool
        seen = _convert(tool, AnthropicTool, at)
        said = {name: value for name, value in tool.items() if not is_neutral_tool_value(name, value)}
        self._collect_unknown_keys(said, "custom", at)
        function: Block = {"name": seen.name, "parameters": seen.input_schema}
        if seen.description is not None:
            function["description"] = seen.description
        if seen.strict is not None:
            function["strict"] = seen.strict
        return {"type": "function", "function": function}

    def other_field(self, name: str, raw: Raw, body: MessagesBody) -> dict[str, object]:
        if name in ("stop_sequences", "tools", "tool_choice"):
            return {}
        if name == "thinking" and body.thinking is not None:
            return self._thinking(body.thinking, body.output_config or {})
        if name == "metadata" and body.metadata is not None and not body.metadata.keys() - {"user_id"}:
            user = body.metadata.get("user_id")
            return {} if user is None else {"user": user}
        if name == "output_config" and body.output_config is not None:
            return self._output(body.output_config)
        self.untranslated += unsupported_fields(name, msgspec.json.decode(raw))
        return {}

    def _thinking(self, thinking: Block, output: Block) -> dict[str, object]:
        """An explicit effort takes precedence over one derived from a budget."""
        said = unsupported_thinking(thinking)
        self.untranslated += said
        if "thinking" in said or (found := effort_of_thinking(thinking)) is None:
            return {}
        self.approximate = True
        return {} if output.get("effort") is not None else {"reasoning_effort": found}

    def _output(self, config: Block) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in config.items():
            if name == "effort" and value in EFFORTS:
                found["reasoning_effort"] = value
            elif name == "effort" and value in NEAREST_EFFORTS:
                found["reasoning_effort"] = NEAREST_EFFORTS[value]
                self.approximate = True
            elif name == "format" and isinstance(value, dict) and "schema" in value:
                schema = {"name": "answer", "schema": value["schema"], "strict": True}
                found["response_format"] = {"type": "json_schema", "json_schema": schema}
            elif value is not None:
                self.untranslated.append(f"output_config.{name}")
        return found


def _collapse_text(parts: list[Block]) -> str | list[Block]:
    """A single text part becomes a string, which every server accepts."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _translate_source(kind: str, block: SourceBlock) -> Block | None:
    """An image, a PDF or a text; None for sources without an equivalent, such as files in the vendor's store."""
    source = block.source
    if kind == "image" and source.type in ("base64", "url"):
        return {"type": "image_url", "image_url": {"url": _url(source)}}
    if kind == "document" and source.type == "base64":
        return {"type": "file", "file": {"filename": block.title or "document", "file_data": _url(source)}}
    if kind == "document" and source.type == "text":
        return {"type": "text", "text": f"{block.title}\n\n{source.data}" if block.title else source.data}
    return None


def _url(source: ContentSource) -> str:
    return source.url if source.type == "url" else f"data:{source.media_type};base64,{source.data}"


def _convert(block: Block, kind: type[T], at: str) -> T:
    try:
        return msgspec.json.decode(_encode(block), type=kind)  # not `convert`: Raw fields need bytes
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at `$")[0]
        raise BadBody(f"`{at}`: {reason[:1].lower()}{reason[1:]}", "see the API reference", param=at) from error
