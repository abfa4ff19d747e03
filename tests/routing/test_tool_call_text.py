"""Tool calls written in different formats agree when they are the same calls; what is no call is compared as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.routing.answer_agreement import answers_agree
from sizewise.routing.text.tool_call_text import written_calls

SAME = (
    '[weather(city="Oslo", days=2)]',
    'weather(days=2.0, city="Oslo")',
    "[ weather( city = 'Oslo', days = 2 ) ]",
    '{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}',
    '[{"name": "weather", "arguments": {"days": 2, "city": "Oslo"}}]',
    '{"name": "weather", "parameters": {"city": "Oslo", "days": 2}}',
    '{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\", \\"days\\": 2}"}',
    '{"type": "function", "id": "7", "function": {"name": "weather", "arguments": {"city": "Oslo", "days": 2}}}',
    '{"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo", "days": 2}}}]}',
    '[{"weather": {"city": "Oslo", "days": 2}}]',
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>',
    '<function=weather>{"city": "Oslo", "days": 2}</function>',
    '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}]',
    '```json\n{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}\n```',
    '{{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}}',
)


@pytest.mark.parametrize("written", SAME)
def test_the_same_call_agrees_in_every_format(written: str) -> None:
    assert [answers_agree(written, other) for other in SAME] == [True] * len(SAME)


@pytest.mark.parametrize(
    "other",
    [
        '[weather(city="Bergen", days=2)]',
        '[weather(city="Oslo")]',
        '[weather(city="Oslo", days="2")]',
        '[forecast(city="Oslo", days=2)]',
        '[weather(city="Oslo", days=2), weather(city="Oslo", days=2)]',
        '{"name": "weather", "arguments": {"city": "Oslo", "days": 3}}',
    ],
)
def test_another_call_does_not_agree(other: str) -> None:
    assert [answers_agree(written, other) for written in SAME] == [False] * len(SAME)


def test_several_calls_agree_in_any_order_and_constants_in_either_language() -> None:
    python = "[on(lamp='a', dim=True), off(lamp='b', until=None)]"
    json = '[{"name": "off", "arguments": {"lamp": "b", "until": null}}, {"on": {"lamp": "a", "dim": true}}]'
    assert answers_agree(python, json) is True
    assert answers_agree("on(dim=true)", "on(dim=True)") is True and answers_agree("on(dim=1)", "on(dim=True)") is False


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        "f(1)",
        "f(x)",
        "[1, 2]",
        "f(a=1) or g(b=2)",
        "I would call [f(a=1)].",
        '{"name": "Ann", "input": 3, "age": 5}',
        '{"name": "Ann"}',
        "(lambda: 1)(a=1)",
        "f(**x)",
        "f(a={**x})",
        "f(a={1, 2})",
        "[" * 3_000,
        "f(a=" * 500,
        "-" * 3_999,
        "f(a=" + "1" * 5_000 + ")",
        '{"name": "f", "arguments": "{"}',
        "<tool_call></tool_call>",
    ],
)
def test_what_is_no_call_is_compared_as_before(text: str) -> None:
    assert written_calls(text) is None
    assert answers_agree(text, text) is True and answers_agree(text, SAME[0]) is not True


@given(some.text(alphabet="f(a=1)[]{}\"':,<>/tool_call {}", max_size=60))
def test_nothing_is_raised(text: str) -> None:
    written_calls(text)
    assert answers_agree(text, text) in (True, None)
