"""What the cost of one time has more than that of another, split into volume, mix, tokens and price; pure and exact.

The cost of a model is a product: requests * its attempts a request * tokens an attempt * price of these tokens. Tokens
count by what they cost on the model's present price list, so that a dearer kind of token is no dearer price. Each
factor's part is its mean effect over all orders in which the four can change (Shapley), so it depends on no order, and
the parts sum to the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import factorial, floor, prod

from sizewise.telemetry.usage_report import UsageReport
from sizewise.telemetry.usage_sums import NOTHING, Sums, add_sums
from sizewise.telemetry.usage_tables import COST, REQUESTS, SUMS

ListCost = Callable[[str, Sums], int]
"""Pico-dollars of a model's tokens on its present price list; 0: not known, or free."""
ATTEMPTS: int = SUMS.index("attempts")
INPUT: int = SUMS.index("input")
OUTPUT: int = SUMS.index("output")
FACTORS = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class CostParts:
    """Pico-dollars, each of either sign. `volume`: more requests; `mix`: other models, or more attempts a request;
    `tokens`: more of them, or dearer kinds, an attempt; `price`: another price of the same tokens.
    """

    volume: int = 0
    mix: int = 0
    tokens: int = 0
    price: int = 0

    @property
    def total(self) -> int:
        return self.volume + self.mix + self.tokens + self.price

    def __add__(self, other: CostParts) -> CostParts:
        return CostParts(
            self.volume + other.volume, self.mix + other.mix, self.tokens + other.tokens, self.price + other.price
        )


@dataclass(frozen=True, slots=True)
class ModelChange:
    """`model`: None for all that the sums do not tell apart. `parts` sum to `after - before`, in pico-dollars."""

    model: str | None
    before: int
    after: int
    parts: CostParts


@dataclass(frozen=True, slots=True)
class UsageChange:
    """`models`: those with a cost, the largest difference first. Their parts sum to `parts`, in pico-dollars."""

    models: list[ModelChange]
    before: Sums
    after: Sums
    parts: CostParts


def explain_change(
    before: UsageReport, after: UsageReport, list_cost: ListCost, *, filtered: bool = False
) -> UsageChange:
    """Of two reports by model alone, with one row a model. `filtered`: what a filter cannot tell apart is left out."""
    one, other = (
        {None if row.key is None else row.key[0]: row.sums for row in each.rows if row.key is not None or not filtered}
        for each in (before, after)
    )
    total_one, total_other = _sum(one.values()), _sum(other.values())
    counted = REQUESTS
    if any(sums[ATTEMPTS] and not sums[REQUESTS] for sums in (total_one, total_other)):
        counted = ATTEMPTS  # filtered so that the requests of these attempts are left out
    volumes = tuple(each[counted] or (1 if each[COST] else 0) for each in (total_one, total_other))
    both = {name: (one.get(name, NOTHING), other.get(name, NOTHING)) for name in {**one, **other}}
    models = [_model(name, sums, volumes, list_cost) for name, sums in both.items() if sums[0][COST] or sums[1][COST]]
    models.sort(key=lambda each: (-abs(each.after - each.before), str(each.model)))
    parts = CostParts()
    for each in models:
        parts += each.parts
    return UsageChange(models, total_one, total_other, parts)


def _model(name: str | None, sums: tuple[Sums, Sums], volumes: tuple[int, ...], list_cost: ListCost) -> ModelChange:
    costs = (sums[0][COST], sums[1][COST])
    tokens = _weights(name, sums, list_cost)
    attempts = tuple(each[ATTEMPTS] or (1 if each[COST] else 0) for each in sums)
    volume = [Fraction(each) for each in volumes]
    factors = [volume, _both(attempts, volumes), _both(tokens, attempts), _both(costs, tokens)]
    effects = [_effect(factors, factor) for factor in FACTORS]
    volume_part, mix, token_part, price = _whole(effects, costs[1] - costs[0])
    return ModelChange(name, *costs, CostParts(volume=volume_part, mix=mix, tokens=token_part, price=price))


def _weights(name: str | None, sums: tuple[Sums, Sums], list_cost: ListCost) -> tuple[int, int]:
    """How much was read and said, in the same unit for both: what has a cost has some of it."""
    ways: list[Callable[[Sums], int]] = [
        lambda each: 0 if name is None else list_cost(name, each),
        lambda each: each[INPUT] + each[OUTPUT],
        lambda each: each[ATTEMPTS] or 1,  # such as images, which have a price of their own
    ]
    for way in ways:
        found = (way(sums[0]), way(sums[1]))
        if all(weight or not each[COST] for weight, each in zip(found, sums, strict=True)) and any(found):
            return found
    return 1, 1


def _both(of: tuple[int, ...], per: tuple[int, ...]) -> list[Fraction]:
    """`of / per` for both times; where there is none, it did not change."""
    known = [Fraction(part, whole) if whole else None for part, whole in zip(of, per, strict=True)]
    fallback = next((each for each in reversed(known) if each is not None), Fraction(0))
    return [fallback if each is None else each for each in known]


def _effect(factors: list[list[Fraction]], changed: int) -> Fraction:
    """The mean effect of one factor's change, over all orders in which the factors can change."""
    others = [each for each in FACTORS if each != changed]
    before, after = factors[changed]
    effect = Fraction(0)
    for size in range(len(others) + 1):
        orders = Fraction(factorial(size) * factorial(len(others) - size), factorial(len(factors)))
        for moved in combinations(others, size):
            rest = prod((factors[each][each in moved] for each in others), start=Fraction(1))
            effect += orders * rest * (after - before)
    return effect


def _whole(effects: list[Fraction], total: int) -> list[int]:
    """Whole pico-dollars that sum to `total`, as the effects do: the largest remainders are rounded up."""
    whole = [floor(each) for each in effects]
    for place in sorted(FACTORS, key=lambda each: whole[each] - effects[each])[: total - sum(whole)]:
        whole[place] += 1
    return whole


def _sum(sums: Iterable[Sums]) -> Sums:
    total = NOTHING
    for each in sums:
        total = add_sums(total, each)
    return total
