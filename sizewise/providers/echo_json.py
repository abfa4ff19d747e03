"""What the echo says where JSON is asked for: a value made of the person's words; checks nothing, and says nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sizewise.messages import Chat
from sizewise.providers.echo_schema import filled, phrases


class Named(Struct, frozen=True):
    schema: object = None


class Format(Struct, frozen=True):
    json_schema: Named | None = None


def formed(chat: Chat, words: str) -> str:
    """JSON text that satisfies the request's schema, as far as the blanks can; spaces stand between its parts, so
    that a stream has more than one word."""
    asked = msgspec.json.decode(chat.fields["response_format"], type=Format)
    schema = asked.json_schema.schema if asked.json_schema is not None else None
    return json.dumps(filled(_told(words) if schema is None else schema, words), ensure_ascii=False)


def _told(words: str) -> Mapping[str, object]:
    """A schema read from the words alone: the quoted ones are the keys."""
    return {"type": "object", "properties": {key: {"type": "string"} for key in phrases(words) or ["answer"]}}
