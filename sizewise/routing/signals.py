"""What is known of a small model's answer before it is shown, and what it is worth together; pure, knows no outcome.

What was not measured is None and counts for nothing, so the same combination serves with and without log-probabilities,
with and without a second small model. It was learnt by combine.py.
"""

from __future__ import annotations

from math import exp, log1p

from msgspec import Struct

NAMES = (
    "odds small",
    "odds large",
    "agrees",
    "differs",
    "confidence",
    "confidence known",
    "least",
    "log tokens",
    "silent",
    "cut",
    "agrees x odds",
)
"""What `numbers` makes of signals, in its order."""


class Signals(Struct, frozen=True):
    """Of one answer. `small`, `large`: log-odds of a good answer by the prompt alone."""

    small: float | None = None
    large: float | None = None
    agrees: bool | None = None  # with a second small model
    confidence: float | None = None  # mean log-probability of its tokens
    least: float | None = None  # the smallest one
    tokens: int = 0  # of the answer
    silent: bool = False  # it holds no answer
    cut: bool = False  # it did not come to its end


def numbers(signals: Signals) -> tuple[float, ...]:
    """In the order of NAMES."""
    small, large = signals.small or 0.0, signals.large or 0.0
    agrees = float(signals.agrees is True)
    return (
        small,
        large,
        agrees,
        float(signals.agrees is False),
        signals.confidence or 0.0,
        float(signals.confidence is not None),
        max(-20.0, signals.least or 0.0),
        log1p(signals.tokens),
        float(signals.silent),
        float(signals.cut),
        agrees * (small - large),
    )


class Combined(Struct, frozen=True):
    """One logistic sum a model: bias and a weight a number, on numbers put on one scale."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    small: tuple[float, ...]  # bias, then as NAMES
    large: tuple[float, ...]
    labels: int  # it was learnt from

    def gain(self, signals: Signals) -> float:
        """P(large good) - P(this answer good), -1..1: what asking the large model is worth."""
        at = [
            (value - mean) / spread
            for value, mean, spread in zip(numbers(signals), self.mean, self.spread, strict=True)
        ]
        return _chance(self.large, at) - _chance(self.small, at)


def _chance(weights: tuple[float, ...], at: list[float]) -> float:
    odds = weights[0] + sum([weight * value for weight, value in zip(weights[1:], at, strict=True)])
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, odds))))
