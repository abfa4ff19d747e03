"""Energy of an output token at an endpoint, by the size of its model: EcoLogits' coefficients; knows no request.

Energy and time of a token grow linearly with the active parameters, on servers of eight GPUs with 80 GB. Vendors
publish neither sizes nor batches, so it is an order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

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
PUE = "1.2"
"""Power of a data center relative to that of its servers (EcoLogits' figure)."""
BILLION = 10**9


@dataclass(frozen=True, slots=True)
class TokenEnergy:
    """Watt-hours of an output token, without what the data center adds; `gpu`: of one GPU. `active`: in billions."""

    wh: Fraction
    low: Fraction
    high: Fraction
    gpu: Fraction
    active: Fraction


def token_energy(parameters: int, active: int | None = None) -> TokenEnergy:
    """`active`: parameters that a token uses; None: all."""
    total = Fraction(parameters, BILLION)
    used = total if active is None else Fraction(active, BILLION)
    gpus = ceil(Fraction(OVERHEAD) * total * BITS / 8 / GPU_GB)
    of_gpu = Fraction(GPU_WH_PER_TOKEN_AND_BILLION) * used + Fraction(GPU_WH_PER_TOKEN)
    spread = Fraction(HALF_OF_95) * Fraction(GPU_WH_DEVIATION)
    seconds = Fraction(SECONDS_PER_TOKEN_AND_BILLION) * used + Fraction(SECONDS_PER_TOKEN)
    of_server = seconds / 3600 * SERVER_WATTS * Fraction(gpus, SERVER_GPUS)

    def whole(gpu: Fraction) -> Fraction:
        return of_server + gpus * max(Fraction(0), gpu)

    return TokenEnergy(
        wh=whole(of_gpu), low=whole(of_gpu - spread), high=whole(of_gpu + spread), gpu=of_gpu, active=used
    )


def energy_of(model: ModelInfo) -> TokenEnergy | None:
    """None if the model's size is unknown, or what a mixture of experts uses of it. Sizes that only third parties claim
    are used.
    """
    is_mixture = model.architecture is not None and model.architecture.value.startswith("moe")
    if model.parameters is None or (is_mixture and model.active is None):
        return None
    return token_energy(model.parameters.value, None if model.active is None else model.active.value)
