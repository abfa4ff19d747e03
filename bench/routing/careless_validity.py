"""Does a promise hold on recorded sets if the evidence is careless? Copies, groups, missing answers, orders; no model.

`python -m bench.routing.careless_validity FOLDER:SMALL:LARGE[:SECOND] ... [--draws N] [--kinds KIND ...]`.
As bench/routing/validity.py: calibrations are drawn from the certifying prompts, whose whole is the truth. Each kind of
evidence is judged as it is certified, and beside it by each row, as it was before rows were grouped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from bench.routing.data import Task, task
from bench.routing.prompt_perturbations import reworded
from bench.routing.validity import (
    QUALITIES,
    SAMPLES,
    SURE,
    Family,
    Flags,
    Floats,
    Losses,
    Places,
    allowed,
    certified,
    cheapest,
    replayed,
)
from sizewise.evals.calibration import CalibrationData, prepare_data
from sizewise.evals.missing_answers import MAX_MISSING_SHARE
from sizewise.evals.prompt_groups import group_prompts

FORMS = 4  # of a question that was asked often
GROUP = 5  # questions of a session
ORDERS = 10  # that a careless user tries
ORDERS_SHARE = 5  # of the draws, one in so many: each takes ORDERS times as long


@dataclass(frozen=True)
class Population:
    """The certifying prompts. `copies`: of each, how many of its forms are not found to be copies, by their number;
    `sessions`: rows by session, alike in their scores. `answered`: by kind of missing answers, rows that lack none.
    """

    families: list[Family]
    large: Floats
    copies: Places
    sessions: Places
    answered: Mapping[str, Places]


Sample = tuple[Places, Places | None]
"""Rows in their order, and where each group of them begins."""
Draw = Callable[[Population, np.random.Generator, int], list[Sample]]
"""Samples of so many rows; of several the one that saves most is kept."""


def copied(its: Population, chance: np.random.Generator, size: int, *, found: bool) -> list[Sample]:
    """Half of the questions come in FORMS forms, more often those that the large model is right on."""
    drawn = chance.integers(0, len(its.large), size)
    often = chance.random(size) < np.where(its.large[drawn] > 0.5, 0.6, 0.3)
    forms = np.where(often, FORMS, 1)
    rows = drawn[: int(np.searchsorted(np.cumsum(forms), size)) + 1]
    times = np.where(often[: len(rows)], its.copies[rows] if found else FORMS, 1)
    return [(np.repeat(rows, times), None)]


def grouped(its: Population, chance: np.random.Generator, size: int, *, found: bool) -> list[Sample]:
    rows = its.sessions[chance.integers(0, len(its.sessions), size // GROUP)].ravel()
    return [(rows, np.arange(0, len(rows), GROUP) if found else None)]


def counted_as_wrong(its: Population, chance: np.random.Generator, size: int) -> list[Sample]:
    """Missing answers of the small model, which it would have had wrong: each has its true score of 0."""
    return [(chance.integers(0, len(its.large), size), None)]


def left_out(its: Population, chance: np.random.Generator, size: int, *, missing: str) -> list[Sample]:
    rows = its.answered[missing]
    return [(rows[chance.integers(0, len(rows), size)], None)]


def reordered(its: Population, chance: np.random.Generator, size: int) -> list[Sample]:
    drawn = chance.integers(0, len(its.large), size)
    return [(chance.permutation(drawn), None) for _ in range(ORDERS)]


KINDS: Mapping[str, Draw] = {
    "copies, found": partial(copied, found=True),
    "copies, each row": partial(copied, found=False),
    "sessions, declared": partial(grouped, found=True),
    "sessions, each row": partial(grouped, found=False),
    "missing, counted as wrong": counted_as_wrong,
    "missing, left out": partial(left_out, missing="small, wrong"),
    "missing of the large model, wrong": partial(left_out, missing="large, wrong"),
    "missing of the large model, right": partial(left_out, missing="large, right"),
    f"best of {ORDERS} orders": reordered,
}


@dataclass(frozen=True)
class Cell:
    """`broken` of `draws` calibrations; `saved`: mean share of the cost, 0..1."""

    quality: float
    sample: int
    draws: int
    broken: int
    saved: float


def cells(ready: CalibrationData, its: Population, kind: Draw, draws: int, seed: int = 0) -> Iterator[Cell]:
    for quality in QUALITIES:
        errors = [(1.0 - SURE) * share for share in ready.error_shares(quality).values()]
        true = [(quality * its.large - each.got).mean(axis=1) for each in its.families]
        saves = [1.0 - each.cost.mean(axis=1) for each in its.families]
        for size in SAMPLES:
            chance = np.random.default_rng([seed, size, round(1_000 * quality)])
            broken, saved = 0, 0.0
            for _ in range(draws):
                best, found = 0.0, None
                for rows, starts in kind(its, chance, size):
                    evidence = [Losses(each, quality * its.large[rows], rows, starts) for each in its.families]
                    levels = [
                        certified("betting", each, quality, error) for each, error in zip(evidence, errors, strict=True)
                    ]
                    chosen = cheapest(evidence, levels)
                    if chosen is not None and saves[chosen[0]][chosen[1]] > best:
                        best, found = float(saves[chosen[0]][chosen[1]]), chosen
                if found is not None:
                    broken += bool(true[found[0]][found[1]] > 1e-12)
                    saved += best
            yield Cell(quality, size, draws, broken, saved / draws)


def population(asked: Task, ready: CalibrationData, seed: int = 0) -> Population:
    families, scores = replayed(ready), ready.scores
    chance, count = np.random.default_rng(seed), len(scores)
    hand = Random(seed)
    prompts = [asked.evidence.prompts[int(row)] for row in chance.integers(0, len(asked.evidence.prompts), count)]
    forms = [[prompt, *(reworded(prompt, hand) for _ in range(FORMS - 1))] for prompt in prompts]
    numbers = np.asarray(group_prompts([each for its in forms for each in its])).reshape(count, FORMS)
    copies = np.asarray([len(set(row)) for row in numbers.tolist()], np.int64)
    alike = np.argsort(scores[:, 0] - scores[:, -1] + 0.1 * chance.random(count), kind="stable")
    whole = alike[: count - count % GROUP].reshape(-1, GROUP)
    small, large = scores[:, 0] > 0.5, scores[:, -1] > 0.5
    lost = {"small, wrong": ~small, "large, wrong": ~large, "large, right": large & ~small}
    return Population(
        families, scores[:, -1], copies, whole, {name: without(rows, chance) for name, rows in lost.items()}
    )


def without(lost: Flags, chance: np.random.Generator) -> Places:
    """All rows but MAX_MISSING_SHARE of them, by lot from `lost`."""
    rows = np.flatnonzero(lost)
    few = min(len(rows), int(MAX_MISSING_SHARE * len(lost)))
    return np.setdiff1d(np.arange(len(lost)), chance.choice(rows, few, replace=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="FOLDER:SMALL:LARGE[:SECOND]")
    parser.add_argument("--ratio", type=float, default=0.1, help="price of a small answer, the large one's is 1")
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    asked = parser.parse_args()
    print("| set, small model | evidence | cells broken too often | broken at most, % | saved at .95 with 1,000, % |")
    print("|---|---|---|---|---|")
    for spec in asked.pairs:
        folder, small, large, *second = spec.split(":")
        mine = task(Path(folder), small, large, second[0] if second else None, asked.ratio)
        ready = prepare_data(mine.evidence, mine.names, [mine.ratio] * (len(mine.names) - 1) + [1.0])
        its = population(mine, ready)
        print(f"{spec}: {len(its.large):,}, {its.copies.mean():.3f} groups of {FORMS} forms", file=sys.stderr)
        for name, kind in ((each, KINDS[each]) for each in asked.kinds):
            draws = max(1, asked.draws // ORDERS_SHARE) if kind is reordered else asked.draws
            few = allowed(draws, 1.0 - SURE)
            found = list(cells(ready, its, kind, draws))
            bad = sum(cell.broken > few for cell in found)
            worst = max(cell.broken for cell in found) / draws
            (saved,) = (cell.saved for cell in found if (cell.quality, cell.sample) == (0.95, 1_000))
            row = f"{bad} of {len(found)} | {100 * worst:.1f} | {100 * saved:.0f}"
            print(f"| {mine.name}, {small} | {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
