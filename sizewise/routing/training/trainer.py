"""Learns P(good | prompt, model) from outcomes, in seconds on one core; needs numpy, and has no clock.

One logistic regression a model, on the prompt's words and pairs of words (TF-IDF) beside its shape. What it is worth is
measured on its own data, each prompt judged by a predictor that has not seen it; where that is not surely better than
chance, the predictor abstains and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import log

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from sizewise.errors import BadRequest
from sizewise.routing.quality.predictor import Area, Head, Predictor, Provenance, Scale
from sizewise.routing.text.prompt_features import SURFACE, grams, language, once, plain, surface, words

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST = 40  # labels, before anything is learnt
FOLDS = 5
VOCABULARY = 30_000  # words and pairs at most, the most frequent
TWICE = 2  # prompts in which a word must stand
STRENGTH = 0.5  # inverse of the penalty on weights
SHAPE = 0.15  # weight of the shape beside the words
TONGUE = 20  # prompts in a language, before it is known
USUAL = 0.02  # of the prompts may be stranger than `known` says
RESAMPLES = 400


def learn(
    prompts: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    *,
    small: str,
    large: str,
    seed: int = 0,
    date: str = "",
    data: str = "",
    version: str = "",
    even: bool = False,
) -> Predictor:
    """`scores`: model -> how good its answer to each prompt was, 0..1, `small` and `large` among them.

    The same input gives the same predictor. `date` and `data` go into its provenance as they are. `even`: also where
    the large model is no better. Raises BadRequest where there are fewer than 40 labels, and else for no gap.
    """
    texts = [plain(prompt) for prompt in prompts]
    good = {name: np.asarray(values, float) for name, values in scores.items()}
    if len(texts) < FEWEST:
        hint = f"label {FEWEST - len(texts)} more: below that nothing can be told from chance"
        raise BadRequest(f"{len(texts)} labels are too few to learn from", hint)
    if not even and not (good[large] - good[small]).sum() > 0:
        raise BadRequest(
            f"{large!r} is no better than {small!r} on these prompts", "then nothing is gained by asking it"
        )
    apart = _folds(len(texts), seed)
    gain, length = np.zeros(len(texts)), np.asarray([log(1 + len(text)) for text in texts])
    for held in range(FOLDS):
        rest, some = np.flatnonzero(apart != held), np.flatnonzero(apart == held)
        seen = Words([texts[each] for each in rest])
        rows = seen.rows([texts[each] for each in some])
        heads = {name: head(seen.own, good[name][rest]) for name in (small, large)}
        gain[some] = rows.odds(heads[large], chance=True) - rows.odds(heads[small], chance=True)
    ours = area(gain, good[small], good[large], seed)
    alone = area(length, good[small], good[large], seed)
    seen = Words(texts)
    learnt = Provenance(data, seed, date, len(texts), small, large, ours, alone, version)
    made = Predictor(
        {gram: place for place, gram in enumerate(seen.vocabulary)},
        seen.rarity.tolist(),
        Scale(tuple(seen.mean.tolist()), tuple(seen.spread.tolist())),
        {name: _written(head(seen.own, values), seen) for name, values in good.items()},
        _tongues(texts),
        seen.usual(),
        learnt,
    )
    return replace(made, abstains=_doubt(made))


def _doubt(made: Predictor) -> str:
    ours = made.learnt.ours
    if ours.low > 0.5:
        return ""
    measured = f"APGR {ours.apgr:.2f}, from {ours.low:.2f}"
    return f"on its own {made.learnt.labels} labels it was not surely better than chance ({measured})"


class Words:
    """What a set of prompts looks like: its vocabulary, and itself as rows of numbers. `texts` are folded."""

    def __init__(self, texts: Sequence[str]) -> None:
        spelt = [words(text) for text in texts]
        lists = [Counter(grams(once(each))) for each in spelt]
        spread = Counter(gram for each in lists for gram in each)
        known = sorted(
            (gram for gram, times in spread.items() if times >= TWICE), key=lambda gram: (-spread[gram], gram)
        )
        self.vocabulary = sorted(known[:VOCABULARY])
        self.place = {gram: place for place, gram in enumerate(self.vocabulary)}
        count = len(texts)
        self.rarity = np.asarray([log((1 + count) / (1 + spread[gram])) + 1.0 for gram in self.vocabulary])
        shape = np.asarray([surface(text, each) for text, each in zip(texts, spelt, strict=True)], float)
        self.mean, self.spread = shape.mean(axis=0), np.maximum(shape.std(axis=0), 1e-6)
        single = {gram for gram in self.vocabulary if " " not in gram}
        self._seen = [sum(word in single for word in once(each)) / len(each) for each in spelt if each]
        self.own = self._rows(shape, lists)

    def rows(self, texts: Sequence[str]) -> Rows:
        spelt = [words(text) for text in texts]
        shape = np.asarray([surface(text, each) for text, each in zip(texts, spelt, strict=True)], float)
        return self._rows(shape, [Counter(grams(once(each))) for each in spelt])

    def usual(self) -> float:
        """The share of known words that all but a few of the prompts have."""
        return 0.9 * float(np.quantile(self._seen, USUAL)) if self._seen else 0.0

    def _rows(self, shape: Floats, lists: Sequence[Counter[str]]) -> Rows:
        at, row, value = list[int](), list[int](), list[float]()
        for number, counted in enumerate(lists):
            for gram, times in counted.items():
                place = self.place.get(gram)
                if place is not None:
                    row.append(number)
                    at.append(place)
                    value.append(1.0 + log(times))
        rows, places = np.asarray(row, np.int64), np.asarray(at, np.int64)
        values = np.asarray(value, float) * self.rarity[places] if at else np.zeros(0)
        length = np.sqrt(np.bincount(rows, values**2, minlength=len(lists)))
        values = values / np.where(length > 0, length, 1.0)[rows] if at else values
        return Rows((shape - self.mean) / self.spread, rows, places, values, len(self.vocabulary))


class Rows:
    """Prompts as numbers: `shape` is dense, words are sparse (row, place, value). Weights are bias, shape, words."""

    def __init__(self, shape: Floats, row: Ints, place: Ints, value: Floats, width: int) -> None:
        self.shape = shape * SHAPE
        self._row, self._place, self._value, self._width = row, place, value, width

    def __len__(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Of the weights."""
        return 1 + len(SURFACE) + self._width

    def odds(self, weights: Floats, *, chance: bool = False) -> Floats:
        """Log-odds of each row, or the chances themselves."""
        own = self.shape @ weights[1 : 1 + len(SURFACE)]
        said = np.bincount(self._row, self._value * weights[1 + len(SURFACE) :][self._place], minlength=len(self))
        odds: Floats = weights[0] + own + said
        return 1.0 / (1.0 + np.exp(-odds)) if chance else odds

    def sparse(self) -> list[tuple[Ints, Floats]]:
        """The words alone: places and values of each row."""
        cuts = np.searchsorted(self._row, np.arange(1, len(self)))
        return list(zip(np.split(self._place, cuts), np.split(self._value, cuts), strict=True))

    def dense(self) -> NDArray[np.float32]:
        """The words alone, with all their noughts."""
        full = np.zeros((len(self), self._width), np.float32)
        full[self._row, self._place] = self._value
        return full

    def against(self, residual: Floats) -> Floats:
        """The transpose, times a column."""
        said = np.bincount(self._place, self._value * residual[self._row], minlength=self._width)
        return np.concatenate([[residual.sum()], self.shape.T @ residual, said])


def head(rows: Rows, good: Floats) -> Floats:
    """Weights of a logistic regression on shares 0..1, with a penalty on all but the bias."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = rows.odds(weights)
        value = float(np.logaddexp(0.0, odds).sum() - good @ odds) + float(weights[1:] @ weights[1:]) / (2 * STRENGTH)
        slope = rows.against(1.0 / (1.0 + np.exp(-odds)) - good)
        slope[1:] += weights[1:] / STRENGTH
        return value, slope

    start = np.zeros(rows.size)
    mean = min(max(float(good.mean()), 1e-3), 1.0 - 1e-3)
    start[0] = log(mean / (1.0 - mean))
    return least(loss, start)


def least(loss: Callable[[Floats], tuple[float, Floats]], start: Floats, rounds: int = 100, memory: int = 8) -> Floats:
    """Where `loss` (its value and slope) is smallest: L-BFGS with backtracking (Nocedal and Wright, algorithm 7.4)."""
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
        if new_value > value:  # no way down that floats can see
            break
        step, turn = size * way, new_slope - slope
        at, done = at + step, value - new_value < 1e-6 * max(1.0, abs(value))
        value, slope = new_value, new_slope
        if done:
            break
        if float(step @ turn) > 1e-12:
            steps, turns = [*steps, step][-memory:], [*turns, turn][-memory:]
    return at


def area(rank: Floats, small: Floats, large: Floats, seed: int = 0, sure: float = 0.95) -> Area:
    """APGR of asking the large model in the order of `rank`, highest first, with its bootstrap interval.

    The area under the share of the gap recovered, against the share of calls to the large model; 0.5 is random.
    """
    chance = np.random.default_rng(seed)
    ranked = np.lexsort((chance.random(len(rank)), -rank))  # ties by lot
    gains = (large - small)[ranked]
    # A bootstrap of ranked prompts keeps their order: how often each is drawn is all that changes.
    drawn = chance.multinomial(len(rank), np.full(len(rank), 1.0 / len(rank)), RESAMPLES)
    found = np.sort([under(gains, times) for times in drawn])
    low, high = np.quantile(found, [(1 - sure) / 2, (1 + sure) / 2])
    return Area(under(gains, np.ones(len(rank))), float(low), float(high), sure)


def under(gains: Floats, times: NDArray[np.float64] | NDArray[np.int64]) -> float:
    """The area for prompts in order, each `times` over; 0.5 where there is no gap to recover."""
    recovered = np.cumsum(gains * times)
    if recovered[-1] <= 0:
        return 0.5
    height = recovered / recovered[-1]
    before = np.concatenate([[0.0], height[:-1]])
    return float(((height + before) / 2 * times).sum() / times.sum())


def _folds(count: int, seed: int) -> Ints:
    """A fold for each, as equal in size as may be."""
    return np.random.default_rng(seed).permutation(count) % FOLDS


def _written(weights: Floats, seen: Words) -> Head:
    shape = weights[1 : 1 + len(SURFACE)] * SHAPE
    return Head(float(weights[0]), tuple(shape.tolist()), weights[1 + len(SURFACE) :].tolist())


def _tongues(texts: Sequence[str]) -> frozenset[str]:
    found = Counter(language(text, words(text)) for text in texts)
    return frozenset(name for name, times in found.items() if times >= min(TONGUE, len(texts) // 2))
