"""The soak in small: every request has its answer and its record, and nothing is left open."""

from __future__ import annotations

import os

import pytest

from bench.soak.run import measured

pytestmark = pytest.mark.large


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the soak needs two cores")
def test_streams_and_requests_leave_nothing_behind() -> None:
    figures = measured(requests=10_000, streams=200)
    assert (figures.wrong, figures.wrong_most) == (0, "")
    assert figures.requests == 10_000
    assert figures.streams_open_most >= 200 and figures.streams_left >= 10
    assert figures.records_lost == 0
    assert figures.in_flight_end == 0
    assert figures.files_end < figures.files_most  # the streams' connections are gone, the idle pool may stay
