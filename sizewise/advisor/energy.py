"""Energy of a request, as an estimate with its source: by time and power here, by size and tokens at an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.sourced_number import SourcedNumber, format_number
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.token_energy import ECOLOGITS, energy_of


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
    token = energy_of(model)
    if token is None or model.parameters is None:
        return None
    tokens = assumptions["pue"] * output_tokens
    size = f"{format_number(token.active, 1)} billion active parameters"
    size += ", a claim of third parties" if model.parameters.claimed else ""
    return EnergyEstimate(
        wh=tokens * token.wh,
        low=tokens * token.low,
        high=tokens * token.high,
        how=f"estimated: {format_number(output_tokens, 0)} output tokens of {size} at an endpoint",
        numbers=(
            SourcedNumber(f"{model.name} parameters", f"{model.parameters.value:,}", "fact", str(model.parameters)),
            SourcedNumber(
                "energy of an output token", f"{format_number(token.gpu * 1000, 2)} mWh/GPU", "fact", ECOLOGITS
            ),
            assumptions.number("pue"),
        ),
    )
