"""What advice must assume because no source says it: each with a name, a default and a reason; no fact of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.sourced_number import Number, plain
from sizewise.errors import BadRequest, nearest


@dataclass(frozen=True, slots=True)
class Assumption:
    """`value` in `unit`; at most `most`. `yours`: the asker said it."""

    name: str
    value: Fraction
    unit: str
    says: str
    most: Fraction = Fraction(10**15)
    least: Fraction = Fraction(0)
    yours: bool = False

    def number(self) -> Number:
        shown = f"{plain(self.value, 4)} {self.unit}".rstrip()
        return Number(self.name, shown, "input" if self.yours else "assumed", self.says)


def _one(name: str, value: str, unit: str, says: str, most: str = "", least: str = "0") -> Assumption:
    return Assumption(name, Fraction(value), unit, says, Fraction(most or 10**15), Fraction(least))


ASSUMPTIONS: tuple[Assumption, ...] = (
    _one("wage", "60", "$/hour", "an hour of somebody's work, all costs of it"),
    _one(
        "budget", "1000", "$/month", "a cost of so much scores 0; it scales money against the other criteria", least="1"
    ),
    _one("electricity", "0.30", "$/kWh", "from the socket"),
    _one("watts-cpu", "60", "W", "of a machine without a GPU while it answers"),
    _one("watts-gpu", "400", "W", "of a machine with a GPU while it answers"),
    _one("own-machine", "0", "$/month", "of the machine that you have: it is there already"),
    _one("rent-per-gb", "4", "$/month", "of a further machine, for each GB of memory"),
    _one("rent-per-gpu-gb", "20", "$/month", "of a further machine with a GPU, for each GB of its memory"),
    _one("reserve", "0.25", "", "share of memory that other programs take, where you say how much there is", "0.95"),
    _one("reserve-gpu", "0.05", "", "share of the GPU's memory that is not to be had", "0.95"),
    _one("busy", "0.25", "", "share of a month in which requests come so fast that a machine is full", "1", "0.001"),
    _one("most-slots", "16", "", "requests side by side in one machine, at most", "1024", "1"),
    _one("bandwidth-cpu", "40", "GB/s", "of memory: weights are read once a token", least="0.1"),
    _one("bandwidth-gpu", "25", "GB/s", "of the GPU's memory, for each GB of it: larger ones are quicker", least="0.1"),
    _one("flops-cpu", "0.6", "TFLOP/s", "reached while a prompt is read", least="0.001"),
    _one("flops-gpu", "2", "TFLOP/s", "reached while a prompt is read, for each GB of its memory", least="0.001"),
    _one("first-word", "0.6", "s", "until an endpoint on the Internet says its first word"),
    _one("speed-small", "120", "tokens/s", "of a small model at an endpoint", least="0.1"),
    _one("speed-large", "60", "tokens/s", "of a large model, or one of unknown size, at an endpoint", least="0.1"),
    _one("thought", "3", "", "tokens of thought for each of the answer, by models that think, for code and reason"),
    _one("hours-api", "4", "hours", "to take an endpoint into use"),
    _one("hours-here", "12", "hours", "to take a model on this machine into use"),
    _one("hours-cascade", "8", "hours", "to calibrate when the small model is trusted"),
    _one("hours-tune", "40", "hours", "to tune, to judge and to put into use"),
    _one("upkeep-api", "0.5", "hours/month", "of an endpoint"),
    _one("upkeep-here", "2", "hours/month", "of a model on this machine"),
    _one("upkeep-cascade", "1", "hours/month", "of a cascade, beside that of its models"),
    _one("upkeep-tuned", "2", "hours/month", "of a tuned model, beside that of any other here"),
    _one("team-none", "2", "", "hours take so many times as long where nobody is at home in this", least="0.1"),
    _one("team-some", "1", "", "the same, where somebody is", least="0.1"),
    _one("team-ml", "0.5", "", "the same, where people who train models are", least="0.1"),
    _one("patience", "160", "hours", "work before the first answer that scores 0: a month of one person", least="1"),
    _one("tune-rent", "20", "$", "of a rented GPU for one training, where the data may leave"),
    _one("tune-room", "1.25", "", "memory for training on this machine, in weights at 16 bits", least="1"),
    _one("least-labels", "50", "", "examples without which a tuned model cannot even be judged"),
    _one(
        "half-labels",
        "200",
        "",
        "examples that close half of the gap, where tuning closes it; more for a weaker model",
        least="1",
    ),
    _one("quantised", "0.01", "", "ability that four-bit weights lose", "1"),
    _one("unmeasured", "0.6", "", "quality of a model of which nothing at all is measured that could tell", "1"),
    _one("enough", "0.3", "", "least quality of what is proposed at all", "1"),
    _one("trusted", "0.6", "", "share of its good answers that the small model of a cascade is trusted with", "1"),
    _one("promise", "0.95", "", "quality of a cascade as a share of its large model's", "1"),
    _one("unlisted", "0.6", "", "languages, where the vendor lists none and nothing was measured", "1"),
    _one("unknown-skill", "0.5", "", "a skill of which is not known whether the model has it", "1"),
    _one("tuned-range", "0.5", "", "range of a tuned model as a share of the same model's untuned", "1"),
    _one("away-public", "0.9", "", "security where public data goes to somebody else's machine", "1"),
    _one("away-internal", "0.5", "", "security where internal data does; confidential data never goes", "1"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """What a task asks: `need` is the share right in `benchmark` from which more is no use; `chance` scores 0.

    `closes`: how much of the gap to perfection examples can close, as a share.
    """

    benchmark: str
    need: Fraction
    chance: Fraction
    closes: Fraction
    says: str


def _task(benchmark: str, need: str, chance: str, closes: str, says: str) -> Task:
    return Task(benchmark, Fraction(need), Fraction(chance), Fraction(closes), says)


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "classify": _task("mmlu", "0.75", "0.25", "1", "one of some labels"),
        "extract": _task("mmlu", "0.75", "0.25", "0.8", "fields out of a text"),
        "summarise": _task("mmlu", "0.8", "0.25", "0.4", "a text in fewer words"),
        "translate": _task("mmlu", "0.8", "0.25", "0.4", "a text in another language"),
        "chat": _task("mmlu", "0.85", "0.25", "0.2", "whatever people ask"),
        "code": _task(
            "math", "0.85", "0", "0.2", "programs; math stands in, for no benchmark of code is in the catalogue"
        ),
        "reason": _task("gpqa", "0.8", "0.25", "0", "many steps to an answer, or an agent's"),
    }
)
"""Which benchmark stands for a task, and how much of it the task asks, is an assumption too."""

THINKING = frozenset({"code", "reason"})


@dataclass(frozen=True, slots=True)
class Assumed:
    """All assumptions, with the asker's own in place of ours."""

    all: Mapping[str, Assumption]

    def __getitem__(self, name: str) -> Fraction:
        return self.all[name].value

    def number(self, name: str) -> Number:
        return self.all[name].number()

    def numbers(self, *names: str) -> tuple[Number, ...]:
        return tuple(self.number(name) for name in names)


def assumed(said: Sequence[str] = ()) -> Assumed:
    """`said` are texts as wage=80. Raises BadRequest for an unknown name or a value out of bounds."""
    found = {each.name: each for each in ASSUMPTIONS}
    for name, value in pairs(said, "assumption", "--assume", list(found)):
        ours = found[name]
        if not ours.least <= value <= ours.most:
            bounds = f"from {plain(ours.least, 4)} to {plain(ours.most, 4)}"
            raise BadRequest(f"the assumption {name} cannot be {plain(value, 6)}", f"Give a number {bounds}.")
        found[name] = replace(ours, value=value, yours=True)
    return Assumed(MappingProxyType(found))


def pairs(said: Sequence[str], what: str, option: str, known: list[str]) -> list[tuple[str, Fraction]]:
    """Texts of the form name=number. Raises BadRequest with the nearest known name."""
    found = []
    for each in said:
        name, equals, text = each.partition("=")
        if not equals:
            raise BadRequest(f"{each!r} is not of the form name=number", f"Write {option} {known[0]}=1, for example.")
        if name not in known:
            near = nearest(name, known) or f"Known: {', '.join(known)}."
            raise BadRequest(f"there is no {what} {name!r}", near)
        found.append((name, decimal(text, f"{option} {name}")))
    return found


def decimal(text: str, what: str) -> Fraction:
    """A number of at least 0 as people write it: 0.5, 3000000, 3,000,000, 20k, 3M. Raises BadRequest."""
    plainly = text.strip().lower().replace(",", "").replace("_", "")
    times = {"k": 1_000, "m": 1_000_000}.get(plainly[-1:], 1)
    digits = plainly[:-1] if times > 1 else plainly
    whole, dot, rest = digits.partition(".")
    if len(digits) > 24 or not (whole + rest).isascii() or not (whole + rest).isdigit() or (dot and not rest):
        raise BadRequest(f"{text!r} is no number for {what}", "Write 3000000, 3M, 20k or 0.5; nothing below 0.")
    return Fraction(digits if whole else f"0{digits}") * times
