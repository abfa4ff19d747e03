"""Weighs a cascade against chance, length and an oracle; pure arithmetic that knows nothing of models or networks.

Every question was asked three times: of the cascade, of the small model alone, of the large one alone.
What another way of choosing *would* have given is read off the last two.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb, sqrt


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply. `tokens`: prompt and reply of every attempt behind it, discarded ones too; `seconds` by our clock."""

    right: bool
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One question's three replies. `escalated`: the large model gave the cascade's. `length`: characters asked."""

    escalated: bool
    length: int
    auto: Answer
    small: Answer
    large: Answer


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table, sums over `n` replies; a row of expectation over draws has fractions."""

    name: str
    n: float
    right: float
    tokens: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Random escalation at one rate: right replies expected, the middle 95 % of draws, chance of at least `reached`."""

    mean: float
    low: int
    high: int
    at_least: float


Interval = tuple[float, float]


def quadrants(asked: Sequence[Asked]) -> list[Row]:
    """kept/escalated x right/wrong, always four rows."""
    rows = []
    for up, word in ((False, "kept"), (True, "escalated")):
        for right, verdict in ((True, "right"), (False, "wrong")):
            part = (a.auto for a in asked if a.escalated == up and a.auto.right == right)
            rows.append(_row(f"{word}, {verdict}", part))
    return rows


def compare_policies(asked: Sequence[Asked]) -> list[Row]:
    """The cascade, both models alone, and four other ways to choose; an escalation pays for the small reply as well."""
    up = sum(a.escalated for a in asked)
    share = up / len(asked)
    longest = set(sorted(range(len(asked)), key=lambda i: -asked[i].length)[:up])
    small, large = _row("all small", (a.small for a in asked)), _row("all large", (a.large for a in asked))
    return [
        _row("cascade (auto)", (a.auto for a in asked)),
        small,
        large,
        _mixed("random escalation, same rate", small, large, 1, share),
        _mixed("random routing, same rate", small, large, 1 - share, share),
        _row("longest prompts escalated, same rate", (_escalate(a, i in longest) for i, a in enumerate(asked))),
        _row("oracle", (a.large if a.large.right and not a.small.right else a.small for a in asked)),
    ]


def random_spread(asked: Sequence[Asked], reached: int) -> Spread:
    """Every way to draw as many questions as were escalated, counted exactly (multivariate hypergeometric)."""
    up = sum(a.escalated for a in asked)
    base = sum(a.small.right for a in asked)
    gain = sum(a.large.right and not a.small.right for a in asked)
    loss = sum(a.small.right and not a.large.right for a in asked)
    chance: dict[int, float] = {}
    for won in range(min(gain, up) + 1):
        for lost in range(min(loss, up - won) + 1):
            draws = comb(gain, won) * comb(loss, lost) * comb(len(asked) - gain - loss, up - won - lost)
            right = base + won - lost
            chance[right] = chance.get(right, 0.0) + draws / comb(len(asked), up)
    return Spread(
        mean=sum(right * p for right, p in chance.items()),
        low=_quantile(chance, 0.025),
        high=_quantile(chance, 0.975),
        at_least=sum(p for right, p in chance.items() if right >= reached),
    )


def lead(asked: Sequence[Asked]) -> float:
    """Share right of the cascade less what random escalation at its rate expects, -1..1."""
    n = len(asked)
    share = sum(a.escalated for a in asked) / n
    chance = sum((1 - share) * a.small.right + share * a.large.right for a in asked)
    return (sum(a.auto.right for a in asked) - chance) / n


def bootstrap(asked: Sequence[Asked], figure: Callable[[Sequence[Asked]], float], draws: int = 10_000) -> Interval:
    """95 % percentile interval of `figure` over questions drawn anew; the seed is fixed, so it can be repeated."""
    dice = random.Random(0)
    seen = sorted(figure(dice.choices(asked, k=len(asked))) for _ in range(draws))
    return seen[int(0.025 * draws)], seen[int(0.975 * draws) - 1]


def wilson(right: float, n: float) -> Interval:
    """95 % interval of a share (E. B. Wilson 1927); (0, 1) when nothing was asked."""
    if not n:
        return 0.0, 1.0
    z, share = 1.959964, right / n
    middle, reach = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - reach) / (1 + z * z / n), (middle + reach) / (1 + z * z / n)


def _row(name: str, answers: Iterable[Answer]) -> Row:
    seen = list(answers)
    return Row(name, len(seen), sum(a.right for a in seen), sum(a.tokens for a in seen), sum(a.seconds for a in seen))


def _mixed(name: str, small: Row, large: Row, pays_small: float, share: float) -> Row:
    return Row(
        name,
        small.n,
        (1 - share) * small.right + share * large.right,
        pays_small * small.tokens + share * large.tokens,
        pays_small * small.seconds + share * large.seconds,
    )


def _escalate(asked: Asked, up: bool) -> Answer:
    small, large = asked.small, asked.large
    return Answer(large.right, small.tokens + large.tokens, small.seconds + large.seconds) if up else small


def _quantile(chance: dict[int, float], at: float) -> int:
    seen = 0.0
    for right in sorted(chance):
        seen += chance[right]
        if seen >= at - 1e-12:
            return right
    return max(chance)
