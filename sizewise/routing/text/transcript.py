"""Transcript: a conversation and an answer as delimited text for an LLM judge. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from sizewise.messages import ChatRequest, Message, Reply

MAX_QUESTION_CHARS = 4_000  # characters; of what is longer the middle is left out, and that is said
MAX_ANSWER_CHARS = 6_000


def question_text(chat: ChatRequest) -> str:
    """What was asked, for a judge: the words alone, or the whole conversation with who said what."""
    if len(chat.messages) == 1:
        return chat.messages[0].text
    return "\n\n".join(f"{message.role}: {_said(message)}" for message in chat.messages)


def _said(message: Message) -> str:
    calls = [call.function for call in message.tool_calls or () if call.function]
    return "\n".join(filter(None, (message.text, *(f"calls {call.name}({call.arguments})" for call in calls))))


def answer_text(reply: Reply) -> str:
    """An answer, for a judge: what it says and what it calls."""
    if not reply.choices:
        return ""
    choice = reply.choices[0]
    return _said(Message("assistant", choice.text, list(choice.tool_calls)))


def delimited_parts(parts: Sequence[tuple[str, str]], enclosed: Sequence[str]) -> tuple[str, str]:
    """The mark, and the named parts between lines that begin with it.

    The mark is made of all that they hold, so nothing in them can have it in itself and end its fence.
    """
    mark = f"<{sha256(chr(0).join(enclosed).encode(errors='replace')).hexdigest()[:8]}>"
    return mark, "\n\n".join(f"{mark} {name}\n{text}\n{mark} END" for name, text in parts)


def shorten_middle(text: str, max_chars: int) -> str:
    """Beginning and end of a longer text, half of each, and between them how much is missing."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters are left out here ...]\n{text[-half:]}"
