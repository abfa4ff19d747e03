"""Iterates and rewrites every text inside a JSON value. Knows no wire format, only which fields hold no text.

A text that is JSON itself (arguments of a call, the result of a tool) is traversed too, so that escapes hide nothing
and a changed text stays valid JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Raw

from sizewise.errors import BadBody
from sizewise.interoperable_json import RepeatedKeys, decode_with_repeats, encode_with_repeats

TextChange = Callable[[str, str], str]
"""(text, name of its field) -> replacement."""

NON_TEXT_FIELDS = frozenset(
    {
        *("type", "role", "model", "object", "status", "detail", "media_type", "index", "finish_reason", "format"),
        *("id", "tool_call_id", "call_id", "tool_use_id", "item_id", "response_id", "previous_response_id"),
        *("signature", "encrypted_content", "wire", "untranslated", "headers", "service_tier", "reasoning_effort"),
    },
)
"""Fields whose values are identifiers, or bytes that must be returned unchanged."""

MIN_BASE64_CHARS = 256
"""Shortest value without a space of a BASE64_FIELDS field that is taken for base64."""
BASE64_FIELDS = frozenset({"data", "file_data", "url", "image_url", "b64_json"})
JSON_OPENINGS = frozenset("{[ \n\r\t")
MIN_TEXT_CHARS = 4
"""Shorter texts are skipped."""
MAX_NESTED_JSON = 4
"""Levels of JSON in a text of JSON that are decoded; deeper ones are read as plain text."""

_any = msgspec.json.Decoder()


def decode_json(raw: Raw, field: str) -> object:
    """Raises BadBody for a field that cannot be decoded: an unscanned field must not pass as scanned."""
    try:
        found: object = _any.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody(
            f"`{field}` cannot be parsed: it is nested too deeply, or a number is too large", param=field
        ) from error
    return found


def json_texts(value: object, name: str = "") -> Iterator[str]:
    """In document order, at any depth. Includes large integers and keys that are not identifiers."""
    waiting: list[tuple[object, str, int]] = [(value, name, 0)]
    while waiting:
        value, name, depth = waiting.pop()
        if isinstance(value, str):
            if (
                len(value) < MIN_TEXT_CHARS
                or name in NON_TEXT_FIELDS
                or (name in BASE64_FIELDS and is_base64_file(value))
            ):
                continue
            inner = embedded_json(value) if depth < MAX_NESTED_JSON and value[0] in JSON_OPENINGS else None
            if inner is None:
                yield value
            else:
                waiting.append((inner, name, depth + 1))
        elif isinstance(value, dict | RepeatedKeys):
            for key, each in reversed(value.items() if isinstance(value, dict) else value.items):
                waiting.append((each, key, depth))
                if len(key) > MIN_TEXT_CHARS and not key.isidentifier():
                    waiting.append((key, "", MAX_NESTED_JSON))
        elif isinstance(value, list):
            waiting.extend((each, name, depth) for each in reversed(value))
        elif isinstance(value, int) and value > 999_999_999_999:
            yield str(value)


def map_texts(value: object, change: TextChange, name: str = "", depth: int = 0) -> object:
    """`value` with `change` applied to each text. A large integer that is changed becomes a string.

    Raises RecursionError if `value` is nested too deeply.
    """
    if isinstance(value, str):
        if len(value) < MIN_TEXT_CHARS or name in NON_TEXT_FIELDS or (name in BASE64_FIELDS and is_base64_file(value)):
            return value
        inner = embedded_json(value) if depth < MAX_NESTED_JSON and value[0] in JSON_OPENINGS else None
        if inner is None:
            return change(value, name)
        after = map_texts(inner, change, name, depth + 1)
        return value if after == inner and name != "arguments" else encode_with_repeats(after).decode()
    if isinstance(value, dict | RepeatedKeys):
        items = [
            (
                change(key, "") if len(key) > MIN_TEXT_CHARS and not key.isidentifier() else key,
                map_texts(each, change, key, depth),
            )
            for key, each in (value.items() if isinstance(value, dict) else value.items)
        ]
        return dict(items) if isinstance(value, dict) else RepeatedKeys(items)
    if isinstance(value, list):
        return [map_texts(each, change, name, depth) for each in value]
    if isinstance(value, int) and value > 999_999_999_999:
        said = str(value)
        after = change(said, name)
        return value if after == said else after
    return value


def embedded_json(text: str) -> object:
    """The object or list that the text encodes, with all values of a repeated key; None if it is neither."""
    text = text.strip()
    if (text[:1], text[-1:]) not in (("{", "}"), ("[", "]")):
        return None
    try:
        found = decode_with_repeats(text)
    except (ValueError, RecursionError):  # those of msgspec too
        return None
    return found if isinstance(found, dict | list | RepeatedKeys) else None


def is_base64_file(text: str) -> bool:
    """Whether this is a base64 file, which is not scanned."""
    if text.startswith("data:"):
        return ";base64," in text[:200]
    return len(text) >= MIN_BASE64_CHARS and " " not in text and "\n" not in text[:MIN_BASE64_CHARS]
