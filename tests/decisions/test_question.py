"""Questions with a closed set of answers are recognized in chat requests; every other request is left as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from sizewise.decisions.question import ClosedRequest, closed_values, option_index, read_closed_request
from sizewise.messages import ChatRequest
from sizewise.providers.wires.openai.request_response import read_request

TEAM = {"type": "string", "enum": ["billing", "sales"]}


def shape(schema: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def chat(
    schema: object, text: str = "I was charged twice", system: str = "Which team?", more: Mapping[str, object] = {}
) -> ChatRequest:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    body = {"model": "large", "messages": messages, "response_format": shape(schema), **more}
    return read_request(msgspec.json.encode(body))[0]


def team(schema: object = TEAM) -> dict[str, object]:
    return {"type": "object", "properties": {"team": schema}, "required": ["team"], "additionalProperties": False}


def closed(request: ChatRequest, route: str = "large", scope: object = None) -> ClosedRequest:
    found = read_closed_request(request, route, scope)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (TEAM, ["billing", "sales"]),
        ({"enum": [True, "true"]}, [True, "true"]),
        ({"type": "boolean", "description": "Is it urgent?"}, [True, False]),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 2, 3]),
        (team(), [{"team": "billing"}, {"team": "sales"}]),
    ],
)
def test_a_schema_of_few_answers_is_closed(schema: object, values: list[Any]) -> None:
    assert list(closed_values(schema) or ()) == values


def test_an_object_of_closed_values_has_each_combination() -> None:
    both = {"team": TEAM, "urgent": {"type": "boolean"}}
    whole = {"type": "object", "properties": both, "required": ["urgent", "team"], "additionalProperties": False}
    found: Any = closed_values(whole)
    assert [list(each.values()) for each in found] == [
        ["billing", True],
        ["billing", False],
        ["sales", True],
        ["sales", False],
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"enum": ["only one"]},
        {"enum": ["a", "a"]},
        {"enum": [{"a": 1}, {"a": 2}]},
        {"type": "integer", "minimum": 0},
        {"type": "integer", "minimum": 0, "maximum": 256},
        {"type": "integer", "minimum": 3, "maximum": 1},
        {"type": "integer", "minimum": 0.5, "maximum": 3},
        {"type": "string", "enum": ["a", "b"], "pattern": "a"},
        {**team(), "required": []},
        {**team(), "additionalProperties": True},
        team({"type": "string"}),
        team({"$ref": "#/$defs/x"}),
        {"anyOf": [TEAM]},
        None,
        [],
        7,
    ],
)
def test_every_other_schema_is_open(schema: object) -> None:
    assert closed_values(schema) is None


def test_equal_instructions_and_options_are_one_question_whatever_the_input() -> None:
    first, second = closed(chat(team(), "one")), closed(chat(team(), "two"))
    assert first.question.id == second.question.id and (first.input, second.input) == ("one", "two")
    other = closed(chat(team({"enum": ["billing", "sales", "legal"]})))
    assert other.question.id != first.question.id and other.question.family == first.question.family
    assert closed(chat(team(), system="Which desk?")).question.family != first.question.family
    named = {"response_format": {**shape(team()), "json_schema": {"name": "decision_team", "schema": team()}}}
    renamed = closed(chat(team(), system="Which desk? billing, sales", more=named))
    assert renamed.question.family == closed(chat(team(), more=named)).question.family, "its name says what it is"
    assert closed(chat(team()), "small").question.id != first.question.id, "another model is another reference"
    assert closed(chat(team()), scope="other").question.id != first.question.id, "callers with other rights share none"


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"logprobs": True},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"messages": [{"role": "user", "content": "  "}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"messages": [{"role": "user", "content": "x" * 20_001}]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_what_is_more_than_one_text_and_one_answer_is_no_question(more: dict[str, object]) -> None:
    assert read_closed_request(chat(team(), more=more), "large") is None


def test_an_answer_is_found_among_the_options_however_it_is_spaced() -> None:
    question = closed(chat(team())).question
    assert option_index(question, ' {"team":\n "sales"} ') == 1
    assert option_index(question, '{"team": "legal"}') is option_index(question, "sales") is None
