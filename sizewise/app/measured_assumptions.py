"""Assumptions of `advise` and `fit` about this machine, from what was measured on it; computes no estimate."""

from __future__ import annotations

from collections.abc import Callable

from sizewise.advisor.assumptions import Assumptions, with_machine_speed, with_model_pace
from sizewise.app.machine_pace import machine_pace
from sizewise.catalog.machine_speed import MachineSpeed, measure_machine
from sizewise.settings.load import Settings


def measured_assumptions(
    assumptions: Assumptions,
    settings: Settings,
    model: str = "",
    measure: Callable[[], MachineSpeed] = measure_machine,
) -> Assumptions:
    """By the pace that `model` reached here, else the largest measured model; without one, by memory and cores now."""
    pace = machine_pace(settings, model)
    if pace is None or pace.tflops is None:
        speed = measure()
        assumptions = with_machine_speed(assumptions, speed.copy_gb_per_s, speed.cores)
    return assumptions if pace is None else with_model_pace(assumptions, pace.gb_per_s, pace.tflops, pace.how)
