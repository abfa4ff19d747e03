"""Release manifest: the parts of a release by hash, what it needs by name, and one hash over both; reads no file.

The hash is that of canonical JSON, so it depends on no file system, line end, order of keys, comment or clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest

PartKind = Literal[
    "flows", "prompts", "policies", "certificates", "guardrails", "agents", "routing", "models", "evals", "knowledge"
]
PART_KINDS: tuple[PartKind, ...] = get_args(PartKind)
FORMAT = 1
"""Of the manifest; another one is another hash."""
MAX_PARTS = 5_000
MAX_PART_BYTES = 16 * 1024 * 1024
MIN_HASH_DIGITS = 8
"""Hex digits that name a release, of 64."""
MAX_SHOWN = 60
"""Characters of a value that a change shows."""

Json = Any
Versions = Mapping[PartKind, Mapping[str, str]]
"""Kind -> name -> SHA-256 of the part's meaning, in hex."""


class Part(Struct, frozen=True):
    """`version`: SHA-256 of its meaning in hex. `content`: a flow's or prompt's text, else canonical JSON."""

    kind: PartKind
    name: str
    version: str
    content: bytes


class ReleaseRequirements(Struct, frozen=True, omit_defaults=True):
    """What a server must have, by name, each sorted. `secrets`: references such as `env:NAME`, never values."""

    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    knowledge: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


class ReleaseManifest(Struct, frozen=True, omit_defaults=True):
    """`parts` holds kinds that have any."""

    format: int
    parts: Versions
    requires: ReleaseRequirements = ReleaseRequirements()

    @property
    def hash(self) -> str:
        return sha256(canonical(self)).hexdigest()

    def each(self) -> Iterator[tuple[PartKind, str, str]]:
        """Kind, name and version of each part, sorted."""
        for kind in PART_KINDS:
            for name, version in sorted(self.parts.get(kind, {}).items()):
                yield kind, name, version


class Release(Struct, frozen=True):
    manifest: ReleaseManifest
    parts: tuple[Part, ...]


def canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def json_part(kind: PartKind, name: str, value: Json) -> Part:
    content = canonical(value)
    return Part(kind, name, sha256(content).hexdigest(), content)


def build_manifest(parts: Iterable[Part], requires: ReleaseRequirements) -> ReleaseManifest:
    versions: dict[PartKind, dict[str, str]] = {}
    for each in parts:
        versions.setdefault(each.kind, {})[each.name] = each.version
    return ReleaseManifest(FORMAT, versions, requires)


def read_manifest(text: str | bytes) -> ReleaseManifest:
    """Raises BadRequest."""
    try:
        manifest = msgspec.json.decode(text, type=ReleaseManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the manifest is not valid: {error}", "build it: sizewise release build") from error
    if manifest.format != FORMAT:
        raise BadRequest(f"the manifest has the format {manifest.format}", f"this version reads format {FORMAT}")
    if sum(map(len, manifest.parts.values())) > MAX_PARTS:
        raise BadRequest(f"the release has more than {MAX_PARTS} parts", "split the project")
    return manifest


class PartChange(Struct, frozen=True):
    """`sign`: + added, ~ changed, - removed. `details`: changes inside, as lines."""

    sign: Literal["+", "~", "-"]
    kind: PartKind
    name: str
    details: tuple[str, ...] = ()


def changed_parts(before: ReleaseManifest, after: ReleaseManifest) -> list[PartChange]:
    """Without details; sorted by kind and name."""
    changes = []
    for kind in PART_KINDS:
        old, new = before.parts.get(kind, {}), after.parts.get(kind, {})
        for name in sorted({*old, *new}):
            if old.get(name) == new.get(name):
                continue
            sign: Literal["+", "~", "-"] = "+" if name not in old else "-" if name not in new else "~"
            changes.append(PartChange(sign, kind, name))
    return changes


def changed_values(before: Json, after: Json) -> Iterator[str]:
    """One line for each value that was added, changed or removed, by its path."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    for path in sorted({*old, *new}):
        if path not in old:
            yield f"+ {path}: {_shown(new[path])}"
        elif path not in new:
            yield f"- {path}"
        elif old[path] != new[path]:
            yield f"~ {path}: {_shown(old[path])} -> {_shown(new[path])}"


def _leaves(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value and any(isinstance(each, dict | list) for each in value):
        for place, each in enumerate(value):
            yield from _leaves(each, f"{path}[{place}]")
    else:
        yield path, value


def _shown(value: Json) -> str:
    text = msgspec.json.encode(value).decode()
    if len(text) <= MAX_SHOWN:
        return text
    lines = value.count("\n") + 1 if isinstance(value, str) else 1
    size = f"{len(value)} characters" if isinstance(value, str) else f"{len(text)} characters of JSON"
    return f"({size}{f' in {lines} lines' if lines > 1 else ''})"
