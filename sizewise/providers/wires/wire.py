"""Wire: the interface of a wire format as one value of pure functions between a vendor's bytes and our messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sizewise.errors import SizewiseError
from sizewise.handler import Event
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply


class StreamReader(Protocol):
    """Reads one stream, payload by payload. `done` once the upstream said that it has ended."""

    done: bool

    def read_frame(self, payload: bytes) -> list[Event]: ...

    def reply(self) -> Reply:
        """The whole. Raises UpstreamGarbled when the stream ended too early."""
        ...


def no_headers(chat: ChatRequest) -> list[tuple[str, str]]:
    """Of a wire whose requests have no headers of their own."""
    return []


def bearer_header(key: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {key}")] if key else []


@dataclass(frozen=True, slots=True)
class Wire:
    """Paths are appended to an endpoint's base URL. Readers raise UpstreamGarbled for what breaks the protocol."""

    chat_path: str
    embed_path: str
    write_request: Callable[[ChatRequest, str], bytes]  # the request and the upstream's name of the model
    write_embed: Callable[[EmbeddingRequest, str], bytes]
    read_reply: Callable[[bytes], Reply]
    read_vectors: Callable[[bytes], Reply]
    read_stream: Callable[[bool], StreamReader]  # whether the usage in it was asked for by us only
    read_error: Callable[[int, str | None, bytes], SizewiseError]  # status, Retry-After, body
    headers: Callable[[str], list[tuple[str, str]]] = (
        bearer_header  # of every request; the key, empty where there is none
    )
    chat_headers: Callable[[ChatRequest], list[tuple[str, str]]] = no_headers  # of this one chat, beside those
    count_path: str = ""  # where it is told how many tokens a prompt has; empty: nowhere
    read_count: Callable[[bytes], int] = int
