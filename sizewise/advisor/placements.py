"""A model in one place: on this machine with a quantization, or at an endpoint with a price; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sizewise.advisor.latency import LatencyEstimate
from sizewise.advisor.memory_fit import MemoryFit
from sizewise.advisor.quality_estimates import QualityEstimate
from sizewise.catalog.model_info import ModelInfo
from sizewise.money import Price


@dataclass(frozen=True, slots=True)
class Placement:
    """At an endpoint, with `offer` and `price`, or on this machine, with `fit`, or as a classifier on its vectors."""

    model: ModelInfo
    quality_estimate: QualityEstimate
    accuracy: Fraction  # 0..1 in the task's benchmark, including tuning and quantization
    quality: Fraction  # 0..1
    latency: LatencyEstimate
    request_cost: Fraction  # pico-dollars per request, including egress fees
    fine_tuned: bool = False
    fit: MemoryFit | None = None
    offer: str = ""
    price: Price | None = None
    bytes_out: Fraction = Fraction(0)  # that leave this machine per request
    is_classifier: bool = False

    @property
    def name(self) -> str:
        if self.is_classifier:
            return f"classifier on {self.model.name}"
        if self.fit is None:
            return self.offer
        where = "" if self.fit.pool.kind == "memory" else " on the GPU"
        return f"{self.model.name} {self.fit.quantization}{where}"

    @property
    def is_local(self) -> bool:
        return self.fit is not None or self.is_classifier
