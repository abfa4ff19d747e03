"""Trains the answer prior on recorded answers, and pulls it by a user's own labels. Needs numpy; reads no file.

The weights are those of maximum posterior probability (MAP). The shipped ones are drawn to 0, those of a user to the
shipped ones. How strongly is chosen by the evidence: the strength that makes the user's own labels most likely
(D. MacKay 1992, by Laplace's approximation). So few labels change little, and many that disagree change all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from sizewise.errors import BadRequest
from sizewise.routing.quality.answer_prior import PriorModel, SignalAuroc, prior_features
from sizewise.routing.quality.answer_signals import AnswerSignals
from sizewise.routing.training.trainer import Floats, minimize_lbfgs

Flags = NDArray[np.bool_]
SHIPPED_PRECISION = 0.3  # of a standardized weight around 0
PRECISIONS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
"""Precisions of a user's weights around the shipped ones; the evidence chooses."""
KEPT_BOUND = 2.0
"""The 95 % upper bound of the loss among what is kept may be so many times the stated loss: a few lucky answers prove
nothing."""
MIN_OWN_LABELS = 10
BOOTSTRAP_DRAWS, BOOTSTRAP_SEED = 1_000, 0
Z_ERROR = 0.05  # of a bound


def train_prior_model(
    name: str,
    parameters: int,
    signals: Sequence[AnswerSignals],
    right: Sequence[float],
    groups: Sequence[str],
    max_loss: float,
) -> PriorModel:
    """`right`: 0..1 by answer. `groups`: of each answer, such as its task; each group is held out in turn to choose the
    threshold, so it holds for tasks that were not learned. Raises BadRequest if log-probabilities are missing.
    """
    features, scores = _features(signals), np.asarray(right, float)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    rows = (features - mean) / spread
    zero = np.zeros(1 + rows.shape[1])
    held = np.zeros(len(scores))
    names = np.asarray(groups)
    for group in sorted(set(groups)):
        others = names != group
        held[~others] = _chances(rows[~others], map_weights(rows[others], scores[others], zero, SHIPPED_PRECISION))
    found = PriorModel(
        name=name,
        parameters=parameters,
        answers=len(scores),
        right=round(float(scores.mean()), 4),
        max_tokens=max(each.tokens for each in signals),
        auroc={**_auroc_by_signal(signals, scores), "together, held out": measure_auroc(held, scores)},
        mean=_rounded(mean),
        scale=_rounded(spread),
        weights=_rounded(map_weights(rows, scores, zero, SHIPPED_PRECISION)),
    )
    return with_threshold(found, held, scores, max_loss)


def pull_prior_model(
    shipped: PriorModel,
    signals: Sequence[AnswerSignals],
    right: Sequence[float],
    max_loss: float,
) -> PriorModel:
    """`shipped`, pulled by own labels. Its threshold stays until the own labels prove another, or that there is none.

    Raises BadRequest for fewer than MIN_OWN_LABELS, or if log-probabilities are missing.
    """
    if len(right) < MIN_OWN_LABELS:
        hint = f"label {MIN_OWN_LABELS - len(right)} more answers"
        raise BadRequest(f"{len(right)} labels are too few to pull the prior", hint)
    scores = np.asarray(right, float)
    rows = (_features(signals) - np.asarray(shipped.mean)) / np.asarray(shipped.scale)
    center = np.asarray(shipped.weights)
    precision = max(PRECISIONS, key=lambda each: label_evidence(rows, scores, center, each))
    held = np.zeros(len(scores))
    for fold in range(5):
        mine = np.arange(len(scores)) % 5 == fold
        held[mine] = _chances(rows[mine], map_weights(rows[~mine], scores[~mine], center, precision))
    pulled = replace(
        shipped,
        weights=_rounded(map_weights(rows, scores, center, precision)),
        own_labels=len(scores),
        prior_weight=precision,
        max_tokens=max(shipped.max_tokens, *(each.tokens for each in signals)),
    )
    proved = with_threshold(pulled, held, scores, max_loss)
    enough = upper_bound(0, len(scores)) <= max_loss  # fewer can neither prove nor disprove a threshold
    return proved if enough or shipped.threshold is None else pulled


def with_threshold(model: PriorModel, held: Floats, right: Floats, max_loss: float) -> PriorModel:
    """The lowest threshold at which what is kept is wrong in at most `max_loss`, by the held-out chances `held`; none
    if they do not tell right from wrong, or if no threshold keeps the loss.

    Two bounds hold besides, at 95 %: of what is kept and wrong among all answers (`max_loss`), and among those kept
    (KEPT_BOUND times as much).
    """
    kept: tuple[float | None, float, float, float] = (None, 0.0, 0.0, 0.0)
    if measure_auroc(held, right).low > 0.5:
        order = np.argsort(-held, kind="stable")
        chances, wrong = held[order], np.cumsum(1.0 - right[order])
        for count in range(1, len(order) + 1):
            if count < len(order) and chances[count] == chances[count - 1]:
                continue
            loss, of_all = wrong[count - 1] / count, upper_bound(wrong[count - 1], len(order))
            if (
                loss <= max_loss
                and of_all <= max_loss
                and upper_bound(wrong[count - 1], count) <= KEPT_BOUND * max_loss
            ):
                below = chances[count] if count < len(order) else 0.0
                kept = (float((chances[count - 1] + below) / 2), count / len(order), float(loss), of_all)
    threshold, share, loss, bound = kept
    return replace(
        model,
        threshold=None if threshold is None else round(threshold, 4),
        kept=round(share, 4),
        loss=round(loss, 4),
        loss_bound=round(bound, 4),
    )


def measure_auroc(signal: Floats, right: Floats) -> SignalAuroc:
    """Of the better of both directions; the 95 % interval is a bootstrap over the answers."""
    values, good = signal, right > 0.5
    whole = _area(values, good)
    if whole < 0.5:
        values, whole = -values, 1.0 - whole
    dice, found = np.random.default_rng(BOOTSTRAP_SEED), list[float]()
    for _ in range(BOOTSTRAP_DRAWS):
        rows = dice.integers(0, len(good), len(good))
        found.append(_area(values[rows], good[rows]))
    low, high = np.quantile(found, (0.025, 0.975))
    return SignalAuroc(round(whole, 4), round(float(low), 4), round(float(high), 4))


def upper_bound(count: float, total: int, error: float = Z_ERROR) -> float:
    """The exact one-sided upper bound of a share (C. Clopper and E. Pearson 1934), at confidence 1 - `error`."""
    hits = int(np.ceil(count - 1e-9))
    if hits >= total:
        return 1.0
    low, high = hits / total, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        tail = sum(comb(total, k) * middle**k * (1 - middle) ** (total - k) for k in range(hits + 1))
        low, high = (middle, high) if tail > error else (low, middle)
    return high


def _auroc_by_signal(signals: Sequence[AnswerSignals], right: Floats) -> dict[str, SignalAuroc]:
    """Of each signal that a folder of outcomes keeps."""
    known: dict[str, list[float | None]] = {
        "mean log-probability": [each.mean_logprob for each in signals],
        "lowest log-probability": [each.min_logprob for each in signals],
        "first log-probability": [each.first_logprob for each in signals],
        "log-probability of the whole": [(each.mean_logprob or 0.0) * max(1, each.tokens) for each in signals],
        "length": [float(-each.tokens) for each in signals],
    }
    return {
        name: measure_auroc(np.asarray(values, float), right) for name, values in known.items() if None not in values
    }


def _features(signals: Sequence[AnswerSignals]) -> Floats:
    found = [prior_features(each) for each in signals]
    if not found or None in found:
        hint = "record them: sizewise route outcomes"
        raise BadRequest(f"{found.count(None)} answers have no log-probabilities", hint)
    return np.asarray(found, float)


def map_weights(rows: Floats, scores: Floats, center: Floats, precision: float) -> Floats:
    """Around `center`; the bias of shipped weights is free."""
    strength = np.full(len(center), precision)
    if not center.any():
        strength[0] = 1e-3
    return minimize_lbfgs(_posterior(rows, scores, center, strength), center.copy())


def _posterior(
    rows: Floats, scores: Floats, center: Floats, strength: Floats
) -> Callable[[Floats], tuple[float, Floats]]:
    def loss(weights: Floats) -> tuple[float, Floats]:
        odds, off = weights[0] + rows @ weights[1:], weights - center
        value = float(np.logaddexp(0.0, odds).sum() - scores @ odds + 0.5 * (strength * off) @ off)
        residual = 1.0 / (1.0 + np.exp(-odds)) - scores
        return value, np.concatenate([[residual.sum()], rows.T @ residual]) + strength * off

    return loss


def label_evidence(rows: Floats, scores: Floats, center: Floats, precision: float) -> float:
    """The log of the marginal likelihood of the labels under weights around `center` (Laplace's approximation)."""
    weights = map_weights(rows, scores, center, precision)
    value, _ = _posterior(rows, scores, center, np.full(len(center), precision))(weights)
    design = np.column_stack([np.ones(len(rows)), rows])
    chance = _chances(rows, weights)
    curvature = design.T @ (design * (chance * (1 - chance))[:, None])
    _, log_determinant = np.linalg.slogdet(np.eye(len(center)) + curvature / precision)
    return -value - 0.5 * float(log_determinant)


def _chances(rows: Floats, weights: Floats) -> Floats:
    chances: Floats = 1.0 / (1.0 + np.exp(-np.clip(weights[0] + rows @ weights[1:], -30.0, 30.0)))
    return chances


def _area(values: Floats, good: Flags) -> float:
    """The chance that a right answer has the higher value; ties count half."""
    ours = int(good.sum())
    if not 0 < ours < len(good):
        return 0.5
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]
    return float((ranks[good].sum() - ours * (ours + 1) / 2) / (ours * (len(values) - ours)))


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(each), 6) for each in values)
