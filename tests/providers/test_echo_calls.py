"""The echo fills a form from a person's words, and calls the tools that it is offered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sizewise.messages import Reply
from sizewise.providers.echo import EchoModel, echo_card
from sizewise.providers.echo_schema import fill_schema
from tests.routing.router_harness import Client, asking, chat

CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": CITY}} for name in ("get_population", "get_weather")
]
RESULT: Any = {"role": "tool", "tool_call_id": "call_echo", "content": "rain"}


def say(words: str, cues: str = "", **more: Any) -> Reply:
    return asyncio.run(EchoModel(echo_card(cues=cues))(asking(chat(words, **{"tools": TOOLS, **more})), Client().send))


def calls(reply: Reply) -> list[tuple[str, str]]:
    return [(call.function.name, call.function.arguments) for call in reply.choices[0].tool_calls if call.function]


def called(*names: str) -> Any:
    made = [{"id": "call_echo", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]
    return {"role": "assistant", "content": None, "tool_calls": made}


def test_a_choice_of_tool_that_is_asked_for_is_made_out_of_the_words() -> None:
    asked = "weather in 'Ulm' for 3 days"
    assert calls(say(asked, tool_choice="required")) == [("get_weather", '{"city":"Ulm","days":3}')]
    named = {"type": "function", "function": {"name": "get_population"}}
    assert [name for name, _ in calls(say(asked, tool_choice=named))] == ["get_population"]
    assert say(asked).text == asked and say(asked, cues="[[call]]", tool_choice="none").text == asked


def test_on_cue_it_calls_once_a_question_and_then_says_what_the_tool_said() -> None:
    assert [name for name, _ in calls(say("the weather?", cues="[[call]]"))] == ["get_weather"]
    history = [{"role": "user", "content": "the weather?"}, called("get_weather"), RESULT]
    after = say("", cues="[[call]]", messages=history)
    assert (after.text, calls(after)) == ("rain", [])


def test_where_a_call_is_demanded_again_it_takes_the_tool_that_it_has_not_called() -> None:
    history = [{"role": "user", "content": "the weather?"}, called("get_weather"), RESULT]
    assert [name for name, _ in calls(say("", messages=history, tool_choice="required"))] == ["get_population"]


@pytest.mark.parametrize(
    ("schema", "words", "value"),
    [
        ({"type": "integer"}, "minus -3 degrees", -3),
        ({"type": "integer"}, "9" * 400, 999_999_999_999_999),
        ({"type": "number", "minimum": 5}, "none", 5),
        ({"type": ["null", "boolean"]}, "no, not that", False),
        ({"enum": ["red", "green"]}, "a Green one", "green"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, "3 and 4", [3, 4]),
        ({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/x"}], "$defs": {"x": {"const": 7}}}, "", 7),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}, "hi", {"b": "hi"}),
        ({"allOf": [{"$ref": "#"}]}, "endless", "endless"),
        (True, "anything", "anything"),
    ],
)
def test_a_blank_is_filled_from_the_words(schema: object, words: str, value: object) -> None:
    assert fill_schema(schema, words) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "array", "minItems": 10**9}, "minItems": 10**9},
        {"type": "object", "properties": {key: {"$ref": "#"} for key in "abcdefgh"}},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]},
        {"type": "string", "minLength": 10**9},
    ],
)
def test_a_small_schema_of_a_huge_value_is_filled_in_part(schema: object) -> None:
    assert len(repr(fill_schema(schema, "x"))) < 1_000_000


@pytest.mark.parametrize("tools", [[{}], [{"type": "function", "function": {"name": 1}}], [7]])
def test_a_tool_that_cannot_be_read_is_not_called(tools: object) -> None:
    assert say("hello", cues="[[call]]", tools=tools).text == "hello"


@pytest.mark.parametrize(
    ("pattern", "words", "value"),
    [
        ("^[A-Z][A-Z0-9_]*$", "Tea is hot.", "A"),
        ("^[a-z]+$", "Tea is hot.", "is"),
        (r"^\d{4}-\d{2}-\d{2}$", "Tea is hot.", "2026-11-25"),
        ("^hot tea$", "hot tea", "hot tea"),
        ("^never such a value$", "hot tea", "hot tea"),
        ("(", "hot tea", "hot tea"),
    ],
)
def test_a_text_with_a_pattern_is_a_word_or_sample_that_it_allows(pattern: str, words: str, value: str) -> None:
    assert fill_schema({"type": "string", "pattern": pattern}, words) == value


def test_a_form_is_filled_within_the_tokens_that_it_may_have() -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in "abc"}}
    form = {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}
    reply = say("word " * 300, tools=[], response_format=form, max_tokens=100)
    assert json.loads(reply.text).keys() == {"a", "b", "c"} and len(reply.text.split()) < 100
    assert reply.choices[0].finish_reason == "stop"
