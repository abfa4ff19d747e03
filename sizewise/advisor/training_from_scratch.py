"""What training a model from scratch would take, as the reason why it is not proposed; no model is needed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.sourced_number import SourcedNumber, format_number
from sizewise.advisor.workload import Workload
from sizewise.energy import format_wh

TOKENS_PER_PARAMETER = 20
"""Training tokens per parameter for the least loss at a given compute (Hoffmann et al., arXiv:2203.15556, table 3)."""
OPERATIONS_PER_TOKEN = 6
"""Operations per parameter and training token, forward and backward (Kaplan et al., arXiv:2001.08361, section 2.1)."""


def training_energy(gpu_hours: Fraction, assumptions: Assumptions) -> Fraction:
    """Watt-hours, with what the data center takes."""
    return gpu_hours * assumptions["train-watts"] * assumptions["pue"]


@dataclass(frozen=True, slots=True)
class ScratchEstimate:
    """`usd`: rent of the GPUs alone, without people and without failed runs. `wh`: energy."""

    parameters: int
    tokens: int
    gpu_hours: Fraction
    usd: Fraction
    wh: Fraction
    numbers: tuple[SourcedNumber, ...]

    def reason(self, workload: Workload) -> str:
        """One sentence for the report."""
        has = f"; you have {workload.labels:,} examples" if workload.labels else ""
        return (
            f"A model of {format_number(Fraction(self.parameters, 10**9), 1)} billion parameters takes"
            f" {format_number(Fraction(self.tokens, 10**9))} billion tokens of text{has}, and"
            f" {format_number(self.gpu_hours, 0)} GPU hours, ${format_number(self.usd, 0)} of rent and"
            f" {format_wh(self.wh)}, before the first answer. Tuning one that exists takes thousands of times less."
        )


def scratch_estimate(parameters: int, assumptions: Assumptions) -> ScratchEstimate:
    tokens = TOKENS_PER_PARAMETER * parameters
    operations = OPERATIONS_PER_TOKEN * parameters * tokens
    hours = operations / (assumptions["train-flops"] * 10**12 * 3600)
    numbers = assumptions.numbers("train-flops", "gpu-hour", "train-watts", "pue")
    return ScratchEstimate(
        parameters=parameters,
        tokens=tokens,
        gpu_hours=hours,
        usd=hours * assumptions["gpu-hour"],
        wh=training_energy(Fraction(hours), assumptions),
        numbers=numbers,
    )
