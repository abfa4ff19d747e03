"""Always the same model, or the same few in a fixed order as fallbacks; judges nothing and compares no prices."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.routing.option_checks import within
from sizewise.routing.policy import Field, Question, Route
from sizewise.routing.retry import in_turn


@dataclass(frozen=True, slots=True)
class Fixed:
    """Asks `models` in their order, each next one only when the one before failed before its first word.

    Without `models`, the candidates as they come. A model whose failure may pass is asked `retries` (0..5) times more,
    and so is one that asks for a pause of at most `max_retry_delay_s` seconds (0..60). `hedge_delay_s` (0..600 seconds,
    0: never) asks the second too when the first has not spoken by then; the first word wins. `resume` lets a
    model that can continue finish a plain-text answer that broke off.
    """

    models: tuple[str, ...] = ()
    retries: int = 1
    max_retry_delay_s: float = 2.0
    resume: bool = False
    hedge_delay_s: float = 0.0
    why: str = "the policy asks this model first"

    def __post_init__(self) -> None:
        within("retries", self.retries, 0, 5)
        within("max_retry_delay_s", self.max_retry_delay_s, 0, 60)
        within("hedge_delay_s", self.hedge_delay_s, 0, 600)

    def route(self, question: Question, field: Field) -> Route:
        cards = tuple(candidate.card for candidate in field)
        if len(self.models) > 1 and len(cards) > 1:
            cards = tuple(sorted(cards, key=lambda card: self.models.index(card.name)))
        return in_turn(question, cards, self.why, self.retries, self.max_retry_delay_s, self.resume, self.hedge_delay_s)
