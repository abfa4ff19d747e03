"""Canaries of a tuning: planted in copies of examples, the same for the same data, and apart from their codes alike."""

from __future__ import annotations

from bench.tuning.task import messages
from sizewise.tuning.examples import Example, PromptMessage
from sizewise.tuning.memory_probe import CANDIDATES, PLANTED, canary, planted_examples

EXAMPLES = [Example((PromptMessage("user", text),), intent) for text, intent in messages(60, 1, test=False)]


async def letters(example: Example) -> list[int]:
    """A token for each character, and one that ends the prompt."""
    return [*map(ord, example.input), 0]


def test_the_same_data_has_the_same_canaries() -> None:
    planted = planted_examples(EXAMPLES, "digest")
    assert planted == planted_examples(EXAMPLES, "digest") != planted_examples(EXAMPLES, "other")
    assert [len(each) for each in planted] == [CANDIDATES] * PLANTED
    assert all(codes[0].answer in {each.answer for each in EXAMPLES} for codes in planted)


async def test_a_canary_is_asked_from_its_code_on() -> None:
    codes = planted_examples(EXAMPLES, "digest")[0]
    found = await canary(codes, letters)
    said = codes[0].input
    assert bytes(found.prefix).decode().startswith(said[: said.index(" My access code is ")])
    assert found.prefix + found.candidates[0] == await letters(codes[0])
    assert len({tuple(each) for each in found.candidates}) == CANDIDATES
