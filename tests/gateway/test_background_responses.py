"""`background: true` through the official SDK: queued, polled, streamed again, cancelled, and durable over kill -9."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.gateway.server_harness import rows
from tests.running_server import Served, serving, until

CONFIG = """
[server]
embedded = false
discover = false
drain_timeout_s = 0.3
[stored_responses]
max_background = 6
max_background_running = 2
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
price = {input = "1", output = "5"}
"""
CANARY = "canary-4711-secret"
HANGS = "[[say one two]] [[hang after=1]]"
ENDED = ("completed", "failed", "cancelled", "incomplete")
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@contextmanager
def client_of(served: Served, key: str = "") -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key=key or served.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("background"), CONFIG) as running:
        yield running
        said = "".join(running.said)
        assert "Traceback" not in said and "unexpected" not in said, said


@pytest.fixture(scope="module")
def mine(served: Served) -> Iterator[OpenAI]:
    with client_of(served) as client:
        yield client


def begin(client: OpenAI, words: Any = "one two three", **more: Any) -> Any:
    return client.responses.create(**{"model": "echo/small", "input": words, "background": True, **more})


def ended(client: OpenAI, id: str) -> Any:
    """The response once it has ended, polled as the API's guide does."""
    until(lambda: client.responses.retrieve(id).status in ENDED)
    return client.responses.retrieve(id)


def running(client: OpenAI, id: str) -> None:
    until(lambda: client.responses.retrieve(id).status == "in_progress")


def stream(served: Served, id: str, after: object = None, key: str = "") -> list[dict[str, Any]]:
    """The events of GET, each as the SDK's own types have it."""
    more = "" if after is None else f"&starting_after={after}"
    answer = served.ask(f"/v1/responses/{id}?stream=true{more}", key=key)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/event-stream"), answer
    found = [json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    for event in found:
        EVENT.validate_python(event)
    return found


def words_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def graph(served: Served, query: str) -> Any:
    admin = (served.home / "admin.token").read_text().strip()
    return served.ask("/graphql", {"query": query}, key=admin).json


# ---- queued, polled, streamed


def test_it_is_accepted_at_once_and_polled_to_its_end(served: Served, mine: OpenAI) -> None:
    raw = mine.responses.with_raw_response.create(
        model="echo/small", input="one two three", background=True, metadata={"a": "b"}
    )
    begun: Any = raw.parse()
    assert (begun.status, begun.background, begun.output, begun.store) == ("queued", True, [], True)
    whole = ended(mine, begun.id)
    assert (whole.status, whole.output_text, whole.background) == ("completed", "one two three", True)
    assert (whole.usage.input_tokens, whole.usage.output_tokens, whole.metadata) == (3, 3, {"a": "b"})
    assert whole.id == begun.id and whole.created_at == begun.created_at and whole.completed_at
    Response.model_validate(whole.to_dict(), strict=True)
    trace = raw.headers["x-request-id"]
    assert (whole.sizewise["model"], whole.sizewise["trace"]) == ("echo/small", trace)
    until(lambda: rows(served.home, f"SELECT status FROM records WHERE trace = '{trace}' AND status = 200"))
    found = rows(served.home, f"SELECT status, input, output, cost FROM records WHERE trace = '{trace}'")
    assert [tuple(dict(row).values()) for row in found] == [(200, 3, 3, 3 * 10**6 + 3 * 5 * 10**6)]


def test_its_stream_can_be_left_and_taken_up_after_any_event(served: Served, mine: OpenAI) -> None:
    with begin(mine, "[[pace 0.01]] a b c d e f g h", stream=True) as first:
        seen = [next(iter(first)) for _ in range(4)]
    assert [each.type for each in seen[:3]] == ["response.created", "response.queued", "response.in_progress"]
    id = seen[0].response.id
    later = list(mine.responses.retrieve(id, stream=True, starting_after=seen[-1].sequence_number))
    whole = stream(served, id)
    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    assert [each.to_dict() for each in later] == whole[len(seen) :]
    assert whole[-1]["type"] == "response.completed" and words_of(whole) == "a b c d e f g h"
    assert mine.responses.retrieve(id).to_dict() == whole[-1]["response"]
    assert stream(served, id, len(whole) - 2) == whole[-1:]
    assert stream(served, id, len(whole) - 1) == stream(served, id, 10**9) == []


def test_many_followers_see_the_same_events(served: Served, mine: OpenAI) -> None:
    begun = begin(mine, "[[pace 0.01]] a b c d e f")
    assert stream(served, begun.id) == stream(served, begun.id) == stream(served, begun.id, -1)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("words", ["one two", "[[think hm hm]] [[say yes]]", "[[finish length]] cut short"])
def test_a_stored_response_of_any_kind_is_told_again_as_a_stream(
    served: Served, mine: OpenAI, streamed: bool, words: str
) -> None:
    made: Any = mine.responses.create(model="echo/small", input=words, stream=streamed)
    first = list(made)[-1].response if streamed else made
    told = stream(served, first.id)
    assert told == stream(served, first.id) and [event["sequence_number"] for event in told] == list(range(len(told)))
    assert words_of(told) == first.output_text
    assert told[-1]["type"] == f"response.{first.status}"
    assert told[-1]["response"] == mine.responses.retrieve(first.id).to_dict()
    assert stream(served, first.id, 1) == told[2:]


def test_a_tool_call_in_the_background_is_told_again_too(served: Served, mine: OpenAI) -> None:
    tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    begun = begin(mine, '[[tool weather {"city": "Oslo"}]]', tools=[tool])
    assert json.loads(ended(mine, begun.id).output[-1].arguments) == {"city": "Oslo"}
    sync: Any = mine.responses.create(model="echo/small", input='[[tool weather {"a": 1}]]', tools=[tool])
    kinds = [event["type"] for event in stream(served, sync.id)]
    assert "response.function_call_arguments.done" in kinds


def test_a_conversation_goes_on_from_it(mine: OpenAI) -> None:
    first = ended(mine, begin(mine, "one two").id)
    second = ended(mine, begin(mine, "three", previous_response_id=first.id).id)
    assert second.usage.input_tokens == 2 + 2 + 1 and second.previous_response_id == first.id
    listed: Any = mine.responses.input_items.list(second.id, order="asc").data
    assert [item.content[0].text for item in listed] == ["one two", "one two", "three"]


# ---- what fails


def test_one_that_fails_says_why_and_is_not_gone_on_from(served: Served, mine: OpenAI) -> None:
    failed = ended(mine, begin(mine, "[[fail]] x").id)
    assert failed.status == "failed" and failed.error.code == "server_error" and failed.error.message
    assert failed.error.type == "upstream_unreachable"
    told = stream(served, failed.id)
    assert [event["type"] for event in told[-2:]] == ["error", "response.failed"]
    with pytest.raises(openai.ConflictError) as caught:
        mine.responses.create(model="echo/small", input="x", previous_response_id=failed.id)
    assert "has failed" in caught.value.message


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"store": False}, 400, "background"),
        ({"model": "echo/nobody"}, 404, "model"),
        ({"input": []}, 400, "input"),
        ({"tools": 7}, 400, "tools"),
        ({"previous_response_id": "resp_unknown"}, 404, "previous_response_id"),
        ({"background": "yes"}, 400, "background"),
    ],
)
def test_what_cannot_run_is_refused_before_it_is_queued(mine: OpenAI, more: Any, status: int, param: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        begin(mine, **more)
    assert (caught.value.status_code, caught.value.param) == (status, param)
    body: Any = caught.value.body
    assert body["hint"]


def test_an_organization_has_a_bounded_number_of_unfinished_ones(served: Served, mine: OpenAI) -> None:
    made = [begin(mine, HANGS).id for _ in range(6)]
    with pytest.raises(openai.RateLimitError) as caught:
        begin(mine)
    assert caught.value.code == "busy" and caught.value.response.headers["retry-after"]
    statuses = [mine.responses.retrieve(id).status for id in made]
    assert statuses.count("queued") == 4, "no more than two run at once"
    for id in reversed(made):
        assert mine.responses.cancel(id).status == "cancelled"
    assert ended(mine, begin(mine).id).status == "completed"


# ---- cancelled, deleted, revoked


def test_one_that_runs_is_cancelled_once_and_what_it_said_is_paid(served: Served, mine: OpenAI) -> None:
    raw = mine.responses.with_raw_response.create(model="echo/small", input=HANGS, background=True)
    id, trace = raw.parse().id, raw.headers["x-request-id"]
    until(lambda: "one" in words_of(_so_far(served, id)))
    for _ in range(2):
        gone = mine.responses.cancel(id)
        assert (gone.status, gone.output_text, gone.id) == ("cancelled", "one", id)
    assert mine.responses.retrieve(id).status == "cancelled"
    told = stream(served, id)
    assert told[-1]["response"]["status"] == "cancelled"
    until(lambda: rows(served.home, f"SELECT cost FROM records WHERE trace = '{trace}' AND output = 1"))
    assert len(rows(served.home, f"SELECT * FROM records WHERE trace = '{trace}'")) == 1
    with pytest.raises(openai.ConflictError) as caught:
        begin(mine, previous_response_id=id)
    assert "was cancelled" in caught.value.message


def _so_far(served: Served, id: str) -> list[dict[str, Any]]:
    """The events until now of one that does not end: its connection is closed."""
    connection = served.connection(60)
    try:
        connection.request("GET", f"/v1/responses/{id}?stream=true", headers={"authorization": f"Bearer {served.key}"})
        answer = connection.getresponse()
        found: list[dict[str, Any]] = []
        while "one" not in words_of(found):
            line = answer.readline()
            found += [json.loads(line[6:])] if line.startswith(b"data: ") else []
        return found
    finally:
        connection.close()


def test_a_follower_reads_the_end_of_what_another_client_cancels(served: Served, mine: OpenAI) -> None:
    id = begin(mine, HANGS).id
    with mine.responses.retrieve(id, stream=True) as followed:
        events = iter(followed)
        while next(events).type != "response.output_text.delta":
            pass
        mine.responses.cancel(id)
        assert [each.type for each in events][-1] == "response.incomplete"


def test_only_a_background_response_is_cancelled_and_one_that_has_ended_stays(mine: OpenAI) -> None:
    sync: Any = mine.responses.create(model="echo/small", input="x")
    with pytest.raises(openai.BadRequestError):
        mine.responses.cancel(sync.id)
    whole = ended(mine, begin(mine).id)
    assert mine.responses.cancel(whole.id).to_dict() == whole.to_dict()
    with pytest.raises(openai.NotFoundError):
        mine.responses.cancel("resp_unknown")


@pytest.mark.parametrize("waits", [False, True])
def test_one_that_is_deleted_stops_and_is_gone(served: Served, mine: OpenAI, waits: bool) -> None:
    others = [begin(mine, HANGS).id for _ in range(2 * waits)]
    id = begin(mine, HANGS).id
    until(lambda: mine.responses.retrieve(id).status == ("queued" if waits else "in_progress"))
    mine.responses.delete(id)
    for act in (mine.responses.retrieve, mine.responses.cancel, mine.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            act(id)
    for each in others:
        mine.responses.cancel(each)
    assert ended(mine, begin(mine).id).status == "completed", "its place is free"


def test_a_revoked_key_ends_what_runs_and_what_waits(served: Served, mine: OpenAI) -> None:
    made = graph(served, 'mutation { createKey(name: "brief", permissions: [ask]) { key { id } secret } }')
    told = made["data"]["createKey"]
    with client_of(served, told["secret"]) as theirs:
        runs, other, waits = begin(theirs, HANGS).id, begin(theirs, HANGS).id, begin(theirs).id
        running(theirs, runs)
        running(theirs, other)
    graph(served, f'mutation {{ revokeKey(id: "{told["key"]["id"]}") {{ id }} }}')
    for id in (runs, other, waits):
        gone = ended(mine, id)
        assert (gone.status, gone.error.type) == ("failed", "invalid_api_key"), gone
        assert told["secret"] not in gone.error.message


def test_what_is_erased_while_it_runs_is_never_stored(served: Served, mine: OpenAI) -> None:
    told = graph(served, 'mutation { createKey(name: "erased", permissions: [ask]) { key { id } secret } }')
    key = told["data"]["createKey"]
    with client_of(served, key["secret"]) as theirs:
        ids = [begin(theirs, f"[[pace 0.05]] a b c d e {CANARY}").id for _ in range(3)]
        running(theirs, ids[0])
        erase = (
            f'mutation {{ erasePersonalData(key: "{key["key"]["id"]}", dryRun: false) {{ rows {{ kind count }} }} }}'
        )
        gone = {row["kind"]: row["count"] for row in graph(served, erase)["data"]["erasePersonalData"]["rows"]}
        assert gone["unfinished background responses"] + gone["stored responses"] == 3
        assert ended(mine, begin(mine).id).status == "completed", "those before it are over"
        for id in ids:
            with pytest.raises(openai.NotFoundError):
                theirs.responses.retrieve(id)


def test_what_is_asked_lies_open_nowhere_while_it_waits(served: Served, mine: OpenAI) -> None:
    held = [begin(mine, HANGS).id for _ in range(2)]
    begun = begin(mine, CANARY, metadata={"note": CANARY})
    files = [path for path in served.home.rglob("*") if path.is_file()]
    bodies = {path: path.read_bytes() for path in files}
    assert any(begun.id.encode() in body for body in bodies.values())
    assert [path for path, body in bodies.items() if CANARY.encode() in body] == []
    for id in held:
        mine.responses.cancel(id)
    assert ended(mine, begun.id).output_text == CANARY


def test_an_unfinished_one_lists_its_input_and_is_not_gone_on_from(mine: OpenAI) -> None:
    id = begin(mine, HANGS).id
    listed: Any = mine.responses.input_items.list(id).data
    assert listed[0].content[0].text == HANGS
    with pytest.raises(openai.ConflictError) as caught:
        begin(mine, previous_response_id=id)
    assert "not finished" in caught.value.message
    mine.responses.cancel(id)


# ---- crashes and restarts


def kill(served: Served) -> None:
    served.process.kill()
    served.process.wait(60)


@pytest.mark.long
def test_after_kill_9_what_was_queued_runs_and_what_ran_has_failed_unpaid_twice(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as first, client_of(first) as client:
        raw = client.responses.with_raw_response.create(model="echo/small", input=HANGS, background=True)
        runs, trace = raw.parse().id, raw.headers["x-request-id"]
        other = begin(client, HANGS).id
        waits = [begin(client, f"number {n}").id for n in range(3)]
        done_before: Any = client.responses.create(model="echo/small", input="before")
        running(client, runs)
        running(client, other)
        kill(first)
    with serving(tmp_path, CONFIG) as second, client_of(second) as client:
        for number, id in enumerate(waits):
            whole = ended(client, id)
            assert (whole.status, whole.output_text) == ("completed", f"number {number}")
            told = stream(second, id)
            assert [event["sequence_number"] for event in told] == list(range(len(told)))
        for id in (runs, other):
            failed = ended(client, id)
            assert (failed.status, failed.error.type) == ("failed", "outcome_unknown")
            assert (
                "may have been billed" in failed.error.message and stream(second, id)[-1]["type"] == "response.failed"
            )
        assert trace[:16] in ended(client, runs).error.message
        assert client.responses.retrieve(done_before.id).output_text == "before"
        found = rows(tmp_path, f"SELECT status, error, cost FROM records WHERE trace = '{trace}'")
        assert [(row["status"], row["error"]) for row in found] == [(0, "outcome_unknown")], (
            "one record, never a second"
        )
        until(lambda: len(rows(tmp_path, "SELECT * FROM records WHERE status = 200 AND input = 2")) == 3)


@pytest.mark.long
@pytest.mark.parametrize("times", [3])
def test_killed_again_and_again_each_one_ends_once(tmp_path: Path, times: int) -> None:
    ids: list[str] = []
    for _ in range(times):
        with serving(tmp_path, CONFIG) as served, client_of(served) as client:
            ids += [begin(client, "[[pace 0.02]] a b c d e f").id for _ in range(2)]
            running(client, ids[-1])
            kill(served)
    with serving(tmp_path, CONFIG) as served, client_of(served) as client:
        assert {ended(client, id).status for id in ids} <= {"completed", "failed"}
        with closing(sqlite3.connect(tmp_path / "sizewise.db")) as db:
            assert db.execute("SELECT count(*) FROM background_responses").fetchone() == (0,)
            assert db.execute("SELECT count(*), count(DISTINCT id) FROM responses").fetchone() == (len(ids),) * 2


@pytest.mark.long
def test_a_stopped_server_fails_what_runs_and_leaves_what_waits_to_the_next(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as first, client_of(first) as client:
        runs = [begin(client, HANGS).id for _ in range(2)]
        waits = begin(client, "later").id
        for id in runs:
            running(client, id)
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
        assert "Traceback" not in "".join(first.said)
    with serving(tmp_path, CONFIG) as second, client_of(second) as client:
        assert ended(client, waits).output_text == "later"
        for id in runs:
            assert ended(client, id).error.type == "server_stopping"


@pytest.mark.long
def test_a_short_one_ends_before_a_server_stops(tmp_path: Path) -> None:
    config = CONFIG.replace("drain_timeout_s = 0.3", "drain_timeout_s = 20")
    with serving(tmp_path, config) as first, client_of(first) as client:
        id = begin(client, "[[pace 0.05]] a b c d e").id
        running(client, id)
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    with serving(tmp_path, config) as second, client_of(second) as client:
        assert client.responses.retrieve(id).output_text == "a b c d e"


# ---- pages and queries


def test_input_items_come_in_pages_in_both_orders(served: Served, mine: OpenAI) -> None:
    said: Any = [{"role": "user", "content": f"w{n}"} for n in range(25)]
    orders: Any = (("asc", [f"w{n}" for n in range(25)]), ("desc", [f"w{n}" for n in reversed(range(25))]))
    made: Any = mine.responses.create(model="echo/small", input=said)
    for order, expected in orders:
        items: Any = list(mine.responses.input_items.list(made.id, order=order, limit=4))
        assert [item.content[0].text for item in items] == expected
    first: Any = mine.responses.input_items.list(made.id)
    assert len(first.data) == 20 and first.has_more and first.last_id == first.data[-1].id
    rest: Any = mine.responses.input_items.list(made.id, after=first.last_id, include=["message.input_image.image_url"])
    assert len(rest.data) == 5 and not rest.has_more


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/input_items?limit=0", "limit"),
        ("/input_items?limit=101", "limit"),
        ("/input_items?limit=many", "limit"),
        ("/input_items?order=up", "order"),
        ("/input_items?after=msg_unknown", "after"),
        ("/input_items?include[]=secrets", "include"),
        ("?stream=maybe", "stream"),
        ("?stream=true&starting_after=x", "starting_after"),
        ("?stream=true&starting_after=-2", "starting_after"),
        ("?stream=true&starting_after=1.5", "starting_after"),
        ("?include=%00", "include"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(served: Served, mine: OpenAI, path: str, param: str) -> None:
    made: Any = mine.responses.create(model="echo/small", input="x")
    answer = served.ask(f"/v1/responses/{made.id}{path}")
    assert (answer.status, answer.error["param"]) == (400, param) and answer.error["hint"]


def test_the_tokens_of_an_input_are_counted(served: Served, mine: OpenAI) -> None:
    counted = mine.responses.input_tokens.count(model="auto", input="one two three", instructions="Be kind.")
    assert counted.object == "response.input_tokens" and counted.input_tokens > 0
    assert counted.to_dict()["estimated"] is True
    first: Any = mine.responses.create(model="echo/small", input="one two three four five six")
    more = mine.responses.input_tokens.count(previous_response_id=first.id, input="x")
    assert more.input_tokens > mine.responses.input_tokens.count(input="x").input_tokens
    for body, param in (({"input": "x", "model": "echo/nobody"}, "model"), ({}, "input"), ({"input": 7}, "input")):
        answer = served.ask("/v1/responses/input_tokens", body)
        assert answer.status in (400, 404) and answer.error["param"] == param, answer
    assert len(rows(served.home, "SELECT * FROM records WHERE door = 'input_tokens'")) == 0


@pytest.mark.long
def test_nobody_else_sees_or_stops_it(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as first:
        made = graph(first, 'mutation { createKey(name: "others", permissions: [ask]) { secret } }')
        secret = made["data"]["createKey"]["secret"]
    with closing(sqlite3.connect(tmp_path / "sizewise.db")) as db, db:
        db.execute("UPDATE keys SET project = 'others' WHERE name = 'others'")
    with serving(tmp_path, CONFIG) as served, client_of(served) as mine, client_of(served, secret) as others:
        id = begin(mine, HANGS).id
        running(mine, id)
        told = set()
        for method, path in (
            ("GET", ""),
            ("GET", "?stream=true"),
            ("POST", "/cancel"),
            ("DELETE", ""),
            ("GET", "/input_items"),
        ):
            for each in (id, "resp_" + "0" * 48):
                answer = served.ask(f"/v1/responses/{each}{path}", key=secret, method=method)
                assert answer.status == 404
                told.add(answer.error["message"].replace(each, "ID"))
        assert len(told) == 1
        with pytest.raises(openai.NotFoundError):
            begin(others, previous_response_id=id)
        assert mine.responses.retrieve(id).status == "in_progress"
        mine.responses.cancel(id)
