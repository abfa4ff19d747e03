"""Attributes of attached files as tags of their documents, and filters over attributes as tag filters; pure."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.errors import BadBody
from sizewise.file_search.store_records import Attribute
from sizewise.knowledge.vector_store import (
    TAG_NAME,
    FilterAnd,
    FilterNot,
    FilterOr,
    Tag,
    TagFilter,
    TagIn,
    TagRange,
)

MAX_ATTRIBUTES = 16
MAX_KEY_CHARS = 64
MAX_VALUE_CHARS = 512
HASHED_PREFIX = "attribute_"
MAX_DEPTH = 8


class AttributeComparison(Struct):
    """One attribute against a value, or for `in` and `nin` against several."""

    key: str
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    value: str | float | bool | list[str | float | bool]


def tags_of(attributes: Mapping[str, Attribute]) -> dict[str, Tag]:
    return {tag_name(key): value for key, value in attributes.items()}


def tag_name(key: str) -> str:
    """The tag that holds an attribute: of the same name, if a tag can have it."""
    if TAG_NAME.match(key) and not key.startswith(HASHED_PREFIX):
        return key
    return HASHED_PREFIX + blake2b(key.encode("utf-8", "replace"), digest_size=12).hexdigest()


def check_attributes(attributes: Mapping[str, Attribute], at: str = "attributes") -> Mapping[str, Attribute]:
    """Returns them unchanged. Raises BadBody beyond the limits of the API."""
    hint = f"use up to {MAX_ATTRIBUTES} keys of {MAX_KEY_CHARS} characters, and texts of up to {MAX_VALUE_CHARS}"
    if len(attributes) > MAX_ATTRIBUTES:
        raise BadBody(f"`{at}` has {len(attributes)} keys", hint, param=at)
    for key, value in attributes.items():
        if not 0 < len(key) <= MAX_KEY_CHARS:
            raise BadBody(f"`{at}` has a key of {len(key)} characters", hint, param=at)
        if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
            raise BadBody(f"`{at}.{key}` has {len(value):,} characters", hint, param=at)
        if isinstance(value, str) and "\x00" in value:
            raise BadBody(f"`{at}.{key}` contains a null character", "remove it", param=at)
    return attributes


def read_filter(found: object, at: str = "filters", depth: int = MAX_DEPTH) -> TagFilter:
    """Raises BadBody, which names the place."""
    if not isinstance(found, dict):
        raise BadBody(f"`{at}` is not an object", 'use {"type": "eq", "key": ..., "value": ...}', param=at)
    if depth == 0:
        raise BadBody(f"`{at}` is nested more than {MAX_DEPTH} levels deep", "flatten it", param=at)
    if found.get("type") in ("and", "or"):
        inner = found.get("filters")
        if not isinstance(inner, list) or not inner:
            raise BadBody(f"`{at}.filters` is not a list of filters", "add at least one", param=at)
        filters = tuple(read_filter(each, f"{at}.filters[{n}]", depth - 1) for n, each in enumerate(inner))
        return FilterAnd(filters) if found["type"] == "and" else FilterOr(filters)
    try:
        return _comparison(msgspec.convert(found, AttributeComparison), at)
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at `$")[0]
        hint = "types: eq, ne, gt, gte, lt, lte, in, nin, and, or"
        raise BadBody(f"`{at}`: {reason[:1].lower()}{reason[1:]}", hint, param=at) from error


def _comparison(test: AttributeComparison, at: str) -> TagFilter:
    field, value = tag_name(test.key), test.value
    if test.type in ("in", "nin"):
        if not isinstance(value, list):
            raise BadBody(f"`{at}.value` is not a list", f"`{test.type}` needs one", param=at)
        among = TagIn(field, tuple(value))
        return among if test.type == "in" else FilterNot(among)
    if isinstance(value, list):
        raise BadBody(f"`{at}.value` is a list", "use `in` or `nin` for several values", param=at)
    if test.type in ("eq", "ne"):
        same = TagIn(field, (value,))
        return same if test.type == "eq" else FilterNot(same)
    if isinstance(value, (str, bool)):
        message = f"`{at}`: `{test.type}` compares numbers, and the value is {type(value).__name__}"
        raise BadBody(message, "store dates as Unix seconds: texts are stored as hashes, which have no order", param=at)
    match test.type:
        case "gt":
            return TagRange(field, gt=value)
        case "gte":
            return TagRange(field, gte=value)
        case "lt":
            return TagRange(field, lt=value)
        case _:
            return TagRange(field, lte=value)
