"""The bench of careless evidence on recorded sets: what counts once, and a table of every kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.routing.careless_validity import FORMS, GROUP, KINDS, Population, copied, grouped, without
from bench.routing.validity import Family, Losses

ROOT = Path(__file__).parents[2]


def population(count: int, copies: int) -> Population:
    """Of two levels: all large, and all small, which is right on every second prompt."""
    small, rows = np.arange(count) % 2.0, np.arange(count)
    family = Family(
        np.stack([np.ones(count), small]), np.stack([np.ones(count), np.zeros(count)]), np.array([0, 1]) > 0
    )
    return Population([family], np.ones(count), np.full(count, copies), rows.reshape(-1, GROUP), {})


def test_a_question_counts_once_for_each_form_that_is_not_found_to_be_a_copy() -> None:
    def rows(copies: int, *, found: bool) -> list[int]:
        ((drawn, starts),) = copied(population(20, copies), np.random.default_rng(0), 100, found=found)
        assert starts is None
        counted: list[int] = drawn.tolist()
        return counted

    each = rows(1, found=False)
    assert rows(FORMS, found=True) == each and 100 <= len(each) < 100 + FORMS
    once, more = rows(1, found=True), rows(2, found=True)
    assert len(once) < len(more) < len(each)
    assert list(dict.fromkeys(once)) == list(dict.fromkeys(each))


def test_a_session_counts_once_with_its_mean() -> None:
    its = population(20, 1)
    ((rows, starts),) = grouped(its, np.random.default_rng(0), 50, found=True)
    losses = Losses(its.families[0], 0.9 * its.large[rows], rows, starts)
    (block,) = losses.blocks()
    assert block.shape == (1, 10) and losses.levels.tolist() == [1]
    assert block[0] == pytest.approx(0.9 - its.families[0].got[1][rows].reshape(10, GROUP).mean(axis=1))
    assert losses.saves(losses.levels).tolist() == [1.0]


def test_two_in_a_hundred_answers_are_missing_and_all_where_they_would_have_been_wrong() -> None:
    wrong = np.arange(200) % 2 > 0
    kept = without(wrong, np.random.default_rng(0))
    assert len(kept) == 196 and all(wrong[row] for row in set(range(200)) - set(kept.tolist()))


@pytest.mark.long
def test_the_bench_shows_every_kind_of_evidence() -> None:
    pair = "bench/routing/cold_start/recorded:local/smollm2-135m:local/qwen2.5-coder-1.5b"
    asked = ("-m", "bench.routing.careless_validity", pair, "--draws", "2")
    done = subprocess.run((sys.executable, *asked), cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines] == list(KINDS)
