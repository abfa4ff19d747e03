"""Figures of a model's measured pace: decayed sums over its attempts, plain values that can be stored.

Seconds are a line over a length in tokens. Older attempts count less: after seven further ones half as much.
"""

from __future__ import annotations

import math

from msgspec import Struct, field

DECAY = 0.9  # weight of all earlier attempts after each further one
MIN_SPREAD = 0.2  # standard deviation of the lengths seen, per mean, from which a slope is fitted
PROMPT_TOKEN_SHARE = 0.1
"""Time of a prompt token per output token, where only the whole answer was timed: read in parallel, written in turn."""
FIRST_DEVIATION = 0.25  # assumed relative error of a prediction before the second attempt
EARLIER_WEIGHT = 3.0
"""What was measured before a restart counts as at most so many attempts: the machine may have changed."""


class DecayedLine(Struct):
    """Seconds as a line over a length in tokens, base and slope at least 0, fitted to decayed observations.

    While all lengths were alike, base and slope cannot be told apart: then seconds grow with the root of the length.
    """

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        self.weight = self.weight * DECAY + 1
        self.x = self.x * DECAY + x
        self.y = self.y * DECAY + y
        self.xx = self.xx * DECAY + x * x
        self.xy = self.xy * DECAY + x * y

    def discounted(self) -> DecayedLine:
        """The same line with a weight of at most EARLIER_WEIGHT."""
        share = min(1.0, EARLIER_WEIGHT / self.weight) if self.weight else 1.0
        return DecayedLine(
            weight=self.weight * share,
            x=self.x * share,
            y=self.y * share,
            xx=self.xx * share,
            xy=self.xy * share,
        )

    def at(self, x: float) -> float:
        """Predicted seconds for a length of `x` tokens; 0 before the first observation."""
        if not self.weight:
            return 0.0
        mean_x, mean_y = self.x / self.weight, self.y / self.weight
        variance = self.xx / self.weight - mean_x * mean_x
        if variance < (MIN_SPREAD * mean_x) ** 2 or not mean_x:
            return mean_y * math.sqrt(x / mean_x) if mean_x else mean_y
        slope = (self.xy / self.weight - mean_x * mean_y) / variance
        slope = min(max(slope, 0.0), mean_y / mean_x)
        return mean_y + slope * (x - mean_x)

    @property
    def mean(self) -> float:
        return self.y / self.weight if self.weight else 0.0

    @property
    def per_second(self) -> float | None:
        """Tokens per second, averaged over the tokens; None if unknown."""
        return self.x / self.y if self.y > 0 and self.x > 0 else None


class LoadPace(Struct):
    """The pace of one model while it works on a number of requests at once.

    `first`: prompt tokens -> seconds to the first token; `rest`: further tokens -> seconds after it. `whole`: weighted
    tokens -> seconds of answers whose first token was not seen.
    """

    attempts: int = 0
    answers: int = 0  # attempts that were not stopped
    first: DecayedLine = field(default_factory=DecayedLine)
    rest: DecayedLine = field(default_factory=DecayedLine)
    whole: DecayedLine = field(default_factory=DecayedLine)

    def seconds(self, prompt_tokens: float, output_tokens: float) -> float:
        """Predicted seconds from the start to the last token."""
        return self.all_seconds(prompt_tokens, output_tokens)[0]

    def all_seconds(self, prompt_tokens: float, *lengths: float) -> list[float]:
        """The same for answers of each of `lengths`, in output tokens."""
        if self.first.weight >= self.whole.weight:
            start, rate = self.first.at(prompt_tokens), self.rest.per_second
            return [start + (max(0.0, length - 1) / rate if rate else 0.0) for length in lengths]
        return [self.whole.at(length + PROMPT_TOKEN_SHARE * prompt_tokens) for length in lengths]

    @property
    def output_per_second(self) -> float | None:
        return self.rest.per_second or self.whole.per_second


class PaceFigures(Struct):
    """All that was measured of one model. `length`: output tokens of an answer, `thinking` those before it.

    The deviations are mean absolute errors, `deviation` relative to the time.
    """

    loads: dict[int, LoadPace] = field(default_factory=dict)
    length: float = 0.0
    length_deviation: float = 0.0
    deviation: float = FIRST_DEVIATION
    thinking: float = 0.0

    def discounted(self) -> PaceFigures:
        """The same figures for after a restart, which new attempts soon outweigh."""
        loads = {
            load: LoadPace(
                attempts=each.attempts,
                answers=each.answers,
                first=each.first.discounted(),
                rest=each.rest.discounted(),
                whole=each.whole.discounted(),
            )
            for load, each in self.loads.items()
        }
        return PaceFigures(
            loads=loads,
            length=self.length,
            length_deviation=self.length_deviation,
            deviation=self.deviation,
            thinking=self.thinking,
        )
