"""Confidence judge: scores a reply by its token log-probabilities. Uncalibrated, and does not read the prompt.

For the log-probabilities l_1..l_n of a reply's tokens:

    whole  = exp(mean(l))                         the geometric mean probability of a token
    weak   = exp(min over windows of mean(l))     the same for the weakest 8 tokens in a row
    score  = sqrt(whole * weak)                   0..1; a short reply is one window, so score = whole

The window is there because a long fluent reply hides the one guessed name or number in its mean.
"""

from __future__ import annotations

import math

import msgspec
from msgspec import Raw, Struct

from sizewise.messages import Reply
from sizewise.routing.policy import RequestFeatures, Verdict

WINDOW_TOKENS = 8
MIN_LOGPROB = -20.0  # upstreams write -9999 or less for "impossible"; e^-20 is two in a billion


class TokenLogprob(Struct):
    logprob: float


class Logprobs(Struct):
    content: list[TokenLogprob] | None = None


_decode = msgspec.json.Decoder(Logprobs).decode


def confidence(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
    """The lowest score of all choices of all replies; no score if any lacks log-probabilities."""
    scores = [_score(choice.logprobs) for reply in replies for choice in reply.choices]
    known = [score for score in scores if score is not None]
    if not known or len(known) < len(scores):
        return Verdict(None, "the reply has no log-probabilities")
    least = min(known)
    return Verdict(least, f"the model's own confidence is {least:.2f}")


def token_logprobs(logprobs: Raw | None) -> list[float]:
    """Log-probabilities of a reply's tokens, bounded; empty if missing or unreadable."""
    if logprobs is None:
        return []
    try:
        content = _decode(logprobs).content
    except msgspec.DecodeError:
        return []
    return [max(MIN_LOGPROB, min(0.0, token.logprob)) for token in content or () if not math.isnan(token.logprob)]


def _score(logprobs: Raw | None) -> float | None:
    values = token_logprobs(logprobs)
    if not values:
        return None
    return math.exp((sum(values) / len(values) + _weakest(values)) / 2)


def _weakest(values: list[float]) -> float:
    """The lowest mean of WINDOW_TOKENS values in a row; of all values if there are fewer."""
    if len(values) <= WINDOW_TOKENS:
        return sum(values) / len(values)
    total = least = sum(values[:WINDOW_TOKENS])
    for old, new in zip(values, values[WINDOW_TOKENS:], strict=False):
        total += new - old
        least = min(least, total)
    return least / WINDOW_TOKENS
