"""Cheapest policy: asks the cheapest model that fits, then the next cheapest on failure. Ignores quality."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.routing.cascade_reasons import why_first
from sizewise.routing.fallback import with_fallbacks
from sizewise.routing.option_checks import require_range
from sizewise.routing.policy import Candidates, PolicyRun, RequestFeatures


@dataclass(frozen=True, slots=True)
class CheapestPolicy:
    """Candidates by expected cost, each next one only if the one before failed before its first content.

    At equal cost the smaller model comes first. An unknown price counts as the highest. `retries`, `max_retry_delay_s`,
    `hedge_delay_s` and `resume` as in FixedPolicy.
    """

    models: tuple[str, ...] = ()
    retries: int = 1
    max_retry_delay_s: float = 2.0
    resume: bool = False
    hedge_delay_s: float = 0.0

    def __post_init__(self) -> None:
        require_range("retries", self.retries, 0, 5)
        require_range("max_retry_delay_s", self.max_retry_delay_s, 0, 60)
        require_range("hedge_delay_s", self.hedge_delay_s, 0, 600)

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        cards = tuple(candidate.card for candidate in candidates)
        return with_fallbacks(
            features,
            cards,
            why_first(candidates),
            self.retries,
            self.max_retry_delay_s,
            self.resume,
            self.hedge_delay_s,
        )
