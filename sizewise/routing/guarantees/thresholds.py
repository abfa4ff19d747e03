"""Stopping thresholds: at each stage, whether to return an answer, ask the next small model or escalate.

At stage 0 nobody has answered and the worth is known by the prompt alone; at stage k, after the k-th small answer. The
worth is P(large good) - P(best answer so far good), -1..1:

    worth <= give         the best small answer so far is given (at stage 0: the first small model's, unseen)
    worth > up            the large model is asked
    between the two       the next small model is asked
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

NEVER, ALWAYS = -2.0, 2.0  # beyond any worth
StageAction = Literal["give", "next", "up"]


class StageThresholds(Struct, frozen=True):
    give_max: float
    escalate_min: float

    def action(self, worth: float) -> StageAction:
        if worth <= self.give_max:
            return "give"
        return "up" if worth > self.escalate_min else "next"


class ThresholdLadder(Struct, frozen=True):
    """One setting of all stages. The last one has no next: its two thresholds are the same."""

    stages: tuple[StageThresholds, ...]

    @property
    def max_small_calls(self) -> int:
        """Small models that may be asked and held before anything is shown."""
        return len(self.stages) - 1
