"""JSON answers of the echo model for a request with a response format; validates nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sizewise.messages import ChatRequest
from sizewise.providers.echo_schema import fill_schema, quoted_phrases


class JsonSchemaFormat(Struct, frozen=True):
    schema: object = None


class ResponseFormat(Struct, frozen=True):
    json_schema: JsonSchemaFormat | None = None


def json_answer(chat: ChatRequest, words: str) -> str:
    """JSON text that satisfies the request's schema, as far as `fill_schema` can. It has spaces, so that a stream has
    several words. It is made of fewer words if it would exceed the request's `max_tokens`.
    """
    asked = msgspec.json.decode(chat.fields["response_format"], type=ResponseFormat)
    schema = asked.json_schema.schema if asked.json_schema is not None else _schema_from_words(words)
    while True:
        answer = json.dumps(fill_schema(schema, words), ensure_ascii=False)
        if chat.max_tokens is None or len(answer.split()) < chat.max_tokens or not words:
            return answer
        words = " ".join(words.split()[: len(words.split()) // 2])


def _schema_from_words(words: str) -> Mapping[str, object]:
    """A schema whose keys are the quoted phrases."""
    return {"type": "object", "properties": {key: {"type": "string"} for key in quoted_phrases(words) or ["answer"]}}
