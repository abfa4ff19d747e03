"""Paths of fields in a JSON body, such as `tools[0].name`: lookup, removal and names; knows no API."""

from __future__ import annotations

import re
from typing import Any

KEPT_NAMES = frozenset(("model", "messages", "input", "role", "content", "type", "text", "function"))
"""Keys without which there is no request; a setting cannot name them."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def path_steps(path: str) -> list[str | int]:
    return [int(number) if number else key for key, number in _STEP.findall(path)]


def value_at(body: object, path: str) -> object:
    """The value at `path`; None if there is none."""
    for step in path_steps(path):
        try:
            body = body[step]  # type: ignore[index]  # other values raise
        except (KeyError, IndexError, TypeError):
            return None
    return body


def delete_at(body: dict[str, object], path: str) -> None:
    """Raises KeyError, IndexError or TypeError if there is nothing at `path`."""
    *parents, last = path_steps(path)
    inside: Any = body
    for step in parents:
        inside = inside[step]
    del inside[last]


def names_of(path: str, value: object) -> set[str]:
    """What a setting may call the value at `path`: its top field, its own key, its path without numbers (`tools[].x`),
    or the `type` or `name` in it.
    """
    keys = [step for step in path_steps(path) if isinstance(step, str)]
    names = {*keys[:1], *keys[-1:], re.sub(r"\[\d+\]", "[]", path)}
    if isinstance(value, dict):
        names |= {each for key in ("type", "name") if isinstance(each := value.get(key), str)}
    return names - KEPT_NAMES
