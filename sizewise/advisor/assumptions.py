"""Assumptions behind a recommendation, each with name, default and reason; no facts about models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.sourced_number import SourcedNumber, format_number
from sizewise.catalog.token_energy import PUE
from sizewise.errors import BadRequest, did_you_mean


@dataclass(frozen=True, slots=True)
class Assumption:
    """`user_set`: the user has overridden the default. `measured`: how the value was measured on this machine."""

    name: str
    value: Fraction
    unit: str
    description: str
    maximum: Fraction = Fraction(10**15)
    minimum: Fraction = Fraction(0)
    user_set: bool = False
    measured: str = ""

    def number(self) -> SourcedNumber:
        shown = f"{format_number(self.value, 4)} {self.unit}".rstrip()
        if self.measured and not self.user_set:
            return SourcedNumber(self.name, shown, "measured", self.measured)
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
    _assumption("wage", "60", "$/hour", "cost of an hour of work, in full"),
    _assumption(
        "budget",
        "1000",
        "$/month",
        "the monthly cost that scores 0; it weighs money against the other criteria",
        minimum="1",
    ),
    _assumption("electricity", "0.30", "$/kWh", "price of electricity"),
    _assumption("watts-cpu", "60", "W", "power of a machine without a GPU while it answers"),
    _assumption("watts-gpu", "400", "W", "power of a machine with a GPU while it answers"),
    _assumption(
        "pue",
        PUE,
        "",
        "power of a data center relative to that of its servers (EcoLogits' figure, read 2026-11-28)",
        minimum="1",
    ),
    _assumption("energy-limit", "5", "Wh", "energy of a request that scores 0", minimum="0.000001"),
    _assumption("own-machine", "0", "$/month", "cost of the machine that you already have"),
    _assumption("rent-per-gb", "4", "$/month", "cost of an additional machine per GB of memory"),
    _assumption("rent-per-gpu-gb", "20", "$/month", "cost of an additional machine with a GPU per GB of GPU memory"),
    _assumption(
        "reserve",
        "0.25",
        "",
        "share of memory used by other programs, if you set the total memory",
        "0.95",
    ),
    _assumption("reserve-gpu", "0.05", "", "share of GPU memory that is unavailable", "0.95"),
    _assumption(
        "busy",
        "0.25",
        "",
        "share of a month in which requests keep a machine fully busy",
        "1",
        "0.001",
    ),
    _assumption("most-slots", "16", "", "maximum concurrent requests on one machine", "1024", "1"),
    _assumption(
        "bandwidth-cpu",
        "15",
        "GB/s",
        "weights read per second on a CPU; measured if it is this machine",
        minimum="0.1",
    ),
    _assumption(
        "bandwidth-share", "0.6", "", "share of a plain copy's bandwidth that reading weights reaches", "2", "0.01"
    ),
    _assumption(
        "bandwidth-gpu",
        "25",
        "GB/s",
        "GPU memory bandwidth per GB of GPU memory; larger GPUs are faster",
        minimum="0.1",
    ),
    _assumption(
        "flops-cpu",
        "0.2",
        "TFLOP/s",
        "speed of reading prompts on a CPU; by its cores if it is this machine",
        minimum="0.001",
    ),
    _assumption("flops-core", "0.05", "TFLOP/s", "speed of reading prompts by one core", minimum="0.001"),
    _assumption(
        "flops-gpu",
        "2",
        "TFLOP/s",
        "speed of reading prompts per GB of GPU memory",
        minimum="0.001",
    ),
    _assumption("first-word", "0.6", "s", "time to the first token of a remote endpoint"),
    _assumption("speed-small", "120", "tokens/s", "speed of a small model at an endpoint", minimum="0.1"),
    _assumption(
        "speed-large",
        "60",
        "tokens/s",
        "speed of a large model, or one of unknown size, at an endpoint",
        minimum="0.1",
    ),
    _assumption("thought", "3", "", "reasoning tokens per output token, for models that reason, in every task"),
    _assumption("thought-least", "100", "tokens", "reasoning tokens of an answer at least, for models that reason"),
    _assumption("image-tokens", "1000", "tokens", "input tokens of an image"),
    _assumption("image-kb", "500", "KB", "bytes of an image that leaves this machine"),
    _assumption("token-bytes", "4", "bytes", "bytes of a token that leaves this machine, in and out"),
    _assumption(
        "egress",
        "0.09",
        "$/GB",
        "fee of your cloud for bytes that leave it: the first 10 TB of a large cloud (egresscost.com/aws, read"
        " 2026-11-27); 0 outside a cloud",
    ),
    _assumption("hours-api", "4", "hours", "work to set up an endpoint"),
    _assumption("hours-here", "12", "hours", "work to set up a model on this machine"),
    _assumption("hours-cascade", "8", "hours", "work to calibrate a cascade"),
    _assumption("hours-tune", "40", "hours", "work to tune, evaluate and deploy a model of 1 billion parameters"),
    _assumption(
        "tune-growth",
        "0.4",
        "",
        "growth of that work with size, as an exponent: 0.4 makes 70 billion parameters 5.5 times the work",
        "1",
    ),
    _assumption("hours-week", "40", "hours", "work that is done in a week", "168", "1"),
    _assumption("hours-classifier", "16", "hours", "work to train, evaluate and deploy a classifier"),
    _assumption("upkeep-classifier", "1", "hours/month", "maintenance of a classifier"),
    _assumption(
        "classifier-best", "0.9", "", "accuracy of a classifier on sentence vectors with unlimited examples", "1"
    ),
    _assumption(
        "classifier-labels", "200", "", "examples that close half of the gap from chance to that accuracy", minimum="1"
    ),
    _assumption("upkeep-api", "0.5", "hours/month", "maintenance of an endpoint"),
    _assumption("upkeep-here", "2", "hours/month", "maintenance of a model on this machine"),
    _assumption("upkeep-cascade", "1", "hours/month", "maintenance of a cascade, in addition to its models"),
    _assumption("upkeep-tuned", "2", "hours/month", "maintenance of a tuned model, in addition to a local model"),
    _assumption(
        "team-none",
        "2",
        "",
        "factor on hours for a team without experience",
        minimum="0.1",
    ),
    _assumption("team-some", "1", "", "factor on hours for a team with some experience", minimum="0.1"),
    _assumption("team-ml", "0.5", "", "factor on hours for a team that trains models", minimum="0.1"),
    _assumption(
        "patience",
        "160",
        "hours",
        "setup work that scores 0: a person-month",
        minimum="1",
    ),
    _assumption("tune-rent", "20", "$", "rent of a GPU for one training, if the data may leave"),
    _assumption(
        "tune-room", "1.25", "", "memory for training on this machine, relative to 16-bit weights", minimum="1"
    ),
    _assumption("least-labels", "50", "", "examples needed to evaluate a tuned model"),
    _assumption(
        "half-labels",
        "200",
        "",
        "examples that close half of the gap that tuning can close; more for a weaker model",
        minimum="1",
    ),
    _assumption("train-flops", "150", "TFLOP/s", "speed of one rented GPU while it trains", minimum="0.1"),
    _assumption("gpu-hour", "3", "$/hour", "rent of such a GPU"),
    _assumption(
        "train-watts",
        "812.5",
        "W",
        "power of such a GPU with its share of the server: an eighth of a DGX A100's 6.5 kW (pcnews.ru, read"
        " 2026-11-28)",
    ),
    _assumption("quantized", "0.01", "", "accuracy lost by 4-bit weights", "1"),
    _assumption("unmeasured", "0.6", "", "quality of a model without any relevant measurement", "1"),
    _assumption("enough", "0.3", "", "minimum quality of a model in a proposed option", "1"),
    _assumption("need", "0.95", "", "quality from which an option meets the need; one below it is never first", "1"),
    _assumption(
        "trusted",
        "0.6",
        "",
        "share of its good answers for which a cascade trusts the small model",
        "1",
    ),
    _assumption("promise", "0.95", "", "quality of a cascade relative to its large model", "1"),
    _assumption("unlisted", "0.6", "", "language score if the vendor lists no languages and nothing is measured", "1"),
    _assumption("unknown-skill", "0.5", "", "score of a skill if it is unknown whether the model has it", "1"),
    _assumption("tuned-range", "0.5", "", "capability range of a tuned model relative to the untuned one", "1"),
    _assumption("away-public", "0.9", "", "security score if public data goes to a third party", "1"),
    _assumption(
        "away-internal",
        "0.5",
        "",
        "security score if internal data goes to a third party; confidential data never does",
        "1",
    ),
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
        "classify": _task_profile("mmlu", "0.75", "0.25", "1", "assign a label"),
        "extract": _task_profile("mmlu", "0.75", "0.25", "0.8", "extract fields from a text"),
        "summarize": _task_profile("mmlu", "0.8", "0.25", "0.4", "summarize a text"),
        "translate": _task_profile("mmlu", "0.8", "0.25", "0.4", "translate a text"),
        "chat": _task_profile("mmlu", "0.85", "0.25", "0.2", "general conversation"),
        "code": _task_profile(
            "math",
            "0.85",
            "0",
            "0.2",
            "write programs; measured by math, since the catalog has no code benchmark",
        ),
        "reason": _task_profile("gpqa", "0.8", "0.25", "0", "multi-step reasoning, or an agent"),
    },
)
"""The benchmark for a task and its required accuracy are assumptions too."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All assumptions, including the user's overrides."""

    all: Mapping[str, Assumption]

    def __getitem__(self, name: str) -> Fraction:
        return self.all[name].value

    def number(self, name: str) -> SourcedNumber:
        return self.all[name].number()

    def with_measured(self, name: str, value: Fraction, how: str) -> Assumptions:
        """Replaces a default by what was measured on this machine; a value that the user has set stays."""
        ours = self.all[name]
        if ours.user_set:
            return self
        return Assumptions(MappingProxyType({**self.all, name: replace(ours, value=value, measured=how)}))

    def numbers(self, *names: str) -> tuple[SourcedNumber, ...]:
        return tuple(self.number(name) for name in names)


def with_machine_speed(assumptions: Assumptions, copy_gb_per_s: Fraction, cores: int) -> Assumptions:
    """The assumptions with this machine's figures; those that the user has set stay. `copy_gb_per_s`: of all cores."""
    share, per_core = assumptions["bandwidth-share"], assumptions["flops-core"]
    how = f"{float(copy_gb_per_s):.1f} GB/s copied by {cores} cores, times bandwidth-share"
    here = assumptions.with_measured("bandwidth-cpu", copy_gb_per_s * share, how)
    return here.with_measured("flops-cpu", cores * per_core, f"{cores} cores, times flops-core")


def with_model_pace(assumptions: Assumptions, gb_per_s: Fraction, tflops: Fraction | None, how: str) -> Assumptions:
    """The assumptions with what a model reached on this machine, instead of what its memory and cores promise.

    `gb_per_s`: weights read for output; `tflops`: of reading prompts. What the user has set stays.
    """
    here = assumptions.with_measured("bandwidth-cpu", gb_per_s, how)
    return here if tflops is None else here.with_measured("flops-cpu", tflops, how)


def parse_assumptions(texts: Sequence[str] = ()) -> Assumptions:
    """`texts` are like wage=80. Raises BadRequest for an unknown name or a value out of bounds."""
    found = {each.name: each for each in ASSUMPTIONS}
    for name, value in parse_pairs(texts, "assumption", "--assume", list(found)):
        ours = found[name]
        if not ours.minimum <= value <= ours.maximum:
            bounds = f"from {format_number(ours.minimum, 4)} to {format_number(ours.maximum, 4)}"
            raise BadRequest(f"the assumption {name} cannot be {format_number(value, 6)}", f"Use a number {bounds}.")
        found[name] = replace(ours, value=value, user_set=True)
    return Assumptions(MappingProxyType(found))


def parse_pairs(texts: Sequence[str], what: str, option: str, known: list[str]) -> list[tuple[str, Fraction]]:
    """Parses texts of the form name=number. Raises BadRequest with a suggestion."""
    found = []
    for each in texts:
        name, equals, text = each.partition("=")
        if not equals:
            raise BadRequest(f"{each!r} is not of the form name=number", f"Write, for example, {option} {known[0]}=1.")
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
        raise BadRequest(
            f"{text!r} is not a valid number for {what}",
            "Write a number of at least 0, such as 3000000, 3M, 20k or 0.5.",
        )
    return Fraction(digits if whole else f"0{digits}") * times
