"""The self-test's 200 questions: what counts as right, and what a slow model leaves unasked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from sizewise.providers.local.question_test import (
    INSTRUCTION,
    Question,
    QuestionScore,
    is_right,
    load_questions,
    measure_questions,
)


def test_there_are_two_hundred_questions_of_seven_kinds_each_with_its_answers() -> None:
    found = load_questions()
    kinds = Counter(each.kind for each in found)
    assert len({each.text for each in found}) == 200 and len(kinds) == 7 and min(kinds.values()) >= 25
    assert all(is_right(answer, each) for each in found for answer in each.answers)


@pytest.mark.parametrize(
    ("reply", "text", "answers", "right"),
    [
        ("17 + 25 = 42.", "What is 17 + 25?", "42", True),
        ("42", "What is 17 + 25?", "42", True),
        ("142", "What is 17 + 25?", "42", False),
        ("I do not know.\n42", "What is 17 + 25?", "42", False),
        ("The capital of France is Paris.", "What is the capital of France?", "Paris", True),
        ("9 is larger than 14.", "Which is larger, 9 or 14?", "14|fourteen", False),
        ("It is 14.", "Which is larger, 9 or 14?", "14|fourteen", True),
        ("No, it contains none.", "Does the soup contain nuts, yes or no?", "no", True),
        ("Yes, and no nuts.", "Does the soup contain nuts, yes or no?", "no", False),
        ("Buenos Días!", 'How do you say "good morning" in Spanish?', "buenos días", True),
        ("", "What is 17 + 25?", "42", False),
    ],
)
def test_a_reply_is_right_by_its_first_line_and_not_by_repeating_the_question(
    reply: str, text: str, answers: str, right: bool
) -> None:
    assert is_right(reply, Question("any", text, tuple(answers.split("|")))) is right


async def test_a_slow_model_is_asked_as_many_as_there_is_time_for() -> None:
    asked: list[str] = []
    seen: list[tuple[int, int]] = []

    def hours() -> Iterator[float]:
        yield from (0.0, 100.0, 200.0, 301.0)

    clock = hours()

    async def ask(question: str, max_tokens: int) -> str:
        asked.append(question)
        return "42"

    score = await measure_questions(ask, lambda done, count: seen.append((done, count)), lambda: next(clock))
    assert (score.asked, len(asked), seen) == (3, 3, [(1, 200), (2, 200), (3, 200)])
    assert isinstance(score, QuestionScore) and all(each.endswith(INSTRUCTION) for each in asked)
