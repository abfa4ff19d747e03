"""Energy of one answer: read from the processor's counters where they can be read, else estimated; says which."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.energy import hosted_energy, local_energy
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.model_info import ModelInfo
from sizewise.cli.options import command_settings
from sizewise.energy import MICROJOULES_PER_WH
from sizewise.providers.energy_counters import FOLDER, ProcessorCounters


class ProcessorMeter:
    """Reads the counters when it is made, and again in `wh`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._counters = ProcessorCounters(folder)

    def wh(self) -> float | None:
        """Watt-hours of all processors since then, other programs' included; None if no counter can be read."""
        used = self._counters.used()
        return used / MICROJOULES_PER_WH if self._counters.can_read else None


def answer_energy(
    model: str, seconds: float, output_tokens: int | None, measured_wh: float | None, *, is_here: bool
) -> tuple[float | None, str]:
    """Watt-hours, and how they were found; None if the size of a model elsewhere is unknown."""
    assumptions = parse_assumptions()
    if is_here:
        if measured_wh is not None:
            return measured_wh, "measured: whole processors (RAPL) while it answered"
        found = local_energy(Fraction(seconds).limit_denominator(1000), on_gpu=False, assumptions=assumptions)
        return float(found.wh), found.how
    info = _known_models().get(model)
    if info is None or output_tokens is None:
        return None, ""
    away = hosted_energy(info, Fraction(output_tokens), assumptions)
    if away is None:
        return None, ""
    return float(away.wh), f"{float(away.low):.2g} to {float(away.high):.2g}, {away.how}"


def _known_models() -> Mapping[str, ModelInfo]:
    """By the names that endpoints have for them."""
    models = current_catalog(command_settings()).load_models().values()
    return {f"{endpoint}/{name}": each for each in models for endpoint, names in each.offers.items() for name in names}
