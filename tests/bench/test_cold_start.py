"""The cold-start bench: its questions, their scorers, and what auto loses on the recorded answers; asks no model."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from bench.routing.cold_start import fit, make_questions
from bench.routing.cold_start.record import LARGE, QUESTIONS, RECORDED, SMALL
from bench.routing.cold_start.run import bound, compare, table
from bench.routing.live.questions import questions as live_questions
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.scorers import score_answer
from sizewise.routing.quality.shipped_prior import SHIPPED_PRIOR

ROWS: list[dict[str, Any]] = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]


def test_more_than_three_hundred_questions_of_twelve_tasks_are_what_their_maker_makes() -> None:
    assert json.loads(json.dumps(make_questions.questions())) == ROWS
    assert len({row["prompt"] for row in ROWS}) == len(ROWS) >= 300
    assert min(Counter(row["category"] for row in ROWS).values()) >= 16


def test_none_of_them_is_among_those_that_the_prior_was_learned_from() -> None:
    assert not {row["prompt"] for row in ROWS} & {each.prompt for each in live_questions()}


def test_a_scorer_accepts_the_reference_and_no_echo() -> None:
    for row in ROWS:
        first = row["reference"][0] if isinstance(row["reference"], list) else row["reference"]
        right = json.dumps(first) if row["scorer"] == "json" else str(first)
        assert score_answer(row["scorer"], right, row["reference"]) == 1.0, row["prompt_id"]
        assert score_answer(row["scorer"], "elephants 7777", row["reference"]) == 0.0, row["prompt_id"]


def test_before_calibration_auto_loses_no_more_than_is_stated() -> None:
    dataset = read_dataset(RECORDED)
    ways, most = compare(dataset, SMALL, LARGE)
    assert len(ways[0].scores) >= 300
    assert most <= SHIPPED_PRIOR.max_loss
    assert f"auto loses at most {100 * most:.1f} points" in table(ways, most)


def test_the_bound_is_above_the_mean_and_nothing_lost_is_nothing() -> None:
    assert bound([0.0] * 10) == 0.0
    assert 0.1 < bound([1.0] * 10 + [0.0] * 90) < 0.2


@pytest.mark.long
def test_the_shipped_prior_is_what_its_program_fits() -> None:
    found = fit.fit()
    assert (found.languages, found.dataset_digest, found.date) == (
        SHIPPED_PRIOR.languages,
        SHIPPED_PRIOR.dataset_digest,
        SHIPPED_PRIOR.date,
    )
    for ours, its in zip(found.models, SHIPPED_PRIOR.models, strict=True):
        assert (ours.name, ours.parameters, ours.answers, ours.kept) == (
            its.name,
            its.parameters,
            its.answers,
            its.kept,
        )
        assert ours.weights == pytest.approx(its.weights, abs=1e-3)
