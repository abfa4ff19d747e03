"""Retry rules: which failures are retried, and the exponential backoff with full jitter between attempts."""

from __future__ import annotations

from sizewise.routing.policy import AttemptOutcome

BASE_DELAY_S = 0.2
"""Upper bound of the pause before the first retry, in seconds; it doubles with each further one."""
MAX_DELAY_S = 10.0
JITTER_SHARE = 0.25
"""Share of a pause that a model asked for (Retry-After), added at random so that clients do not return together."""


def should_retry(outcome: AttemptOutcome, max_retry_after_s: float) -> bool:
    if outcome.error == "busy":  # rejected by our own queue in front of the model: an immediate retry would not help
        return False
    if outcome.retry_after is not None:
        return outcome.retry_after <= max_retry_after_s
    return outcome.is_retryable


def backoff(outcome: AttemptOutcome, number: int) -> tuple[float, float]:
    """Seconds before retry `number` (from 0), and how many more at random: full jitter, on top of a requested pause."""
    if outcome.retry_after is not None:
        return outcome.retry_after, outcome.retry_after * JITTER_SHARE
    return 0.0, min(BASE_DELAY_S * 2.0**number, MAX_DELAY_S)
