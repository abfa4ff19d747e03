"""Onboarding of a new model: derives its predictor head from a similar model and a few scored answers.

The new head is the similar model's with another bias: it assumes the same strengths, and a constant difference on all
prompts. The shift of the log odds is the maximum a posteriori given the scores, with a normal prior around 0 of
standard deviation 1, so that few scores move it little.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest, did_you_mean
from sizewise.routing.quality.answer_signals import log_odds
from sizewise.routing.quality.predictor import Predictor

FURTHEST, HALVINGS = 10.0, 40


class OnboardingResult(Struct, frozen=True):
    """`shift`: of the log odds from those of `based_on`, estimated from `sample_count` prompts; `mean_log_likelihood`:
    of their scores.
    """

    predictor: Predictor
    based_on: str
    shift: float
    sample_count: int
    mean_log_likelihood: float


def onboard_model(
    predictor: Predictor,
    name: str,
    prompts: Sequence[str],
    scores: Sequence[float],
    based_on: str = "",
) -> OnboardingResult:
    """`scores`: quality of the new model's answers to `prompts`, 0..1; may be empty with `based_on`. Without `based_on`
    the known model is used whose shifted head makes the scores most likely.

    Raises BadRequest for a `name` that is known, a `based_on` that is not, or if there is neither `based_on` nor a
    prompt with a prediction.
    """
    if name in predictor.heads:
        raise BadRequest(f"the predictor already knows {name!r}", "train the predictor again to update it")
    if based_on and based_on not in predictor.heads:
        hint = did_you_mean(based_on, list(predictor.heads)) or f"known: {', '.join(predictor.heads)}"
        raise BadRequest(f"the predictor does not know {based_on!r}", hint)
    foreseen = [(its, score) for its, score in zip(map(predictor.predict, prompts), scores, strict=True) if its]
    if not foreseen and not based_on:
        hint = "name a known model with --like, or score some answers to prompts like those in the training data"
        raise BadRequest(f"there is no data on {name!r}", hint)
    found = [
        _shifted(known, [(log_odds(its[known]), score) for its, score in foreseen])
        for known in _candidates(predictor, based_on)
    ]
    best, shift, likelihood = max(found, key=lambda each: each[2])
    head = predictor.heads[best]
    heads = {**predictor.heads, name: replace(head, bias=head.bias + shift)}
    return OnboardingResult(
        predictor=replace(predictor, heads=heads),
        based_on=best,
        shift=shift,
        sample_count=len(foreseen),
        mean_log_likelihood=likelihood,
    )


def _candidates(predictor: Predictor, based_on: str) -> list[str]:
    return [based_on] if based_on else list(predictor.heads)


def _shifted(known: str, scored: Sequence[tuple[float, float]]) -> tuple[str, float, float]:
    """The most likely shift of these log odds, and the mean log-likelihood with it, prior included."""
    low, high = -FURTHEST, FURTHEST
    for _ in range(HALVINGS):  # the slope decreases with the shift
        shift = (low + high) / 2
        slope = sum([score - 1.0 / (1.0 + exp(-(at + shift))) for at, score in scored]) - shift
        low, high = (shift, high) if slope > 0 else (low, shift)
    shift = (low + high) / 2 if scored else 0.0
    chances = [min(1.0 - 1e-9, max(1e-9, 1.0 / (1.0 + exp(-(at + shift))))) for at, _ in scored]
    total = sum([s * log(p) + (1.0 - s) * log(1.0 - p) for p, (_, s) in zip(chances, scored, strict=True)])
    return known, shift, (total - shift * shift / 2) / max(1, len(scored))
