"""What `auto` gives and loses before any calibration, on recorded answers, by the code that serves; asks no model.

    make bench-cold-start                                     # the recorded cold-start questions, both local models
    make bench-cold-start DATA=FOLDER ARGS="--small A --large B"      # any folder of outcomes

The loss is against the better model alone; its bound is the upper end of a one-sided 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from bench.routing.cold_start.record import LARGE, RECORDED, SMALL
from sizewise.catalog.loader import bundled_models, local_card
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.replay import replay, replay_cases
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.quality.shipped_prior import SHIPPED_PRIOR
from sizewise.settings.load import load_settings

DRAWS, SEED = 10_000, 0


@dataclass(frozen=True, slots=True)
class Way:
    """One way of choosing: the score of each prompt, 0..1, the share that the small model answered, mean seconds."""

    name: str
    scores: Sequence[float]
    kept: float
    seconds: float


def main() -> None:
    args = arguments().parse_args()
    dataset = read_dataset(args.data)
    print(table(*compare(dataset, args.small, args.large)))
    if args.data == RECORDED:
        print("\nThe larger one as the small one of a pair, before a model that is always right:\n")
        print(table(*compare(with_oracle(dataset), args.large, "always right")))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=RECORDED, help="folder of outcomes")
    parser.add_argument("--small", default=SMALL)
    parser.add_argument("--large", default=LARGE)
    return parser


def compare(dataset: OutcomeDataset, small: str, large: str) -> tuple[list[Way], float]:
    """The ways, the better model second, and the upper bound of what auto loses against it."""
    cards = [_card(small, 1), _card(large, 2)]
    cases = replay_cases(dataset, cards)
    policy = CascadePolicy(prior=SHIPPED_PRIOR)
    rows = [case.row for case in cases]
    low, high = dataset.column(small), dataset.column(large)
    found = [replay(policy, [case], dataset, cards) for case in cases]
    kept = [each.answer_shares.get(cards[0].name, 0.0) for each in found]
    small_scores, large_scores = [low.score[row] for row in rows], [high.score[row] for row in rows]
    auto = [each.quality for each in found]
    seconds = [
        (0.0 if each.calls_per_prompt == 1 and not mine else _seconds(low.seconds[row]))
        + (0.0 if mine else _seconds(high.seconds[row]))
        for row, each, mine in zip(rows, found, kept, strict=True)
    ]
    share = sum(kept) / len(kept)
    ways = [
        Way(small, small_scores, 1.0, _mean([_seconds(low.seconds[row]) for row in rows])),
        Way(large, large_scores, 0.0, _mean([_seconds(high.seconds[row]) for row in rows])),
        Way("auto", auto, share, _mean(seconds)),
    ]
    chance = [share * one + (1 - share) * other for one, other in zip(small_scores, large_scores, strict=True)]
    ways.append(Way("random, as often", chance, share, share * ways[0].seconds + (1 - share) * ways[1].seconds))
    best = [max(one, other) for one, other in zip(small_scores, large_scores, strict=True)]
    ideal = [one >= other for one, other in zip(small_scores, large_scores, strict=True)]
    ways.append(Way("oracle", best, sum(ideal) / len(ideal), float("nan")))
    losses = [other - mine for other, mine in zip(large_scores, auto, strict=True)]
    return ways, bound(losses)


def bound(losses: Sequence[float]) -> float:
    """The upper end of a one-sided 95 % interval of the mean."""
    if not any(losses):
        return 0.0
    dice = random.Random(SEED)
    means = sorted(_mean(dice.choices(losses, k=len(losses))) for _ in range(DRAWS))
    return means[int(0.95 * DRAWS)]


def table(ways: list[Way], loss_bound: float) -> str:
    count, better = len(ways[0].scores), ways[1]
    lines = ["| way | right | kept small | loses, points | seconds |", "|---|---|---|---|---|"]
    for way in ways:
        loss = 100 * (_mean(better.scores) - _mean(way.scores))
        seconds = "-" if isnan(way.seconds) else f"{way.seconds:.2f}"
        lines.append(f"| {way.name} | {_mean(way.scores):.1%} | {way.kept:.0%} | {loss:+.1f} | {seconds} |")
    lines.append("")
    stated = f"{100 * SHIPPED_PRIOR.max_loss:g} are stated"
    lines.append(f"{count} prompts. auto loses at most {100 * loss_bound:.1f} points (95 %); {stated}.")
    return "\n".join(lines)


def with_oracle(dataset: OutcomeDataset) -> OutcomeDataset:
    """With a model that is always right and takes no time."""
    column = dataset.column(LARGE)
    perfect = type(column)(**{name: list(getattr(column, name)) for name in column.__struct_fields__})
    perfect.score[:] = [each if isnan(each) else 1.0 for each in perfect.score]
    perfect.seconds[:] = [0.0] * len(perfect.seconds)
    return OutcomeDataset(
        dataset.ids, dataset.prompts, dataset.categories, {**dataset.columns, "always right": perfect}, dataset.digest
    )


def _card(name: str, place: int) -> ModelCard:
    """The card of a local model; of any other name one of unknown size, the second stronger than the first."""
    if name.removeprefix("local/") in bundled_models():
        return local_card(name, load_settings())
    return ModelCard(name, ModelEndpoint("recorded"), name, quality=place / 2, logprobs=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _seconds(value: float) -> float:
    return 0.0 if isnan(value) else value


if __name__ == "__main__":
    main()
