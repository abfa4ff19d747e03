"""Finds where each model can run: here by quantization, or at endpoints that sell it, with reasons for exclusions."""

from __future__ import annotations

from collections.abc import Iterator

from sizewise.advisor.assumptions import TASKS, Assumptions
from sizewise.advisor.candidate_kinds import CandidateKind, ExclusionCounter
from sizewise.advisor.latency import hosted_latency, input_tokens, local_latency, output_tokens
from sizewise.advisor.memory_fit import PROPOSED_QUANTIZATIONS, MemoryFit, fit_model, memory_pools
from sizewise.advisor.placements import Placement
from sizewise.advisor.quality_estimates import (
    ModelOffers,
    PricesByOffer,
    QualityEstimate,
    estimate_quality,
    normalized_quality,
)
from sizewise.advisor.trained_classifier import classifier_objection, classifier_placement
from sizewise.advisor.tuning import tuned_placement, tuning_objection
from sizewise.advisor.workload import GB, Workload
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import ModelInfo
from sizewise.money import PICO_PER_DOLLAR, Price


def find_placements(
    model: ModelInfo,
    workload: Workload,
    offers: ModelOffers,
    assumptions: Assumptions,
    refused: ExclusionCounter,
) -> Iterator[tuple[CandidateKind, Placement]]:
    """Placements of a model that satisfy its own limits, memory, privacy and price; quality and latency are checked
    later.
    """
    large = offers.is_large(model)
    found = estimate_quality(model, TASKS[workload.task], offers, assumptions)
    kind: CandidateKind = "local-large" if large else "local"
    away_kind: CandidateKind = "api" if large else "hosted"
    if (why := _model_objection(model, workload, assumptions)) is not None:
        for each, there in ((kind, _open(model)), (away_kind, offers.prices_by_model[model.name])):
            if there:
                refused.add(each, *why)
        return
    yield from _local_placements(model, kind, found, workload, assumptions, refused)
    if not offers.prices_by_model[model.name]:
        return
    if workload.privacy == "confidential":
        refused.add(away_kind, "confidential data must not leave this machine", model.name)
        return
    sold = _sold_offers(model, away_kind, offers.prices_by_model[model.name], offers, workload, refused)
    if (part := _hosted_placement(model, large, found, sold, workload, assumptions)) is not None:
        yield away_kind, part
    if large and offers.tuned_prices:
        yield from _tuned_by_vendor(model, found, offers, workload, assumptions, refused)


def _open(model: ModelInfo) -> bool:
    """Whether the weights are available: for closed models, a size is unknown or only claimed by third parties."""
    return model.parameters is not None and not model.parameters.claimed


def _model_objection(model: ModelInfo, workload: Workload, assumptions: Assumptions) -> tuple[str, str, int] | None:
    """Objection to the model wherever it runs: (reason, example, by how much)."""
    if model.retirement_date is not None and model.retirement_date.value < workload.horizon_end:
        gone = model.retirement_date.value <= workload.today
        why = "is retired" if gone else "will be retired within the time horizon"
        return why, f"{model.name}, {model.retirement_date.value}", 0
    if workload.images:
        accepted = model.input_modalities
        if accepted is None or "image" not in accepted.value:
            return "accepts no images" if accepted else "is not known to accept images", model.name, 0
    needed = workload.context + input_tokens(workload, assumptions) - workload.tokens_in
    if model.context is None:
        return "has an unknown context window", model.name, 0
    if model.context.value < needed:
        window = f"{model.name}, {model.context.value:,}"
        return f"has a context window of fewer than {needed:,} tokens", window, needed - model.context.value
    if model.max_output is not None and model.max_output.value < workload.tokens_out:
        return f"outputs fewer than {workload.tokens_out:,} tokens", f"{model.name}, {model.max_output.value:,}", 0
    if model.languages is not None:
        for each in workload.languages:
            if each not in model.languages.value:
                return f"does not list the language {each!r}", model.name, 0
    return None


def _local_placements(
    model: ModelInfo,
    kind: CandidateKind,
    found: QualityEstimate,
    workload: Workload,
    assumptions: Assumptions,
    refused: ExclusionCounter,
) -> Iterator[tuple[CandidateKind, Placement]]:
    if not _open(model):
        return
    for room in memory_pools(workload, assumptions):
        slots = int(assumptions["most-slots"])
        each = [fit_model(model, name, workload.context, room, slots) for name in PROPOSED_QUANTIZATIONS]
        fits = [one for one in each if one is not None]
        if not fits:
            refused.add(kind, "has an unknown architecture, so its memory cannot be estimated", model.name)
            return
        fitting = [one for one in fits if one.slots]
        if not fitting:
            least = fits[-1].memory
            refused.add(
                kind,
                f"does not fit into {format_bytes(room.available)} of {room.kind}",
                f"{model.name} {fits[-1].quantization} takes {format_bytes(least.total)}",
                least.total,
            )
        for one in fitting:
            part = _local_placement(one, found, workload, assumptions)
            yield kind, part
            tuned: CandidateKind = "local-tuned" if kind == "local" else "local-large-tuned"
            if (objection := tuning_objection(part, workload, assumptions)) is not None:
                refused.add(tuned, *objection)
            else:
                yield tuned, tuned_placement(part, workload, assumptions)


def _local_placement(one: MemoryFit, found: QualityEstimate, workload: Workload, assumptions: Assumptions) -> Placement:
    task, pace = TASKS[workload.task], local_latency(one, workload, assumptions)
    share = found.accuracy - (assumptions["quantized"] if one.quantization.startswith("Q4") else 0)
    watts = assumptions["watts-gpu" if one.pool.kind == "gpu" else "watts-cpu"]
    unit = watts * pace.busy_seconds / 3_600_000 * assumptions["electricity"] * PICO_PER_DOLLAR
    return Placement(
        model=one.model,
        quality_estimate=found,
        accuracy=share,
        quality=normalized_quality(share, task),
        latency=pace,
        request_cost=unit,
        fit=one,
    )


def classifier_placements(
    workload: Workload,
    offers: ModelOffers,
    assumptions: Assumptions,
    refused: ExclusionCounter,
) -> Iterator[Placement]:
    if offers.encoder is None:
        return
    if (why := classifier_objection(offers.encoder, workload, assumptions)) is not None:
        refused.add("classifier", *why)
    else:
        yield classifier_placement(offers.encoder, workload, assumptions)


def _sold_offers(
    model: ModelInfo,
    kind: CandidateKind,
    prices: PricesByOffer,
    offers: ModelOffers,
    workload: Workload,
    refused: ExclusionCounter,
) -> PricesByOffer:
    """The offers that are sold today and until the end of the horizon; the others are counted as exclusions."""
    sold, objections = dict[str, Price](), dict[str, str]()
    for name, price in prices.items():
        status = offers.statuses.get(name) if offers.statuses is not None else None
        why = status.objection(workload.today, workload.horizon_end) if status is not None else ""
        if why:
            objections.setdefault(why, f"{name}, {status.ends or status.source}" if status is not None else name)
        else:
            sold[name] = price
    if not sold:
        for why, example in objections.items():
            refused.add(kind, why, example)
    return sold


def _tuned_by_vendor(
    model: ModelInfo,
    found: QualityEstimate,
    offers: ModelOffers,
    workload: Workload,
    assumptions: Assumptions,
    refused: ExclusionCounter,
) -> Iterator[tuple[CandidateKind, Placement]]:
    tuned = {
        name: offers.tuned_prices[name] for name in offers.prices_by_model[model.name] if name in offers.tuned_prices
    }
    sold = _sold_offers(model, "api-tuned", tuned, offers, workload, refused)
    part = _hosted_placement(model, True, found, sold, workload, assumptions)
    if part is None:
        return
    if (why := tuning_objection(part, workload, assumptions)) is not None:
        refused.add("api-tuned", *why)
    else:
        yield "api-tuned", tuned_placement(part, workload, assumptions)


def _hosted_placement(
    model: ModelInfo,
    large: bool,
    found: QualityEstimate,
    prices: PricesByOffer,
    workload: Workload,
    assumptions: Assumptions,
) -> Placement | None:
    """The model at the cheapest of the offers; None if there is none."""
    said = output_tokens(model, workload, assumptions)
    best: tuple[int, str, Price] | None = None
    for name, price in sorted(prices.items()):
        tokens = round(said)
        cost = price.max_cost(input_tokens(workload, assumptions), tokens)
        if cost and (best is None or cost < best[0]):  # ignore free offers: they have a low quota
            best = (cost, name, price)
    if best is None:
        return None
    cost, name, price = best
    rate = normalized_quality(found.accuracy, TASKS[workload.task])
    away = workload.tokens_in * assumptions["token-bytes"] + workload.images * assumptions["image-kb"] * 1000
    pace = hosted_latency(model, large, workload, assumptions)
    return Placement(
        model=model,
        quality_estimate=found,
        accuracy=found.accuracy,
        quality=rate,
        latency=pace,
        request_cost=cost + away * assumptions["egress"] * PICO_PER_DOLLAR / GB,
        offer=name,
        price=price,
        bytes_out=away,
    )
