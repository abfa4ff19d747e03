"""The eight criteria: for an option a score of 0..1 each, the reason in words, and the numbers it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.assumptions import TASKS, Assumed, pairs
from sizewise.advisor.candidates import Option, Part
from sizewise.advisor.quality_estimates import number
from sizewise.advisor.sourced_number import Number, plain, seconds, usd
from sizewise.advisor.workload import Workload
from sizewise.catalog.memory_estimate import size
from sizewise.catalog.model_info import Fact
from sizewise.errors import BadRequest
from sizewise.money import PICO

MGSM = frozenset({"bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh"})
"""Languages of that benchmark (Shi and others, arXiv 2210.03057): a score in it tells of these."""


@dataclass(frozen=True, slots=True)
class Score:
    """`value` 0..1; `numbers` say where each number in `why` comes from. `over`: of cost, what is beyond the budget
    as a share of it; it counts against the option as the score counts for it, so that dear and dearer differ."""

    value: Fraction
    why: str
    numbers: tuple[Number, ...] = ()
    over: Fraction = Fraction(0)


Judge = Callable[[Option, Workload, Assumed], Score]


def resources(option: Option, work: Workload, assumed: Assumed) -> Score:
    placed = option.parts[0].fit
    if placed is None:
        return Score(Fraction(1), "takes no memory of yours")
    left = placed.left
    told = work.number("memory-gb" if placed.room.where == "memory" else "gpu-gb")
    reserve = "reserve" if placed.room.where == "memory" else "reserve-gpu"
    kept = () if placed.room.where == "memory" and work.free else (assumed.number(reserve),)
    one = placed.model.memory(placed.quantisation, placed.context)
    taken = size(one.total if one is not None else placed.need.total)
    why = f"one request takes {taken} of {size(placed.room.bytes)}; {placed.slots} fit side by side"
    return Score(left, why, (told, *kept, work.number("context"), *placed.numbers()))


def cost(option: Option, work: Workload, assumed: Assumed) -> Score:
    total = option.cost.total(work.requests, work.months)
    share = total / (assumed["budget"] * PICO * work.months)
    once, monthly = usd(option.cost.one_off), usd(option.cost.month(work.requests))
    work_done = usd(option.upkeep * assumed["wage"] * PICO)
    why = f"{once} once and {monthly} a month ({work_done} of it people's work): {usd(total)} in {work.months} months"
    machines = option.cost.machines(work.requests)
    if machines > 1:
        why += f"; {plain(machines, 1)} machines"
    team = f"team-{work.team}"
    used = ["wage", "budget", team]
    used += [f"hours-{name}" for name in _works(option)] + [f"upkeep-{name}" for name in _upkeeps(option)]
    if (fit := option.parts[0].fit) is not None:
        gpu = fit.room.where == "gpu"
        used += ["electricity", "watts-gpu" if gpu else "watts-cpu", "own-machine"]
        used += ["rent-per-gpu-gb" if gpu else "rent-per-gb"] if machines > 1 else []
    used += ["tune-rent"] if option.parts[0].tuned and work.privacy != "confidential" else []
    used += ["trusted"] if option.escalated else []
    prices = [number for part in option.parts for number in _price(part)]
    asked = work.numbers("requests-per-month", "tokens-in", "tokens-out", "months")
    value, over = max(Fraction(0), 1 - share), max(Fraction(0), share - 1)
    return Score(value, why, (*asked, *prices, *assumed.numbers(*used)), over)


def tuning(option: Option, work: Workload, assumed: Assumed) -> Score:
    value = max(Fraction(0), 1 - option.hours / assumed["patience"])
    names = (*(f"hours-{name}" for name in _works(option)), f"team-{work.team}", "patience")
    return Score(value, f"{plain(option.hours, 1)} hours of work before it answers", assumed.numbers(*names))


def languages(option: Option, work: Workload, assumed: Assumed) -> Score:
    found = [_languages(part, work, assumed) for part in option.parts]
    return _mixed(option, found)


def capability(option: Option, work: Workload, assumed: Assumed) -> Score:
    """Of a cascade: the wider one's, for what the small model has not goes to the large one at once."""
    return max((_capability(part, work, assumed) for part in option.parts), key=lambda score: score.value)


def speed(option: Option, work: Workload, assumed: Assumed) -> Score:
    value = max(Fraction(0), 1 - option.seconds / work.latency_s)
    why = f"an answer takes {seconds(option.seconds)}, allowed are {seconds(work.latency_s)}"
    if len(option.parts) > 1:
        slowest = sum((part.pace.seconds for part in option.parts), Fraction(0))
        why = f"an answer takes {seconds(option.seconds)} on average, {seconds(slowest)} when both are asked"
        why += f"; allowed are {seconds(work.latency_s)}"
    numbers = [number for part in option.parts for number in part.pace.numbers]
    return Score(value, why, (work.number("latency-ms"), *_once(numbers)))


def output(option: Option, work: Workload, assumed: Assumed) -> Score:
    task = TASKS[work.task]
    numbers = [number(part.model, part.able) for part in option.parts]
    numbers.append(
        Number(
            f"need of {work.task}",
            plain(task.need, 3),
            "assumed",
            f"in {task.benchmark}, of {plain(task.chance)} by chance",
        )
    )
    if len(option.parts) > 1:
        return _both(option, (*numbers, *assumed.numbers("trusted", "promise")))
    part = option.parts[0]
    had = f"{plain(part.able.share, 3)} before tuning and " if part.tuned else ""
    measure = task.benchmark if part.able.measured else f"{task.benchmark}, not measured"
    told = f"ability {had}{plain(part.share, 3)} ({measure}) where {work.task} asks {plain(task.need, 3)}"
    if part.tuned:
        numbers += [work.number("labels"), assumed.number("half-labels")]
    if part.fit is not None and part.fit.quantisation.startswith("Q4"):
        numbers.append(assumed.number("quantised"))
    return Score(option.quality, told, tuple(numbers))


def _both(option: Option, numbers: tuple[Number, ...]) -> Score:
    small, large = option.parts
    kept = plain(100 * (1 - option.escalated), 0)
    told = f"{kept} % are kept by {small.model.name} (ability {plain(small.share, 3)}), "
    told += f"the rest goes to {large.model.name} ({plain(large.share, 3)})"
    return Score(option.quality, told, numbers)


def security(option: Option, work: Workload, assumed: Assumed) -> Score:
    asked = work.number("privacy")
    if work.privacy == "confidential" or all(part.here for part in option.parts):
        return Score(Fraction(1), "nothing leaves this machine", (asked,))
    name = f"away-{work.privacy}"
    leaves, numbers = assumed[name], (asked, assumed.number(name))
    if option.parts[0].here:
        share = plain(100 * option.escalated, 0)
        why = f"{share} % of the {work.privacy} requests leave this machine"
        return Score(1 - option.escalated * (1 - leaves), why, (*numbers, assumed.number("trusted")))
    hosts = ", ".join(dict.fromkeys(part.offer.partition("/")[0] for part in option.parts))
    return Score(leaves, f"all {work.privacy} requests go to {hosts}", numbers)


CRITERIA: Mapping[str, tuple[Judge, str, Fraction]] = MappingProxyType(
    {
        "resources": (resources, "resources", Fraction(1)),
        "cost": (cost, "adoption and usage cost", Fraction(3)),
        "tuning": (tuning, "tuning time", Fraction(1)),
        "languages": (languages, "languages", Fraction(2)),
        "capability": (capability, "capability range", Fraction(1)),
        "speed": (speed, "speed", Fraction(1)),
        "quality": (output, "output quality", Fraction(4)),
        "security": (security, "security", Fraction(2)),
    }
)
"""By its short name each criterion: how it is judged, its whole name, its weight where nobody says another."""


def weights(said: Sequence[str] = ()) -> Mapping[str, Fraction]:
    """By criterion; `said` are texts as quality=5. Raises BadRequest."""
    found = {name: weight for name, (_, _, weight) in CRITERIA.items()}
    for name, value in pairs(said, "criterion", "--weight", list(found)):
        if value > 1000:
            raise BadRequest(f"the weight of {name} cannot be {plain(value)}", "Give a number from 0 to 1000.")
        found[name] = value
    if not any(found.values()):
        raise BadRequest("all weights are nought", "Give at least one criterion a weight above 0.")
    return MappingProxyType(found)


def _mixed(option: Option, found: Sequence[Score]) -> Score:
    """Of a cascade: each model's by the share of the answers that it gives."""
    if len(found) == 1:
        return found[0]
    small, large = found
    up = option.escalated
    value = (1 - up) * small.value + up * large.value
    why = small.why if small.why == large.why else f"small: {small.why}; large: {large.why}"
    return Score(value, why, _once([*small.numbers, *large.numbers]))


def _languages(part: Part, work: Workload, assumed: Assumed) -> Score:
    each = {code: _language(part, code, assumed) for code in work.languages}
    worst = min(each, key=lambda code: (each[code].value, code == "en"))
    numbers = _once([work.number("languages"), *(number for score in each.values() for number in score.numbers)])
    return Score(each[worst].value, each[worst].why, numbers)


def _language(part: Part, code: str, assumed: Assumed) -> Score:
    """In full for English and for what is listed; what was measured counts against English or, in sums, as it is."""
    model = part.model
    if code == "en":
        return Score(Fraction(1), "English counts in full for every model")
    if model.measured is not None and code in model.measured.value and model.scores and "mmlu" in model.scores.value:
        there, english = _share(model.measured.value[code]), _share(model.scores.value["mmlu"])
        value = min(Fraction(1), there / english) if english else Fraction(0)
        why = f"{code} {plain(there, 3)} where English is {plain(english, 3)}"
        return Score(value, why, (_told(model.name, f"mmlu in {code}", there, model.measured),))
    if model.languages is not None:  # one that it does not list was refused before
        listed = Number(
            f"{model.name} languages", f"{code} among {len(model.languages.value)}", "fact", str(model.languages)
        )
        return Score(Fraction(1), f"its vendor lists {code}", (listed,))
    if code in MGSM and model.scores is not None and "mgsm" in model.scores.value:
        share = _share(model.scores.value["mgsm"])
        why = f"mgsm {plain(share, 3)}, sums in eleven languages, {code} among them"
        return Score(share, why, (_told(model.name, "mgsm", share, model.scores),))
    return Score(assumed["unlisted"], f"nothing is known of its {code}", (assumed.number("unlisted"),))


def _capability(part: Part, work: Workload, assumed: Assumed) -> Score:
    """Five skills: tools, a schema, pictures, thinking, four times the window that is asked."""
    model, unknown = part.model, assumed["unknown-skill"]
    window = model.context
    skills: dict[str, bool | None] = {
        "tools": _says(model.tools),
        "schema": True if part.here else _says(model.structured),
        "pictures": None if model.sees is None else "image" in model.sees.value,
        "thinking": _says(model.thinks),
        "long texts": None if window is None else window.value >= 4 * work.context,
    }
    value = sum((unknown if has is None else Fraction(has) for has in skills.values()), Fraction(0)) / len(skills)
    can = [name for name, has in skills.items() if has]
    open_ = [name for name, has in skills.items() if has is None]
    why = ", ".join(can) or "text alone"
    why += f"; unknown: {', '.join(open_)}" if open_ else ""
    facts = (("tools", model.tools), ("structured", model.structured), ("sees", model.sees), ("thinks", model.thinks))
    numbers = [Number(f"{model.name} {name}", _shown(fact.value), "fact", str(fact)) for name, fact in facts if fact]
    numbers += [Number(f"{model.name} context", f"{window.value:,}", "fact", str(window))] if window else []
    if open_:
        numbers.append(assumed.number("unknown-skill"))
    if part.tuned:
        why = f"tuned to one task; {why}"
        return Score(value * assumed["tuned-range"], why, (*numbers, assumed.number("tuned-range")))
    return Score(value, why, tuple(numbers))


def _says(fact: Fact[bool] | None) -> bool | None:
    return None if fact is None else fact.value


def _shown(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value))) or "text alone"
    return "yes" if value is True else "no" if value is False else str(value)


def _works(option: Option) -> tuple[str, ...]:
    return _kinds(option, "tune")


def _upkeeps(option: Option) -> tuple[str, ...]:
    return _kinds(option, "tuned")


def _kinds(option: Option, tuned: str) -> tuple[str, ...]:
    """The assumptions about people's work that an option takes, by the ends of their names."""
    found = ["here" if part.here else "api" for part in option.parts]
    found += [tuned] if option.parts[0].tuned else []
    return tuple(dict.fromkeys([*found, "cascade"] if len(option.parts) > 1 else found))


def _price(part: Part) -> tuple[Number, ...]:
    if part.price is None:
        return ()
    source = f"{part.price.source}, {part.price.date}"
    rates = ((name, getattr(part.price, name)) for name in ("input", "output"))
    return tuple(
        Number(f"{part.offer} {name}", f"{usd(rate * 1_000_000)} a million tokens", "fact", source)
        for name, rate in rates
        if rate is not None
    )


def _told(model: str, name: str, share: Fraction, fact: Fact[Mapping[str, float]]) -> Number:
    return Number(f"{model} {name}", plain(share, 3), "fact", str(fact))


def _share(value: float) -> Fraction:
    return Fraction(repr(value))


def _once(numbers: Sequence[Number]) -> tuple[Number, ...]:
    return tuple(dict.fromkeys(numbers))
