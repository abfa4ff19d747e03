"""What is certified of what could be saved: by the bound, by a t-test that is not valid, by one who knows the truth.

`python -m bench.routing.certified_share FOLDER:SMALL:LARGE[:SECOND[:RATIO]] ... [--pairs N] [--draws N]`. As
validity.py at quality .95: calibrations drawn from the certifying prompts, whose whole is the truth. *Before*: half of
the prompts train; *now*: the share that ships.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.routing.data import task
from bench.routing.validity import Row, rows
from sizewise.evals.calibration import preparation_steps
from sizewise.evals.evidence_split import TRAINING_SHARE
from sizewise.jobs.cpu_batches import run_here

QUALITY, PAIRS = 0.95, 500
METHODS = ("betting", "student")
SHARES = (0.5, TRAINING_SHARE)


def measured(spec: str, pairs: int, draws: int) -> tuple[str, list[dict[str, Row]]]:
    """The name of the pair, and by share of training prompts each method's row."""
    folder, small, large, *rest = spec.split(":")
    asked = task(Path(folder), small, large, (rest[0] or None) if rest else None, float(rest[1]) if rest[1:] else 0.1)
    costs = [asked.ratio] * (len(asked.names) - 1) + [1.0]
    found = []
    for share in SHARES:
        ready = run_here(preparation_steps(asked.evidence, asked.names, costs, training_share=share))
        made = rows(ready, 0, draws, METHODS, qualities=(QUALITY,), samples=(pairs,))
        found.append({row.method: row for row in made})
    return f"{asked.name} {small}", found


def cells(by: dict[str, Row]) -> str:
    """Broken; saved by the bound, the t-test and the best; and the first as a share of the others. In %."""
    bound, test = by["betting"], by["student"]
    mark = "" if bound.passes else "*"
    shares = [f"{100 * bound.saved / most:.0f}" if most else "-" for most in (test.saved, bound.best)]
    saved = f"{100 * bound.saved:.1f}, {100 * test.saved:.1f}, {100 * bound.best:.0f}"
    return f"{100 * bound.broken / bound.draws:.1f}{mark} | {saved} | {shares[0]} | {shares[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="+", metavar="FOLDER:SMALL:LARGE[:SECOND[:RATIO]]")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--draws", type=int, default=1_000)
    asked = parser.parse_args()
    part = "broken | saved: bound, t-test, best | of the t-test | of the best"
    print(f"| pair | before: {part} | now: {part} |")
    print("|---|" + "---|" * 8, flush=True)
    for spec in asked.specs:
        name, found = measured(spec, asked.pairs, asked.draws)
        print(f"| {name} | {' | '.join(map(cells, found))} |", flush=True)


if __name__ == "__main__":
    main()
