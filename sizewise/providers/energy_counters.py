"""Energy counters of this machine: of its processors (RAPL) and its NVIDIA GPUs (NVML); shares nothing out.

They count whole devices, other programs' use included. NVML was tested with a double of its library only.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Protocol, cast

FOLDER = Path("/sys/class/powercap")
"""Linux shows Intel's and AMD's counters of whole processors here; on most machines root alone may read them."""
NVML = "libnvidia-ml.so.1"


class Counters(Protocol):
    """`can_read`: False for good once one cannot be read."""

    can_read: bool

    def used(self) -> int:
        """Microjoules since the last call, or since it was made; 0 if they cannot be read."""
        ...


class ProcessorCounters:
    def __init__(self, folder: Path = FOLDER) -> None:
        # a processor, not a part of one
        found = [each for each in sorted(folder.glob("intel-rapl:[0-9]*")) if each.name.count(":") == 1]
        self._ranges = {each / "energy_uj": _number(each / "max_energy_range_uj") for each in found}
        self._before = {file: _number(file) for file in self._ranges}
        self.can_read = bool(found) and None not in (*self._ranges.values(), *self._before.values())

    def used(self) -> int:
        if not self.can_read:
            return 0
        spent, now = 0, {file: _number(file) for file in self._ranges}
        for file, range_ in self._ranges.items():
            end, begin = now[file], self._before[file]
            if end is None or begin is None or range_ is None:
                self.can_read = False
                return 0
            spent += end - begin if end >= begin else end - begin + range_  # it began again
        self._before = now
        return spent


def _number(file: Path) -> int | None:
    """None if it cannot be read."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


class Nvml(Protocol):
    """Of NVIDIA's library; all return 0 on success."""

    def nvmlInit_v2(self) -> int: ...  # its names
    def nvmlDeviceGetCount_v2(self, count: object, /) -> int: ...
    def nvmlDeviceGetHandleByIndex_v2(self, number: object, device: object, /) -> int: ...
    def nvmlDeviceGetTotalEnergyConsumption(self, device: object, millijoules: object, /) -> int: ...


class GpuCounters:
    """Those of Volta and later. `has_gpu`: also if they cannot be read."""

    def __init__(self, library: Nvml | None = None) -> None:
        """None: NVML of this machine."""
        self._library = library
        self._devices: list[ctypes.c_void_p] = []
        try:
            self._library = library or cast(Nvml, ctypes.CDLL(NVML))
            self._devices = _devices(self._library)
        except (OSError, AttributeError):  # no driver, or one from before these calls
            pass
        self.has_gpu = self.can_read = bool(self._devices)
        self._before = self._millijoules()

    def used(self) -> int:
        now, before = self._millijoules(), self._before
        self._before = now
        return max(0, now - before) * 1_000 if self.can_read else 0

    def _millijoules(self) -> int:
        """Since the driver was loaded."""
        total, one = 0, ctypes.c_ulonglong()
        for device in self._devices if self.can_read else ():
            assert self._library is not None
            if self._library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(one)):
                self.can_read = False
                return 0
            total += one.value
        return total


def _devices(library: Nvml) -> list[ctypes.c_void_p]:
    count, found = ctypes.c_uint(), list[ctypes.c_void_p]()
    if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return found
    for number in range(count.value):
        device = ctypes.c_void_p()
        if not library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(device)):
            found.append(device)
    return found
