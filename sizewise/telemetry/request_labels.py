"""Labels of a request: the client's end user and tags, from Sizewise's options or from the fields of the OpenAI API.

They only describe: no answer depends on them. `metadata` is not read: clients keep what they like there, and records
are not encrypted.
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
    """`options`, with the end user of a body where they name none."""
    if ("user" not in fields and "safety_identifier" not in fields) or options.end_user is not UNSET:
        return options
    named = next((user for name in USER_FIELDS if (user := _text(fields.get(name)))), "")
    return replace(options, end_user=named) if named else options


def is_tag(text: str) -> bool:
    return 0 < len(text) <= MAX_TAG_CHARS and text.isprintable()


def _text(raw: Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:  # the API's own check reports it
        return ""
