"""Answer signals: features of small models' held answers, and the combiner that turns them into probabilities.

None means not measured. If both answers with and without log-probabilities were trained on, a separate feature
distinguishes them; otherwise `lacks_logprobs` detects the difference. The combiner is trained by training/combiner.py.
"""

from __future__ import annotations

from math import exp, log, log1p

from msgspec import Struct

from sizewise.routing.answer_agreement import answers_agree

MIN_LOGPROB = -20.0  # lower log-probabilities are clipped
FEATURES_PER_ANSWER, CONFIDENCE_KNOWN_INDEX = 7, 3
"""In `feature_vector`: features per answer, and the index of the first answer's "has log-probabilities"."""


class AnswerSignals(Struct, frozen=True):
    """One small model's answer. `prior_log_odds`: log odds that it is good, predicted from the prompt."""

    prior_log_odds: float = 0.0
    mean_logprob: float | None = None  # mean log-probability of its tokens
    min_logprob: float | None = None  # the lowest
    tokens: int = 0  # of the answer
    is_empty: bool = False  # it contains no answer
    is_truncated: bool = False  # it was cut off
    first_logprob: float | None = None  # of its first token


class CascadeSignals(Struct, frozen=True):
    """`answers`: one or two, in the order of asking. `large_log_odds`: log odds of a good answer of the large model."""

    answers: tuple[AnswerSignals, ...]
    large_log_odds: float = 0.0
    answers_agree: bool | None = None  # the second with the first


def feature_vector(signals: CascadeSignals) -> list[float]:
    """Always the same length and order for the same number of answers."""
    found = [signals.large_log_odds]
    for said in signals.answers:
        found += (
            said.prior_log_odds,
            said.mean_logprob or 0.0,
            float(said.mean_logprob is not None),
            max(MIN_LOGPROB, said.min_logprob or 0.0),
            log1p(said.tokens),
            float(said.is_empty),
            float(said.is_truncated),
        )
    if len(signals.answers) > 1:
        agrees = float(signals.answers_agree is True)
        found += (
            agrees,
            float(signals.answers_agree is False),
            agrees * (signals.answers[0].prior_log_odds - signals.large_log_odds),
        )
    return found


def lacks_logprobs(combiner: SignalCombiner, signals: CascadeSignals) -> bool:
    """Whether an answer lacks log-probabilities although all training answers had them: no prediction is possible."""
    found = feature_vector(signals)
    places = range(CONFIDENCE_KNOWN_INDEX, 1 + FEATURES_PER_ANSWER * len(signals.answers), FEATURES_PER_ANSWER)
    return any(combiner.mean[at] == 1.0 and found[at] == 0.0 for at in places)


def log_odds(probability: float) -> float:
    """Log odds of a probability, bounded."""
    held = min(max(probability, 1e-6), 1.0 - 1e-6)
    return log(held / (1.0 - held))


def recorded_agreement(answers: tuple[str | None, ...]) -> bool | None:
    """Whether the second answer agrees with the first; None if there is no second, one is empty, or undecidable."""
    if len(answers) < 2 or answers[0] is None or answers[1] is None:
        return None
    return answers_agree(answers[0], answers[1])


class SignalCombiner(Struct, frozen=True):
    """A logistic regression per model (those asked, then the large one) on standardized features."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    heads: tuple[tuple[float, ...], ...]  # bias, then as `feature_vector`
    label_count: int  # labels in the training data

    def probabilities(self, signals: CascadeSignals) -> list[float]:
        """Probability of a good answer, 0..1, for each model that answered, then for the large one."""
        at = [
            (value - mean) / spread
            for value, mean, spread in zip(feature_vector(signals), self.mean, self.scale, strict=True)
        ]
        return [_chance(head, at) for head in self.heads]

    def escalation_gain(self, signals: CascadeSignals) -> tuple[float, int]:
        """Gain of asking the large model, -1..1, and the index of the best answer."""
        *given, large = self.probabilities(signals)
        best = max(range(len(given)), key=lambda each: given[each])
        return large - given[best], best


def _chance(weights: tuple[float, ...], at: list[float]) -> float:
    total = weights[0] + sum([weight * value for weight, value in zip(weights[1:], at, strict=True)])
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, total))))
