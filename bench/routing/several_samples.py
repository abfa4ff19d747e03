"""Do several samples of the small model a prompt certify more, at the same number of labels? By recorded pairs.

`python -m bench.routing.several_samples FOLDER:SMALL:LARGE[:RATIO] ... [--draws N] [--labels N ...]`. As validity.py:
calibrations are drawn from the certifying prompts, whose whole is the truth. The recorded sets have one answer a
prompt, so how far answers to one prompt differ is assumed: a share of each small score is replaced by the mean of the
prompts that are served alike. What is served is one sample, so its mean is what is promised, and the mean of k samples
estimates it without bias. Beside it `exact`: the mean itself as the loss, which no number of samples can pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.routing.validity import SURE, Family, Flags, Floats, Losses, allowed, certified, cheapest
from sizewise.evals.calibration import CalibrationData, prepare_data
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.labeled_prompts import labeled_prompts

QUALITIES = (0.9, 0.95)
LABELS = (200, 500)
SHARES = (0.0, 0.15, 0.3)
SAMPLES = (1, 4, 16, 0)
"""Answers a prompt; 0: exact."""
NEIGHBORS = 50
LARGE_COST = 0.99


@dataclass(frozen=True)
class Levels:
    """A policy's levels on the population, (levels, n): where the small model is served, and what it cost."""

    small: Flags
    cost: Floats


@dataclass(frozen=True)
class Cell:
    """`within`: the share of the small scores' variance that lies within prompts. `saved`: 0..1."""

    quality: float
    labels: int
    within: float
    samples: int
    broken: int
    saved: float


def expected(scores: Floats, order: Floats, share: float) -> Floats:
    """The mean score of each prompt's answers, where `share` of the recorded one is due to chance. `order`: alike if
    near.
    """
    ranked = np.argsort(order, kind="stable")
    padded = np.pad(scores[ranked], NEIGHBORS // 2, mode="reflect")
    near = np.convolve(padded, np.ones(NEIGHBORS) / NEIGHBORS, "valid")[: len(scores)]
    found = np.empty_like(scores)
    found[ranked] = (1.0 - share) * scores[ranked] + share * near
    return found


def cells(ready: CalibrationData, draws: int, labels: tuple[int, ...], seed: int = 0) -> Iterator[Cell]:
    small, large = ready.scores[:, 0], ready.scores[:, -1]
    policies = []
    for its in ready.replays.values():
        cost = np.asarray([each.cost for each in its])
        policies.append(Levels(cost < LARGE_COST, cost))
    order = np.sum([each.small.sum(axis=0) for each in policies], axis=0)
    for share in SHARES:
        mean = expected(small, order, share)
        within = float((mean * (1.0 - mean)).mean() / max(1e-12, small.mean() * (1.0 - small.mean())))
        for quality in QUALITIES:
            errors = [(1.0 - SURE) * part for part in ready.error_shares(quality).values()]
            true = [(quality * large - np.where(each.small, mean, large)).mean(axis=1) for each in policies]
            saves = [1.0 - each.cost.mean(axis=1) for each in policies]
            for size in labels:
                for samples in SAMPLES if share else SAMPLES[:1]:
                    chance = np.random.default_rng([seed, size, round(1_000 * quality), round(1_000 * share)])
                    broken, saved = 0, 0.0
                    for _ in range(draws):
                        rows = chance.integers(0, len(large), size)
                        got = chance.binomial(samples, mean[rows]) / samples if samples else mean[rows]
                        evidence = [
                            Losses(
                                Family(
                                    np.where(each.small[:, rows], got, large[rows]),
                                    each.cost[:, rows],
                                    np.asarray(each.small.any(axis=1)),
                                ),
                                quality * large[rows],
                                np.arange(size),
                            )
                            for each in policies
                        ]
                        levels = [
                            certified("betting", each, quality, error)
                            for each, error in zip(evidence, errors, strict=True)
                        ]
                        chosen = cheapest(evidence, levels)
                        if chosen is not None:
                            broken += bool(true[chosen[0]][chosen[1]] > 1e-12)
                            saved += float(saves[chosen[0]][chosen[1]])
                    yield Cell(
                        quality=quality,
                        labels=size,
                        within=within,
                        samples=samples,
                        broken=broken,
                        saved=saved / draws,
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="FOLDER:SMALL:LARGE[:RATIO]")
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--labels", nargs="+", type=int, default=LABELS)
    asked = parser.parse_args()
    most = allowed(asked.draws, 1.0 - SURE)
    print(f"{asked.draws:,} draws a cell; at most {most} broken pass")
    print("| set | small model | within, % | quality | labels | samples | broken, % | saved, % |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for spec in asked.pairs:
        folder, small, large, *ratio = spec.split(":")
        labeled = labeled_prompts(read_dataset(Path(folder)), [small], large)
        ready = prepare_data(labeled, (small, large), [float(ratio[0]) if ratio else 0.1, 1.0])
        for each in cells(ready, asked.draws, tuple(asked.labels)):
            broken = f"{100 * each.broken / asked.draws:.1f}{'' if each.broken <= most else ' !'}"
            print(
                f"| {Path(folder).name} | {small} | {100 * each.within:.0f} | {each.quality:g} | {each.labels} |"
                f" {each.samples or 'exact'} | {broken} | {100 * each.saved:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
