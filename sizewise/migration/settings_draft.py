"""A settings file in the making: tables with their keys, and the TOML text of them. Reads and checks nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_BARE = re.compile(r"[A-Za-z0-9_-]+")
Value = str | bool | int | float | Sequence["Value"] | Mapping[str, "Value"]


ORDER = ("server", "router", "providers", "models", "policies", "limits")
"""Which tables come first."""


class SettingsDraft:
    """Tables by path, as ("providers", "openai")."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, ...], dict[str, Value]] = {}
        self._comments: dict[tuple[str, ...], list[str]] = {}

    def table(self, *path: str) -> dict[str, Value]:
        return self._tables.setdefault(path, {})

    def tables(self, name: str) -> dict[str, dict[str, Value]]:
        """Those below [name] that have a key, by their names."""
        return {path[1]: values for path, values in self._tables.items() if path[0] == name and path[1:] and values}

    def comment(self, text: str, *path: str) -> None:
        """A line above the table."""
        lines = self._comments.setdefault(path, [])
        if text not in lines:
            lines.append(text)

    def text(self) -> str:
        """Empty tables are left out. A table is followed by those within it."""
        parts = []
        first = {name: place for place, name in enumerate(ORDER)}
        for path, values in sorted(
            self._tables.items(), key=lambda each: (first.get(each[0][0], len(ORDER)), each[0][0])
        ):
            if values:
                head = [f"# {each}" for each in self._comments.get(path, ())]
                head.append(f"[{'.'.join(map(_key, path))}]")
                parts.append("\n".join([*head, *(f"{_key(name)} = {_toml(value)}" for name, value in values.items())]))
        return "\n\n".join(parts) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)
