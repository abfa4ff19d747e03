"""`sizewise advise`: recommends a small or large model for a workload, from the packaged catalog alone.

The report is in advise_report.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

import click

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.candidate_kinds import CANDIDATE_KINDS
from sizewise.advisor.cost import Interval
from sizewise.advisor.criteria import CRITERIA, CriterionScore, parse_weights
from sizewise.advisor.memory_fit import MemoryFit
from sizewise.advisor.next_steps import next_steps
from sizewise.advisor.own_criterion import parse_own_criteria
from sizewise.advisor.placements import Placement
from sizewise.advisor.quality_estimates import ModelOffers, build_model_offers
from sizewise.advisor.recommendation import BreakEven, RankedCandidate, Recommendation, recommend
from sizewise.advisor.sourced_number import SourcedNumber
from sizewise.advisor.workload import parse_workload
from sizewise.catalog.availability import tuned_prices
from sizewise.catalog.current_catalog import Catalog, current_catalog
from sizewise.catalog.loader import bundled_models
from sizewise.catalog.memory_check import available_memory
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.plain_names import models_named
from sizewise.cli.advise_report import print_report, volumes
from sizewise.cli.measured_assumptions import measured_assumptions
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.model_card import SizeThresholds
from sizewise.money import format_dollars

Json = dict[str, object]


@click.command("advise")
@click.option("--task", metavar="TASK", help="classify, extract, summarize, translate, chat, code or reason. [chat]")
@click.option("--languages", metavar="CODES", help="Languages of the input, as en,de. [en]")
@click.option("--requests-per-month", metavar="N", help="Requests per month, as 20k or 3M. [10000]")
@click.option("--tokens-in", metavar="N", help="Input tokens of a typical request. [500]")
@click.option("--tokens-out", metavar="N", help="Output tokens of a typical response. [200]")
@click.option("--latency-ms", metavar="MS", help="Maximum time for a whole response. [30000; code, reason: 120000]")
@click.option("--context", metavar="TOKENS", help="Tokens of the longest request and its response. [twice the typical]")
@click.option("--privacy", metavar="CLASS", help="public, internal or confidential. [internal]")
@click.option("--memory-gb", metavar="GB", help="Memory of your machine. [what is free on this one]")
@click.option("--gpu-gb", metavar="GB", help="Memory of its GPU. [0]")
@click.option("--team", metavar="WHO", help="Your experience: none, some, or ml (you train models). [some]")
@click.option("--months", metavar="N", help="How long you will run it. [12]")
@click.option("--labels", metavar="N", help="Labeled examples that you have. [0]")
@click.option("--images", metavar="N", help="Images in a typical request. [0]")
@click.option("--weeks", metavar="N", help="Weeks until it must answer; 0 for no timetable. [0]")
@click.option("--weight", "weight", metavar="CRITERION=N", multiple=True, help="Weight of a criterion.")
@click.option(
    "--criterion",
    metavar="NAME=N,KIND=0.2",
    multiple=True,
    help="A criterion of your own: its weight, and scores from 0 to 1 by kind, model or endpoint.",
)
@click.option("--assume", metavar="NAME=N", multiple=True, help="Override an assumption, as wage=80.")
@click.option("--reasons", is_flag=True, help="Show every number with its source, and every assumption.")
@local_options
@click.pass_context
def verb(
    ctx: click.Context,
    /,
    weight: tuple[str, ...],
    criterion: tuple[str, ...],
    assume: tuple[str, ...],
    reasons: bool,
    **said: str | None,
) -> None:
    """Recommend a small or a large model for a workload.

    Ranks what meets the need: a classifier, a model on this machine (tuned or not), a hosted small model, a large model
    by API (tuned or not), and a cascade of both. Exits with 1 if none can do the work. Needs no server and no network.

    \b
    Example: sizewise advise --task classify --requests-per-month 3M --labels 2000
    """
    found = command_settings()
    given = {name.replace("_", "-"): text for name, text in said.items()}
    work = parse_workload(given, today=date.today().isoformat(), free_memory=available_memory())
    assumptions, weighed = parse_assumptions(assume), parse_weights(weight)
    if work.memory_is_free:
        assumptions = measured_assumptions(assumptions, found)
    catalog = current_catalog(found)
    every = catalog.load_models()
    offers = catalog_offers(catalog, every, found.sizes.thresholds)
    known = {*every, *(endpoint for each in every.values() for endpoint in each.offers)}
    own = parse_own_criteria(
        criterion,
        list(CRITERIA),
        sorted(known),
        lambda name: [each.name for each in models_named(name, every.values())],
    )
    advice = recommend(work, offers, assumptions, weighed, own)
    if wants_json():
        write_json(_advice_json(advice))
    else:
        print_report(advice, reasons)
    ctx.exit(0 if advice.ranked else 1)


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


def _advice_json(advice: Recommendation) -> Json:
    return {
        "inputs": [_number(each) for each in advice.workload.all_numbers()],
        "recommendations": [_advised(rank, each, advice) for rank, each in enumerate(advice.ranked, 1)],
        "misses_the_need": [_advised(None, each, advice) for each in advice.near],
        "from_scratch": advice.scratch.reason(advice.workload),
        "break_even": [_break_even(each) for each in advice.break_even],
        "total_cost": _totals(advice),
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
        "setup_hours": _float(option.setup_hours),
        "risks": [{"name": risk.name, "level": risk.level, "why": risk.reason} for risk in advice.risks(each)],
        "next_steps": list(next_steps(option, bundled_models())),
        "criteria": {name: _score(score, advice.weights[name]) for name, score in each.scores.items()},
    }


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
    return [
        {
            "requests_per_month": volume,
            "months": months,
            "usd": {each.candidate.kind: _usd(each.candidate.cost.total(volume, months)) for each in advice.ranked},
        }
        for volume, months in volumes(advice.workload)
    ]


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
