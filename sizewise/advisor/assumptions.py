"""Assumptions behind a recommendation, each with name, default and reason; no facts about models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.sourced_number import SourcedNumber, format_number
from sizewise.errors import BadRequest, did_you_mean


@dataclass(frozen=True, slots=True)
class Assumption:
    """`user_set`: the user has overridden the default."""

    name: str
    value: Fraction
    unit: str
    description: str
    maximum: Fraction = Fraction(10**15)
    minimum: Fraction = Fraction(0)
    user_set: bool = False

    def number(self) -> SourcedNumber:
        shown = f"{format_number(self.value, 4)} {self.unit}".rstrip()
        return SourcedNumber(self.name, shown, "input" if self.user_set else "assumed", self.description)


def _assumption(
    name: str,
    value: str,
    unit: str,
    description: str,
    maximum: str = "",
    minimum: str = "0",
) -> Assumption:
    return Assumption(
        name=name,
        value=Fraction(value),
        unit=unit,
        description=description,
        maximum=Fraction(maximum or 10**15),
        minimum=Fraction(minimum),
    )


ASSUMPTIONS: tuple[Assumption, ...] = (
    _assumption("wage", "60", "$/hour", "an hour of somebody's work, all costs of it"),
    _assumption(
        "budget",
        "1000",
        "$/month",
        "a cost of so much scores 0; it scales money against the other criteria",
        minimum="1",
    ),
    _assumption("electricity", "0.30", "$/kWh", "from the socket"),
    _assumption("watts-cpu", "60", "W", "of a machine without a GPU while it answers"),
    _assumption("watts-gpu", "400", "W", "of a machine with a GPU while it answers"),
    _assumption("own-machine", "0", "$/month", "of the machine that you have: it is there already"),
    _assumption("rent-per-gb", "4", "$/month", "of a further machine, for each GB of memory"),
    _assumption("rent-per-gpu-gb", "20", "$/month", "of a further machine with a GPU, for each GB of its memory"),
    _assumption(
        "reserve",
        "0.25",
        "",
        "share of memory that other programs take, where you say how much there is",
        "0.95",
    ),
    _assumption("reserve-gpu", "0.05", "", "share of the GPU's memory that is not to be had", "0.95"),
    _assumption(
        "busy",
        "0.25",
        "",
        "share of a month in which requests come so fast that a machine is full",
        "1",
        "0.001",
    ),
    _assumption("most-slots", "16", "", "requests side by side in one machine, at most", "1024", "1"),
    _assumption("bandwidth-cpu", "40", "GB/s", "of memory: weights are read once a token", minimum="0.1"),
    _assumption(
        "bandwidth-gpu",
        "25",
        "GB/s",
        "of the GPU's memory, for each GB of it: larger ones are quicker",
        minimum="0.1",
    ),
    _assumption("flops-cpu", "0.6", "TFLOP/s", "reached while a prompt is read", minimum="0.001"),
    _assumption(
        "flops-gpu",
        "2",
        "TFLOP/s",
        "reached while a prompt is read, for each GB of its memory",
        minimum="0.001",
    ),
    _assumption("first-word", "0.6", "s", "until an endpoint on the Internet says its first word"),
    _assumption("speed-small", "120", "tokens/s", "of a small model at an endpoint", minimum="0.1"),
    _assumption(
        "speed-large",
        "60",
        "tokens/s",
        "of a large model, or one of unknown size, at an endpoint",
        minimum="0.1",
    ),
    _assumption(
        "thought",
        "3",
        "",
        "tokens of thought for each of the answer, by models that think, for code and reason",
    ),
    _assumption("hours-api", "4", "hours", "to take an endpoint into use"),
    _assumption("hours-here", "12", "hours", "to take a model on this machine into use"),
    _assumption("hours-cascade", "8", "hours", "to calibrate when the small model is trusted"),
    _assumption("hours-tune", "40", "hours", "to tune, to judge and to put into use"),
    _assumption("upkeep-api", "0.5", "hours/month", "of an endpoint"),
    _assumption("upkeep-here", "2", "hours/month", "of a model on this machine"),
    _assumption("upkeep-cascade", "1", "hours/month", "of a cascade, beside that of its models"),
    _assumption("upkeep-tuned", "2", "hours/month", "of a tuned model, beside that of any other here"),
    _assumption(
        "team-none",
        "2",
        "",
        "hours take so many times as long where nobody is at home in this",
        minimum="0.1",
    ),
    _assumption("team-some", "1", "", "the same, where somebody is", minimum="0.1"),
    _assumption("team-ml", "0.5", "", "the same, where people who train models are", minimum="0.1"),
    _assumption(
        "patience",
        "160",
        "hours",
        "work before the first answer that scores 0: a month of one person",
        minimum="1",
    ),
    _assumption("tune-rent", "20", "$", "of a rented GPU for one training, where the data may leave"),
    _assumption("tune-room", "1.25", "", "memory for training on this machine, in weights at 16 bits", minimum="1"),
    _assumption("least-labels", "50", "", "examples without which a tuned model cannot even be judged"),
    _assumption(
        "half-labels",
        "200",
        "",
        "examples that close half of the gap, where tuning closes it; more for a weaker model",
        minimum="1",
    ),
    _assumption("quantized", "0.01", "", "ability that four-bit weights lose", "1"),
    _assumption("unmeasured", "0.6", "", "quality of a model of which nothing at all is measured that could tell", "1"),
    _assumption("enough", "0.3", "", "least quality of what is proposed at all", "1"),
    _assumption(
        "trusted",
        "0.6",
        "",
        "share of its good answers that the small model of a cascade is trusted with",
        "1",
    ),
    _assumption("promise", "0.95", "", "quality of a cascade as a share of its large model's", "1"),
    _assumption("unlisted", "0.6", "", "languages, where the vendor lists none and nothing was measured", "1"),
    _assumption("unknown-skill", "0.5", "", "a skill of which is not known whether the model has it", "1"),
    _assumption("tuned-range", "0.5", "", "range of a tuned model as a share of the same model's untuned", "1"),
    _assumption("away-public", "0.9", "", "security where public data goes to somebody else's machine", "1"),
    _assumption("away-internal", "0.5", "", "security where internal data does; confidential data never goes", "1"),
)


@dataclass(frozen=True, slots=True)
class TaskProfile:
    """`required_accuracy`: accuracy in `benchmark` that gives quality 1; more does not help. `chance_accuracy` gives
    quality 0.

    `tuning_gain`: share of the gap to perfect accuracy that fine-tuning can close, 0..1.
    """

    benchmark: str
    required_accuracy: Fraction
    chance_accuracy: Fraction
    tuning_gain: Fraction
    description: str


def _task_profile(
    benchmark: str,
    required_accuracy: str,
    chance_accuracy: str,
    tuning_gain: str,
    description: str,
) -> TaskProfile:
    return TaskProfile(
        benchmark=benchmark,
        required_accuracy=Fraction(required_accuracy),
        chance_accuracy=Fraction(chance_accuracy),
        tuning_gain=Fraction(tuning_gain),
        description=description,
    )


TASKS: Mapping[str, TaskProfile] = MappingProxyType(
    {
        "classify": _task_profile("mmlu", "0.75", "0.25", "1", "one of some labels"),
        "extract": _task_profile("mmlu", "0.75", "0.25", "0.8", "fields out of a text"),
        "summarize": _task_profile("mmlu", "0.8", "0.25", "0.4", "a text in fewer words"),
        "translate": _task_profile("mmlu", "0.8", "0.25", "0.4", "a text in another language"),
        "chat": _task_profile("mmlu", "0.85", "0.25", "0.2", "whatever people ask"),
        "code": _task_profile(
            "math",
            "0.85",
            "0",
            "0.2",
            "programs; math stands in, for no benchmark of code is in the catalogue",
        ),
        "reason": _task_profile("gpqa", "0.8", "0.25", "0", "many steps to an answer, or an agent's"),
    },
)
"""The benchmark for a task and its required accuracy are assumptions too."""

REASONING_TASKS = frozenset({"code", "reason"})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All assumptions, including the user's overrides."""

    all: Mapping[str, Assumption]

    def __getitem__(self, name: str) -> Fraction:
        return self.all[name].value

    def number(self, name: str) -> SourcedNumber:
        return self.all[name].number()

    def numbers(self, *names: str) -> tuple[SourcedNumber, ...]:
        return tuple(self.number(name) for name in names)


def parse_assumptions(texts: Sequence[str] = ()) -> Assumptions:
    """`texts` are like wage=80. Raises BadRequest for an unknown name or a value out of bounds."""
    found = {each.name: each for each in ASSUMPTIONS}
    for name, value in parse_pairs(texts, "assumption", "--assume", list(found)):
        ours = found[name]
        if not ours.minimum <= value <= ours.maximum:
            bounds = f"from {format_number(ours.minimum, 4)} to {format_number(ours.maximum, 4)}"
            raise BadRequest(f"the assumption {name} cannot be {format_number(value, 6)}", f"Give a number {bounds}.")
        found[name] = replace(ours, value=value, user_set=True)
    return Assumptions(MappingProxyType(found))


def parse_pairs(texts: Sequence[str], what: str, option: str, known: list[str]) -> list[tuple[str, Fraction]]:
    """Parses texts of the form name=number. Raises BadRequest with a suggestion."""
    found = []
    for each in texts:
        name, equals, text = each.partition("=")
        if not equals:
            raise BadRequest(f"{each!r} is not of the form name=number", f"Write {option} {known[0]}=1, for example.")
        if name not in known:
            near = did_you_mean(name, known) or f"Known: {', '.join(known)}."
            raise BadRequest(f"there is no {what} {name!r}", near)
        found.append((name, parse_decimal(text, f"{option} {name}")))
    return found


def parse_decimal(text: str, what: str) -> Fraction:
    """A non-negative number such as 0.5, 3000000, 3,000,000, 20k or 3M. Raises BadRequest."""
    plainly = text.strip().lower().replace(",", "").replace("_", "")
    times = {"k": 1_000, "m": 1_000_000}.get(plainly[-1:], 1)
    digits = plainly[:-1] if times > 1 else plainly
    whole, dot, rest = digits.partition(".")
    if len(digits) > 24 or not (whole + rest).isascii() or not (whole + rest).isdigit() or (dot and not rest):
        raise BadRequest(f"{text!r} is no number for {what}", "Write 3000000, 3M, 20k or 0.5; nothing below 0.")
    return Fraction(digits if whole else f"0{digits}") * times
