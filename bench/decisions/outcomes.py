"""Outcomes of seeded runs: a line of a file for each, so that a bench goes on where it was stopped; and their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from sizewise.decisions.label_shift import binomial_tail

ALLOWED = 0.05


class Outcome(msgspec.Struct, frozen=True):
    """Shares of all tested inputs, 0..1."""

    cell: str
    size: int
    seed: int
    share: float  # answered below the large model
    disagreement: float  # answered, and otherwise than the label
    calibration: float  # expected calibration error of the head's trust in all inputs
    served_calibration: float | None = None  # ... of the head's answers that were given
    seconds: float = 0.0  # to learn and certify


class Outcomes:
    """Of one version of the code. `file`: None keeps none."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._done = dict[tuple[str, int, int], Outcome]()
        if file is not None and file.exists():
            for line in file.read_bytes().splitlines():
                self._add(msgspec.json.decode(line, type=Outcome))

    def _add(self, outcome: Outcome) -> None:
        self._done[outcome.cell, outcome.size, outcome.seed] = outcome

    def missing(self, cell: str, size: int, runs: int) -> Iterator[int]:
        """Seeds that were not run yet."""
        return (seed for seed in range(runs) if (cell, size, seed) not in self._done)

    def of(self, cell: str, size: int, runs: int) -> list[Outcome]:
        return [self._done[cell, size, seed] for seed in range(runs) if (cell, size, seed) in self._done]

    def keep(self, outcome: Outcome) -> None:
        self._add(outcome)
        if self._file is not None:
            with self._file.open("ab") as lines:
                lines.write(msgspec.json.encode(outcome) + b"\n")


HEADING = (
    "set                       answers  runs  served   (min)  disagree  broken  (95 % interval)    ECE  given  seconds"
)


def row(runs: Sequence[Outcome]) -> str:
    """`broken`: the share of runs in which more disagreed than was certified, with its exact binomial interval."""
    share = [run.share for run in runs]
    broken = sum(run.disagreement > ALLOWED for run in runs)
    low, high = exact_interval(broken, len(runs))
    given = [run.served_calibration for run in runs if run.served_calibration is not None]
    differs, error = np.mean([run.disagreement for run in runs]), np.mean([run.calibration for run in runs])
    return (
        f"{runs[0].cell:<25} {runs[0].size:>7,} {len(runs):>5,} {np.mean(share):>7.3f} {min(share):>7.3f}"
        f" {differs:>9.4f} {broken / len(runs):>7.4f}  ({low:.4f} to {high:.4f}) {error:>6.3f}"
        f" {np.mean(given) if given else float('nan'):>6.3f} {np.median([run.seconds for run in runs]):>8.2f}"
    )


def exact_interval(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's."""
    tail = (1.0 - confidence) / 2
    low = _first(lambda chance: 1.0 - binomial_tail(hits - 1, count, chance) >= tail) if hits else 0.0
    high = _first(lambda chance: binomial_tail(hits, count, chance) <= tail) if hits < count else 1.0
    return low, high


def _first(holds: Callable[[float], bool]) -> float:
    """The smallest chance from which on it holds, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
