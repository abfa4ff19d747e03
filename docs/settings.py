"""Writes reference/settings.md and reference/sizewise.schema.json out of sizewise/settings; knows no setting."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sizewise.settings.load import ENVIRONMENT_VARIABLES
from sizewise.settings.root import FileSettings
from sizewise.settings.toml_reader import TYPE_NAMES, format_range, settings_key

FOLDER = Path(__file__).parent / "reference"
KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}
INTRODUCTION = """\
# Settings

*Generated from `sizewise/settings/` by `python -m docs.build`; edit it there.*

Every table, key and environment variable, with its type and default.

Sizewise reads one settings file: the first of `--config FILE`, `SIZEWISE_CONFIG`, `./sizewise.toml` and
`<home>/sizewise.toml` that exists. Without a file the defaults apply. An unknown key is an error, with the closest
known key as the hint. All errors of a file are reported at once. Give API keys by reference (`env:NAME` or
`file:PATH`, relative to the settings file), never as their value.

[sizewise.schema.json](sizewise.schema.json) is the JSON Schema, for editors.
"""


def pages() -> dict[Path, str]:
    """Every file made here and what belongs into it."""
    return {
        FOLDER / "settings.md": "\n".join(_page()),
        FOLDER / "sizewise.schema.json": json.dumps(_schema(), indent=2, ensure_ascii=False) + "\n",
    }


def _page() -> Iterator[str]:
    yield INTRODUCTION
    for place, shape in _tables(FileSettings, ""):
        yield f"## {place}\n\n{_prose(shape)}\n\n| key | type | default | meaning |\n|---|---|---|---|"
        hints = get_type_hints(shape)
        for each in _own(shape, hints):
            name = "any other" if each.metadata.get("rest") else f"`{settings_key(each.name)}`"
            yield f"| {name} | {_type(hints[each.name], each)} | {_default(each)} | {each.metadata['says']} |"
        yield ""
    yield "## Environment\n\n| variable | meaning |\n|---|---|"
    yield from (f"| `{name}` | {says} |" for name, says in ENVIRONMENT_VARIABLES)
    yield ""


def _tables(shape: type, place: str) -> Iterator[tuple[str, type]]:
    """Every table under `shape`, in the order of the file, under the header it has there."""
    for name, kind in get_type_hints(shape).items():
        kind = _bare(kind)
        here = f"{place}.{name}" if place else name
        if get_origin(kind) is tuple and is_dataclass(get_args(kind)[0]):
            yield f"[[{here}]]", get_args(kind)[0]
            continue
        if get_origin(kind) is not None and (args := get_args(kind)) and is_dataclass(args[-1]):
            kind = args[-1]
            here = f'{here}."PROVIDER/MODEL"' if name == "models" else f"{here}.NAME"
        if is_dataclass(kind):
            assert isinstance(kind, type)
            yield f"[{here}]", kind
            yield from _tables(kind, here)


def _own(shape: Any, hints: Mapping[str, Any]) -> Iterator[Field[Any]]:
    return (each for each in fields(shape) if not is_dataclass(_bare(hints[each.name])))


def _bare(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        kinds = [each for each in get_args(kind) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def _prose(shape: type) -> str:
    return " ".join((shape.__doc__ or "").split())


def _type(kind: Any, each: Field[Any]) -> str:
    kind = _bare(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if each.metadata.get("rest"):
        return "any"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type(one, each) for one in inner)
    if origin in (tuple, frozenset):
        if is_dataclass(inner[0]):
            return "list of tables"
        return "list of " + _type(inner[0], each).replace("string", "strings")
    if origin is not None:
        return "table of strings"
    bounds = (each.metadata.get("least"), each.metadata.get("most"))
    words = {**dict(TYPE_NAMES), str: "string"}[kind]
    return f"{words}, {format_range(*bounds)}" if bounds != (None, None) else words


def _default(each: Field[Any]) -> str:
    if each.default is MISSING:
        return "*required*" if each.default_factory is MISSING else "none"
    if each.default is None:
        return "unset"
    return f"`{json.dumps(each.default)}`"


def _schema() -> dict[str, object]:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sizewise.toml"}
    return {**head, **_object(FileSettings)}


def _object(shape: Any) -> dict[str, object]:
    hints = get_type_hints(shape)
    known = [each for each in fields(shape) if not each.metadata.get("rest")]
    required = [
        settings_key(each.name) for each in known if each.default is MISSING and each.default_factory is MISSING
    ]
    return {
        "description": _prose(shape),
        "type": "object",
        "properties": {settings_key(each.name): _property(hints[each.name], each) for each in known},
        "additionalProperties": len(known) < len(fields(shape)),
        **({"required": required} if required else {}),
    }


def _property(kind: Any, each: Field[Any]) -> dict[str, object]:
    told = {"description": each.metadata["says"]} if each.metadata["says"] else {}
    simple = each.default not in (MISSING, None) and not is_dataclass(each.default)
    default = {"default": each.default} if simple else {}
    return {**_kind(_bare(kind), each), **told, **default}


def _kind(kind: Any, each: Field[Any]) -> dict[str, object]:
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _object(kind)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, UnionType):
        return {"anyOf": [_kind(one, each) for one in inner]}
    if origin in (tuple, frozenset):
        return {"type": "array", "items": _kind(inner[0], each)}
    if origin is not None:
        return {"type": "object", "additionalProperties": _kind(inner[1], each)}
    bounds = {"minimum": each.metadata.get("least"), "maximum": each.metadata.get("most")}
    return {"type": KINDS[kind], **{name: bound for name, bound in bounds.items() if bound is not None}}
