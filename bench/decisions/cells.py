"""Cells of the bench of decisions: a task, a number of own answers, and seeded streams of texts to learn and test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.decisions.data import OUT_OF_SCOPE, Intents
from sizewise.decisions.head import Integers

MOST_TESTED = 4_000
LEARNED_OUT_OF_SCOPE = 0.02
Draw = Callable[[np.random.Generator], Intents]


@dataclass(frozen=True)
class Stream:
    """Places of the texts that are learned, in their order, and of those that are tested."""

    intents: Intents
    learned: Integers
    tested: Integers


@dataclass(frozen=True)
class Cell:
    """`shift`: the share of tested inputs that are out of scope, where 2 % of the learned ones are. None: as they
    come. `is_drawn`: each learned one is out of scope with that chance, so there may be none."""

    name: str
    size: int
    draw: Draw
    shift: float | None
    is_drawn: bool = False

    def stream(self, seed: int) -> Stream:
        draw = np.random.default_rng(seed)
        intents = self.draw(draw)
        order = draw.permutation(len(intents.labels))
        if self.shift is None:
            return Stream(intents, order[: self.size], order[self.size :][:MOST_TESTED])
        few = round(self.size * LEARNED_OUT_OF_SCOPE)
        if self.is_drawn:
            few = int(draw.binomial(self.size, LEARNED_OUT_OF_SCOPE))
        return Stream(intents, *_mixed(intents, order, self.size, self.shift, few))


def cells(bank: Intents, scope: Intents, sizes: Sequence[int]) -> Iterator[Cell]:
    inside = [name for name in scope.names if name != OUT_OF_SCOPE]
    all_inside = scope.only(inside)
    for size in sizes:
        if size <= 1_000:
            yield Cell("banking, 12 of 77", size, lambda draw: bank.only(_some(bank, draw, 12)), None)
            yield Cell("banking, 15 of 77", size, lambda draw: bank.only(_some(bank, draw, 15)), None)
            yield Cell("banking, 12 and near", size, lambda draw: bank.others_out(_some(bank, draw, 12)), 0.02)
            yield Cell("banking, near shifted", size, lambda draw: bank.others_out(_some(bank, draw, 12)), 0.1)
            yield Cell("banking, near drawn", size, lambda draw: bank.others_out(_some(bank, draw, 12)), 0.1, True)
            yield Cell(
                "clinc, 15 of 150", size, lambda draw: all_inside.only(draw.choice(inside, 15, False).tolist()), None
            )
        yield Cell("banking, 77", size, lambda _: bank, None)
        yield Cell("clinc, 150 and none", size, lambda _: scope, 0.02)
        yield Cell("clinc, shifted to 10 %", size, lambda _: scope, 0.1)


def _some(bank: Intents, draw: np.random.Generator, count: int) -> list[str]:
    return [str(name) for name in draw.choice(bank.names, count, False)]


def _mixed(intents: Intents, order: Integers, size: int, shift: float, few: int) -> tuple[Integers, Integers]:
    """`few`: of the learned inputs are out of scope."""
    is_out = intents.labels[order] == intents.names.index(OUT_OF_SCOPE)
    outside, inside = order[is_out], order[~is_out]
    learned = np.concatenate([outside[:few], inside[: size - few]])
    left = (len(outside) - few) / shift, (len(inside) - size + few) / (1.0 - shift)
    count = min(MOST_TESTED, *map(int, left))
    many = round(count * shift)
    mixed = np.random.default_rng(size).permutation(learned)
    return mixed, np.concatenate([outside[few : few + many], inside[size - few :][: count - many]])
