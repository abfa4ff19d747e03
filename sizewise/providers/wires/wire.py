"""Wire: the interface of a wire format as one value of pure functions between a vendor's bytes and our messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from sizewise.errors import NotTranslatable, SizewiseError, UpstreamProtocolError
from sizewise.handler import Event, Send
from sizewise.messages import ChatRequest, EmbeddingRequest, JsonFields, MediaRequest, Reply, RerankRequest


class StreamReader(Protocol):
    """Reads one stream, payload by payload. `done` is set once the upstream has ended it."""

    done: bool

    def read_frame(self, payload: bytes) -> list[Event]: ...

    def reply(self) -> Reply:
        """The whole reply. Raises UpstreamProtocolError if the stream ended too early."""
        ...


def no_headers(chat: ChatRequest) -> list[tuple[str, str]]:
    """For a wire without headers per request."""
    return []


def no_rerank(rerank: RerankRequest, model: str) -> bytes:
    """For a wire without a rerank API. Raises NotTranslatable."""
    hint = "use an embedding model, a chat model, or a reranker whose provider has `/rerank`"
    raise NotTranslatable("the chosen model's API has no rerank endpoint", hint, param="model")


def no_scores(body: bytes, count: int) -> Reply:
    raise UpstreamProtocolError("this wire has no rerank API", "check `wire` in [providers.NAME]")


def bearer_header(key: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {key}")] if key else []


@dataclass(frozen=True, slots=True)
class TextEndpoint:
    """A further endpoint for some chats, such as text completions, with the names of Wire. `takes`: whether a request
    is for it.
    """

    chat_path: str
    takes: Callable[[ChatRequest], bool]
    write_request: Callable[[ChatRequest, str], bytes]
    read_reply: Callable[[bytes], Reply]
    read_stream: Callable[[bool], StreamReader]


@dataclass(frozen=True, slots=True)
class MediaEndpoints:
    """Endpoints for audio and images. Paths are the requests' own."""

    write_fields: Callable[[MediaRequest, str], JsonFields]  # the request and the upstream's model name
    form_fields: Callable[[JsonFields], list[tuple[str, str]]]
    read_reply: Callable[[MediaRequest, bytes], Reply]
    read_stream: Callable[[MediaRequest], StreamReader]
    send_reply: Callable[
        [MediaRequest, Reply, Send], Awaitable[Reply]
    ]  # a whole reply as the stream that was requested
    audio_delta: Callable[[bytes, str], Event]  # bytes of audio, and the content type of the first


@dataclass(frozen=True, slots=True)
class Wire:
    """Paths are appended to the endpoint's base URL. Readers raise UpstreamProtocolError for an invalid response."""

    chat_path: str
    embed_path: str
    write_request: Callable[[ChatRequest, str], bytes]  # the request and the upstream's model name
    write_embed: Callable[[EmbeddingRequest, str], bytes]
    read_reply: Callable[[bytes], Reply]
    read_vectors: Callable[[bytes], Reply]
    read_stream: Callable[[bool], StreamReader]  # True: strip usage, which the client did not request
    read_error: Callable[[int, str | None, bytes], SizewiseError]  # status, Retry-After, body
    headers: Callable[[str], list[tuple[str, str]]] = bearer_header  # of every request, from the key ("" if none)
    chat_headers: Callable[[ChatRequest], list[tuple[str, str]]] = no_headers  # more headers, of this request
    count_path: str = ""  # counts the tokens of a prompt; empty if not offered
    read_count: Callable[[bytes], int] = int
    uncounted_fields: frozenset[str] = frozenset()  # request fields that counting refuses
    list_path: str = "/models"  # lists the models
    completions: TextEndpoint | None = None  # for models whose provider has it
    decisions: TextEndpoint | None = None  # for models whose provider has it
    moderations: TextEndpoint | None = None  # for models with the task `moderate`
    media: MediaEndpoints | None = None  # for models with the tasks `transcribe`, `speak` and `image`
    has_stop: bool = True  # takes stop sequences
    rerank_path: str = ""  # empty if not offered
    write_rerank: Callable[[RerankRequest, str], bytes] = no_rerank
    read_scores: Callable[[bytes, int], Reply] = no_scores  # of this many documents

    def vectors_path(self, what: EmbeddingRequest) -> str:
        return self.rerank_path if isinstance(what, RerankRequest) else self.embed_path

    def vectors_writer(self, what: EmbeddingRequest) -> Callable[[str], bytes]:
        """Upstream's model name -> the body."""
        if isinstance(what, RerankRequest):
            return partial(self.write_rerank, what)
        return partial(self.write_embed, what)

    def vectors_reader(self, what: EmbeddingRequest) -> Callable[[bytes], Reply]:
        if isinstance(what, RerankRequest):
            return lambda body: self.read_scores(body, len(what.inputs) - 1)
        return self.read_vectors

    def write_counted(self, chat: ChatRequest, model: str) -> bytes:
        """The request for `count_path`. Raises as `write_request`."""
        fields = msgspec.json.decode(self.write_request(chat, model), type=JsonFields)
        return msgspec.json.encode({name: raw for name, raw in fields.items() if name not in self.uncounted_fields})
