"""Energy of answers: in microjoules, how it was found, and both in words; computes and measures none."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

MICROJOULES_PER_WH = 3_600_000_000
BY_SIZE, BY_TIME, MEASURED, MEASURED_GPU = 1, 2, 4, 8
"""How it was found, as bits: the sum over several attempts has those of all."""
SOURCES: Mapping[int, str] = MappingProxyType(
    {
        BY_SIZE: "estimated by the model's size and its output tokens, with EcoLogits' coefficients",
        BY_TIME: "estimated by time and the power of this machine ([local] watts)",
        MEASURED: "measured by the counters of this machine's processors (RAPL)",
        MEASURED_GPU: "measured by the counters of its GPUs (NVML)",
    }
)
LITTLE_WH = 1e-4
ESTIMATES = BY_SIZE | BY_TIME
FACTOR = "uncertain by a factor of about 3"


def energy_words(sources: int) -> str:
    """Of which an estimate says how far it may be wrong."""
    how = "; ".join(words for bit, words in SOURCES.items() if sources & bit)
    return f"{how}; {FACTOR}" if sources & ESTIMATES else how


def watt_hours(microjoules: int) -> float:
    return microjoules / MICROJOULES_PER_WH


def format_wh(energy: float | Fraction) -> str:
    """Two digits that count, as 0.00042 Wh, three from 100 on; kWh, MWh and GWh for much, mWh for little."""
    wh = float(energy)
    if 0 < abs(wh) < LITTLE_WH:
        return f"{wh * 1000:.2g} mWh"
    for unit, least in (("GWh", 10**9), ("MWh", 10**6), ("kWh", 10**3)):
        if abs(wh) >= least:
            return f"{wh / least:.3g} {unit}"
    return f"{wh:.0f} Wh" if abs(wh) >= 100 else f"{wh:.2g} Wh"
