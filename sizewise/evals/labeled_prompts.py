"""Labeled prompts: the recorded prompts that every model of a comparison answered, with their scores. Needs numpy.

Each prompt has its group: prompts in one group are one piece of evidence (prompt_groups.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import ModelOutcomes, OutcomeDataset, recorded_signals
from sizewise.evals.prompt_groups import group_prompts
from sizewise.routing.quality.answer_signals import CascadeSignals, recorded_agreement
from sizewise.routing.text.prompt_features import fold_text
from sizewise.routing.training.trainer import MIN_LABELS, Floats


@dataclass(frozen=True)
class LabeledPrompts:
    """Prompts that every model answered. `scores`: 0..1, (n, models), the small models in the order of their calls,
    then the large one. `columns`: of the small models. `rows`: the prompts' rows in them. `groups`: empty if each
    prompt is a group of its own. `repeats`: rows of the dataset with this prompt, of each. `agreements`: of the first
    two small answers to each, if they have been compared.
    """

    prompts: Sequence[str]
    scores: Floats
    columns: tuple[ModelOutcomes, ...]
    rows: Sequence[int]
    groups: Sequence[int] = field(default=())
    repeats: Sequence[int] = field(default=())
    agreements: Sequence[bool | None] = field(default=())

    @property
    def small_answers(self) -> list[tuple[str | None, ...]]:
        """The first two small answers to each prompt."""
        return [tuple(its.answer[row] for its in self.columns[:2]) for row in self.rows]

    @property
    def folded_texts(self) -> list[str]:
        return [fold_text(prompt) for prompt in self.prompts]

    @property
    def split_texts(self) -> list[str]:
        """Folded texts that are all different: a repeated one has its number behind it."""
        seen, texts = Counter[str](), list[str]()
        for text in self.folded_texts:
            texts.append(f"{text}\0{seen[text]}" if seen[text] else text)
            seen[text] += 1
        return texts

    @property
    def row_count(self) -> int:
        return sum(self.repeats) if self.repeats else len(self.rows)

    @property
    def group_of(self) -> Sequence[int]:
        """The group of each prompt."""
        return self.groups or range(len(self.prompts))

    @property
    def small_scores(self) -> Floats:
        """Of the first small model."""
        first: Floats = self.scores[:, 0]
        return first

    @property
    def large_scores(self) -> Floats:
        last: Floats = self.scores[:, -1]
        return last

    def answer_signals(self, index: int, log_odds: Floats, answer_count: int) -> CascadeSignals:
        """Signals of a prompt after `answer_count` small answers. `log_odds`: of all models, from the prompt alone."""
        row, asking = self.rows[index], self.columns[:answer_count]
        said = tuple(
            replace(recorded_signals(its, row), prior_log_odds=float(log_odds[place]))
            for place, its in enumerate(asking)
        )
        return CascadeSignals(said, float(log_odds[-1]), self.answers_agree(index) if len(asking) > 1 else None)

    def answers_agree(self, index: int) -> bool | None:
        if self.agreements:
            return self.agreements[index]
        return recorded_agreement(tuple(its.answer[self.rows[index]] for its in self.columns[:2]))


def labeled_prompts(
    dataset: OutcomeDataset,
    small_models: Sequence[str],
    large_model: str,
    *,
    grouped: bool = False,
) -> LabeledPrompts:
    """`grouped`: drops repeated prompts, and finds the groups of the others; otherwise each row is a group.

    Raises BadRequest if a model is unknown or named twice, or if too few prompts have a score of every model.
    """
    names = [*small_models, large_model]
    if len(set(names)) < len(names):
        raise BadRequest(f"the same model is given twice: {', '.join(names)}", "use different models")
    rows = dataset.scored_rows(*names)
    every = len(rows)
    groups, repeats = list[int](), list[int]()
    if grouped:
        folded = {row: fold_text(dataset.prompts[row]) for row in rows}
        times = Counter(folded.values())
        rows = sorted({text: row for row, text in reversed(folded.items())}.values())
        repeats = [times[folded[row]] for row in rows]
        declared = [dataset.declared_groups.get(row, ()) for row in rows]
        groups = group_prompts([dataset.prompts[row] for row in rows], declared)
    count = len(set(groups)) if grouped else len(rows)
    if count < 2 * MIN_LABELS:
        said = ", ".join(map(repr, small_models))
        copies = f" ({every} rows; copies and declared groups count once)" if every > count else ""
        hint = f"label {2 * MIN_LABELS - count} more prompts: some train, the others certify"
        both = f"{said} and {large_model!r}{copies}"
        raise BadRequest(f"only {count} different prompts have answers of all of {both}", hint)
    columns = tuple(dataset.column(name) for name in names)
    good = np.asarray([[its.score[row] for its in columns] for row in rows])
    return LabeledPrompts(
        prompts=[dataset.prompts[row] for row in rows],
        scores=good,
        columns=columns[:-1],
        rows=rows,
        groups=groups,
        repeats=repeats,
    )
