"""Answer signals: features of small models' held answers, and the combiner that turns them into probabilities.

What was not measured is None. Answers with and without log-probabilities are told apart by a number of their own, where
both were learnt from; where they were not, `lacks_logprobs` says so.
The combination was learnt by combine.py.
"""

from __future__ import annotations

from math import exp, log, log1p

from msgspec import Struct

from sizewise.routing.answer_agreement import answers_agree

MIN_LOGPROB = -20.0  # log-probability below which nothing more is meant
FEATURES_PER_ANSWER, CONFIDENCE_KNOWN_INDEX = 7, 3
"""Of `feature_vector`: how many are of each answer, and which says whether its first one's confidence is known."""


class AnswerSignals(Struct, frozen=True):
    """One small model's answer. `odds`: log-odds of its being good, by the prompt alone."""

    prior_log_odds: float = 0.0
    mean_logprob: float | None = None  # mean log-probability of its tokens
    min_logprob: float | None = None  # the smallest one
    tokens: int = 0  # of the answer
    is_empty: bool = False  # it holds no answer
    is_truncated: bool = False  # it did not come to its end


class CascadeSignals(Struct, frozen=True):
    """`answers`: one or two answers in the order of asking. `large_log_odds`: log-odds of the large model's answer
    being good."""

    answers: tuple[AnswerSignals, ...]
    large_log_odds: float = 0.0
    answers_agree: bool | None = None  # the second with the first


def feature_vector(signals: CascadeSignals) -> list[float]:
    """As many for signals of as many answers, always in the same order."""
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
    """Whether an answer came without log-probabilities and all that was learnt from had them: nothing is known then."""
    found = feature_vector(signals)
    places = range(CONFIDENCE_KNOWN_INDEX, 1 + FEATURES_PER_ANSWER * len(signals.answers), FEATURES_PER_ANSWER)
    return any(combiner.mean[at] == 1.0 and found[at] == 0.0 for at in places)


def log_odds(probability: float) -> float:
    """Log-odds of a chance, bounded."""
    held = min(max(probability, 1e-6), 1.0 - 1e-6)
    return log(held / (1.0 - held))


def recorded_agreement(answers: tuple[str | None, ...]) -> bool | None:
    """Whether the second says what the first does; None where there is no second, one is silent, or nobody can tell."""
    if len(answers) < 2 or answers[0] is None or answers[1] is None:
        return None
    return answers_agree(answers[0], answers[1])


class SignalCombiner(Struct, frozen=True):
    """One logistic sum a model (those asked, then the large one), on numbers put on one scale."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    heads: tuple[tuple[float, ...], ...]  # bias, then as `feature_vector`
    label_count: int  # it was learnt from

    def probabilities(self, signals: CascadeSignals) -> list[float]:
        """The chance of a good answer, 0..1, of each model that answered, then of the large one."""
        at = [
            (value - mean) / spread
            for value, mean, spread in zip(feature_vector(signals), self.mean, self.scale, strict=True)
        ]
        return [_chance(head, at) for head in self.heads]

    def escalation_gain(self, signals: CascadeSignals) -> tuple[float, int]:
        """What asking the large model is worth, -1..1, and which of the answers given is the best, from 0."""
        *given, large = self.probabilities(signals)
        best = max(range(len(given)), key=lambda each: given[each])
        return large - given[best], best


def _chance(weights: tuple[float, ...], at: list[float]) -> float:
    total = weights[0] + sum([weight * value for weight, value in zip(weights[1:], at, strict=True)])
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, total))))
