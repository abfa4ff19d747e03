"""What 0, 25 and 50 labels are worth after the small answers, alone and drawn to a prior of other sets; asks no model.

`python -m bench.routing.few_labels FOLDER:SMALL:LARGE[:SECOND[:RATIO]] ... [--draws N]`. APGR as in measure.py, mean of
several draws of labels. *Own*: the combiner that ships, learned from these labels alone. *Prior*: the same
regression, its weights drawn to those of the other folders (their signals of answers, no words), as strongly as makes
the own labels most likely. With 0 labels: the prior alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.routing.data import Task, task
from bench.routing.measure import Floats, Ranking, order
from bench.routing.routers import agreement, length
from sizewise.errors import SizewiseError
from sizewise.routing.quality.answer_signals import feature_vector
from sizewise.routing.training.answer_prior import PRECISIONS, label_evidence, map_weights

LABELS = (25, 50)
TAUGHT = 1_000  # rows of each other set, so that none outweighs the others


@dataclass(frozen=True)
class Signals:
    """Of one task: standardized features of the held answers, (n, features), and the scores, (n, models)."""

    task: Task
    rows: Floats
    scores: Floats


def signals(asked: Task) -> Signals:
    count = len(asked.answered.columns)
    zero = np.zeros(count + 1)
    rows = np.asarray(
        [feature_vector(asked.answered.answer_signals(at, zero, count)) for at in range(len(asked.prompts))]
    )
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    return Signals(asked, (rows - mean) / np.where(spread > 1e-9, spread, 1.0), asked.answered.scores)


def apgr(its: Ranking, small: Floats, large: Floats) -> float:
    ranked = order(its.worth)
    base, worst, best = float(its.served.mean()), float(small.mean()), float(large.mean())
    quality = base + np.concatenate([[0.0], np.cumsum((large - its.served)[ranked]) / len(ranked)])
    height = (quality - worst) / (best - worst)
    return float((height[1:] + height[:-1]).mean() / 2)


def ranking(weights: Sequence[Floats], its: Signals) -> Ranking:
    chances = [1.0 / (1.0 + np.exp(-np.clip(each[0] + its.rows @ each[1:], -30.0, 30.0))) for each in weights]
    given = np.asarray(chances[:-1])
    best = given.argmax(axis=0)
    every = np.arange(len(its.rows))
    return Ranking(chances[-1] - given[best, every], its.scores[every, best])


def center(others: Sequence[Signals], width: int, seed: int) -> list[Floats]:
    """Weights for each model that answers, of all others with as many small answers."""
    dice = np.random.default_rng(seed)
    parts = [(each, dice.choice(len(each.rows), min(TAUGHT, len(each.rows)), replace=False)) for each in others]
    rows = np.concatenate([each.rows[some] for each, some in parts])
    scores = np.concatenate([each.scores[some] for each, some in parts])
    zero = np.zeros(1 + width)
    return [map_weights(rows, scores[:, model], zero, 0.3) for model in range(scores.shape[1])]


def pulled(rows: Floats, scores: Floats, at: Floats) -> Floats:
    best = max(PRECISIONS, key=lambda each: label_evidence(rows, scores, at, each))
    return map_weights(rows, scores, at, best)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="FOLDER:SMALL:LARGE[:SECOND[:RATIO]]")
    parser.add_argument("--draws", type=int, default=20)
    asked = parser.parse_args()
    known = list[Signals]()
    for spec in asked.pairs:
        folder, small, large, *rest = spec.split(":")
        try:
            found = task(Path(folder), small, large, (rest[0] or None) if rest else None, 0.1)
        except SizewiseError as why:
            print(f"{spec}: {why.message}", file=sys.stderr)
            return why.exit_code
        known.append(signals(found))
    heads = [f"{kind}, {count}" for count in LABELS for kind in ("own", "prior")]
    print(f"| pair | second | length | agreement | prior, 0 | {' | '.join(heads)} |")
    print("|---|---|" + "---|" * (3 + len(heads)), flush=True)
    for its in known:
        mine, width = its.task, its.rows.shape[1]
        others = [each for each in known if each.task.name != mine.name and each.rows.shape[1] == width]
        both = mine.small, mine.large
        cells = [apgr(length(mine, 0), *both), apgr(agreement(mine, 0), *both) if mine.second_name else float("nan")]
        at = center(others, width, 0) if others else []
        cells.append(apgr(ranking(at, its), *both) if at else float("nan"))
        for count in LABELS:
            own, drawn = list[float](), list[float]()
            for draw in range(asked.draws):
                rows = np.random.default_rng([draw, count]).choice(len(its.rows), count, replace=False)
                taught = its.rows[rows], its.scores[rows]
                zero = np.zeros(1 + width)
                own.append(apgr(ranking([map_weights(taught[0], y, zero, 1 / 0.3) for y in taught[1].T], its), *both))
                if at:
                    weights = [pulled(taught[0], y, w) for y, w in zip(taught[1].T, at, strict=True)]
                    drawn.append(apgr(ranking(weights, its), *both))
            cells += [float(np.mean(own)), float(np.mean(drawn)) if drawn else float("nan")]
        shown = " | ".join("-" if np.isnan(each) else f"{each:.3f}" for each in cells)
        print(f"| {mine.name} {mine.small_name} | {mine.second_name or '-'} | {shown} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
