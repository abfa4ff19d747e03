"""All texts that settings or their tables hold, at any depth, as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass


def setting_texts(value: object) -> Iterator[str]:
    """In no order; the same text may be there several times."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from setting_texts(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from setting_texts(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from setting_texts(getattr(value, field.name))
