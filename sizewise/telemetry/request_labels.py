"""Labels of a request: the client's end user and tags, from Sizewise's options or from the fields of the OpenAI API.

They only describe: no answer depends on them, and no record has prompt text from them.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from sizewise.handler import Handler, Request, RequestOptions, Send
from sizewise.messages import JsonFields, Reply

MAX_TAGS = 16
MAX_TAG_CHARS = 64
USER_FIELDS = ("safety_identifier", "user")
"""The first that is there names the end user."""


def label_requests(handler: Handler) -> Handler:
    """`handler`, for requests whose options have the labels of their bodies as well."""

    def call(request: Request, send: Send) -> Coroutine[Any, Any, Reply]:
        options = with_labels(request.options, request.payload.fields)
        return handler(request if options is request.options else replace(request, options=options), send)

    return call


def with_labels(options: RequestOptions, fields: JsonFields) -> RequestOptions:
    """`options`, and what they leave open from a body: `safety_identifier`, `user`, and `metadata` as tags `key=value`.

    Pairs of `metadata` that are no tag, by length or type, are left out.
    """
    if "user" not in fields and "metadata" not in fields and "safety_identifier" not in fields:
        return options
    if options.end_user is UNSET:
        named = next((user for name in USER_FIELDS if (user := _text(fields.get(name)))), "")
        if named:
            options = replace(options, end_user=named)
    if options.tags is UNSET and (tags := _metadata_tags(fields.get("metadata"))):
        options = replace(options, tags=tags)
    return options


def is_tag(text: str) -> bool:
    return 0 < len(text) <= MAX_TAG_CHARS and text.isprintable()


def _text(raw: Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:  # the API's own check reports it
        return ""


def _metadata_tags(raw: Raw | None) -> tuple[str, ...]:
    if raw is None:
        return ()
    try:
        pairs = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return ()
    tags = (f"{name}={value}" for name, value in pairs.items() if isinstance(value, str))
    return tuple(sorted(filter(is_tag, tags)))[:MAX_TAGS]
