"""Measures the memory bandwidth of this machine and counts its cores, in a fifth of a second; starts no model.

An output token reads all weights once, so bandwidth bounds the pace. llama.cpp reaches only a share of what a plain
copy reaches, and fewer operations per core than the data sheet says: both shares are assumptions of their own.
"""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from threading import Lock

from sizewise.process import physical_cores

BLOCK = 32 * 1024 * 1024  # bytes of a thread's copy; larger than the caches that it has to itself
SECONDS = 0.15
TIME_OF_THREAD = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-4 else time.perf_counter
"""On a busy machine a thread waits in the middle of each copy; Windows counts its time in steps of 16 ms."""


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """`copy_gb_per_s`: bytes read and written by all cores together, in GB per second."""

    copy_gb_per_s: Fraction
    cores: int


def measure_machine() -> MachineSpeed:
    cores = physical_cores()
    with ThreadPoolExecutor(cores) as pool:
        moved = list(pool.map(lambda _: _copy_for(SECONDS), range(cores)))
    return MachineSpeed(Fraction(round(sum(moved) / 10**7), 100), cores)


class MachineSpeedOnce:
    """`measure_machine` once for a server, whose requests would wait for each measurement. Called by any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._speed: MachineSpeed | None = None

    def measure(self) -> MachineSpeed:
        with self._lock:
            if self._speed is None:
                self._speed = measure_machine()
            return self._speed


def _copy_for(seconds: float) -> float:
    """Bytes per second that one thread reads and writes in its best copy: other programs slow down some of them.

    The copy runs without the interpreter's lock.
    """
    source, target = ctypes.create_string_buffer(BLOCK), ctypes.create_string_buffer(BLOCK)
    ctypes.memmove(target, source, BLOCK)  # the pages exist from now on
    begin, best = time.perf_counter(), 0.0
    while not best or time.perf_counter() - begin < seconds:
        since = TIME_OF_THREAD()
        ctypes.memmove(target, source, BLOCK)
        best = max(best, 2 * BLOCK / max(TIME_OF_THREAD() - since, 1e-6))
    return best
