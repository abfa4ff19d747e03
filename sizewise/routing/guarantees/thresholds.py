"""Stopping thresholds: at each stage, whether to return an answer, ask the next small model or escalate.

Stage 0 is before any answer, and `worth` is predicted from the prompt; stage k is after the k-th small answer. `worth`
is P(large good) - P(best answer so far good), -1..1:

    worth <= give_max         return the best small answer so far (at stage 0: the first small model's, not judged)
    worth > escalate_min      ask the large model
    between the two           ask the next small model
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
    """One setting of all stages. The last stage has no next model: its two thresholds are equal."""

    stages: tuple[StageThresholds, ...]

    @property
    def max_small_calls(self) -> int:
        """Small models that may be asked and held before anything is returned."""
        return len(self.stages) - 1
