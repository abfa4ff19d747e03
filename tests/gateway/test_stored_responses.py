"""A response is kept for whoever asked, and for nobody else: gone on from, read again, deleted; sealed on the disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.running_server import Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[router]
policy = "careful"
switch_cost_usd = "0.01"
[policies.careful]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/large"]
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
parameters = 100_000_000
logprobs = true
price = {input = "1", output = "5", cached = "0.1"}
[models."echo/large"]
parameters = 70_000_000_000
price = {input = "3", output = "15", cached = "0.3"}
"""
OTHERS = "key-of-another-project"
CANARY = "canary-0815-secret-words"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a second key, which belongs to another project: no endpoint moves a key, so its row is changed."""
    home = tmp_path_factory.mktemp("kept")
    with serving(home, CONFIG) as first:
        body = {"query": 'mutation { createKey(name: "others", permissions: [ask]) { secret } }'}
        made = first.ask("/graphql", body, key=(home / "admin.token").read_text().strip())
        (home / OTHERS).write_text(json.loads(made.body)["data"]["createKey"]["secret"])
    with closing(sqlite3.connect(home / "sizewise.db")) as db, db:
        db.execute("UPDATE keys SET project = 'others' WHERE name = 'others'")
    db.close()
    with serving(home, CONFIG) as second:
        yield second
        said = "".join(second.said)
        assert "Traceback" not in said and "unforeseen" not in said, said


@pytest.fixture(scope="module")
def mine(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def others(served: Served) -> Iterator[OpenAI]:
    key = (served.home / OTHERS).read_text()
    with OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def ask(client: OpenAI, words: Any = "one two three", **more: Any) -> Any:
    return client.responses.create(**{"model": "echo/small", "input": words, **more})


def flow(client: OpenAI, words: Any = "one two three", **more: Any) -> Any:
    return list(ask(client, words, stream=True, **more))[-1].response


def read(response: Any) -> int:
    """Words that the model had to read."""
    tokens: int = response.usage.input_tokens
    return tokens


@pytest.mark.parametrize("said", [ask, flow])
def test_the_next_request_builds_on_all_that_was_said_before(mine: OpenAI, said: Any) -> None:
    first = said(mine, "one two three")
    second = said(mine, "four", previous_response_id=first.id)
    third = said(mine, [{"role": "user", "content": "five"}], previous_response_id=second.id)
    assert [read(each) for each in (first, second, third)] == [3, 3 + 3 + 1, 7 + 1 + 1]
    assert third.previous_response_id == second.id and third.output_text == "five" and third.store is True


def test_instructions_are_not_inherited(mine: OpenAI) -> None:
    first = ask(mine, "one", instructions="Be very kind.")
    assert read(first) == 4 and read(ask(mine, "two", previous_response_id=first.id)) == 3


def test_a_conversation_forks_where_a_response_is_gone_on_from_twice(mine: OpenAI) -> None:
    first = ask(mine, "one")
    left, right = (ask(mine, words, previous_response_id=first.id) for words in ("two", "three"))
    assert left.id != right.id and read(left) == read(right) == 3


def test_it_can_be_read_again_as_it_was_sent(served: Served, mine: OpenAI) -> None:
    sent = served.ask("/v1/responses", {"model": "echo/small", "input": "one two"})
    found = served.ask(f"/v1/responses/{json.loads(sent.body)['id']}")
    assert (found.status, found.body) == (200, sent.body)
    streamed = flow(mine)
    again = mine.responses.retrieve(streamed.id).to_dict()
    shown = streamed.to_dict()
    shown.pop("sizewise")
    assert again == shown


def test_what_was_said_before_it_is_listed_the_last_first(mine: OpenAI) -> None:
    first = ask(mine, "one")
    second = ask(mine, [{"role": "user", "content": "two"}], previous_response_id=first.id)
    items: Any = mine.responses.input_items.list(second.id).data
    assert [(item.role, item.content[0].text) for item in items] == [
        ("user", "two"),
        ("assistant", "one"),
        ("user", "one"),
    ]
    assert len({item.id for item in items}) == 3


def refused(client: OpenAI, id: str) -> tuple[list[str], Any]:
    """The words of each refusal, without the id; and the last error."""
    said: list[str] = []
    for act in (
        lambda: ask(client, "x", previous_response_id=id),
        lambda: flow(client, "x", previous_response_id=id),
        lambda: client.responses.retrieve(id),
        lambda: client.responses.input_items.list(id),
        lambda: client.responses.delete(id),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            act()
        said.append(caught.value.message.replace(id, "ID"))
    with pytest.raises(openai.NotFoundError) as last:
        ask(client, "x", previous_response_id=id)
    return said, last.value


def test_nobody_else_can_see_that_it_is_there(mine: OpenAI, others: OpenAI) -> None:
    kept = ask(mine, "my secret")
    foreign, error = refused(others, kept.id)
    unknown, _ = refused(others, kept.id[:-6] + "000000")
    assert foreign == unknown and "secret" not in str(foreign)
    assert (error.code, error.param) == ("previous_response_not_found", "previous_response_id") and error.body["hint"]
    assert mine.responses.retrieve(kept.id).output_text == "my secret"


def test_what_is_deleted_is_gone_and_what_was_built_on_it_stays(served: Served, mine: OpenAI) -> None:
    first = ask(mine, "one")
    second = ask(mine, "two", previous_response_id=first.id)
    gone = served.ask(f"/v1/responses/{first.id}", method="DELETE")
    assert gone.json == {"id": first.id, "object": "response", "deleted": True}
    refused(mine, first.id)
    assert read(ask(mine, "three", previous_response_id=second.id)) == 5


@pytest.mark.parametrize("said", [ask, flow])
def test_with_store_false_nothing_is_kept(mine: OpenAI, said: Any) -> None:
    first = said(mine, "one", store=False)
    assert first.store is False
    refused(mine, first.id)
    kept = said(mine, "one")
    unkept = said(mine, "two", previous_response_id=kept.id, store=False)
    assert read(unkept) == 3
    refused(mine, unkept.id)


def test_an_answer_that_failed_is_not_kept_and_a_strange_id_is_only_unknown(mine: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        ask(mine, "[[fail]] x")
    for id in ("resp_", "x", "resp_" + "0" * 48, "../../etc/passwd", "ä", "%00"):
        with pytest.raises(openai.NotFoundError):
            ask(mine, "x", previous_response_id=id)
    with pytest.raises(openai.BadRequestError):
        ask(mine, "x", previous_response_id="x" * 300)


def test_nothing_of_it_lies_open_on_the_disk(served: Served, mine: OpenAI) -> None:
    kept = flow(mine, CANARY)
    assert CANARY in mine.responses.retrieve(kept.id).output_text
    files = [path for path in served.home.rglob("*") if path.is_file()]
    bodies = {path: path.read_bytes() for path in files}
    assert any(kept.id.encode() in body for body in bodies.values())
    assert [path for path, body in bodies.items() if CANARY.encode() in body] == []


def test_a_chain_is_a_session_and_stays_with_its_model(served: Served, mine: OpenAI) -> None:
    long = "word " * 2_000
    raw = mine.responses.with_raw_response.create(
        model="auto",
        input=f"[[echo/small: logprob -9]] {long}",
        max_output_tokens=1,
    )
    assert raw.headers["x-sizewise-model"] == "echo/large"
    for more, model in (({"previous_response_id": raw.parse().id}, "echo/large"), ({}, "echo/small")):
        asked: Any = {"model": "auto", "input": "and now " + long, "max_output_tokens": 1, **more}
        assert mine.responses.with_raw_response.create(**asked).headers["x-sizewise-model"] == model


def test_a_method_that_a_path_does_not_take_is_refused(served: Served) -> None:
    for path, method in (("/v1/responses", "GET"), ("/v1/responses/resp_1", "PUT"), ("/v1/responses/x/y", "GET")):
        answer = served.ask(path, method=method)
        assert answer.status in (404, 405) and answer.error["hint"]
