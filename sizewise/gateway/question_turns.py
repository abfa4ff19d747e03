"""Turns of a chat or Messages conversation: the user's question, and the turns with text before it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
TEXT = "text"


def question_of(turns: Sequence[Json]) -> str:
    """The text of the last turn in which the user said something; empty if there is none."""
    at = _question_turn(turns)
    return "" if at is None else _text_of(turns[at])


def ends_with_question(turns: Sequence[Json]) -> bool:
    """Whether nothing was said or called since the question."""
    return bool(turns) and _question_turn(turns) == len(turns) - 1 and not _has_results(turns[-1])


def with_text_before_question(turns: Sequence[Json], text: str) -> list[Json]:
    """The turns with `text` in front of the question, in the same turn. They must have a question."""
    at = _question_turn(turns)
    assert at is not None
    return [*turns[:at], _with_text(turns[at], text), *turns[at + 1 :]]


def _question_turn(turns: Sequence[Json]) -> int | None:
    return next((at for at in range(len(turns) - 1, -1, -1) if _text_of(turns[at]).strip()), None)


def _text_of(turn: Json) -> str:
    content = turn.get("content")
    if turn.get("role") != "user":
        return ""
    if isinstance(content, str):
        return content
    return "\n".join([part["text"] for part in _parts(content) if _is_text(part)])


def _with_text(turn: Json, text: str) -> Json:
    """In the question's own text, which every server accepts."""
    content = turn["content"]
    if isinstance(content, str):
        return {**turn, "content": f"{text}\n\n{content}"}
    at = next(at for at, part in enumerate(content) if isinstance(part, dict) and _is_text(part))
    changed = {**content[at], "text": f"{text}\n\n{content[at]['text']}"}
    return {**turn, "content": [*content[:at], changed, *content[at + 1 :]]}


def _is_text(part: Json) -> bool:
    return part.get("type") == TEXT and isinstance(part.get("text"), str)


def _has_results(turn: Json) -> bool:
    """Whether it answers calls of tools, in the Messages API."""
    return any(part.get("type") == "tool_result" for part in _parts(turn.get("content")))


def _parts(content: object) -> list[Json]:
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
