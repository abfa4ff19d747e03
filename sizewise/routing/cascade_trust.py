"""What a cascade trusts a held reply by: a threshold, a certificate or the prior; and its decisions in words."""

from __future__ import annotations

from typing import Protocol

from sizewise.model_card import ModelCard
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.sampled_certificate import SampledCertificate
from sizewise.routing.policy import AttemptOutcome, RequestFeatures, Verdict
from sizewise.routing.prior_basis import missing_basis
from sizewise.routing.quality.answer_prior import AnswerPrior, PriorModel


class TrustSettings(Protocol):
    """The options of a cascade that decide whether a reply is trusted."""

    @property
    def threshold(self) -> float: ...
    @property
    def votes(self) -> int: ...
    @property
    def verifier(self) -> str: ...
    @property
    def target(self) -> QualityGuarantee | None: ...
    @property
    def certificate(self) -> SampledCertificate | None: ...
    @property
    def prior(self) -> AnswerPrior | None: ...


def trust_basis(
    options: TrustSettings,
    features: RequestFeatures,
    small: tuple[ModelCard, ...],
) -> tuple[list[tuple[ModelCard, PriorModel | None]], float | None, str]:
    """The small models to ask, each with what judges it, the threshold without a prior, and the basis in words."""
    if options.prior is None or options.certificate is not None:
        trust, known = _trust_threshold(options, features)
        return [(card, None) for card in small if trust is not None], trust, known
    lacks = missing_basis(options.prior, features)
    if lacks:
        return [], None, f"prior: no basis, for {lacks}; the best model answers"
    judged = [(card, its) for card in small if card.logprobs and (its := options.prior.model_for(card.parameters))]
    if not judged:
        return [], None, "prior: no basis to tell when a smaller model is right; the best model answers"
    return [*judged], None, "prior" if features.min_quality is None else "best effort: prior"


def prior_score(options: TrustSettings, seen: Verdict) -> float:
    """The chance that a held reply is right; 0 if a judge, the votes or the verifier object, or the prior cannot
    tell.
    """
    needed = options.threshold if options.votes > 1 or options.verifier else 0.0
    objected = seen.score is not None and (seen.score == 0 or seen.score < needed)
    return 0.0 if objected or seen.chance is None else seen.chance


def _trust_threshold(options: TrustSettings, features: RequestFeatures) -> tuple[float | None, str]:
    """The score from which a held reply is returned (None: none is), and its basis in words."""
    if options.target is None or options.certificate is None:
        return options.threshold, "uncalibrated" if features.min_quality is None else "best effort: uncalibrated"
    if features.choice_count > 1:
        return None, "requests for several choices were not calibrated, so no target applies"
    wished = options.target.quality if features.min_quality is None else features.min_quality
    kept = options.certificate.guarantee_for(wished)
    if kept is None:
        return None, f"best effort: {wished:g} of {options.certificate.large_model} is not certified"
    return (
        kept.trust_threshold,
        f"certified {kept.quality:g} of {options.certificate.large_model} with confidence "
        f"{options.certificate.confidence_level:g}",
    )


def why_kept(seen: Verdict, needed: float | None, prior: PriorModel | None, known: str) -> str:
    if prior is None:
        return f"smallest trusted reply: {seen.why} ({known})"
    return f"{known}: the reply is right with a chance of {seen.chance or 0.0:.2f}; {needed or 0.0:.2f} is enough"


def why_asked(held: list[tuple[float, AttemptOutcome]], prior: PriorModel | None) -> str:
    if prior is not None:
        return f"prior: its reply is kept if it is right with a chance of {prior.threshold:.2f}"
    return f"{held[-1][1].card.name} was not trusted" if held else "the cheapest model that fits"


def why_large(asked: int, distrusted: int, known: str, hurried: int) -> str:
    """`hurried`: small models that the deadline leaves no time to judge first."""
    if not asked and hurried:
        return "the deadline leaves no time to judge a smaller model first"
    if not asked:
        return "the best model that fits is also the cheapest"
    if distrusted == asked:
        return f"no smaller model was trusted ({known})"
    return "no smaller model answered" if not distrusted else f"smaller models failed or were not trusted ({known})"
