"""How often the interval of a corrected judge holds the truth: real answers with labels, and a judge that is a model.

    python -m bench.evals.judge_coverage [--draws 1000] [--data FOLDER]

FOLDER holds recorded answers of several models to MMLU-Pro with their scores (`outcomes.parquet`; needs pyarrow). The
label is the score of a small model's answer. The judge is a larger model: it accepts an answer that is its own. So it
errs on hard questions, and more often on some subjects. A draw is 1,000 answers, of which 100, 200 or 400 have their
label; the truth is the small model's rate over all questions. Ends with 1 where less than 93 % hold it.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from sizewise.evals.dataset_files import read_rows
from sizewise.evals.outcomes import RecordedOutcome
from sizewise.evals.runs.judge_correction import JudgedValue, corrected_mean
from sizewise.evals.runs.paired_statistics import ItemValue, mean_interval

PAIRS = (
    ("Meta-Llama-3_1-8B-Instruct", "Meta-Llama-3_1-70B-Instruct"),
    ("gemma-7b", "Meta-Llama-3_1-8B-Instruct"),
    ("gemini-1.5-flash-002", "gemini-1.5-pro-002"),
)
"""Who answers, and who judges."""
LABELS = (100, 200, 400)
ITEMS = 1_000
ERROR = 0.025
BAR = 0.93


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    answers = dict[str, dict[str, tuple[object, float]]]()
    for _, row in read_rows(asked.data / "outcomes.parquet", RecordedOutcome):
        if row.answer is not None and row.score is not None:
            answers.setdefault(row.model, {})[str(row.prompt_id)] = str(row.answer), row.score
    print(f"{asked.draws:,} draws a row\n")
    print("| who answers | who judges | truth | judge says | labels | holds it | half width | judge's own interval |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    worst = 1.0
    for target, judge in PAIRS:
        pairs = [
            (float(answer == answers[judge][id][0]), score)
            for id, (answer, score) in answers[target].items()
            if id in answers[judge]
        ]
        for labels in LABELS:
            held, half, naive = measured(pairs, labels, asked.draws)
            worst = min(worst, held)
            truth, said = (sum(column) / len(pairs) for column in zip(*((y, f) for f, y in pairs), strict=True))
            shares = f"{truth:.1%} | {said:.1%} | {labels} | {held:.1%} | {100 * half:.1f} points | {naive:.1%}"
            print(f"| {target} | {judge} | {shares} |", flush=True)
    sys.exit(worst < BAR)


def measured(pairs: Sequence[tuple[float, float]], labels: int, draws: int) -> tuple[float, float, float]:
    """Share of the draws that hold the truth, mean half width, and the share by the judge's own interval."""
    truth, chance = sum(label for _, label in pairs) / len(pairs), random.Random(labels)
    held, naive, width = 0, 0, 0.0
    for _ in range(draws):
        drawn = chance.choices(pairs, k=ITEMS)
        values = [
            JudgedValue(str(place), verdict, label if place < labels else None)
            for place, (verdict, label) in enumerate(drawn)
        ]
        found = corrected_mean(values, ERROR)
        own = mean_interval([ItemValue(each.cluster, each.judged) for each in values], ERROR)
        held += found.low <= truth <= found.high
        naive += own.low <= truth <= own.high
        width += (found.high - found.low) / 2
    return held / draws, width / draws, naive / draws


if __name__ == "__main__":
    main()
