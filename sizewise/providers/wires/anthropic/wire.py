"""Anthropic's Messages wire, put together; bodies, replies and streams are in the files beside this one."""

from __future__ import annotations

from sizewise.messages import Chat
from sizewise.providers.wires.anthropic.request_in import NAME
from sizewise.providers.wires.anthropic.request_out import write_embed, write_request
from sizewise.providers.wires.anthropic.response import read_count, read_error, read_reply, read_vectors
from sizewise.providers.wires.anthropic.stream_in import Reader
from sizewise.providers.wires.original_body import origin
from sizewise.providers.wires.wire import Wire

VERSION = "anthropic-version"
PASSED = (VERSION, "anthropic-beta")
"""Headers of a client that an upstream of this wire gets too."""
SPOKEN = "2023-06-01"
"""The version that we translate into, and that holds where the client names none."""


def headers(key: str) -> list[tuple[str, str]]:
    return [("x-api-key", key)] if key else []


def heads(chat: Chat) -> list[tuple[str, str]]:
    found = origin(chat.fields, NAME)
    return list({VERSION: SPOKEN, **(found.headers if found else {})}.items())


WIRE = Wire(
    chat_path="/messages",
    embed_path="",
    write_request=write_request,
    write_embed=write_embed,
    read_reply=read_reply,
    read_vectors=read_vectors,
    read_stream=Reader,
    read_error=read_error,
    headers=headers,
    heads=heads,
    count_path="/messages/count_tokens",
    read_count=read_count,
)
