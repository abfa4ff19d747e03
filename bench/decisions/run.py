"""Share served by certified ladders, true disagreement over seeded runs, calibration, and time of a head.

    python -m bench.decisions.run FOLDER --model MODEL.onnx --cache DIR [--runs 1000] [--results FILE]

FOLDER has banking77/ and clinc150/. The data sets' labels stand for the large model's answers. MODEL.onnx is the file
of `sizewise models pull minilm-l6-v2`; the vectors are made once and kept in DIR. A run draws a stream of own answers
without repetition, builds the ladder as the server does at its last look, and compares it with the labels of all other
texts. `shifted`: the ladder learned with 2 % of inputs out of scope, and 10 % come; `near`: they are other intents.
With --results a stopped bench goes on; use a new file for changed code.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the server; before numpy is loaded

import numpy as np

from bench.decisions.cells import Cell, Stream, cells
from bench.decisions.data import Intents, banking, clinc
from bench.decisions.outcomes import ALLOWED, HEADING, Outcome, Outcomes, row
from sizewise.decisions.certificate import LOOKS
from sizewise.decisions.certification import build_ladder, calibration_error
from sizewise.decisions.ladder import Ladder, rung_choices
from sizewise.routing.guarantees.bounds import QualityGuarantee

GUARANTEE = QualityGuarantee(1.0 - ALLOWED, 0.95)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--runs", type=int, default=1_000)
    options.add_argument("--sizes", type=int, nargs="*", default=[250, 500, 1_000, 3_000])
    options.add_argument("--only", nargs="*", default=[""], help="parts of the names of sets")
    options.add_argument("--results", type=Path, help="a line for each run")
    chosen = options.parse_args()
    bank = banking(chosen.folder, chosen.cache, chosen.model)
    scope = clinc(chosen.folder, chosen.cache, chosen.model)
    outcomes = Outcomes(chosen.results)
    print(HEADING)
    for cell in cells(bank, scope, chosen.sizes):
        if not any(part in cell.name for part in chosen.only):
            continue
        for seed in outcomes.missing(cell.name, cell.size, chosen.runs):
            outcomes.keep(outcome(cell, seed))
        print(row(outcomes.of(cell.name, cell.size, chosen.runs)), flush=True)
    _time(bank)


def outcome(cell: Cell, seed: int) -> Outcome:
    stream = cell.stream(seed)
    began = time.process_time()
    ladder = ladder_of(stream)
    took = time.process_time() - began
    if ladder is None:
        return Outcome(cell.name, cell.size, seed, 0.0, 0.0, 0.0, None, took)
    return Outcome(cell.name, cell.size, seed, *_tested(ladder, stream), took)


def ladder_of(stream: Stream) -> Ladder | None:
    intents, learned = stream.intents, stream.learned
    look = max(at for at, least in enumerate(LOOKS) if least <= len(learned))
    digests = [intents.texts[at].lower() for at in learned]
    answers = intents.vectors[learned], intents.labels[learned]
    return build_ladder(range(len(learned)), digests, *answers, len(intents.names), GUARANTEE, look)


def _tested(ladder: Ladder, stream: Stream) -> tuple[float, float, float, float | None]:
    """Share served, disagreement, and both calibration errors."""
    intents, tested = stream.intents, stream.tested
    truth = intents.labels[tested]
    decided = ladder.head.decide(intents.vectors[tested])
    right = (decided.option == truth).tolist()
    shown = ladder.calibration(decided.trust)
    error = calibration_error(shown.tolist(), right)
    least = ladder.certificate.threshold
    if least is None:
        return 0.0, 0.0, error, None
    digests = [intents.texts[at].lower() for at in tested]
    choices = rung_choices(ladder.head, ladder.exact, ladder.near_cosine, digests, decided)
    served = np.array([trust >= least for _, _, trust in choices])
    differs = np.array([option for _, option, _ in choices]) != truth
    by_head = served & np.array([rung == "head" for rung, _, _ in choices])
    of_served = calibration_error(shown[by_head].tolist(), np.array(right)[by_head].tolist()) if by_head.any() else None
    return float(served.mean()), float((served & differs).mean()), error, of_served


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
