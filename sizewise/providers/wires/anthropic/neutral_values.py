"""Fields of the Messages API that mean nothing to a model of another vendor, by their values; pure, refuses nothing.

Source: the Anthropic API reference, Messages, and what Claude Code 2.1 sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

NEUTRAL_VALUES: Mapping[str, tuple[object, ...]] = {
    "service_tier": ("auto", "standard_only"),  # no capacity is reserved for us elsewhere
    "speed": ("standard",),
    "context_management": ({}, {"edits": []}),
    "inference_geo": ("global",),
}
"""Field of a body -> its values that ask for nothing. An empty list asks for nothing in any field."""

NEUTRAL_EDITS = frozenset(("clear_thinking_20251015",))
"""Edits of earlier thinking, which is not sent to models of other wires at all."""

NEUTRAL_TOOL_VALUES: Mapping[str, tuple[object, ...]] = {
    "allowed_callers": (["direct"],),
    "defer_loading": (False, True),  # `is_offered` heeds it
}


def unsupported_fields(name: str, value: object) -> list[str]:
    """The paths of field `name` of a body that mean something; empty if it may be dropped."""
    if value == [] or value in NEUTRAL_VALUES.get(name, ()):
        return []
    if name == "context_management" and isinstance(value, dict) and value.keys() == {"edits"}:
        edits = value["edits"] if isinstance(value["edits"], list) else [None]
        return [f"context_management.edits[{i}]" for i, edit in enumerate(edits) if not _is_neutral_edit(edit)]
    return [name]


def _is_neutral_edit(edit: object) -> bool:
    return isinstance(edit, dict) and edit.get("type") in NEUTRAL_EDITS


def is_offered(tool: Json, found: frozenset[str]) -> bool:
    """Whether a model sees the tool: a deferred one only once a search has `found` it, by the name in a reference."""
    return tool.get("defer_loading") is not True or tool.get("name") in found


def found_tools(tools: list[Json], contents: Iterable[object]) -> frozenset[str]:
    """Names of the deferred tools that `contents`, those of the messages, refer to. All, if the vendor searches."""
    deferred = frozenset(str(tool.get("name")) for tool in tools if tool.get("defer_loading") is True)
    if not deferred or any(str(tool.get("type")).startswith("tool_search_tool_") for tool in tools):
        return deferred
    results = [block.get("content") for content in contents for block in _blocks(content)]
    return frozenset(str(part.get("tool_name")) for inner in results for part in _blocks(inner)) & deferred


def _blocks(content: object) -> list[Json]:
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def is_neutral_tool_value(name: str, value: object) -> bool:
    """Whether key `name` of a tool may be dropped with this value."""
    return value in ([], *NEUTRAL_TOOL_VALUES.get(name, ()))
