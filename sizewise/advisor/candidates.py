"""Generates the deployment candidates for a workload, and reasons for each exclusion; ranks nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from sizewise.advisor.assumptions import TASKS, Assumptions
from sizewise.advisor.cost import Cost
from sizewise.advisor.latency import LatencyEstimate, hosted_latency, local_latency, output_tokens
from sizewise.advisor.memory_fit import PROPOSED_QUANTIZATIONS, MemoryFit, fit_model, memory_pools
from sizewise.advisor.quality_estimates import (
    ModelOffers,
    QualityEstimate,
    accuracy_after_tuning,
    estimate_quality,
    normalized_quality,
)
from sizewise.advisor.sourced_number import format_seconds
from sizewise.advisor.workload import GB, Workload
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import ModelInfo
from sizewise.money import PICO_PER_DOLLAR, Price

CandidateKind = Literal["local", "local-tuned", "local-large", "hosted", "api", "cascade-local", "cascade-hosted"]

CANDIDATE_KINDS: Mapping[CandidateKind, str] = MappingProxyType(
    {
        "local": "small model here",
        "local-tuned": "small model here, fine-tuned",
        "local-large": "large model here",
        "hosted": "small model, hosted",
        "api": "large model by API",
        "cascade-local": "cascade: small here, large by API",
        "cascade-hosted": "cascade: small hosted, large by API",
    },
)
"""Models of undisclosed size count as large."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One model in one place: at an endpoint, with `offer` and `price`, or on this machine, with `fit`."""

    model: ModelInfo
    quality_estimate: QualityEstimate
    accuracy: Fraction  # 0..1 in the task's benchmark, including tuning and quantization
    quality: Fraction  # 0..1
    latency: LatencyEstimate
    request_cost: Fraction  # pico-dollars per request
    fine_tuned: bool = False
    fit: MemoryFit | None = None
    offer: str = ""
    price: Price | None = None

    @property
    def name(self) -> str:
        if self.fit is None:
            return self.offer
        where = "" if self.fit.pool.kind == "memory" else " on the GPU"
        return f"{self.model.name} {self.fit.quantization}{where}"

    @property
    def is_local(self) -> bool:
        return self.fit is not None


@dataclass(frozen=True, slots=True)
class DeploymentCandidate:
    """One model, or a cascade of a small and a large one, which also gets `escalation_share` of the requests."""

    kind: CandidateKind
    placements: tuple[Placement, ...]
    quality: Fraction
    latency_s: Fraction  # expected, of a whole answer
    setup_hours: Fraction  # hours of labor until it answers
    upkeep_hours: Fraction  # hours of labor per month
    cost: Cost
    escalation_share: Fraction = Fraction(0)

    @property
    def name(self) -> str:
        return " then ".join(part.name for part in self.placements)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why `count` candidates of a kind are unsuitable. `example`: one of them, the nearest miss if there is one."""

    kind: CandidateKind
    reason: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class DeploymentCandidates:
    candidates: tuple[DeploymentCandidate, ...]
    exclusions: tuple[Exclusion, ...]


class _ExclusionCounter:
    """Counts exclusions and keeps the nearest miss (the least `by`) for each reason."""

    def __init__(self) -> None:
        self.found: dict[tuple[CandidateKind, str], tuple[int, Fraction, str]] = {}

    def add(self, kind: CandidateKind, reason: str, example: str, by: Fraction | int = 0) -> None:
        count, nearest, kept = self.found.get((kind, reason), (0, Fraction(by), example))
        best = (Fraction(by), example) if by < nearest else (nearest, kept)
        self.found[kind, reason] = (count + 1, *best)

    def all(self) -> tuple[Exclusion, ...]:
        order = list(CANDIDATE_KINDS)
        rows = [Exclusion(kind, why, count, example) for (kind, why), (count, _, example) in self.found.items()]
        return tuple(sorted(rows, key=lambda row: (order.index(row.kind), -row.count, row.reason)))


def find_candidates(workload: Workload, offers: ModelOffers, assumptions: Assumptions) -> DeploymentCandidates:
    """Independent of the volume, as the ranking requires (see recommendation.py)."""
    refused = _ExclusionCounter()
    parts: dict[CandidateKind, list[Placement]] = {kind: [] for kind in CANDIDATE_KINDS}
    for model in offers.models:
        for kind, part in _placements(model, workload, offers, assumptions, refused):
            parts[kind].append(part)
    options = [_single_candidate(kind, part, workload, assumptions) for kind, found in parts.items() for part in found]
    large = _pareto_front([each for each in parts["api"] if each.quality > 0])
    for kind, small in (("cascade-local", parts["local"]), ("cascade-hosted", parts["hosted"])):
        options.extend(_cascade_candidates(_kind(kind), _pareto_front(small), large, workload, assumptions, refused))
    kept = []
    for option in options:
        if (why := _candidate_objection(option, workload, assumptions)) is None:
            kept.append(option)
        else:
            refused.add(option.kind, why[0], why[1], why[2])
    return DeploymentCandidates(tuple(kept), refused.all())


def _placements(
    model: ModelInfo,
    workload: Workload,
    offers: ModelOffers,
    assumptions: Assumptions,
    refused: _ExclusionCounter,
) -> Iterator[tuple[CandidateKind, Placement]]:
    """Placements of a model that satisfy its own limits, memory, privacy and price; quality and latency are checked
    later.
    """
    large = offers.is_large(model)
    found = estimate_quality(model, TASKS[workload.task], offers, assumptions)
    kind: CandidateKind = "local-large" if large else "local"
    away_kind: CandidateKind = "api" if large else "hosted"
    if (why := _model_objection(model, workload)) is not None:
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
    if (part := _hosted_placement(model, large, found, offers, workload, assumptions)) is not None:
        yield away_kind, part


def _open(model: ModelInfo) -> bool:
    """Whether the weights are available: for closed models, a size is unknown or only claimed by third parties."""
    return model.parameters is not None and not model.parameters.claimed


def _model_objection(model: ModelInfo, workload: Workload) -> tuple[str, str, int] | None:
    """Objection to the model wherever it runs: (reason, example, by how much)."""
    if model.retirement_date is not None and model.retirement_date.value < workload.horizon_end:
        gone = model.retirement_date.value <= workload.today
        why = "is retired" if gone else "will be retired within the time horizon"
        return why, f"{model.name}, {model.retirement_date.value}", 0
    if model.context is None:
        return "has an unknown context window", model.name, 0
    if model.context.value < workload.context:
        window = f"{model.name}, {model.context.value:,}"
        return (
            f"has a context window of fewer than {workload.context:,} tokens",
            window,
            workload.context - model.context.value,
        )
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
    refused: _ExclusionCounter,
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
            if kind == "local" and (again := _tuned_placement(part, workload, assumptions, refused)) is not None:
                yield "local-tuned", again


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


def _tuned_placement(
    placement: Placement,
    workload: Workload,
    assumptions: Assumptions,
    refused: _ExclusionCounter,
) -> Placement | None:
    """The same model after tuning; None, with an exclusion recorded, if it cannot be tuned."""
    task, kind = TASKS[workload.task], "local-tuned"
    model, one = placement.model, placement.fit
    room = round((model.weights_bytes("BF16") or 0) * assumptions["tune-room"])
    why = ""
    example = model.name
    if not task.tuning_gain:
        why, example = "tuning on examples does not help with this task", workload.task
    elif workload.labels < assumptions["least-labels"]:
        why = f"fewer than {int(assumptions['least-labels'])} examples are too few to tune and evaluate a model"
        example = f"{workload.labels} available"
    elif workload.team == "none":
        why, example = "the team has no experience in tuning and evaluating models", f"team {workload.team}"
    elif workload.privacy == "confidential" and one is not None and room > max(workload.memory, workload.gpu):
        why, example = (
            "confidential data must not leave this machine, and training does not fit here",
            f"{example}: {format_bytes(room)}",
        )
    if why:
        refused.add(_kind(kind), why, example, room)
        return None
    share = accuracy_after_tuning(placement.accuracy, task, workload.labels, assumptions)
    return replace(placement, accuracy=share, quality=normalized_quality(share, task), fine_tuned=True)


def _hosted_placement(
    model: ModelInfo,
    large: bool,
    found: QualityEstimate,
    offers: ModelOffers,
    workload: Workload,
    assumptions: Assumptions,
) -> Placement | None:
    """The model at its cheapest endpoint; None if no price is known."""
    said = output_tokens(model, workload, assumptions)
    best: tuple[int, str, Price] | None = None
    for name, price in sorted(offers.prices_by_model[model.name].items()):
        tokens = round(said)
        cost = price.max_cost(workload.tokens_in, tokens)
        if cost and (best is None or cost < best[0]):  # ignore free offers: they have a low quota
            best = (cost, name, price)
    if best is None:
        return None
    cost, name, price = best
    rate = normalized_quality(found.accuracy, TASKS[workload.task])
    pace = hosted_latency(model, large, workload, assumptions)
    return Placement(
        model=model,
        quality_estimate=found,
        accuracy=found.accuracy,
        quality=rate,
        latency=pace,
        request_cost=Fraction(cost),
        offer=name,
        price=price,
    )


def _single_candidate(
    kind: CandidateKind,
    placement: Placement,
    workload: Workload,
    assumptions: Assumptions,
) -> DeploymentCandidate:
    times = assumptions[f"team-{workload.team}"]
    once, monthly = _labor_hours(placement, assumptions)
    hours, upkeep = once * times, monthly * times
    cost = _cost(placement, hours, upkeep, placement.request_cost, workload, assumptions)
    return DeploymentCandidate(
        kind=kind,
        placements=(placement,),
        quality=placement.quality,
        latency_s=placement.latency.seconds,
        setup_hours=hours,
        upkeep_hours=upkeep,
        cost=cost,
    )


def _labor_hours(placement: Placement, assumptions: Assumptions) -> tuple[Fraction, Fraction]:
    """Hours of labor: (one-off, per month)."""
    if not placement.is_local:
        return assumptions["hours-api"], assumptions["upkeep-api"]
    once, monthly = assumptions["hours-here"], assumptions["upkeep-here"]
    return (
        (once + assumptions["hours-tune"], monthly + assumptions["upkeep-tuned"])
        if placement.fine_tuned
        else (once, monthly)
    )


def _cost(
    placement: Placement,
    hours: Fraction,
    upkeep: Fraction,
    unit: Fraction,
    workload: Workload,
    assumptions: Assumptions,
) -> Cost:
    once = hours * assumptions["wage"] * PICO_PER_DOLLAR
    monthly = upkeep * assumptions["wage"] * PICO_PER_DOLLAR
    if placement.fine_tuned and workload.privacy != "confidential":
        once += assumptions["tune-rent"] * PICO_PER_DOLLAR
    if placement.fit is None:
        return Cost(once, monthly, unit)
    room = placement.fit.pool
    rent = assumptions["rent-per-gpu-gb" if room.kind == "gpu" else "rent-per-gb"] * Fraction(room.total, GB)
    return Cost(
        one_off=once,
        monthly=monthly + assumptions["own-machine"] * PICO_PER_DOLLAR,
        per_request=unit,
        capacity=placement.latency.capacity,
        machine_monthly=rent * PICO_PER_DOLLAR,
    )


def _cascade_candidates(
    kind: CandidateKind,
    small: list[Placement],
    large: list[Placement],
    workload: Workload,
    assumptions: Assumptions,
    refused: _ExclusionCounter,
) -> Iterator[DeploymentCandidate]:
    """Pairs each small model with each large one that is better and more expensive."""
    if workload.privacy == "confidential":
        refused.add(
            kind,
            "confidential data must not leave this machine, and the large model's share would",
            "the large model's share",
        )
        return
    times = assumptions[f"team-{workload.team}"]
    for first in small:
        up = 1 - assumptions["trusted"] * first.quality
        for second in large:
            if second.quality <= first.quality or second.request_cost <= first.request_cost:
                refused.add(
                    kind, "the large model is not better, or not more expensive, so one model is enough", first.name
                )
                continue
            rate = max(first.quality, assumptions["promise"] * second.quality)
            (once, monthly), (more, further) = _labor_hours(first, assumptions), _labor_hours(second, assumptions)
            hours = (once + more + assumptions["hours-cascade"]) * times
            upkeep = (monthly + further + assumptions["upkeep-cascade"]) * times
            cost = _cost(first, hours, upkeep, first.request_cost + up * second.request_cost, workload, assumptions)
            expected = first.latency.seconds + up * second.latency.seconds
            yield DeploymentCandidate(
                kind=kind,
                placements=(first, second),
                quality=rate,
                latency_s=expected,
                setup_hours=hours,
                upkeep_hours=upkeep,
                cost=cost,
                escalation_share=up,
            )


def _candidate_objection(
    candidate: DeploymentCandidate,
    workload: Workload,
    assumptions: Assumptions,
) -> tuple[str, str, Fraction] | None:
    """Objection to the candidate as a whole: (reason, example, by how much)."""
    slowest = sum((part.latency.seconds for part in candidate.placements), Fraction(0))
    if slowest > workload.latency_s:
        shown = f"{candidate.name}, {format_seconds(slowest)}"
        return (
            f"takes longer than {format_seconds(workload.latency_s)} per answer",
            shown,
            slowest - workload.latency_s,
        )
    least = min(part.quality for part in candidate.placements)
    if least < assumptions["enough"]:
        if any(part.quality_estimate.unknown for part in candidate.placements):
            return "has unknown quality: measure it before you use it", candidate.name, Fraction(0)
        why = f"is estimated to be too weak for the task {workload.task}"
        return why, f"{candidate.name}, quality {float(least):.2f}", -least
    return None


def _pareto_front(parts: list[Placement]) -> list[Placement]:
    """Placements that no other dominates in quality, cost, latency and capacity."""

    def beats(one: Placement, other: Placement) -> bool:
        ours, theirs = _merits(one), _merits(other)
        return all(a >= b for a, b in zip(ours, theirs, strict=True)) and (ours, other.name) > (theirs, one.name)

    return [part for part in parts if not any(beats(other, part) for other in parts if other is not part)]


def _merits(placement: Placement) -> tuple[Fraction, ...]:
    capacity = placement.latency.capacity or Fraction(0)
    return (placement.quality, -placement.request_cost, -placement.latency.seconds, capacity)


def _kind(text: str) -> CandidateKind:
    return next(kind for kind in CANDIDATE_KINDS if kind == text)
