"""Ratios of CPU time within one run, where others would count seconds: no test depends on the speed of its machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

Clock = Callable[[], float]
"""Returns seconds, which never go back."""
SLACK = 4.0
"""Allowed factor beyond linear, for a busy machine: 8 times the size may take 32 times as long; a square takes 64."""
NO_TIME_S = 0.0025  # shorter times are not measurable, and count as this much
ATTEMPTS = 5


def check_linear(
    work: Callable[[int], object], few: int, times: int = 8, *, slack: float = SLACK, clock: Clock = time.process_time
) -> None:
    """`work` on `few * times` takes at most `slack * times` times as long as on `few`."""
    check_ratio(lambda: work(few * times), lambda: work(few), slack * times, clock=clock)


def check_ratio(
    costly: Callable[[], object],
    plain: Callable[[], object],
    at_most: float,
    *,
    clock: Clock = time.process_time,
    no_time_s: float = NO_TIME_S,
) -> None:
    """`costly` takes at most `at_most` times as long as `plain`.

    The default clock counts the CPU time of this process, so that other work on the machine is not counted. Both are
    measured again, up to `ATTEMPTS` times, before the shortest times decide.
    """
    long = short = inf
    for _ in range(ATTEMPTS):
        short = min(short, _seconds(plain, clock))
        long = min(long, _seconds(costly, clock))
        if long <= at_most * max(short, no_time_s):
            return
    raise AssertionError(f"it took {long:.3f} s, {long / max(short, no_time_s):.0f} times as long as {short:.4f} s")


def _seconds(work: Callable[[], object], clock: Clock) -> float:
    began = clock()
    work()
    return clock() - began
