"""What a flow's field gives: enums and objects of a JSON Schema as types of their own, and null for a missing run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.graphql.graphql_client import fresh_key, graphql
from tests.graphql.test_flows import APPROVED, published
from tests.running_server import ECHO, Served, serving, until

JUDGED = """
name: judged
inputs: {text: text}
nodes:
  judge:
    kind: json
    model: echo/small
    prompt: "{{ inputs.text }}"
    schema:
      type: object
      properties:
        mood: {type: string, enum: [happy, sad]}
        size: {type: string, enum: ["1 cm", "2 cm"]}
        truth: {type: string, enum: ["true", "false"]}
        author: {type: object, properties: {name: {type: string}, age: {type: integer}}}
        parts: {type: array, items: {type: object, properties: {kind: {type: string, enum: [a, b]}}}}
        anything: {type: object}
      required: [mood, size, truth, author, parts, anything]
  label: {kind: branch, value: "{{ judge.mood }}", cases: [happy, sad]}
outputs: {verdict: "{{ judge }}", way: "{{ label.case }}"}
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("types"), ECHO) as server:
        for text in (JUDGED, APPROVED):
            assert published(server, text).errors == []
        yield server


def fields(server: Served, name: str) -> dict[str, str]:
    query = "query($n: String!) { __type(name: $n) { fields { name type { name kind ofType { name } } } } }"
    shown = graphql(server, query, n=name).data["__type"]
    return {each["name"]: each["type"]["name"] or f"[{each['type']['ofType']['name']}]" for each in shown["fields"]}


def test_objects_and_enums_of_a_json_schema_are_types(desk: Served) -> None:
    assert fields(desk, "Flow_judged") == {"verdict": "Flow_judged__verdict", "way": "Flow_judged__way"}
    assert fields(desk, "Flow_judged__verdict") == {
        "mood": "Flow_judged__verdict__mood",
        "size": "String",  # not names of GraphQL
        "truth": "String",
        "author": "Flow_judged__verdict__author",
        "parts": "[Flow_judged__verdict__parts]",
        "anything": "JSON",
    }
    query = '{ __type(name: "Flow_judged__verdict__mood") { kind enumValues { name } } }'
    assert graphql(desk, query).data["__type"] == {"kind": "ENUM", "enumValues": [{"name": "happy"}, {"name": "sad"}]}


@pytest.mark.long
def test_their_values_come_as_the_flow_gave_them(desk: Served) -> None:
    query = """{ judged(text: "tea") { way verdict {
        mood size truth author { name age } parts { kind } anything } } }"""
    shown: Any = graphql(desk, query).data["judged"]
    assert shown["verdict"]["mood"] in ("happy", "sad") and shown["way"] == shown["verdict"]["mood"]
    assert shown["verdict"]["size"] in ("1 cm", "2 cm")
    assert shown["verdict"]["author"].keys() == {"name", "age"}
    assert graphql(desk, '{ judged(text: "tea") { verdict } }').status == 400


def test_a_run_that_is_not_there_is_null_and_its_neighbours_stay(desk: Served) -> None:
    answer = graphql(desk, '{ flowRun(id: "nothing") { id } me { name } }')
    assert answer.data == {"flowRun": None, "me": {"name": "admin"}}
    assert [(each["path"], each["extensions"]["code"]) for each in answer.errors] == [(["flowRun"], "not_found")]


# ---- a flow that waits for a person


def test_a_field_says_at_once_that_its_flow_waits_and_the_run_goes_on_waiting(desk: Served) -> None:
    answer = graphql(desk, "mutation { refund(sum: 5) { paid } }")
    assert (answer.code, answer.errors[0]["extensions"]["status"]) == ("waits_for_approval", 409)
    run = graphql(desk, '{ flowRuns(flow: "refund", last: 1) { id state } }').data["flowRuns"][0]
    assert run["state"] == "waiting" and run["id"] in answer.message and run["id"] in answer.hint
    decide = 'mutation($i: String!) { decide(id: $i, key: "asked", approved: true) { state } }'
    assert graphql(desk, decide, key=fresh_key(desk, "approve"), i=run["id"]).errors == []
    ended = "query($i: String!) { flowRun(id: $i) { state outputs } }"
    until(lambda: graphql(desk, ended, i=run["id"]).data["flowRun"] == {"state": "done", "outputs": {"paid": True}})
