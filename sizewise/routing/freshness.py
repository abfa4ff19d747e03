"""Freshness: why an answer may be out of date, from the time that a question is about and the model's knowledge."""

from __future__ import annotations

from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.model_card import ModelCard
from sizewise.routing.text.code_blocks import text_outside_blocks
from sizewise.routing.text.prompt_features import strip_harness_text
from sizewise.routing.text.time_references import MAX_CHARS, NO_REFERENCE, TimeReference, time_reference


def question_time(payload: ChatRequest | EmbeddingRequest) -> TimeReference:
    """The time that the user's last words are about; takes about 5 us."""
    if not isinstance(payload, ChatRequest) or payload.task != "chat":
        return NO_REFERENCE
    for message in reversed(payload.messages):
        if message.role == "user" and (text := message.text):
            return words_time(text)
    return NO_REFERENCE


def words_time(text: str) -> TimeReference:
    """The time that a message of the user is about."""
    if len(text) > MAX_CHARS:
        text = f"{text[: MAX_CHARS // 2]}\n{text[-MAX_CHARS // 2 :]}"
    words = strip_harness_text(text)
    return time_reference(text_outside_blocks(words) if "```" in words else words)


def freshness_warning(card: ModelCard, asked: TimeReference, today: str) -> str:
    """Why the model's answer may be out of date, as one sentence without a word of the question; empty: it is not.

    `today`: as 2026-11-28; not read without a reference. A model is released after its training, so that its release
    date counts where its cutoff is unknown.
    """
    if asked is NO_REFERENCE:
        return ""
    end = card.knowledge_cutoff or card.release_date
    if not asked.is_after(end, today):
        return ""
    if card.knowledge_cutoff:
        return f"the question is about the time after {end}, where the model's knowledge ends"
    if end:
        return f"the question is about the time after {end}, when the model was released"
    return "the question is about the present, and the model's knowledge ends at an unknown date before"
