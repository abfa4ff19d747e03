"""Head over text vectors: a kernel ridge regression for each option, and how far its choice can be trusted. Pure.

Leaving one example out costs nothing for a ridge regression: its residual is divided by 1 - leverage. So strength,
temperature and trust are fitted to choices on examples that the head has not seen, and need no data of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Ridge penalties that are tried."""
SHARPNESS = 2.0
"""Of the kernel, exp(2 (cosine - 1)): better than the bare cosine on both data sets of bench/decisions."""
TEMPERATURES = tuple(float(2.0 ** (power / 2)) for power in range(-4, 15))
NEIGHBORS = 5
PENALTY = 1.0
"""Of the four weights of trust, which are standardized: about one example's worth."""


@dataclass(frozen=True, slots=True)
class Decided:
    """For each text: the option, how likely it agrees with the reference (0..1), the probability of every option, the
    nearest example and its cosine."""

    option: Integers
    trust: Doubles
    probabilities: Doubles
    nearest: Integers
    similarity: Doubles

    def only(self, places: Flags) -> Decided:
        return Decided(
            option=self.option[places],
            trust=self.trust[places],
            probabilities=self.probabilities[places],
            nearest=self.nearest[places],
            similarity=self.similarity[places],
        )


@dataclass(frozen=True, slots=True)
class KernelHead:
    """`examples` (rows of length 1), their `options`, and what nearness to each says of every option (`weights`)."""

    bias: Doubles
    weights: Floats
    temperature: float
    trust_mean: Doubles
    trust_scale: Doubles
    trust_weights: Doubles
    examples: Floats
    options: Integers

    def decide(self, vectors: Floats) -> Decided:
        """`vectors`: rows of length 1."""
        cosines = vectors @ self.examples.T
        scores = _kernel(cosines) @ self.weights + self.bias
        choice = scores.argmax(1)
        evidence, nearest = _evidence(scores, cosines, choice, self.options)
        return self.decided(scores, choice, evidence, nearest)

    def decided(self, scores: Doubles, choice: Integers, evidence: Doubles, nearest: Integers) -> Decided:
        odds = (evidence - self.trust_mean) / self.trust_scale @ self.trust_weights[1:] + self.trust_weights[0]
        return Decided(
            option=choice,
            trust=1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))),
            probabilities=_softmax(scores * self.temperature),
            nearest=nearest,
            similarity=evidence[:, 2],
        )


def fit_head(vectors: Floats, options: Integers, option_count: int) -> KernelHead:
    """`options[i]`: the reference's option for `vectors[i]`, below `option_count`; an option may be without example."""
    return fit_head_unseen(vectors, options, option_count)[0]


def fit_head_unseen(vectors: Floats, options: Integers, option_count: int) -> tuple[KernelHead, Decided]:
    """As `fit_head`, with what it says of each example without that example."""
    targets = np.eye(option_count)[options]
    bias = targets.mean(0)
    cosines = vectors @ vectors.T
    weights, unseen = _ridge(_kernel(cosines).astype(np.float64), targets - bias)
    unseen = unseen + bias
    np.fill_diagonal(cosines, -1.0)
    choice = unseen.argmax(1)
    evidence, nearest = _evidence(unseen, cosines, choice, options)
    spread = evidence.std(0) + 1e-6
    right = (choice == options).astype(np.float64)
    head = KernelHead(
        bias=bias,
        weights=weights.astype(np.float32),
        temperature=_temperature(unseen, options),
        trust_mean=evidence.mean(0),
        trust_scale=spread,
        trust_weights=logistic((evidence - evidence.mean(0)) / spread, right),
        examples=vectors,
        options=options,
    )
    return head, head.decided(unseen, choice, evidence, nearest)


def _kernel(cosines: Floats) -> Floats:
    return np.asarray(np.exp(SHARPNESS * (cosines - 1.0)), np.float32)


def _ridge(kernel: Doubles, targets: Doubles) -> tuple[Doubles, Doubles]:
    """Weights of the strength with the least squared error on left-out examples, and the scores of those."""
    values, axes = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    moments = axes.T @ targets
    best: tuple[float, float, Doubles] | None = None
    for strength in STRENGTHS:
        shrunk = values / (values + strength)
        leverage = np.minimum((axes**2) @ shrunk, 0.999)
        residual = (targets - axes @ (shrunk[:, None] * moments)) / (1.0 - leverage)[:, None]
        error = float((residual**2).sum())
        if best is None or error < best[0]:
            best = error, strength, targets - residual
    assert best is not None
    _, strength, unseen = best
    return axes @ (moments / (values + strength)[:, None]), unseen


def _evidence(scores: Doubles, cosines_to: Floats, choice: Integers, options: Integers) -> tuple[Doubles, Integers]:
    """Columns: the best score, its lead, the cosine of the nearest example, and the share of the nearest that agree."""
    ordered = np.partition(scores, -2, axis=1)
    count = min(NEIGHBORS, cosines_to.shape[1])
    near = _largest(cosines_to, count)
    cosines = np.take_along_axis(cosines_to, near, 1).astype(np.float64)
    weight = np.maximum(cosines, 1e-6)
    agreeing = (weight * (options[near] == choice[:, None])).sum(1) / weight.sum(1)
    columns = (ordered[:, -1], ordered[:, -1] - ordered[:, -2], cosines[:, 0], agreeing)
    return np.stack(columns, axis=1), near[:, 0]


def _largest(values: Floats, count: int) -> Integers:
    """Places of the `count` largest of each row, the largest first: for so few it beats a partition tenfold."""
    left, found = values.copy(), np.empty((len(values), count), np.int64)
    rows = np.arange(len(values))
    for at in range(count):
        found[:, at] = left.argmax(1)
        left[rows, found[:, at]] = -np.inf
    return found


def logistic(evidence: Doubles, right: Doubles) -> Doubles:
    """Newton's method for a logistic regression with an intercept."""
    columns = np.concatenate([np.ones((len(evidence), 1)), evidence], axis=1)
    penalty = np.diag([1e-2, *([PENALTY] * evidence.shape[1])])
    weights = np.zeros(columns.shape[1])
    for _ in range(30):
        chance = 1.0 / (1.0 + np.exp(-np.clip(columns @ weights, -30.0, 30.0)))
        curve = (columns * (chance * (1.0 - chance))[:, None]).T @ columns + penalty
        step = np.linalg.solve(curve, columns.T @ (chance - right) + penalty @ weights)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-6:
            break
    return weights


def _temperature(scores: Doubles, options: Integers) -> float:
    """The factor of the scores under which the reference's options were likeliest."""
    rows = np.arange(len(scores))
    losses = [-float(np.log(_softmax(scores * t)[rows, options] + 1e-12).sum()) for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _softmax(scores: Doubles) -> Doubles:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True), np.float64)
