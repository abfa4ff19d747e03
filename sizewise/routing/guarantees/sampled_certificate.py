"""Certificate from sampled pairs: the trust threshold from which a cascade may return a small model's answer.

Written by `sizewise route calibrate --policy NAME --write`, read by the policy kind `cascade`. It contains no text of
prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sizewise.errors import ConfigError
from sizewise.routing.guarantees.bounds import STANDARD_QUALITIES, PairScores, QualityGuarantee, certify, samples_needed

TRUST_THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 51))
"""Trust thresholds, fixed before any data was seen."""


class CertifiedThreshold(Struct, frozen=True):
    """One guarantee, valid by itself. Shares 0..1."""

    quality: float
    trust_threshold: float
    measured_quality: float  # on the pairs
    small_share: float  # share of requests answered by the small model


class SampledCertificate(Struct, frozen=True, tag="sampled"):
    """`guarantees`: by rising quality. `judge_model`: compared the pairs, each in both orders; undecided pairs count as
    lost.
    """

    small_model: str
    large_model: str
    confidence_level: float
    guarantees: tuple[CertifiedThreshold, ...]
    judge_model: str
    pair_count: int
    undecided: int
    date: str  # 2026-01-31
    votes: int = 1  # answers of the small model that trust was computed from
    verifier: str = ""  # model whose verdict trust includes
    version: str = ""
    format: int = 1

    @property
    def models(self) -> tuple[str, ...]:
        return self.small_model, self.large_model

    def guarantee_for(self, quality: float) -> CertifiedThreshold | None:
        """The cheapest guarantee of at least `quality`; None if there is none."""
        return next((each for each in self.guarantees if each.quality >= quality - 1e-9), None)


def check_certificate(
    certificate: SampledCertificate | None,
    guarantee: QualityGuarantee | None,
    models: tuple[str, ...],
    votes: int,
    verifier: str,
) -> None:
    """Raises ConfigError if the certificate does not cover the target and models, or if one is missing."""
    if guarantee is None or certificate is None:
        hint = "create both: sizewise route calibrate --policy NAME --write"
        raise ConfigError("`target` and `certificate` must be set together; one is missing", hint)
    if models != certificate.models:
        said, known = ", ".join(models) or "none", ", ".join(certificate.models)
        raise ConfigError(
            f"`models` are {said}, but the certificate is for {known}", "use these models, or calibrate again"
        )
    if (votes, verifier) != (certificate.votes, certificate.verifier):
        asked = f"{certificate.votes} votes and {certificate.verifier or 'no'} verifier"
        raise ConfigError(
            f"the certificate is for {asked}, but the policy uses other votes or another verifier", "calibrate again"
        )
    if guarantee.reference not in ("large", certificate.large_model):
        raise ConfigError(
            f"the target refers to {guarantee.reference!r}, but the certificate to {certificate.large_model!r}",
            "set target.reference to 'large'",
        )
    if guarantee.confidence > certificate.confidence_level or certificate.guarantee_for(guarantee.quality) is None:
        most = max((each.quality for each in certificate.guarantees), default=0.0)
        hint = "calibrate on more samples, or lower the target"
        raise ConfigError(
            f"the certificate guarantees at most {most:g} with confidence {certificate.confidence_level:g}",
            hint,
        )


class SampledPair(Struct, frozen=True):
    """One sampled request. `trust`: in its small answer, 0..1, None if no judge had a score (the answer is then given).
    `worse`: how much worse it was than the large model's, 0..1, None if undecided.
    """

    trust: float | None
    worse: float | None


class SampledCertification(Struct, frozen=True):
    """`samples_needed`: estimated pairs until the target can be guaranteed, if it cannot yet; None if unknown."""

    guarantees: tuple[CertifiedThreshold, ...]
    samples_needed: int | None


def pair_scores(sampled_pairs: Sequence[SampledPair]) -> list[PairScores]:
    """As the bounds take them: an undecided pair is lost, and an answer without a score is given."""
    return [
        PairScores(1.0 if its.trust is None else its.trust, 1.0 - (1.0 if its.worse is None else its.worse), 1.0)
        for its in sampled_pairs
    ]


def certify_samples(sampled_pairs: list[SampledPair], guarantee: QualityGuarantee) -> SampledCertification:
    """`sampled_pairs`: by time. The large model's answers are the reference; better ones count as equal."""
    pairs = pair_scores(sampled_pairs)
    kept, needs = list[CertifiedThreshold](), None
    for quality in sorted({*STANDARD_QUALITIES, guarantee.quality}):
        found = certify(
            "cascade",
            pairs,
            TRUST_THRESHOLDS,
            QualityGuarantee(quality, guarantee.confidence, guarantee.reference),
        )
        if found.best_step is not None:
            kept.append(
                CertifiedThreshold(
                    quality,
                    found.best_step.threshold,
                    found.best_step.quality,
                    found.best_step.small_share,
                ),
            )
        elif quality == guarantee.quality:
            needs = samples_needed(found, 1.0 - guarantee.confidence)
    return SampledCertification(tuple(kept), needs)
