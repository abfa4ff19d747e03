"""Chat and embedding requests, messages, replies and usage as plain values; no wire format, no model.

The vocabulary is OpenAI's chat body. Only what a router, a guard or the books read is typed; everything, typed or not,
also rides in `fields` as the bytes the client sent, so nothing unknown is dropped and an unchanged request is
written again byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
JsonFields = dict[str, Raw]
"""JSON object whose values are kept as the bytes they arrived in."""


class ContentPart(Struct, frozen=True):
    """One piece of a message's content. `type` is OpenAI's: text, image_url, input_audio, file, refusal."""

    type: str
    text: str = ""


class FunctionCall(Struct, frozen=True):
    name: str
    arguments: str = ""


class ToolCall(Struct, frozen=True):
    """A call the model wants made. `function.arguments` is JSON text as the model wrote it, valid or not."""

    function: FunctionCall | None = None
    id: str = ""
    type: str = "function"


class Message(Struct, frozen=True):
    role: Role
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """All words of the message, parts joined by new lines."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text)


class ChatRequest(Struct, frozen=True):
    """One chat request. `fields` is the whole body, `model` included; the typed values are views of it."""

    model: str
    messages: list[Message]
    fields: JsonFields
    stream: bool = False
    include_usage: bool = False  # stream_options.include_usage
    max_tokens: int | None = None  # of max_completion_tokens, else max_tokens
    n: int = 1
    logprobs: bool = False
    tools: bool = False
    schema: bool = False  # response_format asks for JSON of some kind

    def prompt_chars(self) -> int:
        """Characters the model must read: messages and tool descriptions, as JSON text."""
        total = memoryview(self.fields["messages"]).nbytes
        tools = self.fields.get("tools")
        return total + (memoryview(tools).nbytes if tools is not None else 0)

    def last_user_text(self) -> str:
        """The person's own words: the last user message, not harness text around it."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        return ""

    def input_modalities(self) -> frozenset[str]:
        """Modalities in the request beside text: image, audio, file."""
        kinds: set[str] = set()
        for message in self.messages:
            if isinstance(message.content, list):
                kinds.update(
                    MODALITY_BY_PART_TYPE[part.type] for part in message.content if part.type in MODALITY_BY_PART_TYPE
                )
        return frozenset(kinds)

    def map_text(self, transform: Callable[[str], str]) -> ChatRequest:
        """The same request with every text of every message passed through `transform`; unknown fields stay."""
        raw = msgspec.json.decode(self.fields["messages"])
        for message in raw:
            _rewrite(message, transform)
        encoded = msgspec.json.encode(raw)
        return msgspec.structs.replace(
            self,
            messages=msgspec.json.decode(encoded, type=list[Message]),
            fields={**self.fields, "messages": Raw(encoded)},
        )


MODALITY_BY_PART_TYPE: Mapping[str, str] = MappingProxyType(
    {"image_url": "image", "input_image": "image", "input_audio": "audio", "file": "file", "input_file": "file"},
)


def _rewrite(message: dict[str, Any], transform: Callable[[str], str]) -> None:
    content = message.get("content")
    if isinstance(content, str):
        message["content"] = transform(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part.get("text"), str):
                part["text"] = transform(part["text"])


class EmbeddingRequest(Struct, frozen=True):
    """A request for vectors. `inputs` are texts, or lists of tokens of the model's own; `fields` is the whole body."""

    model: str
    inputs: list[str] | list[list[int]]
    fields: JsonFields
    dimensions: int | None = None
    base64: bool = False  # the vectors are wanted as base64 of 32-bit floats


class Usage(Struct, frozen=True):
    """Tokens of one attempt. `input` includes cached and cache_write, `output` includes reasoning.

    `estimated` where the model did not say: the stream was cut, the client left, or the upstream counts nothing.
    `unpriced_reason` says why a price by the token does not hold (a dearer service tier, a search that was made), empty
    where it does. `reported_cost` is what the upstream says it charged, in pico-dollars.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write_1h: int = 0  # of cache_write, what is kept for an hour and not for minutes
    audio: int = 0  # heard and spoken ones together
    unpriced_reason: str = ""
    reported_cost: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
        )


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Choice(Struct, frozen=True):
    """One of `n` answers. `logprobs` is OpenAI's logprobs object as bytes; `message` the whole message as bytes
    where it was read from a body, so that annotations, audio and refusals survive.
    """

    index: int = 0
    text: str = ""
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    logprobs: Raw | None = None
    message: Raw | None = None


class Reply(Struct, frozen=True):
    """What a model said in the end. `fields` are the body's other fields (id, created, system_fingerprint, ...).

    `body` is the whole body when the reply came as one and nobody changed it: a door of the same wire may send it on.
    Whoever changes anything else must drop it.
    """

    choices: tuple[Choice, ...]
    usage: Usage
    model: str = ""
    id: str = ""
    fields: JsonFields = {}
    body: bytes | None = None
    embeddings: tuple[tuple[float, ...], ...] = ()  # of an EmbeddingRequest: (n_inputs, dim)
    degraded: str = ""  # why a distrusted reply is shown all the same; empty otherwise

    @property
    def text(self) -> str:
        return self.choices[0].text if self.choices else ""
