"""What is known of small models' answers before one is shown, and what it is worth together; pure, knows no outcome.

What was not measured is None. Answers with and without log-probabilities are told apart by a number of their own, where
both were learnt from; where they were not, `unlike` says so.
The combination was learnt by combine.py.
"""

from __future__ import annotations

from math import exp, log, log1p

from msgspec import Struct

from sizewise.routing.answer_agreement import agree

FLOOR = -20.0  # log-probability below which nothing more is meant
SAID, KNOWN = 7, 3
"""Of `numbers`: how many are of each answer, and which says whether its first one's confidence is known."""


class Said(Struct, frozen=True):
    """One small model's answer. `odds`: log-odds of its being good, by the prompt alone."""

    odds: float = 0.0
    confidence: float | None = None  # mean log-probability of its tokens
    least: float | None = None  # the smallest one
    tokens: int = 0  # of the answer
    silent: bool = False  # it holds no answer
    cut: bool = False  # it did not come to its end


class Signals(Struct, frozen=True):
    """`said`: one or two answers in the order of asking. `large`: log-odds of the large model's answer being good."""

    said: tuple[Said, ...]
    large: float = 0.0
    agrees: bool | None = None  # the second with the first


def numbers(signals: Signals) -> list[float]:
    """As many for signals of as many answers, always in the same order."""
    found = [signals.large]
    for said in signals.said:
        found += (
            said.odds,
            said.confidence or 0.0,
            float(said.confidence is not None),
            max(FLOOR, said.least or 0.0),
            log1p(said.tokens),
            float(said.silent),
            float(said.cut),
        )
    if len(signals.said) > 1:
        agrees = float(signals.agrees is True)
        found += (agrees, float(signals.agrees is False), agrees * (signals.said[0].odds - signals.large))
    return found


def unlike(combined: Combined, signals: Signals) -> bool:
    """Whether an answer came without log-probabilities and all that was learnt from had them: nothing is known then."""
    found = numbers(signals)
    places = range(KNOWN, 1 + SAID * len(signals.said), SAID)
    return any(combined.mean[at] == 1.0 and found[at] == 0.0 for at in places)


def odds(chance: float) -> float:
    """Log-odds of a chance, bounded."""
    held = min(max(chance, 1e-6), 1.0 - 1e-6)
    return log(held / (1.0 - held))


def agreed(answers: tuple[str | None, ...]) -> bool | None:
    """Whether the second says what the first does; None where there is no second, one is silent, or nobody can tell."""
    if len(answers) < 2 or answers[0] is None or answers[1] is None:
        return None
    return agree(answers[0], answers[1])


class Combined(Struct, frozen=True):
    """One logistic sum a model (those asked, then the large one), on numbers put on one scale."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    heads: tuple[tuple[float, ...], ...]  # bias, then as `numbers`
    labels: int  # it was learnt from

    def good(self, signals: Signals) -> list[float]:
        """The chance of a good answer, 0..1, of each model that answered, then of the large one."""
        at = [
            (value - mean) / spread
            for value, mean, spread in zip(numbers(signals), self.mean, self.spread, strict=True)
        ]
        return [_chance(head, at) for head in self.heads]

    def worth(self, signals: Signals) -> tuple[float, int]:
        """What asking the large model is worth, -1..1, and which of the answers given is the best, from 0."""
        *given, large = self.good(signals)
        best = max(range(len(given)), key=lambda each: given[each])
        return large - given[best], best


def _chance(weights: tuple[float, ...], at: list[float]) -> float:
    total = weights[0] + sum([weight * value for weight, value in zip(weights[1:], at, strict=True)])
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, total))))
