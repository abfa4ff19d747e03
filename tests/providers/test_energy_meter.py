"""The energy meter: two answers at a time share what the machine takes, by its counters or by time and a power."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from sizewise.energy import BY_TIME, MEASURED, MEASURED_GPU, energy_words
from sizewise.providers.energy_counters import GpuCounters, ProcessorCounters
from sizewise.providers.energy_meter import EnergyMeter

JOULE = 1_000_000


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Nvml:
    """A double of NVIDIA's library: two GPUs, of which each has taken `joules`; or none can say."""

    def __init__(self, joules: int | None = 0) -> None:
        self.joules = joules

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetCount_v2(self, count: object) -> int:
        ctypes.cast(count, ctypes.POINTER(ctypes.c_uint))[0] = 2  # type: ignore[arg-type]  # a pointer
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: object, device: object) -> int:
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device: object, millijoules: object) -> int:
        if self.joules is None:
            return 3  # not supported
        ctypes.cast(millijoules, ctypes.POINTER(ctypes.c_ulonglong))[0] = self.joules * 1_000  # type: ignore[arg-type]  # a pointer
        return 0


def counter(folder: Path, joules: int) -> None:
    (folder / "intel-rapl:0").mkdir(exist_ok=True)
    (folder / "intel-rapl:0" / "energy_uj").write_text(str(joules * JOULE))
    (folder / "intel-rapl:0" / "max_energy_range_uj").write_text(str(1000 * JOULE))


def test_without_counters_two_answers_share_the_time(tmp_path: Path) -> None:
    clock = Clock()
    meter = EnergyMeter(60, ProcessorCounters(tmp_path), GpuCounters(), clock)
    first = meter.begin()
    clock.now += 2
    second = meter.begin()
    clock.now += 4
    one = meter.end(first)
    clock.now += 1
    other = meter.end(second)
    assert (one.energy, other.energy) == (60 * 4 * JOULE, 60 * 3 * JOULE)
    assert one.energy_source == other.energy_source == BY_TIME
    clock.now += 1_000
    assert meter.end(meter.begin()).energy == 0


def test_counters_of_the_processors_measure_what_is_long_enough(tmp_path: Path) -> None:
    clock = Clock()
    counter(tmp_path, 990)
    meter = EnergyMeter(60, ProcessorCounters(tmp_path), GpuCounters(), clock)
    clock.now += 50
    counter(tmp_path, 995)  # nobody asked meanwhile
    first, second = meter.begin(), meter.begin()
    clock.now += 2
    counter(tmp_path, 35)  # the counter began again
    one = meter.end(first)
    assert (one.energy, one.energy_source) == (20 * JOULE, MEASURED)
    clock.now += 1
    counter(tmp_path, 42)
    assert meter.end(second).energy == 27 * JOULE
    short = meter.begin()
    clock.now += 0.001
    assert meter.end(short).energy_source == BY_TIME
    long = meter.begin()
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    clock.now += 1
    gone = meter.end(long)
    assert (gone.energy, gone.energy_source) == (60 * JOULE, BY_TIME)


def test_gpus_that_can_be_read_count_beside_the_power_of_the_rest(tmp_path: Path) -> None:
    clock, nvml = Clock(), Nvml()
    meter = EnergyMeter(60, ProcessorCounters(tmp_path), GpuCounters(nvml), clock)
    began = meter.begin()
    clock.now += 1
    nvml.joules = 300
    found = meter.end(began)
    assert (found.energy, found.energy_source) == (660 * JOULE, BY_TIME | MEASURED_GPU)
    assert "NVML" in energy_words(found.energy_source) and "factor of about 3" in energy_words(found.energy_source)
    nvml.joules = None
    began = meter.begin()
    clock.now += 1
    assert meter.end(began).energy == 60 * JOULE


def test_what_processors_took_is_no_measurement_of_a_machine_whose_gpus_cannot_be_read(tmp_path: Path) -> None:
    clock = Clock()
    counter(tmp_path, 0)
    meter = EnergyMeter(400, ProcessorCounters(tmp_path), GpuCounters(Nvml(None)), clock)
    began = meter.begin()
    clock.now += 1
    counter(tmp_path, 30)
    found = meter.end(began)
    assert (found.energy, found.energy_source) == (400 * JOULE, BY_TIME)


@pytest.mark.parametrize("sources", [MEASURED, MEASURED | MEASURED_GPU])
def test_only_an_estimate_is_called_uncertain(sources: int) -> None:
    assert "factor" not in energy_words(sources) and energy_words(sources).startswith("measured by")
