"""The settings as a list for people: each key with its meaning, default, value in the file and origin; never a secret.

Values are those of the file as it is written: references such as `env:NAME` stay references.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from sizewise.settings.root import FileSettings
from sizewise.settings.toml_reader import parse_toml, settings_key
from sizewise.settings.validators import is_reference

HIDDEN = "set, not shown"
MAY_HOLD_SECRETS = frozenset({"headers", "env"})
"""Keys whose values may be references, and need not be."""
USER_OF_URL = re.compile(r"(?<=://)[^/@\s]+@")
Origin = Literal["file", "default"]


class ListedKey(Struct, frozen=True):
    """`value` and `default` as TOML writes them, or nearly; None: unset, or required."""

    name: str
    description: str
    default: str | None
    value: str | None
    origin: Origin


class ListedTable(Struct, frozen=True):
    header: str  # as in the file, without brackets: server, providers.openai
    description: str
    keys: tuple[ListedKey, ...]


def list_settings(config_file: Path | None) -> list[ListedTable]:
    """Every table with its keys; of tables by name, those in the file. Raises ConfigError if it cannot be read."""
    return list(_tables(FileSettings, {} if config_file is None else parse_toml(config_file), ""))


def _tables(shape: Any, raw: Mapping[str, Any], place: str) -> Iterator[ListedTable]:
    hints, inner, keys = get_type_hints(shape), list[tuple[Any, Any, str]](), list[ListedKey]()
    known = {settings_key(each.name) for each in fields(shape)}
    for each in fields(shape):
        name, kind = settings_key(each.name), _bare(hints[each.name])
        here, arguments = f"{place}.{name}" if place else name, get_args(kind)
        if is_dataclass(kind):
            inner.append((kind, raw.get(name, {}), here))
        elif get_origin(kind) is tuple and is_dataclass(arguments[0]):
            inner += [(arguments[0], row, f"{here}[{number}]") for number, row in enumerate(raw.get(name, []), 1)]
        elif arguments and is_dataclass(arguments[-1]):
            inner += [(arguments[-1], row, f"{here}.{_quoted(key)}") for key, row in raw.get(name, {}).items()]
        elif each.metadata.get("rest"):
            keys += [_key(each, key, value) for key, value in raw.items() if key not in known]
        else:
            keys.append(_key(each, name, raw.get(name)))
    if keys:
        yield ListedTable(place or "at the top", " ".join((shape.__doc__ or "").split()), tuple(keys))
    for kind, table, here in inner:
        if isinstance(table, dict):
            yield from _tables(kind, table, here)


def _key(each: Field[Any], name: str, value: object) -> ListedKey:
    default = None if each.default is MISSING or each.default is None else _shown(each.default)
    hidden = each.metadata.get("hidden") or each.metadata.get("rest") or each.name in MAY_HOLD_SECRETS
    told = None if value is None else _redacted(value) if hidden else _shown(value)
    return ListedKey(
        name=name,
        description=str(each.metadata.get("says", "")),
        default=default,
        value=told,
        origin="default" if value is None else "file",
    )


def _redacted(value: object) -> str:
    """References are names; numbers and switches are no secrets. Everything else may be one."""
    if isinstance(value, str):
        return _shown(value) if is_reference(value) or not value else HIDDEN
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quoted(str(key))} = {_redacted(each)}" for key, each in value.items()) + " }"
    return HIDDEN if isinstance(value, list) else _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quoted(str(key))} = {_shown(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple, frozenset)):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    return USER_OF_URL.sub("...@", json.dumps(value, ensure_ascii=False, default=str))


def _quoted(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key, ensure_ascii=False)


def _bare(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        kinds = [each for each in get_args(kind) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind
