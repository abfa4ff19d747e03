"""Fits a model into memory: which quantization fits, with how many parallel slots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.sourced_number import SourcedNumber
from sizewise.advisor.workload import Workload
from sizewise.catalog.memory_estimate import MemoryEstimate, format_bytes
from sizewise.catalog.model_info import ModelInfo

MemoryKind = Literal["memory", "gpu"]
PROPOSED_QUANTIZATIONS: tuple[str, ...] = ("Q8_0", "Q6_K", "Q4_K_M")
"""Not below four bits: a smaller model at four bits is better."""
SHOWN_QUANTIZATIONS: tuple[str, ...] = ("F16", *PROPOSED_QUANTIZATIONS)


@dataclass(frozen=True, slots=True)
class MemoryPool:
    """Bytes of memory or GPU memory, with `reserved` for other programs. A model is placed in one pool entirely."""

    kind: MemoryKind
    total: int
    reserved: int

    @property
    def available(self) -> int:
        return self.total - self.reserved


def memory_pools(workload: Workload, assumptions: Assumptions) -> tuple[MemoryPool, ...]:
    memory = MemoryPool(
        "memory",
        workload.memory,
        0 if workload.memory_is_free else round(workload.memory * assumptions["reserve"]),
    )
    gpu = MemoryPool("gpu", workload.gpu, round(workload.gpu * assumptions["reserve-gpu"]))
    return (memory, gpu) if workload.gpu else (memory,)


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """`memory` for `slots` concurrent requests of `context` tokens each. `slots` is 0 if not even one fits; `memory` is
    then that of one.
    """

    model: ModelInfo
    quantization: str
    context: int
    pool: MemoryPool
    memory: MemoryEstimate
    slots: int

    @property
    def free_share(self) -> Fraction:
        """Share of the pool that is free while serving one request, 0..1."""
        one = self.model.estimate_memory(self.quantization, self.context)
        taken = one.total if one is not None else self.memory.total
        return max(Fraction(0), 1 - Fraction(taken, self.pool.available)) if self.pool.available else Fraction(0)

    def numbers(self) -> tuple[SourcedNumber, ...]:
        """The model facts behind the estimate."""
        parts = ("parameters", "layers", "kv_heads", "head_dim", "latent", "sliding", "heads", "vocabulary")
        facts = [(name, getattr(self.model, name)) for name in parts]
        return tuple(
            SourcedNumber(f"{self.model.name} {name}", f"{fact.value:,}", "fact", str(fact))
            for name, fact in facts
            if fact is not None
        )

    def __str__(self) -> str:
        return f"{self.memory} in {format_bytes(self.pool.available)} of {self.pool.kind}"


def fit_model(model: ModelInfo, quantization: str, context: int, pool: MemoryPool, max_slots: int) -> MemoryFit | None:
    """Uses as many slots as fit, at most `max_slots`. None if the model's architecture is unknown."""
    one = model.estimate_memory(quantization, context)
    if one is None:
        return None
    slots, need = 0, one
    low, high = 1, max(1, max_slots)
    while low <= high:  # memory grows with every slot
        middle = (low + high) // 2
        tried = model.estimate_memory(quantization, context, middle)
        if tried is not None and tried.total <= pool.available:
            slots, need, low = middle, tried, middle + 1
        else:
            high = middle - 1
    return MemoryFit(model=model, quantization=quantization, context=context, pool=pool, memory=need, slots=slots)


def fit_quantizations(
    model: ModelInfo,
    pool: MemoryPool,
    context: int,
    assumptions: Assumptions,
) -> Iterator[MemoryFit]:
    """One fit for each of SHOWN_QUANTIZATIONS."""
    for quantization in SHOWN_QUANTIZATIONS:
        found = fit_model(model, quantization, context, pool, int(assumptions["most-slots"]))
        if found is not None:
            yield found
