"""Chat, embedding, rerank and media requests, messages, replies and usage as plain values; no wire format, no model.

The vocabulary is OpenAI's chat body. Only what routing, guardrails or accounting read is typed. Everything, typed or
not, is also in `fields` as the client's bytes: unknown fields survive, and an unchanged request is written back byte
for byte.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.model_card import ModelTask
from sizewise.money import MediaUnits

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
    """A function call by the model. `function.arguments` is JSON text as the model wrote it, valid or not."""

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
        """All text of the message, parts joined by newlines."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text)


class ChatRequest(Struct, frozen=True):
    """One chat request. `fields` is the whole body, `model` included; the typed values are views of it."""

    task: ClassVar[ModelTask] = "chat"
    model: str
    messages: list[Message]
    fields: JsonFields
    stream: bool = False
    include_usage: bool = False  # stream_options.include_usage
    max_tokens: int | None = None  # max_completion_tokens, else max_tokens
    n: int = 1
    logprobs: bool = False
    tools: bool = False
    schema: bool = False  # response_format asks for JSON of some kind

    def prompt_bytes(self) -> int:
        """Bytes of JSON text that the model must read: messages and tool descriptions."""
        total = memoryview(self.fields["messages"]).nbytes
        tools = self.fields.get("tools")
        return total + (memoryview(tools).nbytes if tools is not None else 0)

    def last_user_text(self) -> str:
        """Text of the last user message; empty if there is none."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        return ""

    def input_modalities(self) -> frozenset[str]:
        """Modalities of the request in addition to text: image, audio, file."""
        kinds: set[str] = set()
        for message in self.messages:
            if isinstance(message.content, list):
                kinds.update(
                    MODALITY_BY_PART_TYPE[part.type] for part in message.content if part.type in MODALITY_BY_PART_TYPE
                )
        return frozenset(kinds)

    def map_text(self, transform: Callable[[str], str]) -> ChatRequest:
        """The request with every text of every message passed through `transform`; unknown fields are kept."""
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


class ModerationRequest(ChatRequest, frozen=True):
    """Messages to judge, each on its own."""

    task: ClassVar[ModelTask] = "moderate"


class UploadedFile(Protocol):
    """A file of a request. `size` in bytes; None: not known, because it is still arriving."""

    failure: SizewiseError | None  # of the last attempt to send it

    @property
    def field(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def size(self) -> int | None: ...
    @property
    def is_readable(self) -> bool:
        """False once a part that is not held was read."""
        ...

    def digest(self) -> bytes:
        """SHA-256 of a file whose size is known."""
        ...

    def read(self) -> AsyncIterator[bytes]:
        """Its bytes. May be called again while `is_readable`."""
        ...


NO_UNITS = MediaUnits()


class MediaRequest(ChatRequest, frozen=True):
    """A request for audio, images or a transcript. `messages` is its text, as a user's; `fields` has `messages` and the
    body's other fields. `path`: of the upstream's endpoint. `units`: what it uses, where known before; `most`: at most.
    """

    text_field: ClassVar[str] = "prompt"  # the body's name for the text
    answers_in_text: ClassVar[bool] = False  # whether placeholders in the answer can be replaced
    path: str = ""
    units: MediaUnits = NO_UNITS
    most: MediaUnits = NO_UNITS
    files: tuple[UploadedFile, ...] = ()


class SpeechRequest(MediaRequest, frozen=True):
    """A text to speak. The answer is audio, as RawDelta events."""

    task: ClassVar[ModelTask] = "speak"
    text_field: ClassVar[str] = "input"


class TranscriptionRequest(MediaRequest, frozen=True):
    """Audio to write down, in its language or in English. The text is a hint for the model, and may be missing."""

    task: ClassVar[ModelTask] = "transcribe"
    answers_in_text: ClassVar[bool] = True


class ImageRequest(MediaRequest, frozen=True):
    """Images to generate, to edit or to vary."""

    task: ClassVar[ModelTask] = "image"


class EmbeddingRequest(Struct, frozen=True):
    """A request for vectors. `inputs` are texts or lists of the model's tokens; `fields` is the whole body."""

    task: ClassVar[ModelTask] = "embed"
    model: str
    inputs: list[str] | list[list[int]]
    fields: JsonFields
    dimensions: int | None = None
    base64: bool = False  # return vectors as base64 of 32-bit floats


class RerankRequest(EmbeddingRequest, frozen=True):
    """A request for the relevance of documents to a query. `inputs` are the query and the documents, and the reply has
    a vector of length 1 for each document, in their order. `fields` has `model`, `input`, and what the upstream also
    gets.
    """

    task: ClassVar[ModelTask] = "rerank"


def request_size(request: ChatRequest | EmbeddingRequest) -> int:
    """Bytes of all fields of a request."""
    return sum(map(len, request.fields.values()))


class Usage(Struct, frozen=True):
    """Tokens of one attempt. `input` includes cached and cache_write, `output` includes reasoning.

    `estimated`: the model reported no usage, because the stream was cut, the client left, or the upstream counts
    nothing. `units`: of a request for audio or images. `unpriced_reason`: why token prices do not apply (a dearer
    service tier, a web search); empty if they do.
    `reported_cost`: what the upstream says it charged, in pico-dollars.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write_1h: int = 0  # part of cache_write that is kept for an hour instead of minutes
    audio: int = 0  # input and output together
    unpriced_reason: str = ""
    reported_cost: int | None = None
    units: MediaUnits | None = None

    def __add__(self, other: Usage) -> Usage:
        """The usage of both. `reported_cost` is None if one of them has none, unless that one is empty."""
        if self == NO_USAGE:
            return other
        if other == NO_USAGE:
            return self
        reasons = [*self.unpriced_reason.split(", "), *other.unpriced_reason.split(", ")]
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cached=self.cached + other.cached,
            cache_write=self.cache_write + other.cache_write,
            reasoning=self.reasoning + other.reasoning,
            estimated=self.estimated or other.estimated,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            audio=self.audio + other.audio,
            unpriced_reason=", ".join(dict.fromkeys(filter(None, reasons))),
            reported_cost=None
            if self.reported_cost is None or other.reported_cost is None
            else self.reported_cost + other.reported_cost,
            units=_add_units(self.units, other.units),
        )


NO_USAGE = Usage()


def _add_units(one: MediaUnits | None, other: MediaUnits | None) -> MediaUnits | None:
    if one is None or other is None:
        return one or other
    known = one.audio_ms is not None and other.audio_ms is not None
    return MediaUnits(
        (one.audio_ms or 0) + (other.audio_ms or 0) if known else None,
        one.characters + other.characters,
        one.images + other.images,
        one.image_kind,
    )


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Choice(Struct, frozen=True):
    """One of `n` answers. `logprobs` is OpenAI's logprobs object as bytes. `message` is the whole message as bytes, if
    it was read from a body, so that annotations, audio and refusals survive.
    """

    index: int = 0
    text: str = ""
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    logprobs: Raw | None = None
    message: Raw | None = None


class Reply(Struct, frozen=True):
    """The final answer of a model. `fields` are the other fields of the body (id, created, system_fingerprint, ...).

    `body` is the whole body of an unchanged reply that was not streamed; an API of the same wire may send it on. Code
    that changes anything else in the reply must drop it.
    """

    choices: tuple[Choice, ...]
    usage: Usage
    model: str = ""
    id: str = ""
    fields: JsonFields = {}
    body: bytes | None = None
    embeddings: tuple[tuple[float, ...], ...] = ()  # (n_inputs, dim); of a RerankRequest: (n_documents, 1)
    degraded: str = ""  # why an untrusted reply is returned; otherwise empty
    completed_at: int = 0  # unix seconds; 0: now

    @property
    def text(self) -> str:
        return self.choices[0].text if self.choices else ""


def reply_size(reply: Reply) -> int:
    """Characters of all texts of a reply, bytes of the parts that are kept as JSON, and about 20 bytes a number of a
    vector.
    """
    size = 20 * sum(map(len, reply.embeddings)) if reply.embeddings else 0
    for choice in reply.choices:
        size += len(choice.text) + len(choice.reasoning)
        for call in choice.tool_calls:
            if call.function is not None:
                size += len(call.function.arguments)
        if choice.message is not None:
            size += len(choice.message)
        if choice.logprobs is not None:
            size += len(choice.logprobs)
    return size
