"""Fixed policy: one model, or several in a fixed order as fallbacks. Compares neither quality nor price."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.routing.fallback import with_fallbacks
from sizewise.routing.option_checks import require_range
from sizewise.routing.policy import Candidates, PolicyRun, RequestFeatures


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """Asks `models` in order, each next one only if the one before failed before its first content.

    Without `models`, the candidates in their order. `retries` (0..5): retries of a model after a transient failure, or
    if it requests a pause of at most `max_retry_delay_s` seconds (0..60). `hedge_delay_s` (0..600 seconds, 0: never):
    also start the second model if the first has produced nothing by then; the first content wins. `resume`: a model
    that can continue finishes an interrupted plain-text answer.
    """

    models: tuple[str, ...] = ()
    retries: int = 1
    max_retry_delay_s: float = 2.0
    resume: bool = False
    hedge_delay_s: float = 0.0
    why: str = "the policy's first model"

    def __post_init__(self) -> None:
        require_range("retries", self.retries, 0, 5)
        require_range("max_retry_delay_s", self.max_retry_delay_s, 0, 60)
        require_range("hedge_delay_s", self.hedge_delay_s, 0, 600)

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        cards = tuple(candidate.card for candidate in candidates)
        if len(self.models) > 1 and len(cards) > 1:
            cards = tuple(sorted(cards, key=lambda card: self.models.index(card.name)))
        return with_fallbacks(
            features,
            cards,
            self.why,
            self.retries,
            self.max_retry_delay_s,
            self.resume,
            self.hedge_delay_s,
        )
