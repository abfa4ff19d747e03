"""Tier 0: a classifier that learns from a few labelled texts and asks no language model; pure, in plain Python.

Multinomial logistic regression over the cosine of two texts (its weights are sums of the texts it learned from). A text
is either its words' weighted character n-grams (TF-IDF, no download), or a vector that somebody made of it. How hard
it is held back (`penalty`) is chosen by folds of the training texts alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul

Vector = Mapping[object, float]
"""Of length 1; what is not in it is 0."""

PENALTIES = (0.1, 0.01, 0.001)
FOLDS = 5
ROUNDS = 150
STEP = 1.5
"""Below 1 / smoothness: the mean log loss of vectors of length 1 bends by at most 1/2, and the penalty by 0.1."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """`weights[label][text]`: how much each learned text speaks for a label. `proven`: share right in folds, 0..1."""

    labels: tuple[str, ...]
    learned: tuple[Vector, ...]
    weights: tuple[tuple[float, ...], ...]
    proven: float

    def says(self, vector: Vector) -> tuple[str, float]:
        """The most probable label, and how probable it is, 0..1."""
        near = [cosine(vector, each) for each in self.learned]
        shares = _softmax([sum(map(mul, row, near)) for row in self.weights])
        best = max(range(len(shares)), key=shares.__getitem__)
        return self.labels[best], shares[best]


def learn(vectors: Sequence[Vector], labels: Sequence[str]) -> Classifier:
    near = [[cosine(a, b) for b in vectors] for a in vectors]
    names = tuple(sorted(set(labels)))
    wanted = [names.index(label) for label in labels]
    tried = [(*_in_folds(near, wanted, len(names), penalty), penalty) for penalty in PENALTIES]
    _, proven, penalty = min(tried)
    return Classifier(names, tuple(vectors), _fit(near, wanted, len(names), penalty), proven)


def tfidf(texts: Sequence[str], learned: Sequence[str]) -> list[Vector]:
    """Words, and runs of 2 to 5 characters within them, each weighted by how few of the `learned` texts have it."""
    known = Counter(gram for text in learned for gram in set(_grams(text)))
    weight = {gram: math.log((1 + len(learned)) / (1 + count)) + 1 for gram, count in known.items()}
    return [
        _unit({g: (1 + math.log(n)) * weight[g] for g, n in Counter(_grams(t)).items() if g in weight}) for t in texts
    ]


def dense(numbers: Sequence[float]) -> Vector:
    return _unit(dict(enumerate(numbers)))


def cosine(a: Vector, b: Vector) -> float:
    few, many = (a, b) if len(a) <= len(b) else (b, a)
    return sum(value * many[key] for key, value in few.items() if key in many)


def _grams(text: str) -> list[str]:
    words = [f" {''.join(c for c in word if c.isalnum())} " for word in text.lower().split()]
    return words + [
        word[at : at + size] for word in words for size in range(2, 6) for at in range(len(word) - size + 1)
    ]


def _unit(vector: Mapping[object, float]) -> Vector:
    length = math.sqrt(sum(value * value for value in vector.values()))
    return {key: value / length for key, value in vector.items()} if length else {}


def _fit(
    near: Sequence[Sequence[float]],
    wanted: Sequence[int],
    labels: int,
    penalty: float,
) -> tuple[tuple[float, ...], ...]:
    """Gradient descent with momentum on mean log loss + penalty / 2 * |weights|^2, in the span of the texts."""
    many = len(wanted)
    weights = [[0.0] * many for _ in range(labels)]
    before = [[0.0] * many for _ in range(labels)]
    for number in range(ROUNDS):
        push = number / (number + 3)
        ahead = [[w + push * (w - b) for w, b in zip(*rows, strict=True)] for rows in zip(weights, before, strict=True)]
        before = weights
        shares = [_softmax([sum(map(mul, row, near[text])) for row in ahead]) for text in range(many)]
        weights = [
            [
                w + STEP * (((wanted[text] == label) - shares[text][label]) / many - penalty * w)
                for text, w in enumerate(row)
            ]
            for label, row in enumerate(ahead)
        ]
    return tuple(tuple(row) for row in weights)


def _in_folds(
    near: Sequence[Sequence[float]],
    wanted: Sequence[int],
    labels: int,
    penalty: float,
) -> tuple[float, float]:
    """Log loss and share right on the texts that each fold leaves out."""
    loss, right = 0.0, 0
    for fold in range(FOLDS):
        kept = [text for text in range(len(wanted)) if text % FOLDS != fold]
        weights = _fit([[near[a][b] for b in kept] for a in kept], [wanted[text] for text in kept], labels, penalty)
        for text in range(fold, len(wanted), FOLDS):
            heard = [near[text][each] for each in kept]
            shares = _softmax([sum(map(mul, row, heard)) for row in weights])
            loss -= math.log(shares[wanted[text]])
            right += shares[wanted[text]] == max(shares)
    return loss / len(wanted), right / len(wanted)


def _softmax(values: Sequence[float]) -> list[float]:
    top = max(values)
    shares = [math.exp(value - top) for value in values]
    return [share / sum(shares) for share in shares]
