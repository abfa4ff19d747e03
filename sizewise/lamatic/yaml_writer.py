"""YAML writer for people to read: block scalars for long text, minimal quotes, comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from sizewise.flows.language.types import Json

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_(][A-Za-z0-9_./()-]*)*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_BLOCK = re.compile(r"[\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
MAX_INLINE = 60
"""Maximum characters of a list on one line."""


class Comment(Struct, frozen=True):
    """Comment lines before the value at `path`; at the top if it is empty."""

    path: tuple[str | int, ...]
    lines: tuple[str, ...]


def write_yaml(data: Mapping[str, Json], comments: Sequence[Comment] = ()) -> str:
    said: dict[tuple[str | int, ...], list[str]] = {}
    for each in comments:
        said.setdefault(each.path, []).extend(each.lines)
    lines = [*_comment(said.get((), ()), ""), *_mapping(data, (), "", said)]
    return "\n".join(lines) + "\n"


def _comment(lines: Sequence[str], indent: str) -> Iterator[str]:
    for line in lines:
        shown = "".join(each if each.isprintable() else " " for each in line)
        yield f"{indent}# {shown}".rstrip()


def _mapping(
    data: Mapping[str, Json],
    path: tuple[str | int, ...],
    indent: str,
    said: Mapping[Json, Sequence[str]],
) -> Iterator[str]:
    for name, each in data.items():
        here = (*path, name)
        yield from _comment(said.get(here, ()), indent)
        yield from _pair(f"{indent}{_scalar(str(name))}:", each, here, indent, said)


def _pair(
    head: str,
    value: Json,
    path: tuple[str | int, ...],
    indent: str,
    said: Mapping[Json, Sequence[str]],
) -> Iterator[str]:
    if isinstance(value, Mapping):
        if not value:
            yield f"{head} {{}}"
            return
        yield head
        yield from _mapping(value, path, indent + "  ", said)
    elif isinstance(value, list):
        if not value or (short := _short(value)):
            yield f"{head} {short if value else '[]'}"
            return
        yield head
        for number, each in enumerate(value):
            yield from _item(each, (*path, number), indent + "  ", said)
    elif isinstance(value, str) and _fits_block(value):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}"
        for line in value.removesuffix("\n").split("\n"):
            yield f"{indent}  {line}" if line else ""
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: Json, path: tuple[str | int, ...], indent: str, said: Mapping[Json, Sequence[str]]) -> Iterator[str]:
    if isinstance(value, (Mapping, list)) and value and not (isinstance(value, list) and _short(value)):
        inner = list(_mapping(value, path, indent + "  ", said)) if isinstance(value, Mapping) else None
        if inner is None:
            inner = [
                line for number, each in enumerate(value) for line in _item(each, (*path, number), indent + "  ", said)
            ]
        yield f"{indent}- {inner[0].lstrip()}"
        yield from inner[1:]
    else:
        yield from _pair(f"{indent}-", value, path, indent, said)


def _short(value: Sequence[Json]) -> str:
    """A list on one line; empty if it is too long or nested."""
    if any(isinstance(each, (Mapping, list)) for each in value):
        return ""
    shown = f"[{', '.join(map(_inline, value))}]"
    return shown if len(shown) <= MAX_INLINE else ""


def _inline(value: Json) -> str:
    return _scalar(value)


def _fits_block(text: str) -> bool:
    """Whether a text is worth a block scalar and can be one without loss."""
    if ("\n" not in text.rstrip("\n") and len(text) < 100) or not text.strip():
        return False
    body = text.removesuffix("\n")
    if body.endswith("\n") or body[:1] in " \n\t" or not _BLOCK.fullmatch(text) or "\x85" in text:
        return False
    return "\u2028" not in text and "\u2029" not in text and "\r" not in text


def _scalar(value: Json) -> str:
    if isinstance(value, str):
        if _BARE.fullmatch(value) and value.lower() not in _WORDS and len(value) < 200:
            return value
        return _quoted(value)
    if value is None:
        return "null"
    return json.dumps(value)


def _quoted(text: str) -> str:
    made = json.dumps(text, ensure_ascii=False)
    return "".join(
        each if each.isprintable() else f"\\u{ord(each):04x}" if ord(each) < 0x10000 else f"\\U{ord(each):08x}"
        for each in made
    )
