"""Model rung: a small model's probabilities of the options, joined with the head's, and how far they can be trusted.

Both are experts on the same options: their probabilities are multiplied, each to a power. The powers and the trust are
fitted to the examples that taught the head, of which it says what it would say of an unseen one. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sizewise.decisions.certificate import ModelRungName
from sizewise.decisions.head import Decided, Doubles, Integers, logistic

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
LEAST_PROBABILITY = 1e-4
ALLOWED_WRONG = 0.03
"""Of all taught examples, in the comparison with the head alone: below what a certificate allows."""
LEAST_GAIN = 0.02
"""Of the share that could be answered: for less no model is asked."""


@dataclass(frozen=True, slots=True)
class Joined:
    """For each input the option, and how likely it agrees with the reference (0..1)."""

    option: Integers
    trust: Doubles
    probabilities: Doubles


@dataclass(frozen=True, slots=True)
class ModelRung:
    """`model`: the name of who is asked."""

    name: ModelRungName
    model: str
    head_power: float
    model_power: float
    trust_mean: Doubles
    trust_scale: Doubles
    trust_weights: Doubles

    def join(self, decided: Decided, shares: Doubles) -> Joined:
        """`shares`: the model's probability of each option, a row for each input."""
        joined = _product(decided.probabilities, shares, self.head_power, self.model_power)
        evidence = _evidence(joined, decided, shares)
        odds = (evidence - self.trust_mean) / self.trust_scale @ self.trust_weights[1:] + self.trust_weights[0]
        return Joined(joined.argmax(1), 1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))), joined)


def fit_model_rung(
    name: ModelRungName, model: str, truth: Integers, unseen: Decided, shares: Doubles
) -> ModelRung | None:
    """`truth`: the options of some inputs, of which `unseen` is what the head says without having learned each, and
    `shares` what the model says. None if the model adds too little.
    """
    rows = np.arange(len(truth))
    best: tuple[float, float, float] | None = None
    for of_head in POWERS:
        for of_model in POWERS:
            joined = _product(unseen.probabilities, shares, of_head, of_model)
            loss = -float(np.log(joined[rows, truth] + 1e-12).sum())
            if best is None or loss < best[0]:
                best = loss, of_head, of_model
    assert best is not None
    _, of_head, of_model = best
    if of_model == 0.0:
        return None
    joined = _product(unseen.probabilities, shares, of_head, of_model)
    evidence = _evidence(joined, unseen, shares)
    mean, scale = evidence.mean(0), evidence.std(0) + 1e-6
    right = joined.argmax(1) == truth
    weights = logistic((evidence - mean) / scale, right.astype(np.float64))
    rung = ModelRung(
        name=name,
        model=model,
        head_power=of_head,
        model_power=of_model,
        trust_mean=mean,
        trust_scale=scale,
        trust_weights=weights,
    )
    trust = rung.join(unseen, shares).trust
    alone = answerable(unseen.trust, unseen.option == truth)
    return rung if answerable(trust, right) >= alone + LEAST_GAIN else None


def answerable(trust: Doubles, right: np.ndarray) -> float:
    """The largest share, most trusted first, with which at most ALLOWED_WRONG of all are wrong."""
    wrong = np.cumsum(~right[np.argsort(-trust, kind="stable")])
    return float(np.searchsorted(wrong, ALLOWED_WRONG * len(right), side="right")) / max(1, len(right))


def _product(head: Doubles, model: Doubles, of_head: float, of_model: float) -> Doubles:
    logs = of_head * np.log(np.maximum(head, LEAST_PROBABILITY))
    logs = logs + of_model * np.log(np.maximum(model, LEAST_PROBABILITY))
    raised = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True), np.float64)


def _evidence(joined: Doubles, decided: Decided, shares: Doubles) -> Doubles:
    """Columns: the best probability, its lead, what each expert says of the choice, and the nearest cosine."""
    rows, choice = np.arange(len(joined)), joined.argmax(1)
    ordered = np.partition(joined, -2, axis=1)
    columns = (
        ordered[:, -1],
        ordered[:, -1] - ordered[:, -2],
        np.log(np.maximum(decided.probabilities[rows, choice], LEAST_PROBABILITY)),
        np.log(np.maximum(shares[rows, choice], LEAST_PROBABILITY)),
        decided.similarity,
    )
    return np.stack(columns, axis=1)
