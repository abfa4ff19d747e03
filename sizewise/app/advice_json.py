"""A recommendation as JSON, for `sizewise advise --json` and GraphQL, and what the catalog offers to it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.candidate_kinds import CANDIDATE_KINDS
from sizewise.advisor.candidates import DeploymentCandidate
from sizewise.advisor.cost import Interval
from sizewise.advisor.criteria import CriterionScore, request_energy
from sizewise.advisor.memory_fit import MemoryFit
from sizewise.advisor.next_steps import next_steps
from sizewise.advisor.placements import Placement
from sizewise.advisor.quality_estimates import ModelOffers, build_model_offers
from sizewise.advisor.recommendation import BreakEven, RankedCandidate, Recommendation
from sizewise.advisor.sourced_number import SourcedNumber
from sizewise.advisor.training_from_scratch import training_energy
from sizewise.advisor.workload import Workload
from sizewise.catalog.availability import tuned_prices
from sizewise.catalog.current_catalog import Catalog
from sizewise.catalog.loader import bundled_models
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.reported_trainings import reported_trainings
from sizewise.model_card import SizeThresholds
from sizewise.money import format_dollars

Json = dict[str, object]


def volumes(work: Workload) -> tuple[tuple[int, int], ...]:
    """Pairs of requests per month and months to show costs for."""
    few, many = max(1, work.requests // 10), max(10, work.requests * 10)
    pairs = ((few, work.months), (work.requests, work.months), (many, work.months))
    return (*pairs, (work.requests, 1), (work.requests, work.months * 3))


def catalog_offers(catalog: Catalog, models: Mapping[str, ModelInfo], sizes: SizeThresholds) -> ModelOffers:
    """The catalog: prices, what is sold where, tuned prices, and the model of a classifier's vectors."""
    prices = catalog.prices_by_offer(models.values())
    return build_model_offers(
        models.values(),
        prices,
        sizes,
        statuses=catalog.offer_statuses(prices),
        tuned_prices=tuned_prices(),
        encoder=models["all-minilm-l6-v2"],
    )


def advice_json(advice: Recommendation) -> Json:
    return {
        "inputs": [_number(each) for each in advice.workload.all_numbers()],
        "recommendations": [_advised(rank, each, advice) for rank, each in enumerate(advice.ranked, 1)],
        "ways_out": [{"option": each.option, "kind": each.title, "model": each.name} for each in advice.ways_out],
        "misses_the_need": [_advised(None, each, advice) for each in advice.near],
        "from_scratch": advice.scratch.reason(advice.workload),
        "reported_trainings": _trainings(advice.assumptions),
        "break_even": [_break_even(each) for each in advice.break_even],
        "total_cost": _totals(advice),
        "curve": _curve(advice),
        "hardware": [_fit(each) for each in advice.fits],
        "excluded": [
            {"kind": each.kind, "why": each.reason, "count": each.count, "example": each.example}
            for each in advice.exclusions
        ],
        "weights": {name: float(weight) for name, weight in advice.weights.items()},
        "assumptions": [_number(each.number()) for each in advice.assumptions.all.values()],
    }


def _advised(rank: int | None, each: RankedCandidate, advice: Recommendation) -> Json:
    option, work = each.candidate, advice.workload
    return {
        "rank": rank,
        "kind": option.kind,
        "title": CANDIDATE_KINDS[option.kind],
        "points": _float(each.points),
        "models": [_part(part) for part in option.placements],
        "others": [other.name for other in each.alternatives],
        "quality": _float(option.quality),
        "seconds": _float(option.latency_s),
        "escalated": _float(option.escalation_share),
        "cost": {
            "one_off_usd": _usd(option.cost.one_off),
            "month_usd": _usd(option.cost.monthly_total(work.requests)),
            "total_usd": _usd(option.cost.total(work.requests, work.months)),
            "request_usd": _usd(option.cost.per_request),
            "next_request_usd": _usd(option.cost.marginal(work.requests)),
            "machines": _float(option.cost.machines(work.requests)),
            "capacity": None if option.cost.capacity is None else int(option.cost.capacity),
        },
        "energy": _energy(option, advice),
        "setup_hours": _float(option.setup_hours),
        "risks": [{"name": risk.name, "level": risk.level, "why": risk.reason} for risk in advice.risks(each)],
        "next_steps": list(next_steps(option, bundled_models())),
        "criteria": {name: _score(score, advice.weights[name]) for name, score in each.scores.items()},
    }


def _energy(option: DeploymentCandidate, advice: Recommendation) -> Json | None:
    """Watt-hours of a request, estimated; None if a model's size is unknown."""
    found = request_energy(option, advice.workload, advice.assumptions)
    if found is None:
        return None
    return {
        "request_wh": _float(found.wh),
        "low_wh": _float(found.low),
        "high_wh": _float(found.high),
        "how": found.how,
    }


def _trainings(assumptions: Assumptions) -> list[Json]:
    rate = assumptions["gpu-hour"]
    return [
        {
            "name": each.name,
            "gpus": each.gpus,
            "gpu": each.gpu,
            "days": list(each.days),
            "gpu_hours": list(each.gpu_hours()),
            "usd": [_float(hours * rate) for hours in each.gpu_hours()],
            "wh": [_float(training_energy(Fraction(hours), assumptions)) for hours in each.gpu_hours()],
            "source": each.source,
        }
        for each in reported_trainings()
    ]


def _part(part: Placement) -> Json:
    fit, license_ = part.fit, part.model.license
    return {
        "name": part.name,
        "model": part.model.name,
        "where": part.offer.partition("/")[0] if fit is None else fit.pool.kind,
        "quantization": None if fit is None else fit.quantization,
        "tuned": part.fine_tuned,
        "parameters": part.model.parameters.value if part.model.parameters else None,
        "license": license_.value if license_ else None,
        "ability": _float(part.accuracy),
        "ability_source": part.quality_estimate.source,
    }


def _score(score: CriterionScore, weight: Fraction) -> Json:
    return {
        "score": _float(score.value),
        "weight": _float(weight),
        "over_budget": _float(score.over_budget),
        "why": score.reason,
        "numbers": [_number(each) for each in score.numbers],
    }


def _number(number: SourcedNumber) -> Json:
    return {"name": number.name, "value": number.value, "kind": number.kind, "source": number.source}


def _break_even(each: BreakEven) -> Json:
    return {
        "than": each.alternative.candidate.kind,
        "cheaper_between": [_span(span) for span in each.volumes],
        "cheaper_months": None if each.months is None else _span(each.months),
    }


def _span(span: Interval) -> list[str | None]:
    """Exact fractions, as 1250/3; null is infinity."""
    return [str(span.start), None if span.end is None else str(span.end)]


def _totals(advice: Recommendation) -> list[Json]:
    return [_total(advice, volume, months) for volume, months in volumes(advice.workload)]


def _total(advice: Recommendation, volume: int, months: int) -> Json:
    usd = {each.candidate.kind: _usd(each.candidate.cost.total(volume, months)) for each in advice.ranked}
    return {"requests_per_month": volume, "months": months, "usd": usd}


def _curve(advice: Recommendation) -> list[Json]:
    """The cost over your months at volumes from a hundredth to a hundred times yours."""
    work = advice.workload
    seen = dict.fromkeys(max(1, round(float(work.requests) * 10 ** (step / 6))) for step in range(-12, 13))
    return [_total(advice, volume, work.months) for volume in seen]


def _fit(fit: MemoryFit) -> Json:
    return {
        "model": fit.model.name,
        "quantization": fit.quantization,
        "where": fit.pool.kind,
        "fits": fit.slots > 0,
        "slots": fit.slots,
        "context": fit.context,
        "weights_bytes": fit.memory.weights,
        "cache_bytes": fit.memory.kv_cache,
        "compute_bytes": fit.memory.compute,
        "room_bytes": fit.pool.available,
    }


def _float(value: Fraction) -> float:
    return round(float(value), 6)


def _usd(pico: Fraction) -> str:
    return format_dollars(round(pico))
