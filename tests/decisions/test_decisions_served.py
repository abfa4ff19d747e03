"""POST /v1/decisions and chats with a closed schema: asked of the large model, learned, and then answered by a ladder.

The large model is a double that answers by a word of the input; the vectors are those of the echo model, equal for
equal texts alone, so that only the exact rung can be certified.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai.decisions import Choice, OpenAIDecisions
from openai import OpenAI
from pydantic import SecretStr

from sizewise.decisions.certificate import LOOKS
from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import beside
from tests.graphql.graphql_client import graphql
from tests.running_server import Answer, Served, serving, until

CONFIG = """
[server]
embedded = false
discover = false
[learn]
keep = "{keep}"
[providers.echo]
wire = "echo"
place = "process"
models = ["vectors"]
[models."echo/vectors"]
task = "embed"
[providers.up]
base_url = "{url}"
place = "machine"
models = ["large"]
"""
TEAM: Any = {
    "type": "choice",
    "name": "team",
    "instructions": "Which team answers this?",
    "choices": [{"value": "billing", "description": "invoices"}, {"value": "support"}, {"value": True}],
}
URGENT: Any = {"type": "predicate", "name": "urgent", "instructions": "It is urgent."}
MOOD: Any = {"type": "score", "instructions": "How happy?", "levels": [{"label": "sad"}, {"label": "glad"}]}
TEXTS = [f"{what} number {number}" for number in range(10) for what in ("invoice", "crash")]


class Decides(FakeOpenAI):
    """Billing for what speaks of an invoice, else support; true; glad. `nonsense` is none of the options."""

    def fault(self, model: str) -> FaultResponder:
        return _decide


async def _decide(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    text, schema = body["messages"][-1]["content"], body["response_format"]["json_schema"]["schema"]
    ((name, answer),) = schema["properties"].items()
    values = answer.get("enum", [True, False])
    chosen = values[-1] if values == ["sad", "glad"] else values[0 if "invoice" in text or len(values) == 2 else 1]
    said = json.dumps({name: chosen})
    message = {"role": "assistant", "content": said}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    shown = {"id": "up", "object": "chat.completion", "created": 1, "model": "large", "usage": usage}
    raw = json.dumps(shown | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw)
    return True


@pytest.fixture(scope="module")
def upstream() -> Iterator[Decides]:
    with beside(Decides) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: Decides, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = CONFIG.format(url=upstream.url, keep="vectors")
    with serving(tmp_path_factory.mktemp("decisions"), config) as served:
        yield served


def rows(server: Served, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(server.home / "sizewise.db")) as database:
        return database.execute(query).fetchall()


def decide(server: Served, text: Any = "an invoice", *questions: Any, **more: Any) -> Answer:
    body = {"model": "large", "input": text, "questions": questions or [TEAM], **more}
    return server.ask("/v1/decisions", body)


def shown(answer: Answer) -> Any:
    return answer.json


def test_the_official_sdk_gets_typed_answers_in_the_order_of_the_questions(server: Served) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        found = client.decisions.create(model="large", input="an invoice", questions=[URGENT, TEAM, MOOD])
    urgent, team, mood = found.answers
    assert urgent.type == "predicate" and urgent.name == "urgent" and urgent.probability == 1.0
    assert team.type == "choice" and team.choice == "billing" and team.confidence == 1.0
    assert [each.value for each in team.probabilities] == ["billing", "support", True]
    assert mood.type == "score" and mood.name is None and mood.score == 1.0
    assert [(each.label, each.value) for each in mood.probabilities] == [("sad", 0), ("glad", 1)]
    assert found.model == "up/large" and found.usage.total_tokens == 36


def test_langchain_asks_unchanged(server: Served) -> None:
    asked = OpenAIDecisions(model="large", base_url=f"{server.url}/v1", api_key=SecretStr(server.key), max_retries=0)
    choice = Choice(instructions="Which team answers this?", choices={"billing": "invoices", "support": "the rest"})
    found = asked.invoke({"input": "an invoice", "questions": {"team": choice}})
    assert found.choices["team"].choice == "billing"


def test_a_conversation_is_told_with_its_roles_and_tools(server: Served, upstream: Decides) -> None:
    call = {"type": "function_call", "name": "find", "arguments": '{"id": 7}', "call_id": "c"}
    output = {"type": "function_call_output", "output": [{"type": "input_text", "text": "none"}], "call_id": "c"}
    said = [{"role": "user", "content": [{"type": "input_text", "text": "an invoice"}]}, call, output]
    assert decide(server, said).status == 200
    body: Any = upstream.received.bodies[-1]
    assert body["messages"][-1]["content"] == 'user: an invoice\ncall of find: {"id": 7}\nresult: none'


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"questions": []}, "questions"),
        ({"questions": [URGENT] * 401}, "questions"),
        ({"questions": [{**URGENT, "instructions": " "}]}, "questions[0].instructions"),
        ({"questions": [{**TEAM, "choices": [{"value": "a"}, {"value": "a"}]}]}, "questions[0]"),
        ({"questions": [{**TEAM, "choices": [{"value": "a"}]}]}, None),
        ({"questions": [{"type": "essay", "instructions": "Why?"}]}, None),
        ({"input": "  "}, "input"),
        ({"input": [{"type": "video"}]}, "input[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]},
            "input[0].content",
        ),
        ({"temperature": 1}, "temperature"),
        ({"model": "flow:triage"}, "model"),
    ],
)
def test_a_bad_request_says_where_it_is_wrong(server: Served, body: dict[str, Any], param: str | None) -> None:
    answer = server.ask("/v1/decisions", {"model": "large", "input": "an invoice", "questions": [TEAM], **body})
    error = shown(answer)["error"]
    assert (
        answer.status == 400 and error["message"] and error["code"] in ("bad_body", "bad_request", "not_translatable")
    )
    assert param is None or param in (error["param"], error["message"]) or param in error["message"]


def test_nothing_is_learned_where_learning_is_off(upstream: Decides, tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG.format(url=upstream.url, keep="off")) as served:
        assert shown(decide(served))["sizewise"] == {"rungs": ["large"]}
        assert not rows(served, "SELECT 1 FROM decision_answers")


@pytest.mark.parametrize("named", ["session", "endUser"])
def test_what_was_learned_of_a_session_or_an_end_user_is_erased_with_them(server: Served, named: str) -> None:
    name, mine = f"ann-{named}", {"session": "session = 'ann-session'", "endUser": "end_user IS NOT NULL"}[named]
    count = f"SELECT count(*) FROM decision_answers WHERE {mine}"
    label = {"session": "session", "endUser": "end-user"}[named]
    assert decide(server, "an invoice", sizewise={label: name}).status == 200
    until(lambda: rows(server, count) == [(1,)])
    erase = f"mutation {{ erasePersonalData({named}: {json.dumps(name)}, dryRun: false) {{ rows {{ kind count }} }} }}"
    gone = {each["kind"]: each["count"] for each in graphql(server, erase).data["erasePersonalData"]["rows"]}
    assert gone["learned decisions"] == 1 and rows(server, count) == [(0,)]


def test_what_a_person_said_before_the_input_is_erased_with_the_last_answer(upstream: Decides, tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["billing", "support"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    said = [("user", "I am Ann."), ("assistant", "Hello."), ("user", "I have an invoice.")]
    body = {
        "model": "large",
        "messages": [{"role": role, "content": text} for role, text in said],
        "response_format": {"type": "json_schema", "json_schema": {"name": "team", "schema": schema}},
    }
    with serving(tmp_path, CONFIG.format(url=upstream.url, keep="text")) as served:
        for session in ("ann", "other"):
            answer = served.ask("/v1/chat/completions", {**body, "sizewise": {"session": session}})
            assert answer.status == 200, answer.body
        until(lambda: rows(served, "SELECT count(*) FROM decision_answers") == [(2,)])
        assert listed(served)[0]["instructions"] == "I am Ann.\nHello."
        for session, left in (("ann", 1), ("other", 0)):
            erased = f'mutation {{ erasePersonalData(session: "{session}", dryRun: false) {{ dryRun }} }}'
            assert not graphql(served, erased).errors
            assert rows(served, "SELECT count(*) FROM decision_questions") == [(left,)]


@pytest.mark.long
def test_a_question_moves_down_by_itself_and_up_when_its_options_change(server: Served, upstream: Decides) -> None:
    first = "SELECT question, state FROM decision_questions WHERE question IN (SELECT question FROM decision_answers"
    first += " GROUP BY question ORDER BY count(*) DESC LIMIT 1)"
    for number in range(LOOKS[0]):
        assert decide(server, TEXTS[number % len(TEXTS)]).status == 200
    until(lambda: rows(server, first)[0][1] == "certified")
    asked = len(upstream.received.bodies)
    found = [decide(server, text) for text in TEXTS * 3]
    small = [each for each in found if shown(each)["sizewise"]["rungs"] == ["exact"]]
    assert len(small) > len(found) / 2 and len(upstream.received.bodies) - asked == len(found) - len(small)
    assert {shown(each)["answers"][0]["choice"] for each in small} == {"billing", "support"}
    reasons = [each.headers["x-sizewise-why"].partition("; decision: ")[2] for each in found if each not in small]
    assert all(each.startswith(("drawn at random", "no rung is certified for")) for each in reasons), reasons
    assert "certified to differ from large on at most 5%" in small[0].headers["x-sizewise-why"]
    assert small[0].headers["x-sizewise-cost-usd"] == "0" and small[0].headers["x-sizewise-model"] == "decisions/exact"
    more = {**TEAM, "choices": [*TEAM["choices"], {"value": "legal"}]}
    assert decide(server, TEXTS[0], more).status == 200
    until(lambda: rows(server, first)[0][1] == "void")
    ((cause,),) = rows(server, "SELECT cause FROM decision_questions WHERE state = 'void'")
    assert cause.startswith("its options changed")


def test_decisions_are_listed_certified_and_forgotten_by_graphql_and_the_command_line(server: Served) -> None:
    question = {**TEAM, "instructions": "Who reads this?"}
    before = {each["id"] for each in listed(server)}
    assert decide(server, "an invoice", question).status == 200
    until(lambda: len(listed(server)) > len(before))
    (mine,) = [each for each in listed(server) if each["id"] not in before]
    assert (mine["state"], mine["model"], mine["answers"], mine["certificate"]) == ("learning", "large", 1, None)
    assert mine["options"] == ['{"answer":"billing"}', '{"answer":"support"}', '{"answer":true}']
    assert (mine["instructions"], mine["question"]) == ("", "billing, support, true")
    assert mine["nextCertificationAt"] == LOOKS[0]
    told = sizewise("decisions", "show", mine["id"][:12], home=server.home).out
    assert "learning" in told and "next certification at 250" in told and "billing, support, true" in told
    table = sizewise("decisions", home=server.home).out
    assert any(mine["id"][:12] in line and "billing, support, true" in line for line in table.splitlines())
    tried = sizewise("decisions", "certify", mine["id"], "--json", home=server.home)
    assert (
        tried.code != 0 and "too few to try: no part of the error is spent" in json.loads(tried.out)["error"]["message"]
    )
    gone = sizewise("decisions", "forget", mine["id"], "--json", home=server.home)
    assert json.loads(gone.out) == {"forgotten": mine["id"], "answers": 1}
    missing = sizewise("decisions", "show", mine["id"], home=server.home)
    assert missing.code != 0 and "sizewise decisions list" in missing.err
    refused = graphql(server, "mutation($id: ID!) { forgetDecision(id: $id) }", id=mine["id"], key=server.key)
    assert refused.errors


@pytest.mark.long
def test_what_a_project_let_be_learned_is_forgotten_as_a_whole(upstream: Decides, tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG.format(url=upstream.url, keep="text")) as served:
        nothing = sizewise("decisions", home=served.home).out
        assert "Nothing is learned of decisions yet" in nothing
        answer = decide(served, "an invoice", TEAM, URGENT)
        assert answer.headers["x-sizewise-why"].endswith("; decision: no rung is certified yet")
        until(lambda: len(listed(served)) == 2)
        shown_questions = sizewise("decisions", home=served.home).out
        assert "Which team answers this?" in shown_questions and "It is urgent." in shown_questions
        assert "Choose the one option" not in shown_questions, "what is the same for all tells nothing apart"
        project = listed(served)[0]["project"]
        counted = sizewise("decisions", "forget", "--project", project, home=served.home).out
        assert "would forget 2 decisions and 2 answers" in counted and len(listed(served)) == 2
        gone = sizewise("decisions", "forget", "--project", project, "--yes", "--json", home=served.home).json
        assert (gone["decisions"], gone["answers"]) == (2, 2) and listed(served) == []
        again = sizewise("decisions", "forget", "--project", project, home=served.home)
        assert again.code == 2 and "nothing is learned in the project" in again.err
        both = sizewise("decisions", "forget", "x", "--project", project, home=served.home)
        assert both.code == 2 and "name one decision, or a project" in both.err


def listed(server: Served) -> list[Any]:
    found: list[Any] = json.loads(sizewise("decisions", "--json", home=server.home).out)["decisions"]
    return found


@pytest.mark.long
def test_a_project_is_forgotten_however_many_decisions_it_has(upstream: Decides, tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG.format(url=upstream.url, keep="vectors")) as served:
        asked = [{**URGENT, "instructions": f"It is about order {number}."} for number in range(501)]
        for start in (0, 300):
            assert decide(served, "an invoice", *asked[start : start + 300]).status == 200
        until(lambda: rows(served, "SELECT count(*) FROM decision_questions") == [(501,)], seconds=60)
        ((oldest, project),) = rows(
            served, "SELECT question, project FROM decision_questions ORDER BY changed, number DESC LIMIT 1"
        )
        assert len(listed(served)) == 500 and oldest not in [each["id"] for each in listed(served)]
        assert sizewise("decisions", "show", oldest, "--json", home=served.home).json["id"] == oldest
        counted = sizewise("decisions", "forget", "--project", project, home=served.home).out
        assert "would forget 501 decisions and 501 answers" in counted
        gone = sizewise("decisions", "forget", "--project", project, "--yes", "--json", home=served.home).json
        assert (gone["decisions"], gone["answers"]) == (501, 501)
        assert rows(served, "SELECT count(*) FROM decision_questions") == [(0,)]
