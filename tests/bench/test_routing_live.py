"""Tests of our own recorded set: its questions, their checks, and what was recorded of them; no model is asked."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from bench.first_light.check import right
from bench.routing.live import made
from bench.routing.live.questions import QUESTIONS, Question, questions, train

ASKED = questions()


def test_two_hundred_and_forty_questions_of_twelve_kinds_are_committed() -> None:
    assert len({q.id for q in ASKED}) == len({q.prompt for q in ASKED}) == 240
    kinds = Counter(q.kind for q in ASKED)
    assert len(kinds) == 12
    assert min(kinds.values()) >= 12


@pytest.mark.parametrize("question", ASKED, ids=lambda q: q.id)
def test_a_check_accepts_the_reference_and_neither_silence_nor_an_echo(question: Question) -> None:
    assert right(question.check, question.reference)
    assert not right(question.check, "")
    assert not right(question.check, "elephants 7777")
    assert not right(question.check, question.prompt), "repeating the question must not pass"


def test_the_computed_questions_are_what_their_maker_makes() -> None:
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    computed = {row["kind"] for row in made.rows()}
    assert [row for row in rows if row["kind"] in computed] == made.rows()


def test_tier_zero_learns_from_texts_that_are_never_asked() -> None:
    asked, learned = [q for q in ASKED if q.text], train()
    assert not {q.text for q in asked} & {each.text for each in learned}
    assert Counter((q.kind, q.reference) for q in asked) == Counter(
        {("intent", label): 15 for label in ("refund", "delivery", "login", "cancel")}
        | {("sentiment", label): 12 for label in ("positive", "negative")}
    )
    assert set(Counter((each.kind, each.label) for each in learned).values()) == {15}
