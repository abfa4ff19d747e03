"""The soak in small: every request has its answer and its record, and nothing is left open."""

from __future__ import annotations

import os
from random import Random

import pytest

from bench.soak.growth import Growth, growth_of
from bench.soak.run import measured, slope_of


@pytest.mark.large
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the soak needs two cores")
def test_streams_and_requests_leave_nothing_behind() -> None:
    figures = measured(requests=10_000, streams=200)
    assert (figures.wrong, figures.wrong_most) == (0, "")
    assert figures.requests == 10_000
    assert figures.streams_open_most >= 200 and figures.streams_left >= 10
    assert figures.records_lost == 0
    assert figures.in_flight_end == 0
    assert figures.files_end < figures.files_most  # the streams' connections are gone, the idle pool may stay


def test_the_error_of_a_slope_knows_that_memory_moves_by_steps() -> None:
    """Level memory, whose steps go away by and by: a line through it is within two errors of none in most draws, where
    looks taken as independent say so in a fifth of them.
    """
    within = 0
    for seed in range(100):
        draw, at, sizes = Random(seed), 0.0, list[float]()
        for _ in range(270):
            at = 0.97 * at + draw.gauss(0.0, 0.2)
            sizes.append(50.0 + at)
        slope, error = slope_of([float(each) for each in range(270)], sizes)
        within += abs(slope) <= 2 * error
    assert within >= 70

    slope, error = slope_of([float(each) for each in range(270)], [50.0 + 0.1 * each for each in range(270)])
    assert slope == pytest.approx(0.1) and error < 1e-9


RELOADS = [240.0 * number for number in range(20)]
LOOKS = [10.0 * number for number in range(480)]


def walk(seed: int, per_hour: float = 0.0, per_reload: float = 0.0) -> list[float]:
    """Memory that takes or frees half a megabyte or so at a reload and stays, with small steps between."""
    draw, size, sizes = Random(seed), 80.0, list[float]()
    for at in LOOKS:
        size += draw.gauss(0.0, 0.02) + per_hour * 10 / 3600
        size += draw.gauss(per_reload, 0.5) if at in RELOADS else 0.0
        sizes.append(size)
    return sizes


def is_level(found: Growth) -> bool:
    return all(abs(mean) <= error for mean, error in (found.between, found.at_reload))


def test_a_walk_without_drift_is_no_growth() -> None:
    assert sum(is_level(growth_of(LOOKS, walk(seed), RELOADS)) for seed in range(100)) >= 80


@pytest.mark.parametrize(("per_hour", "per_reload"), [(3.0, 0.0), (0.0, 0.5)])
def test_a_leak_is_found_among_the_steps(per_hour: float, per_reload: float) -> None:
    found = [growth_of(LOOKS, walk(seed, per_hour, per_reload), RELOADS) for seed in range(100)]
    assert sum(not is_level(each) for each in found) >= 95
    mean, error = found[0].between if per_hour else found[0].at_reload
    assert mean - error <= (per_hour or per_reload) <= mean + error
