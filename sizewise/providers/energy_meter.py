"""Energy meter: shares what this machine takes among the answers that it is working on; knows no model.

Of two answers at a time each gets half, so sums over answers are not more than the machine took. Answers of other
processes are not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from msgspec import Struct

from sizewise.attempt_progress import AttemptStage
from sizewise.energy import BY_TIME, MEASURED, MEASURED_GPU
from sizewise.handler import Handler, Request, Send
from sizewise.messages import Reply
from sizewise.providers.energy_counters import Counters, GpuCounters, ProcessorCounters

FRESH_S = 0.02
"""Seconds for which a reading counts as now: the counters change every millisecond, and a reading takes 10 us."""


class Reading(Struct, frozen=True):
    """The shares that one answer would have if it had been under way since the meter began."""

    seconds: float
    processors: float  # microjoules, as the next
    gpus: float


class EnergyMeter:
    """`watts`: power of this machine, as far as its counters cannot be read. Without counters nothing is read."""

    def __init__(
        self,
        watts: float,
        processors: Counters | None = None,
        gpus: GpuCounters | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._watts = watts
        self._gpus = GpuCounters() if gpus is None else gpus
        self._processors = ProcessorCounters() if processors is None else processors
        self._clock = clock
        self._running = 0
        self._seconds = self._of_processors = self._of_gpus = 0.0
        self._at = self._read_at = clock()

    def begin(self) -> Reading:
        found = self._now()
        self._running += 1
        return found

    def end(self, began: Reading) -> AttemptStage:
        """The share of an answer since `began`. What is too short to be measured is estimated."""
        found = self._now()
        self._running -= 1
        processors, gpus = round(found.processors - began.processors), round(found.gpus - began.gpus)
        source = MEASURED
        if processors <= 0 or self._has_unread_gpu():
            processors, source = round((found.seconds - began.seconds) * self._watts * 1e6), BY_TIME
        if gpus > 0:
            processors, source = processors + gpus, source | MEASURED_GPU
        return AttemptStage("energy", energy=processors, energy_source=source)

    def _has_unread_gpu(self) -> bool:
        return self._gpus.has_gpu and not self._gpus.can_read

    def _now(self) -> Reading:
        now, running = self._clock(), self._running
        if running:
            self._seconds += (now - self._at) / running
        self._at = now
        if (self._processors.can_read or self._gpus.can_read) and now - self._read_at >= FRESH_S:
            of_processors, of_gpus, self._read_at = self._processors.used(), self._gpus.used(), now
            if running:
                self._of_processors += of_processors / running
                self._of_gpus += of_gpus / running
        return Reading(self._seconds, self._of_processors, self._of_gpus)


class MeteredModel:
    """Handler of a model on this machine, which reports the energy of each answer, also of one that failed."""

    __slots__ = ("_handler", "_meter")

    def __init__(self, handler: Handler, meter: EnergyMeter) -> None:
        self._handler = handler
        self._meter = meter

    async def __call__(self, request: Request, send: Send) -> Reply:
        began = self._meter.begin()
        try:
            return await self._handler(request, send)
        finally:
            await send(self._meter.end(began))
