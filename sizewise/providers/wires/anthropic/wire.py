"""Anthropic Messages wire format, assembled from the modules of this package."""

from __future__ import annotations

from sizewise.messages import ChatRequest
from sizewise.providers.wires.anthropic.request_in import WIRE_NAME
from sizewise.providers.wires.anthropic.request_out import write_embed, write_request
from sizewise.providers.wires.anthropic.response import read_count, read_error, read_reply, read_vectors
from sizewise.providers.wires.anthropic.stream_in import AnthropicStreamReader
from sizewise.providers.wires.original_body import original_body
from sizewise.providers.wires.wire import Wire

VERSION_HEADER = "anthropic-version"
FORWARDED_HEADERS = (VERSION_HEADER, "anthropic-beta")
"""Client headers that are forwarded to upstreams of this wire."""
DEFAULT_VERSION = "2023-06-01"
"""The version that requests are translated into, and the default if the client sends none."""

UNCOUNTED_FIELDS = frozenset(
    ("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier"),
)
"""Fields that do not change the prompt, and that counting refuses."""


def headers(key: str) -> list[tuple[str, str]]:
    return [("x-api-key", key)] if key else []


def chat_headers(chat: ChatRequest) -> list[tuple[str, str]]:
    found = original_body(chat.fields, WIRE_NAME)
    return list({VERSION_HEADER: DEFAULT_VERSION, **(found.headers if found else {})}.items())


WIRE = Wire(
    chat_path="/messages",
    embed_path="",
    write_request=write_request,
    write_embed=write_embed,
    read_reply=read_reply,
    read_vectors=read_vectors,
    read_stream=AnthropicStreamReader,
    read_error=read_error,
    headers=headers,
    chat_headers=chat_headers,
    count_path="/messages/count_tokens",
    uncounted_fields=UNCOUNTED_FIELDS,
    list_path="/models?limit=1000",  # the default is 20
    read_count=read_count,
)
