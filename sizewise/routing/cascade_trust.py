"""What a cascade trusts a held reply by: a threshold, a certificate or the prior."""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec import Struct

from sizewise.model_card import ModelCard
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.sampled_certificate import SampledCertificate
from sizewise.routing.policy import RequestFeatures, Verdict
from sizewise.routing.prior_basis import missing_basis, missing_language
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


class TrustBasis(Struct, frozen=True):
    """What decides on the replies of one request.

    `judged`: the small models to ask, each with the prior that judges it. `threshold`: the score from which a reply is
    returned without a prior; None: none is. `name`: of the basis, or in words why no small model is asked. `average`:
    what holds on average over requests, which says nothing of this one.
    """

    judged: tuple[tuple[ModelCard, PriorModel | None], ...]
    threshold: float | None
    name: str
    average: str = ""

    def needed(self, prior: PriorModel | None) -> float | None:
        """The score, or with a prior the chance, from which a reply is returned."""
        return self.threshold if prior is None else prior.threshold


UNPROVED = "on average over requests nothing is promised"


def trust_basis(options: TrustSettings, features: RequestFeatures, small: tuple[ModelCard, ...]) -> TrustBasis:
    if options.prior is None or options.certificate is not None:
        basis = _threshold_basis(options, features)
        if basis.threshold is None:
            return basis
        return msgspec.structs.replace(basis, judged=tuple((card, None) for card in small))
    judged = tuple((card, its) for card in small if card.logprobs and (its := options.prior.model_for(card.parameters)))
    lacks = missing_basis(options.prior, features) if small else ""
    if not lacks and judged:
        lacks = missing_language(options.prior, features)
    if lacks:
        no_basis = "prior: no basis to judge a smaller model's answer"
        return TrustBasis((), None, f"{no_basis}: {lacks}; the best model answers")
    if not judged:
        return TrustBasis((), None, "prior: no basis to tell when a model this small is right; the best model answers")
    loss = f"on average over requests at most {100 * options.prior.max_loss:g} points of 100 are lost"
    return TrustBasis(judged, None, "prior" if features.min_quality is None else "best effort: prior", loss)


def prior_score(options: TrustSettings, seen: Verdict) -> float:
    """The chance that a held reply is right; 0 if a judge, the votes or the verifier object, or the prior cannot
    tell.
    """
    needed = options.threshold if options.votes > 1 or options.verifier else 0.0
    objected = seen.score is not None and (seen.score == 0 or seen.score < needed)
    return 0.0 if objected or seen.chance is None else seen.chance


def _threshold_basis(options: TrustSettings, features: RequestFeatures) -> TrustBasis:
    """Without the models."""
    if options.target is None or options.certificate is None:
        name = "uncalibrated" if features.min_quality is None else "best effort: uncalibrated"
        return TrustBasis((), options.threshold, name, f"{name}, so {UNPROVED}")
    if features.choice_count > 1:
        return TrustBasis((), None, "requests for several choices were not calibrated, so no target applies")
    wished = options.target.quality if features.min_quality is None else features.min_quality
    kept = options.certificate.guarantee_for(wished)
    large = options.certificate.large_model
    if kept is None:
        return TrustBasis((), None, f"best effort: {wished:g} of {large} is not certified")
    name = f"certified {kept.quality:g} of {large}'s quality with confidence {options.certificate.confidence_level:g}"
    return TrustBasis((), kept.trust_threshold, name, f"{name}, on average over requests")
