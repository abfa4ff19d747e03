"""Context fit: whether a prompt and its answer fit a model's context window, by count, or by estimate with a margin.

A prompt near a window that no tokenizer counted must fit with a margin, unless no model is left then.
"""

from __future__ import annotations

from collections.abc import Sequence

from sizewise.errors import ContextLengthExceeded, NoModelFits
from sizewise.model_card import ModelCard
from sizewise.routing.policy import RequestFeatures
from sizewise.routing.rejection import Rejection
from sizewise.routing.requirements import DEFAULT_ANSWER_TOKENS, MAX_BYTES_PER_TOKEN, Requirements


def check_min_window(card: ModelCard, requirements: Requirements, is_exact: bool) -> Rejection | None:
    """Rejects a context window below the requested minimum, however short this prompt is."""
    if requirements.min_window is None or requirements.task != "chat" or (card.context is None and is_exact):
        return None
    if card.context is None:
        why = f"has an unknown context window, and the request requires {requirements.min_window} tokens"
    elif card.context < requirements.min_window:
        why = f"has a context window of {card.context} tokens, and the request requires {requirements.min_window}"
    else:
        return None
    hint = "use a model with a larger context window, or raise `context` in [local] for an embedded one"
    return Rejection(card=card, why=why, error=NoModelFits, param="min_window", hint=hint)


def answer_room(card: ModelCard, max_tokens: int | None) -> int:
    """Tokens to leave for an answer: its maximum, else at most an eighth of the window."""
    return min(DEFAULT_ANSWER_TOKENS, (card.context or 0) // 8) if max_tokens is None else max_tokens


def check_context(card: ModelCard, requirements: Requirements, is_exact: bool) -> Rejection | None:
    context, counted = card.context, requirements.counts.get(card.name)
    longest = requirements.features.max_tokens
    answer = answer_room(card, longest) if requirements.keeps_room else longest or 0
    if context is None or requirements.size + answer <= context:
        return None  # no prompt has more tokens than bytes
    estimate = requirements.features.prompt_tokens
    if is_exact and not requirements.keeps_room:
        if counted is None and requirements.size // MAX_BYTES_PER_TOKEN <= context:
            return None  # exact counting is left to the model
        if counted is not None and counted <= context:
            return None
        has = f"about {estimate}" if counted is None else f"{counted}"
        why = f"accepts at most {context} prompt tokens, and this prompt has {has}"
    elif counted is not None:
        if counted + answer <= context:
            return None
        why = f"has a context window of {context} tokens, and this request needs {counted + answer}"
    else:
        most = int(estimate * requirements.margin)
        if most + answer <= context:
            return None
        why = f"has a context window of {context} tokens, and this request needs about {estimate + answer}"
        if estimate + answer <= context:
            why += f", perhaps {most + answer}"
    return Rejection(
        card=card,
        why=why,
        error=ContextLengthExceeded,
        param="messages",
        hint="shorten the prompt, or use a model with a larger context window",
    )


def fits_context(card: ModelCard, features: RequestFeatures) -> bool:
    """Whether its context window, if known, holds the prompt and the longest answer requested."""
    return card.context is None or features.prompt_tokens + (features.max_tokens or 0) <= card.context


def only_estimated(requirements: Requirements, against: Sequence[Rejection]) -> bool:
    """Whether a model was rejected because of an estimated prompt: without the margin it may be the best there is."""
    return any(each.error is ContextLengthExceeded and each.card.name not in requirements.counts for each in against)


def too_long_for(against: Sequence[Rejection]) -> list[ModelCard]:
    """The models whose window was too small."""
    return [each.card for each in against if each.error is ContextLengthExceeded]
