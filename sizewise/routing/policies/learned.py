"""The cheapest model whose answer is foreseen to be nearly as good as the best; by the prompt alone, before anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.routing.option_checks import within
from sizewise.routing.policy import Candidate, Field, Question, Route, strength
from sizewise.routing.retry import in_turn


@dataclass(frozen=True, slots=True)
class Learned:
    """Routes on the gain: asks a dearer model where its chance of a good answer is more than `min_gain` (0..1) higher.

    The chances come from the file named in [router] `predictor`. `min_gain` is uncalibrated: 0.1 is a declared default,
    not a guarantee. Where the predictor abstains, `fallback` names the model to ask: `large`, which is safe, or
    `small`, which is cheap. A model that fails is followed by the strongest that is left. `retries` and
    `max_retry_delay_s` as in Fixed.
    """

    models: tuple[str, ...] = ()
    min_gain: float = 0.1
    fallback: Literal["large", "small"] = "large"
    retries: int = 1
    max_retry_delay_s: float = 2.0

    def __post_init__(self) -> None:
        within("min_gain", self.min_gain, 0, 1)
        within("retries", self.retries, 0, 5)
        within("max_retry_delay_s", self.max_retry_delay_s, 0, 60)

    def route(self, question: Question, field: Field) -> Route:
        first, why = self._first(question, field)
        rest = sorted((each for each in field if each is not first), key=_strength, reverse=True)
        cards = (first.card, *(each.card for each in rest))
        return in_turn(question, cards, why, self.retries, self.max_retry_delay_s)

    def _first(self, question: Question, field: Field) -> tuple[Candidate, str]:
        known = [each for each in field if each.quality is not None]
        if question.unforeseen or not known:
            one = max(field, key=_strength) if self.fallback == "large" else field[0]
            why = question.unforeseen or "the router knows none of these models"
            return one, f"not foreseen: {why}; by default the {self.fallback} one"
        best = max(known, key=_quality)
        for one in known:
            gain = _quality(best) - _quality(one)
            if gain <= self.min_gain:
                break
        if one is best:
            return one, f"foreseen good with {_quality(one):.2f}, no cheaper one nearly so (uncalibrated)"
        return one, f"foreseen good with {_quality(one):.2f}, {best.card.name} with {_quality(best):.2f} (uncalibrated)"


def _quality(candidate: Candidate) -> float:
    return candidate.quality or 0.0


def _strength(candidate: Candidate) -> float:
    return strength(candidate.card)
