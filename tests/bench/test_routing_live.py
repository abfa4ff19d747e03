"""Tests of our own recorded set: its questions, their checks, and what was recorded of them; no model is asked."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256

import msgspec
import pytest

from bench.first_light.check import right
from bench.routing.live import generated_questions
from bench.routing.live.questions import QUESTIONS, RECORDED, VECTORS, Question, classified, questions, train
from bench.routing.live.record import Recorded
from bench.routing.live.run import auroc, notes, recorded, table
from bench.routing.live.text_classifier import learn, tfidf
from sizewise.evals.dataset_files import read_dataset

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
    computed = {row["kind"] for row in generated_questions.rows()}
    assert [row for row in rows if row["kind"] in computed] == generated_questions.rows()


def test_tier_zero_learns_from_texts_that_are_never_asked() -> None:
    asked, learned = [q for q in ASKED if q.text], train()
    assert not {q.text for q in asked} & {each.text for each in learned}
    assert Counter((q.kind, q.reference) for q in asked) == Counter(
        {("intent", label): 15 for label in ("refund", "delivery", "login", "cancel")}
        | {("sentiment", label): 12 for label in ("positive", "negative")},
    )
    assert set(Counter((each.kind, each.label) for each in learned).values()) == {15}


# ---- what was recorded


def test_the_recorded_set_is_whole_and_has_the_shape_that_replay_reads() -> None:
    outcomes = read_dataset(RECORDED)
    assert outcomes.ids == tuple(q.id for q in ASKED)
    assert outcomes.prompts == tuple(q.prompt for q in ASKED)
    assert len(outcomes.columns) == 2
    assert len(outcomes.scored_rows(*outcomes.columns)) == 240
    for column in outcomes.columns.values():
        assert all(least <= mean <= 0 for least, mean in zip(column.least, column.confidence, strict=True))
        assert min(column.seconds) > 0 and min(column.tokens_in) > 0 and min(column.tokens_out) > 0


def test_the_scores_are_what_the_committed_checks_say_of_the_answers() -> None:
    checks = {q.id: q.check for q in ASKED}
    for outcome in rows():
        assert outcome.score == float(right(checks[str(outcome.prompt_id)], str(outcome.answer))), outcome.prompt_id
        assert outcome.confidence == pytest.approx(sum(outcome.logprobs) / len(outcome.logprobs), abs=1e-4)
        assert outcome.least == min(outcome.logprobs)


def test_the_questions_are_those_that_were_asked() -> None:
    meta = json.loads((RECORDED / "meta.json").read_text())
    assert meta["questions_sha256"] == sha256(QUESTIONS.read_bytes()).hexdigest()
    assert set(meta["models"]) == {outcome.model for outcome in rows()}


def rows() -> list[Recorded]:
    lines = (RECORDED / "outcomes.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Recorded) for line in lines]


# ---- tier 0 and the table


def test_tier_zero_learns_what_words_tell() -> None:
    texts = ["a red apple", "a red rose", "red wine", "the blue sea", "blue sky", "a blue car", "red hat", "blue hat"]
    colours = ["red" if "red" in text else "blue" for text in texts]
    classifier = learn(tfidf(texts, texts), colours)
    [vector, nothing] = tfidf(["my blue boat", "xyz"], texts)
    label, sure = classifier.says(vector)
    assert label == "blue" and sure > 0.6
    assert classifier.says(nothing)[1] == pytest.approx(0.5), "of a text without a known word it knows nothing"


def test_a_vector_file_holds_every_text_that_is_classified() -> None:
    known = {json.loads(line)["text"] for line in VECTORS.read_text(encoding="utf-8").splitlines()}
    assert known == {each.text for each in train()} | {each.text for each in classified()}


@pytest.mark.long
def test_the_table_says_of_every_kind_what_each_way_came_to() -> None:
    lines = recorded(RECORDED)
    shown = table(lines)
    assert [kind for kind in {q.kind for q in ASKED} if f"\n{kind} " not in shown] == []
    whole = shown.splitlines()[-1].split()
    small = sum(each.asked.small.right for each in lines)
    assert whole[:3] == ["all", "240", str(round(100 * small / 240))]
    assert "AUROC" in "\n".join(notes(lines))


def test_auroc_counts_pairs() -> None:
    assert auroc([0.9, 0.8], [0.1, 0.8]) == 0.875
    assert auroc([], [0.1]) == 0.5
