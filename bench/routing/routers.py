"""The orders that are compared: ours and the usual ones, each prompt ranked by what has not seen it; no figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.routing.data import Task
from bench.routing.measure import Ranking
from sizewise.evals.cross_fitting import cross_fitted_log_odds
from sizewise.routing.text.prompt_features import fold_text
from sizewise.routing.training.combiner import train_combiner
from sizewise.routing.training.trainer import FOLDS, TfidfVectorizer, fit_log_odds, quality_gain, transfer_log_odds

Floats = NDArray[np.float64]
NEAR = 40  # neighbours

Router = Callable[[Task, int], Ranking]


@dataclass(frozen=True)
class Order:
    """`asks_first`: it pays for the small models' answers always. `answers_agree`: it is nothing without a second
    one."""

    rank: Router
    asks_first: bool = False
    agrees: bool = False


def chance(task: Task, seed: int) -> Ranking:
    return Ranking(np.random.default_rng(seed + 1).random(len(task.prompts)), task.small)


def length(task: Task, seed: int) -> Ranking:
    return Ranking(np.asarray([float(len(prompt)) for prompt in task.prompts]), task.small)


def oracle(task: Task, seed: int) -> Ranking:
    return Ranking(task.large - task.small, task.small)


def folds(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(count) % FOLDS


def limited(rest: NDArray[np.int64], labels: int | None, seed: int) -> NDArray[np.int64]:
    """As many labels as may be used, by lot."""
    if labels is None or labels >= len(rest):
        return rest
    return np.sort(np.random.default_rng(seed + 2).choice(rest, labels, replace=False))


def words(labels: int | None = None) -> Router:
    """Ours from the prompt alone: words, pairs and shape."""

    def rank(task: Task, seed: int) -> Ranking:
        texts, apart = [fold_text(prompt) for prompt in task.prompts], folds(len(task.prompts), seed)
        worth = np.zeros(len(texts))
        for held in range(FOLDS):
            rest, some = limited(np.flatnonzero(apart != held), labels, seed), np.flatnonzero(apart == held)
            seen = TfidfVectorizer([texts[each] for each in rest])
            rows = seen.transform([texts[each] for each in some])
            worth[some] = quality_gain(fit_log_odds(seen, rows, task.answered.scores[rest][:, [0, -1]]))
        return Ranking(worth, task.small)

    return rank


def neighbours(task: Task, seed: int) -> Ranking:
    """The mean gain of the nearest prompts by the cosine of their words."""
    texts, apart = [fold_text(prompt) for prompt in task.prompts], folds(len(task.prompts), seed)
    gains, worth = task.large - task.small, np.zeros(len(texts))
    for held in range(FOLDS):
        rest, some = np.flatnonzero(apart != held), np.flatnonzero(apart == held)
        seen = TfidfVectorizer([texts[each] for each in rest])
        base = seen.matrix.dense()
        for place, row in zip(some, seen.transform([texts[each] for each in some]).sparse(), strict=True):
            near = base[:, row[0]] @ row[1] if len(row[0]) else np.zeros(len(rest))
            best = np.argpartition(-near, min(NEAR, len(rest)) - 1)[:NEAR]
            worth[place] = gains[rest[best]].mean()
    return Ranking(worth, task.small)


def agreement(task: Task, seed: int) -> Ranking:
    """No label: up where the second small model says something else."""
    worth = np.asarray([0.0 if task.answered.answers_agree(each) is True else 1.0 for each in range(len(task.prompts))])
    return Ranking(worth, task.small)


def cascade(labels: int | None = None) -> Router:
    """Ours after the small answers: the prompt's odds, agreement, confidence and length, combined; of two small answers
    the one that is foreseen to be better is served.
    """

    def rank(task: Task, seed: int) -> Ranking:
        texts, apart = [fold_text(prompt) for prompt in task.prompts], folds(len(task.prompts), seed)
        asked, worth, served = task.answered, np.zeros(len(texts)), np.zeros(len(texts))
        for held in range(FOLDS):
            rest, some = limited(np.flatnonzero(apart != held), labels, seed), np.flatnonzero(apart == held)
            found, count = cross_fitted_log_odds(asked, texts, rest, seed + 3), len(asked.columns)
            known = [asked.answer_signals(int(i), its, count) for i, its in zip(rest, found, strict=True)]
            learnt = train_combiner(known, asked.scores[rest])
            found = transfer_log_odds(texts, asked.scores, rest, some)
            for i, its in zip(some, found, strict=True):
                worth[i], best = learnt.escalation_gain(asked.answer_signals(int(i), its, count))
                served[i] = asked.scores[i, best]
        return Ranking(worth, served)

    return rank


ORDERS: Mapping[str, Order] = {
    "random": Order(chance),
    "length": Order(length),
    "kNN on words": Order(neighbours),
    "ours, prompt, 50 labels": Order(words(50)),
    "ours, prompt, 1,500 labels": Order(words(1_500)),
    "ours, prompt, 4/5 of all labels": Order(words()),
    "agreement, no label": Order(agreement, asks_first=True, agrees=True),
    "ours, cascade, 50 labels": Order(cascade(50), asks_first=True),
    "ours, cascade, 500 labels": Order(cascade(500), asks_first=True),
    "ours, cascade, 4/5 of all labels": Order(cascade(), asks_first=True),
    "oracle": Order(oracle),
}
