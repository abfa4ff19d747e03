"""How often the gate passes what it must not, and finds what is worse: simulated pull requests, through `check_gate`.

    python -m bench.evals.gate_errors [--draws 1000] [--most-items N] [--least-items N] [--changed 0.11] [--json]

A pull request is a base and a head on the same items. An item is newly wrong, newly right or as before; half of a
cluster's items share their luck. The rule is `not_worse_by: 0.03`, sure in 95 %. A head that is worse by exactly
that may pass in 5 %. Ends with 1 if it passed in more, by the lower end of Wilson's interval.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from sizewise.evals.llm_judge import wilson_interval
from sizewise.evals.runs.eval_spec import EvalSpec, build_spec
from sizewise.evals.runs.gate import Verdict, check_gate
from sizewise.evals.runs.item_scorers import Score
from sizewise.evals.runs.run_file import EvalRun, ItemResult, RunHead

MARGIN = 0.03
ALLOWED = 0.05
BASE_RIGHT = 0.86
CHANGED = 0.11
"""Share of the items whose answer changes between right and wrong, unless said otherwise; `worse` at least."""
SHARED = 0.5
CELLS = ((50, 1), (50, 2), (100, 1), (100, 2), (100, 4), (400, 1), (400, 4), (400, 8), (1_600, 4), (1_600, 16))
"""Items, and items a cluster."""
TRUTHS = (0.0, MARGIN, 2 * MARGIN, 0.10)
"""Points by which the head is worse."""


@dataclass(frozen=True)
class Row:
    """Shares of the draws."""

    items: int
    in_cluster: int
    worse_by: float
    draws: int
    passed: float
    unclear: float
    failed: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--most-items", type=int, default=CELLS[-1][0], help="leave out larger evals")
    parser.add_argument("--least-items", type=int, default=0, help="leave out smaller evals")
    parser.add_argument("--changed", type=float, default=CHANGED, help="share of the items whose answer changes")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = list[Row]()
    if not asked.json:
        print(f"{asked.draws:,} draws a row\n")
        print("| items | a cluster | worse by | pass | unclear | fail |\n|---|---|---|---|---|---|")
    for row in measured(asked.draws, asked.least_items, asked.most_items, asked.changed):
        rows.append(row)
        if not asked.json:
            shares = " | ".join(f"{100 * each:.1f} %" for each in (row.passed, row.unclear, row.failed))
            print(f"| {row.items:,} | {row.in_cluster} | {100 * row.worse_by:.0f} points | {shares} |", flush=True)
    if asked.json:
        print(json.dumps([asdict(row) for row in rows]))
    sys.exit(any(broken(row) for row in rows))


def broken(row: Row) -> bool:
    low = wilson_interval(round(row.passed * row.draws), row.draws).low
    return row.worse_by >= MARGIN and low > ALLOWED


def measured(draws: int, least_items: int, most_items: int, changed: float) -> Iterator[Row]:
    spec = build_spec(
        {
            "target": "a/b",
            "data": "x.jsonl",
            "scorers": {"right": "exact"},
            "gate": [{"score": "right", "not_worse_by": MARGIN}],
        }
    )
    for items, in_cluster in CELLS:
        if not least_items <= items <= most_items:
            continue
        for worse in TRUTHS:
            lot = random.Random(f"{items} {in_cluster} {worse}")
            met = Counter(verdict(spec, lot, items, in_cluster, worse, changed) for _ in range(draws))
            shares = (met[each] / draws for each in ("pass", "unclear", "fail"))
            yield Row(items, in_cluster, worse, draws, *shares)


def verdict(spec: EvalSpec, lot: random.Random, items: int, in_cluster: int, worse: float, changed: float) -> Verdict:
    before, after = list[float](), list[float]()
    changed = max(changed, worse)
    newly_wrong, newly_right = (changed + worse) / 2, (changed - worse) / 2
    for _ in range(items // in_cluster):
        shared = lot.random()
        for _ in range(in_cluster):
            luck = shared if lot.random() < SHARED else lot.random()
            if luck < newly_wrong:
                was, now = 1.0, 0.0
            elif luck > 1 - newly_right:
                was, now = 0.0, 1.0
            else:
                was = now = float(lot.random() < BASE_RIGHT)
            before.append(was)
            after.append(now)
    base, head = (run(spec, values, in_cluster, name) for values, name in ((before, "base"), (after, "head")))
    return check_gate(spec, head, base, data="data").verdict


def run(spec: EvalSpec, values: list[float], in_cluster: int, name: str) -> EvalRun:
    head = RunHead(
        eval="x",
        target=name,
        started="2026-11-28T00:00:00Z",
        data="data",
        scoring=spec.scoring_digest,
        scorers={"right": "exact"},
        repeat=1,
        planned=len(values),
    )
    results = tuple(
        ItemResult(
            item=str(place),
            digest=str(place),
            repeat=0,
            cluster=str(place // in_cluster),
            scores={"right": Score(value)},
        )
        for place, value in enumerate(values)
    )
    return EvalRun(head, results, name)


if __name__ == "__main__":
    main()
