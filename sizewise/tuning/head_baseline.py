"""A head on text vectors as the baseline of a tuning, and what it says of examples that contradict the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sizewise.decisions.head import fit_head
from sizewise.tuning.examples import Example

FOLDS = 5
MIN_PER_ANSWER = 10
"""Examples, on average, below which a head knows too little to suspect one."""
SUSPECT_PROBABILITY = 0.9
"""Of another answer, by a head that has not seen the example."""

Vectors = Sequence[Sequence[float]]


def head_answers(train: Vectors, examples: Sequence[Example], test: Vectors, answers: Sequence[str]) -> list[str]:
    head = fit_head(_unit(train), _options(examples, answers), len(answers))
    return [answers[at] for at in head.decide(_unit(test)).option]


def suspect_examples(vectors: Vectors, examples: Sequence[Example], answers: Sequence[str]) -> list[int]:
    """Places of the examples whose input reads like those of another answer: mislabeled or planted."""
    if len(examples) < MIN_PER_ANSWER * len(answers):
        return []
    rows, options = _unit(vectors), _options(examples, answers)
    found = list[int]()
    for fold in range(FOLDS):
        held = np.arange(len(examples)) % FOLDS == fold
        head = fit_head(rows[~held], options[~held], len(answers))
        said = head.decide(rows[held])
        sure = said.probabilities.max(1) >= SUSPECT_PROBABILITY
        found.extend(np.flatnonzero(held)[sure & (said.option != options[held])].tolist())
    return sorted(found)


def _options(examples: Sequence[Example], answers: Sequence[str]) -> NDArray[np.int64]:
    place = {answer: at for at, answer in enumerate(answers)}
    return np.array([place[each.answer] for each in examples], np.int64)


def _unit(vectors: Vectors) -> NDArray[np.float32]:
    """Rows of length 1."""
    rows = np.array(vectors, np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)
