"""Latency estimates for local and hosted models."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.memory_fit import MemoryFit
from sizewise.advisor.sourced_number import SourcedNumber
from sizewise.advisor.workload import GB, Workload
from sizewise.catalog.model_info import ModelInfo

MONTH_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """`seconds` until an answer is complete. `busy_seconds`: machine time per request, with concurrent requests.

    `capacity`: requests per month that one machine serves; None for hosted models. `numbers`: inputs of the estimate.
    """

    seconds: Fraction
    busy_seconds: Fraction
    capacity: Fraction | None
    numbers: tuple[SourcedNumber, ...]


def output_tokens(model: ModelInfo, workload: Workload, assumptions: Assumptions) -> Fraction:
    """Tokens of an answer, including reasoning tokens if the model reasons: it does so in every task."""
    if not model.reasons:
        return Fraction(workload.tokens_out)
    return workload.tokens_out + max(assumptions["thought-least"], assumptions["thought"] * workload.tokens_out)


def input_tokens(workload: Workload, assumptions: Assumptions) -> int:
    """Tokens of a prompt with its images."""
    return workload.tokens_in + round(workload.images * assumptions["image-tokens"])


def local_latency(fit: MemoryFit, workload: Workload, assumptions: Assumptions) -> LatencyEstimate:
    """Roofline estimate: a prompt token takes two operations per active weight; an output token reads all active
    weights and the KV cache.
    """
    kind = "gpu" if fit.pool.kind == "gpu" else "cpu"
    times = Fraction(fit.pool.total, GB) if kind == "gpu" else Fraction(1)
    model, parameters = fit.model, fit.model.parameters
    active = Fraction(1)
    if model.active is not None and parameters is not None:
        active = Fraction(model.active.value, parameters.value)
    sums = 2 * active * (parameters.value if parameters else 0) * input_tokens(workload, assumptions)
    read = sums / (times * assumptions[f"flops-{kind}"] * 10**12)
    cache = model.kv_cache_bytes(input_tokens(workload, assumptions) + workload.tokens_out) or 0
    bytes_ = active * fit.memory.weights + cache
    said = output_tokens(model, workload, assumptions) * bytes_ / (times * assumptions[f"bandwidth-{kind}"] * 10**9)
    streams = fit.slots if kind == "gpu" else 1  # a CPU has no compute to spare for batching
    busy = read + said / streams
    names = (f"flops-{kind}", f"bandwidth-{kind}", "busy", "most-slots", *reasoning_assumptions(model))
    numbers = (*assumptions.numbers(*names), *workload.numbers("tokens-in", "tokens-out"), *fit.numbers())
    return LatencyEstimate(read + said, busy, MONTH_S * assumptions["busy"] / busy, numbers)


def hosted_latency(model: ModelInfo, large: bool, workload: Workload, assumptions: Assumptions) -> LatencyEstimate:
    speed = "speed-large" if large else "speed-small"
    seconds = assumptions["first-word"] + output_tokens(model, workload, assumptions) / assumptions[speed]
    numbers = (
        *assumptions.numbers("first-word", speed, *reasoning_assumptions(model)),
        workload.number("tokens-out"),
    )
    return LatencyEstimate(seconds, seconds, None, numbers)


def reasoning_assumptions(model: ModelInfo) -> tuple[str, ...]:
    return ("thought", "thought-least") if model.reasons else ()
