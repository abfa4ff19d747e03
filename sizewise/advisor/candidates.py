"""Generates the deployment candidates for a workload, and reasons for each exclusion; ranks nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.candidate_kinds import CANDIDATE_KINDS, CandidateKind, Exclusion, ExclusionCounter
from sizewise.advisor.cost import Cost
from sizewise.advisor.placement_search import classifier_placements, find_placements
from sizewise.advisor.placements import Placement
from sizewise.advisor.quality_estimates import ModelOffers
from sizewise.advisor.sourced_number import format_number, format_seconds
from sizewise.advisor.tuning import tuning_hours
from sizewise.advisor.workload import GB, Workload
from sizewise.money import PICO_PER_DOLLAR


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
class DeploymentCandidates:
    candidates: tuple[DeploymentCandidate, ...]
    exclusions: tuple[Exclusion, ...]


def find_candidates(workload: Workload, offers: ModelOffers, assumptions: Assumptions) -> DeploymentCandidates:
    """Independent of the volume, as the ranking requires (see recommendation.py)."""
    refused = ExclusionCounter()
    parts: dict[CandidateKind, list[Placement]] = {kind: [] for kind in CANDIDATE_KINDS}
    for model in offers.models:
        for kind, part in find_placements(model, workload, offers, assumptions, refused):
            parts[kind].append(part)
    parts["classifier"].extend(classifier_placements(workload, offers, assumptions, refused))
    options = [_single_candidate(kind, part, workload, assumptions) for kind, found in parts.items() for part in found]
    large = _pareto_front([each for each in parts["api"] if each.quality > 0])
    pairs: tuple[tuple[CandidateKind, list[Placement]], ...] = (
        ("cascade-local", parts["local"]),
        ("cascade-hosted", parts["hosted"]),
    )
    for kind, small in pairs:
        options.extend(_cascade_candidates(kind, _pareto_front(small), large, workload, assumptions, refused))
    kept = []
    for option in options:
        if (why := _candidate_objection(option, workload, assumptions)) is None:
            kept.append(option)
        else:
            refused.add(option.kind, why[0], why[1], why[2])
    return DeploymentCandidates(tuple(kept), refused.all())


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
    if placement.is_classifier:
        return assumptions["hours-classifier"], assumptions["upkeep-classifier"]
    where = "here" if placement.is_local else "api"
    once, monthly = assumptions[f"hours-{where}"], assumptions[f"upkeep-{where}"]
    if placement.fine_tuned:
        return once + tuning_hours(placement.model, assumptions), monthly + assumptions["upkeep-tuned"]
    return once, monthly


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
    if placement.fine_tuned and placement.is_local and workload.privacy != "confidential":
        once += assumptions["tune-rent"] * PICO_PER_DOLLAR
    if not placement.is_local:
        return Cost(once, monthly, unit)
    if placement.fit is None:
        return Cost(
            one_off=once,
            monthly=monthly + assumptions["own-machine"] * PICO_PER_DOLLAR,
            per_request=unit,
            capacity=placement.latency.capacity,
            machine_monthly=assumptions["rent-per-gb"] * Fraction(workload.memory, GB) * PICO_PER_DOLLAR,
        )
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
    refused: ExclusionCounter,
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
    weeks = candidate.setup_hours / assumptions["hours-week"]
    if workload.weeks and weeks > workload.weeks:
        why = f"takes longer to set up than the {workload.weeks} weeks that there are"
        return why, f"{candidate.name}, {format_number(weeks, 1)} weeks", weeks - workload.weeks
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
