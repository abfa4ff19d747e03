"""The `calibration` field: what is known of a policy's quality and cost against its large model, without any text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sizewise.evals.sampled_curves import Point, SampledCurves, sampled_curves
from sizewise.evals.tables import ShadowSample
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.quality import monitored_policy
from sizewise.model_card import ModelCard
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.certificate import Certificate, CertifiedLadder
from sizewise.routing.guarantees.sampled_certificate import CertifiedThreshold, SampledCertificate, SampledPair
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.strongest_fallback import reference_card
from sizewise.telemetry.policy_usage import PolicyUsage

MOST_PAIRS = 5_000
USAGE_S = 30 * 86_400
DEFAULT_QUALITY = 0.95


async def calibration(context: RequestContext, policy: str, quality: float | None = None) -> FieldValues:
    """Raises BadRequest for an unknown policy, and for a quality that is no fraction."""
    context.require_all_projects("read_records")
    monitored = monitored_policy(context, policy)
    configured = context.app.settings.policies.get(policy)
    plan, target = context.app.aliases.policy_plans[policy], monitored.guarantee
    if quality is not None or target is None:
        target = QualityGuarantee(DEFAULT_QUALITY if quality is None else quality)
    large = reference_card(plan)
    small = tuple(card.name for card in plan.cards if card is not large)
    tenant, now = context.principal.tenant, time.time()
    samples = await context.services.quality_monitor.recent_samples(tenant, policy, monitored.trust_version, MOST_PAIRS)
    mine = [each for each in samples if small == (each.small,) and each.large == large.name]
    pairs = [SampledPair(each.trust, each.worse) for each in mine]
    usage = await context.services.records.policy_usage(tenant, int((now - USAGE_S) * 1_000), (policy,))
    cost = _small_cost(plan, large, usage, now) if len(small) == 1 else None
    found = await context.app.resources.offload.in_thread(sampled_curves, pairs, cost or 0.0, target)
    proof = getattr(plan.policy, "certificate", None)
    return {
        "policy": policy,
        "kind": "cascade" if configured is None else configured.kind,
        "target": target.quality,
        "confidence": target.confidence,
        "small": small,
        "large": large.name,
        "isPriced": cost is not None or isinstance(proof, Certificate),
        "pairs": len(pairs),
        "undecided": sum(each.worse is None for each in pairs),
        "judge": _judge(mine),
        "isCertifiable": found.is_certifiable,
        "samplesNeeded": found.samples_needed,
        "certificate": _certificate(proof, cost or 0.0, monitored.guarantee),
        **_curves(proof, found),
    }


def _judge(samples: Sequence[ShadowSample]) -> str:
    return next((each.judge for each in reversed(samples) if each.judge), "")


def _curves(proof: object, found: SampledCurves) -> FieldValues:
    """Of the certificate's evidence where it has some, else of the sampled pairs."""
    curves: Mapping[str, Sequence[Point]] = proof.curves if isinstance(proof, Certificate) else found.curves
    random = curves.get("random", ())
    return {
        "basis": "outcomes" if isinstance(proof, Certificate) and proof.curves else "samples" if curves else "none",
        "curves": [{"name": name, "points": [list(point) for point in its]} for name, its in curves.items()],
        "allSmall": list(random[0]) if random else None,
    }


def _small_cost(plan: RoutePlan, large: ModelCard, usage: Sequence[PolicyUsage], now: float) -> float | None:
    """Of a small answer, where a large one with as many tokens costs 1: with the tokens of the last 30 days, or with as
    many in as out. None if a price is unknown, or if the large model is free.
    """
    small = next(card for card in plan.cards if card is not large)
    into, out = (sum(getattr(each, side) for each in usage) for side in ("input", "output"))
    into, out = (into, out) if into + out else (1, 1)
    paid, alone = (card.price.at(now, now).cost(into, out) for card in (small, large))
    return None if paid is None or not alone else paid / alone


def _certificate(proof: object, small_cost: float, target: QualityGuarantee | None) -> FieldValues | None:
    if not isinstance(proof, Certificate | SampledCertificate):
        return None
    chosen = None if target is None else proof.guarantee_for(target.quality)
    levels = [
        {**_level(each, small_cost), "quality": each.quality, "isChosen": each is chosen} for each in proof.guarantees
    ]
    return {"confidence": proof.confidence_level, "levels": levels, **_origin(proof)}


def _origin(proof: Certificate | SampledCertificate) -> FieldValues:
    if isinstance(proof, SampledCertificate):
        judge = proof.judge_model or "no judge, since all were identical"
        return {"date": proof.date, "evidence": f"{proof.pair_count} sampled pairs, compared by {judge}"}
    origin = proof.provenance
    told = f"{origin.certification_prompts} prompts for certification, {origin.training_prompts} others for training"
    return {"date": origin.date, "evidence": f"{told}; scored by {origin.scorer}"}


def _level(its: CertifiedLadder | CertifiedThreshold, small_cost: float) -> FieldValues:
    """A cascade pays for the small answer of each request, and for the large one of those that are not kept."""
    if isinstance(its, CertifiedThreshold):
        cost, margin, policy = round(small_cost + 1.0 - its.small_share, 4), None, "cascade"
    else:
        cost, margin, policy = round(1.0 - its.savings, 4), its.savings_margin, its.policy
    return {
        "policy": policy,
        "measured": its.measured_quality,
        "smallShare": its.small_share,
        "cost": cost,
        "costMargin": margin,
    }
