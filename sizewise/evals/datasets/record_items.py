"""Items of a data set from stored requests: their messages, masked, with where they come from; reads no record.

A request is read as the client sent it, on `/v1/chat/completions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.guardrails.pii import find_pii
from sizewise.guardrails.pseudonymization import Pseudonymizer, ReservedPlaceholders
from sizewise.guardrails.secrets import find_secrets

Item = dict[str, Any]
UNMASKED = frozenset({"role", "type", "id", "name", "tool_call_id", "url", "data", "file_id"})
"""Fields of a message that are no text of a person."""


class _Body(Struct):
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


class _Said(Struct):
    text: str = ""


def request_item(request: str, *, is_masked: bool) -> Item | None:
    """`input` and `tools` of an item; None if the stored request is no whole chat. `is_masked`: personal data and
    secrets are replaced by placeholders, the same value by the same one.
    """
    try:
        body = msgspec.json.decode(request, type=_Body)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    if not any(each.get("content") for each in body.messages):
        return None
    messages: Any = _masked(body.messages) if is_masked else body.messages
    only = messages[0] if len(messages) == 1 else {}
    is_text = only.get("role") == "user" and isinstance(only.get("content"), str)
    return {"input": only["content"] if is_text else messages, **({"tools": body.tools} if body.tools else {})}


def reply_text(response: str | None) -> str:
    """Of the first choice; empty if there is none, or it cannot be read."""
    try:
        choices = msgspec.json.decode(response or "[]", type=list[_Said])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return ""
    return choices[0].text if choices else ""


def _masked(messages: list[dict[str, Any]]) -> Any:
    masking = Pseudonymizer({"pii": find_pii, "secrets": find_secrets}, ReservedPlaceholders(messages), None)
    for text in _texts(messages):
        masking.collect(text)
    return _replaced(messages, masking)


def _texts(value: object, field: str = "") -> Iterator[str]:
    if isinstance(value, str) and field not in UNMASKED:
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _texts(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, field)


def _replaced(value: object, masking: Pseudonymizer, field: str = "") -> Any:
    if isinstance(value, str):
        return value if field in UNMASKED else masking.mask(value)
    if isinstance(value, Mapping):
        return {name: _replaced(each, masking, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, masking, field) for each in value]
    return value
