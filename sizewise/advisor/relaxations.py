"""Relaxations of a workload: one wish less strict each, for where nothing meets them all; judges no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from sizewise.advisor.sourced_number import format_number
from sizewise.advisor.workload import GB, Workload

FACTORS = (2, 4)
"""Of the time and the memory."""
GPUS_GB = (24, 80)
LABELS = 250
"""Enough for a classifier and a tuned model: of half as many one learns, the other half judges it."""


@dataclass(frozen=True, slots=True)
class WayOut:
    """`option`: as typed, with its value. `title`, `name`: of what would be recommended first."""

    option: str
    title: str
    name: str


def relaxed(workload: Workload) -> Iterator[Iterator[tuple[str, Workload]]]:
    """For each option its other values, the least change first, as typed and with the workload."""
    yield (
        (f"--latency-ms {round(each * 1_000)}", replace(workload, latency_s=each))
        for each in (workload.latency_s * factor for factor in FACTORS)
    )
    if workload.labels < LABELS:
        yield iter([(f"--labels {LABELS}", replace(workload, labels=LABELS))])
    yield (
        (f"--memory-gb {format_number(Fraction(each, GB), 1)}", replace(workload, memory=each))
        for each in (workload.memory * factor for factor in FACTORS)
    )
    yield ((f"--gpu-gb {each}", replace(workload, gpu=each * GB)) for each in GPUS_GB if each * GB > workload.gpu)
    if workload.privacy == "confidential":
        yield iter([("--privacy internal", replace(workload, privacy="internal"))])
