"""Messages of evals, as a chat request has them: templates are filled in, content parts of both APIs accepted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.hosted.templates import TemplateValues, check_template, render

Json = dict[str, Any]
Role = Literal["user", "assistant", "system", "developer"]
Content = str | Json | list[str | Json]


class TemplateMessage(Struct, frozen=True):
    """`content`: text, one part or a list of parts; texts may have templates."""

    role: Role
    content: Content

    def check(self, where: str) -> None:
        """Raises BadRequest."""
        for part in parts_of(self.content):
            text = part if isinstance(part, str) else part.get("text", "")
            if isinstance(text, str):
                check_template(text, where)

    def fill_in(self, values: TemplateValues) -> Json:
        """Raises BadRequest."""
        if isinstance(self.content, str):
            return {"role": self.role, "content": render(self.content, values)}
        return {"role": self.role, "content": [_part(each, values) for each in parts_of(self.content)]}


def parts_of(content: Content) -> Sequence[str | Json]:
    return content if isinstance(content, list) else [content]


def plain_messages(found: object) -> list[Json]:
    """Messages that stand in an item, without templates. Raises BadRequest."""
    if isinstance(found, str):
        return [{"role": "user", "content": found}]
    if not isinstance(found, list) or not found:
        raise BadRequest("`item_reference` leads to no list of messages", "put a list of messages into each item")
    made = list[Json]()
    for each in found:
        if not isinstance(each, dict) or not isinstance(each.get("role"), str):
            raise BadRequest("`item_reference` leads to what is no message", "a message has `role` and `content`")
        content = each.get("content")
        parts = [_part(part, None) for part in content] if isinstance(content, list) else content
        made.append({**{name: each[name] for name in each if name != "type"}, "content": parts})
    return made


def shown_messages(messages: Sequence[Json]) -> list[Json]:
    """As an output item shows them: their texts."""
    return [{"role": str(each.get("role", "")), "content": _shown(each.get("content"))} for each in messages]


def _shown(content: object) -> str:
    if isinstance(content, list):
        texts = [part.get("text", "") if isinstance(part, dict) else part for part in content]
        return "\n".join(each for each in texts if isinstance(each, str) and each)
    return content if isinstance(content, str) else ""


def _part(part: object, values: TemplateValues | None) -> Json:
    """`values` None: no template. Raises BadRequest."""
    if isinstance(part, str):
        return {"type": "text", "text": part if values is None else render(part, values)}
    if not isinstance(part, dict):
        raise BadRequest("a part of a message is neither text nor an object", "use {type, text}")
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            text = part.get("text")
            text = text if isinstance(text, str) else ""
            return {"type": "text", "text": text if values is None else render(text, values)}
        case "input_image":
            url = str(part.get("image_url", ""))
            shown = url if values is None else render(url, values)
            return {"type": "image_url", "image_url": {"url": shown, "detail": part.get("detail", "auto")}}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
        case "image_url":
            return part
        case other:
            raise BadRequest(
                f"there is no part of type {str(other)[:50]!r}", "use input_text, input_image, input_audio"
            )
