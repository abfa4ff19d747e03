"""What the fields of /graphql tell: models, decisions, records, keys, health; and what reload does."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, build_schema

from sizewise.graphql import schema
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving

PRICED = """
[models."echo/small"]
parameters = 100_000_000
context = 8_192
price = { input = "0.15", output = "0.6", source = "their price page", date = "2026-11-01" }
"""


def test_every_field_of_the_schema_has_its_function_and_no_function_is_left_over() -> None:
    drawn = build_schema(schema.schema_text())
    for kind in (drawn.query_type, drawn.mutation_type, drawn.subscription_type):
        assert isinstance(kind, GraphQLObjectType)
        assert set(kind.fields) == set(schema.RESOLVERS[kind.name])


def test_the_models_are_told_with_their_facts_and_state(echo: Served) -> None:
    answer = graphql(echo, "{ models { name place state facts { name value source } } modelAliases }")
    assert [model["name"] for model in answer.data["models"]] == ["echo/small", "echo/large"]
    assert {model["state"] for model in answer.data["models"]} == {"ready"}
    assert {"auto", "small", "large"} <= set(answer.data["modelAliases"])


def test_an_unknown_model_is_told_with_the_nearest(echo: Served) -> None:
    answer = graphql(echo, '{ model(name: "echo/smal") { name } }')
    assert (answer.status, answer.code) == (404, "model_not_found")
    assert "echo/small" in answer.hint


@pytest.mark.long
def test_a_decision_is_explained_without_asking_anybody(echo: Served) -> None:
    before = len(graphql(echo, "{ records(last: 1000) { rows { trace } } }").data["records"]["rows"])
    answer = graphql(
        echo,
        """query($p: String!) { explain(prompt: $p, maxTokens: 50) {
             policy dataClass tokens why error reasons
             candidates { model eligible why costUsd } steps { models action why } } }""",
        p="Why is the sky blue?",
    )
    decision = answer.data["explain"]
    assert decision["error"] == ""
    assert decision["steps"]
    assert {each["model"] for each in decision["candidates"]} == {"echo/small", "echo/large"}
    assert "sky" not in str(decision)
    assert len(graphql(echo, "{ records(last: 1000) { rows { trace } } }").data["records"]["rows"]) == before


def test_a_whole_body_can_be_explained_too(echo: Served) -> None:
    body = {"model": "small", "messages": [{"role": "user", "content": "Hello"}]}
    answer = graphql(echo, "query($b: JSON) { explain(body: $b) { requestedModel steps { models } } }", b=body)
    assert answer.data["explain"] == {"requestedModel": "small", "steps": [{"models": ["echo/small"]}]}


def test_explain_wants_a_prompt_or_a_body(echo: Served) -> None:
    assert graphql(echo, "{ explain { why } }").code == "bad_request"
    assert graphql(echo, 'query($b: JSON) { explain(prompt: "a", body: $b) { why } }', b={}).code == "bad_request"
    assert graphql(echo, "query($b: JSON) { explain(body: $b) { why } }", b={"messages": 1}).code == "bad_body"


@pytest.mark.long
def test_a_variable_whose_null_an_argument_does_not_take_is_named(echo: Served) -> None:
    answer = graphql(echo, "query($b: ID) { batches(before: $b) { id } }", b=None)
    assert (answer.status, answer.code) == (400, "bad_request") and "'before'" in answer.message


def test_money_is_told_exactly(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + PRICED) as server:
        said = server.chat("echo/small", "one two three")
        trace = said.headers["x-sizewise-trace"]
        answer = graphql(
            server,
            """query($t: String!) { records(filter: {trace: $t}) { rows {
                 costUsd at totalMs tokens { input output } attempts { number model result costUsd } } } }""",
            t=trace,
        )
        (record,) = answer.data["records"]["rows"]
        assert record["costUsd"] == "0.00000225"  # 3 x 0.15 + 3 x 0.60 dollars per million
        assert record["tokens"] == {"input": 3, "output": 3}
        assert record["attempts"] == [
            {"number": 1, "model": "echo/small", "result": "answered", "costUsd": "0.00000225"},
        ]
        assert abs(record["at"] - time.time() * 1_000) < 60_000
        shown = graphql(server, '{ model(name: "echo/small") { price { input output } facts { name source } } }')
        assert shown.data["model"]["price"] == {"input": "0.15", "output": "0.6"}
        told_of = {fact["name"]: fact["source"] for fact in shown.data["model"]["facts"]}
        assert told_of["price.input"] == "their price page, 2026-11-01"
        dear = graphql(server, '{ explain(prompt: "a b c", model: "echo/small", maxCostUsd: "0.000001") { error } }')
        assert dear.data["explain"]["error"] == "over_budget"


def test_records_can_be_narrowed(echo: Served) -> None:
    began = round(time.time() * 1_000)
    echo.chat("echo/small")
    failed = echo.chat("echo/large", "[[fail refused]]")
    trace = failed.headers["x-sizewise-trace"]
    query = """query($m: String, $s: Int, $since: Timestamp, $t: String) {
                 records(filter: {model: $m, status: $s, since: $since, trace: $t}, last: 5) {
                   rows { trace model status error } } }"""
    assert {each["model"] for each in graphql(echo, query, m="echo/small").data["records"]["rows"]} == {"echo/small"}
    assert trace in [
        each["trace"] for each in graphql(echo, query, s=failed.status, since=began).data["records"]["rows"]
    ]
    assert [each["trace"] for each in graphql(echo, query, t=trace).data["records"]["rows"]] == [trace]
    assert graphql(echo, query, since=began + 3_600_000).data["records"]["rows"] == []


def test_more_records_than_a_thousand_are_refused(echo: Served) -> None:
    for last in (0, -1, 1_001):
        assert graphql(echo, f"{{ records(last: {last}) {{ rows {{ trace }} }} }}").code == "bad_request"


def test_a_trace_that_nobody_knows_has_no_record(echo: Served) -> None:
    assert graphql(echo, '{ records(filter: {trace: "ffffffff"}) { rows { trace } } }').data["records"]["rows"] == []


def test_a_key_tells_its_days_and_its_rights(echo: Served) -> None:
    made = graphql(
        echo,
        """mutation { createKey(name: "laptop", permissions: [ask, read], expiresInDays: 0.5) {
             secret key { permissions expires state } } }""",
    ).data["createKey"]
    assert re.fullmatch(r"sw-\S{40,}", made["secret"])
    assert made["key"]["permissions"] == ["ask", "read"]
    assert made["key"]["state"] == "valid"
    assert abs(made["key"]["expires"] - (time.time() + 43_200) * 1_000) < 60_000


def test_a_key_needs_a_name_a_right_and_a_time_to_come(echo: Served) -> None:
    for arguments in ('name: ""', 'name: "a", may: []', 'name: "a", expiresInDays: 0', 'name: "a", expiresInDays: 1e9'):
        assert graphql(echo, f"mutation {{ createKey({arguments}) {{ secret }} }}").code == "bad_request", arguments


def test_the_health_is_told(echo: Served) -> None:
    health = graphql(echo, "{ health { ready impaired version } }").data["health"]
    assert health["ready"] is True
    assert health["impaired"] == []


@pytest.mark.long
def test_new_settings_are_taken_and_wrong_ones_are_not(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        file = tmp_path / "sizewise.toml"
        file.write_text(ECHO.replace('"large"', '"large", "huge"'))
        assert "echo/huge" in graphql(server, "mutation { reload { models } }").data["reload"]["models"]
        file.write_text(ECHO + "\n[serve]\nport = 1\n")
        refused = graphql(server, "mutation { reload { models } }")
        assert refused.code == "bad_config"
        assert "serve" in refused.message
        assert server.chat("echo/huge").status == 200
