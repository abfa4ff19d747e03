"""Images and files that a tool returned, moved from its result to the user message after it; knows no API.

The internal format, as OpenAI's chat API, has only text in a tool's result.
"""

from __future__ import annotations

from typing import Any

Part = dict[str, Any]

ATTACHMENT_NOTE = "[attached to the next message]"
"""What the result of a tool says in the place of an image or file."""


def split_attachments(parts: list[Part], call_id: str) -> tuple[list[Part], list[Part]]:
    """The parts of a tool's result as text alone, and the parts of a user message with the rest."""
    texts: list[Part] = []
    attached: list[Part] = []
    for part in parts:
        if part["type"] in ("image_url", "file", "input_audio"):
            texts.append({"type": "text", "text": ATTACHMENT_NOTE})
            attached.append(part)
        else:
            texts.append(part)
    if not attached:
        return parts, []
    return texts, [{"type": "text", "text": f"Returned by the tool call {call_id}:"}, *attached]
