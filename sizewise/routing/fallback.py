"""Fallback: one model after the other until one answers, with retries, hedging and resume, as moves of a policy."""

from __future__ import annotations

from sizewise.model_card import ModelCard
from sizewise.routing.policy import Attempt, AttemptOutcome, PolicyRun, RequestFeatures, attempt, hedge, resume
from sizewise.routing.retry import backoff, should_retry

HEDGE_TIMEOUT_S = 3_600.0
"""Timeout for the first word of hedged attempts, in seconds: as long as for any other attempt."""


def with_fallbacks(
    features: RequestFeatures,
    cards: tuple[ModelCard, ...],
    why: str,
    retries: int = 0,
    max_retry_after_s: float = 0.0,
    can_resume: bool = False,
    hedge_delay_s: float = 0.0,
) -> PolicyRun:
    """One model after the other until one answers. Replies are streamed, so only a failure before the first content
    leads to the next model.

    A transient failure (`AttemptOutcome.is_retryable`: unreachable, reset, overloaded, 5xx; neither a timeout after the
    request was sent nor a rejection) is retried `retries` times, or once per further replica, after exponential backoff
    with jitter. A Retry-After of at most `max_retry_after_s` seconds is respected. With `hedge_delay_s`, the second
    model starts if the first has produced nothing by then. With `can_resume`, an interrupted plain-text answer is
    finished by a card that can resume.
    """
    got, left, because = AttemptOutcome(cards[0]), cards, why
    if hedge_delay_s > 0 and (second := _hedge_card(cards)):
        late = f"{cards[0].name} sent nothing within {hedge_delay_s:g} s, or failed"
        pair = (
            Attempt(cards[0], why, "first_word", HEDGE_TIMEOUT_S),
            Attempt(second, late, "first_word", HEDGE_TIMEOUT_S),
        )
        got = yield from hedge(pair, hedge_delay_s)
        left, because = cards[2:], _failure_reason(got)
    for card in () if got.is_final else left:
        got = yield from attempt(card, because)
        for number in range(max(retries, card.endpoint.replica_count - 1) if retries else 0):
            if got.is_final or not should_retry(got, max_retry_after_s):
                break
            after_s, spread_s = backoff(got, number)
            words = f"{_failure_reason(got)}; retried"
            got = yield from attempt(card, words, delay_s=after_s, jitter_s=spread_s)
        if got.is_final:
            break
        because = _failure_reason(got)
    return (yield from resume_if_cut(features, cards, got)) if can_resume else got


def resume_if_cut(features: RequestFeatures, cards: tuple[ModelCard, ...], outcome: AttemptOutcome) -> PolicyRun:
    """`outcome`; if it is an interrupted plain-text answer, the outcome of resuming it on the cards that can."""
    if outcome.reply is None and outcome.delivered_text and features.is_plain_text:
        for card in cards:
            if card.prefill and outcome.reply is None and outcome.delivered_text:
                outcome = yield from resume(
                    card,
                    outcome.delivered_text,
                    f"{outcome.card.name} was interrupted ({outcome.error})",
                )
    return outcome


def _hedge_card(cards: tuple[ModelCard, ...]) -> ModelCard | None:
    """The model to start if the first is slow: the next; or the same again, if it has another replica."""
    if len(cards) > 1:
        return cards[1]
    return cards[0] if cards[0].endpoint.replica_count > 1 else None


def _failure_reason(outcome: AttemptOutcome) -> str:
    return f"{outcome.card.name} failed ({outcome.error})"
