"""Flows at /graphql: published, and from then on a typed field; run at once, streamed, or begun and looked after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, GraphQLSchema, assert_valid_schema

from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import validate_flow
from sizewise.graphql.schema_visibility import SchemaCache, SchemaKey
from tests.auth.user_client import new_user
from tests.graphql.graphql_client import GraphQLAnswer, fresh_key, graphql
from tests.graphql.subscription_client import events, opened, streamed
from tests.growth import check_linear
from tests.running_server import ECHO, Served, serving, until

SUPPORT = """
name: support-desk
description: Answers a question.
inputs:
  question: text
  how-many: {type: integer, default: 2, description: How many.}
  labels: {type: {list: text}, default: []}
  who: {type: {object: {full-name: text, age: number}}, default: {full-name: Ann, age: 5}}
nodes:
  answer:
    kind: ask
    model: echo/small
    prompt: "{{ inputs.question }}"
  made:
    kind: template
    value: {words: "{{ answer.text }}", count: "{{ inputs.how-many }}", name: "{{ inputs.who.full-name }}"}
outputs:
  answer: "{{ answer.text }}"
  made-of: "{{ made.value }}"
  labels: "{{ inputs.labels }}"
"""
APPROVED = """
name: refund
inputs: {sum: number}
nodes:
  asked: {kind: approve, question: "Pay {{ inputs.sum }}?"}
outputs: {paid: "{{ asked.approved }}"}
"""
PUBLISH = (
    "mutation($t: String!, $p: String) { publishFlow(text: $t, project: $p) { new flow { name version sideEffects } } }"
)
ASK = """query($q: String!) {
  support_desk(question: $q, how_many: 3, labels: ["a", "b"], who: {full_name: "Bo", age: 1.5}) {
  answer made_of { words count name } labels } }"""
STREAM = "subscription($q: String!) { support_desk(question: $q) { text result { answer made_of { count name } } } }"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two flows published."""
    with serving(tmp_path_factory.mktemp("desk"), ECHO) as server:
        for text in (SUPPORT, APPROVED):
            assert published(server, text).errors == []
        yield server


def published(server: Served, text: str, key: str = "", project: str | None = None) -> GraphQLAnswer:
    return graphql(server, PUBLISH, key=key, t=text, p=project)


def fields(server: Served, key: str = "") -> dict[str, set[str]]:
    query = "{ __schema { " + " ".join(f"{root}Type {{ fields {{ name }} }}" for root in ("query", "mutation")) + " } }"
    shown = graphql(server, query, key=key).data["__schema"]
    return {root: {each["name"] for each in kind["fields"]} for root, kind in shown.items() if kind}


@pytest.mark.long
def test_a_published_flow_is_a_field_with_its_own_types(desk: Served) -> None:
    assert graphql(desk, ASK, q="one two").data["support_desk"] == {
        "answer": "one two",
        "made_of": {"words": "one two", "count": 3, "name": "Bo"},
        "labels": ["a", "b"],
    }
    assert graphql(desk, '{ support_desk(question: "hi") { made_of { count name } } }').data["support_desk"] == {
        "made_of": {"count": 2, "name": "Ann"},
    }


@pytest.mark.parametrize(
    "query",
    [
        "{ support_desk { answer } }",
        "{ support_desk(question: 5) { answer } }",
        '{ support_desk(question: "a", how_many: "b") { answer } }',
        '{ support_desk(question: "a", who: {age: 1}) { answer } }',
        '{ support_desk(question: "a") { nothing } }',
        '{ support_desk(question: "a") { made_of { nothing } } }',
    ],
)
def test_what_does_not_fit_its_types_is_refused_before_it_runs(desk: Served, query: str) -> None:
    before = runs(desk)
    assert (graphql(desk, query).status, graphql(desk, query).code) == (400, "bad_request")
    assert runs(desk) == before


def runs(server: Served) -> int:
    return len(graphql(server, "{ flowRuns(last: 1000) { id } }").data["flowRuns"])


def test_its_words_stream_and_the_last_event_has_the_result(desk: Served) -> None:
    pieces = [each["support_desk"] for each in streamed(desk, STREAM, q="one two three")]
    assert [each["text"] for each in pieces] == ["one", " two", " three", ""]
    assert pieces[-1]["result"] == {"answer": "one two three", "made_of": {"count": 2, "name": "Ann"}}


def test_who_leaves_a_flow_cancels_its_run(desk: Served) -> None:
    with opened(desk, STREAM, q="[[pace 0.01]] [[repeat 5000]] a") as response:
        next(events(response))
    last = "{ flowRuns(last: 1) { state } }"
    until(lambda: graphql(desk, last).data["flowRuns"] == [{"state": "cancelled"}])


def test_what_fails_in_a_flow_is_told_with_its_node(desk: Served) -> None:
    answer = graphql(desk, ASK, q="[[fail]]")
    assert answer.code == "upstream_unreachable" and answer.message.startswith("answer: ")
    failed = graphql(desk, "{ flowRuns(last: 1) { state error failure { code message } steps { key state } } }").data[
        "flowRuns"
    ][0]
    assert (failed["state"], failed["failure"]["code"]) == ("failed", "upstream_unreachable")


def test_a_flow_that_acts_is_a_mutation_and_waits_for_its_decision(desk: Served) -> None:
    assert "refund" in fields(desk)["mutationType"] and "refund" not in fields(desk)["queryType"]
    start = 'mutation { startFlowRun(flow: "refund", inputs: {sum: 5}) { id state } }'
    begun = graphql(desk, start, key=fresh_key(desk, "ask")).data["startFlowRun"]
    until(lambda: graphql(desk, "{ waiting { run { id } } }").data["waiting"])
    ((waits,), key) = graphql(desk, "{ waiting { key request run { id } } }").data["waiting"], "asked"
    assert (waits["run"]["id"], waits["key"]) == (begun["id"], key) and "Pay 5?" in json.dumps(waits["request"])
    decide = 'mutation($i: String!) { decide(id: $i, key: "asked", approved: true, note: "fine") { state } }'
    assert graphql(desk, decide, i=begun["id"]).errors == []
    query = "query($i: String!) { flowRun(id: $i) { state outputs steps { key state decidedBy } } }"
    until(lambda: graphql(desk, query, i=begun["id"]).data["flowRun"]["state"] == "done")
    run = graphql(desk, query, i=begun["id"]).data["flowRun"]
    assert run["outputs"] == {"paid": True} and run["steps"][0]["decidedBy"] == "admin"
    assert graphql(desk, decide, i=begun["id"]).code == "conflict"


def test_a_run_is_begun_once_under_its_id_and_can_be_cancelled_and_resumed(desk: Served) -> None:
    start = 'mutation { startFlowRun(flow: "refund", inputs: {sum: 1}, id: "0123456789abcdef") { id } }'
    assert graphql(desk, start).data == graphql(desk, start).data
    assert (
        graphql(desk, 'mutation { cancelFlowRun(id: "0123456789abcdef") { state } }').data["cancelFlowRun"]["state"]
        == "cancelled"
    )
    assert graphql(desk, 'mutation { cancelFlowRun(id: "0123456789abcdef") { state } }').code == "conflict"
    assert (
        graphql(desk, 'mutation { resumeFlowRun(id: "0123456789abcdef") { attempt } }').data["resumeFlowRun"]["attempt"]
        == 2
    )
    graphql(desk, 'mutation { cancelFlowRun(id: "0123456789abcdef") { state } }')
    assert graphql(desk, 'mutation { startFlowRun(flow: "nothing") { id } }').code == "not_found"
    assert graphql(desk, 'mutation { startFlowRun(flow: "refund", inputs: [1]) { id } }').code == "bad_request"


def test_what_is_published_is_there_at_once_and_gone_when_it_is_withdrawn(desk: Served) -> None:
    text = 'name: brief\nnodes: {a: {kind: template, text: one}}\noutputs: {said: "{{ a.text }}"}'
    first = published(desk, text).data["publishFlow"]
    assert first["new"] and not first["flow"]["sideEffects"]
    assert graphql(desk, "{ brief { said } }").data == {"brief": {"said": "one"}}
    second = published(desk, text.replace("one", "two") + "\n# a comment\n").data["publishFlow"]
    assert second["flow"]["version"] != first["flow"]["version"]
    assert graphql(desk, "{ brief { said } }").data == {"brief": {"said": "two"}}
    assert published(desk, text).data["publishFlow"] == {**first, "new": False}
    again = "mutation($t: String!, $n: String) { publishFlow(text: $t, note: $n) { new } }"
    assert graphql(desk, again, t=text, n="Back to one.").data["publishFlow"] == {"new": False}
    made = graphql(desk, '{ flowVersions(name: "brief") { publications { note by } } }').data["flowVersions"]
    assert [[each["note"] for each in its["publications"]] for its in made] == [[""], ["Back to one.", "", ""]]
    assert all(each["by"] for its in made for each in its["publications"])
    listed = graphql(desk, '{ flowVersions(name: "brief") { version live } }').data["flowVersions"]
    assert [each["live"] for each in listed] == [False, True]
    assert graphql(desk, 'mutation { withdrawFlow(name: "brief") { name } }').errors == []
    assert graphql(desk, "{ brief { said } }").status == 400


def test_a_flow_with_mistakes_is_not_published_and_told_where_they_are(desk: Served) -> None:
    text = 'name: wrong\nnodes: {a: {kind: ask, model: echo/small, prompt: "{{ inputs.nothing }}"}}\noutputs: {}'
    refused = published(desk, text)
    assert (refused.status, refused.code) == (400, "bad_request") and refused.hint
    found = graphql(
        desk,
        "query($t: String!) { checkFlow(text: $t) { valid findings { node line message hint severity } } }",
        t=text,
    )
    assert not found.data["checkFlow"]["valid"]
    assert {each["node"] for each in found.data["checkFlow"]["findings"]} == {"a"}


def test_two_flows_with_one_field_are_not_published_side_by_side(desk: Served) -> None:
    assert published(desk, SUPPORT.replace("support-desk", "support_desk")).code == "conflict"


def test_a_flow_named_as_a_field_of_ours_has_one_of_its_own(desk: Served) -> None:
    text = 'name: models\nnodes: {a: {kind: template, text: one}}\noutputs: {said: "{{ a.text }}"}'
    assert published(desk, text).errors == []
    assert graphql(desk, "{ flow_models { said } models { name } }").data["flow_models"] == {"said": "one"}


def test_flows_are_told_with_what_they_take_and_give(desk: Served) -> None:
    query = (
        '{ flow(name: "support-desk") { description sideEffects inputs { name type required } outputs { name } text } }'
    )
    flow = graphql(desk, query).data["flow"]
    assert flow["text"] == SUPPORT and flow["description"] == "Answers a question."
    assert flow["inputs"][0] == {"name": "question", "type": "text", "required": True}
    assert [each["name"] for each in flow["outputs"]] == ["answer", "made-of", "labels"]


def test_a_project_has_its_own_flows_and_sees_no_others(desk: Served) -> None:
    beside = new_user(desk, "beside@example.com", "editor", "shop")
    assert "support_desk" not in beside.graphql("{ __schema { queryType { fields { name } } } }").data.__str__()
    text = 'name: shopping\nnodes: {a: {kind: template, text: one}}\noutputs: {said: "{{ a.text }}"}'
    assert beside.graphql(PUBLISH, t=text).errors == []
    assert beside.graphql("{ shopping { said } flows { name } }").data == {
        "shopping": {"said": "one"},
        "flows": [{"name": "shopping"}],
    }
    assert "shopping" not in fields(desk)["queryType"]
    assert beside.graphql(PUBLISH, t=text, p="default").code in ("forbidden", "not_found")
    graphql(desk, ASK, q="mine")
    mine = graphql(desk, '{ flowRuns(flow: "support-desk", last: 1) { id } }').data["flowRuns"][0]["id"]
    assert beside.graphql("query($i: String!) { flowRun(id: $i) { state } }", i=mine).code == "not_found"


def test_a_key_sees_the_flows_that_it_may_use(desk: Served) -> None:
    made = graphql(desk, 'mutation { createKey(name: "f", permissions: [ask], flows: ["refund"]) { secret } }').data[
        "createKey"
    ]["secret"]
    assert "support_desk" not in fields(desk, made)["queryType"]
    assert "refund" in fields(desk, made)["mutationType"]
    reads = fresh_key(desk, "read")
    assert "support_desk" not in fields(desk, reads)["queryType"]
    assert published(desk, SUPPORT, key=fresh_key(desk, "ask")).code == "forbidden"


def test_what_was_said_in_anothers_run_is_for_few(desk: Served) -> None:
    graphql(desk, ASK, q="a secret of mine")
    id = graphql(desk, "{ flowRuns(last: 1) { id } }").data["flowRuns"][0]["id"]
    query = "query($i: String!) { flowRun(id: $i) { state outputs } }"
    assert graphql(desk, query, i=id).data["flowRun"]["outputs"]["answer"] == "a secret of mine"
    assert graphql(desk, query, key=fresh_key(desk, "ask"), i=id).code == "forbidden"


@pytest.mark.long
def test_a_flow_that_takes_too_long_is_cancelled_with_what_to_do_instead(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + "[graphql]\ntimeout_s = 2.0\n") as server:
        assert published(server, SUPPORT).errors == []
        graphql(server, 'mutation { startFlowRun(flow: "support-desk", inputs: {question: "a"}) { id } }')
        until(lambda: graphql(server, "{ flowRuns { state } }").data["flowRuns"] == [{"state": "done"}])
        answer = graphql(server, ASK, q="[[hang]]")
        assert answer.code == "upstream_timeout" and "startFlowRun" in answer.hint
        newest = "{ flowRuns(last: 1) { state } }"
        until(lambda: graphql(server, newest).data["flowRuns"] == [{"state": "cancelled"}])


@pytest.mark.long
def test_the_schema_takes_time_that_grows_with_the_flows() -> None:
    kinds, text = NodeRegistry(), SUPPORT
    flows: list[CompiledFlow] = []
    for number in range(300):
        found = validate_flow(text.replace("support-desk", f"support-{number}"), kinds).flow
        assert found is not None
        flows.append(found)

    def build(count: int) -> GraphQLSchema:
        return SchemaCache().build(SchemaKey(frozenset({("Query", "me")})), flows[:count])

    check_linear(build, 37)
    schema = build(300)
    assert_valid_schema(schema)
    query: Any = schema.query_type
    assert isinstance(query, GraphQLObjectType) and len(query.fields) == 301


@pytest.mark.long
def test_what_waits_is_told_as_it_comes_and_goes(desk: Served) -> None:
    start = 'mutation { startFlowRun(flow: "refund", inputs: {sum: 7}) { id } }'
    decide = 'mutation($i: String!) { decide(id: $i, key: "asked", approved: true) { state } }'
    query = "subscription { approvalsChanged { key mayDecide run { id flow } } }"
    with opened(desk, query) as response:
        told = (data["data"]["approvalsChanged"] for name, data in events(response) if name == "next")
        assert next(told) == []
        run = graphql(desk, start, key=fresh_key(desk, "ask")).data["startFlowRun"]["id"]
        assert next(told) == [{"key": "asked", "mayDecide": True, "run": {"id": run, "flow": "refund"}}]
        assert graphql(desk, decide, i=run).errors == []
        assert next(told) == []
