"""Calibration certificate: the certified threshold ladders, predictor and provenance, as one JSON file.

Written by `sizewise route calibrate --write`, read by the policy kind `certified`. It contains words of prompts, but
only words that occurred in at least two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.routing.guarantees.sampled_certificate import SampledCertificate
from sizewise.routing.guarantees.thresholds import ThresholdLadder
from sizewise.routing.quality.answer_signals import (
    AnswerSignals,
    CascadeSignals,
    SignalCombiner,
    feature_vector,
)
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.quality.predictor import is_complete as whole_predictor

FORMAT = 1
RECALIBRATE_HINT = "calibrate again: sizewise route calibrate"


class CertifiedLadder(Struct, frozen=True):
    """One guarantee, valid by itself: `quality` relative to the large model. Shares 0..1."""

    quality: float
    policy: str
    ladder: ThresholdLadder
    measured_quality: float  # on the prompts of the certification
    small_share: float  # share of them answered by a small model
    savings: float  # share of the cost of always asking the large model
    savings_margin: float  # half the width of its 95 % interval


class CertificateProvenance(Struct, frozen=True):
    """The inputs from which, with the outcomes, the certificate can be reproduced."""

    dataset_digest: str  # sha256 of the outcomes
    seed: int
    date: str  # 2026-01-31
    training_prompts: int
    certification_prompts: int
    scorer: str  # what scored the answers, as named by the user
    scorer_error: float | None  # share of wrong scores, 0..1; None: not measured
    version: str = ""
    missing_as_wrong: int = 0  # prompts without an answer of one model, which counted against the small ones
    unit: Literal["question", "request"] = "question"  # what counts once
    prompt_sketch: tuple[str, ...] = ()  # of all prompts, as in prompt_sketch.py


class Certificate(Struct, frozen=True, tag="outcomes"):
    """`small_models`: in the order of asking. `combiners`: for one held answer, then for two. `guarantees`: by rising
    quality.
    """

    small_models: tuple[str, ...]
    large_model: str
    confidence_level: float
    guarantees: tuple[CertifiedLadder, ...]
    predictor: Predictor
    combiners: tuple[SignalCombiner, ...]
    provenance: CertificateProvenance
    curves: Mapping[str, tuple[tuple[float, float], ...]] = {}  # by policy: (cost, quality) relative to the large model
    format: int = FORMAT

    def __repr__(self) -> str:
        """What identifies a certificate; the rest is long and follows from it."""
        return f"Certificate({self.models}, {self.provenance.dataset_digest!r}, {self.guarantees})"

    @property
    def models(self) -> tuple[str, ...]:
        return (*self.small_models, self.large_model)

    def guarantee_for(self, quality: float) -> CertifiedLadder | None:
        """The cheapest guarantee of at least `quality`; None if there is none."""
        return next((each for each in self.guarantees if each.quality >= quality - 1e-9), None)


def encode_certificate(certificate: Certificate | SampledCertificate) -> bytes:
    """Deterministic: equal certificates give equal bytes."""
    return msgspec.json.encode(certificate, order="deterministic")


def decode_certificate(data: bytes) -> Certificate | SampledCertificate:
    """Raises BadRequest for data not written by `encode_certificate`."""
    try:
        proof = msgspec.json.decode(data, type=Certificate | SampledCertificate)
    except msgspec.DecodeError as why:
        raise BadRequest(f"not a valid certificate: {why}", RECALIBRATE_HINT) from why
    if proof.format != FORMAT or (isinstance(proof, Certificate) and not _is_complete(proof)):
        raise BadRequest(f"the certificate has format {proof.format!r}, or is incomplete", RECALIBRATE_HINT)
    checked: Certificate | SampledCertificate = proof
    return checked


def _is_complete(certificate: Certificate) -> bool:
    """Whether all lists have the lengths that their readers expect: a truncated file must not fail a request."""
    heads: Mapping[str, object] = certificate.predictor.heads
    return (
        1 <= len(certificate.small_models) <= 2
        and set(certificate.models) <= set(heads)
        and whole_predictor(certificate.predictor)
        and len(certificate.combiners) == len(certificate.small_models)
        and all(_combiner_fits(its, asked) for asked, its in enumerate(certificate.combiners, 1))
        and all(1 <= len(each.ladder.stages) <= 1 + len(certificate.small_models) for each in certificate.guarantees)
        and [each.quality for each in certificate.guarantees] == sorted(each.quality for each in certificate.guarantees)
    )


def _combiner_fits(combiner: SignalCombiner, answer_count: int) -> bool:
    size = len(feature_vector(CascadeSignals((AnswerSignals(),) * answer_count)))
    heads = all(len(head) == 1 + size for head in combiner.heads)
    return (
        len(combiner.mean) == len(combiner.scale) == size
        and all(combiner.scale)
        and heads
        and len(combiner.heads) == answer_count + 1
    )
