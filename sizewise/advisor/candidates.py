"""Every way the work could be done with the models there are, and for what cannot be, the reason; ranks nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from sizewise.advisor.assumptions import TASKS, Assumed
from sizewise.advisor.cost import Cost
from sizewise.advisor.latency import Pace, away, here, written
from sizewise.advisor.memory_fit import QUANTISATIONS, Fit, fit, rooms
from sizewise.advisor.quality_estimates import Ability, Market, ability, quality, tuned
from sizewise.advisor.sourced_number import seconds
from sizewise.advisor.workload import GB, Workload
from sizewise.catalog.memory_estimate import size
from sizewise.catalog.model_info import Known
from sizewise.money import PICO, Price

Kind = Literal["local", "local-tuned", "local-large", "hosted", "api", "cascade-local", "cascade-hosted"]

KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        "local": "small model here",
        "local-tuned": "small model here, fine-tuned",
        "local-large": "large model here",
        "hosted": "small model, hosted",
        "api": "large model by API",
        "cascade-local": "cascade: small here, large by API",
        "cascade-hosted": "cascade: small hosted, large by API",
    }
)
"""Large are also models whose size is their vendor's secret."""


@dataclass(frozen=True, slots=True)
class Part:
    """One model at one place. `offer`: its name at an endpoint, with `price`; else `fit`: where it stands here."""

    model: Known
    able: Ability
    share: Fraction  # right in the task's benchmark, tuning and quantisation included
    quality: Fraction  # 0..1
    pace: Pace
    unit: Fraction  # pico-dollars a request
    tuned: bool = False
    fit: Fit | None = None
    offer: str = ""
    price: Price | None = None

    @property
    def name(self) -> str:
        if self.fit is None:
            return self.offer
        where = "" if self.fit.room.where == "memory" else " on the GPU"
        return f"{self.model.name} {self.fit.quantisation}{where}"

    @property
    def here(self) -> bool:
        return self.fit is not None


@dataclass(frozen=True, slots=True)
class Option:
    """One way to do the work: a part, or a small one and a large one that gets `escalated` of the requests too."""

    kind: Kind
    parts: tuple[Part, ...]
    quality: Fraction
    seconds: Fraction  # expected, of a whole answer
    hours: Fraction  # of people's work until it answers
    upkeep: Fraction  # hours of it a month from then on
    cost: Cost
    escalated: Fraction = Fraction(0)

    @property
    def name(self) -> str:
        return " then ".join(part.name for part in self.parts)


@dataclass(frozen=True, slots=True)
class Out:
    """Why `count` candidates of a kind cannot do it; `example` is one of them, the nearest miss where there is one."""

    kind: Kind
    why: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Field:
    options: tuple[Option, ...]
    out: tuple[Out, ...]


class _Refused:
    """Counts objections, and keeps for each reason the nearest miss (the least `by`)."""

    def __init__(self) -> None:
        self.found: dict[tuple[Kind, str], tuple[int, Fraction, str]] = {}

    def add(self, kind: Kind, why: str, example: str, by: Fraction | int = 0) -> None:
        count, nearest, kept = self.found.get((kind, why), (0, Fraction(by), example))
        best = (Fraction(by), example) if by < nearest else (nearest, kept)
        self.found[kind, why] = (count + 1, *best)

    def all(self) -> tuple[Out, ...]:
        order = list(KINDS)
        rows = [Out(kind, why, count, example) for (kind, why), (count, _, example) in self.found.items()]
        return tuple(sorted(rows, key=lambda row: (order.index(row.kind), -row.count, row.why)))


def field(work: Workload, market: Market, assumed: Assumed) -> Field:
    """Nothing here looks at the volume: whether a thing can be done does not hang on how often."""
    refused = _Refused()
    parts: dict[Kind, list[Part]] = {kind: [] for kind in KINDS}
    for model in market.models:
        for kind, part in _parts(model, work, market, assumed, refused):
            parts[kind].append(part)
    options = [_single(kind, part, work, assumed) for kind, found in parts.items() for part in found]
    large = _worthwhile([each for each in parts["api"] if each.quality > 0])
    for kind, small in (("cascade-local", parts["local"]), ("cascade-hosted", parts["hosted"])):
        options.extend(_cascades(_kind(kind), _worthwhile(small), large, work, assumed, refused))
    kept = []
    for option in options:
        if (why := _objection(option, work, assumed)) is None:
            kept.append(option)
        else:
            refused.add(option.kind, why[0], why[1], why[2])
    return Field(tuple(kept), refused.all())


def _parts(
    model: Known, work: Workload, market: Market, assumed: Assumed, refused: _Refused
) -> Iterator[tuple[Kind, Part]]:
    """The places in which a model could do its work, whatever the work demands beyond memory and price."""
    large = market.large(model)
    found = ability(model, TASKS[work.task], market, assumed)
    kind: Kind = "local-large" if large else "local"
    away_kind: Kind = "api" if large else "hosted"
    if (why := _unfit(model, work)) is not None:
        for each, there in ((kind, _open(model)), (away_kind, market.offers[model.name])):
            if there:
                refused.add(each, *why)
        return
    yield from _here(model, kind, found, work, assumed, refused)
    if not market.offers[model.name]:
        return
    if work.privacy == "confidential":
        refused.add(away_kind, "confidential data must not leave this machine", model.name)
        return
    if (part := _sold(model, large, found, market, work, assumed)) is not None:
        yield away_kind, part


def _open(model: Known) -> bool:
    """Whether its weights may be had, as far as is known: of those that are a secret, others can only claim a size."""
    return model.parameters is not None and not model.parameters.claimed


def _unfit(model: Known, work: Workload) -> tuple[str, str, int] | None:
    """What stands against the model itself, wherever it runs: reason, example, by how much."""
    if model.retires is not None and model.retires.value < work.until:
        gone = model.retires.value <= work.today
        why = "has been retired" if gone else "is retired before the horizon ends"
        return why, f"{model.name}, {model.retires.value}", 0
    if model.context is None:
        return "how long a request it takes is not known", model.name, 0
    if model.context.value < work.context:
        window = f"{model.name}, {model.context.value:,}"
        return f"takes fewer than {work.context:,} tokens", window, work.context - model.context.value
    if model.max_output is not None and model.max_output.value < work.tokens_out:
        return f"writes fewer than {work.tokens_out:,} tokens", f"{model.name}, {model.max_output.value:,}", 0
    if model.languages is not None:
        for each in work.languages:
            if each not in model.languages.value:
                return f"its vendor lists no {each!r}", model.name, 0
    return None


def _here(
    model: Known, kind: Kind, found: Ability, work: Workload, assumed: Assumed, refused: _Refused
) -> Iterator[tuple[Kind, Part]]:
    if not _open(model):
        return
    for room in rooms(work, assumed):
        slots = int(assumed["most-slots"])
        each = [fit(model, name, work.context, room, slots) for name in QUANTISATIONS]
        fits = [one for one in each if one is not None]
        if not fits:
            refused.add(kind, "its shape is not known, so nobody can tell whether it fits", model.name)
            return
        fitting = [one for one in fits if one.slots]
        if not fitting:
            least = fits[-1].need
            refused.add(
                kind,
                f"does not fit into {size(room.bytes)} of {room.where}",
                f"{model.name} {fits[-1].quantisation} takes {size(least.total)}",
                least.total,
            )
        for one in fitting:
            part = _placed(one, found, work, assumed)
            yield kind, part
            if kind == "local" and (again := _tuned(part, work, assumed, refused)) is not None:
                yield "local-tuned", again


def _placed(one: Fit, found: Ability, work: Workload, assumed: Assumed) -> Part:
    task, pace = TASKS[work.task], here(one, work, assumed)
    share = found.share - (assumed["quantised"] if one.quantisation.startswith("Q4") else 0)
    watts = assumed["watts-gpu" if one.room.where == "gpu" else "watts-cpu"]
    unit = watts * pace.busy / 3_600_000 * assumed["electricity"] * PICO
    return Part(one.model, found, share, quality(share, task), pace, unit, fit=one)


def _tuned(part: Part, work: Workload, assumed: Assumed, refused: _Refused) -> Part | None:
    """The same model after tuning, or why not."""
    task, kind = TASKS[work.task], "local-tuned"
    model, one = part.model, part.fit
    room = round((model.weights("BF16") or 0) * assumed["tune-room"])
    why = ""
    example = model.name
    if not task.closes:
        why, example = "tuning on examples does not help with this task", work.task
    elif work.labels < assumed["least-labels"]:
        why = f"fewer than {int(assumed['least-labels'])} examples: nothing to tune and judge by"
        example = f"{work.labels} at hand"
    elif work.team == "none":
        why, example = "nobody in the team can tune a model and judge it", f"team {work.team}"
    elif work.privacy == "confidential" and one is not None and room > max(work.memory, work.gpu):
        why, example = "confidential data must not leave, and it cannot be trained here", f"{example}: {size(room)}"
    if why:
        refused.add(_kind(kind), why, example, room)
        return None
    share = tuned(part.share, task, work.labels, assumed)
    return replace(part, share=share, quality=quality(share, task), tuned=True)


def _sold(model: Known, large: bool, found: Ability, market: Market, work: Workload, assumed: Assumed) -> Part | None:
    """At the endpoint where the work costs least; None where that is not known of any."""
    said = written(model, work, assumed)
    best: tuple[int, str, Price] | None = None
    for name, price in sorted(market.offers[model.name].items()):
        tokens = round(said)
        cost = price.most(work.tokens_in, tokens)
        if cost and (best is None or cost < best[0]):  # what is free is so for few requests only
            best = (cost, name, price)
    if best is None:
        return None
    cost, name, price = best
    rate = quality(found.share, TASKS[work.task])
    pace = away(model, large, work, assumed)
    return Part(model, found, found.share, rate, pace, Fraction(cost), offer=name, price=price)


def _single(kind: Kind, part: Part, work: Workload, assumed: Assumed) -> Option:
    times = assumed[f"team-{work.team}"]
    once, monthly = _work(part, assumed)
    hours, upkeep = once * times, monthly * times
    cost = _cost(part, hours, upkeep, part.unit, work, assumed)
    return Option(kind, (part,), part.quality, part.pace.seconds, hours, upkeep, cost)


def _work(part: Part, assumed: Assumed) -> tuple[Fraction, Fraction]:
    """Hours of people's work, once and each month."""
    if not part.here:
        return assumed["hours-api"], assumed["upkeep-api"]
    once, monthly = assumed["hours-here"], assumed["upkeep-here"]
    return (once + assumed["hours-tune"], monthly + assumed["upkeep-tuned"]) if part.tuned else (once, monthly)


def _cost(part: Part, hours: Fraction, upkeep: Fraction, unit: Fraction, work: Workload, assumed: Assumed) -> Cost:
    once = hours * assumed["wage"] * PICO
    monthly = upkeep * assumed["wage"] * PICO
    if part.tuned and work.privacy != "confidential":
        once += assumed["tune-rent"] * PICO
    if part.fit is None:
        return Cost(once, monthly, unit)
    room = part.fit.room
    rent = assumed["rent-per-gpu-gb" if room.where == "gpu" else "rent-per-gb"] * Fraction(room.all, GB)
    return Cost(once, monthly + assumed["own-machine"] * PICO, unit, part.pace.capacity, rent * PICO)


def _cascades(
    kind: Kind, small: list[Part], large: list[Part], work: Workload, assumed: Assumed, refused: _Refused
) -> Iterator[Option]:
    """Every small one before every large one that is better and dearer."""
    if work.privacy == "confidential":
        refused.add(kind, "confidential data must not leave this machine, and some would", "the large model's share")
        return
    times = assumed[f"team-{work.team}"]
    for first in small:
        up = 1 - assumed["trusted"] * first.quality
        for second in large:
            if second.quality <= first.quality or second.unit <= first.unit:
                refused.add(kind, "the large model is not better, or not dearer: one is enough", first.name)
                continue
            rate = max(first.quality, assumed["promise"] * second.quality)
            (once, monthly), (more, further) = _work(first, assumed), _work(second, assumed)
            hours = (once + more + assumed["hours-cascade"]) * times
            upkeep = (monthly + further + assumed["upkeep-cascade"]) * times
            cost = _cost(first, hours, upkeep, first.unit + up * second.unit, work, assumed)
            expected = first.pace.seconds + up * second.pace.seconds
            yield Option(kind, (first, second), rate, expected, hours, upkeep, cost, up)


def _objection(option: Option, work: Workload, assumed: Assumed) -> tuple[str, str, Fraction] | None:
    """What stands against the option as a whole: reason, example, by how much."""
    slowest = sum((part.pace.seconds for part in option.parts), Fraction(0))
    if slowest > work.latency_s:
        shown = f"{option.name}, {seconds(slowest)}"
        return f"takes longer than {seconds(work.latency_s)} for an answer", shown, slowest - work.latency_s
    least = min(part.quality for part in option.parts)
    if least < assumed["enough"]:
        if any(part.able.unknown for part in option.parts):
            return "nothing is known of how good it is: measure it before you use it", option.name, Fraction(0)
        why = f"too weak for the task {work.task}, as far as is known"
        return why, f"{option.name}, quality {float(least):.2f}", -least
    return None


def _worthwhile(parts: list[Part]) -> list[Part]:
    """Those than which no other is at least as good, as quick and as cheap, in all that a cascade looks at."""

    def beats(one: Part, other: Part) -> bool:
        ours, theirs = _merits(one), _merits(other)
        return all(a >= b for a, b in zip(ours, theirs, strict=True)) and (ours, other.name) > (theirs, one.name)

    return [part for part in parts if not any(beats(other, part) for other in parts if other is not part)]


def _merits(part: Part) -> tuple[Fraction, ...]:
    capacity = part.pace.capacity or Fraction(0)
    return (part.quality, -part.unit, -part.pace.seconds, capacity)


def _kind(text: str) -> Kind:
    return next(kind for kind in KINDS if kind == text)
