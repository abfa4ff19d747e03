"""The cheapest model that fits, and the next cheapest when it fails; how good an answer is, it does not ask."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.routing.option_checks import within
from sizewise.routing.policy import Field, Question, Route
from sizewise.routing.retry import in_turn


@dataclass(frozen=True, slots=True)
class Cheapest:
    """Candidates by expected cost, each next one only when the one before failed before its first word.

    Among equals the smaller model goes first. An unknown price counts as the highest. `retries`, `max_retry_delay_s`,
    `hedge_delay_s` and `resume` as in Fixed.
    """

    models: tuple[str, ...] = ()
    retries: int = 1
    max_retry_delay_s: float = 2.0
    resume: bool = False
    hedge_delay_s: float = 0.0

    def __post_init__(self) -> None:
        within("retries", self.retries, 0, 5)
        within("max_retry_delay_s", self.max_retry_delay_s, 0, 60)
        within("hedge_delay_s", self.hedge_delay_s, 0, 600)

    def route(self, question: Question, field: Field) -> Route:
        why = "the cheapest model that fits" if len(field) > 1 else "the only model that fits"
        cards = tuple(candidate.card for candidate in field)
        return in_turn(question, cards, why, self.retries, self.max_retry_delay_s, self.resume, self.hedge_delay_s)
