"""People's labels on answers of runs: which answers to label, blind, and the file of labels; judges nothing.

An answer is named by a hash, so that who labels it does not see which run gave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.runs.comparison import ItemScores
from sizewise.evals.runs.eval_items import HINT, EvalItem
from sizewise.evals.runs.eval_spec import EvalSpec
from sizewise.evals.runs.judge_correction import JudgedValue
from sizewise.evals.runs.run_file import EvalRun, ItemResult

Labels = Mapping[str, Mapping[str, float]]
"""0..1 by score and `answer_ref`."""


class LabelRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of the file. `label`: a word of the judge's scale; null: not labeled yet."""

    ref: str
    score: str
    input: str | list[dict[str, Any]]
    answer: str
    expected: Any = None
    criteria: str = ""
    label: str | None = None


def answer_ref(run: EvalRun, result: ItemResult) -> str:
    """16 hex digits, of the run and the answer."""
    head = run.head
    parts = [head.eval, head.target, head.started, head.scoring, result.digest, result.repeat, result.output]
    return sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def draw_answers(
    runs: Sequence[EvalRun], items: Sequence[EvalItem], score: str, count: int, seed: int
) -> list[LabelRow]:
    """`count` items at random, the first answer of each run to each, in random order."""
    known = {each.digest: each for each in items}
    firsts = [{each.digest: each for each in run.answered.values() if each.repeat == 0} for run in runs]
    shared = sorted(set.intersection(*(set(each) for each in firsts)) & set(known))
    chance = Random(seed)
    chosen = chance.sample(shared, min(count, len(shared)))
    rows = [
        LabelRow(
            ref=answer_ref(run, its[digest]),
            score=score,
            input=known[digest].input,
            answer=its[digest].output,
            expected=known[digest].expected,
            criteria=known[digest].criteria,
        )
        for digest in chosen
        for run, its in zip(runs, firsts, strict=True)
    ]
    chance.shuffle(rows)
    return rows


def read_labels(file: Path, spec: EvalSpec) -> Labels:
    """Rows without a label are left out. Raises BadRequest, with file and line."""
    if not file.is_file():
        raise BadRequest(f"there is no file {str(file)!r}", "sizewise eval label writes one")
    found = dict[str, dict[str, float]]()
    for number, row in read_rows(file, LabelRow, HINT):
        where, scorer = f"{str(file)!r}, line {number}", spec.scorers.get(row.score)
        if scorer is None or scorer.kind != "judge":
            raise BadRequest(f"{where}: the eval has no judge {row.score!r}", "label answers of this eval")
        if row.label is None:
            continue
        words = [each.casefold() for each in scorer.scale]
        if row.label.casefold() not in words:
            raise BadRequest(f"{where}: the label is {row.label!r}", f"use {', '.join(words)}")
        found.setdefault(row.score, {})[row.ref] = words.index(row.label.casefold()) / (len(words) - 1)
    return found


def labeled_values(scores: ItemScores, name: str, labels: Mapping[str, float]) -> list[JudgedValue]:
    """By item: the judge's mean over the repeats, and that of the labels."""
    found = list[JudgedValue]()
    for digest, value in scores.values(name).items():
        known = [labels[ref] for each in scores.results[digest] if (ref := answer_ref(scores.run, each)) in labels]
        found.append(JudgedValue(value.cluster, value.value, fmean(known) if known else None, value.weight))
    return found


def labeled_differences(
    base: ItemScores, head: ItemScores, name: str, labels: Mapping[str, float]
) -> list[JudgedValue]:
    """Head minus base, of items that both have; with a label where both are labeled."""
    one, other = (
        dict(zip(each.values(name), labeled_values(each, name, labels), strict=True)) for each in (base, head)
    )
    found = list[JudgedValue]()
    for digest, its in other.items():
        if digest not in one:
            continue
        before = one[digest]
        label = None if its.label is None or before.label is None else its.label - before.label
        found.append(JudgedValue(its.cluster, its.judged - before.judged, label, its.weight))
    return found


def count_labels(values: Sequence[JudgedValue]) -> int:
    return sum(each.label is not None for each in values)
