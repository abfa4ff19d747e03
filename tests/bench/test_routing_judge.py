"""Tests of the judge's bench: which pairs it is asked about, and that the table is what was recorded; asks no model."""

from __future__ import annotations

from collections import Counter

from bench.first_light.check import right
from bench.routing import verify
from bench.routing.judge import VERDICTS, WANTED, Said, pairs, recorded, table
from bench.routing.live.questions import questions
from sizewise.routing.answer_agreement import answers_agree


def test_pairs_are_those_whose_truth_a_check_knows_in_either_order() -> None:
    checks = {each.id: each.check for each in questions()}
    asked = pairs()
    assert asked == pairs() and Counter(each.sort for each in asked) == WANTED
    for each in asked:
        one, other = (right(checks[each.id], text) for text in (each.one, each.other))
        assert {(True, False): "one", (False, True): "other"}.get((one, other), "") == each.better
        assert answers_agree(each.one, each.other) is not True
    named = Counter(each.better for each in asked)
    assert named["one"] == named["other"]


def test_what_was_recorded_is_about_these_pairs() -> None:
    assert [(each.sort, each.id, each.better) for each in recorded()] == [
        (each.sort, each.id, each.better) for each in pairs()
    ]
    readme = (VERDICTS.parents[2] / "README.md").read_text()
    for line in table(recorded()):
        assert line in readme


def test_a_row_counts_what_both_orders_name() -> None:
    sort = next(iter(WANTED))
    verdicts = [("A", "B"), ("B", "A"), ("A", "A"), ("tie", "tie"), ("A", "tie"), ("A", "hm")]
    said = [Said(sort, str(at), "one", *each, 1.0) for at, each in enumerate(verdicts)]
    assert f"| {sort} | 6 | 2 | 1 | 1 | 1 | 1 |" in list(table(said))


def test_the_verifier_was_asked_about_as_many_right_answers_as_wrong_ones_and_its_table_is_what_was_recorded() -> None:
    said = verify.recorded()
    assert [(str(row.prompt_id), bool(row.score)) for row, _ in verify.answers()] == [
        (its.id, its.right) for its in said
    ]
    assert "\n".join(verify.table(said)) in (VERDICTS.parents[2] / "README.md").read_text()
