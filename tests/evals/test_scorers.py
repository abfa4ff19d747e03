"""Scorers: what counts as the right answer, rule by rule, as a user would expect it of a model's wording."""

from __future__ import annotations

import pytest

from sizewise.errors import BadRequest
from sizewise.evals.scorers import ScorerName, check_reference, compile_schema, score_answer

RIGHT: list[tuple[ScorerName, str, object]] = [
    ("exact", "Paris.", "paris"),
    ("exact", "The answer is: Paris", "Paris"),
    ("exact", '"São Paulo"', "sao paulo"),
    ("exact", "don't know", ["yes", "don’t know"]),
    ("contains", "It is the city of New York, I think.", "new york"),
    ("contains", "Au", ["Ag", "Au"]),
    ("contains", "It costs $500.", "$500"),
    ("contains", "use C++ here", "c++"),
    ("contains", "see [1].", "[1]"),
    ("contains", "a  b\nc", "B C"),
    ("regex", "order\nK-254 shipped", r"k-\d{3}\b"),
    ("choice", "B", "B"),
    ("choice", "b)", "B"),
    ("choice", "B) dolphin", "B"),
    ("choice", "**C**", "C"),
    ("choice", "The correct answer is (D).", "D"),
    ("choice", "Answer: A", "a"),
    ("choice", "B) a dolphin is a mammal", "B"),
    ("number", "12 + 51 = 63", 63),
    ("number", "The total is 1,234.50 dollars.", "1234.5"),
    ("number", "−5 degrees, so -5", -5),
    ("number", "It is 3.1415927.", 3.1415926),
    ("json", '```json\n{"a": 1}\n```', {"a": 1}),
    ("json", '{"b": [1, 2], "a": "x"}', {"a": "x", "b": [1, 2]}),
]
WRONG: list[tuple[ScorerName, str, object]] = [
    ("exact", "Paris is the capital of France", "Paris"),
    ("exact", "", "Paris"),
    ("contains", "Auto", "Au"),
    ("contains", "It costs 500.", "$500"),
    ("contains", "well known", "well-known"),
    ("contains", "source 1", "[1]"),
    ("contains", "use C here", "C++"),
    ("regex", "order 254", r"K-\d"),
    ("choice", "A dolphin", "A"),
    ("choice", "A) shark\nB) dolphin\nC) trout", "A"),
    ("choice", "I would say it depends", "I"),
    ("choice", "C", "B"),
    ("number", "sixty-three", 63),
    ("number", "63 and then 64", 63),
    ("number", "K254", 254),
    ("json", "the object is {}", {}),
    ("json", '{"a": 2}', {"a": 1}),
    ("json", "[" * 100_000, []),
    ("json", "\ud800", None),
]


@pytest.mark.parametrize(("scorer", "answer", "reference"), RIGHT, ids=lambda its: str(its)[:24])
def test_an_answer_that_people_would_call_right_scores_one(scorer: ScorerName, answer: str, reference: object) -> None:
    check_reference(scorer, reference, has_schema=False)
    assert score_answer(scorer, answer, reference) == 1.0


@pytest.mark.parametrize(("scorer", "answer", "reference"), WRONG, ids=lambda its: str(its)[:24])
def test_another_answer_scores_zero(scorer: ScorerName, answer: str, reference: object) -> None:
    assert score_answer(scorer, answer, reference) == 0.0


def test_json_must_satisfy_its_schema_and_a_reference_only_where_there_is_one() -> None:
    schema = compile_schema({"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}})
    assert score_answer("json", '{"age": 3}', None, schema) == 1.0
    assert score_answer("json", '{"age": "3"}', None, schema) == 0.0
    assert score_answer("json", '{"age": 3}', {"age": 4}, schema) == 0.0


@pytest.mark.parametrize(
    ("scorer", "reference", "said"),
    [
        ("exact", None, "needs a `reference`"),
        ("exact", [], "needs a `reference`"),
        ("exact", "...", "no letter and no digit"),
        ("regex", "(", "no regular expression"),
        ("choice", "dolphin", "no letter"),
        ("number", "many", "no number"),
        ("json", None, "needs a `schema`"),
    ],
)
def test_a_reference_that_nothing_can_be_scored_by_is_refused(scorer: ScorerName, reference: object, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check_reference(scorer, reference, has_schema=False)


def test_a_judge_needs_no_reference() -> None:
    check_reference("judge", None, has_schema=False)


def test_an_invalid_schema_is_refused() -> None:
    with pytest.raises(BadRequest, match="schema"):
        compile_schema({"type": "nonsense"})
