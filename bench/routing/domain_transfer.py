"""What a router learnt on one set is worth on another, without a label there: all ordered pairs; draws no plot.

`python -m bench.routing.domain_transfer FOLDER[:SMALL:LARGE] ...`. Deterministic: the same folders and seed give the
same table. Prompts whose question the router has learnt from are left out of what it is judged on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from bench.routing.data import Floats, Task, pair, task
from sizewise.errors import SizewiseError
from sizewise.routing.quality.predictor import ApgrScore, Predictor
from sizewise.routing.text.prompt_features import fold_text, strip_harness_text, tokenize
from sizewise.routing.training.trainer import apgr_score, recovery_area, train_predictor

LOTS = 20
"""Draws of the order in which the prompts come that the router says nothing of."""
FLOOR = 0.49
"""Random, less .01: no router may be worth less on prompts from elsewhere."""
_OPTIONS = re.compile(r"\n\s*\(?a[.):] ")


@dataclass(frozen=True)
class Judged:
    """`covered`: APGR on the prompts that it says something of; `silent`: share of the others, 0..1; `whole`: APGR on
    all, with these by lot.
    """

    prompts: int
    covered: ApgrScore | None
    silent: float
    whole: float


def named(spec: str) -> Task:
    """`FOLDER:SMALL:LARGE`, or a folder alone: its worst and its best. Raises BadRequest for what is not there."""
    folder, *models = spec.split(":", 2)
    small, large = models if len(models) == 2 else pair(Path(folder))
    return task(Path(folder), small, large, None, 0.1)


def stem(prompt: str) -> str:
    """The question, folded, without its options: sets that share questions number and shuffle these otherwise."""
    return " ".join(tokenize(_OPTIONS.split(fold_text(prompt), maxsplit=1)[0]))


def taught(mine: Task, seed: int) -> Predictor:
    scores = {mine.small_name: mine.small.tolist(), mine.large_name: mine.large.tolist()}
    return train_predictor(mine.prompts, scores, small_model=mine.small_name, large_model=mine.large_name, seed=seed)


def judged(predictor: Predictor, other: Task, seen: frozenset[str], seed: int) -> Judged | None:
    """None where fewer than 40 of the prompts are new to it: nothing can be told from chance there."""
    new = np.asarray([stem(prompt) not in seen for prompt in other.prompts])
    if new.sum() < 40:
        return None
    learnt = predictor.provenance
    found = [predictor(strip_harness_text(prompt)) for prompt, its in zip(other.prompts, new, strict=True) if its]
    gain = np.asarray(
        [np.nan if each is None else each[learnt.large_model] - each[learnt.small_model] for each in found],
    )
    small, large, told = other.small[new], other.large[new], ~np.isnan(gain)
    alone = apgr_score(gain[told], small[told], large[told], seed) if told.sum() >= 40 else None
    return Judged(len(gain), alone, float(1.0 - told.mean()), whole(gain, small, large, seed))


def whole(gain: Floats, small: Floats, large: Floats, seed: int) -> float:
    """APGR where the prompts without a gain (nan) stand between the others by lot; the mean of 20 draws."""
    told, chance = ~np.isnan(gain), np.random.default_rng(seed)
    areas = list[float]()
    height = np.zeros(len(gain))
    height[told] = (np.argsort(np.argsort(gain[told], kind="stable"), kind="stable") + 0.5) / max(1, int(told.sum()))
    for _ in range(LOTS):
        height[~told] = chance.random(int(len(gain) - told.sum()))
        ranked = np.argsort(-height, kind="stable")
        areas.append(recovery_area((large - small)[ranked], np.ones(len(gain))))
    return float(np.mean(areas))


def page(tasks: Sequence[Task], seed: int) -> list[str]:
    """The table, with `*` where the whole is below the floor."""
    lines = [
        "| learnt on | judged on | prompts | APGR where it tells | silent, % | APGR of all |",
        "|---|---|---|---|---|---|",
    ]
    made = [taught(each, seed) for each in tasks]
    stems = [frozenset(map(stem, each.prompts)) for each in tasks]
    for one, other in permutations(range(len(tasks)), 2):
        found = judged(made[one], tasks[other], stems[one], seed)
        if found is None:
            continue
        told = (
            "-"
            if found.covered is None
            else f"{found.covered.apgr:.3f} ({found.covered.low:.3f}-{found.covered.high:.3f})"
        )
        ends = f"{100 * found.silent:.0f} | {found.whole:.3f}{'*' if found.whole < FLOOR else ''}"
        lines.append(f"| {_title(tasks[one])} | {_title(tasks[other])} | {found.prompts:,} | {told} | {ends} |")
    return lines


def _title(its: Task) -> str:
    return f"{its.name}, {its.small_name.rsplit('/', 1)[-1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tasks",
        nargs="+",
        metavar="FOLDER[:SMALL:LARGE]",
        help="default: its worst and its best model",
    )
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    try:
        print("\n".join(page([named(each) for each in asked.tasks], asked.seed)))
    except SizewiseError as why:
        print(f"{why.message}; {why.hint}", file=sys.stderr)
        return why.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
