"""Energy of a request, as an estimate with its source: by time and power here, by size and tokens at an endpoint.

The model of endpoints is EcoLogits': energy and time of an output token grow linearly with the active parameters, on
servers of eight GPUs with 80 GB. Vendors publish neither sizes nor batches, so it is an order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.sourced_number import SourcedNumber, format_number
from sizewise.catalog.model_info import ModelInfo

ECOLOGITS = "EcoLogits, ecologits/impacts/llm.py at commit 00d1915e, read 2026-11-28"
GPU_WH_PER_TOKEN_AND_BILLION = "8.91e-5"
GPU_WH_PER_TOKEN = "1.43e-3"
GPU_WH_DEVIATION, HALF_OF_95 = "5.19e-4", "1.96"
"""Standard deviation of a token's energy, and how many of them are half of its 95 % interval."""
SECONDS_PER_TOKEN_AND_BILLION, SECONDS_PER_TOKEN = "8.02e-4", "2.23e-2"
SERVER_WATTS, SERVER_GPUS = 1000, 8
GPU_GB, BITS, OVERHEAD = 80, 4, "1.2"
"""Of a GPU, of a weight, and memory relative to the weights."""
BILLION = 10**9


@dataclass(frozen=True, slots=True)
class EnergyEstimate:
    """Watt-hours of one request; `low` and `high` are equal where no spread is known."""

    wh: Fraction
    low: Fraction
    high: Fraction
    how: str
    numbers: tuple[SourcedNumber, ...] = ()

    def __add__(self, other: EnergyEstimate) -> EnergyEstimate:
        how = self.how if self.how == other.how else f"{self.how}; {other.how}"
        numbers = tuple(dict.fromkeys((*self.numbers, *other.numbers)))
        return EnergyEstimate(
            wh=self.wh + other.wh, low=self.low + other.low, high=self.high + other.high, how=how, numbers=numbers
        )

    def times(self, share: Fraction) -> EnergyEstimate:
        return replace(self, wh=self.wh * share, low=self.low * share, high=self.high * share)


def local_energy(seconds: Fraction, *, on_gpu: bool, assumptions: Assumptions) -> EnergyEstimate:
    """`seconds`: that the machine is busy with the request."""
    watts = "watts-gpu" if on_gpu else "watts-cpu"
    wh = assumptions[watts] * seconds / 3600
    how = f"estimated: {format_number(seconds, 2)} s at {format_number(assumptions[watts], 0)} W"
    return EnergyEstimate(wh=wh, low=wh, high=wh, how=how, numbers=assumptions.numbers(watts))


def hosted_energy(model: ModelInfo, output_tokens: Fraction, assumptions: Assumptions) -> EnergyEstimate | None:
    """None if the model's size is unknown, or what a mixture of experts uses of it. Sizes that only third parties claim
    are used, and said.
    """
    is_mixture = model.architecture is not None and model.architecture.value.startswith("moe")
    if model.parameters is None or (is_mixture and model.active is None):
        return None
    total = Fraction(model.parameters.value, BILLION)
    active = Fraction(model.active.value, BILLION) if model.active is not None else total
    gpus = ceil(Fraction(OVERHEAD) * total * BITS / 8 / GPU_GB)
    of_gpu = Fraction(GPU_WH_PER_TOKEN_AND_BILLION) * active + Fraction(GPU_WH_PER_TOKEN)
    spread = Fraction(HALF_OF_95) * Fraction(GPU_WH_DEVIATION)
    seconds = Fraction(SECONDS_PER_TOKEN_AND_BILLION) * active + Fraction(SECONDS_PER_TOKEN)
    of_server = seconds / 3600 * SERVER_WATTS * Fraction(gpus, SERVER_GPUS)

    def whole(gpu: Fraction) -> Fraction:
        return assumptions["pue"] * output_tokens * (of_server + gpus * max(Fraction(0), gpu))

    size = f"{format_number(active, 1)} billion active parameters"
    size += ", a claim of third parties" if model.parameters.claimed else ""
    return EnergyEstimate(
        wh=whole(of_gpu),
        low=whole(of_gpu - spread),
        high=whole(of_gpu + spread),
        how=f"estimated: {format_number(output_tokens, 0)} output tokens of {size} at an endpoint",
        numbers=(
            SourcedNumber(f"{model.name} parameters", f"{model.parameters.value:,}", "fact", str(model.parameters)),
            SourcedNumber("energy of an output token", f"{format_number(of_gpu * 1000, 2)} mWh/GPU", "fact", ECOLOGITS),
            assumptions.number("pue"),
        ),
    )


def format_wh(wh: Fraction) -> str:
    """Two digits that count, as 0.00042 Wh; kWh, MWh and GWh for much."""
    for unit, least in (("GWh", 10**9), ("MWh", 10**6), ("kWh", 10**3)):
        if wh >= least:
            return f"{float(wh / least):.3g} {unit}"
    return f"{float(wh):.2g} Wh"
