"""Learned policy: the cheapest model whose predicted quality is close to the best, decided by the prompt alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.routing.fallback import with_fallbacks
from sizewise.routing.option_checks import require_range
from sizewise.routing.policy import Candidate, Candidates, PolicyRun, RequestFeatures
from sizewise.routing.strength import strength

UNCALIBRATED = "uncalibrated, so on average over requests nothing is promised"


@dataclass(frozen=True, slots=True)
class LearnedPolicy:
    """Routes by gain: asks a dearer model if its chance of a good answer is more than `min_gain` (0..1) higher.

    The chances come from the file named in [router] `predictor`. `min_gain` is uncalibrated: 0.1 is a default, not a
    guarantee. If the predictor abstains, `fallback` chooses the model: `large` is safe, `small` is cheap. A model that
    fails is followed by the strongest of the rest. `retries` and `max_retry_delay_s` as in FixedPolicy.
    """

    models: tuple[str, ...] = ()
    min_gain: float = 0.1
    fallback: Literal["large", "small"] = "large"
    retries: int = 1
    max_retry_delay_s: float = 2.0

    def __post_init__(self) -> None:
        require_range("min_gain", self.min_gain, 0, 1)
        require_range("retries", self.retries, 0, 5)
        require_range("max_retry_delay_s", self.max_retry_delay_s, 0, 60)

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        first, why = self._first(features, candidates)
        rest = sorted((each for each in candidates if each is not first), key=_strength, reverse=True)
        cards = (first.card, *(each.card for each in rest))
        return with_fallbacks(features, cards, why, self.retries, self.max_retry_delay_s)

    def _first(self, features: RequestFeatures, candidates: Candidates) -> tuple[Candidate, str]:
        known = [each for each in candidates if each.quality is not None]
        if features.abstention or not known:
            one = max(candidates, key=_strength) if self.fallback == "large" else candidates[0]
            why = features.abstention or "the predictor knows none of these models"
            return one, f"no prediction: {why}; by default the {self.fallback} model"
        best = max(known, key=_quality)
        one = next(each for each in known if _quality(best) - _quality(each) <= self.min_gain)
        predicted = f"predicted quality of this answer: {_quality(one):.2f}"
        if one is not best:
            other = f"{best.card.name} would be at {_quality(best):.2f}, no more than {self.min_gain:g} better"
            return one, f"{predicted}, and {other} ({UNCALIBRATED})"
        if one is known[0]:
            return one, f"{predicted}, the best of all ({UNCALIBRATED})"
        near = max(known[: known.index(one)], key=_quality)
        other = f"cheaper models are more than {self.min_gain:g} worse, {near.card.name} at {_quality(near):.2f}"
        return one, f"{predicted}, and {other} ({UNCALIBRATED})"


def _quality(candidate: Candidate) -> float:
    return candidate.quality or 0.0


def _strength(candidate: Candidate) -> float:
    return strength(candidate.card)
