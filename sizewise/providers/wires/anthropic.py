"""Anthropic's Messages wire, put together; bodies, replies and streams are in the files beside this one."""

from __future__ import annotations

from sizewise.providers.wires.anthropic_bodies import write_embed, write_request
from sizewise.providers.wires.anthropic_chunks import Reader
from sizewise.providers.wires.anthropic_replies import read_error, read_reply, read_vectors
from sizewise.providers.wires.wire import Wire

VERSION = "2023-06-01"


def headers(key: str) -> list[tuple[str, str]]:
    version = ("anthropic-version", VERSION)
    return [("x-api-key", key), version] if key else [version]


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
)
