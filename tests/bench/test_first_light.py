"""Tests of the escalation proof's questions, checks and arithmetic; no model is asked here."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from bench.first_light.check import right
from bench.first_light.report import page, sentence
from bench.first_light.run import QUESTIONS, Question, read
from bench.first_light.statistics import (
    Answer,
    Asked,
    bootstrap,
    compare_policies,
    lead,
    quadrants,
    random_spread,
    wilson,
)

PATTERNS = {  # a right and a wrong reply for every check that is a regular expression
    "extraction-1": ("maria.keller@example.org", "support@example.org"),
    "extraction-2": ("2024-03-17", "2024-03-03"),
    "format-3": ("1,2,3,4,5", "1, 2, 3, 4, 5"),
    "format-4": ("[HELLO]", "[hello]"),
    "format-5": ("- apple\n- pear\n- fig", "apple, pear, fig"),
    "code-3": ("`s[::-1]`", "s[1:]"),
    "code-4": ("```sql\nSELECT COUNT(*) FROM users;\n```", "SELECT * FROM users"),
    "string-5": ('The third letter is "a".', "The third letter is n."),
}


def replies(question: Question) -> tuple[str, str]:
    """A plainly right and a plainly wrong reply, read off the check."""
    check = question.check
    if "matches" in check:
        return PATTERNS[question.id]
    if "json" in check:
        return f"```json\n{json.dumps(check['json'])}\n```", "{}"
    if "number" in check:
        return f"The answer is {check['number']}.", "7777"
    texts = check.get("is", check.get("says"))
    assert isinstance(texts, list)
    return f"{texts[0]}.", "elephants"


def test_fifty_questions_of_ten_kinds_are_committed() -> None:
    questions = read(QUESTIONS)
    assert len({q.id for q in questions}) == len({q.prompt for q in questions}) == 50
    assert len(Counter(q.kind for q in questions)) == 10
    assert min(Counter(q.kind for q in questions).values()) >= 4


@pytest.mark.parametrize("question", read(QUESTIONS), ids=lambda q: q.id)
def test_a_check_tells_right_from_wrong_empty_and_parroted_replies(question: Question) -> None:
    good, bad = replies(question)
    assert right(question.check, good)
    assert not right(question.check, bad)
    assert not right(question.check, "")
    assert not right(question.check, question.prompt), "repeating the question must not pass"


@pytest.mark.parametrize(
    ("check", "reply", "verdict"),
    [
        ({"is": ["água, don't"]}, "  AGUA don\u2019t!", True),
        ({"is": ["Oslo"]}, "Oslo and more", False),
        ({"says": ["no"]}, "Nobody knows", False),
        ({"says": ["no"], "not": ["yes"]}, "No. Or yes?", False),
        ({"number": 42}, "17 + 25=42", True),
        ({"number": 5}, "17-12 = 5.", True),
        ({"number": -5}, "It is -5.", True),
        ({"number": 1081}, "1,081", True),
        ({"number": 6}, "six", False),
        ({"number": 3.33, "within": 0.005}, "3.3333", True),
        ({"number": 3.33, "within": 0.005}, "3.3", False),
        ({"json": {"a": 1}}, '{"a": 1, "b": 2}', False),
        ({"json": {"a": 1}}, 'Here: {"a": 1}', False),
        ({"json": {"a": 1}}, '```json\n{"a": 1}\n```', True),
    ],
)
def test_replies_are_compared_as_a_patient_reader_would(check: dict[str, object], reply: str, verdict: bool) -> None:
    assert right(check, reply) is verdict


@pytest.mark.parametrize("check", [{}, {"within": 1}, {"sounds": []}, {"says": []}, {"says": "no"}, {"number": "5"}])
def test_a_malformed_check_is_an_error_and_not_a_wrong_reply(check: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        right(check, "anything")


def asked(rng: random.Random, clever: bool) -> list[Asked]:
    """Fifty made outcomes, the large model right more often; a clever cascade escalates where the small is wrong."""
    made = []
    for _ in range(50):
        small, large = Answer(rng.random() < 0.4, 10, 1.0), Answer(rng.random() < 0.8, 12, 4.0)
        up = not small.right if clever else rng.random() < 0.5
        auto = Answer(large.right, 22, 5.0) if up else small
        made.append(Asked(up, rng.randrange(100), auto, small, large))
    return made


def test_random_escalation_is_counted_exactly() -> None:
    rng = random.Random(7)
    made = asked(rng, clever=True)
    up = sum(a.escalated for a in made)
    seen = []
    for _ in range(4000):
        picked = set(rng.sample(range(50), up))
        seen.append(sum((a.large if i in picked else a.small).right for i, a in enumerate(made)))
    spread = random_spread(made, reached=30)
    by_share = next(row.right for row in compare_policies(made) if row.name.startswith("random escalation"))
    assert spread.mean == pytest.approx(by_share)
    assert spread.mean == pytest.approx(sum(seen) / 4000, abs=0.1)
    assert spread.at_least == pytest.approx(sum(s >= 30 for s in seen) / 4000, abs=0.03)
    assert sum(spread.low <= s <= spread.high for s in seen) / 4000 >= 0.94


def test_the_verdict_follows_the_interval() -> None:
    rng = random.Random(3)
    assert "better than chance" in sentence(asked(rng, clever=True))
    assert "do not tell it from chance" in sentence(asked(rng, clever=False))
    never = [Asked(False, 1, Answer(True, 1, 1), Answer(True, 1, 1), Answer(True, 1, 1))] * 5
    assert "nothing is shown" in sentence(never)


@pytest.mark.long
def test_the_quadrants_add_up_to_the_cascade_and_the_oracle_is_never_beaten() -> None:
    made = asked(random.Random(5), clever=False)
    rows = {row.name: row for row in compare_policies(made)}
    parts = quadrants(made)
    assert sum(row.n for row in parts) == 50
    assert sum(row.tokens for row in parts) == rows["cascade (auto)"].tokens
    assert rows["oracle"].right == max(row.right for row in rows.values())
    assert all(row.name in page(made) for row in parts)


def test_intervals_agree_with_published_and_repeated_figures() -> None:
    low, high = wilson(8, 10)  # Brown, Cai, DasGupta 2001 give 0.49 to 0.94
    assert (round(low, 2), round(high, 2)) == (0.49, 0.94)
    made = asked(random.Random(1), clever=True)
    assert bootstrap(made, lead, 500) == bootstrap(made, lead, 500)


def test_the_page_names_no_place_of_this_machine() -> None:
    here = Path(__file__).resolve().parents[2]
    assert str(here) not in page(asked(random.Random(2), clever=True))
