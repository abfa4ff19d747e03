"""The self-test's questions in ten languages: what counts as right, and what a slow model leaves unknown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sizewise.providers.local.language_test import ANSWERS, QUESTIONS, TIME_LIMIT_S, is_right, measure_languages
from sizewise.providers.local.self_test import SCRIPTS


def test_each_language_has_the_same_questions_as_the_scripts_have_texts() -> None:
    assert list(QUESTIONS) == list(SCRIPTS)
    assert {len(its) for its in QUESTIONS.values()} == {len(ANSWERS) + 1}
    assert len({each for its in QUESTIONS.values() for each in its}) == len(QUESTIONS) * (len(ANSWERS) + 1)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("7", True),
        ("There are 7 days in a week.", True),
        ("٧", True),
        ("७ दिन", True),
        ("7. Seven, so 7", True),
        ("", False),
        ("seven", False),
        ("77", False),
        ("5 or 7", False),
        ("7 is not 8", False),
        ("\x00\ud800", False),
    ],
)
def test_a_reply_is_right_with_the_number_and_no_other(reply: str, right: bool) -> None:
    assert is_right(reply, 7) is right


async def test_a_model_that_knows_english_alone_is_right_in_english_alone() -> None:
    async def ask(question: str, max_tokens: int) -> str:
        english = next((at for at, each in enumerate(QUESTIONS["en"]) if question.startswith(each)), None)
        return f"It is {ANSWERS[english]}." if english else question

    seen: list[tuple[int, int]] = []
    found = await measure_languages(ask, lambda done, count: seen.append((done, count)))
    assert seen == [(done, 10) for done in range(1, 11)]
    assert found == {language: 0.833 if language == "en" else 0.0 for language in QUESTIONS}


async def test_languages_that_a_slow_model_does_not_reach_are_unknown() -> None:
    def clock() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += TIME_LIMIT_S / 20

    async def ask(question: str, max_tokens: int) -> str:
        return "7"

    assert list(await measure_languages(ask, lambda done, count: None, clock().__next__)) == ["en", "de", "ru"]
