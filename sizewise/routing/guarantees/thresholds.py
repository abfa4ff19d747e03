"""When to stop asking: thresholds on what the large model is still worth, one pair a stage; pure, knows no model.

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
Choice = Literal["give", "next", "up"]


class Stage(Struct, frozen=True):
    give: float
    up: float

    def choice(self, worth: float) -> Choice:
        if worth <= self.give:
            return "give"
        return "up" if worth > self.up else "next"


class Level(Struct, frozen=True):
    """One setting of all stages. The last one has no next: its two thresholds are the same."""

    stages: tuple[Stage, ...]

    @property
    def asks(self) -> int:
        """Small models that may be asked and held before anything is shown."""
        return len(self.stages) - 1
