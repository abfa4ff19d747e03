"""Subscriptions at /graphql: words as they come, over server-sent events and WebSockets, and what ends them."""

from __future__ import annotations

from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.auth.user_client import new_user
from tests.graphql.graphql_client import admin, fresh_key, graphql
from tests.graphql.subscription_client import ASK, ask, events, hear, keyed, opened, say, socket, streamed
from tests.running_server import Served, until

HANG = '{"type": "subscribe", "id": "1", "payload": {"query": "subscription { ask(prompt: \\"[[hang]]\\") { text } }"}}'
REVOKE = "mutation($id: String!) { revokeKey(id: $id) { id } }"


def stopped(server: Served, trace: str) -> bool:
    """It is on record that the client left, and the model with it."""
    found = graphql(
        server, "query($t: String!) { records(filter: {trace: $t}) { rows { status error } } }", t=trace
    ).data["records"]["rows"]
    return bool(found == [{"status": 499, "error": "cancelled"}])


def newest(server: Served) -> str:
    return str(graphql(server, "{ records(last: 1) { rows { trace } } }").data["records"]["rows"][0]["trace"])


def test_words_come_one_by_one_and_at_last_what_came_of_it(echo: Served) -> None:
    pieces = [each["ask"] for each in streamed(echo, ASK, p="one two three")]
    assert [piece["text"] for piece in pieces] == ["one", " two", " three", ""]
    assert pieces[-1]["answer"]["model"] == "echo/small"
    assert pieces[-1]["answer"]["choices"] == [{"text": "one two three", "finishReason": "stop"}]
    query = "query($t: String!) { records(filter: {trace: $t}) { rows { endpoint status } } }"
    found = graphql(echo, query, t=pieces[-1]["answer"]["trace"])
    assert found.data["records"]["rows"] == [{"endpoint": "graphql", "status": 200}]


def test_a_stream_ends_with_its_complete_event(echo: Served) -> None:
    with opened(echo, ASK, p="one") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert [name for name, _ in events(response)] == ["next", "next", "complete"]


def test_a_query_may_be_asked_of_the_same_client_and_is_answered_as_ever(echo: Served) -> None:
    with opened(echo, "{ me { key } }") as response:
        assert response.headers["content-type"] == "application/json"


def test_without_a_stream_a_subscription_is_refused_with_how_to_ask(echo: Served) -> None:
    answer = graphql(echo, ASK, p="one")
    assert (answer.status, answer.code) == (406, "bad_request")
    assert "text/event-stream" in answer.hint


def test_what_fails_before_the_first_word_is_the_error_of_the_stream(echo: Served) -> None:
    with opened(echo, ASK, p="[[fail]]") as response:
        ((_, failed), last) = list(events(response))
    assert failed["errors"][0]["extensions"]["code"] == "upstream_unreachable"
    assert last == ("complete", None)


def test_who_may_not_ask_is_refused_before_the_stream_begins(echo: Served) -> None:
    with opened(echo, ASK, key=fresh_key(echo, "read"), p="one") as response:
        assert response.status == 403


def test_who_leaves_stops_the_model(echo: Served) -> None:
    with opened(echo, ASK, p="[[pace 0.01]] [[repeat 5000]] a") as response:
        assert next(events(response))[1]["data"]["ask"]["text"]
        trace = str(response.headers["x-sizewise-trace"])
    until(lambda: stopped(echo, trace))


@pytest.mark.long
def test_who_reads_nothing_holds_the_model_back(echo: Served) -> None:
    """Forty megabytes do not wait in our memory: the model is far from its end when a later client is done."""
    with opened(echo, ASK, p="[[repeat 9999]] " + "a" * 4_000) as response:
        trace = str(response.headers["x-sizewise-trace"])
        assert len(streamed(echo, ASK, p="[[repeat 9999]] a")) == 10_000
    until(lambda: stopped(echo, trace))
    found = graphql(
        echo, "query($t: String!) { records(filter: {trace: $t}) { rows { tokens { output } } } }", t=trace
    ).data["records"]["rows"][0]
    assert 0 < found["tokens"]["output"] < 5_000_000  # of ten, at four letters a token


def test_a_revoked_key_ends_its_stream_before_its_last_word(echo: Served) -> None:
    key = fresh_key(echo, "ask")
    id = graphql(echo, "{ me { key } }", key=key).data["me"]["key"]
    with opened(echo, ASK, key=key, p="[[pace 0.01]] [[repeat 5000]] a") as response:
        reading = events(response)
        next(reading)
        assert graphql(echo, REVOKE, id=id).errors == []
        *words, (_, last), end = list(reading)
    assert len(words) < 2_500, "of 5,000"
    assert last["errors"][0]["extensions"]["code"] == "invalid_api_key"
    assert end == ("complete", None)


# ---- WebSockets


def test_a_websocket_streams_side_by_side_what_was_asked_on_it(echo: Served) -> None:
    with socket(echo, keyed(admin(echo))) as connection:
        ask(connection, "slow", "[[slow 0.2]] late")
        ask(connection, "fast", "one two")
        say(connection, "subscribe", "me", {"query": "{ me { key } }"})
        heard: list[Any] = []
        while sum(each["type"] == "complete" for each in heard) < 3:
            heard.append(hear(connection))
        words = [each["payload"]["data"]["ask"]["text"] for each in heard if each["id"] == "fast" and "payload" in each]
        assert words == ["one", " two", ""]
        assert [each["id"] for each in heard if each["type"] == "complete"][-1] == "slow"
        assert {"type": "next", "id": "me", "payload": {"data": {"me": {"key": "admin"}}}} in heard
        say(connection, "ping")
        assert hear(connection) == {"type": "pong"}


def test_a_key_may_come_in_a_header_of_the_handshake_too(echo: Served) -> None:
    with socket(echo, {}, authorization=f"Bearer {admin(echo)}") as connection:
        ask(connection, "1", "one")
        assert hear(connection)["payload"]["data"]["ask"]["text"] == "one"


def test_complete_stops_the_model_and_leaves_the_connection(echo: Served) -> None:
    with socket(echo, keyed(admin(echo))) as connection:
        ask(connection, "1", "[[pace 0.01]] [[repeat 5000]] a")
        hear(connection)
        say(connection, "complete", "1")
        say(connection, "ping")
        while hear(connection)["type"] != "pong":
            pass
        until(lambda: stopped(echo, newest(echo)))


def test_who_closes_a_websocket_stops_all_that_was_under_way(echo: Served) -> None:
    with socket(echo, keyed(admin(echo))) as connection:
        ask(connection, "1", "[[pace 0.01]] [[repeat 5000]] a")
        hear(connection)
    until(lambda: stopped(echo, newest(echo)))


def test_a_wrong_question_is_an_error_of_its_own_and_nobody_elses(echo: Served) -> None:
    with socket(echo, keyed(admin(echo))) as connection:
        say(connection, "subscribe", "1", {"query": "subscription { nothing }"})
        heard = hear(connection)
        assert (heard["type"], heard["id"]) == ("error", "1")
        assert heard["payload"][0]["extensions"]["code"] == "bad_request"
        say(connection, "subscribe", "2", {"query": 5})
        assert hear(connection)["payload"][0]["extensions"]["code"] == "bad_body"
        ask(connection, "3", "[[fail]]")
        assert hear(connection)["payload"][0]["extensions"]["code"] == "upstream_unreachable"


def test_a_revoked_key_ends_its_websocket_within_a_second(echo: Served) -> None:
    key = fresh_key(echo, "ask")
    id = graphql(echo, "{ me { key } }", key=key).data["me"]["key"]
    with socket(echo, keyed(key)) as connection:
        ask(connection, "1", "[[hang after=1]] a b")
        hear(connection)
        assert graphql(echo, REVOKE, id=id).errors == []
        heard = hear(connection, 1)
        assert (heard["type"], heard["payload"][0]["extensions"]["code"]) == ("error", "invalid_api_key")
        assert code(connection) == 4403


def test_a_websocket_with_nothing_under_way_ends_with_its_key_too(echo: Served) -> None:
    key = fresh_key(echo, "read")
    id = graphql(echo, "{ me { key } }", key=key).data["me"]["key"]
    with socket(echo, keyed(key)) as connection:
        fresh_key(echo, "ask")  # a change of another key changes nothing here
        say(connection, "ping")
        assert hear(connection) == {"type": "pong"}
        graphql(echo, REVOKE, id=id)
        assert code(connection) == 4403


def code(connection: object) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        hear(connection)  # type: ignore[arg-type]  # a test of its own says what it is
    assert closed.value.rcvd is not None
    return int(closed.value.rcvd.code)


@pytest.mark.parametrize(
    ("messages", "closes"),
    [
        (["{"], 4400),
        (['{"type": "nonsense"}'], 4400),
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{ me { key } }"}}'], 4401),
        (['{"type": "connection_init"}'], 4403),
        (['{"type": "connection_init", "payload": {"authorization": "Bearer sw-nobody"}}'], 4403),
        (['{"type": "connection_init", "payload": "words"}'], 4400),
    ],
)
def test_who_does_not_say_who_it_is_stays_outside(echo: Served, messages: list[str], closes: int) -> None:
    with socket(echo) as connection:
        for message in messages:
            connection.send(message)
        assert code(connection) == closes


@pytest.mark.parametrize(
    ("messages", "closes"),
    [
        (["{"], 4400),
        (['{"type": "nonsense"}'], 4400),
        (['{"type": "subscribe"}'], 4400),
        (['{"type": "connection_init"}'], 4429),
        (2 * [HANG], 4409),
    ],
)  # fmt: skip
def test_a_message_out_of_place_closes_with_the_code_that_clients_know(
    echo: Served,
    messages: list[str],
    closes: int,
) -> None:
    with socket(echo, keyed(admin(echo))) as connection:
        for message in messages:
            connection.send(message)
        assert code(connection) == closes


def test_another_protocol_or_another_path_or_host_is_refused(echo: Served) -> None:
    with socket(echo, protocol="graphql-ws") as connection:
        assert code(connection) == 4406
    parts = urlsplit(echo.url)
    for host, path in (("evil.example", "/graphql"), ("localhost", "/v1/models"), ("localhost", "/graphql/")):
        with create_connection((parts.hostname or "", parts.port or 0)) as plain:
            with pytest.raises(InvalidStatus) as refused, connect(f"ws://{host}{path}", sock=plain):
                pass
            assert refused.value.response.status_code == 403


def test_a_connection_takes_a_bounded_number_of_questions_at_once(echo: Served) -> None:
    with socket(echo, keyed(admin(echo))) as connection:
        for number in range(33):
            ask(connection, str(number), "[[hang]]")
        assert hear(connection)["payload"][0]["extensions"]["code"] == "busy"


@pytest.mark.long
def test_a_session_needs_the_proof_of_its_page_in_the_first_message(echo: Served) -> None:
    browser = new_user(echo, "socket@example.com", "developer")
    with socket(echo, {"x-sizewise-csrf": browser.csrf}, cookie=browser.cookie, origin=echo.url) as connection:
        ask(connection, "1", "one")
        assert hear(connection)["payload"]["data"]["ask"]["text"] == "one"
    for payload, origin in (({}, echo.url), ({"x-sizewise-csrf": browser.csrf}, "https://evil.example")):
        with socket(echo, cookie=browser.cookie, origin=origin) as connection:
            say(connection, "connection_init", payload=payload)
            assert code(connection) == 4403
