"""Transcript: a conversation and an answer as delimited text for an LLM judge. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from sizewise.messages import ChatRequest, Message, Reply

MAX_QUESTION_CHARS = 4_000  # characters; the middle of a longer text is left out, with a note
MAX_ANSWER_CHARS = 6_000


def question_text(chat: ChatRequest) -> str:
    """The request for a judge: a single message's text, or the whole conversation with roles."""
    if len(chat.messages) == 1:
        return chat.messages[0].text
    return "\n\n".join(f"{message.role}: {_said(message)}" for message in chat.messages)


def _said(message: Message) -> str:
    calls = [call.function for call in message.tool_calls or () if call.function]
    return "\n".join(filter(None, (message.text, *(f"calls {call.name}({call.arguments})" for call in calls))))


def answer_text(reply: Reply) -> str:
    """An answer for a judge: its text and tool calls."""
    if not reply.choices:
        return ""
    choice = reply.choices[0]
    return _said(Message("assistant", choice.text, list(choice.tool_calls)))


def delimited_parts(parts: Sequence[tuple[str, str]], enclosed: Sequence[str]) -> tuple[str, str]:
    """A mark, and the named parts between lines that start with it.

    The mark is a hash of their contents, so that no part can contain it and end its section.
    """
    mark = f"<{sha256(chr(0).join(enclosed).encode(errors='replace')).hexdigest()[:8]}>"
    return mark, "\n\n".join(f"{mark} {name}\n{text}\n{mark} END" for name, text in parts)


def shorten_middle(text: str, max_chars: int) -> str:
    """The start and end of a longer text, half each, with the number of omitted characters between them."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters are left out here ...]\n{text[-half:]}"
