"""shad0wllm 0.4.0 and this ladder on the same streams and seeds: share served, disagreement, time to learn and answer.

    python -m bench.decisions.beside_shad0w FOLDER --model MODEL.onnx --cache DIR [--runs 3] [--results FILE]

The first run makes an environment in DIR from PyPI; nothing of it is a dependency of this project. Its certificate is
another one: of the answers that it serves at most 5 % differ, with a probability of 90 %, its default. Here both are
measured by the same yardstick: the share of all inputs that is answered, and that is answered otherwise than the label.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # both in one thread; before numpy is loaded

import numpy as np

from bench.decisions.cells import Cell, cells
from bench.decisions.data import banking, clinc
from bench.decisions.outcomes import ALLOWED, HEADING, Outcome, Outcomes, row
from bench.decisions.run import outcome
from sizewise.decisions.certification import calibration_error

PACKAGE, MISTAKE = "shad0wllm[compile]==0.4.0", 0.1
LEARNER = Path(__file__).parent / "peers" / "shad0w_learner.py"
SETS = ("banking, 12 of 77", "clinc, 15 of 150", "banking, 77", "clinc, shifted")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--sizes", type=int, nargs="*", default=[250, 500, 1_000, 3_000])
    options.add_argument("--only", nargs="*", default=SETS, help="parts of the names of sets")
    options.add_argument("--results", type=Path, help="a line for each run of shad0wllm: a stopped bench goes on")
    chosen = options.parse_args()
    bank = banking(chosen.folder, chosen.cache, chosen.model)
    scope = clinc(chosen.folder, chosen.cache, chosen.model)
    python = environment(chosen.cache / "shad0w")
    theirs = Outcomes(chosen.results)
    print(" " * 9, HEADING)
    for cell in cells(bank, scope, chosen.sizes):
        if not any(part in cell.name for part in chosen.only):
            continue
        for seed in theirs.missing(cell.name, cell.size, chosen.runs):
            theirs.keep(of_shad0w(python, cell, seed))
        print("shad0w   ", row(theirs.of(cell.name, cell.size, chosen.runs)), flush=True)
        print("sizewise ", row([outcome(cell, seed) for seed in range(chosen.runs)]), flush=True)


def environment(folder: Path) -> Path:
    """The Python that has it."""
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        ready.touch()
    return python


def of_shad0w(python: Path, cell: Cell, seed: int) -> Outcome:
    stream = cell.stream(seed)
    intents = stream.intents

    def pairs(places: Iterable[int]) -> list[list[str]]:
        return [[intents.texts[at], intents.names[intents.labels[at]]] for at in places]

    tested, promise = pairs(stream.tested), {"alpha": ALLOWED, "delta": MISTAKE}
    asked = {"options": intents.names, "learned": pairs(stream.learned), "tested": tested, **promise}
    done = subprocess.run(
        [str(python), str(LEARNER)], input=json.dumps(asked).encode(), capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"shad0wllm failed on {cell.name}, {cell.size}, seed {seed}: {done.stderr.decode()[-2_000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    told = f"{found['student']} table, {found['seconds']:.0f} s on the clock, {found['microseconds']:.0f} us an answer"
    print(f"  {cell.name}, {cell.size}, seed {seed}: {told}", file=sys.stderr, flush=True)
    right = [answer[0] == name for answer, (_, name) in zip(found["answers"], tested, strict=True)]
    served = np.array([answer[1] for answer in found["answers"]])
    trust = np.array([answer[2] for answer in found["answers"]])
    is_right = np.array(right)
    of_served = calibration_error(trust[served].tolist(), is_right[served].tolist()) if served.any() else None
    return Outcome(
        cell=cell.name,
        size=cell.size,
        seed=seed,
        share=float(served.mean()),
        disagreement=float((served & ~is_right).mean()),
        calibration=calibration_error(trust.tolist(), right),
        served_calibration=of_served,
        seconds=found["processor_seconds"],
    )


if __name__ == "__main__":
    main()
