"""Outcomes of the bench of decisions: a stopped bench goes on, and the interval of a share is the exact one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.decisions.outcomes import Outcome, Outcomes, exact_interval, row


def test_a_stopped_bench_goes_on_with_the_seeds_that_are_missing(tmp_path: Path) -> None:
    kept = Outcomes(tmp_path / "runs.jsonl")
    for seed in (0, 2):
        kept.keep(Outcome("twelve", 250, seed, 0.9, 0.06 * seed / 2, 0.01))
    again = Outcomes(tmp_path / "runs.jsonl")
    assert list(again.missing("twelve", 250, 4)) == [1, 3]
    assert list(again.missing("twelve", 500, 2)) == [0, 1]
    assert "0.5000" in row(again.of("twelve", 250, 4)), "one of two runs differs on more than 5 %"


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(0, 400, 0.0, 0.0092), (4, 400, 0.0027, 0.0254), (10, 10, 0.6915, 1.0)]
)
def test_the_interval_of_a_share_is_clopper_and_pearsons(hits: int, count: int, low: float, high: float) -> None:
    assert exact_interval(hits, count) == pytest.approx((low, high), abs=1e-4)
