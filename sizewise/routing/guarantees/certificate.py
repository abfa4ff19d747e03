"""Calibration certificate: the certified threshold ladders, predictor and provenance, as one JSON file.

Written by `sizewise route calibrate --write`, read by the policy kind `certified`. It holds words of prompts,
each that stood in two of them.
"""

from __future__ import annotations

from collections.abc import Mapping

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
RECALIBRATE_HINT = "calibrate anew: sizewise route calibrate"


class CertifiedLadder(Struct, frozen=True):
    """One promise that holds by itself: `quality` of the large model's. Shares 0..1."""

    quality: float
    policy: str
    ladder: ThresholdLadder
    measured_quality: float  # quality on the prompts that proved
    small_share: float  # of them answered small
    savings: float  # of the cost of asking the large model always
    savings_margin: float  # half the width of its 95 % interval


class CertificateProvenance(Struct, frozen=True):
    """Where it comes from; with it and the outcomes, it can be made again."""

    dataset_digest: str  # sha256 of the outcomes
    seed: int
    date: str  # 2026-01-31
    training_prompts: int  # prompts
    certification_prompts: int
    scorer: str  # what scored the answers, by the user's word
    scorer_error: float | None  # share of its scores that are wrong, 0..1; None: nobody measured it
    version: str = ""


class Certificate(Struct, frozen=True, tag="outcomes"):
    """`small_models`: in the order of asking. `combiners`: what their answers tell, one more of them each.
    `guarantees`: rising."""

    small_models: tuple[str, ...]
    large_model: str
    confidence_level: float
    guarantees: tuple[CertifiedLadder, ...]
    predictor: Predictor
    combiners: tuple[SignalCombiner, ...]
    provenance: CertificateProvenance
    curves: Mapping[str, tuple[tuple[float, float], ...]] = {}  # (cost, quality) of the large model's, by policy
    format: int = FORMAT

    def __repr__(self) -> str:
        """What tells one proof from another: the rest is long, and follows from it."""
        return f"Proof({self.models}, {self.provenance}, {self.guarantees})"

    @property
    def models(self) -> tuple[str, ...]:
        return (*self.small_models, self.large_model)

    def guarantee_for(self, quality: float) -> CertifiedLadder | None:
        """What keeps at least `quality`, as cheaply as is certified; None where nothing does."""
        return next((each for each in self.guarantees if each.quality >= quality - 1e-9), None)


def encode_certificate(certificate: Certificate | SampledCertificate) -> bytes:
    """The same proof is always the same bytes."""
    return msgspec.json.encode(certificate, order="deterministic")


def decode_certificate(data: bytes) -> Certificate | SampledCertificate:
    """Raises BadRequest for what `encode_certificate` did not write."""
    try:
        proof = msgspec.json.decode(data, type=Certificate | SampledCertificate)
    except msgspec.DecodeError as why:
        raise BadRequest(f"this is no proof: {why}", RECALIBRATE_HINT) from why
    if proof.format != FORMAT or (isinstance(proof, Certificate) and not _is_complete(proof)):
        raise BadRequest(f"this proof is of format {proof.format!r}, or was cut", RECALIBRATE_HINT)
    checked: Certificate | SampledCertificate = proof
    return checked


def _is_complete(certificate: Certificate) -> bool:
    """Whether every list is as long as what reads it: a cut file must not fail a request."""
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
