"""How many of the labels should train, and how many certify: what is certified on samples of a recorded pair, by share.

`python -m bench.routing.training_share FOLDER:SMALL:LARGE ... [--labels 200 500 1000] [--draws N]`. Each draw is a
sample of the folder's prompts; saved is what the certified policy saves of the cost of the large model alone, 0 where
nothing is certified.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from sizewise.evals.calibration import calibrate
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.routing.guarantees.bounds import QualityGuarantee

SHARES = (0.5, 0.25)
LABELS = (200, 500, 1_000)
QUALITY, PRICE_RATIO = 0.95, 0.1


def sample(dataset: OutcomeDataset, models: tuple[str, str], count: int, seed: int) -> OutcomeDataset:
    """Some of the prompts that both models answered."""
    rows = dataset.scored_rows(*models)
    drawn = np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False).tolist()
    columns = {}
    for name in models:
        its = dataset.column(name)
        columns[name] = replace(
            its, **{field: [getattr(its, field)[row] for row in drawn] for field in its.__struct_fields__}
        )
    return replace(
        dataset,
        ids=tuple(map(str, drawn)),
        prompts=tuple(dataset.prompts[row] for row in drawn),
        categories=tuple(dataset.categories[row] for row in drawn),
        columns=columns,
        declared_groups={},
    )


def saved(dataset: OutcomeDataset, models: tuple[str, str], share: float) -> float:
    found = calibrate(
        dataset,
        models[:1],
        models[1],
        QualityGuarantee(QUALITY),
        costs=(PRICE_RATIO, 1.0),
        training_share=share,
        missing_is_wrong=True,
    )
    return 0.0 if found.best is None else found.best.savings


def row(dataset: OutcomeDataset, models: tuple[str, str], labels: int, draws: int) -> Mapping[float, list[float]]:
    samples = [sample(dataset, models, labels, seed) for seed in range(draws)]
    return {share: [saved(each, models, share) for each in samples] for share in SHARES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="FOLDER:SMALL:LARGE")
    parser.add_argument("--labels", nargs="+", type=int, default=LABELS)
    parser.add_argument("--draws", type=int, default=20)
    asked = parser.parse_args()
    print(f"| small model | labels | {' | '.join(f'{share:g} train: saved, %' for share in SHARES)} | difference |")
    print("|---|---|" + "---|" * (len(SHARES) + 1))
    for spec in asked.pairs:
        folder, small, large = spec.split(":", 2)
        dataset = read_dataset(Path(folder))
        for labels in asked.labels:
            found = row(dataset, (small, large), labels, asked.draws)
            gain = 100 * (np.asarray(found[SHARES[1]]) - np.asarray(found[SHARES[0]]))
            means = " | ".join(f"{100 * float(np.mean(each)):.1f}" for each in found.values())
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else float("nan")
            print(f"| {small} | {labels:,} | {means} | {gain.mean():+.1f} +- {1.96 * error:.1f} |", flush=True)


if __name__ == "__main__":
    main()
