"""Answer prior: the chance that a small model's answer is right, from its own signals, before any label of the user's.

Learned on recorded questions (bench/routing/cold_start/fit.py), one logistic regression for each model that answered
them. A model is judged by the largest of these models that is not larger. "Right" stands for "as good as the better
model's answer": an answer that is right is at least as good as any. Where it has no basis it gives no chance.
"""

from __future__ import annotations

from math import exp

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.routing.quality.answer_signals import MIN_LOGPROB, AnswerSignals

FORMAT = 1
REMAKE_HINT = "make it again: sizewise route prior"
PRIOR_FEATURES = ("lowest log-probability", "log-probability of the whole")
"""The features of `prior_features`, in order. More of them judge tasks that were not learned worse, and with the mean a
short answer in doubt passes for a sure one.
"""
MIN_WHOLE = -60.0  # of the log-probability of a whole answer


class SignalAuroc(Struct, frozen=True):
    """How well one signal separates right from wrong answers, with its 95 % interval; 0.5 is chance."""

    auroc: float
    low: float
    high: float


class PriorModel(Struct, frozen=True):
    """What was learned of one model's answers. `name`: its size, or its name if it is the user's. `threshold`: the
    chance from which an answer is kept; None if none keeps the loss. `kept`, `loss`, `loss_bound`: of the held-out
    answers, the share kept, the share wrong of those, and the 95 % upper bound of the share that is kept and wrong.
    """

    name: str
    parameters: int
    answers: int
    right: float  # share of them
    max_tokens: int  # of the longest of them: a longer answer has no chance
    auroc: dict[str, SignalAuroc]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]  # bias, then as `prior_features`, standardized
    threshold: float | None = None
    kept: float = 0.0
    loss: float = 0.0
    loss_bound: float = 0.0
    own_labels: int = 0  # of the user, that pulled the weights
    prior_weight: float = 1.0  # precision of the prior on each weight, as chosen by the own labels

    def chance(self, signals: AnswerSignals) -> float | None:
        """0..1; None without log-probabilities, and for an answer that was cut off or is longer than those learned."""
        features = prior_features(signals)
        if features is None or signals.is_truncated or signals.tokens > self.max_tokens:
            return None
        odds = self.weights[0]
        for weight, value, mean, spread in zip(self.weights[1:], features, self.mean, self.scale, strict=True):
            odds += weight * (value - mean) / spread
        return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, odds))))


class AnswerPrior(Struct, frozen=True):
    """`models` by rising parameters. `languages`: of the prompts. `dataset_digest`: SHA-256 of the outcomes.
    `max_loss`: what may be lost against the better model alone, 0..1.
    """

    models: tuple[PriorModel, ...]
    languages: frozenset[str]
    max_loss: float
    dataset_digest: str
    date: str  # 2026-01-31
    format: int = FORMAT

    def __repr__(self) -> str:
        return f"AnswerPrior({', '.join(its.name for its in self.models)}; {self.dataset_digest[:8]}, {self.date})"

    def learned_for(self, parameters: int | None) -> PriorModel | None:
        """The largest model that is not larger; None: there is none, or the size is unknown."""
        known = [its for its in self.models if parameters is not None and its.parameters <= parameters]
        return known[-1] if known else None

    def model_for(self, parameters: int | None) -> PriorModel | None:
        """As `learned_for`, if it has a threshold; None: no basis."""
        found = self.learned_for(parameters)
        return found if found is not None and found.threshold is not None else None


def prior_features(signals: AnswerSignals) -> tuple[float, ...] | None:
    """None without log-probabilities."""
    mean, least = signals.mean_logprob, signals.min_logprob
    if mean is None or least is None:
        return None
    return max(MIN_LOGPROB, least), max(MIN_WHOLE, mean * max(1, signals.tokens))


def encode_prior(prior: AnswerPrior) -> bytes:
    """Deterministic: equal priors give equal bytes."""
    return msgspec.json.encode(prior, order="deterministic")


def decode_prior(data: bytes) -> AnswerPrior:
    """Raises BadRequest for data not written by `encode_prior`."""
    try:
        prior = msgspec.json.decode(data, type=AnswerPrior)
    except msgspec.DecodeError as why:
        raise BadRequest(f"not a valid prior: {why}", REMAKE_HINT) from why
    return check_prior(prior)


def check_prior(prior: AnswerPrior) -> AnswerPrior:
    """Raises BadRequest if a list has another length than its readers expect."""
    size = len(PRIOR_FEATURES)
    whole = prior.format == FORMAT and all(
        len(its.mean) == len(its.scale) == size == len(its.weights) - 1 and all(its.scale) for its in prior.models
    )
    if not whole or [its.parameters for its in prior.models] != sorted(its.parameters for its in prior.models):
        raise BadRequest(f"the prior has format {prior.format!r}, or is incomplete", REMAKE_HINT)
    return prior
