"""The nine criteria: for each candidate a score from 0 to 1, the reason and the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.assumptions import TASKS, Assumptions, parse_pairs
from sizewise.advisor.candidates import DeploymentCandidate
from sizewise.advisor.energy import EnergyEstimate, hosted_energy, local_energy
from sizewise.advisor.latency import output_tokens, reasoning_assumptions
from sizewise.advisor.placements import Placement
from sizewise.advisor.quality_estimates import quality_number
from sizewise.advisor.sourced_number import SourcedNumber, format_number, format_seconds, format_usd
from sizewise.advisor.workload import GB, Workload
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import Fact
from sizewise.energy import format_wh
from sizewise.errors import BadRequest
from sizewise.money import PICO_PER_DOLLAR

MGSM_LANGUAGES = frozenset({"bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh"})
"""Languages of the MGSM benchmark (Shi et al., arXiv:2210.03057)."""


@dataclass(frozen=True, slots=True)
class CriterionScore:
    """`value` 0..1. `numbers`: sources of the numbers in `reason`. `over_budget`: for cost, the excess as a share of
    the budget; it is subtracted from the score, so that candidates over budget still differ.
    """

    value: Fraction
    reason: str
    numbers: tuple[SourcedNumber, ...] = ()
    over_budget: Fraction = Fraction(0)


Criterion = Callable[[DeploymentCandidate, Workload, Assumptions], CriterionScore]


def score_resources(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    placed = candidate.placements[0].fit
    if placed is None:
        little = candidate.placements[0].is_classifier
        return CriterionScore(Fraction(1), "takes less than 1 GB" if little else "uses none of your memory")
    left = placed.free_share
    told = workload.number("memory-gb" if placed.pool.kind == "memory" else "gpu-gb")
    reserve = "reserve" if placed.pool.kind == "memory" else "reserve-gpu"
    kept = () if placed.pool.kind == "memory" and workload.memory_is_free else (assumptions.number(reserve),)
    one = placed.model.estimate_memory(placed.quantization, placed.context)
    taken = format_bytes(one.total if one is not None else placed.memory.total)
    why = f"one request takes {taken} of {format_bytes(placed.pool.available)}; {placed.slots} run concurrently"
    return CriterionScore(left, why, (told, *kept, workload.number("context"), *placed.numbers()))


def score_cost(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    total = candidate.cost.total(workload.requests, workload.months)
    share = total / (assumptions["budget"] * PICO_PER_DOLLAR * workload.months)
    once, monthly = format_usd(candidate.cost.one_off), format_usd(candidate.cost.monthly_total(workload.requests))
    work_done = format_usd(candidate.upkeep_hours * assumptions["wage"] * PICO_PER_DOLLAR)
    why = (
        f"{once} once and {monthly} per month ({work_done} of it labor): "
        f"{format_usd(total)} in {workload.months} months"
    )
    away = sum((share * part.bytes_out for share, part in _shares(candidate)), Fraction(0)) * workload.requests
    if away:
        fee = away * assumptions["egress"] / GB * PICO_PER_DOLLAR
        why += f"; {format_bytes(round(away))} leave per month, {format_usd(fee)} of egress fees"
    machines = candidate.cost.machines(workload.requests)
    if machines > 1:
        why += f"; {format_number(machines, 1)} machines"
    team = f"team-{workload.team}"
    used = ["wage", "budget", team]
    used += [f"hours-{name}" for name in _setup_assumptions(candidate)] + [
        f"upkeep-{name}" for name in _upkeep_assumptions(candidate)
    ]
    if (fit := candidate.placements[0].fit) is not None:
        gpu = fit.pool.kind == "gpu"
        used += ["electricity", "watts-gpu" if gpu else "watts-cpu", "own-machine"]
        used += ["rent-per-gpu-gb" if gpu else "rent-per-gb"] if machines > 1 else []
    first = candidate.placements[0]
    used += ["tune-rent"] if first.fine_tuned and first.is_local and workload.privacy != "confidential" else []
    used += ["trusted"] if candidate.escalation_share else []
    used += ["egress", "token-bytes"] if away else []
    used += ["image-tokens", "image-kb"] if workload.images else []
    used += [name for part in candidate.placements for name in reasoning_assumptions(part.model)]
    used = list(dict.fromkeys(used))
    prices = [number for part in candidate.placements for number in _price(part)]
    asked = workload.numbers("requests-per-month", "tokens-in", "tokens-out", "months")
    value, over = max(Fraction(0), 1 - share), max(Fraction(0), share - 1)
    return CriterionScore(value, why, (*asked, *prices, *assumptions.numbers(*used)), over)


def score_tuning(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    value = max(Fraction(0), 1 - candidate.setup_hours / assumptions["patience"])
    names = (*(f"hours-{name}" for name in _setup_assumptions(candidate)), f"team-{workload.team}", "patience")
    if candidate.placements[0].fine_tuned:
        names = (*names, "tune-growth")
    weeks = candidate.setup_hours / assumptions["hours-week"]
    why = f"{format_number(candidate.setup_hours, 1)} hours of work before the first answer: {_duration(weeks)}"
    return CriterionScore(value, why, (workload.number("weeks"), *assumptions.numbers(*names, "hours-week")))


def _duration(weeks: Fraction) -> str:
    """Of one person: days below a week, months from eight weeks."""
    if weeks < 1:
        return f"{format_number(weeks * 5, 1)} working days"
    return f"{format_number(weeks, 1)} weeks" if weeks < 8 else f"{format_number(weeks * 12 / 52, 1)} months"


def score_languages(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    found = [_languages(part, workload, assumptions) for part in candidate.placements]
    return _weighted_mean(candidate, found)


def score_capability(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    """For a cascade, the better model's score: requests beyond the small model go to the large one directly."""
    return max(
        (_capability(part, workload, assumptions) for part in candidate.placements),
        key=lambda score: score.value,
    )


def score_speed(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    value = max(Fraction(0), 1 - candidate.latency_s / workload.latency_s)
    why = f"an answer takes {format_seconds(candidate.latency_s)}; the limit is {format_seconds(workload.latency_s)}"
    if len(candidate.placements) > 1:
        slowest = sum((part.latency.seconds for part in candidate.placements), Fraction(0))
        why = (
            f"an answer takes {format_seconds(candidate.latency_s)} on average, "
            f"{format_seconds(slowest)} if both models run"
        )
        why += f"; the limit is {format_seconds(workload.latency_s)}"
    numbers = [number for part in candidate.placements for number in part.latency.numbers]
    return CriterionScore(value, why, (workload.number("latency-ms"), *_once(numbers)))


def score_output(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    task = TASKS[workload.task]
    numbers = [quality_number(part.model, part.quality_estimate) for part in candidate.placements]
    numbers.append(
        SourcedNumber(
            f"accuracy needed for {workload.task}",
            format_number(task.required_accuracy, 3),
            "assumed",
            f"in {task.benchmark}, where chance is {format_number(task.chance_accuracy)}",
        ),
    )
    if len(candidate.placements) > 1:
        return _both(candidate, (*numbers, *assumptions.numbers("trusted", "promise")))
    part = candidate.placements[0]
    had = f"{format_number(part.quality_estimate.accuracy, 3)} before tuning and " if part.fine_tuned else ""
    measure = task.benchmark if part.quality_estimate.measured else f"{task.benchmark}, not measured"
    if part.is_classifier:
        measure = f"estimated from {workload.labels:,} labels, not measured"
    told = (
        f"accuracy {had}{format_number(part.accuracy, 3)} ({measure}); "
        f"{workload.task} needs {format_number(task.required_accuracy, 3)}"
    )
    if part.is_classifier:
        numbers = [workload.number("labels"), *assumptions.numbers("classifier-best", "classifier-labels")]
    if part.fine_tuned:
        numbers += [workload.number("labels"), assumptions.number("half-labels")]
    if part.fit is not None and part.fit.quantization.startswith("Q4"):
        numbers.append(assumptions.number("quantized"))
    return CriterionScore(candidate.quality, told, tuple(numbers))


def _both(candidate: DeploymentCandidate, numbers: tuple[SourcedNumber, ...]) -> CriterionScore:
    small, large = candidate.placements
    kept = format_number(100 * (1 - candidate.escalation_share), 0)
    told = f"{small.model.name} answers {kept} % (accuracy {format_number(small.accuracy, 3)}), "
    told += f"{large.model.name} the rest ({format_number(large.accuracy, 3)})"
    return CriterionScore(candidate.quality, told, numbers)


def score_security(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    asked = workload.number("privacy")
    if workload.privacy == "confidential" or all(part.is_local for part in candidate.placements):
        return CriterionScore(Fraction(1), "nothing leaves this machine", (asked,))
    name = f"away-{workload.privacy}"
    leaves, numbers = assumptions[name], (asked, assumptions.number(name))
    if candidate.placements[0].is_local:
        share = format_number(100 * candidate.escalation_share, 0)
        why = f"{share} % of the {workload.privacy} requests leave this machine"
        return CriterionScore(
            1 - candidate.escalation_share * (1 - leaves),
            why,
            (*numbers, assumptions.number("trusted")),
        )
    hosts = ", ".join(dict.fromkeys(part.offer.partition("/")[0] for part in candidate.placements))
    return CriterionScore(leaves, f"all {workload.privacy} requests go to {hosts}", numbers)


def request_energy(
    candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions
) -> EnergyEstimate | None:
    """Of one request on average; None if the size of one of its models is unknown."""
    whole: EnergyEstimate | None = None
    for share, part in _shares(candidate):
        if part.is_local:
            on_gpu = part.fit is not None and part.fit.pool.kind == "gpu"
            one = local_energy(part.latency.busy_seconds, on_gpu=on_gpu, assumptions=assumptions)
        else:
            away = hosted_energy(part.model, output_tokens(part.model, workload, assumptions), assumptions)
            if away is None:
                return None
            one = away
        whole = one.times(share) if whole is None else whole + one.times(share)
    return whole


def score_energy(candidate: DeploymentCandidate, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    found = request_energy(candidate, workload, assumptions)
    limit = assumptions.number("energy-limit")
    if found is None:
        return CriterionScore(Fraction(0), "unknown: the vendor does not say how large its model is", (limit,))
    within = "" if found.low == found.high else f" ({format_wh(found.low)} to {format_wh(found.high)})"
    month = format_wh(found.wh * workload.requests)
    why = f"{format_wh(found.wh)}{within} a request, {month} a month; {found.how}"
    value = max(Fraction(0), 1 - found.wh / assumptions["energy-limit"])
    return CriterionScore(value, why, (*found.numbers, workload.number("requests-per-month"), limit))


CRITERIA: Mapping[str, tuple[Criterion, str, Fraction]] = MappingProxyType(
    {
        "resources": (score_resources, "resources", Fraction(1)),
        "cost": (score_cost, "adoption and usage cost", Fraction(3)),
        "tuning": (score_tuning, "tuning time", Fraction(1)),
        "languages": (score_languages, "languages", Fraction(2)),
        "capability": (score_capability, "capability range", Fraction(1)),
        "speed": (score_speed, "speed", Fraction(1)),
        "quality": (score_output, "output quality", Fraction(4)),
        "security": (score_security, "security", Fraction(2)),
        "energy": (score_energy, "energy", Fraction(0)),
    },
)
"""Short name -> (function, full name, default weight). Energy is shown, and counts if a weight is given."""


def parse_weights(texts: Sequence[str] = ()) -> Mapping[str, Fraction]:
    """Criterion -> weight; `texts` are like quality=5. Raises BadRequest."""
    found = {name: weight for name, (_, _, weight) in CRITERIA.items()}
    for name, value in parse_pairs(texts, "criterion", "--weight", list(found)):
        if value > 1000:
            raise BadRequest(f"the weight of {name} cannot be {format_number(value)}", "Use a number from 0 to 1000.")
        found[name] = value
    if not any(found.values()):
        raise BadRequest("all weights are 0", "Give at least one criterion a weight above 0.")
    return MappingProxyType(found)


def _weighted_mean(candidate: DeploymentCandidate, found: Sequence[CriterionScore]) -> CriterionScore:
    """For a cascade, weighs each model's score by its share of the answers."""
    if len(found) == 1:
        return found[0]
    small, large = found
    up = candidate.escalation_share
    value = (1 - up) * small.value + up * large.value
    why = small.reason if small.reason == large.reason else f"small: {small.reason}; large: {large.reason}"
    return CriterionScore(value, why, _once([*small.numbers, *large.numbers]))


def _languages(placement: Placement, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    each = {code: _language(placement, code, assumptions) for code in workload.languages}
    worst = min(each, key=lambda code: (each[code].value, code == "en"))
    numbers = _once([workload.number("languages"), *(number for score in each.values() for number in score.numbers)])
    return CriterionScore(each[worst].value, each[worst].reason, numbers)


def _language(placement: Placement, code: str, assumptions: Assumptions) -> CriterionScore:
    """1 for English and for languages that the vendor lists. A measured MMLU score counts relative to English, an MGSM
    score as it is.
    """
    model = placement.model
    if code == "en":
        return CriterionScore(Fraction(1), "English counts fully for every model")
    if model.measured is not None and code in model.measured.value and model.scores and "mmlu" in model.scores.value:
        there, english = _share(model.measured.value[code]), _share(model.scores.value["mmlu"])
        value = min(Fraction(1), there / english) if english else Fraction(0)
        why = f"{code} {format_number(there, 3)}, English {format_number(english, 3)}"
        return CriterionScore(value, why, (_benchmark_number(model.name, f"mmlu in {code}", there, model.measured),))
    if model.languages is not None:  # models that do not list it are already excluded
        listed = SourcedNumber(
            f"{model.name} languages",
            f"{code} among {len(model.languages.value)}",
            "fact",
            str(model.languages),
        )
        return CriterionScore(Fraction(1), f"its vendor lists {code}", (listed,))
    if code in MGSM_LANGUAGES and model.scores is not None and "mgsm" in model.scores.value:
        share = _share(model.scores.value["mgsm"])
        why = f"mgsm {format_number(share, 3)}: math word problems in eleven languages, including {code}"
        return CriterionScore(share, why, (_benchmark_number(model.name, "mgsm", share, model.scores),))
    return CriterionScore(assumptions["unlisted"], f"no data on {code}", (assumptions.number("unlisted"),))


def _capability(placement: Placement, workload: Workload, assumptions: Assumptions) -> CriterionScore:
    """Share of five skills: tools, JSON schema, images, reasoning, and four times the required context window."""
    if placement.is_classifier:
        return CriterionScore(Fraction(0), "can do nothing but assign the labels that it was trained on")
    model, unknown = placement.model, assumptions["unknown-skill"]
    window = model.context
    skills: dict[str, bool | None] = {
        "tools": _says(model.tools),
        "schema": True if placement.is_local else _says(model.structured_outputs),
        "images": None if model.input_modalities is None else "image" in model.input_modalities.value,
        "reasoning": _says(model.reasoning),
        "long texts": None if window is None else window.value >= 4 * workload.context,
    }
    value = sum((unknown if has is None else Fraction(has) for has in skills.values()), Fraction(0)) / len(skills)
    can = [name for name, has in skills.items() if has]
    open_ = [name for name, has in skills.items() if has is None]
    why = ", ".join(can) or "text only"
    why += f"; unknown: {', '.join(open_)}" if open_ else ""
    facts = (
        ("tools", model.tools),
        ("structured_outputs", model.structured_outputs),
        ("input_modalities", model.input_modalities),
        ("reasoning", model.reasoning),
    )
    numbers = [
        SourcedNumber(f"{model.name} {name}", _shown(fact.value), "fact", str(fact)) for name, fact in facts if fact
    ]
    numbers += [SourcedNumber(f"{model.name} context", f"{window.value:,}", "fact", str(window))] if window else []
    if open_:
        numbers.append(assumptions.number("unknown-skill"))
    if placement.fine_tuned:
        why = f"tuned to one task; {why}"
        return CriterionScore(value * assumptions["tuned-range"], why, (*numbers, assumptions.number("tuned-range")))
    return CriterionScore(value, why, tuple(numbers))


def _says(fact: Fact[bool] | None) -> bool | None:
    return None if fact is None else fact.value


def _shown(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value))) or "text only"
    return "yes" if value is True else "no" if value is False else str(value)


def _setup_assumptions(candidate: DeploymentCandidate) -> tuple[str, ...]:
    return _kinds(candidate, "tune")


def _upkeep_assumptions(candidate: DeploymentCandidate) -> tuple[str, ...]:
    return _kinds(candidate, "tuned")


def _kinds(candidate: DeploymentCandidate, tuned: str) -> tuple[str, ...]:
    """Suffixes of the labor assumptions that apply to a candidate."""
    found = [
        "classifier" if part.is_classifier else "here" if part.is_local else "api" for part in candidate.placements
    ]
    found += [tuned] if candidate.placements[0].fine_tuned else []
    return tuple(dict.fromkeys([*found, "cascade"] if len(candidate.placements) > 1 else found))


def _shares(candidate: DeploymentCandidate) -> tuple[tuple[Fraction, Placement], ...]:
    """Each model with the share of the requests that it gets: in a cascade the small one gets all."""
    first, *rest = candidate.placements
    return ((Fraction(1), first), *((candidate.escalation_share, part) for part in rest))


def _price(placement: Placement) -> tuple[SourcedNumber, ...]:
    if placement.price is None:
        return ()
    source = f"{placement.price.source}, {placement.price.date}"
    rates = ((name, getattr(placement.price, name)) for name in ("input", "output"))
    return tuple(
        SourcedNumber(f"{placement.offer} {name}", f"{format_usd(rate * 1_000_000)} per million tokens", "fact", source)
        for name, rate in rates
        if rate is not None
    )


def _benchmark_number(model: str, name: str, share: Fraction, fact: Fact[Mapping[str, float]]) -> SourcedNumber:
    return SourcedNumber(f"{model} {name}", format_number(share, 3), "fact", str(fact))


def _share(value: float) -> Fraction:
    return Fraction(repr(value))


def _once(numbers: Sequence[SourcedNumber]) -> tuple[SourcedNumber, ...]:
    return tuple(dict.fromkeys(numbers))
