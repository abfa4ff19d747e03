"""Labels of records: session, end user, tags and the causing span, as the APIs of OpenAI and Anthropic send them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

import openai
import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import Served

SPAN = "00f067aa0ba902b7"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FIND = """query($session: String, $user: String, $tag: String) {
    records(filter: {session: $session, endUser: $user, tag: $tag}) {
        rows { trace session endUser tags parentSpan endpoint } } }"""


def client(server: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0)


def found(server: Served, **criteria: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = graphql(server, FIND, **criteria).data["records"]["rows"]
    return rows


def test_a_record_has_the_labels_of_its_request_and_is_found_by_each(echo: Served) -> None:
    with client(echo) as api:
        api.chat.completions.create(
            model="echo/small",
            messages=[{"role": "user", "content": "Hello"}],
            user="ann@example.com",
            metadata={"team": "unrecorded"},
            extra_headers={
                "x-sizewise-session": "s-1",
                "x-sizewise-tags": "team=search",
                "traceparent": f"00-{TRACE}-{SPAN}-01",
            },
        )
    (record,) = found(echo, session="s-1")
    assert record["session"] == "s-1" and record["tags"] == ["team=search"]
    assert record["trace"] == TRACE and record["parentSpan"] == SPAN
    assert len(record["endUser"]) == 32 and "ann" not in json.dumps(record)
    assert found(echo, user="ann@example.com") == found(echo, tag="team=search") == [record]
    assert found(echo, user="bob@example.com") == found(echo, tag="team") == found(echo, session="s") == []
    listed = sizewise("records", "--end-user", "ann@example.com", home=echo.home, SIZEWISE_URL=echo.url)
    assert TRACE[:16] in listed.out


@pytest.mark.long
def test_the_name_of_an_end_user_is_in_no_file_of_the_home(echo: Served) -> None:
    name = "Ignatius-Canary-4711"
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}], "user": name}
    assert echo.ask("/v1/chat/completions", body).status == 200
    assert len(found(echo, user=name)) == 1
    files = [path for path in echo.home.rglob("*") if path.is_file()]
    assert files and not any(name.encode() in path.read_bytes() for path in files)
    with contextlib.closing(sqlite3.connect(echo.home / "sizewise.db")) as database:
        assert database.execute("SELECT count(*) FROM end_user_keys").fetchone() == (1,)


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"max_tokens": 9, "metadata": {"user_id": "zoe"}}),
        ("/v1/responses", {"input": "Hello", "safety_identifier": "zoe"}),
        ("/v1/chat/completions", {"sizewise": {"end-user": "zoe", "tags": ["team=search"]}}),
        ("/v1/completions", {"prompt": "Hello", "user": "zoe"}),
    ],
)
def test_each_api_names_the_end_user_in_its_own_field(echo: Served, path: str, body: dict[str, Any]) -> None:
    if "input" not in body and "prompt" not in body:
        body = {**body, "messages": [{"role": "user", "content": "Hello"}]}
    before = found(echo, user="zoe")
    assert echo.ask(path, {"model": "echo/small", **body}).status == 200
    record, *older = found(echo, user="zoe")
    assert older == before and record["endpoint"] in path.replace("/chat/completions", "/chat")
    assert record["tags"] == (["team=search"] if "tags" in str(body) else [])


@pytest.mark.long
@pytest.mark.parametrize(
    "header",
    [
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        "x" * 9_000,
    ],
)
def test_a_malformed_traceparent_is_ignored(echo: Served, header: str) -> None:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
    answer = echo.ask("/v1/chat/completions", body, traceparent=header, x_sizewise_session="m")
    assert answer.status in (200, 431)
    assert all(each["parentSpan"] is None and each["trace"] != TRACE for each in found(echo, session="m"))


@pytest.mark.long
@pytest.mark.parametrize(
    "tags", ["a" * 65, ",".join(map(str, range(17))), "a\x07b", ["a", 1]], ids=["long", "many", "bell", "a number"]
)
def test_tags_that_are_none_are_refused_by_name(echo: Served, tags: object) -> None:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}], "sizewise": {"tags": tags}}
    answer = echo.ask("/v1/chat/completions", body)
    assert answer.status == 400 and "tags" in str(answer.json)


@pytest.mark.long
def test_labels_change_no_answer_from_the_cache_and_no_retry(echo: Served) -> None:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
    first, second = (
        echo.ask(
            "/v1/chat/completions",
            body,
            idempotency_key="labels",
            x_sizewise_tags=tag,
            traceparent=f"00-{TRACE}-{span}-00",
        )
        for tag, span in (("a", SPAN), ("b", SPAN[::-1]))
    )
    assert first.status == second.status == 200 and first.body == second.body
