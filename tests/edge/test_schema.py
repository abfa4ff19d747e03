"""A Worker holds a reply against the JSON schema that was asked for, as the gateway's validator does, or asks there."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.edge.echoing_upstream import echoing_upstream
from tests.edge.running_worker import worker
from tests.running_server import Served

pytestmark = pytest.mark.node
SETTINGS = """
[server]
discover = false
embedded = false
[providers.up]
base_url = "{url}"
models = ["echo", "plain"]
[policies.default]
kind = "fixed"
models = ["up/plain", "up/echo"]
"""
PAIRS = 300
LEAVES: tuple[Any, ...] = (None, True, False, 0, 1, -3, 2.5, 1.0, "", "a", "ab", "\U0001f600x")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with echoing_upstream() as up:
        with worker(tmp_path_factory.mktemp("schema"), SETTINGS.format(url=up.url)) as served:
            yield served


def shape(schema: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def chance_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth > 2 or kind < 0.5:
        return chance.choice(LEAVES)
    if kind < 0.7:
        return [chance_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice("abc"): chance_value(chance, depth + 1) for _ in range(chance.randrange(4))}


def chance_schema(chance: random.Random, depth: int = 0) -> Any:
    """Of the rules that a Worker knows."""
    if depth > 2:
        return chance.choice([True, {"type": "string"}, {"type": "integer"}, {"$ref": "#/$defs/leaf"}])

    def inner() -> Any:
        return chance_schema(chance, depth + 1)

    kinds = ["null", "boolean", "string", "number", "integer", "array", "object"]
    rules: dict[str, Any] = {
        "type": chance.choice([chance.choice(kinds), chance.sample(kinds, 2)]),
        "enum": [chance_value(chance, 2) for _ in range(3)],
        "const": chance_value(chance, 2),
        "properties": {name: inner() for name in chance.sample("abc", 2)},
        "required": chance.sample("abc", 1),
        "additionalProperties": chance.choice([False, True, inner()]),
        "items": inner(),
        "minItems": 1,
        "maxItems": 2,
        "minLength": 1,
        "maxLength": 1,
        "minimum": 0,
        "maximum": 1,
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 2,
        "anyOf": [inner(), inner()],
        "oneOf": [inner(), inner()],
        "allOf": [inner(), inner()],
        "$ref": "#/$defs/leaf",
        "description": "of no effect",
    }
    return {name: rules[name] for name in chance.sample(sorted(rules), chance.randrange(1, 4))}


def test_it_finds_what_the_gateways_validator_finds(edge: Served) -> None:
    chance, seen = random.Random(31), set[bool]()
    for _ in range(PAIRS):
        schema = {**chance_schema(chance), "$defs": {"leaf": {"enum": [1, "a", [True]]}}}
        value = chance_value(chance)
        holds = jsonschema_rs.validator_for(schema).is_valid(value)
        answer = edge.chat("up/echo", json.dumps(value), response_format=shape(schema))
        assert (answer.status == 200) is holds, (schema, value, answer.body)
        assert holds or answer.error["code"] == "invalid_output"
        seen.add(holds)
    assert seen == {True, False}


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_breaks_the_schema_is_asked_once_more_and_then_the_next_one(edge: Served, stream: bool) -> None:
    asked = shape({"type": "object", "required": ["city"]})
    answer = edge.chat("auto", '{"city": "Rome"}', response_format=asked, stream=stream)
    assert (answer.status, answer.headers["x-sizewise-model"]) == (200, "up/echo")
    assert answer.headers["x-sizewise-attempts"] == "3" and answer.headers["x-sizewise-why"] == (
        "up/plain failed (invalid_output)"
    )


@pytest.mark.parametrize(
    "schema", [{"pattern": "^a+$"}, {"format": "date"}, {"not": {}}, {"$ref": "https://example.com/s"}, {"type": "any"}]
)
def test_a_schema_with_a_rule_that_it_cannot_check_is_refused_where_there_is_no_gateway(
    edge: Served, schema: object
) -> None:
    refused = edge.chat("up/echo", '"aaa"', response_format=shape(schema))
    assert (refused.status, refused.error["code"]) == (400, "bad_request")
    assert "a JSON schema without `pattern`, `format` or `not`" in refused.error["hint"]


def test_alternatives_within_alternatives_end(edge: Served) -> None:
    tree = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/tree"}}] * 4}
    value: object = 1
    for _ in range(30):
        value = [value]
    answer = edge.chat(
        "up/echo", json.dumps(value), response_format=shape({"$ref": "#/$defs/tree", "$defs": {"tree": tree}})
    )
    assert answer.error["code"] == "invalid_output"
