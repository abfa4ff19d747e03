"""Trains the quality predictor P(good | prompt, model) from recorded outcomes, on one core. Needs numpy.

One logistic regression per model, on the prompt's words and word pairs (TF-IDF) and its surface features. The predictor
is evaluated by cross-validation on its own data; if it is not significantly better than random, it abstains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import log

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from sizewise.errors import BadRequest
from sizewise.routing.quality.predictor import (
    ApgrScore,
    FeatureScale,
    ModelHead,
    Predictor,
    PredictorProvenance,
)
from sizewise.routing.quality.prompt_sketch import sketch_prompts
from sizewise.routing.text.prompt_features import (
    SURFACE_FEATURES,
    collapse_doubled,
    fold_text,
    guess_language,
    ngrams,
    surface_features,
    tokenize,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_LABELS = 40  # labels required for training
FOLDS = 5
MAX_VOCABULARY = 30_000  # maximum number of words and pairs, the most frequent
MIN_DOCUMENT_COUNT = 2  # prompts in which a word must occur
REGULARIZATION = 0.5  # inverse of the penalty on weights
SURFACE_WEIGHT = 0.15  # scale of the surface features relative to the words
MIN_LANGUAGE_PROMPTS = 20  # prompts in a language for it to count as known
UNUSUAL_QUANTILE = 0.02  # share of the prompts below the learned minimum of known words
RESAMPLES = 400


def train_predictor(
    prompts: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    *,
    small_model: str,
    large_model: str,
    seed: int = 0,
    date: str = "",
    dataset_digest: str = "",
    version: str = "",
    allow_no_gap: bool = False,
    groups: Sequence[int] = (),
    cross_validated_gain: Floats | None = None,
) -> Predictor:
    """`scores`: model -> quality of its answer to each prompt, 0..1, with `small_model` and `large_model` among them.
    `groups`: of each prompt, such as of near copies; empty if each is one by itself. `cross_validated_gain`: by
    `transfer_log_odds` on each of the `cross_validation_splits`, if they were computed elsewhere.

    Deterministic. `date` and `dataset_digest` are stored in the provenance. `allow_no_gap`: train even if the large
    model is no better. Raises BadRequest for fewer than 40 labels, and without `allow_no_gap` if there is no gap.
    """
    texts = [fold_text(prompt) for prompt in prompts]
    good = {name: np.asarray(values, float) for name, values in scores.items()}
    if len(texts) < MIN_LABELS:
        hint = f"label {MIN_LABELS - len(texts)} more; with fewer the result is not significant"
        raise BadRequest(f"{len(texts)} labels are too few to train on", hint)
    if groups and len(set(groups)) < MIN_LABELS:
        hint = f"label {MIN_LABELS - len(set(groups))} other prompts: copies and declared groups count once"
        raise BadRequest(f"{len(texts)} labels of {len(set(groups))} different prompts are too few to train on", hint)
    if not allow_no_gap and not (good[large_model] - good[small_model]).sum() > 0:
        raise BadRequest(
            f"{large_model!r} is no better than {small_model!r} on these prompts",
            f"use {small_model!r} alone, or train on prompts that need the large model",
        )
    length = np.asarray([log(1 + len(text)) for text in texts])
    gain = cross_validated_gain
    if gain is None:
        gain, pair = np.zeros(len(texts)), np.stack([good[small_model], good[large_model]], axis=1)
        for rest, some in cross_validation_splits(groups or range(len(texts)), seed):
            gain[some] = quality_gain(transfer_log_odds(texts, pair, rest, some))
    ours = apgr_score(gain, good[small_model], good[large_model], seed)
    alone = apgr_score(length, good[small_model], good[large_model], seed)
    seen = TfidfVectorizer(texts)
    learnt = PredictorProvenance(
        dataset_digest=dataset_digest,
        seed=seed,
        date=date,
        label_count=len(texts),
        small_model=small_model,
        large_model=large_model,
        apgr=ours,
        length_baseline=alone,
        version=version,
        prompt_sketch=sketch_prompts(prompts),
    )
    made = Predictor(
        vocabulary={gram: place for place, gram in enumerate(seen.vocabulary)},
        idf=seen.idf.tolist(),
        scale=FeatureScale(tuple(seen.mean.tolist()), tuple(seen.scale.tolist())),
        heads={name: _to_head(fit_head(seen.matrix, values), seen) for name, values in good.items()},
        languages=_tongues(texts),
        min_known_share=seen.min_known_share(),
        provenance=learnt,
    )
    return replace(made, abstention=_abstention(made))


def _abstention(predictor: Predictor) -> str:
    ours = predictor.provenance.apgr
    if ours.low > 0.5:
        return ""
    measured = f"APGR {ours.apgr:.2f}, from {ours.low:.2f}"
    return f"on its own {predictor.provenance.label_count} labels it was not surely better than chance ({measured})"


def fit_log_odds(vectorizer: TfidfVectorizer, matrix: FeatureMatrix, scores: Floats) -> Floats:
    """Log-odds of a good answer by each model, (n, models), for `matrix`. Trains on the vectorizer's texts."""
    heads = [fit_head(vectorizer.matrix, np.ascontiguousarray(column)) for column in scores.T]
    return np.stack([matrix.log_odds(head) for head in heads], axis=1)


def transfer_log_odds(texts: Sequence[str], scores: Floats, training_rows: Ints, rows: Ints) -> Floats:
    """Log-odds of `rows` by what is trained on `training_rows` alone. `texts` are folded."""
    seen = TfidfVectorizer([texts[each] for each in training_rows])
    return fit_log_odds(seen, seen.transform([texts[each] for each in rows]), scores[training_rows])


def quality_gain(log_odds: Floats) -> Floats:
    """P(large good) - P(first small good), -1..1."""
    chances = 1.0 / (1.0 + np.exp(-log_odds))
    gain: Floats = chances[:, -1] - chances[:, 0]
    return gain


class TfidfVectorizer:
    """Vocabulary and feature scaling of a set of prompts, and its own feature matrix. `texts` are folded."""

    def __init__(self, texts: Sequence[str]) -> None:
        spelt = [tokenize(text) for text in texts]
        lists = [Counter(ngrams(collapse_doubled(each))) for each in spelt]
        spread = Counter(gram for each in lists for gram in each)
        known = sorted(
            (gram for gram, times in spread.items() if times >= MIN_DOCUMENT_COUNT),
            key=lambda gram: (-spread[gram], gram),
        )
        self.vocabulary = sorted(known[:MAX_VOCABULARY])
        self.index = {gram: place for place, gram in enumerate(self.vocabulary)}
        count = len(texts)
        self.idf = np.asarray([log((1 + count) / (1 + spread[gram])) + 1.0 for gram in self.vocabulary])
        shape = np.asarray([surface_features(text, each) for text, each in zip(texts, spelt, strict=True)], float)
        self.mean, self.scale = shape.mean(axis=0), np.maximum(shape.std(axis=0), 1e-6)
        single = {gram for gram in self.vocabulary if " " not in gram}
        self._known_shares = [
            sum(word in single for word in collapse_doubled(each)) / len(each) for each in spelt if each
        ]
        self.matrix = self._transform(shape, lists)

    def transform(self, texts: Sequence[str]) -> FeatureMatrix:
        spelt = [tokenize(text) for text in texts]
        shape = np.asarray([surface_features(text, each) for text, each in zip(texts, spelt, strict=True)], float)
        return self._transform(shape, [Counter(ngrams(collapse_doubled(each))) for each in spelt])

    def min_known_share(self) -> float:
        """The share of known words that all but a few prompts have, with a margin."""
        return 0.9 * float(np.quantile(self._known_shares, UNUSUAL_QUANTILE)) if self._known_shares else 0.0

    def _transform(self, shape: Floats, lists: Sequence[Counter[str]]) -> FeatureMatrix:
        at, row, value = list[int](), list[int](), list[float]()
        for number, counted in enumerate(lists):
            for gram, times in counted.items():
                place = self.index.get(gram)
                if place is not None:
                    row.append(number)
                    at.append(place)
                    value.append(1.0 + log(times))
        rows, places = np.asarray(row, np.int64), np.asarray(at, np.int64)
        values = np.asarray(value, float) * self.idf[places] if at else np.zeros(0)
        length = np.sqrt(np.bincount(rows, values**2, minlength=len(lists)))
        values = values / np.where(length > 0, length, 1.0)[rows] if at else values
        return FeatureMatrix(
            surface=(shape - self.mean) / self.scale, row=rows, place=places, value=values, width=len(self.vocabulary)
        )


class FeatureMatrix:
    """Prompts as numbers: `surface` is dense, words are sparse (row, place, value). Weights: bias, surface, words."""

    def __init__(self, *, surface: Floats, row: Ints, place: Ints, value: Floats, width: int) -> None:
        self.surface = surface * SURFACE_WEIGHT
        self._row, self._place, self._value, self._width = row, place, value, width

    def __len__(self) -> int:
        return len(self.surface)

    @property
    def weight_count(self) -> int:
        return 1 + len(SURFACE_FEATURES) + self._width

    def log_odds(self, weights: Floats) -> Floats:
        """Log odds of each row."""
        own = self.surface @ weights[1 : 1 + len(SURFACE_FEATURES)]
        said = np.bincount(
            self._row,
            self._value * weights[1 + len(SURFACE_FEATURES) :][self._place],
            minlength=len(self),
        )
        odds: Floats = weights[0] + own + said
        return odds

    def sparse(self) -> list[tuple[Ints, Floats]]:
        """Only the words: indices and values by row."""
        cuts = np.searchsorted(self._row, np.arange(1, len(self)))
        return list(zip(np.split(self._place, cuts), np.split(self._value, cuts), strict=True))

    def dense(self) -> NDArray[np.float32]:
        """Only the words, as a dense matrix."""
        full = np.zeros((len(self), self._width), np.float32)
        full[self._row, self._place] = self._value
        return full

    def gradient(self, residual: Floats) -> Floats:
        """The transposed matrix times `residual`."""
        said = np.bincount(self._place, self._value * residual[self._row], minlength=self._width)
        return np.concatenate([[residual.sum()], self.surface.T @ residual, said])


def fit_head(rows: FeatureMatrix, scores: Floats) -> Floats:
    """Weights of a logistic regression on scores 0..1, with a penalty on all but the bias."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = rows.log_odds(weights)
        value = float(np.logaddexp(0.0, odds).sum() - scores @ odds) + float(weights[1:] @ weights[1:]) / (
            2 * REGULARIZATION
        )
        slope = rows.gradient(1.0 / (1.0 + np.exp(-odds)) - scores)
        slope[1:] += weights[1:] / REGULARIZATION
        return value, slope

    start = np.zeros(rows.weight_count)
    mean = min(max(float(scores.mean()), 1e-3), 1.0 - 1e-3)
    start[0] = log(mean / (1.0 - mean))
    return minimize_lbfgs(loss, start)


def minimize_lbfgs(
    loss: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    rounds: int = 100,
    memory: int = 8,
) -> Floats:
    """The minimum of `loss` (value and gradient): L-BFGS with backtracking (Nocedal and Wright, algorithm 7.4)."""
    at = start
    value, slope = loss(at)
    steps, turns = list[Floats](), list[Floats]()
    for _ in range(rounds):
        way, kept = -slope, list[float]()
        for step, turn in zip(reversed(steps), reversed(turns), strict=True):
            kept.append(float(step @ way) / float(step @ turn))
            way = way - kept[-1] * turn
        if steps:
            way = way * (float(steps[-1] @ turns[-1]) / float(turns[-1] @ turns[-1]))
        for step, turn in zip(steps, turns, strict=True):
            way = way + (kept.pop() - float(turn @ way) / float(step @ turn)) * step
        downhill, size = float(slope @ way), 1.0 if steps else 1.0 / max(1.0, float(np.abs(slope).sum()))
        while True:
            new_value, new_slope = loss(at + size * way)
            if new_value <= value + 1e-4 * size * downhill or size < 1e-10:
                break
            size /= 2
        if new_value > value:  # no descent within float precision
            break
        step, turn = size * way, new_slope - slope
        at, done = at + step, value - new_value < 1e-6 * max(1.0, abs(value))
        value, slope = new_value, new_slope
        if done:
            break
        if float(step @ turn) > 1e-12:
            steps, turns = [*steps, step][-memory:], [*turns, turn][-memory:]
    return at


def apgr_score(
    ranking: Floats,
    small: Floats,
    large: Floats,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> ApgrScore:
    """APGR of asking the large model in the order of `ranking`, highest first, with its bootstrap interval.

    The area under the recovered share of the gap, against the share of calls to the large model; 0.5 is random.
    """
    chance = np.random.default_rng(seed)
    ranked = np.lexsort((chance.random(len(ranking)), -ranking))  # random order of ties
    gains = (large - small)[ranked]
    # A bootstrap of ranked prompts keeps their order: only how often each is drawn changes.
    drawn = chance.multinomial(len(ranking), np.full(len(ranking), 1.0 / len(ranking)), RESAMPLES)
    found = np.sort([recovery_area(gains, times) for times in drawn])
    low, high = np.quantile(found, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return ApgrScore(recovery_area(gains, np.ones(len(ranking))), float(low), float(high), confidence_level)


def recovery_area(gains: Floats, times: NDArray[np.float64] | NDArray[np.int64]) -> float:
    """The area for prompts in order, each repeated `times`; 0.5 if there is no gap to recover."""
    recovered = np.cumsum(gains * times)
    if recovered[-1] <= 0:
        return 0.5
    height = recovered / recovered[-1]
    before = np.concatenate([[0.0], height[:-1]])
    return float(((height + before) / 2 * times).sum() / times.sum())


def folds(groups: Sequence[int], count: int, seed: int) -> Ints:
    """A fold per prompt, 0..count - 1. A group lies in one fold; the folds have nearly equal numbers of groups."""
    numbers = numbered(groups)
    fold: Ints = np.random.default_rng(seed).permutation(len(np.unique(numbers)))[numbers] % count
    return fold


def cross_validation_splits(groups: Sequence[int], seed: int) -> list[tuple[Ints, Ints]]:
    """(rows to train on, rows to predict) of each fold of `train_predictor`."""
    apart = folds(groups, FOLDS, seed)
    return [(np.flatnonzero(apart != held), np.flatnonzero(apart == held)) for held in range(FOLDS)]


def numbered(groups: Sequence[int]) -> Ints:
    """The groups renumbered from 0 in the order of their first occurrence."""
    known: dict[int, int] = {}
    return np.asarray([known.setdefault(group, len(known)) for group in groups], np.int64)


def _to_head(weights: Floats, vectorizer: TfidfVectorizer) -> ModelHead:
    shape = weights[1 : 1 + len(SURFACE_FEATURES)] * SURFACE_WEIGHT
    return ModelHead(float(weights[0]), tuple(shape.tolist()), weights[1 + len(SURFACE_FEATURES) :].tolist())


def _tongues(texts: Sequence[str]) -> frozenset[str]:
    found = Counter(guess_language(text, tokenize(text)) for text in texts)
    return frozenset(name for name, times in found.items() if times >= min(MIN_LANGUAGE_PROMPTS, len(texts) // 2))
