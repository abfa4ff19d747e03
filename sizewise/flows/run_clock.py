"""Run clock: the seconds in which a run worked, without those in which it only waited for a person or a time.

A run that is executed again goes on from what its stored steps took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from sizewise.flows.tables import EXPIRED, RunStep


class RunClock:
    """The clock of one execution. It stands while something is `pausing` and nothing is `working`."""

    def __init__(self, worked_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._worked_s, self._since = worked_s, clock()
        self._working = self._pausing = 0

    @property
    def stands(self) -> bool:
        return self._pausing > 0 and not self._working

    @property
    def worked_s(self) -> float:
        return self._worked_s if self.stands else self._worked_s + self._clock() - self._since

    @contextmanager
    def working(self) -> Iterator[None]:
        self._change(working=1)
        try:
            yield
        finally:
            self._change(working=-1)

    @contextmanager
    def pausing(self) -> Iterator[None]:
        self._change(pausing=1)
        try:
            yield
        finally:
            self._change(pausing=-1)

    def _change(self, working: int = 0, pausing: int = 0) -> None:
        self._worked_s = self.worked_s
        self._since = self._clock()
        self._working += working
        self._pausing += pausing


def worked_seconds(steps: Iterable[tuple[RunStep, bytes]]) -> float:
    """What the stored steps of a run took together, each with its value; concurrent ones count once. A step that slept
    has no value.
    """
    spans = sorted(
        (step.began, step.ended)
        for step, value in steps
        if step.ended is not None and value and not step.by and step.error != EXPIRED and step.key[0] != ":"
    )
    total_ms, end = 0, 0
    for began, ended in spans:
        total_ms += max(0, ended - max(began, end))
        end = max(end, ended)
    return total_ms / 1_000
