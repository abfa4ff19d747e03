"""A schema that asks too much of whoever checks it is refused by name; one that people really use is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sizewise.errors import BadBody
from sizewise.messages import Choice, Reply, Usage
from sizewise.routing.schema_limits import MAX_BREADTH, measure_schema
from sizewise.routing.structured_output import OutputSchemaCache
from tests.growth import check_linear
from tests.routing.router_harness import chat

AT = "response_format.json_schema.schema"


def doubling(levels: int, keyword: str) -> dict[str, Any]:
    """Each definition leads to the next one twice."""
    steps = {f"a{i}": {keyword: [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(levels)}
    return {"$defs": {**steps, f"a{levels}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


def doubling_below(levels: int) -> dict[str, Any]:
    way = {"type": "object", "properties": {"x": {}}}
    steps = {
        f"a{i}": {"anyOf": [{**way, "properties": {"x": {"$ref": f"#/$defs/a{i + 1}"}}}] * 2} for i in range(levels)
    }
    return {"$defs": {**steps, f"a{levels}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "path", "why"),
    [
        ({"$ref": "http://example.com/a.json"}, f"{AT}.$ref", "are not fetched"),
        ({"$ref": "file:///etc/passwd"}, f"{AT}.$ref", "are not fetched"),
        ({"properties": {"a": {"$dynamicRef": "other.json"}}}, f"{AT}.properties.a.$dynamicRef", "are not fetched"),
        ({"properties": {"a": {"$id": "http://b/", "$ref": "c"}}}, f"{AT}.properties.a.$id", "nested schema"),
        ({"$schema": "http://example.com/mine"}, AT, "meta-schema"),
        ({"items": {"$ref": "#/$defs/none"}}, f"{AT}.items.$ref", "does not exist"),
        ({"$ref": "#"}, AT, "refers to itself"),
        ({"allOf": [{"anyOf": [{"$ref": "#/allOf/0"}]}]}, f"{AT}.allOf[0].anyOf[0]", "refers to itself"),
        (doubling(40, "allOf"), AT, "simplify"),
        (doubling(40, "anyOf"), AT, "simplify"),
        (doubling_below(40), AT, "simplify"),
        (nested(300), AT, "levels deep"),
        ({"enum": ["x" * 300_000]}, "response_format", "longer than"),
        ({"type": "objekt"}, f"{AT}.type", "not valid"),
        ({"properties": {"a": {"minimum": "x"}}}, f"{AT}.properties.a.minimum", "number"),
        ({"properties": []}, f"{AT}.properties", "object"),
        ({"pattern": "("}, f"{AT}.pattern", "regex"),
        ({"pattern": "(a{1000}){1000}"}, f"{AT}.pattern", "regex"),
        ([1], AT, "expected"),
        ("x", AT, "expected"),
    ],
)  # fmt: skip
def test_a_bad_schema_is_refused_and_the_message_names_the_place(schema: object, path: str, why: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(BadBody) as caught:
        OutputSchemaCache()(chat("hi", response_format=form))
    assert caught.value.param == path
    assert path in caught.value.message and why in caught.value.message + caught.value.hint


def test_a_schema_that_is_missing_is_refused_and_an_empty_one_is_any_json() -> None:
    with pytest.raises(BadBody, match="json_schema"):
        OutputSchemaCache()(chat("hi", response_format={"type": "json_schema"}))
    assert (
        OutputSchemaCache()(chat("hi", response_format={"type": "json_schema", "json_schema": {"name": "x"}}))
        is not None
    )
    assert OutputSchemaCache()(chat("hi", response_format={"type": "vendor_magic", "grammar": "a"})) is None
    assert OutputSchemaCache()(chat("hi", response_format={"type": "text"})) is None


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(?=a)(a+)+$", "(?=a)(a|aa)+$", "^(a|a)*$", "(a?){2000}a{500}"])
def test_no_pattern_takes_long(pattern: str) -> None:
    schema = {"type": "array", "items": {"type": "string", "pattern": pattern}}
    promise = OutputSchemaCache()(
        chat("hi", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}),
    )
    assert promise is not None

    def check(times: int) -> None:
        text = json.dumps(["a" * times + "!"] * 10)
        promise.find_violation(Reply((Choice(text=text, finish_reason="stop"),), Usage()), ())

    check_linear(check, 1_250)


def test_a_schema_that_holds_itself_is_checked_at_any_depth() -> None:
    way = {"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["x"]}
    schema = {"$defs": {"a": {"anyOf": [way, {**way, "minProperties": 1}]}}, "$ref": "#/$defs/a"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    promise = OutputSchemaCache()(chat("hi", response_format=form))
    assert promise is not None
    for depth in (4, 100):  # each level is checked in two ways: 2^100 would never end
        text = '{"x":' * depth + "1" + "}" * depth
        breach = promise.find_violation(Reply((Choice(text=text, finish_reason="stop"),), Usage()), ())
        assert breach is not None
        assert breach.description.startswith("at $.x" if depth == 4 else "it does not satisfy")


def test_real_schemas_are_let_through_and_it_is_known_what_a_grammar_keeps() -> None:
    step = {"type": "object", "properties": {"say": {"type": "string"}, "next": {"$ref": "#/$defs/step"}}}
    tree = {"$defs": {"step": step}, "type": "object", "properties": {"first": {"$ref": "#/$defs/step"}}}
    assert measure_schema(tree, AT).is_grammar_exact
    optional = {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]}}}
    assert measure_schema(optional, AT).is_grammar_exact
    for lost in (
        {"type": "number", "minimum": 1},
        {"type": "array", "uniqueItems": True},
        {"type": "string", "format": "email"},
        {"type": "object", "required": ["a"]},
        {"type": "object", "anyOf": [{"required": ["a"]}]},
        {"oneOf": [{"type": "null"}, {"type": "string"}]},
        {"type": "string", "pattern": "^a$"},
    ):
        assert not measure_schema(lost, AT).is_grammar_exact, lost
    wide = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(2_000)}}
    assert measure_schema(wide, AT).breadth == 1
    choices = {"anyOf": [{"const": i} for i in range(MAX_BREADTH - 1)]}
    assert measure_schema(choices, AT).breadth == MAX_BREADTH
    named = {"type": "object", "properties": {"$ref": {"type": "string"}, "$id": {"type": "integer"}}}
    assert measure_schema(named, AT).expanded_count == 3, "names are no keywords"
