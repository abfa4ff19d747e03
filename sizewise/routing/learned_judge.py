"""Learned judge: the probability that held answers are good compared with the large model, from a certificate.

An answer that the veto judge rejects counts as no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from sizewise.messages import ChatRequest, EmbeddingRequest, Reply
from sizewise.routing.answer_agreement import replies_agree
from sizewise.routing.guarantees.certificate import Certificate
from sizewise.routing.judges.confidence import token_logprobs
from sizewise.routing.policy import Judge, RequestFeatures, Verdict
from sizewise.routing.quality.answer_signals import AnswerSignals, CascadeSignals, lacks_logprobs, log_odds
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.requirements import BYTES_PER_TOKEN, Requirements, text_bytes


class CertificateModels(Struct, frozen=True):
    """The models of one certificate: a prediction before any attempt, and a judge of answers."""

    prediction: QualityPrediction
    judge: LearnedJudge

    def __call__(self, requirements: Requirements, payload: ChatRequest | EmbeddingRequest) -> Requirements:
        """As `prediction`, but abstains on what was not calibrated: conversations of several turns, and media."""
        odd = _not_calibrated_reason(payload)
        if not odd:
            return self.prediction(requirements, payload)
        return msgspec.structs.replace(
            requirements,
            features=msgspec.structs.replace(requirements.features, abstention=odd),
        )


@dataclass(frozen=True, slots=True)
class LearnedJudge:
    """`models`: the certificate's models, by their configured names. `veto_judge`: a score of 0 from it is a veto."""

    certificate: Certificate
    models: tuple[str, ...]
    veto_judge: Judge

    def __call__(self, features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
        """`replies`: of the small models, in the order of asking."""
        objections = [
            its.why if its.score == 0 else "" for its in (self.veto_judge(features, (each,)) for each in replies)
        ]
        said = [answer_signals(reply) for reply in replies]
        agrees = replies_agree(replies[0], replies[1]) if len(replies) > 1 else None
        return self.judge_signals(features, said, agrees, objections)

    def judge_signals(
        self,
        features: RequestFeatures,
        answers: Sequence[AnswerSignals],
        answers_agree: bool | None,
        vetoes: Sequence[str] = (),
    ) -> Verdict:
        """`answers` without prior log odds, which come from `features`."""
        if features.abstention:
            return Verdict(0.0, features.abstention)
        if answers and all(vetoes) and len(vetoes) == len(answers):
            return Verdict(0.0, vetoes[-1])
        foreseen = [log_odds(features.predicted_quality[name]) for name in self.models]
        known = tuple(
            msgspec.structs.replace(its, prior_log_odds=at) for its, at in zip(answers, foreseen, strict=False)
        )
        signals, combined = (
            CascadeSignals(known, foreseen[-1], answers_agree),
            self.certificate.combiners[len(answers) - 1],
        )
        if lacks_logprobs(combined, signals):
            return Verdict(0.0, "the reply has no log-probabilities, but the calibration used them")
        *given, large = combined.probabilities(signals)
        for place, words in enumerate(vetoes):
            if words:
                given[place] = 0.0
        best = max(range(len(given)), key=lambda each: given[each])
        worth = large - given[best]
        words = f"quality {given[best]:.2f}, and {self.models[-1]} would have {large:.2f}"
        return Verdict(min(1.0, max(0.0, 1.0 - worth)), words, worth, best)


def _not_calibrated_reason(payload: ChatRequest | EmbeddingRequest) -> str:
    if isinstance(payload, ChatRequest) and sum(message.role == "user" for message in payload.messages) > 1:
        return "the request is a conversation; only single questions were calibrated"
    return (
        "the request has more than text; only text was calibrated"
        if isinstance(payload, ChatRequest) and payload.input_modalities()
        else ""
    )


def answer_signals(reply: Reply) -> AnswerSignals:
    """The answer's own signals, without prior log odds."""
    choice = reply.choices[0] if reply.choices else None
    known = token_logprobs(choice.logprobs) if choice is not None else []
    mean = sum(known) / len(known) if known else None
    silent = choice is None or not (choice.text.strip() or choice.tool_calls)
    cut = choice is not None and choice.finish_reason == "length"
    size = 0 if choice is None else -(-text_bytes(choice.text) // BYTES_PER_TOKEN)
    return AnswerSignals(
        prior_log_odds=0.0,
        mean_logprob=mean,
        min_logprob=min(known) if known else None,
        first_logprob=known[0] if known else None,
        tokens=reply.usage.output or size,
        is_empty=silent,
        is_truncated=cut,
    )
