"""Trainings from scratch that were reported, with their source; computes neither cost nor energy."""

from __future__ import annotations

from importlib.resources import files

import msgspec
from msgspec import Struct


class ReportedTraining(Struct, frozen=True, forbid_unknown_fields=True):
    """GPUs and days of a training that was reported, and by whom."""

    name: str
    gpus: int
    gpu: str
    days: tuple[int, int]
    source: str

    def gpu_hours(self) -> tuple[int, int]:
        return self.gpus * self.days[0] * 24, self.gpus * self.days[1] * 24


class _File(Struct, forbid_unknown_fields=True):
    trainings: list[ReportedTraining]


def reported_trainings() -> tuple[ReportedTraining, ...]:
    file = files("sizewise.catalog") / "reported_trainings.toml"
    return tuple(msgspec.toml.decode(file.read_bytes(), type=_File).trainings)
