"""The passages of a `search` node as evidence, and sources as the output of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.knowledge.grounding import Evidence, Source

Unsupported = Literal["withhold", "mark"]
SOURCE_TYPE = Type(
    "object",
    fields={
        **dict.fromkeys(("title", "source", "cited", "passage", "quote"), types.TEXT),
        **dict.fromkeys(("number", "page"), types.INTEGER),
    },
)
DEFAULT_NO_ANSWER = "The documents do not answer that."


def read_evidence(passages: Sequence[Json]) -> list[Evidence]:
    """Of passages, of objects with at least `text`, or of plain texts; anything else has no words."""
    return [_evidence(each) for each in passages]


def _evidence(passage: Json) -> Evidence:
    if isinstance(passage, str):
        return Evidence(passage)
    if not isinstance(passage, Mapping):
        return Evidence("")
    said = {
        name: passage[name] for name in ("text", "title", "source", "cited", "id") if isinstance(passage.get(name), str)
    }
    headings, page = passage.get("headings"), passage.get("page")
    return Evidence(
        text=said.get("text", ""),
        title=said.get("title", ""),
        source=said.get("source", ""),
        where=said.get("cited", ""),
        page=page if isinstance(page, int) else 0,
        headings=tuple(map(str, headings)) if isinstance(headings, (list, tuple)) else (),
        id=said.get("id", ""),
    )


def is_suspect(passage: Json) -> bool:
    """Whether a guardrail found orders to a model in it."""
    return isinstance(passage, Mapping) and bool(passage.get("suspect"))


def sources_json(sources: Sequence[Source]) -> list[Json]:
    return [msgspec.structs.asdict(each) for each in sources]


def source_list() -> Type:
    return types.list_of(SOURCE_TYPE)
