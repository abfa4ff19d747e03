"""Share served by the head alone, and with a tuned model, from the same own answers; true disagreement on others.

    python -m bench.decisions.tuned HOME [--runs 100] [--answers 500 650]

HOME is one of bench/tuning/distill.py, with its kept answers and what its tuned model said of each. A run draws which
answers certify among those that taught nothing; the others are tested. Both ladders are built as at a first try.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the server; before numpy is loaded

import numpy as np

from bench.decisions.outcomes import ALLOWED, HEADING, Outcome, row
from sizewise.decisions.certificate import is_taught
from sizewise.decisions.certification import SmallModel, build_ladder, calibration_error, with_model
from sizewise.decisions.head import Doubles, Flags, Floats, Integers
from sizewise.decisions.ladder import Ladder, rung_choices
from sizewise.routing.guarantees.bounds import QualityGuarantee
from tests.decisions.test_decision_store import opened

GUARANTEE = QualityGuarantee(1.0 - ALLOWED, 0.95)


@dataclass(frozen=True)
class Kept:
    """Answers of the large model, in the order in which they came, and what the tuned model says of the same inputs."""

    numbers: Integers
    digests: Sequence[str]
    vectors: Floats
    options: Integers
    option_count: int
    model: SmallModel

    def ladder(self, places: Integers, *, with_tuned: bool) -> Ladder | None:
        some = SmallModel(self.model.name, self.model.model, self.model.shares[places], self.model.seen[places])
        return build_ladder(
            self.numbers[places].tolist(),
            [self.digests[at] for at in places],
            self.vectors[places],
            self.options[places],
            self.option_count,
            GUARANTEE,
            0,
            some if with_tuned else None,
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("home", type=Path)
    options.add_argument("--runs", type=int, default=100)
    options.add_argument("--answers", type=int, nargs="*", default=[500, 650])
    chosen = options.parse_args()
    kept = asyncio.run(read(chosen.home))
    taught = np.array([is_taught(number) for number in kept.numbers.tolist()])
    print(f"{len(taught)} answers, {taught.sum()} of them teach")
    print(HEADING)
    for count in chosen.answers:
        for name, with_tuned in (("head alone", False), ("head and tuned", True)):
            runs = [outcome(kept, taught, seed, count, name, with_tuned=with_tuned) for seed in range(chosen.runs)]
            print(row(runs), flush=True)


async def read(home: Path) -> Kept:
    async with opened(home) as store:
        ((question, _, _),) = await store.list("local", None)
        found = store._learned(question)
    newest = next(each for each in reversed(found[-1][1].asked) if each.rung == "tuned")
    asked = [(row, learned) for row, learned in found if learned.said_by(newest.model) is not None]
    said = [each for _, learned in asked if (each := learned.said_by(newest.model)) is not None]
    shares: Doubles = np.stack([np.frombuffer(each.shares, "<f4") for each in said]).astype(np.float64)
    seen: Flags = np.array([each.is_seen for each in said])
    return Kept(
        numbers=np.array([row[0] for row, _ in asked]),
        digests=[learned.digest for _, learned in asked],
        vectors=np.stack([np.frombuffer(learned.vector, "<f4") for _, learned in asked]),
        options=np.array([row[2] for row, _ in asked]),
        option_count=question.options,
        model=SmallModel("tuned", newest.model, shares, seen),
    )


def outcome(kept: Kept, taught: Flags, seed: int, count: int, name: str, *, with_tuned: bool) -> Outcome:
    others = np.random.default_rng(seed).permutation(np.flatnonzero(~taught))
    few = count - int(taught.sum())
    learned, tested = np.sort(np.concatenate([np.flatnonzero(taught), others[:few]])), others[few:]
    ladder = kept.ladder(learned, with_tuned=with_tuned)
    if ladder is None or ladder.certificate.threshold is None:
        return Outcome(name, count, seed, 0.0, 0.0, 0.0)
    decided, truth = ladder.head.decide(kept.vectors[tested]), kept.options[tested]
    digests, least = [kept.digests[at] for at in tested], ladder.certificate.threshold
    rung = ladder.model_rung
    joined = None if rung is None else (rung, rung.join(decided, kept.model.shares[tested]))
    choices = with_model(rung_choices(ladder.head, ladder.exact, ladder.near_cosine, digests, decided), joined, least)
    served = np.array([trust >= least for _, _, trust in choices])
    right = np.array([option for _, option, _ in choices]) == truth
    shown, agrees = ladder.calibration(decided.trust), decided.option == truth
    if joined is not None:
        shown, agrees = ladder.model_calibration(joined[1].trust), joined[1].option == truth
    own = served & np.array([each in ("head", "tuned") for each, _, _ in choices])
    given = calibration_error(shown[own].tolist(), right[own].tolist()) if own.any() else None
    error = calibration_error(shown.tolist(), agrees.tolist())
    return Outcome(name, count, seed, float(served.mean()), float((served & ~right).mean()), error, given)


if __name__ == "__main__":
    main()
