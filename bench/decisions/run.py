"""Share served by certified ladders, true disagreement over seeded runs, calibration, and time of a head.

    python -m bench.decisions.run FOLDER --model MODEL.onnx --cache DIR [--runs 1000]

FOLDER has banking77/ and clinc150/. The data sets' labels stand for the large model's answers. MODEL.onnx is the file
of `sizewise models pull minilm-l6-v2`; the vectors are made once and kept in DIR. A run draws a stream of own answers
without repetition, builds the ladder as the server does at its last look, and compares it with the labels of all other
texts. `shifted`: the ladder learned with 2 % of inputs out of scope, and 10 % come; `near`: they are other intents.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.decisions.data import OUT_OF_SCOPE, Intents, banking, clinc
from sizewise.decisions.certificate import LOOKS
from sizewise.decisions.certification import build_ladder, calibration_error
from sizewise.decisions.head import Integers
from sizewise.decisions.ladder import Ladder, rung_choices
from sizewise.routing.guarantees.bounds import QualityGuarantee

GUARANTEE = QualityGuarantee(0.95, 0.95)
MOST_TESTED = 4_000
Draw = Callable[[np.random.Generator], Intents]


@dataclass(frozen=True)
class Outcome:
    share: float
    disagreement: float
    calibration: float
    certified: bool
    served_calibration: float | None = None  # of the head's answers that were given


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--runs", type=int, default=1_000)
    options.add_argument("--sizes", type=int, nargs="*", default=[250, 500, 1_000, 3_000])
    options.add_argument("--only", default="")
    chosen = options.parse_args()
    bank = banking(chosen.folder, chosen.cache, chosen.model)
    scope = clinc(chosen.folder, chosen.cache, chosen.model)
    print("set                       answers  runs  served   (min)  disagree  broken    ECE  given")
    for name, draw, shift, size in _cells(bank, scope, chosen.sizes):
        if chosen.only in name:
            _show(name, size, [_outcome(seed, draw, size, shift) for seed in range(chosen.runs)])
    _time(bank)


def _cells(bank: Intents, scope: Intents, sizes: list[int]) -> Iterator[tuple[str, Draw, float | None, int]]:
    inside = [name for name in scope.names if name != OUT_OF_SCOPE]
    all_inside = scope.only(inside)
    for size in sizes:
        if size <= 1_000:
            yield "banking, 12 of 77", lambda draw: bank.only(_twelve(bank, draw)), None, size
            yield "banking, 12 and near", lambda draw: bank.others_out(_twelve(bank, draw)), 0.02, size
            yield "banking, near shifted", lambda draw: bank.others_out(_twelve(bank, draw)), 0.1, size
            yield "clinc, 15 of 150", lambda draw: all_inside.only(draw.choice(inside, 15, False).tolist()), None, size
        yield "banking, 77", lambda _: bank, None, size
        yield "clinc, 150 and none", lambda _: scope, 0.02, size
        yield "clinc, shifted to 10 %", lambda _: scope, 0.1, size


def _twelve(bank: Intents, draw: np.random.Generator) -> list[str]:
    return [str(name) for name in draw.choice(bank.names, 12, False)]


def _outcome(seed: int, draw_set: Draw, size: int, shift: float | None) -> Outcome:
    """`shift`: the share of tested inputs that are out of scope; the stream has 2 %. None: as they come."""
    draw = np.random.default_rng(seed)
    intents = draw_set(draw)
    order = draw.permutation(len(intents.labels))
    if shift is None:
        learned, tested = order[:size], order[size:][:MOST_TESTED]
    else:
        learned, tested = _mixed(intents, order, size, shift)
    look = max(at for at, least in enumerate(LOOKS) if least <= size)
    numbers = range(len(learned))
    digests = [intents.texts[at].lower() for at in learned]
    found = build_ladder(
        numbers, digests, intents.vectors[learned], intents.labels[learned], len(intents.names), GUARANTEE, look
    )
    return Outcome(0.0, 0.0, 0.0, False) if found is None else _tested(found, intents, tested)


def _mixed(intents: Intents, order: Integers, size: int, shift: float) -> tuple[Integers, Integers]:
    is_out = intents.labels[order] == intents.names.index(OUT_OF_SCOPE)
    outside, inside = order[is_out], order[~is_out]
    few = round(size * 0.02)
    learned = np.concatenate([outside[:few], inside[: size - few]])
    left = (len(outside) - few) / shift, (len(inside) - size + few) / (1.0 - shift)
    count = min(MOST_TESTED, *map(int, left))
    many = round(count * shift)
    mixed = np.random.default_rng(size).permutation(learned)
    return mixed, np.concatenate([outside[few : few + many], inside[size - few :][: count - many]])


def _tested(ladder: Ladder, intents: Intents, tested: Integers) -> Outcome:
    truth = intents.labels[tested]
    decided = ladder.head.decide(intents.vectors[tested])
    right = (decided.option == truth).tolist()
    shown = ladder.calibration(decided.trust)
    error = calibration_error(shown.tolist(), right)
    least = ladder.certificate.threshold
    if least is None:
        return Outcome(0.0, 0.0, error, False)
    digests = [intents.texts[at].lower() for at in tested]
    choices = rung_choices(ladder.head, ladder.exact, ladder.near_cosine, digests, decided)
    served = np.array([trust >= least for _, _, trust in choices])
    differs = np.array([option for _, option, _ in choices]) != truth
    by_head = served & np.array([rung == "head" for rung, _, _ in choices])
    of_served = calibration_error(shown[by_head].tolist(), np.array(right)[by_head].tolist()) if by_head.any() else None
    return Outcome(float(served.mean()), float((served & differs).mean()), error, True, of_served)


def _show(name: str, size: int, runs: list[Outcome]) -> None:
    share = [run.share for run in runs]
    broken = sum(run.disagreement > 1 - GUARANTEE.quality for run in runs) / len(runs)
    given = [run.served_calibration for run in runs if run.served_calibration is not None]
    differs, error = np.mean([run.disagreement for run in runs]), np.mean([run.calibration for run in runs])
    print(
        f"{name:<25} {size:>7,} {len(runs):>5,} {np.mean(share):>7.3f} {min(share):>7.3f} {differs:>9.4f}"
        f" {broken:>7.3f} {error:>6.3f} {np.mean(given) if given else float('nan'):>6.3f}",
        flush=True,
    )


def _time(bank: Intents) -> None:
    """Of one text, with the ladder of 3,000 answers and 77 options."""
    places = np.random.default_rng(0).permutation(len(bank.labels))[:3_000]
    digests = [bank.texts[at] for at in places]
    ladder = build_ladder(range(3_000), digests, bank.vectors[places], bank.labels[places], 77, GUARANTEE, 4)
    assert ladder is not None
    vector = bank.vectors[0].tolist()
    for rung, digest in (("exact", next(iter(ladder.exact))), ("near copy or head", "new")):
        took = []
        for _ in range(2_000):
            began = time.perf_counter()
            ladder.answer(digest, vector)
            took.append(time.perf_counter() - began)
        print(f"{rung}: {np.median(took) * 1e3:.3f} ms (median), beside the vector")


if __name__ == "__main__":
    main()
